//! The source's numbers, in one place so that tests can shorten them.
//!
//! Touches nothing.

use std::time::Duration;

/// How patient and how greedy the sources are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a watch nobody holds any more goes on.
    pub linger: Duration,
    /// For one call that is no watch, its answer included, and for the head of a watch's answer.
    pub call_timeout: Duration,
    /// How long one watch lasts, asked of the API server.
    pub watch_timeout: Duration,
    /// No line, bookmarks included, for so long means that the connection is dead.
    pub idle_timeout: Duration,
    /// After so long without any contact a watch is not resumed; its kind is listed anew.
    pub resume_within: Duration,
    /// The first delay after a failure.
    pub backoff_min: Duration,
    /// The longest delay after failures.
    pub backoff_max: Duration,
    /// The longest delay while the kind is not installed.
    pub absent_retry_max: Duration,
    /// For how long a line that says nothing readable may have hidden a change before the kind is listed anew; longer
    /// each time, up to `resume_within`.
    pub doubt_min: Duration,
    /// What lies at least between the two discoveries that prove a kind absent.
    pub absence_gap: Duration,
    /// After how long a list that lacks most of what was known is asked for again, before it is believed.
    pub second_look: Duration,
    /// For how long every list has to be older than what was seen before versions are taken to count anew.
    pub rewind_after: Duration,
    /// How often what a watch told is compared with a list, at least.
    pub compare_every: Duration,
    /// For how long a difference has to last, unless comparisons are more frequent.
    pub compare_again: Duration,
    /// For how long sources of one group and version share what discovery said.
    pub discovery_ttl: Duration,
    /// For how long a source whose streaming list was refused or broken lists by pages.
    pub streaming_pause: Duration,
    /// Objects a page.
    pub page_size: u32,
    /// Bytes a page; a larger one is asked for again with fewer objects.
    pub page_bytes: usize,
    /// Bytes a watch line; after a longer one the kind is listed anew.
    pub line_bytes: usize,
    /// Where the sources' jitter comes from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            linger: Duration::from_mins(5),
            call_timeout: Duration::from_mins(1),
            watch_timeout: Duration::from_secs(290),
            idle_timeout: Duration::from_secs(100),
            resume_within: Duration::from_mins(5),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            absent_retry_max: Duration::from_secs(10),
            doubt_min: Duration::from_secs(20),
            absence_gap: Duration::from_secs(5),
            second_look: Duration::from_secs(5),
            rewind_after: Duration::from_mins(1),
            compare_every: Duration::from_hours(1),
            compare_again: Duration::from_mins(1),
            discovery_ttl: Duration::from_secs(10),
            streaming_pause: Duration::from_mins(10),
            page_size: 500,
            page_bytes: 64 << 20,
            line_bytes: 8 << 20,
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }
}
