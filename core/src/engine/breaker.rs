//! The endpoint-wide pause of one subscription: when it starts, when to probe, how it ends.
//!
//! Touches nothing. Invariants: it delays and never drops; while it is open at most one probe is under way; recovery is
//! noticed within the longest retry delay or a tenth of the outage, whichever is longer.

use std::collections::BTreeSet;

use crate::object::ObjectKey;
use crate::proof::{Mark, passed};
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
    /// How often the endpoint answered well.
    successes: u64,
    /// It has answered well since its configuration was last changed.
    proven: bool,
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
            successes: 0,
            proven: false,
            step: 0,
        }
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, BreakerState::Open { .. })
    }

    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    pub fn step(&self) -> u32 {
        self.step
    }

    pub fn is_proven(&self) -> bool {
        self.proven
    }

    pub fn successes(&self) -> u64 {
        self.successes
    }

    /// How many of `max_in_flight` may be under way; probes are asked for with [`Self::may_probe`].
    pub fn limit(&self, max_in_flight: u32) -> u32 {
        match self.state {
            BreakerState::Closed => max_in_flight,
            BreakerState::Open { .. } => 0,
            BreakerState::HalfOpen { limit } => limit.min(max_in_flight),
        }
    }

    /// When the next probe may go, if one is to go.
    pub fn next_probe(&self) -> Option<u64> {
        match self.state {
            BreakerState::Open { next_probe, probing: false } => Some(next_probe),
            BreakerState::Open { probing: true, .. } | BreakerState::Closed | BreakerState::HalfOpen { .. } => None,
        }
    }

    pub fn may_probe(&self, mono: u64) -> bool {
        self.next_probe().is_some_and(|at| at <= mono)
    }

    pub fn probe_started(&mut self) {
        self.set_probing(true);
    }

    /// The probe was answered, or did not become a request after all.
    pub fn probe_ended(&mut self) {
        self.set_probing(false);
    }

    fn set_probing(&mut self, is: bool) {
        if let BreakerState::Open { probing, .. } = &mut self.state {
            *probing = is;
        }
    }

    /// An attempt failed for the endpoint's sake.
    pub fn failed(&mut self, mono: u64, object: &ObjectKey, attempt: u32, probe: bool, policy: &RetryPolicy) {
        self.count_failure();
        self.failing_since.get_or_insert(mono);
        if self.streak.len() < STREAK {
            self.streak.insert(object.clone());
        }
        match self.state {
            BreakerState::Open { .. } if probe => {
                passed(Mark::ProbedInVain);
                self.step = self.step.saturating_add(1);
                self.schedule(mono, policy);
            }
            BreakerState::Open { .. } => self.was_tried(mono, policy),
            BreakerState::Closed | BreakerState::HalfOpen { .. } => {
                self.step = self.step.max(attempt);
                if self.streak.len() >= STREAK {
                    passed(Mark::OpenedByStreak);
                    self.schedule(mono, policy);
                }
            }
        }
    }

    /// A request that was no probe has failed while it is open: that was as good as a probe that is due by now.
    fn was_tried(&mut self, mono: u64, policy: &RetryPolicy) {
        if let BreakerState::Open { next_probe, probing } = self.state
            && next_probe <= mono
        {
            passed(Mark::TriedMeanwhile);
            self.schedule(mono, policy);
            self.set_probing(probing);
        }
    }

    /// An object used up its attempts and no other succeeded meanwhile: the endpoint is down.
    pub fn exhausted(&mut self, mono: u64, policy: &RetryPolicy) {
        if !self.is_open() {
            self.schedule(mono, policy);
        }
    }

    /// An attempt failed, whoever's trouble that is.
    pub fn count_failure(&mut self) {
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
    }

    /// A refusal that means the endpoint when it is common. Returns true once it is; then it is open.
    pub fn refused(&mut self, mono: u64, object: &ObjectKey, attempt: u32, probe: bool, policy: &RetryPolicy) -> bool {
        if self.refused.len() < STREAK {
            self.refused.insert(object.clone());
        }
        let common = self.refused.len() >= STREAK;
        if common || probe {
            self.failing_since.get_or_insert(mono);
            self.step = if probe { self.step.saturating_add(1) } else { self.step.max(attempt) };
        }
        if probe || (common && !self.is_open()) {
            self.schedule(mono, policy);
        } else {
            self.was_tried(mono, policy);
        }
        common
    }

    /// The endpoint answered well.
    pub fn succeeded(&mut self, max_in_flight: u32) -> Recovery {
        self.successes += 1;
        self.proven = true;
        self.consecutive_failures = 0;
        self.alive(max_in_flight)
    }

    /// The endpoint answered for itself, well or not: it is no outage.
    pub fn alive(&mut self, max_in_flight: u32) -> Recovery {
        self.streak.clear();
        self.refused.clear();
        self.failing_since = None;
        self.step = 0;
        match self.state {
            BreakerState::Closed => Recovery::None,
            BreakerState::Open { .. } => {
                passed(Mark::OutageOver);
                self.state = BreakerState::HalfOpen { limit: 1 };
                Recovery::Over
            }
            BreakerState::HalfOpen { limit } if limit.saturating_mul(2) >= max_in_flight => {
                passed(Mark::FullSpeed);
                self.state = BreakerState::Closed;
                Recovery::None
            }
            BreakerState::HalfOpen { limit } => {
                passed(Mark::SlowStart);
                self.state = BreakerState::HalfOpen { limit: limit * 2 };
                Recovery::None
            }
        }
    }

    /// Nothing is owed any more, so there is nothing to start slowly with.
    pub fn nothing_waits(&mut self) {
        if matches!(self.state, BreakerState::HalfOpen { .. }) {
            passed(Mark::NothingWaits);
            self.state = BreakerState::Closed;
        }
    }

    /// The endpoint is another one now; what it was like is history.
    pub fn forget_outage(&mut self) {
        *self = Self { successes: self.successes, ..Self::new() };
    }

    /// An earlier life left an outage; whether it is over is for a probe to find out, at once.
    pub fn reopen(&mut self, mono: u64) {
        passed(Mark::OutageInherited);
        self.state = BreakerState::Open { next_probe: mono, probing: false };
    }

    /// Somebody asks for another try: the next probe need not wait.
    pub fn probe_soon(&mut self, mono: u64) {
        if let BreakerState::Open { next_probe, .. } = &mut self.state {
            passed(Mark::ProbedSoon);
            *next_probe = mono.min(*next_probe);
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
            same.failed(0, &object(1), attempt, false, &policy);
        }
        assert!(!same.is_open());
        let mut different = Breaker::new();
        different.failed(0, &object(1), 1, false, &policy);
        different.failed(0, &object(2), 1, false, &policy);
        assert!(!different.is_open());
        different.failed(0, &object(3), 1, false, &policy);
        assert!(different.is_open());
        assert_eq!(different.limit(16), 0);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let policy = RetryPolicy::default();
        let mut breaker = Breaker::new();
        breaker.failed(0, &object(1), 1, false, &policy);
        breaker.failed(0, &object(2), 1, false, &policy);
        breaker.succeeded(16);
        breaker.failed(2, &object(3), 1, false, &policy);
        assert!(!breaker.is_open());
        assert_eq!(breaker.consecutive_failures(), 1);
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
        assert_eq!(breaker.succeeded(16), Recovery::Over);
        let mut limits = vec![breaker.limit(16)];
        for _ in 0..4 {
            assert_eq!(breaker.succeeded(16), Recovery::None);
            limits.push(breaker.limit(16));
        }
        assert_eq!(limits, [1, 2, 4, 8, 16]);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
