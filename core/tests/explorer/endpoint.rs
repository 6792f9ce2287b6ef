//! What an endpoint believes, by the recipe of the README: what is not higher than seen is ignored. And what it was told,
//! so that no event id ever means two things.

use std::collections::BTreeMap;

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
    /// Every event for which a request was started, by uid and sequence: what it says, and as of which version.
    pub said: BTreeMap<(u8, u64), (Change, Option<u8>, u64)>,
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

    pub fn holds(&self, uid: u8) -> Option<u8> {
        self.held.get(&uid).and_then(|(_, content)| *content)
    }

    /// A request for this is started. `current` if its sender is the latest leader.
    pub fn say(&mut self, told: Told, current: bool) -> Result<(), String> {
        let Told { uid, sequence, change, content, rv } = told;
        if content.is_none() != (change == Change::Removed) {
            return Err(format!("{change:?} of uid-{uid} tells {content:?}"));
        }
        let later = self.said.range((uid, sequence + 1)..=(uid, u64::MAX)).next();
        if current && later.is_some() {
            return Err(format!("the sequence of uid-{uid} goes back to {sequence}"));
        }
        let earlier = self.said.range((uid, 0)..(uid, sequence)).next_back();
        if let Some((_, (_, _, before))) = earlier.filter(|(_, (_, _, before))| *before > rv) {
            return Err(format!("uid-{uid} is told as of {rv} after it was told as of {before}"));
        }
        if let Some((old_change, old_content, _)) = self.said.insert((uid, sequence), (change, content, rv))
            && (old_change, old_content) != (change, content)
        {
            return Err(format!(
                "sequence {sequence} of uid-{uid} means {old_change:?} {old_content:?} and {change:?} {content:?}"
            ));
        }
        Ok(())
    }
}
