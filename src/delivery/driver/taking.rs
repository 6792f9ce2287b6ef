//! What the watches report waits here until the engine's turn, and is taken in by parts.
//!
//! Touches the engine only. Invariants: what waits is bounded, by number and by weight, and so is what came of it and is
//! still to be shown; no part is so large that others' requests wait for it; to show an object to more than [`PART`]
//! subscriptions takes no more than a part of all the time, however often it changes.

use std::time::Duration;

use changehook_core::Now;
use changehook_core::object::{SourceEvent, SourceId};
use changehook_core::select::{Next, Observation, Sighted};

use tokio::time::Instant;

use super::{Driver, SIGHTINGS_AT_ONCE, Sighting, UNWRITTEN};
use crate::ledger::LedgerStore;

/// How many are taken in before the engine's turn,
const TAKEN_AT_ONCE: usize = 256;
/// unless it comes to so many pairs of a change and a subscription: the engine may have something to start for others.
const SEEN_AT_ONCE: usize = 256;
/// To how many subscriptions an object is shown before another namespace has its turn.
pub(super) const PART: usize = 64;
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

    /// How long it takes until something that waits may be taken in; `None` if nothing waits, or a commit comes first.
    pub(super) fn until_take_in(&self) -> Option<Duration> {
        if self.backlog.is_empty() || self.engine.unwritten() >= UNWRITTEN {
            return None;
        }
        Some(if self.backlog.is_ready() { Duration::ZERO } else { self.throttle.wait(Instant::now()) })
    }

    /// Takes in a part of what waits.
    pub(super) fn take_in(&mut self) {
        let (mut taken, mut seen) = (0, 0);
        let mut at = Instant::now();
        while taken < TAKEN_AT_ONCE
            && seen < SEEN_AT_ONCE
            && self.engine.unwritten() < UNWRITTEN
            && let Some(next) = self.backlog.pop(self.throttle.wait(at).is_zero())
        {
            let is_rest = matches!(next, Next::Rest(_));
            taken += 1;
            seen += self.take(next);
            let started = std::mem::replace(&mut at, Instant::now());
            if is_rest {
                self.throttle.used(at, at - started);
            }
        }
    }

    /// Gives how many pairs of a change and a subscription that is.
    pub(super) fn take(&mut self, next: Next) -> usize {
        let now = (self.inputs.now)();
        match next {
            Next::Report { source, seen, reached } => self.sighted(now, &source, seen, reached),
            Next::Rest(part) => self.show(now, part),
        }
    }

    fn sighted(&mut self, now: Now, source: &SourceId, seen: Sighted, reached: Option<u64>) -> usize {
        self.guard_unasked(now, source, &seen);
        match seen {
            Sighted::Event(event) => return self.saw(now, source, event, reached),
            Sighted::Rewound => {
                self.engine.rewind(now);
                self.selection.rewind(source);
            }
            Sighted::Stopped => {
                // the ledger keeps what somebody needs; within this life the source itself remembers
                self.engine.forget_source(source);
                self.selection.drop_source(source);
            }
        }
        0
    }

    fn saw(&mut self, now: Now, source: &SourceId, event: SourceEvent, reached: Option<u64>) -> usize {
        match &event {
            // no later leader may believe a list from before this, whatever else of the source still waits
            SourceEvent::Upsert(row) => self.engine.source_at(source, row.rv),
            SourceEvent::Deleted { rv, .. } | SourceEvent::ListEnded { rv, .. } => self.engine.source_at(source, *rv),
            // a kind that is installed again may count its versions from one
            SourceEvent::KindAbsent => self.engine.forget_source(source),
            SourceEvent::ListStarted | SourceEvent::Unreadable(_) => {}
        }
        let mut came_of_it = std::mem::take(&mut self.seen);
        let whole = self.selection.has_orphans(source);
        let synced = self.selection.apply_ahead(source, event, reached, &mut came_of_it);
        if !whole {
            self.backlog.keep(&mut came_of_it);
        }
        let seen = came_of_it.len();
        for observation in came_of_it.drain(..) {
            self.engine.observe(now, observation);
        }
        self.seen = came_of_it;
        let Some(synced) = synced else { return seen };
        for (id, assignment) in &self.endpoints {
            for (interest, from) in assignment.plan.interests.iter().zip(&assignment.sources) {
                if from == source {
                    self.engine.conclude(now, id, &interest.gvk.group_kind(), &synced);
                }
            }
        }
        seen
    }

    pub(super) fn show(&mut self, now: Now, part: Vec<Observation>) -> usize {
        let shown = part.len();
        for observation in part {
            self.engine.observe(now, observation);
        }
        shown
    }
}
