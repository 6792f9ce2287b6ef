//! When the next attempt of a delivery may go.
//!
//! Touches nothing; jitter and the wall clock come in as numbers. Invariant: never earlier than the schedule, never
//! earlier than the endpoint asked for (up to [`MAX_RETRY_AFTER`]); jitter only adds.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The longest wait an endpoint can ask for: beyond an hour it is the outage handling's turn, not the endpoint's.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Longer values of `Retry-After` are not looked at; the longest valid date has 33 characters.
const MAX_RETRY_AFTER_CHARS: usize = 64;

/// A subscription's retryPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first one.
    pub max_retries: u32,
    /// The wait after the first attempt; doubles with each further one.
    pub initial_delay_ms: u64,
    /// What the doubling ends at.
    pub max_delay_ms: u64,
    /// How much of a delay may be added at random, 0 to 100.
    pub jitter_percent: u32,
    /// Statuses that are retried although they would be final, and whose `Retry-After` is honoured.
    pub retry_status_codes: Vec<u16>,
    /// The longest wait between probes of an endpoint that is down.
    pub outage_max_delay_ms: u64,
}

impl Default for RetryPolicy {
    /// The contract's schedule: 1 + 3 requests, after 2, 4 and 8 seconds.
    fn default() -> Self {
        Self {
            max_retries: 3,
            initial_delay_ms: 2_000,
            max_delay_ms: 60_000,
            jitter_percent: 10,
            retry_status_codes: Vec::new(),
            outage_max_delay_ms: 300_000,
        }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt` (from 1) failed: `initial · 2^(attempt − 1)`, at most `max`;
    /// `retry_after`, cut to [`MAX_RETRY_AFTER`], can only raise that; then `jitter` (0 to `u32::MAX`, which stands for
    /// 0 to `jitter_percent` of the wait) is added on top, so that many objects told to wait equally long do not come
    /// back at once. The longest wait is therefore one hour, or `max_delay_ms`, plus jitter.
    pub fn delay_ms(&self, attempt: u32, jitter: u32, retry_after: Option<Duration>) -> u64 {
        let doublings = attempt.saturating_sub(1);
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        let scheduled = self.initial_delay_ms.saturating_mul(factor).min(self.max_delay_ms);
        let asked = retry_after.map_or(0, |wait| millis(wait.min(MAX_RETRY_AFTER)));
        let wait = scheduled.max(asked);
        // 128 bits hold the product of a u64 and two u32
        let added =
            u128::from(wait) * u128::from(self.jitter_percent) * u128::from(jitter) / (100 * u128::from(u32::MAX));
        wait.saturating_add(u64::try_from(added).unwrap_or(u64::MAX))
    }

    /// Requests in one delivery.
    pub fn attempts(&self) -> u32 {
        self.max_retries.saturating_add(1)
    }
}

/// What a `Retry-After` header asks for: whole seconds, or one of the three HTTP dates seen from `now_wall_ms`; a
/// date that has passed asks for no wait. Cut to [`MAX_RETRY_AFTER`]. Anything else (fractions, signs, two values, junk)
/// is ignored: an endpoint can ask for a later attempt, never break the schedule.
pub fn parse_retry_after(value: &str, now_wall_ms: i64) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if value.is_empty() || value.len() > MAX_RETRY_AFTER_CHARS {
        return None;
    }
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // only overflow can fail here, and more than u64 seconds is more than an hour
        return Some(value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER));
    }
    let at = http_date_ms(value)?;
    let wait = at.saturating_sub(now_wall_ms).max(0).unsigned_abs();
    Some(Duration::from_millis(wait).min(MAX_RETRY_AFTER))
}

/// RFC 9110's HTTP-date: the one form to write and the two obsolete ones that must still be read, all in GMT.
fn http_date_ms(value: &str) -> Option<i64> {
    const FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let date = FORMS.iter().find_map(|form| DateTime::strptime(form, value).ok())?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const NOW: i64 = 784_111_777_000;

    #[test]
    fn the_default_schedule_is_the_contracts() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.attempts(), 4);
        assert_eq!([1, 2, 3].map(|attempt| policy.delay_ms(attempt, 0, None)), [2_000, 4_000, 8_000]);
        assert_eq!([1, 2, 3].map(|attempt| policy.delay_ms(attempt, u32::MAX, None)), [2_200, 4_400, 8_800]);
    }

    #[test]
    fn doubling_ends_at_the_longest_delay_and_never_overflows() {
        let policy = RetryPolicy::default();
        assert_eq!([5, 6, 7].map(|attempt| policy.delay_ms(attempt, 0, None)), [32_000, 60_000, 60_000]);
        assert_eq!(policy.delay_ms(64, 0, None), 60_000);
        assert_eq!(policy.delay_ms(65, 0, None), 60_000);
        assert_eq!(policy.delay_ms(u32::MAX, 0, None), 60_000);
        let endless =
            RetryPolicy { initial_delay_ms: u64::MAX, max_delay_ms: u64::MAX, jitter_percent: u32::MAX, ..policy };
        assert_eq!(endless.delay_ms(u32::MAX, u32::MAX, None), u64::MAX);
        assert_eq!(RetryPolicy { max_retries: u32::MAX, ..RetryPolicy::default() }.attempts(), u32::MAX);
    }

    #[test]
    fn retry_after_raises_the_wait_never_lowers_it_and_is_capped_at_an_hour() {
        let policy = RetryPolicy::default();
        let delay = |seconds| policy.delay_ms(1, 0, Some(Duration::from_secs(seconds)));
        assert_eq!([0, 1, 2, 3, 120].map(delay), [2_000, 2_000, 2_000, 3_000, 120_000]);
        assert_eq!([3_600, 3_601, u64::MAX].map(delay), [3_600_000; 3]);
        assert_eq!(policy.delay_ms(1, u32::MAX, Some(Duration::from_secs(100))), 110_000);
    }

    proptest! {
        #[test]
        fn jitter_only_adds_and_adds_no_more_than_its_share(
            attempt in 0_u32..80, jitter: u32, percent in 0_u32..=100, asked in proptest::option::of(0_u64..10_000),
        ) {
            let policy = RetryPolicy { jitter_percent: percent, ..RetryPolicy::default() };
            let asked = asked.map(Duration::from_secs);
            let bare = policy.delay_ms(attempt, 0, asked);
            let with = policy.delay_ms(attempt, jitter, asked);
            prop_assert!(with >= bare);
            prop_assert!(with <= bare + bare * u64::from(percent) / 100);
            if let Some(asked) = asked {
                prop_assert!(with >= millis(asked.min(MAX_RETRY_AFTER)));
            }
        }

        #[test]
        fn no_retry_after_value_panics_or_asks_for_more_than_an_hour(value in "\\PC{0,80}", now: i64) {
            if let Some(wait) = parse_retry_after(&value, now) {
                prop_assert!(wait <= MAX_RETRY_AFTER);
            }
        }
    }

    #[test]
    fn seconds_are_read() {
        for (value, seconds) in [("1", 1), ("0", 0), (" 120\t", 120), ("007", 7), ("3600", 3_600), ("3601", 3_600)] {
            assert_eq!(parse_retry_after(value, NOW), Some(Duration::from_secs(seconds)), "{value:?}");
        }
        for value in ["1000000000", "18446744073709551615", "99999999999999999999999999"] {
            assert_eq!(parse_retry_after(value, NOW), Some(MAX_RETRY_AFTER), "{value:?}");
        }
    }

    #[test]
    fn all_three_http_dates_are_read() {
        for value in ["Sun, 06 Nov 1994 08:50:07 GMT", "Sunday, 06-Nov-94 08:50:07 GMT", "Sun Nov  6 08:50:07 1994"] {
            assert_eq!(parse_retry_after(value, NOW), Some(Duration::from_secs(30)), "{value:?}");
        }
        assert_eq!(parse_retry_after("Mon, 07 Nov 1994 08:49:37 GMT", NOW), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn a_date_that_has_passed_asks_for_no_wait() {
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", NOW), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", i64::MAX), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", i64::MIN), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn garbage_is_ignored() {
        let long = "1".repeat(1_000_000);
        for value in [
            "",
            " ",
            "-1",
            "+1",
            "120.5",
            "1e9",
            "0x10",
            "1, 2",
            "1 2",
            "soon",
            "٣",
            "\u{0}1",
            "1\r\n",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
            long.as_str(),
        ] {
            assert_eq!(parse_retry_after(value, NOW), None, "{:?}", value.get(..60).unwrap_or(value));
        }
    }
}
