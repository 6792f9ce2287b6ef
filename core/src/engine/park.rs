//! Given up, for now or for good, and released: by what, when, and who else it concerns.
//!
//! Touches nothing. Invariants: parking never clears Sending; only who asked for it gives up for good; whatever the outage parked is parked only while the breaker
//! is open, so its end releases it without a human.

use super::decide::{record_end, settle};
use super::desk::Desk;
use super::shared::Shared;
use super::slot::Slot;
use super::{ObjectKey, Subscription};
use crate::Now;
use crate::ledger::{Acked, Fact, Parked, Sending};
use crate::outcome::{Class, Failure, blames_the_endpoint_when_common};
use crate::plan::{Change, OnExhausted};
use crate::proof::{Mark, Rule, broken, passed};

impl Desk {
    pub fn note_parked(&mut self, key: &ObjectKey, slot: &mut Slot, parked: Parked) {
        slot.parked = Some(parked);
        self.parked.insert(key.clone());
        match parked.class {
            Class::Endpoint => {
                self.refused.remove(key);
                self.outage.insert(key.clone());
            }
            Class::Event => {
                if slot.blames_the_endpoint() {
                    self.refused.insert(key.clone());
                }
            }
        }
    }
}

impl Slot {
    /// It was refused in a way that is the endpoint's trouble once it is common.
    pub fn blames_the_endpoint(&self) -> bool {
        self.last_error.as_ref().is_some_and(|error| blames(&error.failure))
    }
}

fn blames(failure: &Failure) -> bool {
    failure.class == Class::Event && failure.http_status.is_some_and(blames_the_endpoint_when_common)
}

impl Subscription {
    /// The delivery has used up its attempts, or was refused.
    pub(super) fn give_up(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, class: Class) {
        match self.desk.plan.policy.on_exhausted {
            OnExhausted::Park => self.park(shared, now, key, class),
            OnExhausted::Discard => self.discard(shared, now, key),
        }
    }

    /// The endpoint is taken to have what was declared, whether it has or not.
    fn discard(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        let Some(Sending { seq, change, rv, fp }) = slot.sending.take() else { return };
        passed(Mark::Discarded);
        match change {
            Change::New | Change::Updated => {
                shared.record(now, desk, Fact::Ack { object: key.clone(), of: seq, rv });
                slot.acked = Some(Acked { seq, rv, fp });
            }
            Change::Removed => {
                record_end(desk, shared, now, key, slot, seq);
            }
        }
        slot.acked_version = None;
        desk.note_unparked(key, slot);
        settle(desk, shared, key, slot);
        desk.totals.discarded += 1;
        shared.ends.discarded += 1;
        shared.mark_changed(desk);
    }

    pub(super) fn park(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, class: Class) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        let Some(sending) = slot.sending else { return };
        passed(match class {
            Class::Endpoint => Mark::ParkedByOutage,
            Class::Event => Mark::ParkedByEvent,
        });
        if slot.parked.is_none() {
            match class {
                Class::Endpoint => shared.ends.parked_endpoint += 1,
                Class::Event => shared.ends.parked_event += 1,
            }
        }
        desk.note_unparked(key, slot);
        let parked = Parked { of: sending.seq, class, config_hash: desk.plan.config_hash };
        let Parked { of, class, config_hash } = parked;
        if !broken(Rule::ParksAreRecorded) {
            shared.record(now, desk, Fact::Park { object: key.clone(), of, class, config_hash });
        }
        if broken(Rule::ParkedIsUnanswered) {
            slot.sending = None;
        }
        desk.note_not_owed(key, slot);
        desk.note_parked(key, slot, parked);
        shared.mark_changed(desk);
    }

    /// These are given another chance, from attempt 1.
    pub(super) fn release(&mut self, shared: &mut Shared, now: Now, keys: Vec<ObjectKey>) {
        for key in keys {
            let Self { slots, desk } = self;
            let Some(slot) = slots.get_mut(&key) else { continue };
            shared.record(now, desk, Fact::Release { object: key.clone() });
            desk.note_unparked(&key, slot);
            passed(if slot.is_busy() { Mark::ReleasedUnderWay } else { Mark::Released });
            if slot.is_busy() {
                slot.attempts = 1;
                slot.successes_before = desk.breaker.successes();
                desk.note_owed(&key, slot, slot.detected_at);
            } else {
                slot.attempts = 0;
                self.reconsider(shared, now, &key);
            }
        }
    }

    /// The endpoint's configuration or its Secrets changed: the outage is history, everything parked gets another chance,
    /// and what waits for a retry goes at once, from attempt 1.
    pub(super) fn start_afresh(&mut self, shared: &mut Shared, now: Now) {
        passed(Mark::Afresh);
        self.desk.breaker.forget_outage();
        self.desk.probe = None;
        self.desk.last_error = None;
        self.desk.unsent = None;
        self.release(shared, now, self.desk.parked.iter().cloned().collect());
        let waiting: Vec<ObjectKey> = self.desk.retrying.iter().map(|(_, key)| key.clone()).collect();
        for key in waiting {
            let Self { slots, desk } = self;
            let Some(slot) = slots.get_mut(&key).filter(|slot| !slot.is_busy()) else { continue };
            passed(Mark::RetryCutShort);
            desk.forget_retry(&key, slot);
            slot.attempts = 0;
            self.reconsider(shared, now, &key);
        }
    }

    /// This event's trouble: parked until something about it changes.
    pub(super) fn refuse(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, failure: &Failure, probe: bool) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get(key) else { return };
        desk.breaker.count_failure();
        if !blames(failure) {
            passed(Mark::RefusedAlone);
            self.give_up(shared, now, key, Class::Event);
            if failure.http_status.is_some() {
                self.endpoint_answered(shared, now, false);
            }
            return;
        }
        if !desk.breaker.refused(now.mono, key, slot.attempts, probe, &desk.plan.retry) {
            passed(Mark::RefusedRarely);
            self.give_up(shared, now, key, Class::Event);
            return;
        }
        passed(Mark::RefusedByAll);
        // So many are refused that it is the endpoint: those parked as their own fault wait for its recovery, too.
        let refused: Vec<ObjectKey> = desk.refused.iter().cloned().collect();
        self.give_up(shared, now, key, Class::Endpoint);
        for other in refused {
            self.park(shared, now, &other, Class::Endpoint);
        }
    }
}
