//! What a leader writes into the ledger, and what it makes of what it finds there.
//!
//! Touches nothing: stores do as it says. Invariants:
//!
//! - everything hangs from the Head, which is written on condition that nobody else has written it since, and each write
//!   of it captures all that is to be durable; so every commit is also the check that the ledger is still ours;
//! - what a Head names is stored before the Head is, and deleted only after a Head that does not name it any more;
//! - a leader claims before it reads, and folds what is durable, never what is only in memory.
//!
//! | file | idea |
//! | --- | --- |
//! | `mod` | one commit after another: the Head, its tail, sealed segments |
//! | `claim` | taking the ledger over |
//! | `load` | from what is stored to entries |
//! | `fold` | from segments to shards |
//! | `name` | what stored forms are called |

mod claim;
mod fold;
mod load;
mod name;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Record;
use super::codec;
use super::form::{Directory, Form, Head, Index, IndexRef, Indexes, Label, Segment};
use crate::object::SourceId;
use crate::plan::SubscriptionId;
use crate::proof::{Mark, Rule, broken, passed};

pub use claim::{Claimant, Refusal, claim};
pub use fold::{Done, Fold, FoldError, Folded, How, Part};
pub use load::{Found, Loaded, load};
pub use name::Name;

/// The journal's tail in the Head is sealed into a segment when it is longer than this, in bytes.
pub const LONGEST_TAIL: usize = 3 * 1024;
/// A segment is no longer than about this, in bytes.
const LONGEST_SEGMENT: usize = 200 * 1024;
/// More subscriptions than this are listed in a directory of their own.
const MOST_INLINE: usize = 64;

/// A form with its name, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where.
    pub name: Name,
    /// What.
    pub bytes: Vec<u8>,
}

impl Stored {
    fn new(form: &Form) -> Self {
        Self { name: Name::of(form), bytes: codec::encode(form) }
    }
}

/// One commit: first all of `creates`, then the Head, on condition that it is still the one this leader wrote last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writes {
    /// New forms, in any order.
    pub creates: Vec<Stored>,
    /// The Head.
    pub head: Vec<u8>,
}

/// A segment whose records are not folded in yet.
#[derive(Clone, Debug)]
struct Piece {
    label: Label,
    bytes: usize,
    records: Arc<Vec<Record>>,
}

/// One leader's knowledge of the ledger.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// The durable one.
    head: Head,
    /// All live segments, as in the Head.
    pieces: Vec<Piece>,
    /// The folded state of each subscription, but for its entries.
    indexes: BTreeMap<SubscriptionId, Index>,
    /// The last label's number.
    number: u64,
    /// Subscriptions whose index or shards were found damaged, until a commit has on record that they were, and no longer
    /// names what is not there. `Some` without any if it was something else.
    repair: Option<BTreeSet<SubscriptionId>>,
    /// The commit under way.
    pending: Option<Pending>,
}

#[derive(Clone, Debug)]
struct Pending {
    head: Head,
    pieces: Vec<Piece>,
    indexes: Option<BTreeMap<SubscriptionId, Index>>,
    garbage: Vec<Name>,
    repaired: bool,
}

impl Keeper {
    /// The durable Head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Live segments: how many, and their bytes.
    pub fn segments(&self) -> (usize, usize) {
        (self.pieces.len(), self.pieces.iter().map(|piece| piece.bytes).sum())
    }

    /// What has to be written so that these records are durable, together with a fold that has been written out.
    ///
    /// # Panics
    /// If a commit is under way: the caller writes one at a time.
    pub fn prepare(
        &mut self,
        records: Vec<Record>,
        sources: Option<Vec<(SourceId, u64)>>,
        fold: Option<Folded>,
    ) -> Writes {
        assert!(self.pending.is_none(), "one commit at a time");
        let mut head = self.head.clone();
        let mut pieces = self.pieces.clone();
        let mut creates = Vec::new();
        let mut garbage = Vec::new();
        head.commit += 1;
        head.seq = records.last().map_or(head.seq, |record| record.seq);
        head.sources = sources.unwrap_or(head.sources);
        let repaired = !records.is_empty();
        let repair = self.repair.clone().filter(|_| repaired).map(|damaged| self.mend(&damaged, &mut creates));
        if repaired {
            // The engine has told every book so, in its first records.
            head.loss = None;
        }
        head.tail.extend(records);
        let fold = fold.or(repair);
        let indexes = fold.map(|fold| self.put_in(fold, &mut head, &mut pieces, &mut creates, &mut garbage));
        if codec::records_len(&head.tail) > LONGEST_TAIL {
            for records in in_segments(std::mem::take(&mut head.tail)) {
                passed(Mark::Sealed);
                let label = self.label();
                let segment = Segment { label, records };
                let stored = Stored { name: Name::Segment(label), bytes: codec::encode_segment(&segment) };
                pieces.push(Piece { label, bytes: stored.bytes.len(), records: Arc::new(segment.records) });
                creates.push(stored);
            }
        }
        head.segments = pieces.iter().map(|piece| piece.label).collect();
        if broken(Rule::SegmentsAreListed) {
            head.segments.clone_from(&self.head.segments);
        }
        let bytes = codec::encode_head(&head);
        self.pending = Some(Pending { head, pieces, indexes, garbage, repaired });
        Writes { creates, head: bytes }
    }

    /// The commit under way is durable. Returns what nothing reaches any more, and may be deleted.
    pub fn landed(&mut self) -> Vec<Name> {
        let Some(Pending { head, pieces, indexes, garbage, repaired }) = self.pending.take() else { return Vec::new() };
        if repaired {
            self.repair = None;
        }
        self.head = head;
        self.pieces = pieces;
        if let Some(indexes) = indexes {
            self.indexes = indexes;
        }
        garbage
    }

    /// Everything that the durable Head reaches.
    pub fn reachable(&self) -> impl Iterator<Item = Name> + '_ {
        let directory = match self.head.indexes {
            Indexes::Inline(_) => None,
            Indexes::Elsewhere(label) => Some(Name::Directory(label)),
        };
        let segments = self.pieces.iter().map(|piece| Name::Segment(piece.label));
        let folded = self.indexes.values().flat_map(Index::names);
        [Name::Head].into_iter().chain(directory).chain(segments).chain(folded)
    }

    /// Of the names that were found, those that are nobody's: nothing reaches them, and no later leader wrote them. Forms of
    /// this very term are those of a fold or a commit under way, or become garbage by its end.
    pub fn garbage(&self, names: impl IntoIterator<Item = Name>) -> Vec<Name> {
        let reachable: BTreeSet<Name> = self.reachable().collect();
        let nobodys = |name: &Name| name.term().is_some_and(|term| term < self.head.term) && !reachable.contains(name);
        names.into_iter().filter(nobodys).collect()
    }

    /// Indexes that name what is there, in place of those that name what is not.
    fn mend(&mut self, damaged: &BTreeSet<SubscriptionId>, creates: &mut Vec<Stored>) -> Folded {
        let mut folded = Folded::default();
        for subscription in damaged {
            passed(Mark::Mended);
            let mended = self.indexes.get(subscription).cloned().map(|before| {
                folded.garbage.push(Name::index(subscription, before.label));
                let index = Index { label: self.label(), ..before };
                creates.push(Stored::new(&Form::Index(index.clone())));
                index
            });
            folded.indexes.insert(subscription.clone(), mended);
        }
        folded
    }

    /// The fold's shards and indexes take the place of the segments that they hold.
    fn put_in(
        &mut self,
        fold: Folded,
        head: &mut Head,
        pieces: &mut Vec<Piece>,
        creates: &mut Vec<Stored>,
        garbage: &mut Vec<Name>,
    ) -> BTreeMap<SubscriptionId, Index> {
        let Folded { segments, indexes: folded, garbage: replaced } = fold;
        let mut indexes = self.indexes.clone();
        for (subscription, index) in folded {
            match index {
                Some(index) => indexes.insert(subscription, index),
                None => indexes.remove(&subscription),
            };
        }
        pieces.retain(|piece| !segments.contains(&piece.label));
        garbage.extend(segments.into_iter().map(Name::Segment));
        garbage.extend(replaced);
        if let Indexes::Elsewhere(label) = head.indexes {
            garbage.push(Name::Directory(label));
        }
        let list: Vec<IndexRef> = indexes
            .values()
            .map(|index| IndexRef { subscription: index.subscription.clone(), label: index.label })
            .collect();
        head.indexes = if list.len() <= MOST_INLINE {
            Indexes::Inline(list)
        } else {
            passed(Mark::Directory);
            let label = self.label();
            creates.push(Stored::new(&Form::Directory(Directory { label, indexes: list })));
            Indexes::Elsewhere(label)
        };
        indexes
    }

    fn label(&mut self) -> Label {
        self.number += 1;
        Label { term: self.head.term, number: self.number }
    }
}

/// The records in pieces that are not too long.
fn in_segments(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = 0;
    for record in records {
        let bound = codec::record_bound(&record);
        if bytes + bound > LONGEST_SEGMENT && bytes > 0 {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += bound;
        if let Some(piece) = pieces.last_mut() {
            piece.push(record);
        }
    }
    pieces
}
