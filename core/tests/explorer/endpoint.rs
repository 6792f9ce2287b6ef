//! What an endpoint believes, by the recipe of the README: what is not higher than seen is ignored. And what it was told,
//! so that no event id ever means two things.

use std::collections::{BTreeMap, BTreeSet};

use changehook_core::engine::Attempt;
use changehook_core::event::Subject;
use changehook_core::plan::Change;

use crate::cluster::number;

/// One event, as a request tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Told {
    pub uid: u8,
    pub sequence: u64,
    pub change: Change,
    /// `None` for Removed.
    pub content: Option<u8>,
    pub rv: u64,
}

impl Told {
    pub fn by(attempt: &Attempt) -> Self {
        let event = &attempt.event;
        let (uid, content, rv) = match &event.subject {
            Subject::Present(row) => (&row.uid, Some(row.digest.0[0]), row.rv),
            Subject::Absent(identity) => (&identity.uid, None, identity.rv),
        };
        Self { uid: number(uid), sequence: event.sequence, change: event.change, content, rv }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// uid → the highest sequence, and the content if the object is held.
    pub held: BTreeMap<u8, (u64, Option<u8>)>,
    /// uid → the highest event for which a request was started, as it was first told.
    pub said: BTreeMap<u8, Told>,
}

impl Endpoint {
    pub fn receive(&mut self, told: Told) {
        if !self.ignores(told) {
            self.held.insert(told.uid, (told.sequence, told.content));
        }
    }

    pub fn ignores(&self, told: Told) -> bool {
        self.held.get(&told.uid).is_some_and(|(highest, _)| told.sequence <= *highest)
    }

    /// What it may hold of each object it was told of, given that any of `late` may arrive, each higher than what did.
    pub fn may_hold(&self, late: &BTreeSet<Told>) -> impl Iterator<Item = (u8, Option<u8>)> {
        let held = self.held.iter().map(|(uid, (_, content))| (*uid, *content));
        held.chain(late.iter().map(|told| (told.uid, told.content)))
    }

    /// A request for this is started. `current` if its sender is the latest leader.
    pub fn say(&mut self, told: Told, current: bool) -> Result<(), String> {
        let Told { uid, sequence, change, content, rv } = told;
        if content.is_none() != (change == Change::Removed) {
            return Err(format!("{change:?} of uid-{uid} tells {content:?}"));
        }
        let Some(highest) = self.said.get(&uid).copied().filter(|highest| highest.sequence >= sequence) else {
            let before = self.said.insert(uid, told).map_or(0, |before| before.rv);
            if before <= rv {
                return Ok(());
            }
            return Err(format!("uid-{uid} is told as of {rv} after it was told as of {before}"));
        };
        if highest.sequence > sequence {
            // An old leader may be late, and a new one never.
            let error = || format!("the sequence of uid-{uid} goes back from {} to {sequence}", highest.sequence);
            return if current { Err(error()) } else { Ok(()) };
        }
        // A later attempt may tell the same content in a later version.
        if (highest.change, highest.content) == (change, content) {
            return Ok(());
        }
        Err(format!("one event has two meanings: {highest}, {told}"))
    }
}
