//! What the watch shows, and what it means for a slot.
//!
//! Touches nothing. Invariant: [`Subscription::decide`] is the only place where a need becomes a place in a lane, a
//! silent record, or nothing.

use std::sync::Arc;

use super::desk::{Baseline, Desk};
use super::slot::{Phase, Shown, Slot};
use super::want::{Need, change};
use super::{Engine, Shared, Subscription, Timer};
use crate::Now;
use crate::ledger::{Acked, Fact, Named};
use crate::object::{ObjectKey, Row};
use crate::plan::Change;
use crate::select::{Observation, Seen};

impl Engine {
    /// The watch shows something else of an object than before.
    pub fn observe(&mut self, now: Now, observation: Observation) {
        self.see(now, observation, false);
    }

    /// What a subscription sees of an object after it was edited: what it does not select any more is forgotten silently.
    pub fn replanned(&mut self, now: Now, observation: Observation) {
        self.see(now, observation, true);
    }

    fn see(&mut self, now: Now, observation: Observation, by_edit: bool) {
        let Observation { subscription: id, object: key, seen, by } = observation;
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        let Subscription { slots, desk } = subscription;
        let shown = match seen {
            Seen::Selected(row) => {
                if !slots.contains_key(&key) {
                    let named = named(&row);
                    desk.enlist(&key, &named);
                    slots.insert(key.clone(), Slot::new(named));
                }
                let fp = desk.fingerprint(&row);
                Shown::Selected { row, fp }
            }
            Seen::Deselected(row) => Shown::Deselected { rv: row.rv },
            Seen::Gone { rv } => Shown::Gone { rv },
            Seen::Unknown => Shown::Unknown,
        };
        let Some(slot) = slots.get_mut(&key) else { return };
        // Only the edit itself may silence a slot: what had already left the selection is still told.
        if by_edit && matches!(slot.shown, Shown::Selected { .. }) && matches!(shown, Shown::Deselected { .. }) {
            slot.tombstone = true;
        }
        let differs = match (&slot.shown, &shown) {
            (Shown::Selected { fp: old, .. }, Shown::Selected { fp: new, .. }) => old != new,
            (_, Shown::Unknown)
            | (Shown::Deselected { .. } | Shown::Gone { .. }, Shown::Deselected { .. } | Shown::Gone { .. }) => false,
            (Shown::Selected { .. } | Shown::Deselected { .. } | Shown::Gone { .. } | Shown::Unknown, _) => true,
        };
        if differs {
            // What was about to be told is now part of a later state; what is already under way is not.
            let under_way = slot.is_busy() && slot.sending.is_some_and(|sending| slot.same_event(sending.change));
            if slot.owed_since.is_some() && !under_way {
                desk.totals.merged += 1;
                self.shared.ends.merged += 1;
                self.shared.mark_changed(&id);
            }
            slot.detected_at = now.wall;
            slot.by = by;
        }
        slot.shown = shown;
        subscription.reconsider(&mut self.shared, now, &key);
    }
}

/// How the row's object is called.
pub(super) fn named(row: &Row) -> Named {
    Named { gvk: Arc::clone(&row.gvk), namespace: row.namespace.clone(), name: Arc::clone(&row.name) }
}

impl Subscription {
    /// Decides anew about a slot that holds no permit, and puts it where it belongs.
    pub(super) fn reconsider(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        if slot.is_busy() {
            return;
        }
        if decide(desk, shared, now, key, slot).is_some() {
            enqueue(desk, shared, now, key, slot);
        }
        if let Some(named) = self.forget_if_blank(key) {
            self.reconsider_namesakes(shared, now, key, &named);
        }
    }

    /// Drops a slot that has nothing to remember; returns how its object was called.
    pub(super) fn forget_if_blank(&mut self, key: &ObjectKey) -> Option<Named> {
        if !self.slots.get(key)?.is_blank() {
            return None;
        }
        let mut slot = self.slots.remove(key)?;
        self.desk.note_not_owed(key, &mut slot);
        self.desk.note_unparked(key, &mut slot);
        self.desk.delist(key, &slot.named);
        Some(slot.named)
    }

    /// A slot with another uid and the same name still has to be told as Removed, and somebody is trying to.
    pub(super) fn waits_for_namesake(&self, key: &ObjectKey) -> bool {
        let Some(slot) = self.slots.get(key) else { return false };
        matches!(slot.shown, Shown::Selected { .. })
            && self.desk.others_named(key, &slot.named).iter().any(|other| {
                self.slots.get(other).is_some_and(|other| {
                    let gone = matches!(other.shown, Shown::Gone { .. } | Shown::Deselected { .. });
                    gone && other.parked.is_none() && (other.acked.is_some() || other.sending.is_some())
                })
            })
    }

    /// Something about this object was settled; those of the same name may go on.
    pub(super) fn reconsider_namesakes(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, named: &Named) {
        for other in self.desk.others_named(key, named) {
            self.reconsider(shared, now, &other);
        }
    }
}

/// What is to be told about a slot that holds no permit, if anything. Silent facts are recorded here and now.
pub(super) fn decide(
    desk: &mut Desk,
    shared: &mut Shared,
    now: Now,
    key: &ObjectKey,
    slot: &mut Slot,
) -> Option<Change> {
    let id = desk.plan.id.clone();
    let selected = matches!(slot.shown, Shown::Selected { .. });
    slot.tombstone &= !selected;
    if slot.tombstone {
        drop_silently(desk, shared, now, key, slot);
        return None;
    }
    let mark = match desk.baselines.get(&key.kind) {
        // The kind was given up by an edit, so nothing more will be seen of it. What was gone before is still told.
        None if matches!(slot.shown, Shown::Gone { .. } | Shown::Deselected { .. }) => None,
        None | Some(Baseline::Waiting) => return None,
        Some(Baseline::Open { mark, .. }) => Some(*mark),
        Some(Baseline::Closed) => None,
    };
    let change = match slot.need(mark, 0) {
        Need::Hold => return None,
        Need::Nothing => {
            if slot.parked.is_none() {
                settle(desk, shared, key, slot);
            }
            return None;
        }
        Need::Adopt => {
            adopt(desk, shared, now, key, slot);
            return None;
        }
        Need::Present => change(true, slot.acked.is_some(), slot.sending.map(|sending| sending.change)),
        Need::Absent => Change::Removed,
    };
    let changes = desk.plan.changes;
    match change {
        Change::Removed if !changes.removed || (slot.acked.is_none() && !slot.may_be_known) => {
            drop_silently(desk, shared, now, key, slot);
            return None;
        }
        Change::New if !changes.new => {
            adopt(desk, shared, now, key, slot);
            return None;
        }
        Change::Updated if !changes.updated => {
            adopt(desk, shared, now, key, slot);
            return None;
        }
        Change::New | Change::Updated | Change::Removed => {}
    }
    if slot.parked.is_some() {
        shared.record(now, &id, Fact::Release { object: key.clone() }, false);
        desk.note_unparked(key, slot);
        slot.attempts = 0;
    }
    if slot.attempts > 0 && !slot.same_event(change) {
        // Another event: same deadline, a fresh count.
        slot.attempts = 0;
    }
    if slot.owed_since.is_none() {
        desk.note_owed(key, slot, slot.detected_at);
        shared.mark_changed(&id);
    }
    Some(change)
}

/// Puts a slot that has something to tell into its lane.
pub(super) fn enqueue(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot) {
    if slot.phase != Phase::Idle {
        return;
    }
    if slot.not_before > now.mono {
        slot.phase = Phase::Waiting;
        shared.wake(slot.not_before, &desk.plan.id, Timer::Slot(key.clone()));
        return;
    }
    if desk.retrying.contains(&(slot.not_before, key.clone())) {
        slot.phase = Phase::Due;
        desk.due.push_back(key.clone());
    } else {
        slot.phase = Phase::Queued;
        desk.first.push_back(key.clone());
    }
    shared.ring.enlist(&desk.plan.namespace, &desk.plan.id);
}

pub(super) fn settle(desk: &mut Desk, shared: &mut Shared, key: &ObjectKey, slot: &mut Slot) {
    if slot.owed_since.is_some() {
        shared.mark_changed(&desk.plan.id);
    }
    desk.note_not_owed(key, slot);
    slot.settle();
}

fn adopt(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot) {
    let Shown::Selected { row, fp } = &slot.shown else { return };
    let (rv, fp, version) = (row.rv, *fp, row.version.clone());
    let fact = Fact::Adopt { object: key.clone(), named: slot.named.clone(), rv, fp };
    let seq = shared.record(now, &desk.plan.id, fact, false);
    slot.acked = Some(Acked { seq, rv, fp });
    slot.acked_version = version;
    slot.sending = None;
    desk.note_unparked(key, slot);
    settle(desk, shared, key, slot);
}

/// The endpoint need not be told that the object is gone.
pub(super) fn drop_silently(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot) {
    let of = slot.sending.map(|sending| sending.seq).or(slot.acked.map(|acked| acked.seq));
    if let Some(of) = of {
        shared.ends.dropped += u64::from(slot.owed_since.is_some());
        shared.record(now, &desk.plan.id, Fact::Drop { object: key.clone(), of }, false);
        shared.mark_changed(&desk.plan.id);
    }
    slot.acked = None;
    slot.acked_version = None;
    slot.sending = None;
    slot.may_be_known = false;
    desk.note_unparked(key, slot);
    settle(desk, shared, key, slot);
}
