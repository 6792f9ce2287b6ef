//! How long to wait after a failure.
//!
//! Pure: the seed is an argument. Invariant: a delay is never more than its cap, and from the second failure on never
//! less than half of what the doubling gives.

use std::time::Duration;

/// Doubling delays with jitter.
pub(super) struct Pace {
    min: Duration,
    max: Duration,
    failures: u32,
    random: u64,
}

impl Pace {
    pub(super) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        // xorshift has one fixed point, zero
        Self { min, max, failures: 0, random: seed.max(1) }
    }

    /// The delay after one more failure, at most `cap`.
    pub(super) fn next(&mut self, cap: Duration) -> Duration {
        let delay = self.delay(self.failures, cap);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// The delay after one more failure, of which the first costs nothing: a lost connection resumes at once.
    pub(super) fn next_or_now(&mut self) -> Duration {
        let before = self.failures;
        self.failures = self.failures.saturating_add(1);
        if before == 0 { Duration::ZERO } else { self.delay(before - 1, self.max) }
    }

    fn delay(&mut self, doublings: u32, cap: Duration) -> Duration {
        let whole = self.min.saturating_mul(1 << doublings.min(16)).min(self.max).min(cap);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        whole.mul_f64(0.5 + (self.random >> 11) as f64 / (1u64 << 53) as f64 / 2.0)
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(Duration::from_millis(500), Duration::from_secs(30), 7)
    }

    #[test]
    fn delays_double_up_to_the_cap_and_jitter_only_shortens_by_half() {
        let mut pace = pace();
        for whole in [500u64, 1000, 2000, 4000, 8000, 16000, 30000, 30000] {
            let delay = pace.next(Duration::from_mins(1)).as_millis() as u64;
            assert!((whole / 2..=whole).contains(&delay), "{delay} for {whole}");
        }
        assert!(pace.next(Duration::from_secs(10)) <= Duration::from_secs(10));
        for _ in 0..1000 {
            assert!(pace.next(Duration::from_mins(1)) <= Duration::from_secs(30));
        }
    }

    #[test]
    fn the_first_lost_connection_costs_nothing_and_the_second_waits() {
        let mut pace = pace();
        assert_eq!(pace.next_or_now(), Duration::ZERO);
        let second = pace.next_or_now();
        assert!(second >= Duration::from_millis(250), "{second:?}");
        assert!(pace.next_or_now() >= Duration::from_millis(500));
        pace.reset();
        assert_eq!(pace.next_or_now(), Duration::ZERO);
    }
}
