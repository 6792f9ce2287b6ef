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
    /// The object's state; `None` for Removed.
    pub content: Option<u8>,
    /// Its name.
    pub place: u8,
    pub rv: u64,
}

impl Told {
    pub fn by(attempt: &Attempt) -> Self {
        let event = &attempt.event;
        let (uid, name, content, rv) = match &event.subject {
            Subject::Present(row) => (&row.uid, &row.name, Some(row.digest.0[0]), row.rv),
            Subject::Absent(identity) => (&identity.uid, &identity.name, None, identity.rv),
        };
        let (uid, place) = (number(uid), number(name));
        Self { uid, sequence: event.sequence, change: event.change, content, place, rv }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// uid → the highest sequence, and the content if the object is held.
    pub held: BTreeMap<u8, (u64, Option<u8>)>,
    /// uid → the highest event for which a request was started, as it was first told.
    pub said: BTreeMap<u8, Told>,
    /// What an endpoint believes that knows objects by their names alone, and not even sequences: uid and content.
    pub names: BTreeMap<u8, (u8, u8)>,
}

impl Endpoint {
    pub fn receive(&mut self, told: Told) {
        if let Some(content) = told.content {
            self.names.insert(told.place, (told.uid, content));
        } else {
            self.names.remove(&told.place);
        }
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

    /// A newer object of the same name was told.
    pub fn knows_successor(&self, uid: u8) -> bool {
        let place = self.said.get(&uid).map(|told| told.place);
        self.said.range(uid + 1..).any(|(_, told)| Some(told.place) == place)
    }

    /// It may have heard that the object is gone, and hears of an update.
    pub fn is_surprised_by(&self, told: Told) -> bool {
        let before = self.said.get(&told.uid).filter(|before| before.sequence < told.sequence);
        told.change == Change::Updated && before.is_some_and(|before| before.change == Change::Removed)
    }

    /// A request for this is started. `current` if its sender is the latest leader; with `old_lists` an object that the
    /// endpoint heard the end of may come back for a while.
    pub fn say(&mut self, told: Told, current: bool, old_lists: bool) -> Result<(), String> {
        let Told { uid, sequence, change, content, place: _, rv } = told;
        if content.is_none() != (change == Change::Removed) {
            return Err(format!("{change:?} of uid-{uid} tells {content:?}"));
        }
        let Some(highest) = self.said.get(&uid).copied().filter(|highest| highest.sequence >= sequence) else {
            let before = self.said.insert(uid, told);
            return match before {
                Some(before) if before.rv > rv && !old_lists => Err(format!("{told} is told after {before}")),
                Some(_) | None => Ok(()),
            };
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
