//! The only clock. Everything that decides gets its answer as an argument.
//!
//! Touches the system's clocks. Invariant: `mono` never goes back and is measured from the process's start, or by
//! [`counting_suspend`] from the machine's; `wall` is whatever the system says and may jump.

use changehook_core::Now;
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Reads both clocks at once.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose `mono` starts at 0 now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time.
    pub fn now(&self) -> Now {
        let mono = self.start.elapsed().as_millis();
        // 2^64 milliseconds are 584 million years
        Now { mono: u64::try_from(mono).unwrap_or(u64::MAX), wall: Timestamp::now().as_millisecond() }
    }
}

/// The one that goes on while the machine is suspended; elsewhere the ordinary one does.
#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: ClockId = ClockId::Monotonic;

/// The time on a clock that counts what the machine slept through, for rights that run out meanwhile. Its `mono` is not
/// that of a [`Clock`].
pub fn counting_suspend() -> Now {
    let boot = clock_gettime(BOOT);
    let mono = boot.tv_sec * 1000 + boot.tv_nsec / 1_000_000;
    Now { mono: u64::try_from(mono).unwrap_or(0), wall: Timestamp::now().as_millisecond() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn mono_counts_milliseconds_from_the_start() {
        let clock = Clock::start();
        assert_eq!(clock.now().mono, 0);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.now().mono, 1500);
    }

    #[test]
    fn wall_is_the_unix_time_in_milliseconds() {
        let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        let wall = Clock::start().now().wall;
        assert!((before..before + 60_000).contains(&wall), "{before} {wall}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_clock_that_counts_suspend_is_the_machines_uptime() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let boot = counting_suspend().mono as f64 / 1000.0;
        assert!((0.0..60.0).contains(&(boot - seconds + 0.01)), "{boot} {seconds}");
    }
}
