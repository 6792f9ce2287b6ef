//! The endpoint-wide pause of one subscription: when it starts, when to probe, how it ends.
//!
//! Touches nothing. Invariants: it delays and never drops; while it is open at most one probe is under way; recovery is
//! noticed within the longest retry delay or a tenth of the outage, whichever is longer.

use std::collections::BTreeSet;

use crate::object::ObjectKey;
use crate::retry::RetryPolicy;

/// So many different objects in a row failing mean that it is the endpoint.
const STREAK: usize = 3;

/// Whether requests may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// They may.
    Closed,
    /// Only probes, one at a time.
    Open {
        /// When the next probe may go, on the monotonic clock.
        next_probe: u64,
        /// A probe is under way.
        probing: bool,
    },
    /// A probe succeeded; so many may be under way, doubling with every success.
    HalfOpen {
        /// Requests that may be under way at once.
        limit: u32,
    },
}

/// One subscription's breaker.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    state: BreakerState,
    /// Different objects that failed since the last success, no more than it takes.
    streak: BTreeSet<ObjectKey>,
    /// Different objects refused with a status that blames the endpoint only when it is common.
    refused: BTreeSet<ObjectKey>,
    consecutive_failures: u32,
    failing_since: Option<u64>,
    /// When the endpoint last answered well.
    last_success: Option<u64>,
    /// The highest attempt number of the outage, probes counted on.
    step: u32,
}

/// What a success means for everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Nothing changed.
    None,
    /// The outage is over: release what it parked.
    Over,
}

impl Breaker {
    pub fn new() -> Self {
        Self {
            state: BreakerState::Closed,
            streak: BTreeSet::new(),
            refused: BTreeSet::new(),
            consecutive_failures: 0,
            failing_since: None,
            last_success: None,
            step: 0,
        }
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    pub fn step(&self) -> u32 {
        self.step
    }

    pub fn has_answered(&self) -> bool {
        self.last_success.is_some()
    }

    pub fn succeeded_since(&self, mono: u64) -> bool {
        self.last_success.is_some_and(|at| at >= mono)
    }

    /// How many of `max_in_flight` may be under way; probes are asked for with [`Self::may_probe`].
    pub fn limit(&self, max_in_flight: u32) -> u32 {
        match self.state {
            BreakerState::Closed => max_in_flight,
            BreakerState::Open { .. } => 0,
            BreakerState::HalfOpen { limit } => limit.min(max_in_flight),
        }
    }

    pub fn may_probe(&self, mono: u64) -> bool {
        matches!(self.state, BreakerState::Open { next_probe, probing: false } if next_probe <= mono)
    }

    pub fn probe_started(&mut self) {
        if let BreakerState::Open { probing, .. } = &mut self.state {
            *probing = true;
        }
    }

    /// The probe did not become a request after all.
    pub fn probe_abandoned(&mut self) {
        if let BreakerState::Open { probing, .. } = &mut self.state {
            *probing = false;
        }
    }

    /// An attempt failed for the endpoint's sake. Returns whether the breaker opened by it.
    pub fn failed(&mut self, mono: u64, object: &ObjectKey, attempt: u32, probe: bool, policy: &RetryPolicy) -> bool {
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        self.failing_since.get_or_insert(mono);
        if self.streak.len() < STREAK {
            self.streak.insert(object.clone());
        }
        match self.state {
            BreakerState::Open { .. } if probe => {
                self.step = self.step.saturating_add(1);
                self.schedule(mono, policy);
                false
            }
            BreakerState::Open { .. } => false,
            BreakerState::Closed | BreakerState::HalfOpen { .. } => {
                self.step = self.step.max(attempt);
                let open = self.streak.len() >= STREAK;
                if open {
                    self.schedule(mono, policy);
                }
                open
            }
        }
    }

    /// An object used up its attempts and no other succeeded meanwhile: the endpoint is down.
    pub fn exhausted(&mut self, mono: u64, policy: &RetryPolicy) {
        if !matches!(self.state, BreakerState::Open { .. }) {
            self.schedule(mono, policy);
        }
    }

    /// A refusal that means the endpoint when it is common. Returns true once it is.
    pub fn refused(&mut self, object: &ObjectKey) -> bool {
        if self.refused.len() < STREAK {
            self.refused.insert(object.clone());
        }
        self.refused.len() >= STREAK
    }

    /// The endpoint answered well, or at least answered for itself.
    pub fn answered(&mut self, mono: u64, max_in_flight: u32) -> Recovery {
        self.streak.clear();
        self.refused.clear();
        self.consecutive_failures = 0;
        self.failing_since = None;
        self.last_success = Some(mono);
        self.step = 0;
        match self.state {
            BreakerState::Closed => Recovery::None,
            BreakerState::Open { .. } => {
                self.state = BreakerState::HalfOpen { limit: 1 };
                Recovery::Over
            }
            BreakerState::HalfOpen { limit } if limit.saturating_mul(2) >= max_in_flight => {
                self.state = BreakerState::Closed;
                Recovery::None
            }
            BreakerState::HalfOpen { limit } => {
                self.state = BreakerState::HalfOpen { limit: limit * 2 };
                Recovery::None
            }
        }
    }

    fn schedule(&mut self, mono: u64, policy: &RetryPolicy) {
        let step = self.step.clamp(1, policy.max_retries.max(1));
        let outage = self.failing_since.map_or(0, |since| mono.saturating_sub(since));
        let wait = policy.delay_ms(step, 0, None).max(outage / 10).min(policy.outage_max_delay_ms);
        self.state = BreakerState::Open { next_probe: mono + wait, probing: false };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::object::Gvk;

    fn object(n: u32) -> ObjectKey {
        ObjectKey { kind: Arc::new(Gvk::new("v1", "ConfigMap").group_kind()), uid: n.to_string().into() }
    }

    #[test]
    fn three_different_objects_in_a_row_open_it_and_one_object_thrice_does_not() {
        let policy = RetryPolicy::default();
        let mut same = Breaker::new();
        for attempt in 1..=3 {
            assert!(!same.failed(0, &object(1), attempt, false, &policy));
        }
        let mut different = Breaker::new();
        assert!(!different.failed(0, &object(1), 1, false, &policy));
        assert!(!different.failed(0, &object(2), 1, false, &policy));
        assert!(different.failed(0, &object(3), 1, false, &policy));
        assert_eq!(different.limit(16), 0);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let policy = RetryPolicy::default();
        let mut breaker = Breaker::new();
        breaker.failed(0, &object(1), 1, false, &policy);
        breaker.failed(0, &object(2), 1, false, &policy);
        breaker.answered(1, 16);
        assert!(!breaker.failed(2, &object(3), 1, false, &policy));
    }

    #[test]
    fn probes_follow_the_retry_delays_and_then_a_tenth_of_the_outage_up_to_the_limit() {
        let policy = RetryPolicy::default();
        let mut breaker = Breaker::new();
        let mut now = 0;
        for n in 0..3 {
            breaker.failed(now, &object(n), 1, false, &policy);
        }
        let mut waits = Vec::new();
        for _ in 0..400 {
            let BreakerState::Open { next_probe, .. } = breaker.state() else { panic!("it must stay open") };
            waits.push(next_probe - now);
            now = next_probe;
            assert!(breaker.may_probe(now));
            breaker.probe_started();
            assert!(!breaker.may_probe(now));
            breaker.failed(now, &object(0), 1, true, &policy);
        }
        assert_eq!(waits[..4], [2_000, 4_000, 8_000, 8_000]);
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(waits.last(), Some(&300_000));
    }

    #[test]
    fn after_the_first_good_answer_the_limit_doubles_until_it_is_closed() {
        let policy = RetryPolicy::default();
        let mut breaker = Breaker::new();
        for n in 0..3 {
            breaker.failed(0, &object(n), 1, false, &policy);
        }
        assert_eq!(breaker.answered(2_000, 16), Recovery::Over);
        let mut limits = vec![breaker.limit(16)];
        for now in 0..4 {
            assert_eq!(breaker.answered(2_001 + now, 16), Recovery::None);
            limits.push(breaker.limit(16));
        }
        assert_eq!(limits, [1, 2, 4, 8, 16]);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
