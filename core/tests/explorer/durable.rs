//! The durable side: a ledger that is only ever written on condition that nobody else has.
//!
//! A commit is under way until it lands, if it ever does; its writer may learn so later, or never. An answer that is lost
//! is made up for by reading: whoever finds its own commit there has it, and whoever finds another's is fenced. So each
//! outcome of a commit is here a step of its own: it lands, it is refused, its writer learns that it landed.

use changehook_core::engine::Batch;
use changehook_core::ledger::{Entries, Entry, Fact};
use changehook_core::object::ObjectKey;

use crate::cluster::number;

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Grows with every write.
    pub version: u8,
    /// Grows with every claim.
    pub term: u8,
    pub entries: Entries,
}

impl Ledger {
    /// A new leader takes the ledger: whatever is written on top of an older version is refused from here on.
    pub fn claimed(&self) -> Self {
        Self { version: self.version + 1, term: self.term + 1, entries: self.entries.clone() }
    }

    /// The commit arrives; `None` if somebody else has written since `base`.
    pub fn landed(&self, base: u8, batch: &Batch) -> Option<Self> {
        if base != self.version {
            return None;
        }
        let mut next = self.clone();
        next.version += 1;
        for record in &batch.records {
            next.entries.apply(record);
        }
        for (source, rv) in &batch.sources {
            next.entries.sources.insert(source.clone(), *rv);
        }
        Some(next)
    }

    pub fn all_entries(&self) -> impl Iterator<Item = (&ObjectKey, &Entry)> {
        self.entries.books.values().flat_map(|book| &book.entries)
    }

    /// Whether the event may be told: its Sending record is what the ledger says of the object.
    pub fn has_sending(&self, uid: u8, sequence: u64) -> bool {
        let is_it = |entry: &Entry| entry.sending.is_some_and(|sending| sending.seq == sequence);
        self.all_entries().any(|(key, entry)| is_it(entry) && number(&key.uid) == uid)
    }
}

/// The highest sequence in a batch.
pub fn reach(batch: &Batch) -> u64 {
    batch.records.last().map_or(0, |record| record.seq)
}

/// What a batch says, in short.
pub fn brief(batch: &Batch) -> String {
    let facts = batch.records.iter().map(|record| {
        let seq = record.seq;
        match &record.fact {
            Fact::Sending { object, change, rv, .. } => format!("Sending #{seq} {change:?} {} rv {rv}", object.uid),
            Fact::Ack { object, of, .. } => format!("Ack #{of} {}", object.uid),
            Fact::Drop { object, of } => format!("Drop #{of} {}", object.uid),
            Fact::Park { object, of, class, .. } => format!("Park #{of} {} {class:?}", object.uid),
            Fact::Release { object } => format!("Release {}", object.uid),
            Fact::Adopt { object, rv, .. } => format!("Adopt #{seq} {} rv {rv}", object.uid),
            Fact::Owe { object, .. } => format!("Owe {}", object.uid),
            Fact::Mark { rv, open, .. } => format!("Mark rv {rv} {}", if *open { "open" } else { "closed" }),
            other => format!("{other:?}"),
        }
    });
    facts.collect::<Vec<_>>().join(", ")
}
