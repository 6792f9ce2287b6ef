//! From segments to shards: what many records say is written as what they add up to.
//!
//! Touches nothing. Invariants: a fold is made of durable forms alone (shards as they are stored, and sealed segments);
//! it rewrites the buckets that have a record and no others; until a Head names it, it has changed nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::load::{Found, book_of, read};
use super::{Keeper, Name, Stored};
use crate::ledger::form::{Form, Index, Label, Shard, ShardRef};
use crate::ledger::{Book, Entries, Entry, Fact, Loss, Record};
use crate::object::ObjectKey;
use crate::plan::SubscriptionId;
use crate::proof::{Mark, Rule, broken, passed};

/// Entries a bucket should have when a subscription is laid out anew.
const ENTRIES: usize = 250;
/// More than so many a bucket, or fewer, and it is laid out anew.
const MOST: usize = 400;
const FEWEST: usize = 40;

/// A fold that is being made, one subscription after another.
#[derive(Debug)]
pub struct Fold {
    segments: Vec<Label>,
    parts: Vec<Part>,
}

/// One subscription's part of a fold.
#[derive(Debug)]
pub struct Part {
    subscription: SubscriptionId,
    /// What it had, to be replaced.
    before: Option<Index>,
    /// The same, unless the subscription was forgotten since.
    index: Option<Index>,
    /// Since it was last forgotten.
    records: Vec<Record>,
    /// Buckets that are written, and of how many; all of them when it is laid out anew.
    dirty: BTreeSet<u32>,
    buckets: u32,
    /// Of the former layout, to be read.
    former: BTreeSet<u32>,
    /// The first of the labels that are set aside for it: one for each dirty bucket, and one for the index.
    next: Label,
}

/// A part that was made: once its forms are stored, hand it to [`Folded::add`].
#[derive(Debug)]
pub struct Done {
    subscription: SubscriptionId,
    index: Option<Index>,
    garbage: Vec<Name>,
}

/// A fold that has been written out, to be named by the next Head.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    pub(super) segments: Vec<Label>,
    pub(super) indexes: BTreeMap<SubscriptionId, Option<Index>>,
    pub(super) garbage: Vec<Name>,
}

/// Why a fold could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A shard is not what it was when it was written.
    #[error("failed to fold the ledger: {name} is {how}")]
    Lost {
        /// Which.
        name: Name,
        /// What is wrong with it.
        how: How,
    },
}

/// What is wrong with a stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is not there.
    Missing,
    /// It cannot be read, or is something else.
    Corrupt,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Corrupt => "corrupt",
        })
    }
}

impl Keeper {
    /// Begins to fold all sealed segments; `None` if there are none, or if what was found damaged is not on record yet.
    pub fn begin_fold(&mut self) -> Option<Fold> {
        if self.pieces.is_empty() || self.repair.is_some() {
            return None;
        }
        let mut records: BTreeMap<SubscriptionId, Vec<Record>> = BTreeMap::new();
        for record in self.pieces.iter().flat_map(|piece| piece.records.iter()) {
            records.entry(record.subscription.clone()).or_default().push(record.clone());
        }
        let mut parts = Vec::new();
        for (subscription, records) in records {
            let index = self.indexes.get(&subscription).cloned();
            let next = Label { term: self.head.term, number: self.number + 1 };
            let part = Part::new(subscription, index, records, next);
            self.number += part.dirty.len() as u64 + 1;
            parts.push(part);
        }
        Some(Fold { segments: self.pieces.iter().map(|piece| piece.label).collect(), parts })
    }
}

impl Fold {
    /// The parts, to be written out in any order, and what collects them.
    pub fn into_parts(self) -> (Vec<Part>, Folded) {
        (self.parts, Folded { segments: self.segments, ..Folded::default() })
    }
}

impl Part {
    fn new(subscription: SubscriptionId, before: Option<Index>, mut records: Vec<Record>, next: Label) -> Self {
        let mut index = before.clone();
        if let Some(forgotten) = records.iter().rposition(|record| record.fact == Fact::Forget) {
            passed(Mark::FoldForgotten);
            records.drain(..=forgotten);
            index = None;
        }
        let objects: BTreeSet<&ObjectKey> = records.iter().filter_map(|record| record.fact.object()).collect();
        let shards = index.as_ref().map_or(&[][..], |index| &index.buckets);
        let known: usize = shards.iter().flatten().map(|shard| shard.count as usize).sum();
        let most = known + objects.len();
        let now = shards.len().max(1);
        let anew = shards.is_empty() || most > MOST * now || (now > 1 && most < FEWEST * now);
        let all = |buckets: usize| (0..buckets as u32).collect::<BTreeSet<_>>();
        let (buckets, dirty, former) = if anew {
            passed(Mark::FoldAnew);
            let buckets = most.div_ceil(ENTRIES).max(1).next_power_of_two();
            (buckets, all(buckets), all(shards.len()))
        } else if records.iter().any(|record| record.fact == Fact::Rewind) {
            (now, all(now), all(now))
        } else {
            passed(Mark::FoldDirty);
            let dirty: BTreeSet<u32> = objects.iter().map(|key| bucket(key, now as u32)).collect();
            (now, dirty.clone(), dirty)
        };
        let former = former.into_iter().filter(|bucket| shards[*bucket as usize].is_some()).collect();
        Self { subscription, before, index, records, dirty, buckets: buckets as u32, former, next }
    }

    /// The shards that [`Part::write`] needs to see.
    pub fn reads(&self) -> Vec<Name> {
        let Some(index) = &self.index else { return Vec::new() };
        let shard = |bucket: &u32| Some((*bucket, index.buckets[*bucket as usize]?));
        let former = self.former.iter().filter_map(shard);
        former.map(|(bucket, shard)| Name::shard(&self.subscription, bucket, shard.label)).collect()
    }

    /// What is to be stored, given the shards it asked for.
    pub fn write(mut self, found: &Found) -> Result<(Vec<Stored>, Done), FoldError> {
        let mut book = Book::default();
        if let Some(index) = &self.index {
            book_of(index, &mut book);
        }
        for name in self.reads() {
            match read(found, name) {
                Ok(Form::Shard(shard)) if shard.subscription == self.subscription => {
                    if !broken(Rule::FoldsBuildOnShards) {
                        book.entries.extend(shard.entries);
                    }
                }
                Err(Loss::Missing) => return Err(FoldError::Lost { name, how: How::Missing }),
                Ok(_) | Err(Loss::Corrupt | Loss::Foreign | Loss::Outdated) => {
                    return Err(FoldError::Lost { name, how: How::Corrupt });
                }
            }
        }
        let mut through = self.index.as_ref().map_or(0, |index| index.through);
        let known = self.index.is_some() || !self.records.is_empty();
        let mut sum = Entries::default();
        sum.books.insert(self.subscription.clone(), book);
        for record in self.records.iter().filter(|record| record.seq > through) {
            sum.apply(record);
        }
        through = through.max(sum.seq);
        let book = sum.books.remove(&self.subscription).filter(|_| known);
        let (stored, index) = match book {
            Some(book) => {
                let (stored, index) = self.lay_out(book, through);
                (stored, Some(index))
            }
            None => (Vec::new(), None),
        };
        let kept: BTreeSet<Name> = index.iter().flat_map(Index::names).collect();
        let garbage = self.before.iter().flat_map(Index::names).filter(|name| !kept.contains(name)).collect();
        Ok((stored, Done { subscription: self.subscription, index, garbage }))
    }

    fn lay_out(&mut self, book: Book, through: u64) -> (Vec<Stored>, Index) {
        let Book { entries, marks, resync, requests, recipes, loss } = book;
        let mut in_buckets: BTreeMap<u32, Vec<(ObjectKey, Entry)>> = BTreeMap::new();
        for (key, entry) in entries {
            if broken(Rule::FoldsKeepTheUnanswered) && entry.acked.is_none() {
                continue;
            }
            in_buckets.entry(bucket(&key, self.buckets)).or_default().push((key, entry));
        }
        let mut buckets = match &self.index {
            Some(index) if index.buckets.len() == self.buckets as usize => index.buckets.clone(),
            Some(_) | None => vec![None; self.buckets as usize],
        };
        let subscription = self.subscription.clone();
        let mut stored = Vec::new();
        for bucket in std::mem::take(&mut self.dirty) {
            let (label, entries) = (self.label(), in_buckets.remove(&bucket).unwrap_or_default());
            let count = entries.len() as u32;
            buckets[bucket as usize] = (count > 0).then_some(ShardRef { label, count });
            if count > 0 {
                let subscription = subscription.clone();
                stored.push(Stored::new(&Form::Shard(Shard { label, subscription, bucket, through, entries })));
            }
        }
        let (label, marks) = (self.label(), marks.into_iter().collect());
        let index = Index { label, subscription, through, marks, resync, requests, recipes, loss, buckets };
        stored.push(Stored::new(&Form::Index(index.clone())));
        (stored, index)
    }

    fn label(&mut self) -> Label {
        let label = self.next;
        self.next.number += 1;
        label
    }
}

impl Folded {
    /// A part's forms are stored.
    pub fn add(&mut self, part: Done) {
        let Done { subscription, index, garbage } = part;
        self.garbage.extend(garbage);
        self.indexes.insert(subscription, index);
    }
}

impl Index {
    /// What is stored of it: its shards and itself.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> + '_ {
        let shards = (0_u32..).zip(&self.buckets);
        let shards =
            shards.filter_map(|(bucket, shard)| Some(Name::shard(&self.subscription, bucket, shard.as_ref()?.label)));
        shards.chain([Name::index(&self.subscription, self.label)])
    }
}

/// Which bucket an object is in.
fn bucket(key: &ObjectKey, buckets: u32) -> u32 {
    crc32fast::hash(key.uid.as_bytes()) & (buckets - 1)
}

impl Fact {
    /// The object it is about, if it is about one.
    fn object(&self) -> Option<&ObjectKey> {
        match self {
            Self::Sending { object, .. }
            | Self::Ack { object, .. }
            | Self::Drop { object, .. }
            | Self::Park { object, .. }
            | Self::Release { object }
            | Self::Adopt { object, .. }
            | Self::Owe { object, .. } => Some(object),
            Self::Mark { .. }
            | Self::Unmark { .. }
            | Self::Resync { .. }
            | Self::Recipe { .. }
            | Self::Rewind
            | Self::Lost { .. }
            | Self::Forget => None,
        }
    }
}
