//! The records that are not durable yet: group commit, one batch at a time, within a budget.
//!
//! Touches nothing. Invariants: batches are handed out in order of sequence, the next one only when the one before is
//! durable; a record that somebody waits for goes as soon as the budget lets commits follow each other, the others wait for
//! company, but no longer than allowed, whatever the budget says; while a commit takes too long nothing may be sent.

use std::collections::BTreeMap;

use super::{Batch, Settings};
use crate::Now;
use crate::ledger::budget::Budget;
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
    /// When the oldest of them was made; monotonic.
    since: u64,
    /// Somebody waits for one of them.
    urgent: bool,
    last_commit: Option<i64>,
    /// The highest version that each source has shown; every commit carries them all.
    pub sources: BTreeMap<SourceId, u64>,
    budget: Budget,
    /// When the last batch was handed out; monotonic.
    last_start: u64,
    /// The next batch that somebody waits for is not handed out before; monotonic.
    not_before: u64,
    /// Nothing is left to write: but for a few nothing is declared before; monotonic.
    broke_until: Option<u64>,
    /// With nothing left, so many may be declared all the same,
    few: u32,
    /// and that many again from this moment on; monotonic.
    few_at: u64,
}

/// How many may be declared with nothing left, whoever used it up: one subscription after the other, namespaces in turn.
const FEW: u32 = 64;
/// And no sooner again than this, in milliseconds,
const FEW_APART: u64 = 1_000;
/// unless the debt is so many bursts: that bounds it.
const DEEPEST: u64 = 2;

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    number: u64,
    /// The sequence it reaches to.
    seq: u64,
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
            since: 0,
            urgent: false,
            last_commit: None,
            sources: BTreeMap::new(),
            budget: Budget::new(settings.allowance),
            last_start: 0,
            not_before: 0,
            broke_until: None,
            few: 0,
            few_at: 0,
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
        if let Some(highest) = self.sources.get_mut(source) {
            *highest = rv.max(*highest);
        } else if self.sources.len() < SOURCES {
            // A Head has room for so many; the others are guarded within one life only.
            self.sources.insert(source.clone(), rv);
        }
    }

    /// Somebody waits until everything recorded so far is durable.
    pub fn hurry(&mut self) {
        self.urgent |= !self.records.is_empty();
    }

    pub fn next_batch(&mut self, now: Now, draining: bool) -> Option<Batch> {
        let ripe = draining || self.ripe_at().is_some_and(|at| at <= now.mono);
        let waits = self.under_way.is_some() && !broken(Rule::OneCommitAtATime);
        if waits || self.records.is_empty() || !ripe {
            return None;
        }
        passed(match (draining, self.urgent) {
            (true, _) => Mark::CommitDraining,
            (false, true) => Mark::CommitUrgent,
            (false, false) => Mark::CommitPatient,
        });
        self.batches += 1;
        self.under_way = Some(UnderWay { number: self.batches, seq: self.seq, since: now.mono });
        self.last_start = now.mono;
        self.urgent = false;
        let sources = self.sources.iter().map(|(source, rv)| (source.clone(), *rv)).collect();
        let mut records = std::mem::take(&mut self.records);
        if broken(Rule::CommitsHoldAll) {
            records.retain(|record| !matches!(record.fact, Fact::Sending { .. }));
        }
        Some(Batch { number: self.batches, records, sources })
    }

    /// The batch with this number is durable; false if it is not the one under way.
    pub fn committed(&mut self, now: Now, number: u64) -> bool {
        match self.under_way {
            Some(UnderWay { number: expected, seq, since: _ }) if expected == number => {
                self.under_way = None;
                self.durable = if broken(Rule::DurableIsWhatWasCommitted) { self.seq } else { seq };
                self.last_commit = Some(now.wall);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The store has written this much.
    pub fn spent(&mut self, now: Now, usage: Usage) {
        self.budget.spend(now.mono, usage.bytes);
        let spacing = self.budget.spacing(now.mono);
        if spacing > 0 {
            passed(Mark::Spaced);
        }
        self.not_before = self.last_start + spacing;
        let was_broke = self.broke_until.is_some();
        // that there is something left again is for `refilled` to tell
        self.broke_until = self.budget.empty_until(now.mono).or(was_broke.then_some(now.mono));
        if self.broke_until.is_some() && !was_broke {
            (self.few, self.few_at) = (0, now.mono + FEW_APART);
        }
    }

    /// Enough may be written for something that can wait, such as a fold.
    pub fn is_rich(&self, now: Now) -> bool {
        self.budget.left(now.mono) >= self.budget.burst() / 4
    }

    /// There is something left to write with, or a few may declare all the same.
    pub fn may_declare(&self) -> bool {
        self.broke_until.is_none() || self.few > 0
    }

    /// A first attempt was declared.
    pub fn declared(&mut self) {
        self.few = self.few.saturating_sub(1);
    }

    pub fn a_few_may_declare(&self) -> bool {
        self.few > 0
    }

    /// Whether there is something left to write with that there was not when this was last asked. If there is not, a few
    /// may declare all the same from time to time.
    pub fn refilled(&mut self, now: Now) -> bool {
        let Some(until) = self.broke_until else { return false };
        if until <= now.mono {
            (self.broke_until, self.few) = (None, 0);
            return true;
        }
        if self.few_at <= now.mono {
            self.few_at = now.mono + FEW_APART;
            if self.budget.debt(now.mono) <= DEEPEST * self.budget.burst() {
                passed(Mark::FewDeclare);
                self.few = FEW;
            }
        }
        false
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
        self.under_way.map(|under_way| under_way.since + self.stall_after)
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

    /// When there is something to do even if nothing happens; monotonic. `poor` if somebody waits to declare something.
    pub fn wake_at(&self, poor: bool) -> Option<u64> {
        let stall = self.stalls_at().filter(|_| !self.stall_noticed);
        let refill = self.broke_until.filter(|_| poor).map(|until| until.min(self.few_at));
        [self.ripe_at(), stall, refill].into_iter().flatten().min()
    }

    /// When the next batch is ripe.
    fn ripe_at(&self) -> Option<u64> {
        let waits = self.under_way.is_some() && !broken(Rule::OneCommitAtATime);
        if self.records.is_empty() || waits {
            return None;
        }
        let overdue = self.since + self.patience;
        if broken(Rule::AcksNeverWait)
            && let Some(broke_until) = self.broke_until
        {
            return Some(broke_until);
        }
        Some(if self.urgent { self.not_before.min(overdue) } else { overdue })
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
