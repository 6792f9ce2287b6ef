//! What was known of an endpoint is lost, in whole or in part: how that is noticed, and how it is made up for.
//!
//! Touches nothing. Invariants: who had nothing has lost nothing; with Replay nothing is adopted, so that everything
//! selected is told; what makes up for the loss is durable, so that the next leader goes on with it.

use super::desk::Desk;
use super::journal::Journal;
use super::shared::Shared;
use super::view::LossView;
use super::{Engine, Subscription};
use crate::Now;
use crate::ledger::{Book, Fact, Loss};
use crate::plan::{Existing, OnLoss, Plan, SubscriptionId};
use crate::proof::{Mark, passed};

/// What was durable when this leader took over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimed {
    /// The highest sequence in the ledger.
    pub durable: u64,
    /// The one from which this leader counts on.
    pub base: u64,
    /// What is lost for everybody.
    pub loss: Option<Loss>,
}

impl Claimed {
    /// What the subscription of this plan has lost.
    pub fn loss(self, plan: &Plan, book: Option<&Book>) -> Option<Loss> {
        let witness = plan.claims.witness;
        let outdated = witness.is_some_and(|witness| witness.sequence > self.durable);
        match book {
            Some(book) => book.loss.or(self.loss).or(outdated.then_some(Loss::Outdated)),
            None => witness.map(|_| self.loss.unwrap_or(Loss::Missing)),
        }
    }
}

/// Puts on record that the book lost something, to be made up for by whoever gets to it.
pub(super) fn note(journal: &mut Journal, now: Now, id: &SubscriptionId, book: &mut Book, loss: Loss) {
    book.loss = Some(loss);
    journal.add(now, id, Fact::Lost { loss: Some(loss) });
    journal.hurry(now, None);
}

impl OnLoss {
    /// What is done about objects of which nothing is known.
    pub(super) fn existing(self) -> Existing {
        match self {
            Self::Replay => Existing::Notify,
            Self::Adopt => Existing::Adopt,
        }
    }
}

impl Engine {
    /// The ledger is older than one subscription's status saw it, so it is for all, also for those that come later.
    pub(super) fn note_outdated(&mut self, now: Now) {
        let Self { unclaimed, shared, .. } = self;
        for (id, book) in unclaimed.iter_mut().filter(|(_, book)| book.loss.is_none()) {
            note(&mut shared.journal, now, id, book, Loss::Outdated);
        }
    }

    /// What was lost is made up for once everything that was there when all lists were complete is told, or given up.
    pub(super) fn end_recoveries(&mut self) {
        let Self { subscriptions, shared, .. } = self;
        if shared.recovering.is_empty() {
            return;
        }
        for id in std::mem::take(&mut shared.recovering) {
            let Some(Subscription { desk, .. }) = subscriptions.get_mut(&id) else { continue };
            if desk.has_caught_up() {
                passed(Mark::Recovered);
                desk.lost = None;
                shared.mark_changed(desk);
            } else {
                shared.recovering.insert(id);
            }
        }
    }
}

impl Desk {
    /// Everything that existed when all lists were complete is told by now, or given up.
    pub fn has_caught_up(&self) -> bool {
        let since = self.all_listed_at.filter(|_| self.all_live() && self.listed.len() == self.baselines.len());
        since.is_some_and(|since| self.owed.first().is_none_or(|(owed, _)| *owed > since))
    }
}

impl Subscription {
    /// Begins to make up for what was lost.
    pub(super) fn recover(&mut self, shared: &mut Shared, now: Now, loss: Loss) {
        let policy = self.desk.plan.policy.on_loss;
        passed(match policy {
            OnLoss::Replay => Mark::LossReplayed,
            OnLoss::Adopt => Mark::LossAdopted,
        });
        self.desk.lost = Some(LossView { loss, since: now.wall, policy });
        shared.recovering.insert(self.desk.plan.id.clone());
        if policy == OnLoss::Replay && !self.slots.is_empty() {
            // First of all: once anything of this life is durable, an outdated ledger does not look outdated any more.
            self.tell_all_again(shared, now);
        }
        let kinds: Vec<_> = self.desk.baselines.keys().cloned().collect();
        for kind in kinds {
            self.begin_baseline(shared, now, kind, policy.existing());
        }
        self.desk.baseline_at = None;
        // All of this is in one commit with what makes up for the loss.
        shared.record(now, &self.desk, Fact::Lost { loss: None });
    }
}
