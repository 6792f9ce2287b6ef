//! Baselines: what exists when a kind is first seen, or newly selected, is taken as known, or told; and what a complete list
//! says of objects that only the ledger knows.
//!
//! Touches nothing. Invariants: while a baseline is open nothing of its subscription is declared; once it is closed it
//! adopts nothing; it closes only when every adopted entry is durable.

use std::sync::Arc;

use super::desk::{Baseline, Desk};
use super::shared::Shared;
use super::slot::{Shown, Slot};
use super::{Engine, ObjectKey, Subscription};
use crate::Now;
use crate::ledger::{Fact, Mark};
use crate::object::ObservedBy;
use crate::object::{GroupKind, ObjectName, Unreadable};
use crate::plan::{Existing, SubscriptionId};
use crate::proof::{Mark as Passed, Rule, broken, passed};
use crate::select::Synced;

impl Engine {
    /// A source is known to be complete: what it does not show of the subscription's objects is gone.
    pub fn conclude(&mut self, now: Now, id: &SubscriptionId, kind: &GroupKind, synced: &Synced) {
        match synced {
            Synced::Listed { rv, unreadable } => self.synced(now, id, kind, *rv, unreadable),
            Synced::Absent => self.kind_absent(now, id, kind),
        }
    }

    /// The list of a kind is complete as of `rv`, for this subscription's part of it.
    pub fn synced(&mut self, now: Now, id: &SubscriptionId, kind: &GroupKind, rv: u64, unreadable: &Unreadable) {
        self.settle_doubts(now, id, kind, rv);
        if matches!(unreadable, Unreadable::Named(_)) {
            self.confirm(now, id, kind, rv);
        }
        self.complete(now, id, kind, |slot| is_absent(unreadable, slot).then_some(rv), rv);
        if let Some(Subscription { desk, .. }) = self.subscriptions.get_mut(id) {
            desk.recounted.remove(kind);
        }
        if *unreadable == Unreadable::Named(Vec::new()) {
            self.note_whole(id, kind);
        }
    }

    /// A complete list of this version showed what is shown. An end that was declared as of an earlier one was an error.
    fn confirm(&mut self, now: Now, id: &SubscriptionId, kind: &GroupKind, rv: u64) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let mut confirmed = Vec::new();
        for (key, slot) in subscription.slots.iter_mut().filter(|(key, _)| *key.kind == *kind) {
            let shown = match slot.shown {
                Shown::Selected { rv, .. } | Shown::Deselected { rv } => rv.max(slot.confirmed),
                Shown::Gone { .. } | Shown::Unknown | Shown::Unseen => continue,
            };
            let highest = slot.highest_rv();
            if shown < highest && highest <= rv {
                passed(Passed::ShownConfirmed);
                slot.confirmed = rv;
                confirmed.push(key.clone());
            }
        }
        for key in confirmed {
            subscription.reconsider(&mut self.shared, now, &key);
        }
    }

    /// Discovery proved that the kind is served no more: every object of it is gone, whatever version it had.
    pub fn kind_absent(&mut self, now: Now, id: &SubscriptionId, kind: &GroupKind) {
        passed(Passed::GoneWithKind);
        if let Some(Subscription { desk, .. }) = self.subscriptions.get_mut(id) {
            // Should it be back with the same objects, what it had shown says nothing of their versions.
            desk.ended.forget_kind(kind);
            desk.recounted.insert(Arc::new(kind.clone()));
        }
        self.complete(now, id, kind, |slot| Some(slot.highest_rv()), 0);
        self.note_whole(id, kind);
    }

    /// A list of the kind could read everything.
    fn note_whole(&mut self, id: &SubscriptionId, kind: &GroupKind) {
        if let Some(Subscription { desk, .. }) = self.subscriptions.get_mut(id)
            && let Some(kind) = desk.listed.get(kind)
        {
            desk.whole.insert(Arc::clone(kind));
        }
    }

    /// `absent_as_of` says as of which version an object is gone that was not shown, if it is; `rv` is what the kind's
    /// baseline reaches to at least.
    fn complete(
        &mut self,
        now: Now,
        id: &SubscriptionId,
        kind: &GroupKind,
        absent_as_of: impl Fn(&Slot) -> Option<u64>,
        rv: u64,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let gone = subscription.find_gone(now, kind, absent_as_of);
        subscription.desk.note_listed(now, kind);
        let keys = match subscription.desk.baselines.get_key_value(kind).map(|(kind, at)| (Arc::clone(kind), *at)) {
            Some((kind, Baseline::Waiting { mark })) => {
                passed(if mark.is_some() { Passed::MarkKept } else { Passed::MarkSet });
                let shown =
                    subscription.slots.iter().filter(|(key, _)| key.kind == kind).filter_map(|(_, slot)| {
                        if let Shown::Selected { rv, .. } = slot.shown { Some(rv) } else { None }
                    });
                // A row may be newer than the list; it was there before the baseline was set all the same. With zero
                // nothing is adopted: what exists is told.
                let mark = mark.unwrap_or_else(|| shown.max().unwrap_or(0).max(rv));
                let fact = Fact::Mark { kind: Arc::clone(&kind), rv: mark, open: true };
                let closes_at_seq = if broken(Rule::MarkComesFirst) {
                    self.shared.journal.durable()
                } else {
                    self.shared.record(now, &subscription.desk, fact)
                };
                let open = Baseline::Open { mark, closes_at_seq };
                subscription.desk.baselines.insert(Arc::clone(&kind), open);
                self.shared.journal.hurry(now, Some(&subscription.desk.plan.namespace));
                self.shared.opening.insert(id.clone());
                subscription.slots.keys().filter(|key| key.kind == kind).cloned().collect()
            }
            Some((_, Baseline::Open { .. } | Baseline::Closed)) | None => gone,
        };
        for key in keys {
            subscription.reconsider(&mut self.shared, now, &key);
        }
    }

    /// Baselines whose entries are durable are closed, and what was held for them goes on.
    pub(super) fn close_baselines(&mut self, now: Now) {
        let Self { subscriptions, shared, .. } = self;
        let opening = std::mem::take(&mut shared.opening);
        for id in opening {
            let Some(Subscription { desk, .. }) = subscriptions.get_mut(&id) else { continue };
            let mut closed = Vec::new();
            for (kind, baseline) in desk.baselines.iter_mut() {
                if let Baseline::Open { mark, closes_at_seq } = *baseline
                    && shared.journal.is_durable(closes_at_seq)
                {
                    passed(Passed::BaselineClosed);
                    *baseline = Baseline::Closed;
                    closed.push(Fact::Mark { kind: Arc::clone(kind), rv: mark, open: false });
                }
            }
            for fact in closed {
                shared.record(now, desk, fact);
            }
            if desk.all_live() && desk.baseline_at.is_none() {
                desk.baseline_at = Some(now.wall);
            }
            if desk.baselines.values().any(|baseline| matches!(baseline, Baseline::Open { .. })) {
                shared.opening.insert(id.clone());
            }
            shared.ring.enlist(&desk.plan.namespace, &id);
            shared.mark_changed(desk);
        }
    }
}

/// The mark of a baseline whose list is still to come: all of it is adopted.
const UNTIL_LISTED: u64 = u64::MAX;

impl Baseline {
    /// As an earlier life left it.
    pub fn restored(Mark { rv, open }: Mark) -> Self {
        if open { Self::Waiting { mark: Some(rv).filter(|rv| *rv != UNTIL_LISTED) } } else { Self::Closed }
    }
}

impl Desk {
    /// A list of the kind is complete.
    fn note_listed(&mut self, now: Now, kind: &GroupKind) {
        if let Some((kind, _)) = self.baselines.get_key_value(kind)
            && self.listed.insert(Arc::clone(kind))
        {
            self.note_all_listed(now);
        }
    }

    /// A list is complete, or a kind that was not listed yet is none of ours any more.
    pub(super) fn note_all_listed(&mut self, now: Now) {
        if self.listed.len() == self.baselines.len() {
            self.all_listed_at = Some(now.wall);
        }
    }
}

impl Subscription {
    /// The kind's objects are taken note of anew when they are listed, silently or not; the next leader knows.
    pub(super) fn begin_baseline(&mut self, shared: &mut Shared, now: Now, kind: Arc<GroupKind>, existing: Existing) {
        let (mark, rv) = match existing {
            Existing::Adopt => (None, UNTIL_LISTED),
            Existing::Notify => (Some(0), 0),
        };
        shared.record(now, &self.desk, Fact::Mark { kind: Arc::clone(&kind), rv, open: true });
        self.desk.baselines.insert(kind, Baseline::Waiting { mark });
    }

    /// What was known and is not shown is gone. One that is gone already but as of a version too old to be believed is
    /// now believed, if this list is new enough.
    fn find_gone(&mut self, now: Now, kind: &GroupKind, absent_as_of: impl Fn(&Slot) -> Option<u64>) -> Vec<ObjectKey> {
        let mut gone = Vec::new();
        for (key, slot) in self.slots.iter_mut().filter(|(key, _)| *key.kind == *kind) {
            let unsure = match slot.shown {
                Shown::Unknown | Shown::Unseen => true,
                Shown::Gone { rv } => rv < slot.highest_rv(),
                Shown::Selected { .. } | Shown::Deselected { .. } => false,
            };
            if unsure && let Some(rv) = absent_as_of(slot) {
                let gone_already = matches!(slot.shown, Shown::Gone { .. });
                passed(if gone_already { Passed::GoneBelieved } else { Passed::FoundGone });
                slot.shown = Shown::Gone { rv };
                slot.by = ObservedBy::Relist;
                slot.detected_at = now.wall;
                gone.push(key.clone());
            }
        }
        gone
    }
}

/// Whether a list that did not show the slot's object says that it is gone. What the watch has shown, if only as
/// something that cannot be read, it will show as gone itself.
fn is_absent(unreadable: &Unreadable, slot: &Slot) -> bool {
    match unreadable {
        _ if broken(Rule::UnreadIsNotGone) => true,
        Unreadable::Named(names) if !matches!(slot.shown, Shown::Unknown) => {
            !names.iter().any(|ObjectName { namespace, name }| {
                namespace.as_deref() == slot.named.namespace.as_deref() && **name == *slot.named.name
            })
        }
        Unreadable::Named(_) | Unreadable::Unknown => false,
    }
}
