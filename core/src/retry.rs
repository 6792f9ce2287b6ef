//! When the next attempt of a delivery may go.
//!
//! Touches nothing; jitter comes in as a number. Invariant: never earlier than the schedule, jitter only adds.

/// A subscription's retryPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {}
