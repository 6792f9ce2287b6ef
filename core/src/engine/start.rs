//! From a line to a request: permits, the write-ahead Sending record, the start.
//!
//! Touches nothing. Invariants: a request leaves only when its Sending record is durable; at the moment it leaves the need
//! is looked at again, and a subscription that was suspended, held or edited meanwhile keeps it.

use std::sync::Arc;

use super::decide::Verdict;
use super::desk::Desk;
use super::fairness::{Gate, late_share};
use super::shared::{Shared, Start};
use super::slot::{Declared, GONE, Lane, Permit, Phase, Shown, Slot};
use super::{Attempt, Engine, ObjectKey, Subscription};
use crate::Now;
use crate::event::Event;
use crate::ledger::{Fact, Sending};
use crate::plan::Change;
use crate::proof::{Mark, Rule, broken, passed};

/// What came of a subscription's turn.
enum Turn {
    /// A permit was taken.
    Started,
    /// Nothing to start, or not now.
    Nothing,
    /// Something might start, but others have all there is.
    Shut(Gate),
    /// Something might be declared, but nothing is left to write with before this; monotonic.
    Poor(u64),
}

impl Engine {
    /// Starts what permits allow, one subscription after the other.
    pub(super) fn start_what_may(&mut self, now: Now) {
        let Self { subscriptions, shared, .. } = self;
        while !shared.draining && !shared.ring.is_full() && shared.journal.may_send(now) {
            let Some((id, gate)) = shared.ring.next() else { return };
            if let Some(subscription) = subscriptions.get_mut(&id) {
                let turn = subscription.take_turn(shared, now);
                let namespace = &subscription.desk.plan.namespace;
                match turn {
                    Turn::Started => shared.ring.enlist(namespace, &id),
                    Turn::Nothing => {}
                    Turn::Shut(gate) => shared.ring.wait(&gate, namespace, &id),
                    Turn::Poor(until) => shared.poor.join(namespace, &id, until),
                }
            }
            shared.ring.turn_is_over(gate);
        }
    }

    /// The slot's record is durable: its request leaves, if it is still wanted.
    pub(super) fn launch(&mut self, now: Now, start: &Start) -> Option<Attempt> {
        let Start { seq, subscription, object: key } = start;
        let subscription = self.subscriptions.get_mut(subscription)?;
        let Subscription { slots, desk } = subscription;
        let slot = slots.get_mut(key)?;
        let sending = slot.sending.filter(|sending| sending.seq == *seq && slot.phase == Phase::Starting)?;
        let wanted = match desk.verdict(key, slot) {
            // What is sent is what was declared, even if the watch has shown more since: that is the next event.
            Verdict::Tell(change) => (change == Change::Removed) == (sending.change == Change::Removed),
            Verdict::Parked => true,
            Verdict::Hold | Verdict::Nothing | Verdict::Adopt | Verdict::Drop => false,
        };
        if (wanted && !desk.is_silent() || broken(Rule::LaunchLooksAgain))
            && !self.shared.draining
            && self.shared.journal.may_send(now)
            && let Some(event) = event(desk, key, slot, sending)
            && let Some(permit) = &slot.permit
        {
            // The plan's host may be another one by now; what comes back with the answer is the permit's.
            let host = Arc::clone(&permit.host);
            let newer = sending.change != Change::Removed && !slot.same_event(sending.change);
            if newer {
                passed(Mark::LaunchedBehind);
            }
            if slot.parked.is_some() {
                passed(Mark::LaunchedParked);
            }
            if slot.attempts == 0 {
                slot.successes_before = desk.breaker.successes();
            }
            slot.attempts = slot.attempts.saturating_add(1);
            slot.phase = Phase::InFlight;
            desk.inherited.remove(key);
            self.shared.mark_changed(desk);
            let attempt = Attempt { event, number: slot.attempts, host };
            if broken(Rule::OneUnderWay) {
                self.shared.give_back(desk, slot);
                slot.forget_subject();
                subscription.reconsider(&mut self.shared, now, key);
            }
            return Some(attempt);
        }
        passed(if wanted { Mark::LaunchSilenced } else { Mark::LaunchWithheld });
        let named = slot.named.clone();
        desk.end_probe(key);
        self.shared.give_back(desk, slot);
        slot.forget_subject();
        if let Some(at) = desk.next_chance(now) {
            self.shared.wake(at, desk);
        }
        subscription.reconsider(&mut self.shared, now, key);
        subscription.reconsider_namesakes(&mut self.shared, now, key, &named);
        None
    }
}

impl Desk {
    /// Something may be declared, and until when there is nothing left to write with for that.
    fn poor_until(&self, shared: &Shared, now: Now) -> Option<u64> {
        if self.first.is_empty() { None } else { shared.journal.declares_not_before(now, &self.plan.namespace) }
    }
}

impl Subscription {
    /// What waited for this moment stands in line now, and the next moment has its alarm.
    pub(super) fn fall_due(&mut self, shared: &mut Shared, now: Now) {
        let Self { slots, desk } = self;
        while let Some((at, _)) = desk.waiting.first()
            && *at <= now.mono
            && let Some((_, key)) = desk.waiting.pop_first()
        {
            if let Some(slot) = slots.get_mut(&key) {
                slot.phase = Phase::Due { place: desk.due.join(&key) };
            }
        }
        if let Some(at) = desk.next_chance(now) {
            shared.wake(at, desk);
        }
    }

    fn take_turn(&mut self, shared: &mut Shared, now: Now) -> Turn {
        let desk = &self.desk;
        let still_stopping = shared.waits_for_predecessors(desk) && !broken(Rule::EarlierLifeEndsFirst);
        if desk.is_silent() || desk.paused_until > now.mono || still_stopping {
            if still_stopping {
                passed(Mark::StillStopping);
            } else if !desk.is_silent() {
                passed(Mark::Paused);
            }
            return Turn::Nothing;
        }
        if let Some(gate) = shared.ring.gate(&desk.plan.host, false) {
            passed(Mark::GateShut);
            return Turn::Shut(gate);
        }
        let late_gate = shared.ring.gate(&desk.plan.host, true);
        if desk.breaker.may_probe(now.mono) {
            return match late_gate {
                Some(gate) if desk.has_something_to_probe() => Turn::Shut(gate),
                Some(_) => Turn::Nothing,
                None => self.start_probe(shared, now),
            };
        }
        let limit = desk.breaker.limit(desk.plan.max_in_flight);
        if desk.in_flight >= limit {
            passed(Mark::LimitReached);
            return Turn::Nothing;
        }
        if desk.in_flight > 0
            && let Some(gate) = shared.ring.gate_to_rest(&desk.plan.host)
        {
            passed(Mark::RestGateShut);
            return Turn::Shut(gate);
        }
        loop {
            let desk = &mut self.desk;
            let retry = !desk.due.is_empty() && desk.retries_in_flight < late_share(limit);
            // Without anything left to write with, only what is declared already goes on.
            let poor_until = desk.poor_until(shared, now);
            let first = !desk.first.is_empty() && poor_until.is_none();
            let (lane, key) = match (first, retry) {
                (false, true) if late_gate.is_some() => {
                    passed(Mark::LateGateShut);
                    if let Some(until) = poor_until {
                        // What is new needs no permit for what is late, but something to write with.
                        shared.poor.join(&desk.plan.namespace, &desk.plan.id, until);
                    }
                    return late_gate.map_or(Turn::Nothing, Turn::Shut);
                }
                (true, true) if late_gate.is_none() && (limit > 1 || desk.retry_turn) => (Lane::Retry, desk.due.pop()),
                (true, _) => (Lane::First, desk.first.pop()),
                (false, true) => (Lane::Retry, desk.due.pop()),
                (false, false) => return poor_until.map_or(Turn::Nothing, Turn::Poor),
            };
            let Some(key) = key else { return Turn::Nothing };
            desk.retry_turn = lane == Lane::First;
            if self.begin(shared, now, &key, lane) {
                return Turn::Started;
            }
        }
    }

    /// One owed object at a time is tried while the breaker is open. Those that wait for a retry, those that the outage
    /// parked and those that were never tried take turns: an endpoint that refuses some of them may take the others.
    fn start_probe(&mut self, shared: &mut Shared, now: Now) -> Turn {
        // Who is tried leaves its line; the parked ones stay, so each has one chance.
        let mut parked = self.desk.outage.len();
        let mut empty = 0;
        while empty < 3 {
            let desk = &mut self.desk;
            desk.probes += 1;
            let key = match desk.probes % 3 {
                0 => desk.due.pop(),
                1 if parked > 0 => {
                    parked -= 1;
                    desk.next_parked()
                }
                1 => None,
                _ if desk.poor_until(shared, now).is_none() => desk.first.pop(),
                _ => None,
            };
            let Some(key) = key else {
                empty += 1;
                continue;
            };
            empty = 0;
            if self.begin(shared, now, &key, Lane::Probe) {
                return Turn::Started;
            }
        }
        self.desk.poor_until(shared, now).map_or(Turn::Nothing, Turn::Poor)
    }

    /// Takes a permit for the slot and declares or sends; false if it does not need to, or may not, after all.
    fn begin(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, lane: Lane) -> bool {
        let blocked = self.waits_for_namesake(key);
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return false };
        if slot.is_busy() {
            return false;
        }
        desk.leave_lines(key, slot);
        if blocked {
            passed(Mark::Blocked);
            return false;
        }
        let change = match desk.verdict(key, slot) {
            Verdict::Tell(change) => Some(change),
            // A parked slot is probed as it is: the probe is an attempt of the same event, and its answer releases it.
            Verdict::Parked if lane == Lane::Probe => match slot.sending {
                Some(sending) => Some(sending.change),
                // Nothing was under way that could be tried; deciding anew would only bring it back here.
                None => return false,
            },
            Verdict::Hold | Verdict::Nothing | Verdict::Parked | Verdict::Adopt | Verdict::Drop => None,
        };
        let Some(change) = change else {
            passed(Mark::NotNeededAfterAll);
            self.reconsider(shared, now, key);
            return false;
        };
        let anew = slot.sending.is_none() || !desk.same_event(slot, change);
        if anew && lane != Lane::First && shared.journal.declares_not_before(now, &desk.plan.namespace).is_some() {
            // What it is now was not declared yet: it waits like all that was not.
            passed(Mark::PoorRetry);
            if slot.parked.is_none() {
                slot.phase = Phase::Queued { place: desk.first.join(key) };
            }
            return false;
        }
        let host = desk.plan.host.clone();
        shared.ring.take_permit(&host, lane.is_late());
        slot.permit = Some(Permit { host, lane, config_hash: desk.plan.config_hash });
        slot.phase = Phase::Starting;
        desk.in_flight += 1;
        match lane {
            Lane::First => {}
            Lane::Retry => {
                passed(Mark::RetryStarted);
                desk.retries_in_flight += 1;
            }
            Lane::Probe => {
                passed(if slot.parked.is_some() { Mark::ProbeOfParked } else { Mark::ProbeStarted });
                desk.probe = Some(key.clone());
                desk.breaker.probe_started();
            }
        }
        shared.mark_changed(desk);
        let seq = match slot.sending {
            Some(sending) if desk.same_event(slot, change) => {
                passed(Mark::SameEventAgain);
                sending.seq
            }
            Some(_) | None => declare(desk, shared, now, key, slot, change),
        };
        hold_subject(now, key, slot, change);
        shared.start(now, desk, key, seq);
        true
    }
}

impl Desk {
    /// The next of those that the outage parked, in turn.
    fn next_parked(&mut self) -> Option<ObjectKey> {
        let after = self.probed.take();
        let next = after.and_then(|after| {
            use std::ops::Bound::{Excluded, Unbounded};
            self.outage.range((Excluded(after), Unbounded)).next()
        });
        self.probed = next.or_else(|| self.outage.first()).cloned();
        self.probed.clone()
    }

    /// There is somebody to try the endpoint with.
    pub fn has_something_to_probe(&self) -> bool {
        !(self.due.is_empty() && self.outage.is_empty() && self.first.is_empty())
    }

    /// If this slot was the probe, there is none now. Returns whether it was.
    pub fn end_probe(&mut self, key: &ObjectKey) -> bool {
        let was_probe = self.probe.as_ref() == Some(key);
        if was_probe {
            self.probe = None;
            self.breaker.probe_ended();
        }
        was_probe
    }
}

/// Records that the event may go out, and returns its sequence.
fn declare(desk: &Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot, change: Change) -> u64 {
    let (rv, fp) = match (&slot.shown, change) {
        (Shown::Selected { rv, fp, .. }, Change::New | Change::Updated) => (*rv, *fp),
        (_, _) => (slot.shown_rv(), GONE),
    };
    let fact = Fact::Sending { object: key.clone(), named: slot.named.clone(), change, rv, fp };
    passed(if slot.sending.is_some() { Mark::DeclaredAnew } else { Mark::Declared });
    let seq = shared.record(now, desk, fact);
    slot.sending = Some(Sending { seq, change, rv, fp });
    slot.pledged = false;
    slot.declared = None;
    seq
}

/// The attempt that is about to start tells what is shown now: the declared content, perhaps in a later version.
fn hold_subject(now: Now, key: &ObjectKey, slot: &mut Slot, change: Change) {
    let subject = Some(slot.subject(key, change));
    if let Some(declared) = &mut slot.declared {
        declared.subject = subject;
        return;
    }
    slot.declared = Some(Box::new(Declared {
        previous_version: if change == Change::New { None } else { slot.acked_version.clone() },
        by: slot.by,
        detected_at: slot.detected_at,
        at: now.wall,
        subject,
    }));
}

fn event(desk: &Desk, key: &ObjectKey, slot: &Slot, sending: Sending) -> Option<Event> {
    let declared = slot.declared.as_deref()?;
    Some(Event {
        subscription: desk.plan.id.clone(),
        sequence: sending.seq,
        change: sending.change,
        subject: if broken(Rule::SentAsDeclared) {
            slot.subject(key, sending.change)
        } else {
            declared.subject.clone()?
        },
        previous_version: declared.previous_version.clone(),
        observed_by: declared.by,
        detected_at: declared.detected_at,
        declared_at: declared.at,
    })
}

impl Slot {
    /// The row is held no longer than it takes to tell it.
    pub fn forget_subject(&mut self) {
        if let Some(declared) = &mut self.declared {
            declared.subject = None;
        }
    }
}
