//! The records that are not durable yet: group commit, one batch at a time, within a budget.
//!
//! Touches nothing. Invariants: batches are handed out in order of sequence, the next one only when the one before is
//! durable; a record that somebody waits for goes as soon as the budget lets commits follow each other, the others wait for
//! company, but no longer than allowed, whatever the budget says; while a commit takes too long nothing may be sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Batch, Map, Settings};
use crate::Now;
use crate::ledger::shares::{Shares, Written};
use crate::ledger::{Fact, Record, Usage};
use crate::object::SourceId;
use crate::plan::SubscriptionId;
use crate::proof::{Mark, Rule, broken, passed};

/// Sources whose versions are kept.
const SOURCES: usize = 128;

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Journal {
    /// How long a record that nobody waits for may wait for company.
    patience: u64,
    stall_after: u64,
    seq: u64,
    durable: u64,
    /// The last batch's number.
    batches: u64,
    under_way: Option<UnderWay>,
    /// A stalled commit was noticed.
    stall_noticed: bool,
    records: Vec<Record>,
    /// About how much it is.
    written: Written,
    /// How much of that is of each namespace's subscriptions.
    of: Map<Arc<str>, Written>,
    /// When the oldest of them was made; monotonic.
    since: u64,
    /// Who waits for one of them, all with `None`.
    hurried: BTreeSet<Option<Arc<str>>>,
    /// From when on they may be handed out for that, if no commit is under way; monotonic.
    urgent: Option<u64>,
    last_commit: Option<i64>,
    /// The highest version that each source has shown; every commit carries them all.
    pub sources: BTreeMap<SourceId, u64>,
    shares: Shares,
    /// When the last batch was handed out; monotonic.
    last_start: u64,
}

#[derive(Clone, Debug)]
struct UnderWay {
    number: u64,
    /// The sequence it reaches to.
    seq: u64,
    /// About how much it is.
    written: Written,
    /// How much of that is of each namespace's subscriptions.
    of: Map<Arc<str>, Written>,
    /// Monotonic.
    since: u64,
}

impl Journal {
    pub fn new(seq: u64, settings: &Settings) -> Self {
        Self {
            patience: settings.ack_delay,
            stall_after: settings.stall_after,
            seq,
            durable: seq,
            batches: 0,
            under_way: None,
            stall_noticed: false,
            records: Vec::new(),
            written: Written::default(),
            of: Map::default(),
            since: 0,
            hurried: BTreeSet::new(),
            urgent: None,
            last_commit: None,
            sources: BTreeMap::new(),
            shares: Shares::new(settings.allowance),
            last_start: 0,
        }
    }

    /// Adds a record of a namespace's that may wait for company; returns its sequence.
    pub fn add_of(&mut self, now: Now, namespace: &Arc<str>, id: &SubscriptionId, fact: Fact) -> u64 {
        match self.of.get_mut(namespace) {
            Some(written) => written.add(&fact),
            None => self.of.entry(Arc::clone(namespace)).or_default().add(&fact),
        }
        self.add(now, id, fact)
    }

    /// The same, held against nobody.
    pub fn add(&mut self, now: Now, id: &SubscriptionId, fact: Fact) -> u64 {
        self.seq += 1;
        if self.records.is_empty() {
            self.since = now.mono;
        }
        self.written.add(&fact);
        self.records.push(Record { seq: self.seq, subscription: id.clone(), fact });
        self.seq
    }

    pub fn source_at(&mut self, source: &SourceId, rv: u64) {
        if let Some(highest) = self.sources.get_mut(source) {
            *highest = rv.max(*highest);
        } else if self.sources.len() < SOURCES {
            // A Head has room for so many; the others are guarded within one life only.
            self.sources.insert(source.clone(), rv);
        }
    }

    /// Somebody of this namespace, or all, wait until everything recorded so far is durable.
    pub fn hurry(&mut self, now: Now, namespace: Option<&Arc<str>>) {
        if self.records.is_empty() {
            return;
        }
        if self.hurried.insert(namespace.cloned()) {
            let at = self.last_start + self.shares.spacing(now.mono, namespace);
            self.urgent = Some(self.urgent.map_or(at, |urgent| urgent.min(at)));
        }
    }

    /// Something was written: whoever waits may have to keep another distance.
    fn space(&mut self, now: Now) {
        let spacing = |namespace: &Option<Arc<str>>| self.shares.spacing(now.mono, namespace.as_ref());
        let least = self.hurried.iter().map(spacing).min();
        if least.is_some_and(|least| least > 0) {
            passed(Mark::Spaced);
        }
        self.urgent = least.map(|least| self.last_start + least);
    }

    pub fn next_batch(&mut self, now: Now, draining: bool) -> Option<Batch> {
        let ripe = draining || self.ripe_at().is_some_and(|at| at <= now.mono);
        let waits = self.under_way.is_some() && !broken(Rule::OneCommitAtATime);
        if waits || self.records.is_empty() || !ripe {
            return None;
        }
        passed(match (draining, self.urgent.is_some()) {
            (true, _) => Mark::CommitDraining,
            (false, true) => Mark::CommitUrgent,
            (false, false) => Mark::CommitPatient,
        });
        self.batches += 1;
        let (of, written) = (std::mem::take(&mut self.of), std::mem::take(&mut self.written));
        self.under_way = Some(UnderWay { number: self.batches, seq: self.seq, written, of, since: now.mono });
        self.last_start = now.mono;
        self.hurried.clear();
        self.urgent = None;
        let sources = self.sources.iter().map(|(source, rv)| (source.clone(), *rv)).collect();
        let mut records = std::mem::take(&mut self.records);
        if broken(Rule::CommitsHoldAll) {
            records.retain(|record| !matches!(record.fact, Fact::Sending { .. }));
        }
        Some(Batch { number: self.batches, records, sources })
    }

    /// The batch with this number is durable; false if it is not the one under way.
    pub fn committed(&mut self, now: Now, number: u64) -> bool {
        match &self.under_way {
            Some(UnderWay { number: expected, seq, written: _, of: _, since: _ }) if *expected == number => {
                let seq = *seq;
                self.under_way = None;
                self.durable = if broken(Rule::DurableIsWhatWasCommitted) { self.seq } else { seq };
                self.last_commit = Some(now.wall);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The commit under way has cost this much.
    pub fn spent(&mut self, now: Now, usage: Usage) {
        if let Some(UnderWay { number: _, seq: _, written, of, since: _ }) = &self.under_way {
            let of = of.iter().map(|(namespace, written)| (namespace, *written));
            self.shares.spend(now.mono, usage.bytes, *written, of);
        }
        self.space(now);
    }

    /// A fold has cost this much.
    pub fn folded(&mut self, now: Now, usage: Usage) {
        self.shares.spend_on_fold(now.mono, usage.bytes);
        self.space(now);
    }

    /// Enough may be written for something that can wait, such as a fold.
    pub fn is_rich(&self, now: Now) -> bool {
        self.shares.is_rich(now.mono)
    }

    /// Until when there is nothing left to write with for a first attempt of this namespace's, monotonic; `None` if there is.
    pub fn declares_not_before(&self, now: Now, namespace: &Arc<str>) -> Option<u64> {
        self.shares.waits_until(now.mono, namespace)
    }

    /// Records that wait to be written.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// A commit takes so long that nobody knows what is durable: nothing may be sent.
    pub fn is_stalled(&self, now: Now) -> bool {
        self.stalls_at().is_some_and(|at| at <= now.mono)
    }

    fn stalls_at(&self) -> Option<u64> {
        self.under_way.as_ref().map(|under_way| under_way.since + self.stall_after)
    }

    /// Whether anything may leave at all.
    pub fn may_send(&self, now: Now) -> bool {
        !self.is_stalled(now) || broken(Rule::StallStopsSending)
    }

    /// Whether [`Self::is_stalled`] says something else than when this was last asked.
    pub fn stall_changed(&mut self, now: Now) -> bool {
        let stalled = self.is_stalled(now);
        if stalled && !self.stall_noticed {
            passed(Mark::Stalled);
        }
        std::mem::replace(&mut self.stall_noticed, stalled) != stalled
    }

    pub fn is_durable(&self, seq: u64) -> bool {
        seq <= self.durable
    }

    pub fn is_idle(&self) -> bool {
        self.records.is_empty() && self.under_way.is_none()
    }

    /// When there is something to do even if nothing happens; monotonic.
    pub fn wake_at(&self) -> Option<u64> {
        let stall = self.stalls_at().filter(|_| !self.stall_noticed);
        [self.ripe_at(), stall].into_iter().flatten().min()
    }

    /// When the next batch is ripe.
    fn ripe_at(&self) -> Option<u64> {
        let waits = self.under_way.is_some() && !broken(Rule::OneCommitAtATime);
        if self.records.is_empty() || waits {
            return None;
        }
        let overdue = self.since + self.patience;
        if broken(Rule::AcksNeverWait)
            && let Some(until) = self.shares.empty_until(self.since)
        {
            return Some(until);
        }
        Some(self.urgent.map_or(overdue, |at| at.min(overdue)))
    }

    /// The highest sequence given out.
    #[cfg(feature = "proof")]
    pub fn given_out(&self) -> u64 {
        self.seq
    }

    /// The highest sequence that is durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    pub fn last_commit(&self) -> Option<i64> {
        self.last_commit
    }

    #[cfg(feature = "proof")]
    pub fn forget_last_commit(&mut self) {
        self.last_commit = None;
    }
}
