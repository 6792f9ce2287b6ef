//! The shipped leader as an automaton: every state it was ever in, and what each input made of it, computed once.
//!
//! A leader meets the same input in the same state in very many different worlds; running the engine once for all of them
//! is what makes millions of worlds affordable.

use changehook_core::engine::{Attempt, Batch};

use crate::cluster::Cluster;
use crate::durable::Ledger;
use crate::endpoint::Told;
use crate::intern::{Hashed, Pool, digest_of_text};
use crate::operator::{Input, Operator, Wishes};
use crate::setup::Setup;

/// What an input makes of a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    pub operator: u32,
    pub commit: Option<u32>,
    pub requests: Box<[u32]>,
}

/// What the world wants to know of a leader's state without looking into it.
pub struct State {
    operator: Operator,
    pub wakes: bool,
    pub suspended: bool,
    pub live: bool,
}

#[derive(Default)]
pub struct Automaton {
    states: Pool<State>,
    pub batches: Pool<Batch>,
    pub attempts: Pool<Attempt>,
    starts: Hashed<(u32, u8, bool), Reaction>,
    steps: Hashed<(u32, Input), Reaction>,
}

impl Automaton {
    /// A leader takes over the ledger of that number, which it has claimed.
    pub fn start(
        &mut self,
        setup: &Setup,
        number: u32,
        ledger: &Ledger,
        cluster: &Cluster,
    ) -> Result<Reaction, String> {
        let of = (number, cluster.plan, cluster.namespace);
        if let Some(reaction) = self.starts.get(&of) {
            return Ok(reaction.clone());
        }
        let (operator, wishes) = Operator::start(setup, ledger, cluster);
        let reaction = self.reaction(setup, operator, wishes)?;
        self.starts.insert(of, reaction.clone());
        Ok(reaction)
    }

    pub fn step(&mut self, setup: &Setup, from: u32, input: Input) -> Result<Reaction, String> {
        let from = (from, input);
        if let Some(reaction) = self.steps.get(&from) {
            return Ok(reaction.clone());
        }
        let mut operator = self.states.get(from.0).operator.clone();
        let attempts = &self.attempts;
        let wishes = operator.take(setup, &from.1, |request| attempts.get(request).clone());
        let reaction = self.reaction(setup, operator, wishes)?;
        self.steps.insert(from, reaction.clone());
        Ok(reaction)
    }

    fn reaction(&mut self, setup: &Setup, operator: Operator, wishes: Wishes) -> Result<Reaction, String> {
        let findings = operator.audit();
        if !findings.is_empty() {
            return Err(format!("the engine disagrees with itself: {}", findings.join("; ")));
        }
        let Wishes { commit, requests } = wishes;
        let commit = commit.map(|batch| self.batches.number(digest_of_text(&batch), batch));
        let attempts = &mut self.attempts;
        let requests = requests.into_iter().map(|attempt| attempts.number(digest_of_text(&attempt), attempt)).collect();
        let plan = operator.plan(setup);
        let (wakes, suspended, live) = (operator.wakes(), plan.suspended, operator.is_live(plan));
        let digest = operator.digest();
        let operator = self.states.number(digest, State { operator, wakes, suspended, live });
        Ok(Reaction { operator, commit, requests })
    }

    pub fn state(&self, operator: u32) -> &State {
        self.states.get(operator)
    }

    pub fn told(&self, attempt: u32) -> Told {
        Told::by(self.attempts.get(attempt))
    }

    pub fn size(&self) -> (usize, usize) {
        (self.states.len(), self.steps.len())
    }
}
