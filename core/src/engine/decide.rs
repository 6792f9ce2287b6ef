//! What is done about a slot: into a line, a silent record, or nothing.
//!
//! Touches nothing. Invariants: [`Desk::verdict`] is the only reading of a slot's need and changes nothing;
//! [`Subscription::reconsider`] is the only place where a verdict becomes a place in a line or a silent record.

use super::desk::{Baseline, Desk};
use super::recipe::rewrite;
use super::shared::Shared;
use super::slot::{Phase, Room, Shown, Slot};
use super::want::{Need, change};
use super::{ObjectKey, Subscription};
use crate::Now;
use crate::ledger::{Acked, Fact, Named};
use crate::plan::Change;
use crate::proof::{Mark, Rule, broken, passed};

/// What is to be done about a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Too little is known; what is owed stays owed.
    Hold,
    /// The endpoint has it.
    Nothing,
    /// The endpoint does not have it, but this very event was given up for now.
    Parked,
    /// Take it as known.
    Adopt,
    /// The endpoint need not be told that it is gone.
    Drop,
    /// Tell it.
    Tell(Change),
}

impl Desk {
    pub fn verdict(&self, key: &ObjectKey, slot: &Slot) -> Verdict {
        if slot.tombstone {
            passed(Mark::TombstoneDropped);
            return Verdict::Drop;
        }
        if slot.room == Room::Awaited && slot.is_selected() {
            passed(Mark::RoomAwaited);
            return Verdict::Hold;
        }
        let mark = match self.baselines.get(&key.kind) {
            Some(Baseline::Waiting { .. }) => {
                passed(Mark::BaselineWaits);
                return Verdict::Hold;
            }
            Some(Baseline::Open { mark, .. }) => Some(*mark),
            // A kind that is not watched any more has nothing but ends to tell.
            Some(Baseline::Closed) if broken(Rule::ClosedAdoptsNothing) => Some(u64::MAX),
            Some(Baseline::Closed) | None => None,
        };
        let change = match slot.need(mark, self.resync) {
            Need::Hold => return Verdict::Hold,
            Need::Nothing if slot.parked.is_some() => return Verdict::Parked,
            Need::Nothing if slot.pledged => {
                passed(Mark::PledgeDropped);
                return Verdict::Drop;
            }
            Need::Nothing => return Verdict::Nothing,
            Need::Adopt => return Verdict::Adopt,
            // Without Updated, what is told again is told as what it was.
            Need::Present if !self.plan.changes.updated && self.is_before_resync(slot) => {
                passed(Mark::ToldAgainAsNew);
                Change::New
            }
            Need::Present => change(true, slot.acked.is_some(), slot.sending.map(|sending| sending.change)),
            Need::Absent => Change::Removed,
        };
        let changes = self.plan.changes;
        match change {
            _ if broken(Rule::UnsubscribedIsAbsorbed) => Verdict::Tell(change),
            Change::Removed if !changes.removed || (slot.was_never_told() && !broken(Rule::NeverToldIsDropped)) => {
                passed(if changes.removed { Mark::NeverToldDropped } else { Mark::EndAbsorbed });
                Verdict::Drop
            }
            Change::New if !changes.new => {
                passed(Mark::NewAbsorbed);
                Verdict::Adopt
            }
            Change::Updated if !changes.updated => {
                passed(Mark::UpdatedAbsorbed);
                Verdict::Adopt
            }
            Change::New | Change::Updated | Change::Removed => Verdict::Tell(change),
        }
    }
}

impl Subscription {
    /// Decides anew about a slot that holds no permit, and puts it where it belongs.
    pub(super) fn reconsider(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        if slot.is_busy() {
            return;
        }
        rewrite(desk, shared, now, key, slot);
        let verdict = desk.verdict(key, slot);
        match desk.admit(shared, key, slot, verdict) {
            Verdict::Hold => desk.leave_lines(key, slot),
            Verdict::Parked => {
                desk.leave_lines(key, slot);
                // It may be what the next probe is made with.
                shared.ring.enlist(&desk.plan.namespace, &desk.plan.id);
            }
            Verdict::Nothing => settle(desk, shared, key, slot),
            Verdict::Adopt => adopt(desk, shared, now, key, slot),
            Verdict::Drop => drop_silently(desk, shared, now, key, slot),
            Verdict::Tell(change) => owe(desk, shared, now, key, slot, change),
        }
        if slot.is_blank()
            && let Some(named) = self.forget_if_blank(shared, key)
        {
            self.reconsider_namesakes(shared, now, key, &named);
        }
    }

    /// Drops a slot that has nothing to remember; returns how its object was called.
    pub(super) fn forget_if_blank(&mut self, shared: &mut Shared, key: &ObjectKey) -> Option<Named> {
        if !self.slots.get(key)?.is_blank() {
            return None;
        }
        let mut slot = self.slots.remove(key)?;
        if let Shown::Gone { rv } | Shown::Deselected { rv } = slot.shown {
            self.desk.ended.note(key.clone(), rv);
        }
        self.desk.note_not_owed(key, &mut slot);
        self.desk.note_unparked(key, &mut slot);
        self.desk.give_room(shared, key, &mut slot);
        self.desk.delist(key, &slot.named);
        Some(slot.named)
    }
}

/// The slot has `change` to tell; into its line, unless it stands there already.
fn owe(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot, change: Change) {
    if slot.parked.is_some() {
        // Another kind or content is wanted than the one that was given up.
        passed(Mark::ReleasedByChange);
        shared.record(now, desk, Fact::Release { object: key.clone() });
        desk.note_unparked(key, slot);
        slot.attempts = 0;
    }
    if !desk.same_event(slot, change) {
        // Another event than the one that failed: same deadline, a fresh count.
        slot.attempts = 0;
    }
    if slot.owed_since.is_none() {
        desk.note_owed(key, slot, slot.detected_at);
        shared.mark_changed(desk);
    }
    if slot.phase != Phase::Idle {
        return;
    }
    if slot.not_before > now.mono {
        passed(Mark::RetryWaits);
        slot.phase = Phase::Waiting;
        desk.waiting.insert((slot.not_before, key.clone()));
        shared.wake(slot.not_before, desk);
        return;
    }
    slot.phase = if slot.is_retrying() {
        passed(Mark::RetryRejoined);
        Phase::Due { place: desk.due.join(key) }
    } else {
        Phase::Queued { place: desk.first.join(key) }
    };
    shared.ring.enlist(&desk.plan.namespace, &desk.plan.id);
}

/// The endpoint is up to date; forgets the delivery, not what is durable.
pub(super) fn settle(desk: &mut Desk, shared: &mut Shared, key: &ObjectKey, slot: &mut Slot) {
    if slot.owed_since.is_some() {
        shared.mark_changed(desk);
    }
    desk.note_not_owed(key, slot);
    desk.inherited.remove(key);
    slot.attempts = 0;
    slot.declared = None;
    slot.last_error = None;
}

/// The endpoint knows that the object is gone; if it is back by now and an edit has met it, that it is owed as New.
pub(super) fn record_end(desk: &Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot, of: u64) {
    shared.record(now, desk, Fact::Drop { object: key.clone(), of });
    if slot.pledged {
        passed(Mark::PledgeRenewed);
        shared.record(now, desk, Fact::Owe { object: key.clone(), named: slot.named.clone() });
    }
    slot.acked = None;
    slot.may_be_known = false;
}

/// The row is taken as known without being told.
fn adopt(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot) {
    let Shown::Selected { row, rv, fp } = &slot.shown else { return };
    let (rv, fp, version) = (*rv, *fp, row.version.clone());
    passed(Mark::Adopted);
    let fact = Fact::Adopt { object: key.clone(), named: slot.named.clone(), rv, fp };
    let seq = shared.record(now, desk, fact);
    if let Some(Baseline::Open { closes_at_seq, .. }) = desk.baselines.get_mut(&key.kind) {
        *closes_at_seq = seq;
    }
    slot.acked = Some(Acked { seq, rv, fp });
    slot.acked_version = version;
    slot.sending = None;
    slot.pledged = false;
    desk.note_unparked(key, slot);
    settle(desk, shared, key, slot);
    shared.mark_changed(desk);
}

/// The endpoint need not be told that the object is gone.
pub(super) fn drop_silently(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot) {
    let of = slot.sending.map(|sending| sending.seq).or(slot.acked.map(|acked| acked.seq));
    if let Some(of) = of.or(slot.pledged.then_some(0)) {
        shared.record(now, desk, Fact::Drop { object: key.clone(), of });
    }
    shared.ends.dropped += u64::from(slot.owed_since.is_some() || slot.parked.is_some());
    shared.mark_changed(desk);
    slot.acked = None;
    slot.acked_version = None;
    slot.sending = None;
    slot.may_be_known = false;
    slot.tombstone = false;
    slot.pledged = false;
    desk.note_unparked(key, slot);
    settle(desk, shared, key, slot);
}
