//! The cluster was set back, by a restore from a backup: versions count anew, and those that are known mean nothing.
//!
//! Touches nothing. Invariant: afterwards no version from before has a say, not even one that is under way; only
//! fingerprints decide.

use super::desk::Baseline;
use super::slot::Shown;
use super::{Engine, ObjectKey, Subscription};
use crate::Now;
use crate::ledger::Fact;
use crate::proof::{Mark, Rule, broken, passed};

impl Engine {
    /// Forgets every version. The sources then show theirs.
    pub fn rewind(&mut self, now: Now) {
        let Self { subscriptions, shared, unclaimed, .. } = self;
        passed(Mark::Rewound);
        shared.journal.sources.clear();
        for (id, book) in unclaimed {
            shared.journal.add(now, id, Fact::Rewind);
            book.rewind();
        }
        for subscription in subscriptions.values_mut() {
            shared.record(now, &subscription.desk, Fact::Rewind);
            subscription.rewind();
            let keys: Vec<ObjectKey> = subscription.slots.keys().cloned().collect();
            for key in keys {
                subscription.reconsider(shared, now, &key);
            }
        }
        shared.journal.hurry(now, None);
    }
}

impl Subscription {
    fn rewind(&mut self) {
        if broken(Rule::RewindForgetsVersions) {
            return;
        }
        let Self { slots, desk } = self;
        for slot in slots.values_mut() {
            slot.confirmed = 0;
            if let Some(acked) = &mut slot.acked {
                acked.rv = 0;
            }
            if let Some(sending) = &mut slot.sending {
                sending.rv = 0;
            }
            match &mut slot.shown {
                Shown::Selected { rv, .. } | Shown::Deselected { rv } | Shown::Gone { rv } => *rv = 0,
                Shown::Unknown | Shown::Unseen => {}
            }
        }
        desk.ended.clear();
        desk.doubts.clear();
        desk.recounted = desk.baselines.keys().cloned().collect();
        for (_, baseline) in desk.baselines.iter_mut() {
            match baseline {
                Baseline::Waiting { mark } => *mark = Some(0),
                Baseline::Open { mark, .. } => *mark = 0,
                Baseline::Closed => {}
            }
        }
    }
}
