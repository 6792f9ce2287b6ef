//! From a lane to a request: permits, the write-ahead Sending record, the start.
//!
//! Touches nothing. Invariants: a request leaves only when its Sending record is durable; between declaring and sending
//! the need is looked at again.

use super::breaker::BreakerState;
use super::desk::Desk;
use super::observe::{decide, enqueue};
use super::slot::{GONE, Lane, Permit, Phase, Shown, Slot};
use super::want::{Need, change};
use super::{Attempt, Engine, Shared, Subscription, Timer};
use crate::Now;
use crate::event::Event;
use crate::ledger::{Fact, Sending};
use crate::object::ObjectKey;
use crate::plan::Change;

/// What came of a subscription's turn.
enum Turn {
    /// A permit was taken.
    Started,
    /// Nothing to start, or not now.
    Nothing,
    /// The host's share is used up.
    HostFull,
}

impl Engine {
    /// Starts what permits allow, one subscription after the other.
    pub(super) fn start_what_may(&mut self, now: Now) {
        if self.shared.draining {
            return;
        }
        while !self.shared.ring.is_full() {
            let Some(id) = self.shared.ring.next() else { return };
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            match subscription.take_turn(&mut self.shared, now) {
                Turn::Started => self.shared.ring.enlist(&subscription.desk.plan.namespace, &id),
                Turn::Nothing => {}
                Turn::HostFull => {
                    let plan = &subscription.desk.plan;
                    self.shared.ring.wait_for_host(&plan.host, &plan.namespace, id);
                }
            }
        }
    }

    /// Declared events whose record has become durable are sent, if they are still wanted.
    pub(super) fn send_what_is_declared(&mut self, now: Now) {
        while let Some((seq, ..)) = self.shared.declaring.front()
            && *seq <= self.shared.durable_seq
            && let Some((seq, id, key)) = self.shared.declaring.pop_front()
        {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            let Subscription { slots, desk } = subscription;
            let Some(slot) = slots.get_mut(&key) else { continue };
            let Some(sending) = slot.sending.filter(|s| s.seq == seq && slot.phase == Phase::Declaring) else {
                continue;
            };
            let wanted = match slot.need(desk.mark(&key.kind), 0) {
                Need::Present => sending.change != Change::Removed,
                Need::Absent => sending.change == Change::Removed,
                Need::Hold | Need::Nothing | Need::Adopt => false,
            };
            if wanted && !slot.tombstone && !desk.is_silent() && !self.shared.draining {
                send(desk, &mut self.shared, now, &key, slot);
            } else {
                give_back(desk, &mut self.shared, slot);
                subscription.reconsider(&mut self.shared, now, &key);
            }
        }
    }
}

impl Subscription {
    /// A waiting slot's time has come.
    pub(super) fn fell_due(&mut self, key: &ObjectKey, at: u64) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.phase == Phase::Waiting
            && slot.not_before <= at
        {
            slot.phase = Phase::Due;
            self.desk.due.push_back(key.clone());
        }
    }

    fn take_turn(&mut self, shared: &mut Shared, now: Now) -> Turn {
        let desk = &mut self.desk;
        if desk.is_silent() || desk.paused_until > now.mono {
            return Turn::Nothing;
        }
        if shared.ring.host_is_full(&desk.plan.host) {
            return Turn::HostFull;
        }
        let probe = desk.breaker.may_probe(now.mono);
        let limit = desk.breaker.limit(desk.plan.max_in_flight);
        if probe {
            return self.start_probe(shared, now);
        }
        if desk.in_flight >= limit {
            return Turn::Nothing;
        }
        loop {
            let desk = &mut self.desk;
            let (lane, key) = if desk.retry_has_precedence(limit) {
                (Lane::Retry, desk.due.pop_front())
            } else {
                (Lane::First, desk.first.pop_front())
            };
            let Some(key) = key else { return Turn::Nothing };
            desk.retry_turn = lane == Lane::First;
            if self.begin(shared, now, &key, lane) {
                return Turn::Started;
            }
        }
    }

    /// One owed object at a time is tried while the breaker is open: those that wait for a retry first, then those the
    /// outage parked, in turn, then new ones.
    fn start_probe(&mut self, shared: &mut Shared, now: Now) -> Turn {
        let tries = self.desk.due.len() + self.desk.outage.len() + self.desk.first.len();
        for _ in 0..tries {
            let desk = &mut self.desk;
            let key = if let Some(key) = desk.due.pop_front() {
                key
            } else if let Some(key) = desk.outage.pop_front() {
                desk.outage.push_back(key.clone());
                key
            } else if let Some(key) = desk.first.pop_front() {
                key
            } else {
                return Turn::Nothing;
            };
            if self.begin(shared, now, &key, Lane::Probe) {
                self.desk.breaker.probe_started();
                return Turn::Started;
            }
        }
        Turn::Nothing
    }

    /// Takes a permit for the slot and declares or sends; false if it does not need to after all.
    fn begin(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, lane: Lane) -> bool {
        let blocked = self.waits_for_namesake(key);
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else { return false };
        let listed = match lane {
            Lane::First => slot.phase == Phase::Queued,
            Lane::Retry => slot.phase == Phase::Due,
            Lane::Probe => !slot.is_busy() && (slot.phase != Phase::Idle || slot.parked.is_some()),
        };
        if !listed {
            return false;
        }
        slot.phase = Phase::Idle;
        if blocked {
            return false;
        }
        // A parked slot is probed as it is: the probe is an attempt of the same event, and only its answer releases it.
        let parked = if lane == Lane::Probe { slot.parked.take() } else { None };
        let wanted = match parked {
            Some(_) => parked_change(desk, key, slot),
            None => decide(desk, shared, now, key, slot),
        };
        slot.parked = slot.parked.or(parked);
        let Some(change) = wanted else {
            self.forget_if_blank(key);
            return false;
        };
        desk.in_flight += 1;
        shared.ring.take_permit(&desk.plan.host);
        slot.permit = Some(Permit { host: desk.plan.host.clone(), lane });
        desk.retries_in_flight += u32::from(lane == Lane::Retry);
        shared.mark_changed(&desk.plan.id);
        if slot.same_event(change) && slot.sending.is_some_and(|sending| sending.seq <= shared.durable_seq) {
            refresh_event(desk, now, key, slot);
            send(desk, shared, now, key, slot);
        } else {
            declare(desk, shared, now, key, slot, change);
        }
        true
    }
}

impl Desk {
    /// A quarter of the permits, at least one, is the retries' own; a lone permit serves the lanes in turn.
    fn retry_has_precedence(&self, limit: u32) -> bool {
        if self.due.is_empty() || self.first.is_empty() {
            return self.first.is_empty();
        }
        if limit <= 1 { self.retry_turn } else { self.retries_in_flight < (limit / 4).max(1) }
    }
}

/// What a parked slot wants, if it is still the parked event.
fn parked_change(desk: &Desk, key: &ObjectKey, slot: &Slot) -> Option<Change> {
    let wanted = match slot.need(desk.mark(&key.kind), 0) {
        Need::Present => change(true, slot.acked.is_some(), slot.sending.map(|sending| sending.change)),
        Need::Absent => Change::Removed,
        Need::Hold | Need::Nothing | Need::Adopt => return None,
    };
    slot.same_event(wanted).then_some(wanted)
}

/// Takes the slot's permit away, because it was answered or will not be sent. Returns the lane it came from.
pub(super) fn give_back(desk: &mut Desk, shared: &mut Shared, slot: &mut Slot) -> Option<Lane> {
    let Permit { host, lane } = slot.permit.take()?;
    slot.phase = Phase::Idle;
    desk.in_flight = desk.in_flight.saturating_sub(1);
    match lane {
        Lane::First => {}
        Lane::Retry => desk.retries_in_flight = desk.retries_in_flight.saturating_sub(1),
        Lane::Probe => desk.breaker.probe_abandoned(),
    }
    shared.ring.give_permit(&host);
    shared.ring.enlist(&desk.plan.namespace, &desk.plan.id);
    shared.mark_changed(&desk.plan.id);
    Some(lane)
}

/// The breaker's next probe, or the end of a pause, is worth a look.
pub(super) fn wake_for_breaker(desk: &Desk, shared: &mut Shared) {
    if let BreakerState::Open { next_probe, probing: false } = desk.breaker.state() {
        shared.wake(next_probe, &desk.plan.id, Timer::Subscription);
    }
}

/// Back into its lane after a permit that came to nothing.
pub(super) fn requeue(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot) {
    if decide(desk, shared, now, key, slot).is_some() {
        enqueue(desk, shared, now, key, slot);
    }
}

fn declare(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot, change: Change) {
    let (rv, fp) = match (&slot.shown, change) {
        (Shown::Selected { row, fp }, Change::New | Change::Updated) => (row.rv, *fp),
        (Shown::Selected { .. } | Shown::Deselected { .. } | Shown::Gone { .. } | Shown::Unknown, _) => {
            (slot.shown_rv(), GONE)
        }
    };
    let fact = Fact::Sending { object: key.clone(), named: slot.named.clone(), change, rv, fp };
    let seq = shared.record(now, &desk.plan.id, fact, true);
    slot.sending = Some(Sending { seq, change, rv, fp });
    slot.event = Some(Box::new(event(desk, now, key, slot, change, seq)));
    slot.phase = Phase::Declaring;
    shared.declaring.push_back((seq, desk.plan.id.clone(), key.clone()));
}

fn event(desk: &Desk, now: Now, key: &ObjectKey, slot: &Slot, change: Change, sequence: u64) -> Event {
    Event {
        subscription: desk.plan.id.clone(),
        sequence,
        change,
        subject: slot.subject(key, change),
        previous_version: if change == Change::New { None } else { slot.acked_version.clone() },
        observed_by: slot.by,
        detected_at: slot.detected_at,
        declared_at: now.wall,
    }
}

/// A further attempt tells the current row: same kind, same content, perhaps a later version.
fn refresh_event(desk: &Desk, now: Now, key: &ObjectKey, slot: &mut Slot) {
    let Some(sending) = slot.sending else { return };
    let subject = slot.subject(key, sending.change);
    match &mut slot.event {
        Some(event) if event.sequence == sending.seq => {
            // Removed has the body it was declared with.
            if sending.change != Change::Removed {
                event.subject = subject;
            }
        }
        Some(_) | None => slot.event = Some(Box::new(event(desk, now, key, slot, sending.change, sending.seq))),
    }
}

fn send(desk: &mut Desk, shared: &mut Shared, now: Now, key: &ObjectKey, slot: &mut Slot) {
    if slot.event.is_none() {
        refresh_event(desk, now, key, slot);
    }
    let Some(event) = slot.event.as_deref().cloned() else {
        give_back(desk, shared, slot);
        return;
    };
    if slot.attempts == 0 {
        slot.first_attempt_at = now.mono;
    }
    slot.attempts = slot.attempts.saturating_add(1);
    slot.may_be_known |= event.change != Change::Removed;
    slot.phase = Phase::InFlight;
    let host = desk.plan.host.clone();
    shared.outbox.push_back(Attempt { event, number: slot.attempts, host });
}
