//! What happens when the endpoint does not answer with 2xx.
//!
//! Touches nothing. Invariant: the defaults are the contract's 2, 4 and 8 seconds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Attempts and delays of one delivery, and of an outage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryPolicy {
    /// How many more attempts follow the first one that failed; 0 for none. After the last one the change is parked, or what onExhausted says.
    #[schemars(range(min = 0, max = 20))]
    pub max_retries: i32,
    /// The delay before the first retry; each further one is twice as long.
    #[schemars(range(min = 1, max = 300))]
    pub initial_delay_seconds: i32,
    /// The longest delay between two attempts.
    #[schemars(range(min = 1, max = 3600))]
    pub max_delay_seconds: i32,
    /// A random part of the delay that is added to it, so that retries do not come all at once.
    #[schemars(range(min = 0, max = 100))]
    pub jitter_percent: i32,
    /// Statuses that are retried although they are final without being listed here: 4xx, 429 among them. 5xx are
    /// retried always and may be listed. A Retry-After header is honoured for the statuses listed here.
    #[schemars(
        length(max = 32),
        inner(range(min = 400, max = 599)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub retry_status_codes: Vec<i32>,
    /// While the endpoint is down, the longest time between two probes.
    #[schemars(range(min = 1, max = 3600))]
    pub outage_max_delay_seconds: i32,
    /// What happens to a change that was given up, because of the endpoint or because it was refused: `Park` keeps it
    /// owed, `Discard` counts it and takes the endpoint to have it.
    pub on_exhausted: OnExhausted,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            initial_delay_seconds: 2,
            max_delay_seconds: 60,
            jitter_percent: 10,
            retry_status_codes: Vec::new(),
            outage_max_delay_seconds: 300,
            on_exhausted: OnExhausted::Park,
        }
    }
}

/// What happens to a change that was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnExhausted {
    /// It stays owed.
    #[default]
    Park,
    /// It is counted and forgotten.
    Discard,
}
