//! From what is stored to entries.
//!
//! Touches nothing. Invariants: only what the Head reaches is read, whatever else is stored; what is missing, cannot be
//! read or is not what its name says is a loss that is told, never a guess.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::codec;
use super::{Keeper, Name, Piece};
use crate::ledger::form::{Form, Head, Index, IndexRef, Indexes, Segment, Shard};
use crate::ledger::{Book, Entries, Loss, Record};
use crate::plan::SubscriptionId;
use crate::proof::{Mark, Rule, broken, passed};

/// What was found under each name.
pub type Found = HashMap<Name, Vec<u8>>;

/// What a leader starts with.
#[derive(Debug)]
pub struct Loaded {
    /// Writes from here on.
    pub keeper: Keeper,
    /// What is durable.
    pub entries: Entries,
    /// What should be there and was not found.
    pub missing: Vec<Name>,
}

/// Reads what the claimed Head reaches. `loss` is what the claim found.
pub fn load(head: Head, loss: Option<Loss>, found: &Found) -> Loaded {
    let loss = loss.or(head.loss);
    let mut missing = Vec::new();
    let mut damaged = BTreeSet::new();
    let sources = head.sources.iter().cloned().collect();
    let mut entries = Entries { seq: head.seq, sources, loss, ..Entries::default() };
    let mut indexes = BTreeMap::new();
    let listed = directory(&head, found).unwrap_or_else(|loss| {
        entries.loss.get_or_insert(loss);
        if let Indexes::Elsewhere(label) = head.indexes {
            missing.push(Name::Directory(label));
        }
        Vec::new()
    });
    for IndexRef { subscription, label } in listed {
        let mut book = Book::default();
        let name = Name::index(&subscription, label);
        let damage = match read(found, name) {
            Ok(Form::Index(mut index)) if index.subscription == subscription => {
                let damage = fill(&mut book, &mut index, found, &mut missing);
                indexes.insert(subscription.clone(), index);
                damage
            }
            Ok(_) => Some(Loss::Corrupt),
            Err(loss) => {
                missing.push(name);
                Some(loss)
            }
        };
        if damage.is_some() {
            passed(Mark::LoadLost);
            damaged.insert(subscription.clone());
            book.loss = damage;
        }
        entries.books.insert(subscription, book);
    }
    let mut pieces = Vec::new();
    let labels: Vec<_> = if broken(Rule::UnlistedIsGarbage) {
        let mut all: Vec<_> =
            found.keys().filter_map(|name| if let Name::Segment(label) = name { Some(*label) } else { None }).collect();
        all.sort_unstable();
        all
    } else {
        head.segments.clone()
    };
    for label in labels {
        match read(found, Name::Segment(label)) {
            Ok(Form::Segment(Segment { records, .. })) => {
                let bytes = found.get(&Name::Segment(label)).map_or(0, Vec::len);
                pieces.push(Piece { label, bytes, records: Arc::new(records) });
            }
            Ok(_) => entries.loss = entries.loss.or(Some(Loss::Corrupt)),
            Err(loss) => {
                missing.push(Name::Segment(label));
                entries.loss = entries.loss.or(Some(loss));
            }
        }
    }
    for record in pieces.iter().flat_map(|piece| piece.records.iter()).chain(&head.tail) {
        if !is_folded(&indexes, record) {
            entries.apply(record);
        }
    }
    let repair = (entries.loss.is_some() || !damaged.is_empty()).then_some(damaged);
    missing.retain(|name| !found.contains_key(name));
    Loaded { keeper: Keeper { head, pieces, indexes, number: 0, repair, pending: None }, entries, missing }
}

/// Whether the record is in its subscription's shards already.
pub(super) fn is_folded(indexes: &BTreeMap<SubscriptionId, Index>, record: &Record) -> bool {
    indexes.get(&record.subscription).is_some_and(|index| record.seq <= index.through)
}

fn directory(head: &Head, found: &Found) -> Result<Vec<IndexRef>, Loss> {
    match &head.indexes {
        Indexes::Inline(list) => Ok(list.clone()),
        Indexes::Elsewhere(label) => match read(found, Name::Directory(*label))? {
            Form::Directory(directory) => Ok(directory.indexes),
            Form::Head(_) | Form::Segment(_) | Form::Index(_) | Form::Shard(_) => Err(Loss::Corrupt),
        },
    }
}

/// The book of an index, as far as its shards are there. What is not there is taken out of the index; returns why.
fn fill(book: &mut Book, index: &mut Index, found: &Found, missing: &mut Vec<Name>) -> Option<Loss> {
    book_of(index, book);
    // Sorted once and built as a whole: entry by entry, a million of them take several times as long.
    let mut all = Vec::new();
    let mut damage = None;
    for (bucket, place) in (0_u32..).zip(&mut index.buckets) {
        let Some(shard) = *place else { continue };
        let name = Name::shard(&index.subscription, bucket, shard.label);
        let wrong = match read(found, name) {
            Ok(Form::Shard(Shard { subscription, entries, .. }))
                if subscription == index.subscription && entries.len() == shard.count as usize =>
            {
                all.extend(entries);
                continue;
            }
            Ok(_) => Loss::Corrupt,
            Err(wrong) => wrong,
        };
        missing.push(name);
        *place = None;
        damage = Some(wrong);
    }
    book.entries = all.into_iter().collect();
    damage
}

/// What an index has itself.
pub(super) fn book_of(index: &Index, book: &mut Book) {
    let Index { label: _, subscription: _, through: _, marks, resync, requests, recipes, loss, buckets: _ } = index;
    book.loss = *loss;
    book.marks = marks.iter().cloned().collect();
    book.resync = *resync;
    book.requests = requests.clone();
    book.recipes.clone_from(recipes);
}

/// The form under a name, if it is what the name says.
pub(super) fn read(found: &Found, name: Name) -> Result<Form, Loss> {
    let bytes = found.get(&name).ok_or(Loss::Missing)?;
    // A newer format under a Head of this one is damage, too: a newer version would have written the Head.
    let form = codec::decode(bytes).map_err(|_| Loss::Corrupt)?;
    if Name::of(&form) == name { Ok(form) } else { Err(Loss::Corrupt) }
}
