//! The durable side: what the shipped keeper and codec have written, byte by byte.
//!
//! A commit is under way until it arrives, if it ever does, and is refused if somebody else has written meanwhile; its writer
//! may learn so later, or never. An answer that is lost is made up for by reading: whoever finds its own commit there has
//! it, and whoever finds another's is fenced. So each outcome of a commit is a step of its own: it lands, it is refused,
//! its writer learns that it landed.

use changehook_core::engine::Batch;
use changehook_core::ledger::form::Form;
use changehook_core::ledger::keeper::{self, Claimant, Found, Keeper, Loaded, Name};
use changehook_core::ledger::{Entries, Entry, Fact, codec};
use changehook_core::object::ObjectKey;

use crate::cluster::number;
use crate::intern::digest_of_text;

#[derive(Clone, Default)]
pub struct Ledger {
    /// Grows with every write.
    pub version: u8,
    /// Grows with every claim.
    pub term: u8,
    disk: Found,
    /// What the leader that wrote last knows of it.
    keeper: Option<Keeper>,
    /// What it reads as.
    pub entries: Entries,
}

impl Ledger {
    /// A new leader takes the ledger: whatever is written on top of an older version is refused from here on.
    pub fn claimed(&self) -> Self {
        let holder = u64::from(self.term) + 1;
        let claimant = Claimant { cluster: "cluster".to_owned(), own: "head".to_owned(), holder };
        let names = self.disk.keys().copied().filter(|name| *name != Name::Head);
        let head = self.disk.get(&Name::Head).map(Vec::as_slice);
        let (head, loss) = keeper::claim(head, &claimant, names).expect("no newer version has written it");
        let mut disk = self.disk.clone();
        disk.insert(Name::Head, codec::encode(&Form::Head(head.clone())));
        let Loaded { keeper, entries, missing: _ } = keeper::load(head, loss, &disk);
        Self { version: self.version + 1, term: self.term + 1, disk, keeper: Some(keeper), entries }
    }

    /// The commit arrives; `None` if somebody else has written since `base`.
    pub fn landed(&self, base: u8, batch: &Batch) -> Option<Self> {
        if base != self.version {
            return None;
        }
        let mut next = self.clone();
        let keeper = next.keeper.as_mut()?;
        let writes = keeper.prepare(batch.records.clone(), Some(batch.sources.clone()), None);
        next.version += 1;
        next.disk.extend(writes.creates.into_iter().map(|stored| (stored.name, stored.bytes)));
        next.disk.insert(Name::Head, writes.head);
        for name in keeper.landed() {
            next.disk.remove(&name);
        }
        batch.records.iter().for_each(|record| next.entries.apply(record));
        next.entries.sources.extend(batch.sources.iter().cloned());
        let Loaded { entries, .. } = keeper::load(keeper.head().clone(), None, &next.disk);
        assert_eq!(entries, next.entries, "what is read back is not what was written");
        Some(next)
    }

    /// Ledgers that read the same are the same, whatever their journals went through.
    pub fn digest(&self) -> u64 {
        digest_of_text(&(self.version, self.term, &self.entries))
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
