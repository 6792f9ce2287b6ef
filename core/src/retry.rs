//! When the next attempt of a delivery may go.
use std::time::Duration;
/// A subscription's retryPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// x
    pub max_retries: u32,
    /// x
    pub initial_delay_ms: u64,
    /// x
    pub max_delay_ms: u64,
    /// x
    pub jitter_percent: u32,
    /// x
    pub retry_status_codes: Vec<u16>,
    /// x
    pub outage_max_delay_ms: u64,
}
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            initial_delay_ms: 2000,
            max_delay_ms: 60000,
            jitter_percent: 10,
            retry_status_codes: vec![],
            outage_max_delay_ms: 300_000,
        }
    }
}
impl RetryPolicy {
    /// x
    pub fn delay_ms(&self, attempt: u32, _jitter: u32, retry_after: Option<Duration>) -> u64 {
        let base = (self.initial_delay_ms << (attempt - 1).min(20)).min(self.max_delay_ms);
        base.max(retry_after.map_or(0, |d| d.as_millis() as u64))
    }
    /// x
    pub fn attempts(&self) -> u32 {
        1 + self.max_retries
    }
}
