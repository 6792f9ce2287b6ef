//! What the controller counts.
//!
//! Touches nothing. Invariant: labels are closed sets.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What came of a question about a ServiceAccount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Reviewed {
    /// Yes.
    Allowed,
    /// No.
    Denied,
    /// No answer.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: Reviewed,
}

/// See the module's head; clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    reviews: Family<Labels, Counter>,
    under_way: Gauge,
    expiring: Gauge,
}

/// Counts a review as long as it lives.
#[derive(Debug)]
pub(super) struct UnderWay(Gauge);

impl Metrics {
    /// Registers everything, with every label at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for outcome in [Reviewed::Allowed, Reviewed::Denied, Reviewed::Failed] {
            drop(metrics.reviews.get_or_create(&Labels { outcome }));
        }
        registry.register(
            "changehook_access_reviews",
            "Questions to the API server about ServiceAccounts, by answer",
            metrics.reviews.clone(),
        );
        registry.register(
            "changehook_access_reviews_in_flight",
            "Questions about ServiceAccounts that are under way or wait for their turn",
            metrics.under_way.clone(),
        );
        registry.register(
            "changehook_subscriptions_with_expiring_certificates",
            "Subscriptions with a certificate in endpoint.tls that expires within 14 days, or has expired",
            metrics.expiring.clone(),
        );
        metrics
    }

    pub(super) fn reviewed(&self, outcome: Reviewed) {
        self.reviews.get_or_create(&Labels { outcome }).inc();
    }

    pub(super) fn expiring(&self, subscriptions: usize) {
        self.expiring.set(i64::try_from(subscriptions).unwrap_or(i64::MAX));
    }

    pub(super) fn begin_review(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}
