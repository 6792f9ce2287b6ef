//! Plans: how a subscription starts, is edited and ends.
//!
//! Touches nothing. Invariants: an edit adopts what it newly selects and silences what it selects no more, and nothing
//! else: what was owed before the edit stays owed, even if the operator crashes in the middle of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::desk::{Baseline, Desk};
use super::shared::Shared;
use super::slot::{Phase, Shown, Slot};
use super::{Engine, Map, Subscription};
use crate::Now;
use crate::ledger::{Acked, Book, Fact, Mark};
use crate::object::{GroupKind, ObjectKey};
use crate::plan::{Change, Plan, SubscriptionId};
use crate::proof::{Mark as Passed, passed};

impl Engine {
    /// A subscription is new, or was edited. Follow it with [`Engine::replanned`] for each object it now sees, then with
    /// [`Engine::synced`] for each kind whose list is complete.
    pub fn plan(&mut self, now: Now, plan: Plan) {
        let id = plan.id.clone();
        let shared = &mut self.shared;
        let subscription = self
            .subscriptions
            .entry(id.clone())
            .or_insert_with(|| Subscription { slots: Map::default(), desk: Desk::new(plan.clone(), now.wall) });
        if let Some(book) = self.unclaimed.remove(&id) {
            subscription.restore(shared, now, book);
        }
        let old = std::mem::replace(&mut subscription.desk.plan, plan);
        subscription.edit_interests(shared, now, &old);
        if old.config_hash != subscription.desk.plan.config_hash {
            subscription.start_afresh(shared, now);
        }
        if old.changes.updated != subscription.desk.plan.changes.updated {
            subscription.change_recipe(shared, now);
        }
        let keys: Vec<ObjectKey> = subscription.slots.keys().cloned().collect();
        for key in keys {
            subscription.reconsider(shared, now, &key);
        }
        let desk = &mut subscription.desk;
        desk.paused_until = 0;
        shared.ring.enlist(&desk.plan.namespace, &id);
        shared.mark_changed(desk);
    }

    /// What an earlier life knew of subscriptions that are not among these is dropped: they were deleted meanwhile.
    pub fn sweep(&mut self, now: Now, known: &BTreeSet<SubscriptionId>) {
        let gone: Vec<SubscriptionId> = self.unclaimed.keys().filter(|id| !known.contains(*id)).cloned().collect();
        for id in gone {
            passed(Passed::Swept);
            self.unclaimed.remove(&id);
            self.shared.journal.add(now, &id, Fact::Forget);
        }
    }

    /// The subscription is gone: nothing more is started for it, what it owed is dropped.
    pub fn remove(&mut self, now: Now, id: &SubscriptionId) {
        let shared = &mut self.shared;
        let Some(mut subscription) = self.subscriptions.remove(id) else {
            if self.unclaimed.remove(id).is_some() {
                shared.journal.add(now, id, Fact::Forget);
            }
            return;
        };
        let mut leftover = 0;
        for slot in subscription.slots.values_mut() {
            if slot.phase == Phase::InFlight {
                // All that will be left of it is this permit, which comes back with the answer.
                leftover += 1;
                if let Some(permit) = slot.permit.take().filter(|permit| permit.lane.is_late()) {
                    shared.ring.not_late_any_more(&permit.host);
                }
            } else {
                shared.give_back(&mut subscription.desk, slot);
            }
        }
        if leftover > 0 {
            *shared.leftover.entry(id.clone()).or_default() += leftover;
        }
        if let Some(at) = subscription.desk.alarm {
            shared.alarms.remove(&(at, id.clone()));
        }
        shared.opening.remove(id);
        shared.changed.remove(id);
        shared.journal.add(now, id, Fact::Forget);
    }
}

impl Subscription {
    /// Takes over what an earlier life left.
    fn restore(&mut self, shared: &mut Shared, now: Now, book: Book) {
        let Self { slots, desk } = self;
        for (key, entry) in book.entries {
            desk.enlist(&key, &entry.named);
            let mut slot = Slot::restored(entry, now.wall);
            if let Some(parked) = slot.parked {
                if parked.config_hash == desk.plan.config_hash {
                    desk.note_parked(&key, &mut slot, parked);
                } else {
                    // The configuration that failed is not the present one.
                    shared.record(now, desk, Fact::Release { object: key.clone() });
                    slot.parked = None;
                }
            }
            slots.insert(key, slot);
        }
        for (kind, Mark { rv, open }) in book.marks {
            let baseline = if open { Baseline::Waiting { mark: Some(rv) } } else { Baseline::Closed };
            desk.baselines.insert(kind, baseline);
        }
        if !desk.outage.is_empty() {
            // Whether the outage is over is found out by a probe.
            desk.breaker.reopen(now.mono);
        }
    }

    fn edit_interests(&mut self, shared: &mut Shared, now: Now, old: &Plan) {
        let interests = self.desk.plan.interests.clone();
        let kinds: Vec<Arc<GroupKind>> = interests.iter().map(|interest| Arc::new(interest.gvk.group_kind())).collect();
        let left: BTreeSet<Arc<GroupKind>> =
            self.desk.baselines.keys().filter(|kind| !kinds.contains(kind)).cloned().collect();
        for kind in left {
            self.desk.baselines.remove(&kind);
            self.desk.listed.remove(&kind);
            shared.record(now, &self.desk, Fact::Unmark { kind });
        }
        for (_, slot) in self.slots.iter_mut().filter(|(key, _)| !kinds.contains(&key.kind)) {
            withdraw(slot);
        }
        for (kind, interest) in kinds.into_iter().zip(interests) {
            let edited = old
                .interests
                .iter()
                .find(|other| other.gvk.group_kind() == *kind)
                .is_some_and(|other| other.selector != interest.selector || other.namespace != interest.namespace);
            let baseline = self.desk.baselines.entry(Arc::clone(&kind)).or_insert(Baseline::Waiting { mark: None });
            // Before this leader has seen a list, what is newly selected cannot be told from what was owed all along.
            let owed_is_known = self.desk.listed.contains(&kind) || *baseline == Baseline::Waiting { mark: None };
            if edited && owed_is_known {
                *baseline = Baseline::Waiting { mark: None };
                self.pledge(shared, now, &kind);
                shared.record(now, &self.desk, Fact::Unmark { kind });
            }
        }
    }

    /// Objects that are owed as New stay so: a record keeps them from being adopted by the edit's baseline.
    fn pledge(&mut self, shared: &mut Shared, now: Now, kind: &GroupKind) {
        let Self { slots, desk } = self;
        for (key, slot) in slots.iter_mut().filter(|(key, _)| *key.kind == *kind) {
            if slot.is_selected() && slot.owed_since.is_some() && !slot.is_known() && !slot.pledged {
                shared.record(now, desk, Fact::Owe { object: key.clone(), named: slot.named.clone() });
                slot.pledged = true;
            }
        }
    }

    /// What counts as a change is another thing now: entries that are clean and still match are rewritten silently.
    fn change_recipe(&mut self, shared: &mut Shared, now: Now) {
        let Self { slots, desk } = self;
        for (key, slot) in slots {
            let Shown::Selected { row, fp } = &mut slot.shown else { continue };
            let old = std::mem::replace(fp, desk.fingerprint(row));
            let (fp, rv) = (*fp, row.rv);
            if slot.sending.is_some() || slot.acked.is_none_or(|acked| acked.fp != old) {
                continue;
            }
            let fact = Fact::Adopt { object: key.clone(), named: slot.named.clone(), rv, fp };
            let seq = shared.record(now, desk, fact);
            slot.acked = Some(Acked { seq, rv, fp });
        }
    }
}

/// Its kind is not watched any more. It exists, as far as anybody knows, so nothing is told of it; but an end that was
/// noticed before is.
fn withdraw(slot: &mut Slot) {
    let ends = slot.sending.is_some_and(|sending| sending.change == Change::Removed);
    match &slot.shown {
        Shown::Selected { row, .. } => {
            slot.tombstone = true;
            slot.shown = Shown::Deselected { rv: row.rv };
        }
        Shown::Unknown | Shown::Unseen => {
            slot.tombstone = !ends;
            slot.shown = Shown::Deselected { rv: slot.highest_rv() };
        }
        Shown::Deselected { .. } | Shown::Gone { .. } => {}
    }
}
