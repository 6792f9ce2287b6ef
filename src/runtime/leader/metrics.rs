//! What is counted of the Lease.
//!
//! Touches nothing. Invariant: no label holds a name.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The Lease's metrics. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    leader: Gauge,
    renew_failures: Counter,
}

impl Metrics {
    /// Metrics that `registry` shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("changehook_leader", "Whether this replica leads: 1 or 0", metrics.leader.clone());
        registry.register(
            "changehook_lease_renew_failures",
            "Renewals of the Lease that failed or were not answered in time",
            metrics.renew_failures.clone(),
        );
        metrics
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(super) fn renewal_failed(&self) {
        self.renew_failures.inc();
    }
}
