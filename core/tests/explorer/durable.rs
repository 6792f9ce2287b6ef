//! The durable side: what the shipped keeper and codec have written, byte by byte.
//!
//! A commit is under way until it arrives, if it ever does, and is refused if somebody else has written meanwhile; its writer
//! may learn so later, or never. An answer that is lost is made up for by reading: whoever finds its own commit there has
//! it, and whoever finds another's is fenced. So each outcome of a commit is a step of its own: it lands, it is refused,
//! its writer learns that it landed.

use std::collections::BTreeSet;

use changehook_core::engine::Batch;
use changehook_core::ledger::form::Form;
use changehook_core::ledger::keeper::{self, Claimant, Found, Keeper, Loaded, Name};
use changehook_core::ledger::{Book, Entries, Entry, Fact, Record, codec};
use changehook_core::object::ObjectKey;

use crate::cluster::number;
use crate::endpoint::Told;
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
    /// The highest sequence that was ever durable, as a status remembers it.
    pub witness: u64,
    /// The sequences of what was adopted.
    pub adopted: BTreeSet<u64>,
}

impl Ledger {
    /// A new leader takes the ledger: whatever is written on top of an older version is refused from here on.
    pub fn claimed(&self) -> Self {
        let holder = u64::from(self.term) + 1;
        let claimant = Claimant { cluster: "cluster".to_owned(), own: "head".to_owned(), holder };
        let names = self.disk.keys().copied().filter(|name| *name != Name::Head);
        let head = self.disk.get(&Name::Head).map(Vec::as_slice);
        let (head, loss) = keeper::claim(head, &claimant, names).expect("no newer version has written it");
        let mut next = self.clone();
        next.disk.insert(Name::Head, codec::encode(&Form::Head(head.clone())));
        let Loaded { keeper, entries, missing: _ } = keeper::load(head, loss, &next.disk);
        Self { version: self.version + 1, term: self.term + 1, keeper: Some(keeper), entries, ..next }
    }

    /// The commit arrives; nobody else has written meanwhile.
    pub fn landed(&self, batch: &Batch) -> Result<Self, String> {
        let mut next = self.clone();
        let keeper = next.keeper.as_mut().ok_or("nobody has claimed the ledger")?;
        let writes = keeper.prepare(batch.records.clone(), Some(batch.sources.clone()), None);
        next.version += 1;
        next.disk.extend(writes.creates.into_iter().map(|stored| (stored.name, stored.bytes)));
        next.disk.insert(Name::Head, writes.head);
        for name in keeper.landed() {
            next.disk.remove(&name);
        }
        let Loaded { entries, .. } = keeper::load(keeper.head().clone(), None, &next.disk);
        for record in &batch.records {
            next.note_adoption(record)?;
            next.entries.apply(record);
        }
        next.entries.sources.extend(batch.sources.iter().cloned());
        assert_eq!(entries, next.entries, "what is read back is not what was written");
        next.witness = next.witness.max(next.entries.seq);
        Ok(next)
    }

    /// Nothing is adopted but what an open baseline's mark reaches.
    fn note_adoption(&mut self, record: &Record) -> Result<(), String> {
        let Fact::Adopt { object, rv, .. } = &record.fact else { return Ok(()) };
        self.adopted.insert(record.seq);
        let mark = self.entries.books.get(&record.subscription).and_then(|book| book.marks.get(&object.kind));
        match mark {
            Some(mark) if mark.open && *rv <= mark.rv => Ok(()),
            Some(_) | None => Err(format!("{} is adopted as of {rv}, the baseline is {mark:?}", object.uid)),
        }
    }

    /// The ledger is made from a copy again.
    pub fn set_back_to(&self, copy: &Self) -> Self {
        Self { version: self.version + 1, term: self.term, witness: self.witness, ..copy.clone() }
    }

    /// Ledgers that read the same are the same, whatever their journals went through.
    pub fn digest(&self) -> u64 {
        let mut adopted: Vec<u64> = self.all_entries().filter_map(|(_, entry)| entry.acked).map(|a| a.seq).collect();
        adopted.retain(|seq| self.adopted.contains(seq));
        digest_of_text(&(self.version, self.term, self.witness, adopted, &self.entries))
    }

    /// The first baseline is closed, and no other is open.
    pub fn is_ready(&self) -> bool {
        let mut marks = self.entries.books.values().flat_map(|book| book.marks.values()).peekable();
        marks.peek().is_some() && marks.all(|mark| !mark.open)
    }

    pub fn book(&self) -> Option<&Book> {
        self.entries.books.values().next()
    }

    pub fn all_entries(&self) -> impl Iterator<Item = (&ObjectKey, &Entry)> {
        self.entries.books.values().flat_map(|book| &book.entries)
    }

    /// Whether the object was acknowledged as of a later version than is told.
    pub fn has_newer(&self, told: Told) -> bool {
        let newer = |entry: &Entry| entry.acked.is_some_and(|acked| acked.rv > told.rv);
        self.all_entries().any(|(key, entry)| number(&key.uid) == told.uid && newer(entry))
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
            other @ (Fact::Unmark { .. }
            | Fact::Resync { .. }
            | Fact::Recipe { .. }
            | Fact::Rewind
            | Fact::Lost { .. }
            | Fact::Forget) => {
                format!("#{seq} {other:?}")
            }
        }
    });
    facts.collect::<Vec<_>>().join(", ")
}
