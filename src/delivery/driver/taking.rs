//! What the watches report waits here until the engine's turn, and is taken in by parts.
//!
//! Touches nothing. Invariants: what waits is bounded, by number and by weight; no part is so large that others' requests wait
//! for it.

use super::{Driver, SIGHTINGS_AT_ONCE, Sighting, UNWRITTEN};
use crate::ledger::LedgerStore;

/// How many are taken in before the engine's turn,
const TAKEN_AT_ONCE: usize = 256;
/// unless it comes to so many pairs of a change and a subscription: the engine may have something to start for others.
const SEEN_AT_ONCE: usize = 1_000;
/// With so many sightings that wait to be taken in nothing more is heard, and the watches have to wait,
const BACKLOG: usize = 20_000;
/// or with so many bytes of objects.
const BACKLOG_BYTES: usize = 64 << 20;

impl<S: LedgerStore, R: Into<Sighting> + Send> Driver<S, R> {
    /// Puts what was heard, and what can be heard at once, where it waits.
    pub(super) fn listen(&mut self, heard: &mut Vec<R>) {
        while heard.len() < SIGHTINGS_AT_ONCE
            && self.has_room()
            && let Ok(sighting) = self.inputs.sightings.try_recv()
        {
            heard.push(sighting);
        }
        for sighting in heard.drain(..) {
            let Sighting { source, seen } = sighting.into();
            self.backlog.push(&source, seen);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.backlog.len() < BACKLOG && self.backlog.bytes() < BACKLOG_BYTES
    }

    /// Whether something that waits may be taken in.
    pub(super) fn may_take_in(&self) -> bool {
        !self.backlog.is_empty() && self.engine.unwritten() < UNWRITTEN
    }

    /// Takes in a part of what waits.
    pub(super) fn take_in(&mut self) {
        let (mut taken, mut seen) = (0, 0);
        while taken < TAKEN_AT_ONCE
            && seen < SEEN_AT_ONCE
            && self.may_take_in()
            && let Some(next) = self.backlog.pop()
        {
            taken += 1;
            seen += self.sighted(next);
        }
    }
}
