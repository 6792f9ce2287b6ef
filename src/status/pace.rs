//! When a status may be written: soon after something flipped, now and then while only counters move, never too often.
//!
//! Touches nothing; times are monotonic milliseconds. Invariant: between two writes of one status lies at least
//! [`FLIP`], between two writes of all of them on average a tenth of a second.

/// Between two writes when a condition, a retry or the breaker changed.
pub const FLIP: u64 = 1_000;
/// Between two writes when only counters changed.
pub const COUNT: u64 = 10_000;
/// How long counters may settle before they are written: what is in flight now is done in a moment.
pub const SETTLE: u64 = 300;
/// The same for a flip: an edit is a verdict now and a view of the new plan a tenth of a second later, and what lies
/// between the two is not worth a flip of Ready.
pub const FLIP_SETTLE: u64 = 200;
/// Writes in a burst, over all subscriptions.
const BURST: u64 = 20;
/// Between two writes on average, over all subscriptions.
const EACH: u64 = 100;

/// How much there is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing.
    None,
    /// Counters or times.
    Counters,
    /// A condition, a retry, something parked, the breaker.
    Flip,
}

/// When a status that changed `since` is due, if it was last written at `written`.
pub fn due(change: Change, since: u64, written: Option<u64>) -> Option<u64> {
    match (change, written) {
        (Change::None, _) => None,
        (Change::Flip, None) => Some(since + FLIP_SETTLE),
        (Change::Flip, Some(written)) => Some((since + FLIP_SETTLE).max(written + FLIP)),
        (Change::Counters, None) => Some(since + SETTLE),
        (Change::Counters, Some(written)) => Some((since + SETTLE).max(written + COUNT)),
    }
}

/// A bucket of writes that fills at a constant rate.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// When it will be full.
    full_at: u64,
}

impl Bucket {
    /// Full.
    pub fn new() -> Self {
        Self { full_at: 0 }
    }

    /// Takes one write, or tells when to ask again.
    pub fn take(&mut self, now: u64) -> Result<(), u64> {
        let full_at = self.full_at.max(now);
        if full_at - now > (BURST - 1) * EACH {
            return Err(full_at - (BURST - 1) * EACH);
        }
        self.full_at = full_at + EACH;
        Ok(())
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_is_written_in_a_moment_and_the_next_one_a_second_later() {
        assert_eq!(due(Change::Flip, 500, None), Some(700));
        assert_eq!(due(Change::Flip, 500, Some(400)), Some(1_400));
        assert_eq!(due(Change::Flip, 5_000, Some(400)), Some(5_200));
    }

    #[test]
    fn counters_settle_first_and_are_written_every_ten_seconds_at_most() {
        assert_eq!(due(Change::Counters, 500, None), Some(800));
        assert_eq!(due(Change::Counters, 500, Some(400)), Some(10_400));
        assert_eq!(due(Change::None, 500, Some(400)), None);
    }

    #[test]
    fn a_flood_is_spread_to_ten_writes_a_second() {
        let mut bucket = Bucket::new();
        let mut now = 50_000;
        let mut writes = 0;
        while now < 60_000 {
            match bucket.take(now) {
                Ok(()) => writes += 1,
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        assert!((100..=121).contains(&writes), "{writes}");
    }
}
