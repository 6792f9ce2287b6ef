//! What the status and the metrics are told.
//!
//! Touches nothing. Invariant: taking a view costs as much as it shows, not as much as there is.

use std::sync::Arc;

use super::breaker::BreakerState;
use super::capacity::Limit;
use super::desk::{Desk, LastDelivery, Totals};
use super::slot::{LastError, Slot};
use super::{Engine, Subscription};
use crate::Now;
use crate::event::event_id;
use crate::ledger::{Loss, Named};
use crate::object::ObjectKey;
use crate::plan::{Change, OnLoss, Requests, SubscriptionId};

/// How many retries and parked events are shown one by one.
pub const SAMPLES: usize = 16;

/// One subscription as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The generation of the plan in force.
    pub generation: i64,
    /// Objects of which something is recorded.
    pub entries: u64,
    /// The highest sequence that is durable, over all subscriptions.
    pub sequence: u64,
    /// When the last commit became durable; milliseconds since the Unix epoch, as all times here.
    pub last_commit: Option<i64>,
    /// When every baseline was closed for the first time.
    pub baseline_at: Option<i64>,
    /// Every baseline is closed: the promises hold from here on.
    pub live: bool,
    /// Objects the endpoint is behind on, parked ones not counted.
    pub pending: u64,
    /// Requests under way or about to be.
    pub in_flight: u32,
    /// Of the pending, those that failed at least once, or were unanswered when this process took over.
    pub retrying: u64,
    /// Given up for now.
    pub parked: u64,
    /// Since when the longest waiting one waits.
    pub oldest_pending: Option<i64>,
    /// Since when `totals` are counted.
    pub since: i64,
    /// Counts.
    pub totals: Totals,
    /// The last acknowledged event.
    pub last_delivery: Option<LastDelivery>,
    /// The endpoint as a whole.
    pub endpoint: EndpointView,
    /// What of ours was missing when an attempt was about to be made.
    pub unsent: Option<String>,
    /// The soonest retries.
    pub retries: Vec<RetryView>,
    /// Some of the parked.
    pub parked_samples: Vec<RetryView>,
    /// The requests to be told again that were done.
    pub requests: Option<Requests>,
    /// What was known is lost, and not made up for yet.
    pub loss: Option<LossView>,
    /// The same, kept by whoever takes views until this process ends: a loss may be made up for before anybody looks.
    pub last_loss: Option<LossView>,
    /// The store will never take what is to be committed, and why; known to whoever commits.
    pub refused: Option<Arc<str>>,
    /// Everything that existed when all lists were complete is told, or given up.
    pub caught_up: bool,
    /// Commits do not succeed, so nothing is sent.
    pub commits_stalled: bool,
    /// The ledger has no room for some of what is selected.
    pub crowd: Option<CrowdView>,
}

/// A loss that is being made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossView {
    /// How it was noticed.
    pub loss: Loss,
    /// When.
    pub since: i64,
    /// What is done about it.
    pub policy: OnLoss,
}

/// More is selected than the ledger may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrowdView {
    /// Objects that are held for want of room.
    pub held: u64,
    /// The limit that is reached.
    pub limit: Limit,
}

/// The endpoint as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Whether requests may go.
    pub breaker: BreakerState,
    /// It has answered well since its configuration was last changed.
    pub answered: bool,
    /// Failed attempts since the last good answer.
    pub consecutive_failures: u32,
    /// The attempts of the outage so far, while there is one.
    pub attempt: Option<u32>,
    /// When the next probe goes, while the breaker is open.
    pub next_attempt: Option<i64>,
    /// The last failure, until the endpoint answers well again.
    pub last_error: Option<LastError>,
}

/// One event that was not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryView {
    /// Its id, once it is declared.
    pub event_id: Option<String>,
    /// Its kind, once it is declared.
    pub change: Option<Change>,
    /// The object's names.
    pub named: Named,
    /// The object's uid.
    pub uid: Arc<str>,
    /// Attempts made.
    pub attempt: u32,
    /// When the next one may go; `None` while parked, and while one is under way.
    pub next_attempt: Option<i64>,
    /// What failed last.
    pub last_error: Option<LastError>,
}

/// Counts over all subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// See [`View::pending`].
    pub pending: u64,
    /// See [`View::retrying`].
    pub retrying: u64,
    /// See [`View::parked`].
    pub parked: u64,
    /// See [`View::in_flight`].
    pub in_flight: u64,
}

/// How deliveries ended, counted since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Acknowledged.
    pub delivered: u64,
    /// Given up until the outage ends.
    pub parked_endpoint: u64,
    /// Given up until something about the event changes.
    pub parked_event: u64,
    /// Told as part of a later change.
    pub merged: u64,
    /// Given up for good.
    pub discarded: u64,
    /// The endpoint did not need to be told after all.
    pub dropped: u64,
}

impl Engine {
    /// How deliveries ended so far.
    pub fn ends(&self) -> Ends {
        self.shared.ends
    }

    /// Subscriptions that have given something up for now.
    pub fn with_parked(&self) -> impl Iterator<Item = &SubscriptionId> {
        self.subscriptions.iter().filter(|(_, subscription)| !subscription.desk.parked.is_empty()).map(|(id, _)| id)
    }

    /// What is lost and not made up for yet. Costs as much as there is of it, which is nothing as a rule.
    pub fn losses(&self) -> impl Iterator<Item = (&SubscriptionId, LossView)> {
        let recovering = self.shared.recovering.iter();
        recovering.filter_map(|id| Some((id, self.subscriptions.get(id)?.desk.lost?)))
    }

    /// One subscription, as of now.
    pub fn view(&self, now: Now, id: &SubscriptionId) -> Option<View> {
        let Subscription { slots, desk } = self.subscriptions.get(id)?;
        let probe_at = match desk.breaker.state() {
            BreakerState::Open { next_probe, .. } => Some(next_probe),
            BreakerState::Closed | BreakerState::HalfOpen { .. } => None,
        };
        let inherited = desk.inherited.iter().filter_map(|key| Some(retry_view(id, key, slots.get(key)?, None)));
        let retries = desk
            .retrying
            .iter()
            .take(SAMPLES)
            .filter_map(|(at, key)| {
                let slot = slots.get(key)?;
                let at = probe_at.map_or(*at, |probe| probe.max(*at));
                Some(retry_view(id, key, slot, Some(now.wall_at(at)).filter(|_| !slot.is_busy())))
            })
            .chain(inherited)
            .take(SAMPLES)
            .collect();
        let parked_samples = desk
            .parked
            .iter()
            .take(SAMPLES)
            .filter_map(|key| Some(retry_view(id, key, slots.get(key)?, None)))
            .collect();
        Some(View {
            generation: desk.plan.generation,
            entries: desk.admitted,
            sequence: self.durable_sequence(),
            last_commit: self.shared.journal.last_commit(),
            baseline_at: desk.baseline_at,
            live: desk.all_live(),
            pending: desk.owed.len() as u64,
            in_flight: desk.in_flight,
            retrying: desk.retrying_count(),
            parked: desk.parked.len() as u64,
            oldest_pending: desk.owed.first().map(|(since, _)| *since),
            since: desk.since,
            totals: desk.totals,
            last_delivery: desk.last_delivery.clone(),
            endpoint: EndpointView {
                breaker: desk.breaker.state(),
                answered: desk.breaker.is_proven(),
                consecutive_failures: desk.breaker.consecutive_failures(),
                attempt: Some(desk.breaker.step()).filter(|step| *step > 0),
                next_attempt: probe_at.or_else(|| desk.retrying.first().map(|(at, _)| *at)).map(|at| now.wall_at(at)),
                last_error: desk.last_error.clone().filter(|_| desk.breaker.consecutive_failures() > 0),
            },
            unsent: desk.unsent.clone(),
            retries,
            parked_samples,
            requests: self.shared.journal.is_durable(desk.requests.0).then(|| desk.requests.1.clone()),
            loss: desk.lost,
            last_loss: desk.lost,
            refused: None,
            caught_up: desk.has_caught_up(),
            commits_stalled: self.shared.journal.is_stalled(now),
            crowd: self.crowd_view(desk),
        })
    }

    /// Never ahead of the ledger: the next leader takes it as proof of what the ledger has to hold.
    fn durable_sequence(&self) -> u64 {
        let durable = self.shared.journal.durable();
        if durable > self.claimed.base { durable } else { self.claimed.durable }
    }

    fn crowd_view(&self, desk: &Desk) -> Option<CrowdView> {
        let held = desk.crowd.len() as u64;
        desk.limit_reached(&self.shared).filter(|_| held > 0).map(|limit| CrowdView { held, limit })
    }

    /// Counts over all subscriptions.
    pub fn gauges(&self) -> Gauges {
        self.subscriptions.values().fold(Gauges::default(), |sum, Subscription { desk, .. }| Gauges {
            pending: sum.pending + desk.owed.len() as u64,
            retrying: sum.retrying + desk.retrying_count(),
            parked: sum.parked + desk.parked.len() as u64,
            in_flight: sum.in_flight + u64::from(desk.in_flight),
        })
    }
}

impl Desk {
    fn retrying_count(&self) -> u64 {
        (self.retrying.len() + self.inherited.len()) as u64
    }
}

fn retry_view(id: &SubscriptionId, key: &ObjectKey, slot: &Slot, next_attempt: Option<i64>) -> RetryView {
    RetryView {
        event_id: slot.sending.map(|sending| event_id(&id.uid, &key.uid, sending.seq)),
        change: slot.sending.map(|sending| sending.change),
        named: slot.named.clone(),
        uid: key.uid.clone(),
        attempt: slot.attempts,
        next_attempt,
        last_error: slot.last_error.as_deref().cloned(),
    }
}

#[cfg(feature = "proof")]
impl Engine {
    /// Forgets what is only ever shown, so that a search does not tell apart engines that do the same from here on.
    pub fn forget_what_is_only_shown(&mut self) {
        self.shared.ends = Ends::default();
        self.shared.journal.forget_last_commit();
        while self.next_changed().is_some() {}
        for Subscription { desk, .. } in self.subscriptions.values_mut() {
            desk.totals = Totals::default();
            desk.last_delivery = None;
        }
    }
}
