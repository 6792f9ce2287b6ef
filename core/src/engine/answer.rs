//! What an answer settles: acknowledged, tried again, or given up for now.
//!
//! Touches nothing. Invariants: an error leaves Sending as it is; an acknowledgement speaks of the state that was sent,
//! whatever the watch has shown since.

use super::breaker::Recovery;
use super::declare::{give_back, requeue, wake_for_breaker};
use super::desk::{Desk, LastDelivery};
use super::observe::settle;
use super::slot::{Lane, LastError, Slot};
use super::{Attempt, Engine, Shared, Subscription, Timer};
use crate::Now;
use crate::event::{Subject, event_id};
use crate::ledger::{Acked, Fact, Parked};
use crate::object::ObjectKey;
use crate::outcome::{Class, Failure, Outcome, blames_the_endpoint_when_common};
use crate::plan::Change;

impl Engine {
    /// What came of an attempt. `jitter` is a random number over the whole range.
    pub fn answered(&mut self, now: Now, attempt: &Attempt, outcome: Outcome, jitter: u32) {
        let Attempt { event, number: _, host } = attempt;
        let (gvk, uid) = match &event.subject {
            Subject::Present(row) => (&row.gvk, &row.uid),
            Subject::Absent(identity) => (&identity.gvk, &identity.uid),
        };
        let key = ObjectKey { kind: gvk.group_kind().into(), uid: uid.clone() };
        let Some(subscription) = self.subscriptions.get_mut(&event.subscription) else {
            // The subscription went while the request was under way; all that is left of it is the permit.
            self.shared.ring.give_permit(host);
            return;
        };
        subscription.settle_answer(&mut self.shared, now, &key, attempt, outcome, jitter);
    }
}

impl Subscription {
    fn settle_answer(
        &mut self,
        shared: &mut Shared,
        now: Now,
        key: &ObjectKey,
        attempt: &Attempt,
        outcome: Outcome,
        jitter: u32,
    ) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else {
            shared.ring.give_permit(&attempt.host);
            return;
        };
        let probe = give_back(desk, shared, slot) == Some(Lane::Probe);
        let named = slot.named.clone();
        match outcome {
            Outcome::Delivered { status } => self.acknowledge(shared, now, key, attempt, status),
            Outcome::Failed(Failure { http_status: Some(status @ (404 | 410)), .. })
                if attempt.event.change == Change::Removed =>
            {
                // The endpoint has no such object: that is what Removed is for.
                self.acknowledge(shared, now, key, attempt, status);
            }
            Outcome::Failed(failure) => {
                desk.totals.failed_attempts += 1;
                let error = LastError { failure: failure.clone(), at: now.wall };
                slot.last_error = Some(Box::new(error.clone()));
                desk.last_error = Some(error);
                match failure.class {
                    Class::Endpoint => self.retry(shared, now, key, probe, &failure, jitter),
                    Class::Event => self.refuse(shared, now, key, &failure),
                }
            }
            Outcome::Unsent { message } => {
                slot.attempts = slot.attempts.saturating_sub(1);
                desk.unsent = Some(message);
                desk.paused_until = now.mono + shared.settings.unsent_pause;
                shared.wake(desk.paused_until, &desk.plan.id, Timer::Subscription);
                wake_for_breaker(desk, shared);
                requeue(desk, shared, now, key, slot);
            }
        }
        self.reconsider_namesakes(shared, now, key, &named);
        self.forget_if_blank(key);
    }

    fn acknowledge(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, attempt: &Attempt, status: u16) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        let of = attempt.event.sequence;
        if let Some(sending) = slot.sending.filter(|sending| sending.seq == of) {
            match &attempt.event.subject {
                Subject::Present(row) => {
                    shared.record(now, &desk.plan.id, Fact::Ack { object: key.clone(), of, rv: row.rv }, false);
                    slot.acked = Some(Acked { seq: of, rv: row.rv, fp: sending.fp });
                    slot.acked_version.clone_from(&row.version);
                }
                Subject::Absent(_) => {
                    shared.record(now, &desk.plan.id, Fact::Drop { object: key.clone(), of }, false);
                    slot.acked = None;
                    slot.acked_version = None;
                    slot.may_be_known = false;
                }
            }
            slot.sending = None;
        }
        desk.note_unparked(key, slot);
        settle(desk, shared, key, slot);
        desk.unsent = None;
        desk.totals.delivered += 1;
        shared.ends.delivered += 1;
        let id = &attempt.event.subscription;
        let event_id = event_id(&id.uid, &key.uid, of);
        desk.last_delivery = Some(LastDelivery { at: now.wall, event_id, http_status: status });
        shared.mark_changed(id);
        let named = slot.named.clone();
        if attempt.event.change != Change::Removed {
            self.drop_parked_namesakes(shared, now, key, &named);
        }
        self.endpoint_answered(shared, now);
        self.reconsider(shared, now, key);
    }

    /// The endpoint knows a newer object of that name: a Removed of an older one, given up before, would only confuse it.
    fn drop_parked_namesakes(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, named: &crate::ledger::Named) {
        for other in self.desk.others_named(key, named) {
            let Some(slot) = self.slots.get_mut(&other) else { continue };
            let removed = slot.sending.is_some_and(|sending| sending.change == Change::Removed);
            if slot.parked.is_some() && removed && !slot.is_busy() {
                super::observe::drop_silently(&mut self.desk, shared, now, &other, slot);
            }
            self.forget_if_blank(&other);
        }
    }

    fn endpoint_answered(&mut self, shared: &mut Shared, now: Now) {
        let max_in_flight = self.desk.plan.max_in_flight;
        match self.desk.breaker.answered(now.mono, max_in_flight) {
            Recovery::None => {}
            Recovery::Over => {
                let outage = |slot: &Slot| slot.parked.is_some_and(|parked| parked.class == Class::Endpoint);
                self.release_parked(shared, now, outage);
            }
        }
    }

    /// The endpoint's trouble: again later, or parked when the attempts are used up.
    fn retry(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, probe: bool, failure: &Failure, jitter: u32) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        let policy = desk.plan.retry.clone();
        desk.breaker.failed(now.mono, key, slot.attempts, probe, &policy);
        if slot.parked.is_some() {
            // A probe of what the outage parked: it stays parked.
            wake_for_breaker(desk, shared);
            return;
        }
        if slot.attempts >= policy.attempts() {
            let poison = desk.breaker.succeeded_since(slot.first_attempt_at);
            let class = if poison { Class::Event } else { Class::Endpoint };
            if !poison {
                desk.breaker.exhausted(now.mono, &policy);
            }
            park(desk, shared, now, key, slot, class);
        } else {
            let at = now.mono + policy.delay_ms(slot.attempts, jitter, failure.retry_after);
            desk.note_retry(key, slot, at);
        }
        wake_for_breaker(desk, shared);
        requeue(desk, shared, now, key, slot);
    }

    /// This event's trouble: parked until something about it changes.
    fn refuse(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, failure: &Failure) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        let blames = failure.http_status.is_some_and(blames_the_endpoint_when_common);
        desk.note_unparked(key, slot);
        if blames && desk.breaker.refused(key) {
            // So many are refused that it is the endpoint: what was parked as their own fault waits for its recovery.
            park(desk, shared, now, key, slot, Class::Endpoint);
            let policy = desk.plan.retry.clone();
            let attempt = slot.attempts;
            desk.breaker.failed(now.mono, key, attempt, false, &policy);
            desk.breaker.exhausted(now.mono, &policy);
            self.blame_the_endpoint(shared, now);
            wake_for_breaker(&self.desk, shared);
        } else {
            park(desk, shared, now, key, slot, Class::Event);
            if blames {
                wake_for_breaker(desk, shared);
            } else if failure.http_status.is_some() {
                self.endpoint_answered(shared, now);
            }
        }
        self.reconsider(shared, now, key);
    }

    fn blame_the_endpoint(&mut self, shared: &mut Shared, now: Now) {
        let keys: Vec<ObjectKey> = self.desk.parked.iter().cloned().collect();
        for key in keys {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            let status = slot.last_error.as_ref().and_then(|error| error.failure.http_status);
            let own_fault = slot.parked.is_some_and(|parked| parked.class == Class::Event);
            if own_fault && !slot.is_busy() && status.is_some_and(blames_the_endpoint_when_common) {
                park(&mut self.desk, shared, now, &key, slot, Class::Endpoint);
            }
        }
    }
}

fn park(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot, class: Class) {
    let Some(sending) = slot.sending else { return };
    match class {
        Class::Endpoint => shared.ends.parked_endpoint += 1,
        Class::Event => shared.ends.parked_event += 1,
    }
    let config_hash = desk.plan.config_hash;
    let fact = Fact::Park { object: key.clone(), of: sending.seq, class, config_hash };
    shared.record(now, &desk.plan.id, fact, false);
    slot.parked = Some(Parked { of: sending.seq, class, config_hash });
    desk.note_not_owed(key, slot);
    slot.not_before = 0;
    desk.parked.insert(key.clone());
    if class == Class::Endpoint && !desk.outage.contains(key) {
        desk.outage.push_back(key.clone());
    }
    shared.mark_changed(&desk.plan.id);
}
