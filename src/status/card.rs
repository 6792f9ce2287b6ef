//! One subscription's status, as it is and as it was written.
//!
//! Touches nothing; the time comes in. Invariants: a card is due when what is true differs from what was written, at the
//! pace's time and not before a failed write has cooled down; a card whose write is under way is not due; a loss of the ledger is
//! told once at least, however soon it was made up for.

use std::borrow::Cow;

use changehook_core::Now;
use changehook_core::engine::View;
use k8s_openapi::jiff::Timestamp;

use super::Verdict;
use super::compose::compose;
use super::pace::{Change, due};
use crate::api::SubscriptionStatus;
use crate::api::conditions::{Reason, Type, get};

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
    /// When the loss was noticed that the write under way tells of, and the one that a write has told of.
    telling_loss: Option<i64>,
    told_loss: Option<i64>,
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
            telling_loss: None,
            told_loss: None,
        }
    }

    /// The status as of now, if it differs from the one last written.
    pub fn news(&self, now: Now) -> Option<SubscriptionStatus> {
        let at = Timestamp::from_second(now.wall.div_euclid(1000)).unwrap_or_default();
        let status = compose(&self.written, &self.verdict, self.shown().as_deref(), at);
        (status != self.written).then_some(status)
    }

    /// The view, as if a loss went on that nobody was told of.
    fn shown(&self) -> Option<Cow<'_, View>> {
        let view = self.view.as_ref()?;
        let untold = view.last_loss.filter(|loss| view.loss.is_none() && self.told_loss != Some(loss.since));
        Some(match untold {
            Some(_) => Cow::Owned(View { loss: untold, ..view.clone() }),
            None => Cow::Borrowed(view),
        })
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
        self.telling_loss = self.view.as_ref().and_then(|view| view.last_loss).map(|loss| loss.since);
    }

    /// It succeeded.
    pub fn succeeded(&mut self, status: SubscriptionStatus) {
        self.under_way = false;
        if get(&status.conditions, Type::LedgerIntact).is_some_and(|told| told.reason == Reason::LedgerLost.as_str()) {
            self.told_loss = self.telling_loss;
        }
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

#[cfg(test)]
mod tests {
    use changehook_core::engine::LossView;
    use changehook_core::ledger::Loss;
    use changehook_core::plan::{OnLoss, SubscriptionId};

    use super::*;
    use crate::status::Standing;
    use crate::status::compose::tests::view;

    fn now(mono: u64) -> Now {
        Now { mono, wall: 0 }
    }

    fn card() -> Card {
        let verdict = Verdict {
            subscription: SubscriptionId { uid: "u".into() },
            kind: crate::api::SubscriptionKind::Namespaced,
            namespace: "shop".to_owned(),
            name: "hook".to_owned(),
            generation: 1,
            before: SubscriptionStatus::default(),
            standing: Standing::Progressing { message: "reading".to_owned() },
            suspended: false,
            silent: false,
            granted: None,
            host: None,
            remarks: Vec::new(),
        };
        Card::new(verdict, None)
    }

    fn written(card: &mut Card, mono: u64) {
        let status = card.news(now(mono)).unwrap();
        card.begins(mono);
        card.succeeded(status);
    }

    #[test]
    fn what_was_written_is_not_written_again_and_the_next_flip_waits_a_second() {
        let mut card = card();
        assert_eq!(card.due(now(5_000)), Some(5_200));
        assert_eq!(card.due(now(5_100)), Some(5_200), "since when it is due does not move");
        written(&mut card, 5_200);
        assert_eq!(card.due(now(5_300)), None);
        card.verdict.standing = Standing::Stalled { reason: Reason::InvalidSpec, message: "why".to_owned() };
        assert_eq!(card.due(now(5_300)), Some(6_200));
    }

    #[test]
    fn what_comes_back_to_what_was_written_is_due_no_more() {
        let mut card = card();
        written(&mut card, 5_000);
        let standing = card.verdict.standing.clone();
        card.verdict.standing = Standing::Progressing { message: "else".to_owned() };
        assert!(card.due(now(6_000)).is_some());
        card.verdict.standing = standing;
        assert_eq!(card.due(now(6_100)), None);
    }

    #[test]
    fn a_card_whose_write_is_under_way_is_not_due_and_what_changed_meanwhile_is_due_afterwards() {
        let mut card = card();
        let status = card.news(now(5_000)).unwrap();
        card.begins(5_000);
        card.verdict.generation = 2;
        assert_eq!(card.due(now(5_100)), None);
        card.succeeded(status);
        assert_eq!(card.due(now(5_900)), Some(6_100));
    }

    #[test]
    fn a_loss_that_is_over_before_anybody_looked_is_told_until_a_write_has_told_it_and_then_no_more() {
        let mut card = card();
        let loss = LossView { loss: Loss::Missing, since: 4_000, policy: OnLoss::Adopt };
        card.view = Some(View { loss: None, last_loss: Some(loss), ..view() });
        let told = |card: &Card| {
            let status = card.news(now(5_000)).unwrap();
            get(&status.conditions, Type::LedgerIntact).unwrap().reason.clone()
        };
        assert_eq!(told(&card), "LedgerLost");
        card.begins(5_000);
        card.failed(5_000);
        assert_eq!(told(&card), "LedgerLost", "nobody was told");
        written(&mut card, 8_000);
        assert_eq!(told(&card), "Intact");
        written(&mut card, 9_000);
        assert_eq!(card.due(now(9_500)), None);
        // another one
        card.view = Some(View { last_loss: Some(LossView { since: 9_600, ..loss }), ..view() });
        assert_eq!(told(&card), "LedgerLost");
    }

    #[test]
    fn a_write_that_fails_is_tried_again_later_and_later() {
        let mut card = card();
        let mut mono = 0;
        let mut waits = Vec::new();
        for _ in 0..6 {
            card.begins(mono);
            card.failed(mono);
            let due = card.due(now(mono)).unwrap();
            waits.push(due - mono);
            mono = due;
        }
        assert_eq!(waits, [2_000, 4_000, 8_000, 16_000, 32_000, 32_000]);
        written(&mut card, mono);
        card.verdict.generation = 2;
        card.begins(mono);
        card.failed(mono);
        assert_eq!(card.due(now(mono)), Some(mono + 2_000));
        card.begins(mono);
        card.pointless(mono);
        assert_eq!(card.due(now(mono)), Some(mono + 32_000));
    }
}
