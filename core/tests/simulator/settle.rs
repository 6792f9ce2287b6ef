//! The faults stop, and everything under way arrives, within a bounded time.

use changehook_core::ledger::Entry;
use changehook_core::object::Unreadable;

use crate::cluster::KINDS;
use crate::edits::Why;
use crate::schedule::{Answer, Fate};
use crate::world::World;

/// Longer than this, in virtual milliseconds, nothing may take once the faults have stopped: probes go every tenth of an
/// outage, and a Retry-After is at most four minutes.
const BOUND: u64 = 900_000;

impl World {
    /// As [`Self::settle`], but first a new endpoint configuration releases what was refused as its own fault.
    pub fn settle_with_a_new_configuration(&mut self) {
        self.resume_everything();
        for number in 0..self.plans.len() {
            self.plans[number].config_hash += 1;
            self.assign(number, Why::Edited);
        }
        self.settle();
        for plan in &self.plans {
            let view = self.leaders.last().unwrap().engine.view(self.now, &plan.id).unwrap();
            assert_eq!(view.parked, 0, "{} keeps something parked", plan.id.uid);
        }
    }

    pub fn settle(&mut self) {
        self.tell(|| "== the faults stop".to_owned());
        while self.leaders.len() > 1 {
            let old = self.leaders.remove(0);
            for attempt in old.requests.into_iter().chain(old.leftovers) {
                self.arrive(&attempt);
            }
        }
        for attempt in std::mem::take(&mut self.late) {
            self.arrive(&attempt);
        }
        while !self.strays.is_empty() {
            self.land_stray(0);
        }
        self.resume_everything();
        for kind in 0..KINDS {
            // Whatever could not be read can be now.
            self.list_for(0, kind, 0, Unreadable::Named(Vec::new()), false);
        }
        let since = self.now.mono;
        loop {
            for kind in 0..KINDS {
                while self.hear(0, kind) {}
            }
            self.pump(0);
            self.commit(false, Fate::Lands);
            self.fold(false);
            for attempt in std::mem::take(&mut self.leaders[0].leftovers) {
                self.arrive(&attempt);
                self.leftover_answered(0, &attempt);
                self.pump(0);
            }
            for attempt in std::mem::take(&mut self.leaders[0].requests) {
                self.settle_request(0, &attempt, Answer::Fine);
                self.pump(0);
            }
            let leader = &self.leaders[0];
            if leader.put.is_some() || leader.folding.is_some() || !leader.requests.is_empty() {
                continue;
            }
            let Some(at) = leader.engine.wake_at() else { break };
            assert!(at > self.now.mono, "woken for nothing: at {at}, now {}", self.now.mono);
            self.advance(at - self.now.mono);
            assert!(self.now.mono - since < BOUND, "it does not come to an end");
        }
        self.audit(0);
        let leader = &self.leaders[0];
        for plan in &self.plans {
            let view = leader.engine.view(self.now, &plan.id).unwrap();
            let waits = (view.pending, view.retrying, view.in_flight);
            assert_eq!(waits, (0, 0, 0), "{} has something to send, and does not send it", plan.id.uid);
            assert!(view.live, "{} has an open baseline", plan.id.uid);
            assert!(view.loss.is_none(), "{} has not made up for its loss", plan.id.uid);
            let Some(book) = self.durable.entries.books.get(&plan.id) else { continue };
            assert!(book.entries.len() as u64 <= self.setup.room, "{} has more entries than it may", plan.id.uid);
            let late =
                |entry: &Entry| entry.parked.is_none() && entry.acked.is_some_and(|acked| acked.seq < book.resync);
            assert!(!book.entries.values().any(late), "{} was asked to tell all again, and did not", plan.id.uid);
        }
        if let Some(referee) = &self.referee {
            referee.check_settled();
        }
    }
}
