//! Whether the loops that must never stop still turn.
//!
//! Touches nothing; the time is an argument. Invariant: a heartbeat counts from its registration until it is dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use changehook_core::Now;

/// A loop that has not turned for so long is stuck.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// The loops that are watched.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    loops: Arc<Mutex<Vec<Watched>>>,
}

#[derive(Debug)]
struct Watched {
    name: &'static str,
    /// `mono` of the last beat; gone when the heartbeat is.
    last: Weak<AtomicU64>,
}

/// One loop's sign of life. A loop beats each time round, and at least every few seconds while it waits.
#[derive(Debug)]
pub struct Heartbeat {
    last: Arc<AtomicU64>,
}

/// A loop that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Its name.
    pub name: &'static str,
    /// How long it has not turned.
    pub since: Duration,
}

impl Liveness {
    /// Watches a loop from now on.
    pub fn heartbeat(&self, name: &'static str, now: Now) -> Heartbeat {
        let last = Arc::new(AtomicU64::new(now.mono));
        // a panic while the lock is held cannot leave the list half changed
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.retain(|watched| watched.last.strong_count() > 0);
        loops.push(Watched { name, last: Arc::downgrade(&last) });
        Heartbeat { last }
    }

    /// The loops that have not turned for [`STALE_AFTER`].
    pub fn stuck(&self, now: Now) -> Vec<Stuck> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = loops.iter().filter_map(|watched| {
            let last = watched.last.upgrade()?.load(Ordering::Relaxed);
            Some(Stuck { name: watched.name, since: Duration::from_millis(now.mono.saturating_sub(last)) })
        });
        stuck.filter(|stuck| stuck.since > STALE_AFTER).collect()
    }
}

impl Heartbeat {
    /// The loop turns.
    pub fn beat(&self, now: Now) {
        self.last.store(now.mono, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: seconds * 1000, wall: 0 }
    }

    #[test]
    fn a_loop_is_stuck_when_it_has_not_turned_for_thirty_seconds() {
        let liveness = Liveness::default();
        let driver = liveness.heartbeat("driver", at(5));
        let other = liveness.heartbeat("other", at(5));
        assert_eq!(liveness.stuck(at(35)), []);
        other.beat(at(20));
        assert_eq!(liveness.stuck(at(36)), [Stuck { name: "driver", since: Duration::from_secs(31) }]);
        driver.beat(at(36));
        assert_eq!(liveness.stuck(at(37)), []);
    }

    #[test]
    fn a_loop_that_has_ended_is_not_stuck() {
        let liveness = Liveness::default();
        drop(liveness.heartbeat("driver", at(0)));
        assert_eq!(liveness.stuck(at(100)), []);
    }
}
