//! A leader, what is on its way to it and what it has under way; and what may happen to it, as far as that depends on
//! nothing but itself.

use std::rc::Rc;

use crate::automaton::Reaction;
use crate::durable::reach;
use crate::endpoint::Told;
use crate::operator::{Answer, Input};
use crate::world::Model;

/// One for each watch, the namespace, and the subscription: within one nothing overtakes, between them everything may.
pub const FEEDS: usize = 4;
/// The last is the subscription.
pub const PLANS: usize = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Leader {
    pub operator: u32,
    pub term: u8,
    /// The ledger's version that its next commit is made on top of.
    pub version: u8,
    /// The highest of its sequences that is durable.
    pub durable: u64,
    /// Inputs on their way.
    pub feeds: [Vec<u32>; FEEDS],
    pub commit: Option<Commit>,
    /// Attempts under way.
    pub requests: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    pub batch: u32,
    /// It is in the ledger, and its writer does not know yet.
    pub landed: bool,
}

/// What may happen to a leader.
#[derive(Clone, Debug)]
pub struct Local {
    pub doing: Doing,
    /// What becomes of it: the leader, and the requests that it starts.
    pub after: Result<(u32, Rc<[Told]>), String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Hears(u32),
    /// Or is refused, if somebody else has written the ledger: then the leader exits.
    CommitArrives(u32),
    LearnsOfCommit,
    Answered(Told, Answer),
    TimePasses,
}

impl Model {
    /// What may happen to the leader of that number at any time.
    pub fn locals(&mut self, number: u32) -> Rc<[Local]> {
        if let Some(locals) = self.locals.get(&number) {
            return Rc::clone(locals);
        }
        let leader = self.leaders.get(number).clone();
        let mut locals = Vec::new();
        for feed in 0..FEEDS {
            if let Some(&news) = leader.feeds[feed].first() {
                let mut leader = leader.clone();
                leader.feeds[feed].remove(0);
                locals.push(self.local(Doing::Hears(news), leader, news));
            }
        }
        match leader.commit {
            Some(Commit { batch, landed: false }) => {
                let commit = Some(Commit { batch, landed: true });
                let durable = leader.durable.max(reach(self.automaton.batches.get(batch)));
                let after = Leader { commit, durable, version: leader.version + 1, ..leader.clone() };
                let after = Ok((self.leaders.add(after), Rc::default()));
                locals.push(Local { doing: Doing::CommitArrives(batch), after });
            }
            Some(Commit { batch, landed: true }) => locals.push(self.learns(&leader, batch)),
            None => {}
        }
        if self.automaton.state(leader.operator).wakes {
            let input = self.automaton.inputs.add(Input::Tick);
            locals.push(self.local(Doing::TimePasses, leader, input));
        }
        let locals: Rc<[Local]> = locals.into();
        self.locals.insert(number, Rc::clone(&locals));
        locals
    }

    /// The leader of that number is told what came of its attempt.
    pub fn answered(&mut self, number: u32, attempt: u32, answer: Answer) -> Local {
        if let Some(local) = self.answers.get(&(number, attempt, answer)) {
            return local.clone();
        }
        let mut leader = self.leaders.get(number).clone();
        leader.requests.retain(|other| *other != attempt);
        let doing = Doing::Answered(self.automaton.told(attempt), answer);
        let input = self.automaton.inputs.add(Input::Answered(attempt, answer));
        let local = self.local(doing, leader, input);
        self.answers.insert((number, attempt, answer), local.clone());
        local
    }

    pub fn learns(&mut self, leader: &Leader, batch: u32) -> Local {
        let leader = Leader { commit: None, ..leader.clone() };
        let number = self.automaton.batches.get(batch).number;
        let input = self.automaton.inputs.add(Input::Committed(number));
        self.local(Doing::LearnsOfCommit, leader, input)
    }

    fn local(&mut self, doing: Doing, leader: Leader, input: u32) -> Local {
        let reaction = self.automaton.step(&self.setup, leader.operator, input);
        Local { doing, after: reaction.and_then(|reaction| self.react(leader, &reaction)) }
    }

    /// The leader becomes what its reaction says; what it wishes is under way.
    pub fn react(&mut self, mut leader: Leader, reaction: &Reaction) -> Result<(u32, Rc<[Told]>), String> {
        leader.operator = reaction.operator;
        if let Some(batch) = reaction.commit {
            if leader.commit.is_some() {
                return Err("two commits are under way".to_owned());
            }
            leader.commit = Some(Commit { batch, landed: false });
        }
        let mut started = Vec::new();
        for &attempt in &reaction.requests {
            let told = self.automaton.told(attempt);
            let Told { uid, sequence, .. } = told;
            if sequence > leader.durable {
                return Err(format!("#{sequence} of uid-{uid} is sent before its record is durable"));
            }
            if leader.requests.iter().any(|other| self.automaton.told(*other).uid == uid) {
                return Err(format!("two requests are under way for uid-{uid}"));
            }
            if self.automaton.state(leader.operator).suspended {
                return Err(format!("#{sequence} of uid-{uid} is sent while the subscription is suspended"));
            }
            leader.requests.push(attempt);
            started.push(told);
        }
        Ok((self.leaders.add(leader), started.into()))
    }

    /// The leader once there is something more for it to hear.
    pub fn with_news(&mut self, leader: u32, feed: u8, news: u32) -> u32 {
        let Self { leaders, heard, .. } = self;
        *heard.entry((leader, feed, news)).or_insert_with(|| {
            let mut leader = leaders.get(leader).clone();
            leader.feeds[feed as usize].push(news);
            leaders.add(leader)
        })
    }
}
