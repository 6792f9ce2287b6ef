//! How much time there is for what many subscriptions have to be shown: one part in [`PARTS`] of all.
//!
//! Touches nothing; the time comes in. The rest is for other tenants, and for the other programs of the machine, which may
//! be those that a commit waits for. What is not used is saved, but not for long.

use std::time::Duration;

use tokio::time::Instant;

/// One in so many.
const PARTS: u32 = 4;
/// Time that may be saved.
const MOST: Duration = Duration::from_millis(2);

/// No part takes longer by itself: if it did, the process did not run.
const LONGEST: Duration = Duration::from_millis(5);

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Throttle {
    /// All that was used is paid for at this moment, at the rate of one part in so many.
    free_at: Instant,
}

impl Throttle {
    pub fn new(now: Instant) -> Self {
        Self { free_at: now }
    }

    /// So much was used.
    pub fn used(&mut self, now: Instant, used: Duration) {
        let saved = now.checked_sub(MOST * PARTS).unwrap_or(now);
        // nor is what had to be shown at once, because everybody waited for it, made up for for long
        self.free_at = (self.free_at.max(saved) + used * PARTS).min(now + LONGEST * PARTS);
    }

    /// How long it takes until there is some; nothing if there is.
    pub fn wait(&self, now: Instant) -> Duration {
        self.free_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_part_of_all_time_is_used_and_no_more() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let mut used = Duration::ZERO;
        for n in 0..10_000 {
            let now = start + MS * n;
            if throttle.wait(now).is_zero() {
                throttle.used(now, MS / 2);
                used += MS / 2;
            }
        }
        let part = MS * 10_000 / PARTS;
        assert!(used > part * 9 / 10 && used <= part + MOST + MS, "{used:?}");
    }

    #[tokio::test]
    async fn a_long_rest_saves_little() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let now = start + MS * 60_000;
        let mut used = Duration::ZERO;
        while throttle.wait(now).is_zero() {
            throttle.used(now, MS / 10);
            used += MS / 10;
        }
        assert!(used <= MOST + MS / 5, "{used:?}");
        assert!(throttle.wait(now) > Duration::ZERO);
    }

    #[tokio::test]
    async fn neither_a_process_that_did_not_run_nor_what_had_to_be_shown_makes_anybody_wait_for_long() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        throttle.used(start + MS * 60_000, MS * 60_000);
        assert!(throttle.wait(start + MS * 60_000) <= LONGEST * PARTS);
        for n in 0..1_000 {
            throttle.used(start + MS * (60_000 + n), MS);
        }
        assert!(throttle.wait(start + MS * 61_000) <= LONGEST * PARTS);
    }
}
