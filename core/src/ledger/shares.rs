//! Who may write how much of what there is: a namespace that keeps to its share does not wait for what others used up.
//!
//! Touches nothing; the time comes in. Invariants:
//!
//! - as long as anything is left, whoever wants it may have it;
//! - with nothing left, a namespace may overdraw what it has left of a share of its own, which it earns and saves as if it
//!   were a [`Budget`] by itself; the more is overdrawn, the more of its share it has to have left;
//! - with two bursts overdrawn nobody may, so what is told is bounded however many namespaces there are;
//! - what cannot wait and is not bounded by what was told before, such as what a new subscription takes note of, uses up what
//!   is left, but overdraws nothing that others would have to wait for;
//! - whoever wrote a lot while nobody else wanted to is not made to wait for long once somebody does.

use std::collections::HashMap;
use std::sync::Arc;

use super::budget::{Allowance, Budget, spacing};
use super::{Fact, Named};
use crate::proof::{Mark, passed};

/// A namespace's own share is one of so many.
const SHARES: u64 = 2;
/// So many bursts may be overdrawn.
const DEEPEST: u64 = 2;

/// About how much of a batch some of its records are, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Declarations of events, and that the endpoint has them.
    pub told: u64,
    /// All others.
    pub noted: u64,
}

/// About what a record is without the names in it, in bytes.
const RECORD: u64 = 40;

impl Written {
    /// Counts one.
    pub fn add(&mut self, fact: &Fact) {
        match fact {
            Fact::Sending { named, .. } => self.told += RECORD + weight(named),
            Fact::Ack { .. } => self.told += RECORD,
            Fact::Adopt { named, .. } | Fact::Owe { named, .. } => self.noted += RECORD + weight(named),
            Fact::Drop { .. }
            | Fact::Park { .. }
            | Fact::Release { .. }
            | Fact::Mark { .. }
            | Fact::Unmark { .. }
            | Fact::Recipe { .. }
            | Fact::Resync { .. }
            | Fact::Rewind
            | Fact::Lost { .. }
            | Fact::Forget => self.noted += RECORD,
        }
    }

    fn all(self) -> u64 {
        self.told + self.noted
    }
}

fn weight(named: &Named) -> u64 {
    (named.name.len() + named.namespace.as_deref().map_or(0, str::len)) as u64
}

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Shares {
    allowance: Allowance,
    all: Budget,
    /// Of each namespace that has not all of its share left.
    own: HashMap<Arc<str>, Budget, foldhash::fast::FixedState>,
}

impl Shares {
    /// Nobody has used anything.
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, all: Budget::new(allowance), own: HashMap::default() }
    }

    /// What a namespace may write whatever the others do.
    fn share(&self) -> Allowance {
        let Allowance { rate, burst } = self.allowance;
        Allowance { rate: rate / SHARES, burst: burst / SHARES }
    }

    /// Bytes that may be overdrawn.
    fn deepest(&self) -> u64 {
        self.allowance.burst.saturating_mul(DEEPEST)
    }

    /// So many bytes were written for a batch of so much, parts of which are of namespaces' subscriptions.
    pub fn spend<'a>(
        &mut self,
        mono: u64,
        bytes: u64,
        all: Written,
        of: impl Iterator<Item = (&'a Arc<str>, Written)> + Clone,
    ) {
        let part = |weight: u64| {
            let part = u128::from(bytes) * u128::from(weight) / u128::from(all.all().max(1));
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        let told = part(all.told);
        self.all.spend(mono, told);
        self.all.spend_down_to(mono, bytes - told, 0);
        let share = self.share();
        let floor = 0_i64.saturating_sub_unsigned(share.burst);
        // those that have saved all of it again are not worth their place
        if of.clone().any(|(namespace, _)| !self.own.contains_key(namespace)) {
            self.own.retain(|_, own| own.left(mono) < share.burst);
        }
        for (namespace, written) in of {
            let own = self.own.entry(Arc::clone(namespace)).or_insert_with(|| Budget::new(share));
            own.spend_down_to(mono, part(written.all()), floor);
        }
    }

    /// A fold has written so many bytes, for nobody in particular.
    pub fn spend_on_fold(&mut self, mono: u64, bytes: u64) {
        self.all.spend_down_to(mono, bytes, 0);
    }

    /// There is enough for something that can wait, such as a fold.
    pub fn is_rich(&self, mono: u64) -> bool {
        self.all.left(mono) >= self.allowance.burst / 4
    }

    /// When something will be left that anybody may have, monotonic; `None` if something is.
    pub fn empty_until(&self, mono: u64) -> Option<u64> {
        self.all.empty_until(mono)
    }

    /// What is left of a namespace's share beyond what the debt asks it to have left; negative if it is less.
    fn spare(&self, mono: u64, namespace: &Arc<str>) -> i128 {
        let share = i128::from(self.share().burst);
        let left = self.own.get(namespace).map_or(share, |own| own.balance(mono));
        left - share * i128::from(self.all.debt(mono)) / i128::from(self.deepest().max(1))
    }

    /// Until when a namespace may declare nothing, monotonic; `None` if it may. It may be a little longer.
    pub fn waits_until(&self, mono: u64, namespace: &Arc<str>) -> Option<u64> {
        let all = self.all.empty_until(mono)?;
        let too_deep = self.all.debt(mono).saturating_sub(self.deepest());
        if too_deep > 0 {
            return Some(mono + time_for(too_deep, self.allowance.rate));
        }
        let spare = self.spare(mono, namespace);
        if spare > 0 {
            passed(Mark::ShareSpent);
            return None;
        }
        let Allowance { rate, burst } = self.share();
        // it earns, and less is asked of it
        let less = u128::from(burst) * u128::from(self.allowance.rate) / u128::from(self.deepest().max(1));
        let rate = rate.saturating_add(u64::try_from(less).unwrap_or(u64::MAX));
        let missing = u64::try_from(1 - spare).unwrap_or(u64::MAX);
        Some(all.min(mono + time_for(missing, rate)))
    }

    /// How far a commit that a namespace waits for has to be from the last, in milliseconds.
    pub fn spacing(&self, mono: u64, namespace: Option<&Arc<str>>) -> u64 {
        let all = self.all.spacing(mono);
        match namespace {
            Some(namespace) if all > 0 => {
                let spare = u64::try_from(self.spare(mono, namespace)).unwrap_or(0);
                all.min(spacing(spare, self.share().burst))
            }
            Some(_) | None => all,
        }
    }
}

/// Milliseconds in which so many bytes are earned.
fn time_for(bytes: u64, rate: u64) -> u64 {
    bytes.saturating_mul(1_000).div_ceil(rate.max(1)).clamp(1, u64::MAX / 2)
}

#[cfg(test)]
mod tests;
