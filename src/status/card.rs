//! One subscription's status, as it is and as it was written.
//!
//! Touches nothing; the time comes in. Invariants: a card is due when what is true differs from what was written, at the
//! pace's time and not before a failed write has cooled down; a card whose write is under way is not due.

use changehook_core::Now;
use changehook_core::engine::View;
use k8s_openapi::jiff::Timestamp;

use super::Verdict;
use super::compose::compose;
use super::pace::{Change, due};
use crate::api::SubscriptionStatus;

/// After a failed write; doubled with each one that follows, up to [`AGAIN_MAX`].
const AGAIN: u64 = 2_000;
const AGAIN_MAX: u64 = 32_000;

/// See the module's head.
pub(super) struct Card {
    pub verdict: Verdict,
    pub view: Option<View>,
    pub written: SubscriptionStatus,
    /// In the writer's agenda under this time.
    pub entered: Option<u64>,
    pub under_way: bool,
    written_at: Option<u64>,
    /// Since when there is something to write.
    changed_since: Option<u64>,
    not_before: u64,
    failures: u32,
}

impl Card {
    pub fn new(verdict: Verdict, view: Option<View>) -> Self {
        Self {
            written: verdict.before.clone(),
            verdict,
            view,
            entered: None,
            under_way: false,
            written_at: None,
            changed_since: None,
            not_before: 0,
            failures: 0,
        }
    }

    /// The status as of now, if it differs from the one last written.
    pub fn news(&self, now: Now) -> Option<SubscriptionStatus> {
        let at = Timestamp::from_second(now.wall.div_euclid(1000)).unwrap_or_default();
        let status = compose(&self.written, &self.verdict, self.view.as_ref(), at);
        (status != self.written).then_some(status)
    }

    /// When the status is to be written, if at all.
    pub fn due(&mut self, now: Now) -> Option<u64> {
        if self.under_way {
            return None;
        }
        let Some(status) = self.news(now) else {
            self.changed_since = None;
            return None;
        };
        let since = *self.changed_since.get_or_insert(now.mono);
        due(weigh(&self.written, &status), since, self.written_at).map(|at| at.max(self.not_before))
    }

    /// A write begins.
    pub fn begins(&mut self, mono: u64) {
        self.under_way = true;
        self.written_at = Some(mono);
        self.changed_since = None;
    }

    /// It succeeded.
    pub fn succeeded(&mut self, status: SubscriptionStatus) {
        self.under_way = false;
        self.written = status;
        self.not_before = 0;
        self.failures = 0;
    }

    /// It failed.
    pub fn failed(&mut self, mono: u64) {
        self.under_way = false;
        self.not_before = mono + (AGAIN << self.failures.min(8)).min(AGAIN_MAX);
        self.failures += 1;
    }

    /// There is nothing it could be written to: the controller will tell of that, or the object will be back.
    pub fn pointless(&mut self, mono: u64) {
        self.under_way = false;
        self.not_before = mono + AGAIN_MAX;
    }
}

/// How much there is to write.
fn weigh(before: &SubscriptionStatus, after: &SubscriptionStatus) -> Change {
    let breaker = |status: &SubscriptionStatus| status.endpoint.as_ref().and_then(|endpoint| endpoint.breaker);
    let flip = before.observed_generation != after.observed_generation
        || before.conditions != after.conditions
        || before.retries != after.retries
        || before.parked_samples != after.parked_samples
        || breaker(before) != breaker(after);
    match (flip, before == after) {
        (true, _) => Change::Flip,
        (false, true) => Change::None,
        (false, false) => Change::Counters,
    }
}
