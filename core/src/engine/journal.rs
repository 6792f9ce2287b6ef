//! The records that are not durable yet: group commit, one batch at a time.
//!
//! Touches nothing. Invariants: batches are handed out in order of sequence, the next one only when the one before is
//! durable; a record that somebody waits for goes at once, the others wait for company, but no longer than allowed.

use std::collections::BTreeMap;

use super::Batch;
use crate::Now;
use crate::ledger::{Fact, Record};
use crate::object::SourceId;
use crate::plan::SubscriptionId;

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Journal {
    /// How long a record that nobody waits for may wait for company.
    patience: u64,
    seq: u64,
    durable: u64,
    /// The last batch's number.
    batches: u64,
    /// The batch under way: its number, and the sequence it reaches to.
    under_way: Option<(u64, u64)>,
    records: Vec<Record>,
    /// When the oldest of them was made; monotonic.
    since: u64,
    /// Somebody waits for one of them.
    urgent: bool,
    last_commit: Option<i64>,
    /// The highest version that each source has shown; every commit carries them all.
    pub sources: BTreeMap<SourceId, u64>,
}

impl Journal {
    pub fn new(seq: u64, patience: u64) -> Self {
        Self {
            patience,
            seq,
            durable: seq,
            batches: 0,
            under_way: None,
            records: Vec::new(),
            since: 0,
            urgent: false,
            last_commit: None,
            sources: BTreeMap::new(),
        }
    }

    /// Adds a record that may wait for company; returns its sequence.
    pub fn add(&mut self, now: Now, id: &SubscriptionId, fact: Fact) -> u64 {
        self.seq += 1;
        if self.records.is_empty() {
            self.since = now.mono;
        }
        self.records.push(Record { seq: self.seq, subscription: id.clone(), fact });
        self.seq
    }

    pub fn source_at(&mut self, source: &SourceId, rv: u64) {
        match self.sources.get_mut(source) {
            Some(highest) => *highest = rv.max(*highest),
            None => {
                self.sources.insert(source.clone(), rv);
            }
        }
    }

    /// Somebody waits until everything recorded so far is durable.
    pub fn hurry(&mut self) {
        self.urgent |= !self.records.is_empty();
    }

    pub fn next_batch(&mut self, now: Now, draining: bool) -> Option<Batch> {
        let ripe = self.urgent || draining || now.mono.saturating_sub(self.since) >= self.patience;
        if self.under_way.is_some() || self.records.is_empty() || !ripe {
            return None;
        }
        self.batches += 1;
        self.under_way = Some((self.batches, self.seq));
        self.urgent = false;
        let sources = self.sources.iter().map(|(source, rv)| (source.clone(), *rv)).collect();
        Some(Batch { number: self.batches, records: std::mem::take(&mut self.records), sources })
    }

    /// The batch with this number is durable; false if it is not the one under way.
    pub fn committed(&mut self, now: Now, number: u64) -> bool {
        match self.under_way {
            Some((expected, seq)) if expected == number => {
                self.under_way = None;
                self.durable = seq;
                self.last_commit = Some(now.wall);
                true
            }
            Some(_) | None => false,
        }
    }

    pub fn is_durable(&self, seq: u64) -> bool {
        seq <= self.durable
    }

    pub fn is_idle(&self) -> bool {
        self.records.is_empty() && self.under_way.is_none()
    }

    /// When the next batch is ripe even if nobody hurries; monotonic.
    pub fn ripe_at(&self) -> Option<u64> {
        (!self.records.is_empty() && self.under_way.is_none()).then(|| self.since + self.patience)
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    pub fn last_commit(&self) -> Option<i64> {
        self.last_commit
    }

    #[cfg(feature = "proof")]
    pub fn forget_last_commit(&mut self) {
        self.last_commit = None;
    }
}
