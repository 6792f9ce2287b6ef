//! What is stored: five forms, each one opaque blob under a name of its own.
//!
//! Touches nothing; `codec` turns forms into bytes and back, `keeper` decides when which is written. Everything hangs from
//! the Head, which is the only form that is ever overwritten; what the Head does not reach is garbage. Invariant: a
//! [`Label`] is used for one content only, so a name never means two contents.

use std::fmt;
use std::sync::Arc;

use super::{Entry, Loss, Mark, Recipe, Record, Requests};
use crate::object::{GroupKind, ObjectKey, SourceId};
use crate::plan::SubscriptionId;

/// Names an immutable form: which leader wrote it, and a number that this leader uses once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// The leader's term.
    pub term: u64,
    /// Grows within the term.
    pub number: u64,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.number)
    }
}

/// One of the five.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// What everything hangs from.
    Head(Head),
    /// A sealed piece of the journal.
    Segment(Segment),
    /// The indexes, when there are too many for the Head.
    Directory(Directory),
    /// One subscription's list of shards.
    Index(Index),
    /// Some of one subscription's entries.
    Shard(Shard),
}

/// What everything hangs from. Every commit rewrites it, as a whole, on condition that nobody else has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The cluster: the uid of the Namespace kube-system.
    pub cluster: String,
    /// metadata.uid of the object this Head is stored in; empty until it is known. Another one means a copy.
    pub own: String,
    /// A random number of the leader that wrote it.
    pub holder: u64,
    /// Grows with every claim.
    pub term: u64,
    /// Grows with every write of the Head.
    pub commit: u64,
    /// The highest sequence that is durable.
    pub seq: u64,
    /// The highest version that each source has shown.
    pub sources: Vec<(SourceId, u64)>,
    /// Live segments, oldest first.
    pub segments: Vec<Label>,
    /// Where the folded entries are.
    pub indexes: Indexes,
    /// What this Head reaches is lost, or older than what the endpoints know, and no commit has told every book so yet.
    pub loss: Option<Loss>,
    /// The newest records, in order of their sequence; those before are in the segments.
    pub tail: Vec<Record>,
}

/// Where the indexes are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indexes {
    /// In the Head itself.
    Inline(Vec<IndexRef>),
    /// In the Directory of this label.
    Elsewhere(Label),
}

impl Default for Indexes {
    fn default() -> Self {
        Self::Inline(Vec::new())
    }
}

/// One subscription's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRef {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Which.
    pub label: Label,
}

/// A sealed piece of the journal: records of one leader, in order of their sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its own.
    pub label: Label,
    /// The records.
    pub records: Vec<Record>,
}

/// The indexes, when there are too many for the Head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its own.
    pub label: Label,
    /// One for each subscription that has folded entries.
    pub indexes: Vec<IndexRef>,
}

/// One subscription's folded state, but for its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its own.
    pub label: Label,
    /// Whose.
    pub subscription: SubscriptionId,
    /// All records of the subscription up to this sequence are folded in; later ones come on top.
    pub through: u64,
    /// One mark a kind.
    pub marks: Vec<(Arc<GroupKind>, Mark)>,
    /// What was acknowledged before this sequence is owed again.
    pub resync: u64,
    /// The last requests to be told again that were seen.
    pub requests: Requests,
    /// How fingerprints are made, from which sequence on; oldest first.
    pub recipes: Vec<(u64, Recipe)>,
    /// A part was lost, and nothing that makes up for it is on record yet.
    pub loss: Option<Loss>,
    /// One for each bucket, a power of two of them; `None` for a bucket without entries.
    pub buckets: Vec<Option<ShardRef>>,
}

/// One shard, as its index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardRef {
    /// Which.
    pub label: Label,
    /// How many entries it has.
    pub count: u32,
}

/// The entries of one bucket of one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its own.
    pub label: Label,
    /// Whose.
    pub subscription: SubscriptionId,
    /// Which bucket.
    pub bucket: u32,
    /// All records about these objects up to this sequence are folded in.
    pub through: u64,
    /// In order of their keys.
    pub entries: Vec<(ObjectKey, Entry)>,
}
