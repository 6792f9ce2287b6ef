//! What an answer settles: acknowledged, tried again, or given up for now.
//!
//! Touches nothing. Invariants: an error leaves Sending as it is; an acknowledgement speaks of the state that was sent,
//! whatever the watch has shown since; an answer that is not the slot's own gives back a permit and does nothing else.

use super::breaker::Recovery;
use super::decide::{record_end, settle};
use super::desk::LastDelivery;
use super::shared::Shared;
use super::slot::{LastError, Permit, Phase};
use super::{Attempt, Engine, ObjectKey, Subscription};
use crate::Now;
use crate::event::{Subject, event_id};
use crate::ledger::{Acked, Fact};
use crate::outcome::{Class, Failure, Outcome};
use crate::plan::Change;
use crate::proof::{Mark, Rule, broken, passed};

impl Engine {
    /// What came of an attempt. `jitter` is a random number over the whole range.
    pub fn answered(&mut self, now: Now, attempt: &Attempt, outcome: Outcome, jitter: u32) {
        let event = &attempt.event;
        let (gvk, uid) = match &event.subject {
            Subject::Present(row) => (&row.gvk, &row.uid),
            Subject::Absent(identity) => (&identity.gvk, &identity.uid),
        };
        let key = ObjectKey { kind: gvk.group_kind().into(), uid: uid.clone() };
        let own = self.subscriptions.get_mut(&event.subscription).filter(|subscription| {
            subscription.slots.get(&key).is_some_and(|slot| {
                slot.phase == Phase::InFlight && slot.sending.is_some_and(|sending| sending.seq == event.sequence)
            })
        });
        match own {
            Some(subscription) => subscription.settle_answer(&mut self.shared, now, &key, attempt, outcome, jitter),
            None => self.give_back_leftover(attempt),
        }
    }

    /// The subscription was removed while the request was under way; all that is left of it is the permit.
    fn give_back_leftover(&mut self, attempt: &Attempt) {
        let (shared, id) = (&mut self.shared, &attempt.event.subscription);
        let Some(left) = shared.leftover.get_mut(id) else { return };
        passed(Mark::Leftover);
        left.requests -= 1;
        if left.requests == 0 {
            shared.leftover.remove(id);
            for (successor, Subscription { desk, .. }) in &self.subscriptions {
                if desk.predecessors.contains(id) {
                    shared.ring.enlist(&desk.plan.namespace, successor);
                }
            }
        }
        shared.ring.give_permit(&attempt.host, false);
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
        let Some(slot) = slots.get_mut(key) else { return };
        let probe = desk.end_probe(key);
        let permit = shared.give_back(desk, slot);
        let current = permit.is_some_and(|Permit { config_hash, .. }| config_hash == desk.plan.config_hash);
        let named = slot.named.clone();
        slot.forget_subject();
        match outcome {
            Outcome::Unsent { message } => {
                passed(Mark::Unsent);
                slot.attempts = slot.attempts.saturating_sub(1);
                desk.unsent = Some(message);
                desk.paused_until = now.mono + shared.settings.unsent_pause;
            }
            Outcome::Delivered { status } => {
                self.acknowledge(shared, now, key, attempt, status);
                if current {
                    self.endpoint_answered(shared, now, true);
                }
            }
            Outcome::Failed(Failure { http_status: Some(status @ (404 | 410)), .. })
                if attempt.event.change == Change::Removed =>
            {
                passed(Mark::EndUnknown);
                // The endpoint has no such object: that is what Removed is for. It says nothing about its health.
                self.acknowledge(shared, now, key, attempt, status);
            }
            Outcome::Failed(failure) => {
                slot.may_be_known |= attempt.event.change != Change::Removed;
                self.fail(shared, now, key, &failure, Circumstances { probe, current, jitter });
            }
        }
        self.reconsider(shared, now, key);
        self.reconsider_namesakes(shared, now, key, &named);
        if self.desk.owed.is_empty() {
            self.desk.breaker.nothing_waits();
        }
        if let Some(at) = self.desk.next_chance(now) {
            shared.wake(at, &mut self.desk);
        }
    }

    fn acknowledge(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, attempt: &Attempt, status: u16) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        let of = attempt.event.sequence;
        let Some(sending) = slot.sending.take() else { return };
        match &attempt.event.subject {
            Subject::Present(row) => {
                passed(Mark::Delivered);
                // What was declared before the cluster was set back has no version.
                let rv = if sending.rv == 0 { 0 } else { row.rv };
                shared.record(now, desk, Fact::Ack { object: key.clone(), of, rv });
                slot.acked = Some(Acked { seq: of, rv, fp: sending.fp });
                slot.acked_version.clone_from(&row.version);
                slot.may_be_known = true;
            }
            Subject::Absent(_) => {
                passed(Mark::EndDelivered);
                record_end(desk, shared, now, key, slot, of);
                slot.acked_version = None;
            }
        }
        desk.note_unparked(key, slot);
        settle(desk, shared, key, slot);
        desk.unsent = None;
        desk.paused_until = 0;
        desk.totals.delivered += 1;
        shared.ends.delivered += 1;
        let id = &attempt.event.subscription;
        let event_id = event_id(&id.uid, &key.uid, of);
        desk.last_delivery = Some(LastDelivery { at: now.wall, event_id, http_status: status });
        if attempt.event.change != Change::Removed {
            let named = slot.named.clone();
            self.drop_outdated_namesakes(shared, now, key, &named);
        }
    }

    /// The endpoint is there: well, if `well`, or at least able to answer for itself.
    pub(super) fn endpoint_answered(&mut self, shared: &mut Shared, now: Now, well: bool) {
        let max_in_flight = self.desk.plan.max_in_flight;
        let breaker = &mut self.desk.breaker;
        let recovery = if well { breaker.succeeded(max_in_flight) } else { breaker.alive(max_in_flight) };
        match recovery {
            Recovery::Over if broken(Rule::RecoveryReleases) => self.desk.probe = None,
            Recovery::None => {}
            Recovery::Over => {
                // Whatever is under way as a probe is an ordinary attempt from now on.
                self.desk.probe = None;
                self.release(shared, now, self.desk.outage.iter().cloned().collect());
            }
        }
    }

    fn fail(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, failure: &Failure, how: Circumstances) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        let error = LastError { failure: failure.clone(), at: now.wall };
        slot.last_error = Some(Box::new(error.clone()));
        desk.last_error = Some(error);
        desk.unsent = None;
        desk.totals.failed_attempts += 1;
        if !how.current {
            passed(Mark::OldConfiguration);
            // It failed under a configuration that is history: nobody is given up for that.
            slot.attempts = 0;
        }
        match failure.class {
            Class::Endpoint => self.retry(shared, now, key, failure, how),
            Class::Event if how.current => self.refuse(shared, now, key, failure, how.probe),
            Class::Event => {}
        }
    }

    /// The endpoint's trouble: again later, or parked when the attempts are used up.
    fn retry(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, failure: &Failure, how: Circumstances) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return };
        let Circumstances { probe, current, jitter } = how;
        let policy = &desk.plan.retry;
        if current {
            desk.breaker.failed(now.mono, key, slot.attempts, probe, policy);
        }
        if slot.parked.is_some() {
            // A probe of what the outage parked: it stays parked.
            passed(Mark::ProbeFailed);
            return;
        }
        if slot.attempts < policy.attempts() {
            passed(Mark::RetryScheduled);
            let at = now.mono + policy.delay_ms(slot.attempts, jitter, failure.retry_after);
            desk.note_retry(key, slot, at);
            return;
        }
        let poison = !desk.breaker.is_open() && desk.breaker.successes() > slot.successes_before;
        passed(if poison { Mark::Poison } else { Mark::Exhausted });
        if poison {
            self.give_up(shared, now, key, Class::Event);
        } else {
            desk.breaker.exhausted(now.mono, policy);
            self.give_up(shared, now, key, Class::Endpoint);
        }
    }
}

/// Of a failed attempt.
#[derive(Clone, Copy, Debug)]
struct Circumstances {
    /// It was the breaker's probe.
    probe: bool,
    /// It was made under the present configuration.
    current: bool,
    jitter: u32,
}
