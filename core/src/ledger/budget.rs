//! How much may be written: so many bytes a second, with a burst to spend first.
//!
//! Touches nothing; the time comes in. Invariants: what was written is spent, even if it overdraws; a ledger that writes
//! nothing costs nothing.

use crate::proof::{Mark, passed};

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes a second, sustained.
    pub rate: u64,
    /// Bytes that may be written at once after a long rest.
    pub burst: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { rate: 64_000, burst: 16 << 20 }
    }
}

/// How far commits are apart when about nothing is left, in milliseconds.
const LONGEST_SPACING: u64 = 1_000;
/// How far they are apart at a quarter of the burst.
const SPACING_AT_A_QUARTER: u64 = 100;

/// What is left of an [`Allowance`].
#[derive(Clone, Debug)]
pub struct Budget {
    allowance: Allowance,
    /// In thousandths of a byte, so that a short time is worth something; negative when overdrawn.
    left: i128,
    /// When `left` was true; monotonic.
    at: u64,
}

impl Budget {
    /// The whole burst.
    pub fn new(allowance: Allowance) -> Self {
        Self { allowance, left: i128::from(allowance.burst) * 1000, at: 0 }
    }

    fn refill(&mut self, mono: u64) {
        let gained = i128::from(mono.saturating_sub(self.at)) * i128::from(self.allowance.rate);
        self.left = (self.left + gained).min(i128::from(self.allowance.burst) * 1000);
        self.at = self.at.max(mono);
    }

    /// So many bytes were written.
    pub fn spend(&mut self, mono: u64, bytes: u64) {
        self.refill(mono);
        self.left -= i128::from(bytes) * 1000;
    }

    /// So many bytes were written, of which no more is held against whoever comes next than leaves this balance.
    pub fn spend_down_to(&mut self, mono: u64, bytes: u64, floor: i64) {
        self.refill(mono);
        let floor = self.left.min(i128::from(floor) * 1000);
        self.left = (self.left - i128::from(bytes) * 1000).max(floor);
    }

    /// Bytes that are left now; less than none when overdrawn.
    pub fn balance(&self, mono: u64) -> i128 {
        let mut now = self.clone();
        now.refill(mono);
        now.left / 1000
    }

    /// Bytes that are left now; none when overdrawn.
    pub fn left(&self, mono: u64) -> u64 {
        u64::try_from(self.balance(mono)).unwrap_or(0)
    }

    /// When something will be left, monotonic; `None` if something is.
    pub fn empty_until(&self, mono: u64) -> Option<u64> {
        let mut now = self.clone();
        now.refill(mono);
        if now.left >= 1000 {
            return None;
        }
        passed(Mark::BudgetEmpty);
        let missing = u128::try_from(1000 - now.left).unwrap_or(0);
        let wait = missing.div_ceil(u128::from(self.allowance.rate.max(1)));
        Some(now.at + u64::try_from(wait).unwrap_or(u64::MAX / 2).max(1))
    }

    /// Bytes that are overdrawn.
    pub fn debt(&self, mono: u64) -> u64 {
        u64::try_from(-self.balance(mono)).unwrap_or(0)
    }

    /// How far the next commit has to be from the last, in milliseconds.
    pub fn spacing(&self, mono: u64) -> u64 {
        spacing(self.left(mono), self.allowance.burst)
    }
}

/// How far commits have to be apart, in milliseconds: not at all with most of the burst left, then more.
pub(super) fn spacing(left: u64, burst: u64) -> u64 {
    let burst = burst.max(1);
    let (quarter, most) = (burst / 4, burst / 4 * 3);
    if left >= most {
        0
    } else if left >= quarter {
        // from nothing at three quarters to a tenth of a second at one
        (most - left) * SPACING_AT_A_QUARTER / (most - quarter).max(1)
    } else {
        passed(Mark::BudgetLow);
        LONGEST_SPACING - left * (LONGEST_SPACING - SPACING_AT_A_QUARTER) / quarter.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Allowance = Allowance { rate: 1_000, burst: 4_000 };

    #[test]
    fn a_full_burst_is_spent_without_waiting_and_an_empty_one_spaces_commits_by_a_second() {
        let mut budget = Budget::new(SMALL);
        assert_eq!((budget.left(0), budget.spacing(0), budget.empty_until(0)), (4_000, 0, None));
        budget.spend(0, 1_000);
        assert_eq!(budget.spacing(0), 0);
        budget.spend(0, 1_000);
        assert_eq!(budget.spacing(0), 50);
        budget.spend(0, 1_000);
        assert_eq!(budget.spacing(0), 100);
        budget.spend(0, 1_000);
        assert_eq!((budget.left(0), budget.spacing(0)), (0, 1_000));
    }

    #[test]
    fn what_is_overdrawn_is_paid_back_before_anything_else_is_declared() {
        let mut budget = Budget::new(SMALL);
        budget.spend(0, 7_000);
        assert_eq!(budget.empty_until(0), Some(3_001));
        assert_eq!(budget.empty_until(3_000), Some(3_001));
        assert_eq!(budget.empty_until(3_001), None);
    }

    #[test]
    fn a_long_rest_gives_the_burst_and_no_more() {
        let mut budget = Budget::new(SMALL);
        budget.spend(10, 4_000);
        assert_eq!(budget.left(1_000_000), 4_000);
        assert_eq!(budget.left(2_010), 2_000);
    }

    #[test]
    fn over_any_hour_no_more_is_granted_than_the_burst_and_the_rate() {
        let mut budget = Budget::new(SMALL);
        let mut written = 0;
        for second in 0..3_600_u64 {
            let mono = second * 1_000;
            if budget.empty_until(mono).is_none() {
                budget.spend(mono, 1_700);
                written += 1_700;
            }
        }
        assert!(written <= 4_000 + 3_600 * 1_000 + 1_700, "{written}");
        assert!(written >= 3_500_000, "{written}");
    }
}
