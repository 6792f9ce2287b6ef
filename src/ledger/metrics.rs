//! What the ledger counts.
//!
//! Touches nothing. Invariant: labels are closed sets.

use std::fmt;
use std::time::Duration;

use changehook_core::ledger::keeper::Name;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// One commit: a write or two, each a round trip to the API server and its disk.
const COMMIT: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// The Head: once a commit.
    Head,
    /// A sealed piece of the journal.
    Segment,
    /// A list of shards, or of such lists.
    Index,
    /// Folded entries.
    Shard,
}

impl Write {
    /// What is under this name.
    pub fn of(name: Name) -> Self {
        match name {
            Name::Head => Self::Head,
            Name::Segment(_) => Self::Segment,
            Name::Directory(_) | Name::Index { .. } => Self::Index,
            Name::Shard { .. } => Self::Shard,
        }
    }
}

impl EncodeLabelValue for Write {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Head => "Head",
            Self::Segment => "Segment",
            Self::Index => "Index",
            Self::Shard => "Shard",
        }
        .encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabel {
    role: Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fold {
    Done,
    Failed,
}

impl EncodeLabelValue for Fold {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Done => "Done",
            Self::Failed => "Failed",
        }
        .encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FoldLabel {
    outcome: Fold,
}

/// The ledger's metrics. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    commit_duration: Histogram,
    bytes: Family<RoleLabel, Counter>,
    folds: Family<FoldLabel, Counter>,
    segments: Gauge,
    journal_bytes: Gauge,
}

impl Metrics {
    /// Registers everything, with every label at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            commit_duration: Histogram::new(COMMIT),
            bytes: Family::default(),
            folds: Family::default(),
            segments: Gauge::default(),
            journal_bytes: Gauge::default(),
        };
        for role in [Write::Head, Write::Segment, Write::Index, Write::Shard] {
            drop(metrics.bytes.get_or_create(&RoleLabel { role }));
        }
        for outcome in [Fold::Done, Fold::Failed] {
            drop(metrics.folds.get_or_create(&FoldLabel { outcome }));
        }
        let Self { commit_duration, bytes, folds, segments, journal_bytes } = metrics.clone();
        registry.register_with_unit(
            "changehook_ledger_commit_duration",
            "Writing a commit of the ledger until it is known to be durable; the count is the number of commits",
            Unit::Seconds,
            commit_duration,
        );
        registry.register("changehook_ledger_written_bytes", "Bytes written to the ledger, as stored", bytes);
        registry.register("changehook_ledger_folds", "Folds of the ledger's journal into shards", folds);
        registry.register(
            "changehook_ledger_segments",
            "Sealed segments of the journal that are not folded yet",
            segments,
        );
        registry.register("changehook_ledger_journal_bytes", "Bytes of those segments", journal_bytes);
        metrics
    }

    pub(super) fn committed(&self, took: Duration) {
        self.commit_duration.observe(took.as_secs_f64());
    }

    pub(super) fn wrote(&self, role: Write, bytes: u64) {
        self.bytes.get_or_create(&RoleLabel { role }).inc_by(bytes);
    }

    pub(super) fn folded(&self, done: bool) {
        let outcome = if done { Fold::Done } else { Fold::Failed };
        self.folds.get_or_create(&FoldLabel { outcome }).inc();
    }

    pub(super) fn set_segments(&self, segments: usize, bytes: usize) {
        self.segments.set(segments as i64);
        self.journal_bytes.set(bytes as i64);
    }
}
