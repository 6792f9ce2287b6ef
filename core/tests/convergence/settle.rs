//! The faults stop, and everything under way arrives, within a bounded time.

use changehook_core::outcome::Outcome;

use crate::cluster::KINDS;
use crate::world::World;

/// Longer than this, in virtual milliseconds, nothing may take once the faults have stopped: probes go every tenth of an
/// outage, and no schedule here lasts an hour.
const BOUND: u64 = 600_000;

impl World {
    /// As [`Self::settle`], but first a new endpoint configuration releases what was refused as its own fault.
    pub fn settle_with_a_new_configuration(&mut self) {
        for number in 0..self.plans.len() {
            self.plans[number].config_hash += 1;
            self.assign(number, true);
        }
        self.settle();
        for plan in &self.plans {
            let view = self.engine.view(self.now, &plan.id).unwrap();
            assert_eq!(view.parked, 0, "{} keeps something parked", plan.id.uid);
        }
    }

    pub fn settle(&mut self) {
        self.down = [false; 2];
        for attempt in std::mem::take(&mut self.late) {
            self.arrive(&attempt);
        }
        for number in 0..self.plans.len() {
            let plan = &mut self.plans[number];
            if plan.suspended || plan.held {
                (plan.suspended, plan.held) = (false, false);
                self.assign(number, true);
            }
        }
        for kind in &mut self.kinds {
            // Whatever could not be read can be now.
            kind.list(self.rv);
        }
        let since = self.now.mono;
        loop {
            for at in 0..KINDS {
                while let Some(event) = self.kinds[at].watch.pop_front() {
                    self.hear(at, event);
                }
            }
            self.pump();
            self.commit();
            self.pump();
            for attempt in std::mem::take(&mut self.requests) {
                self.arrive(&attempt);
                self.answer(&attempt, Outcome::Delivered { status: 200 });
                self.pump();
            }
            if self.committing.is_some() || !self.requests.is_empty() {
                continue;
            }
            let Some(at) = self.engine.wake_at() else { break };
            assert!(at > self.now.mono, "woken for nothing");
            self.advance(at - self.now.mono);
            assert!(self.now.mono - since < BOUND, "it does not come to an end");
        }
        for plan in &self.plans {
            let view = self.engine.view(self.now, &plan.id).unwrap();
            assert_eq!((view.pending, view.retrying, view.in_flight), (0, 0, 0), "{}: {:?}", plan.id.uid, self.engine);
            assert!(view.live, "{} has an open baseline", plan.id.uid);
        }
    }
}
