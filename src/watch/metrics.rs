//! What the sources count.
//!
//! Invariant: every label is of a closed set.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why a watch was begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Restart {
    /// The API server ended it in order, or its time was over.
    Ended,
    /// The connection broke or could not be made.
    Lost,
    /// Nothing came for too long.
    Idle,
    /// 410: the version is no longer served; the kind is listed anew.
    Gone,
    /// The version is ahead of the API server's; the kind is listed anew.
    Future,
    /// There was no contact for too long; the kind is listed anew.
    Aged,
    /// A line could not be attributed to any object; the kind is listed anew.
    Unreadable,
    /// A line was too long; the kind is listed anew.
    Oversize,
    /// Another error answer or ERROR event.
    Error,
    /// A list could not be finished and was begun anew.
    List,
    /// A list lacked most of what was known; a second one is asked for.
    Vanished,
    /// Versions count anew: the storage behind the API server went back.
    Rewound,
    /// The watch had lost track of an object; the kind is listed anew.
    Diverged,
}

/// How a list was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum ListKind {
    /// As the beginning of a watch.
    Streaming,
    /// By pages.
    Paged,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RestartLabels {
    reason: Restart,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListLabels {
    kind: ListKind,
}

/// The sources' metrics; clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    restarts: Family<RestartLabels, Counter>,
    lists: Family<ListLabels, Counter>,
    undecodable: Counter,
    divergence: Counter,
    rewinds: Counter,
    sources: Gauge,
}

impl Metrics {
    /// Made and shown in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("changehook_watch_restarts", "Watches begun anew, by reason", metrics.restarts.clone());
        registry.register("changehook_watch_lists", "Complete lists, by kind of list", metrics.lists.clone());
        registry.register(
            "changehook_watch_undecodable",
            "Objects shown by a list or watch that could not be read",
            metrics.undecodable.clone(),
        );
        registry.register(
            "changehook_watch_divergence",
            "Objects that a watch had lost track of, found by comparing with a list",
            metrics.divergence.clone(),
        );
        registry.register(
            "changehook_watch_rewinds",
            "Kinds whose resourceVersions went back, as after a restore from a backup",
            metrics.rewinds.clone(),
        );
        registry.register("changehook_watch_sources", "Watched kinds", metrics.sources.clone());
        metrics
    }

    pub(super) fn restarted(&self, reason: Restart) {
        self.restarts.get_or_create(&RestartLabels { reason }).inc();
    }

    pub(super) fn listed(&self, kind: ListKind) {
        self.lists.get_or_create(&ListLabels { kind }).inc();
    }

    pub(super) fn undecodable(&self) {
        self.undecodable.inc();
    }

    pub(super) fn diverged(&self, objects: usize) {
        self.divergence.inc_by(objects as u64);
    }

    pub(super) fn rewound(&self) {
        self.rewinds.inc();
    }

    pub(super) fn source_started(&self) {
        self.sources.inc();
    }

    pub(super) fn source_ended(&self) {
        self.sources.dec();
    }

    #[cfg(test)]
    pub(super) fn restarts(&self, reason: Restart) -> u64 {
        self.restarts.get_or_create(&RestartLabels { reason }).get()
    }

    #[cfg(test)]
    pub(super) fn lists(&self, kind: ListKind) -> u64 {
        self.lists.get_or_create(&ListLabels { kind }).get()
    }

    #[cfg(test)]
    pub(super) fn undecodables(&self) -> u64 {
        self.undecodable.get()
    }

    #[cfg(test)]
    pub(super) fn divergence(&self) -> u64 {
        self.divergence.get()
    }

    #[cfg(test)]
    pub(super) fn rewinds(&self) -> u64 {
        self.rewinds.get()
    }
}
