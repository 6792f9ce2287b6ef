//! Plans: how a subscription starts, is edited and ends.
//!
//! Touches nothing. Invariants: an edit adopts what it newly selects and silences what it selects no more, or tells both if
//! that is asked for, and nothing else: what was owed before the edit stays owed, even if the operator crashes in the middle
//! of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::desk::{Baseline, Desk};
use super::shared::{Leftover, Shared};
use super::slot::{Phase, Shown, Slot};
use super::{Engine, Map, Subscription};
use crate::Now;
use crate::ledger::{Book, Fact, Loss};
use crate::object::{GroupKind, ObjectKey};
use crate::plan::{Existing, Plan, SubscriptionId};
use crate::proof::{Mark as Passed, Rule, broken, passed};

impl Engine {
    /// A subscription is new, or was edited. Follow it with [`Engine::replanned`] for each object it now sees, then with
    /// [`Engine::synced`] for each kind whose list is complete.
    pub fn plan(&mut self, now: Now, plan: Plan) {
        let id = plan.id.clone();
        let begins = !self.subscriptions.contains_key(&id);
        let book = self.unclaimed.remove(&id);
        let loss = if begins { self.claimed.loss(&plan, book.as_ref()) } else { None };
        let loss = loss.filter(|_| !broken(Rule::LossIsNoticed));
        if loss == Some(Loss::Outdated) {
            self.note_outdated(now);
        }
        let shared = &mut self.shared;
        let subscription = self
            .subscriptions
            .entry(id.clone())
            .or_insert_with(|| Subscription { slots: Map::default(), desk: Desk::new(plan.clone(), now.wall) });
        if begins {
            subscription.desk.predecessors = shared.leftovers_of(&subscription.desk.plan);
        }
        if let Some(book) = book {
            subscription.restore(shared, now, book);
        }
        let old = std::mem::replace(&mut subscription.desk.plan, plan);
        // A watch that moves to another source brings the same plan again; what that source shows otherwise is told.
        subscription.desk.reselects.clear();
        subscription.desk.doubts.clear();
        // What is done about objects of a kind that has no baseline.
        let policy = &subscription.desk.plan.policy;
        let newcomers = match loss {
            Some(_) => policy.on_loss.existing(),
            None if subscription.desk.baselines.is_empty() => policy.initial_sync,
            None => policy.selection_change,
        };
        if let Some(loss) = loss {
            subscription.recover(shared, now, loss);
        }
        subscription.edit_interests(shared, now, &old, newcomers);
        subscription.follow_recipe(shared, now);
        subscription.hear_requests(shared, now);
        if old.config_hash != subscription.desk.plan.config_hash && !broken(Rule::ConfigurationReleases) {
            subscription.start_afresh(shared, now);
        }
        let keys: Vec<ObjectKey> = subscription.slots.keys().cloned().collect();
        for key in keys {
            subscription.reconsider(shared, now, &key);
        }
        let desk = &mut subscription.desk;
        desk.paused_until = 0;
        shared.ring.enlist(&desk.plan.namespace, &id);
        shared.mark_changed(desk);
    }

    /// What an earlier life knew of subscriptions that are not among these is dropped: they were deleted meanwhile.
    pub fn sweep(&mut self, now: Now, known: &BTreeSet<SubscriptionId>) {
        let gone: Vec<SubscriptionId> = self.unclaimed.keys().filter(|id| !known.contains(*id)).cloned().collect();
        for id in gone {
            passed(Passed::Swept);
            self.unclaimed.remove(&id);
            self.shared.journal.add(now, &id, Fact::Forget);
        }
    }

    /// The subscription is gone: nothing more is started for it, what it owed is dropped.
    pub fn remove(&mut self, now: Now, id: &SubscriptionId) {
        let shared = &mut self.shared;
        let Some(mut subscription) = self.subscriptions.remove(id) else {
            if self.unclaimed.remove(id).is_some() {
                shared.journal.add(now, id, Fact::Forget);
            }
            return;
        };
        let mut leftover = 0;
        for slot in subscription.slots.values_mut() {
            if slot.phase == Phase::InFlight {
                // All that will be left of it is this permit, which comes back with the answer.
                leftover += 1;
                if let Some(permit) = slot.permit.take().filter(|permit| permit.lane.is_late()) {
                    shared.ring.not_late_any_more(&permit.host);
                }
            } else {
                shared.give_back(&mut subscription.desk, slot);
            }
        }
        if leftover > 0 {
            let Plan { namespace, host, .. } = &subscription.desk.plan;
            let (namespace, host) = (Arc::clone(namespace), Arc::clone(host));
            let left = shared.leftover.entry(id.clone()).or_insert(Leftover { namespace, host, requests: 0 });
            left.requests += leftover;
        }
        if let Some(at) = subscription.desk.alarm {
            shared.alarms.remove(&(at, id.clone()));
        }
        passed(Passed::Forgotten);
        shared.opening.remove(id);
        shared.recovering.remove(id);
        shared.crowded.remove(id);
        shared.admitted -= subscription.desk.admitted;
        shared.freed = true;
        if subscription.desk.changed {
            shared.changed.retain(|other| other != id);
        }
        let Plan { namespace, .. } = &subscription.desk.plan;
        shared.poor.leave(namespace, id);
        shared.journal.add_of(now, namespace, id, Fact::Forget);
    }
}

impl Subscription {
    /// Takes over what an earlier life left.
    fn restore(&mut self, shared: &mut Shared, now: Now, book: Book) {
        let Self { slots, desk } = self;
        let Book { entries, marks, resync, requests, recipes, loss: _ } = book;
        desk.resync = resync;
        // A part that is lost may be what held them; the status repeats only what was durable.
        desk.requests = (0, requests.after(&desk.plan.claims.requests));
        desk.recipes = recipes;
        for (key, entry) in entries {
            desk.enlist(&key, &entry.named);
            let mut slot = Slot::restored(entry, now.wall);
            desk.take_room(shared, &mut slot);
            if let Some(parked) = slot.parked {
                if parked.config_hash == desk.plan.config_hash {
                    passed(Passed::RestoredParked);
                    desk.note_parked(&key, &mut slot, parked);
                } else {
                    // The configuration that failed is not the present one.
                    passed(Passed::RestoredReleased);
                    shared.record(now, desk, Fact::Release { object: key.clone() });
                    slot.parked = None;
                }
            }
            if slot.sending.is_some() && slot.parked.is_none() {
                desk.inherited.insert(key.clone());
            }
            if slot.parked.is_none() && (slot.sending.is_some() || slot.pledged) {
                passed(Passed::RestoredOwed);
                desk.note_owed(&key, &mut slot, now.wall);
            }
            slots.insert(key, slot);
        }
        for (kind, mark) in marks {
            desk.baselines.insert(kind, Baseline::restored(mark));
        }
        if !desk.outage.is_empty() {
            // Whether the outage is over is found out by a probe.
            desk.breaker.reopen(now.mono);
        }
    }

    fn edit_interests(&mut self, shared: &mut Shared, now: Now, old: &Plan, newcomers: Existing) {
        let interests = self.desk.plan.interests.clone();
        let kinds: Vec<Arc<GroupKind>> = interests.iter().map(|interest| Arc::new(interest.gvk.group_kind())).collect();
        let left: BTreeSet<Arc<GroupKind>> =
            self.desk.baselines.keys().filter(|kind| !kinds.contains(kind)).cloned().collect();
        for kind in left {
            passed(Passed::KindLeft);
            self.desk.baselines.remove(&kind);
            if !self.desk.listed.remove(&kind) {
                self.desk.note_all_listed(now);
            }
            self.desk.whole.remove(&kind);
            self.desk.recounted.remove(&kind);
            self.desk.reselects.insert(Arc::clone(&kind));
            shared.record(now, &self.desk, Fact::Unmark { kind });
        }
        let selection_change = self.desk.plan.policy.selection_change;
        for (_, slot) in self.slots.iter_mut().filter(|(key, _)| !kinds.contains(&key.kind)) {
            withdraw(slot, selection_change);
        }
        for (kind, interest) in kinds.into_iter().zip(interests) {
            let edited = old.interests.iter().find(|other| other.gvk.group_kind() == *kind).is_some_and(|other| {
                !other.selector.chooses_as(&interest.selector) || other.namespace != interest.namespace
            });
            if edited || broken(Rule::MovesAreNoEdits) {
                self.desk.reselects.insert(Arc::clone(&kind));
            }
            match self.desk.baselines.get(&kind).copied() {
                None => self.begin_baseline(shared, now, kind, newcomers),
                Some(baseline) if edited => match selection_change {
                    Existing::Adopt => self.adopt_anew(shared, now, kind, baseline),
                    Existing::Notify => self.adopt_no_more(shared, now, kind, baseline),
                },
                Some(_) => {}
            }
        }
    }

    /// Other objects of the kind are selected now; those that are new in the selection are adopted.
    fn adopt_anew(&mut self, shared: &mut Shared, now: Now, kind: Arc<GroupKind>, baseline: Baseline) {
        // Before this leader has seen a list that could read everything, what is newly selected cannot be told from what
        // was owed all along; and what is to be told as it is listed is told.
        let owed_is_known = match baseline {
            Baseline::Waiting { mark } => mark.is_none(),
            Baseline::Open { .. } | Baseline::Closed => self.desk.whole.contains(&kind),
        };
        passed(if owed_is_known { Passed::AdoptedAnew } else { Passed::EditedUnlisted });
        if owed_is_known {
            self.pledge(shared, now, &kind);
            self.begin_baseline(shared, now, kind, Existing::Adopt);
        }
    }

    /// Other objects of the kind are selected now; those that are new in the selection are told, also if a baseline is
    /// still adopting what was selected before.
    fn adopt_no_more(&mut self, shared: &mut Shared, now: Now, kind: Arc<GroupKind>, baseline: Baseline) {
        passed(Passed::ToldAnew);
        match baseline {
            Baseline::Waiting { mark: None | Some(0) } | Baseline::Closed => {}
            Baseline::Waiting { mark: Some(_) } => self.begin_baseline(shared, now, kind, Existing::Notify),
            Baseline::Open { closes_at_seq, .. } => {
                shared.record(now, &self.desk, Fact::Mark { kind: Arc::clone(&kind), rv: 0, open: true });
                self.desk.baselines.insert(kind, Baseline::Open { mark: 0, closes_at_seq });
            }
        }
    }

    /// Objects that are owed as New stay so: a record keeps them from being adopted by the edit's baseline.
    fn pledge(&mut self, shared: &mut Shared, now: Now, kind: &GroupKind) {
        let Self { slots, desk } = self;
        for (key, slot) in slots.iter_mut().filter(|(key, _)| *key.kind == *kind && !broken(Rule::OwedIsPledged)) {
            // Also one that cannot be read at the moment.
            if slot.owed_since.is_none() || slot.pledged {
                continue;
            }
            if !slot.is_known() {
                passed(Passed::Pledged);
                shared.record(now, desk, Fact::Owe { object: key.clone(), named: slot.named.clone() });
                slot.pledged = true;
            }
            // One that is back while its end is still being told: the record follows that of the end.
            slot.pledged |= slot.is_selected() && slot.tells_the_end();
        }
    }
}

/// Its kind is not watched any more. It exists, as far as anybody knows, so nothing is told of it unless that is asked for;
/// but an end that was noticed before is.
fn withdraw(slot: &mut Slot, selection_change: Existing) {
    let silent = selection_change == Existing::Adopt;
    let ends = slot.tells_the_end();
    match &slot.shown {
        Shown::Selected { rv, .. } => {
            passed(Passed::Withdrawn);
            slot.tombstone = silent;
            slot.shown = Shown::Deselected { rv: *rv };
        }
        Shown::Unknown | Shown::Unseen => {
            passed(Passed::WithdrawnUnseen);
            slot.tombstone = silent && !ends;
            slot.shown = Shown::Deselected { rv: slot.highest_rv() };
        }
        Shown::Deselected { .. } | Shown::Gone { .. } => {}
    }
}
