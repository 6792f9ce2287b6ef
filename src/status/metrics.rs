//! What the status writer counts.
//!
//! Touches nothing. Invariant: labels are closed sets.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// It was written.
    Written,
    /// The subscription is gone, or another one has its name.
    Gone,
    /// It failed and is tried again.
    Failed,
}

/// What came of a Kubernetes Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// It was published.
    Published,
    /// There was no room in the queue.
    Overflow,
    /// The API server did not take it.
    Failed,
}

macro_rules! label {
    ($label:ident of $set:ident { $($variant:ident),+ }) => {
        impl EncodeLabelValue for $set {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                match self { $(Self::$variant => stringify!($variant)),+ }.encode(encoder)
            }
        }

        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $label {
            outcome: $set,
        }
    };
}
label!(WriteLabel of Write { Written, Gone, Failed });
label!(ToldLabel of Told { Published, Overflow, Failed });

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Metrics {
    writes: Family<WriteLabel, Counter>,
    events: Family<ToldLabel, Counter>,
}

impl Metrics {
    /// Registers everything, with every label at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { writes: Family::default(), events: Family::default() };
        for outcome in [Write::Written, Write::Gone, Write::Failed] {
            drop(metrics.writes.get_or_create(&WriteLabel { outcome }));
        }
        for outcome in [Told::Published, Told::Overflow, Told::Failed] {
            drop(metrics.events.get_or_create(&ToldLabel { outcome }));
        }
        registry.register("changehook_status_writes", "Status patches, by what came of them", metrics.writes.clone());
        registry.register("changehook_events", "Kubernetes Events, by what came of them", metrics.events.clone());
        metrics
    }

    pub(super) fn wrote(&self, outcome: Write) {
        self.writes.get_or_create(&WriteLabel { outcome }).inc();
    }

    pub(super) fn told(&self, outcome: Told) {
        self.events.get_or_create(&ToldLabel { outcome }).inc();
    }
}
