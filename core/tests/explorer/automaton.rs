//! The shipped leader as an automaton: each of its states and each step from one to another, computed once.
//!
//! A leader meets the same input in the same state in very many different worlds; running the engine once for all of them
//! is what makes millions of worlds affordable. Of a state only little is kept, and how it came about: engines are large,
//! so one that was not needed for a while is made again when it is.

use std::rc::Rc;

use changehook_core::engine::{Attempt, Batch};

use crate::cluster::Cluster;
use crate::durable::Ledger;
use crate::endpoint::Told;
use crate::intern::{Pool, Table, digest_of_text};
use crate::operator::{Input, Operator, Wishes};
use crate::setup::Setup;

/// Engines that are kept: twice so many at most.
const KEPT: usize = 8_000;

/// What an input makes of a leader.
#[derive(Clone, Debug)]
pub struct Reaction {
    pub operator: u32,
    pub commit: Option<u32>,
    pub requests: Box<[u32]>,
}

/// What the world wants to know of a leader's state without looking into it.
pub struct State {
    origin: Origin,
    pub wakes: bool,
    pub suspended: bool,
    pub live: bool,
    pub rests: bool,
}

/// How a state came about.
#[derive(Clone)]
enum Origin {
    Start {
        ledger: Rc<Ledger>,
        plan: u8,
        namespace: bool,
    },
    /// By that input, in that state.
    Step(u32, u32),
}

#[derive(Default)]
pub struct Automaton {
    states: Pool<State>,
    pub batches: Pool<Batch>,
    pub attempts: Pool<Attempt>,
    pub inputs: Pool<Input>,
    starts: Table<(u32, u8, bool), Reaction>,
    steps: Table<(u32, u32), Reaction>,
    /// The engines that were needed lately, and those before them.
    recent: Table<u32, Operator>,
    former: Table<u32, Operator>,
}

impl Automaton {
    /// A leader takes over the ledger of that number, which it has claimed.
    pub fn start(
        &mut self,
        setup: &Setup,
        number: u32,
        ledger: &Rc<Ledger>,
        cluster: &Cluster,
    ) -> Result<Reaction, String> {
        let (plan, namespace) = (cluster.plan, cluster.namespace);
        if let Some(reaction) = self.starts.get(&(number, plan, namespace)) {
            return Ok(reaction.clone());
        }
        let (operator, wishes) = Operator::start(setup, ledger, plan, namespace);
        let origin = Origin::Start { ledger: Rc::clone(ledger), plan, namespace };
        let reaction = self.reaction(setup, origin, operator, wishes)?;
        self.starts.insert((number, plan, namespace), reaction.clone());
        Ok(reaction)
    }

    /// What the input of that number makes of that state.
    pub fn step(&mut self, setup: &Setup, from: u32, number: u32) -> Result<Reaction, String> {
        if let Some(reaction) = self.steps.get(&(from, number)) {
            return Ok(reaction.clone());
        }
        let mut operator = self.operator(setup, from);
        let attempts = &self.attempts;
        let wishes = operator.take(setup, self.inputs.get(number), |request| attempts.get(request).clone());
        let reaction = self.reaction(setup, Origin::Step(from, number), operator, wishes)?;
        self.steps.insert((from, number), reaction.clone());
        Ok(reaction)
    }

    fn reaction(
        &mut self,
        setup: &Setup,
        origin: Origin,
        operator: Operator,
        wishes: Wishes,
    ) -> Result<Reaction, String> {
        let Wishes { commit, requests } = wishes;
        let commit = commit.map(|batch| self.batches.number(digest_of_text(&batch), batch));
        let attempts = &mut self.attempts;
        let requests = requests.into_iter().map(|attempt| attempts.number(digest_of_text(&attempt), attempt)).collect();
        let digest = operator.digest();
        if let Some(operator) = self.states.known(digest) {
            return Ok(Reaction { operator, commit, requests });
        }
        operator.agrees_with_itself()?;
        let plan = operator.plan(setup);
        let (wakes, suspended, live) = (operator.wakes(), plan.suspended, operator.is_live(plan));
        let state = State { origin, wakes, suspended, live, rests: operator.rests(plan) };
        let number = self.states.number(digest, state);
        self.keep(number, operator);
        Ok(Reaction { operator: number, commit, requests })
    }

    /// The engine of a state, made again if it is not there any more.
    fn operator(&mut self, setup: &Setup, number: u32) -> Operator {
        if let Some(operator) = self.recent.get(&number) {
            return operator.clone();
        }
        let kept = self.former.remove(&number);
        let operator = match (kept, self.states.get(number).origin.clone()) {
            (Some(operator), _) => operator,
            (None, Origin::Start { ledger, plan, namespace }) => Operator::start(setup, &ledger, plan, namespace).0,
            (None, Origin::Step(from, input)) => {
                let mut operator = self.operator(setup, from);
                let attempts = &self.attempts;
                operator.take(setup, self.inputs.get(input), |request| attempts.get(request).clone());
                operator
            }
        };
        self.keep(number, operator.clone());
        operator
    }

    fn keep(&mut self, number: u32, operator: Operator) {
        if self.recent.len() >= KEPT {
            self.former = std::mem::take(&mut self.recent);
        }
        self.recent.insert(number, operator);
    }

    pub fn state(&self, operator: u32) -> &State {
        self.states.get(operator)
    }

    pub fn told(&self, attempt: u32) -> Told {
        Told::by(self.attempts.get(attempt))
    }

    /// How many states, and how many steps.
    pub fn size(&self) -> (usize, usize) {
        (self.states.len(), self.steps.len())
    }
}
