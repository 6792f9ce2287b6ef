//! Kinds that appear before anybody could be asked whether a subscription's account may read them.
//!
//! Touches the engine's plans only. Invariant: from the first object of such a kind until the controller has looked again,
//! or the kind is gone again, the subscription is held: what its account may not read is never sent, however late the look.

use changehook_core::Now;
use changehook_core::object::{SourceEvent, SourceId};
use changehook_core::plan::Plan;

use super::{Assignment, Driver, Sighted, Sighting};
use crate::ledger::LedgerStore;

impl<S: LedgerStore, R: Into<Sighting> + Send> Driver<S, R> {
    /// The plan as it may be acted on: held, if there are objects that nobody was asked about.
    pub(super) fn bounded(&self, assignment: &Assignment) -> Plan {
        let mut plan = assignment.plan.clone();
        plan.held |= assignment.unasked.iter().any(|source| self.selection.rows_of(source) > 0);
        plan
    }

    /// Before a sighting is taken in: the first object of a kind shuts the gate, its absence opens it.
    pub(super) fn guard_unasked(&mut self, now: Now, source: &SourceId, seen: &Sighted) {
        let held = match seen {
            Sighted::Event(SourceEvent::Upsert(_)) if self.selection.rows_of(source) == 0 => true,
            Sighted::Event(SourceEvent::KindAbsent) | Sighted::Stopped => false,
            Sighted::Event(_) | Sighted::Rewound => return,
        };
        for assignment in self.endpoints.values().filter(|assignment| assignment.unasked.contains(source)) {
            let mut plan = assignment.plan.clone();
            plan.held |= held || self.others_shut(assignment, source);
            self.engine.plan(now, plan);
            if held {
                // If the queue is full, the controller is about to look at everything anyway.
                let _full = self.inputs.recheck.try_send(assignment.plan.id.clone());
            }
        }
    }

    fn others_shut(&self, assignment: &Assignment, but: &SourceId) -> bool {
        assignment.unasked.iter().any(|source| source != but && self.selection.rows_of(source) > 0)
    }
}
