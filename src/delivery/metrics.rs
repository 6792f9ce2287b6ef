//! What delivery counts. Labels are closed sets: nothing of a subscription, an object or an endpoint is a label, or a
//! tenant could fill the memory of whoever scrapes.
//!
//! Touches nothing. Names are whole (`changehook_…`), so the registry needs no prefix.

use std::fmt;
use std::time::Duration;

use changehook_core::outcome::{Outcome, Reason};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From a change being noticed to its 2xx: retries and outages reach far to the right.
const LATENCY: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// One attempt; ends at the longest timeout there can be.
const ATTEMPT: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// What came of an attempt, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum AttemptOutcome {
    Delivered,
    Unsent,
    Failed(Reason),
}

impl AttemptOutcome {
    fn all() -> impl Iterator<Item = Self> {
        [Self::Delivered, Self::Unsent].into_iter().chain(Reason::ALL.map(Self::Failed))
    }
}

impl From<&Outcome> for AttemptOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered { .. } => Self::Delivered,
            Outcome::Unsent { .. } => Self::Unsent,
            Outcome::Failed(failure) => Self::Failed(failure.reason),
        }
    }
}

impl EncodeLabelValue for AttemptOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Delivered => "Delivered",
            Self::Unsent => "Unsent",
            Self::Failed(reason) => reason.as_str(),
        }
        .encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    outcome: AttemptOutcome,
}

/// How a delivery, all its attempts together, ended for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryEnd {
    /// The endpoint has it.
    Delivered,
    /// Given up for now, because of the endpoint.
    ParkedEndpoint,
    /// Given up for now, because of the event.
    ParkedEvent,
    /// Given up for good, as the subscription asked for.
    Discarded,
    /// A newer state took its place before it was delivered.
    Merged,
    /// There was nothing left to tell: the object never reached the endpoint, or the subscription is gone.
    Dropped,
}

impl DeliveryEnd {
    /// Every end, for the closed set of labels.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::ParkedEndpoint, Self::ParkedEvent, Self::Discarded, Self::Merged, Self::Dropped];

    /// The label's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "Delivered",
            Self::ParkedEndpoint => "ParkedEndpoint",
            Self::ParkedEvent => "ParkedEvent",
            Self::Discarded => "Discarded",
            Self::Merged => "Merged",
            Self::Dropped => "Dropped",
        }
    }
}

impl EncodeLabelValue for DeliveryEnd {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    outcome: DeliveryEnd,
}

/// Delivery's metrics. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    attempts: Family<AttemptLabels, Counter>,
    attempt_duration: Histogram,
    in_flight: Gauge,
    deliveries: Family<DeliveryLabels, Counter>,
    latency: Histogram,
    pending: Gauge,
    retrying: Gauge,
    parked: Gauge,
    objects: Gauge,
    rows_waiting: Gauge,
    rows_merged: Counter,
}

/// An attempt under way; ends when dropped, whatever way that comes.
#[derive(Debug)]
#[must_use = "the attempt counts as under way for as long as this is kept"]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Registers everything, with every label there can be at zero, so that a rate has a beginning.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            attempt_duration: Histogram::new(ATTEMPT),
            in_flight: Gauge::default(),
            deliveries: Family::default(),
            latency: Histogram::new(LATENCY),
            pending: Gauge::default(),
            retrying: Gauge::default(),
            parked: Gauge::default(),
            objects: Gauge::default(),
            rows_waiting: Gauge::default(),
            rows_merged: Counter::default(),
        };
        for outcome in AttemptOutcome::all() {
            drop(metrics.attempts.get_or_create(&AttemptLabels { outcome }));
        }
        for outcome in DeliveryEnd::ALL {
            drop(metrics.deliveries.get_or_create(&DeliveryLabels { outcome }));
        }
        registry.register("changehook_attempts", "Attempts, by what came of them", metrics.attempts.clone());
        registry.register_with_unit(
            "changehook_attempt_duration",
            "Time an attempt took",
            Unit::Seconds,
            metrics.attempt_duration.clone(),
        );
        registry.register("changehook_attempts_in_flight", "Attempts under way", metrics.in_flight.clone());
        registry.register(
            "changehook_deliveries",
            "Deliveries that ended, by how; a parked one goes on later as another delivery",
            metrics.deliveries.clone(),
        );
        registry.register_with_unit(
            "changehook_delivery_latency",
            "Time from noticing a change to the endpoint having it",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register("changehook_pending", "Objects with a change to tell", metrics.pending.clone());
        registry.register("changehook_retrying", "Objects waiting for another attempt", metrics.retrying.clone());
        registry.register("changehook_objects_held", "Objects in the cache", metrics.objects.clone());
        registry.register(
            "changehook_rows_waiting",
            "What the watches reported and was not taken in yet",
            metrics.rows_waiting.clone(),
        );
        registry.register(
            "changehook_rows_merged",
            "States of objects that were not taken in before the next state of the same object was there",
            metrics.rows_merged.clone(),
        );
        registry.register("changehook_parked", "Objects given up for now", metrics.parked.clone());
        metrics
    }

    /// An attempt begins; keep the guard until it ends.
    pub fn begin_attempt(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// An attempt ended. What was not sent took no time of an endpoint's.
    pub fn end_attempt(&self, outcome: &Outcome, took: Duration) {
        self.attempts.get_or_create(&AttemptLabels { outcome: outcome.into() }).inc();
        match outcome {
            Outcome::Delivered { .. } | Outcome::Failed(_) => self.attempt_duration.observe(took.as_secs_f64()),
            Outcome::Unsent { .. } => {}
        }
    }

    /// A delivery ended.
    pub fn end_deliveries(&self, end: DeliveryEnd, how_many: u64) {
        self.deliveries.get_or_create(&DeliveryLabels { outcome: end }).inc_by(how_many);
    }

    /// The endpoint has a change that was noticed `latency` ago.
    pub fn delivered_after(&self, latency: Duration) {
        self.latency.observe(latency.as_secs_f64());
    }

    /// Shows how many objects the cache holds.
    pub fn set_objects_held(&self, objects: u64) {
        self.objects.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// Shows how many reports of the watches wait to be taken in.
    pub fn set_rows_waiting(&self, rows: u64) {
        self.rows_waiting.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Counts rows that a newer one took the place of before they were taken in.
    pub fn merge_rows(&self, rows: u64) {
        self.rows_merged.inc_by(rows);
    }

    /// How many objects, over all subscriptions, have a change to tell, wait for another attempt, are parked.
    pub fn set_backlog(&self, pending: u64, retrying: u64, parked: u64) {
        for (gauge, value) in [(&self.pending, pending), (&self.retrying, retrying), (&self.parked, parked)] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use changehook_core::outcome::{Class, Failure};
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn every_outcome_is_there_from_the_start() {
        let mut registry = Registry::default();
        let _metrics = Metrics::register(&mut registry);
        let text = text(&registry);
        for name in ["Delivered", "Unsent"].into_iter().chain(Reason::ALL.map(Reason::as_str)) {
            assert!(text.contains(&format!("changehook_attempts_total{{outcome=\"{name}\"}} 0\n")), "{name} in {text}");
        }
        for end in DeliveryEnd::ALL {
            let line = format!("changehook_deliveries_total{{outcome=\"{}\"}} 0\n", end.as_str());
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert_eq!(text.matches("changehook_attempts_total{").count(), 2 + Reason::ALL.len());
    }

    #[test]
    fn attempts_count_by_outcome_and_an_unsent_one_took_no_time() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let failure = Failure {
            class: Class::Endpoint,
            reason: Reason::Timeout,
            http_status: None,
            message: "slow".into(),
            retry_after: None,
        };
        metrics.end_attempt(&Outcome::Delivered { status: 204 }, Duration::from_millis(3));
        metrics.end_attempt(&Outcome::Failed(failure), Duration::from_secs(10));
        metrics.end_attempt(&Outcome::Unsent { message: "no key".into() }, Duration::from_secs(1));
        let text = text(&registry);
        for name in ["Delivered", "Timeout", "Unsent"] {
            assert!(text.contains(&format!("changehook_attempts_total{{outcome=\"{name}\"}} 1\n")), "{name} in {text}");
        }
        assert!(text.contains("changehook_attempt_duration_seconds_count 2\n"), "{text}");
    }

    #[test]
    fn an_attempt_is_in_flight_until_its_guard_is_dropped() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let guard = metrics.begin_attempt();
        assert!(text(&registry).contains("changehook_attempts_in_flight 1\n"));
        drop(guard);
        assert!(text(&registry).contains("changehook_attempts_in_flight 0\n"));
    }

    #[test]
    fn the_backlog_and_the_latency_show_what_was_set() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.set_backlog(5, 3, 2);
        metrics.delivered_after(Duration::from_millis(7));
        metrics.end_deliveries(DeliveryEnd::ParkedEvent, 1);
        let text = text(&registry);
        for line in [
            "changehook_pending 5\n",
            "changehook_retrying 3\n",
            "changehook_parked 2\n",
            "changehook_delivery_latency_seconds_count 1\n",
            "changehook_delivery_latency_seconds_bucket{le=\"0.01\"} 1\n",
            "changehook_deliveries_total{outcome=\"ParkedEvent\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
