//! What must survive a crash: records, and the entries they add up to.
//!
//! Touches nothing; stores live in the operator. Invariants: every record has its own `seq`, growing for ever;
//! [`Entries::apply`] in order of `seq` gives the same entries whatever was folded in between; an acknowledgement, drop or
//! park names the event it speaks of and clears nothing newer.
//!
//! | file | idea |
//! | --- | --- |
//! | `mod` | records, and the entries they add up to |
//! | `form` | what is stored: Head, Segment, Directory, Index, Shard |
//! | `codec` | forms as bytes, and back |
//! | `keeper` | what is written when; claim, load, fold |
//! | `budget` | how much may be written |
//! | `shares` | and by whom, when it runs short |

pub mod budget;
pub mod codec;
pub mod form;
pub mod keeper;
pub mod shares;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{Fingerprint, GroupKind, Gvk, ObjectKey, SourceId};
use crate::outcome::Class;
use crate::plan::{Change, SubscriptionId};
use crate::proof::{Rule, broken};

pub use crate::plan::Requests;

/// One durable fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the journal.
    pub seq: u64,
    /// Whose fact it is.
    pub subscription: SubscriptionId,
    /// The fact.
    pub fact: Fact,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The first request of an event may go out; the event's sequence is the record's `seq`.
    Sending {
        /// The object.
        object: ObjectKey,
        /// Its names, so that Removed can be told after a restart.
        named: Named,
        /// New, Updated or Removed.
        change: Change,
        /// The row's version.
        rv: u64,
        /// The row's fingerprint; zero for Removed.
        fp: Fingerprint,
    },
    /// The endpoint has the event with sequence `of`.
    Ack {
        /// The object.
        object: ObjectKey,
        /// The event's sequence.
        of: u64,
        /// The row's version as sent: a retry is rendered from the current row, whose content is the same.
        rv: u64,
    },
    /// The endpoint knows that the object is gone, or never heard of it.
    Drop {
        /// The object.
        object: ObjectKey,
        /// The event's sequence; that of the acknowledged one when nothing needed to be told; zero if there was neither.
        of: u64,
    },
    /// Given up for now; the event stays owed.
    Park {
        /// The object.
        object: ObjectKey,
        /// The event's sequence.
        of: u64,
        /// Whose trouble it was.
        class: Class,
        /// The endpoint configuration that failed.
        config_hash: u64,
    },
    /// Parked no more.
    Release {
        /// The object.
        object: ObjectKey,
    },
    /// The object's state is taken as known without being told.
    Adopt {
        /// The object.
        object: ObjectKey,
        /// Its names.
        named: Named,
        /// The row's version.
        rv: u64,
        /// The row's fingerprint.
        fp: Fingerprint,
    },
    /// The object is owed as New, and nothing of it was sent yet; it must not be adopted.
    Owe {
        /// The object.
        object: ObjectKey,
        /// Its names.
        named: Named,
    },
    /// A baseline of a kind: rows up to `rv` are adopted while it is open.
    Mark {
        /// The kind.
        kind: Arc<GroupKind>,
        /// The version up to which rows belong to the baseline.
        rv: u64,
        /// Whether it is still open.
        open: bool,
    },
    /// The kind has no baseline any more: it left the subscription, or other objects of it are selected now.
    Unmark {
        /// The kind.
        kind: Arc<GroupKind>,
    },
    /// Somebody asked for everything, or for what is parked, to be told again. What was acknowledged before this record is
    /// owed again if `all`.
    Resync {
        /// Everything, not only what is parked.
        all: bool,
        /// What was asked, so that it is not done twice.
        requests: Requests,
    },
    /// From here on fingerprints are made this way; what was acknowledged before is compared the way it was made.
    Recipe {
        /// How.
        recipe: Recipe,
    },
    /// The cluster was set back: versions count anew, every version known so far means nothing, only fingerprints decide.
    Rewind,
    /// A part of what was known of the subscription is lost, which has to be made up for; or, with `None`, what makes up for
    /// it is on record now.
    Lost {
        /// Why.
        loss: Option<Loss>,
    },
    /// The subscription is gone, and so is all that was known for it.
    Forget,
}

/// What a fingerprint is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipe {
    /// The version of the normalisation.
    pub scheme: u32,
    /// Updated is not subscribed: every state is the same.
    pub constant: bool,
}

/// Why what was known of the endpoint cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A part of the ledger is not there.
    Missing,
    /// A part of the ledger cannot be read, or is not what it should be.
    Corrupt,
    /// The ledger is a copy: of another cluster, or made from a backup.
    Foreign,
    /// The ledger is older than what the subscription's status saw of it.
    Outdated,
}

/// How an object is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its kind, with the version that was watched.
    pub gvk: Arc<Gvk>,
    /// metadata.namespace
    pub namespace: Option<Arc<str>>,
    /// metadata.name
    pub name: Arc<str>,
}

/// What the endpoint acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// The event's sequence, or that of the Adopt record.
    pub seq: u64,
    /// The row's version.
    pub rv: u64,
    /// The row's fingerprint.
    pub fp: Fingerprint,
}

/// An event whose first request may have gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The event's sequence.
    pub seq: u64,
    /// New, Updated or Removed.
    pub change: Change,
    /// The row's version.
    pub rv: u64,
    /// The row's fingerprint; zero for Removed.
    pub fp: Fingerprint,
}

/// Why and under which configuration an event was given up for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The event's sequence.
    pub of: u64,
    /// Whose trouble it was.
    pub class: Class,
    /// The endpoint configuration that failed.
    pub config_hash: u64,
}

/// One slot, as far as it is durable. One without `acked` and `sending` is owed as New.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How the object is called.
    pub named: Named,
    /// What the endpoint acknowledged.
    pub acked: Option<Acked>,
    /// What it may have been sent since.
    pub sending: Option<Sending>,
    /// Whether that was given up for now.
    pub parked: Option<Parked>,
}

/// A kind's baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The version up to which rows belong to it.
    pub rv: u64,
    /// Whether it is still open.
    pub open: bool,
}

/// All that is durable for one subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// One entry a slot.
    pub entries: BTreeMap<ObjectKey, Entry>,
    /// One mark a kind.
    pub marks: BTreeMap<Arc<GroupKind>, Mark>,
    /// What was acknowledged before this sequence is owed again.
    pub resync: u64,
    /// The last requests to be told again that were seen.
    pub requests: Requests,
    /// How fingerprints are made, from which sequence on; oldest first.
    pub recipes: Vec<(u64, Recipe)>,
    /// A part of it was lost, and nothing that makes up for it is on record yet.
    pub loss: Option<Loss>,
}

/// What all records add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// One book a subscription.
    pub books: BTreeMap<SubscriptionId, Book>,
    /// The highest `seq` seen.
    pub seq: u64,
    /// The highest version that each source has shown.
    pub sources: BTreeMap<SourceId, u64>,
    /// The whole ledger was lost, or a part that concerns everybody. Not stored: whoever loads the ledger finds it out.
    pub loss: Option<Loss>,
}

/// What a store has written since it last said so, and how much of its journal is not folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes written.
    pub bytes: u64,
    /// Sealed segments that are live.
    pub segments: usize,
    /// Their bytes.
    pub segment_bytes: usize,
}

impl Entries {
    /// Adds one record. Records must come in order of `seq`.
    pub fn apply(&mut self, record: &Record) {
        self.seq = self.seq.max(record.seq);
        if record.fact == Fact::Forget {
            self.books.remove(&record.subscription);
            return;
        }
        let book = self.books.entry(record.subscription.clone()).or_default();
        match &record.fact {
            Fact::Sending { object, named, change, rv, fp } => {
                let entry = book.entries.entry(object.clone()).or_insert_with(|| Entry::new(named.clone()));
                entry.named = named.clone();
                entry.sending = Some(Sending { seq: record.seq, change: *change, rv: *rv, fp: *fp });
                entry.parked = None;
            }
            Fact::Ack { object, of, rv } => {
                if let Some(entry) = book.entries.get_mut(object)
                    && let Some(sending) = entry.sending.filter(|sending| sending.seq == *of)
                {
                    entry.acked = Some(Acked { seq: sending.seq, rv: *rv, fp: sending.fp });
                    entry.sending = None;
                    entry.parked = None;
                }
            }
            Fact::Drop { object, of } => {
                // A Sending newer than the event that was dropped keeps the slot: the endpoint may hold it.
                let newer = book.entries.get(object).and_then(|entry| entry.sending).is_some_and(|s| s.seq > *of);
                if newer {
                    if let Some(entry) = book.entries.get_mut(object) {
                        entry.acked = None;
                    }
                } else {
                    book.entries.remove(object);
                }
            }
            Fact::Park { object, of, class, config_hash } => {
                if let Some(entry) = book.entries.get_mut(object)
                    && entry.sending.is_some_and(|sending| sending.seq == *of)
                {
                    entry.parked = Some(Parked { of: *of, class: *class, config_hash: *config_hash });
                    if broken(Rule::ParkedIsUnanswered) {
                        entry.sending = None;
                    }
                }
            }
            Fact::Release { object } => {
                if let Some(entry) = book.entries.get_mut(object) {
                    entry.parked = None;
                }
            }
            Fact::Adopt { object, named, rv, fp } => {
                let entry = book.entries.entry(object.clone()).or_insert_with(|| Entry::new(named.clone()));
                entry.named = named.clone();
                entry.acked = Some(Acked { seq: record.seq, rv: *rv, fp: *fp });
                entry.sending = None;
                entry.parked = None;
            }
            Fact::Owe { object, named } => {
                book.entries.entry(object.clone()).or_insert_with(|| Entry::new(named.clone()));
            }
            Fact::Mark { kind, rv, open } => {
                book.marks.insert(Arc::clone(kind), Mark { rv: *rv, open: *open });
            }
            Fact::Unmark { kind } => {
                book.marks.remove(kind);
            }
            Fact::Resync { all, requests } => {
                if *all {
                    book.resync = record.seq;
                }
                book.requests = requests.clone();
            }
            Fact::Recipe { recipe } => book.begin_recipe(record.seq, *recipe),
            Fact::Rewind => book.rewind(),
            Fact::Lost { loss } => book.loss = *loss,
            Fact::Forget => {} // returned above
        }
    }
}

/// Older recipes than so many are not kept: what was acknowledged under one that is forgotten is told again.
pub(crate) const RECIPES: usize = 4;

impl Book {
    fn begin_recipe(&mut self, seq: u64, recipe: Recipe) {
        self.recipes.push((seq, recipe));
        let surplus = self.recipes.len().saturating_sub(RECIPES);
        self.recipes.drain(..surplus);
    }

    pub(crate) fn rewind(&mut self) {
        if broken(Rule::RewindForgetsVersions) {
            return;
        }
        for entry in self.entries.values_mut() {
            if let Some(acked) = &mut entry.acked {
                acked.rv = 0;
            }
            if let Some(sending) = &mut entry.sending {
                sending.rv = 0;
            }
        }
        for mark in self.marks.values_mut() {
            mark.rv = 0;
        }
    }
}

impl Entry {
    fn new(named: Named) -> Self {
        Self { named, acked: None, sending: None, parked: None }
    }
}

/// The sequence a new leader starts from: past everything durable, and past every sequence an earlier life of the same
/// ledger could have handed out, as long as the clock does not go back and a life hands out no more than 2¹¹ a millisecond.
pub fn claim_seq(durable: u64, unix_ms: u64) -> u64 {
    if broken(Rule::ClaimJumps) {
        return durable;
    }
    (durable + 1).max(unix_ms << 11)
}
