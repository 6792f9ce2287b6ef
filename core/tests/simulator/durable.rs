//! The ledger as a leader sees it: claimed, written by compare-and-swap, and not always heard from.
//!
//! It keeps entries and a version in place of stored bytes; everything the schedules do to it goes through here.

use changehook_core::engine::Batch;
use changehook_core::ledger::{Entries, Record};

#[derive(Default)]
pub struct Durable {
    /// What all records so far add up to.
    pub entries: Entries,
    /// Folded, and what came after: the same again, in the two parts that a new leader reads.
    folded: Entries,
    tail: Vec<Record>,
    /// The Head's resourceVersion.
    version: u64,
    /// Who wrote the Head last, and which of its writes that was.
    holder: u64,
    commit: u64,
}

/// One write of the Head, on its way. A repetition is the same bytes on the same condition.
#[derive(Clone)]
pub struct Put {
    pub holder: u64,
    base: u64,
    pub batch: Batch,
}

impl Durable {
    /// A new leader takes the ledger. Whatever was on its way before is refused from here on.
    pub fn claim(&mut self, holder: u64) -> Entries {
        self.version += 1;
        (self.holder, self.commit) = (holder, 0);
        let mut read = self.folded.clone();
        for record in &self.tail {
            read.apply(record);
        }
        read.sources.clone_from(&self.entries.sources);
        assert_eq!(read, self.entries, "what is read back is not what was written");
        read
    }

    /// What the leader asks the store to make durable.
    pub fn begin(&self, holder: u64, batch: Batch) -> Put {
        Put { holder, base: self.version, batch }
    }

    /// The write arrives; false if somebody else was there first. `before` sees each record ahead of its being applied.
    pub fn land(&mut self, put: &Put, mut before: impl FnMut(&Entries, &Record)) -> bool {
        if put.base != self.version {
            return false;
        }
        assert_eq!(put.holder, self.holder, "a write of another leader was let through");
        self.version += 1;
        self.commit = put.batch.number;
        for record in &put.batch.records {
            before(&self.entries, record);
            self.entries.apply(record);
            self.tail.push(record.clone());
        }
        self.entries.sources.extend(put.batch.sources.iter().cloned());
        true
    }

    /// A consistent read says whether this very write was applied.
    pub fn has(&self, put: &Put) -> bool {
        self.holder == put.holder && self.commit == put.batch.number
    }

    /// Somebody else has claimed it since.
    pub fn is_taken_from(&self, holder: u64) -> bool {
        self.holder != holder
    }

    /// The journal so far is folded in.
    pub fn fold(&mut self) {
        for record in self.tail.drain(..) {
            self.folded.apply(&record);
        }
    }
}
