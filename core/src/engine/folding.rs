//! When the journal's segments are folded.
//!
//! Touches nothing. Invariants: one fold at a time, none while stopping; it waits for a budget that can afford it, unless
//! there are so many segments that loading them would take long.

use super::Settings;
use super::journal::Journal;
use crate::Now;
use crate::ledger::Usage;
use crate::proof::{Mark, passed};

/// A fold that failed, or cannot be afforded, is tried again after so long, in milliseconds.
const PAUSE: u64 = 30_000;

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Folding {
    every: u64,
    bytes: usize,
    segments: usize,
    usage: Usage,
    under_way: bool,
    /// When the next one is due; monotonic. `None` while there is nothing to fold.
    at: Option<u64>,
    /// One that failed, or could not be afforded, is not tried again before; monotonic.
    not_before: u64,
}

impl Folding {
    pub fn new(settings: &Settings) -> Self {
        Self {
            every: settings.fold_every,
            bytes: settings.fold_bytes,
            segments: settings.fold_segments,
            usage: Usage::default(),
            under_way: false,
            at: None,
            not_before: 0,
        }
    }

    /// So much is not folded.
    pub fn stored(&mut self, now: Now, usage: Usage) {
        self.usage = usage;
        let due = if usage.segments == 0 {
            None
        } else if usage.segments >= self.segments || usage.segment_bytes >= self.bytes {
            Some(now.mono)
        } else {
            Some(now.mono + self.every)
        };
        self.at = match (self.at, due) {
            (Some(before), Some(due)) => Some(before.min(due)),
            (None, due) => due,
            (Some(_), None) => None,
        };
        self.at = self.at.map(|at| at.max(self.not_before));
    }

    /// Whether to begin one now; it is under way from here on.
    pub fn begin(&mut self, now: Now, journal: &Journal) -> bool {
        if self.under_way || self.at.is_none_or(|at| at > now.mono) {
            return false;
        }
        if !journal.is_rich(now) && self.usage.segments < self.segments {
            self.at = Some(now.mono + PAUSE);
            return false;
        }
        self.not_before = 0;
        passed(Mark::FoldDue);
        self.under_way = true;
        true
    }

    /// It is over.
    pub fn ended(&mut self, now: Now, done: bool, usage: Usage) {
        self.under_way = false;
        self.at = None;
        self.not_before = if done { 0 } else { now.mono + PAUSE };
        self.stored(now, usage);
        if !done {
            self.at = self.at.map(|_| self.not_before);
        }
    }

    pub fn wake_at(&self) -> Option<u64> {
        self.at.filter(|_| !self.under_way)
    }
}
