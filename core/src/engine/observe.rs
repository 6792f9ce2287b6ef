//! What the watch shows, and which slots it concerns.
//!
//! Touches nothing. Invariant: what is under way stays as it was declared, whatever is shown meanwhile.

use std::mem::discriminant;
use std::sync::Arc;

use super::desk::Desk;
use super::doubts::Doubted;
use super::shared::Shared;
use super::slot::{Shown, Slot};
use super::{Engine, ObjectKey, Subscription};
use crate::Now;
use crate::ledger::Named;
use crate::object::{Fingerprint, GroupKind, ObservedBy, Row};
use crate::plan::{Existing, SubscriptionId};
use crate::proof::{Mark, Rule, broken, passed};
use crate::select::{Observation, Seen};

/// Of two sources one may be behind the other, so a row is not always news.
enum Standing {
    News,
    /// A later row was seen.
    Outdated,
    /// The object was seen to be gone, or not selected any more, as of this later version.
    BeforeItsEnd(u64),
}

impl Engine {
    /// The watch shows something else of an object than before.
    pub fn observe(&mut self, now: Now, observation: Observation) {
        self.see(now, observation, false);
    }

    /// What a subscription sees of an object after it was planned: what an edit of its selection takes out is forgotten
    /// silently, unless it wants to be told of that.
    pub fn replanned(&mut self, now: Now, observation: Observation) {
        self.see(now, observation, true);
    }

    fn see(&mut self, now: Now, observation: Observation, by_edit: bool) {
        let Observation { subscription: id, object: key, seen, by } = observation;
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.desk.doubts.drop(&key);
        if let Seen::Selected(row) | Seen::Deselected(row) = &seen {
            match subscription.standing(&key, row.rv) {
                Standing::News => {}
                Standing::Outdated => {
                    passed(Mark::RowOutdated);
                    return;
                }
                Standing::BeforeItsEnd(end) => {
                    passed(Mark::RowBeforeItsEnd);
                    subscription.desk.doubts.add(key, Doubted { seen, by, end });
                    return;
                }
            }
        }
        subscription.take(&mut self.shared, now, &key, seen, by, by_edit);
    }

    /// A list of this version shows what was taken for gone: it is there after all.
    pub(super) fn settle_doubts(&mut self, now: Now, id: &SubscriptionId, kind: &GroupKind, rv: u64) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        for (object, Doubted { seen, by, end: _ }) in subscription.desk.doubts.settled(kind, rv) {
            passed(Mark::EndDisproved);
            subscription.take(&mut self.shared, now, &object, seen, by, false);
        }
    }
}

impl Subscription {
    fn take(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, mut seen: Seen, by: ObservedBy, by_edit: bool) {
        if let Seen::Selected(row) | Seen::Deselected(row) = &seen
            && !self.is_known_alone(key, row)
        {
            self.desk.ended.forget(key);
            self.prove_namesakes_gone(shared, now, key, row);
            if let Some(rv) = self.successor(key, row).filter(|_| !broken(Rule::NamesProveTheEnd)) {
                passed(Mark::RowOfPredecessor);
                seen = Seen::Gone { rv };
            }
        }
        let shown = match seen {
            Seen::Selected(row) => {
                if !self.desk.baselines.meet(&key.kind) {
                    // A kind that is not in the plan; whoever says so is behind.
                    return;
                }
                self.name(key, &row, now);
                let fp = self.desk.fingerprint(&row);
                Shown::Selected { rv: row.rv, row, fp }
            }
            Seen::Deselected(row) => Shown::Deselected { rv: row.rv },
            Seen::Gone { rv } => Shown::Gone { rv },
            Seen::Unknown => Shown::Unknown,
        };
        let Desk { plan, reselects, .. } = &self.desk;
        let silences = by_edit && reselects.contains(&key.kind) && plan.policy.selection_change == Existing::Adopt;
        self.show(shared, now, key, shown, by, silences);
    }

    /// The watch shows this of an object; `silences` if it is an edit that takes it out of the selection.
    pub(super) fn show(
        &mut self,
        shared: &mut Shared,
        now: Now,
        key: &ObjectKey,
        shown: Shown,
        by: ObservedBy,
        silences: bool,
    ) {
        let Self { slots, desk } = self;
        let Some(slot) = slots.get_mut(key) else {
            if let Shown::Gone { rv } = shown {
                desk.ended.note(key.clone(), rv);
            }
            return;
        };
        if slot.would_differ(&shown) {
            // What was about to be told is now part of a later state; what is already under way is not.
            let under_way = slot.is_busy() && slot.sending.is_some_and(|sending| slot.same_event(sending.change));
            if slot.owed_since.is_some() && !under_way {
                passed(Mark::Merged);
                desk.totals.merged += 1;
                shared.ends.merged += 1;
                shared.mark_changed(desk);
            }
            slot.detected_at = now.wall;
            slot.by = by;
        }
        if slot.is_busy() {
            passed(Mark::ShownUnderWay);
        }
        let before = discriminant(&slot.shown);
        slot.show(shown, silences);
        // Whether it is selected, gone, or unknown decides who goes first.
        let turned = before != discriminant(&slot.shown);
        let named = turned.then(|| slot.named.clone());
        self.reconsider(shared, now, key);
        if let Some(named) = named {
            self.reconsider_namesakes(shared, now, key, &named);
        }
    }

    /// What a row of this version says of the object, after what was seen of it before.
    fn standing(&self, key: &ObjectKey, rv: u64) -> Standing {
        if self.desk.recounted.contains(&key.kind) {
            return Standing::News;
        }
        match self.slots.get(key).map(|slot| &slot.shown) {
            Some(Shown::Gone { rv: end }) if *end > rv => Standing::BeforeItsEnd(*end),
            Some(Shown::Selected { rv: seen, .. } | Shown::Deselected { rv: seen }) if *seen > rv => Standing::Outdated,
            Some(
                Shown::Selected { .. } | Shown::Deselected { .. } | Shown::Gone { .. } | Shown::Unknown | Shown::Unseen,
            ) => Standing::News,
            None => self.desk.ended.after(key, rv).map_or(Standing::News, Standing::BeforeItsEnd),
        }
    }

    /// Makes sure of the object's slot, and that it bears the names the row shows.
    fn name(&mut self, key: &ObjectKey, row: &Row, now: Now) {
        let named =
            || Named { gvk: Arc::clone(&row.gvk), namespace: row.namespace.clone(), name: Arc::clone(&row.name) };
        let Self { slots, desk } = self;
        if let Some(slot) = slots.get_mut(key) {
            if !slot.is_called_as(row) {
                desk.delist(key, &slot.named);
                desk.enlist(key, &named());
            } else if slot.named.gvk == row.gvk {
                return;
            }
            slot.named = named();
        } else {
            let named = named();
            desk.enlist(key, &named);
            slots.insert(key.clone(), Slot::new(named, now.wall));
        }
    }
}

impl Slot {
    /// The row shows the names it has already.
    pub(super) fn is_called_as(&self, row: &Row) -> bool {
        self.named.name == row.name && self.named.namespace == row.namespace
    }

    /// Whether showing this would be another state to tell.
    fn would_differ(&self, shown: &Shown) -> bool {
        let told = |fp: &Fingerprint| {
            self.sending.map(|sending| sending.fp).or(self.acked.map(|acked| acked.fp)).is_some_and(|told| told == *fp)
        };
        match (&self.shown, shown) {
            (Shown::Selected { fp: old, .. }, Shown::Selected { fp: new, .. }) => old != new,
            (Shown::Unknown | Shown::Unseen, Shown::Selected { fp, .. }) => !told(fp),
            (_, Shown::Unknown | Shown::Unseen)
            | (Shown::Deselected { .. } | Shown::Gone { .. }, Shown::Deselected { .. } | Shown::Gone { .. }) => false,
            (_, Shown::Selected { .. } | Shown::Deselected { .. } | Shown::Gone { .. }) => true,
        }
    }

    /// Only an edit may silence a slot, and only what it takes out of the selection: what had left it before is still
    /// told, and so is what is gone by now.
    fn show(&mut self, shown: Shown, silences: bool) {
        self.tombstone = match (&self.shown, &shown) {
            (Shown::Selected { .. }, Shown::Deselected { .. }) => {
                if silences {
                    passed(Mark::Tombstoned);
                }
                silences
            }
            (_, Shown::Deselected { .. }) => self.tombstone || (silences && broken(Rule::EditsSilenceTheirOwn)),
            (_, Shown::Selected { .. } | Shown::Gone { .. } | Shown::Unknown | Shown::Unseen) => false,
        };
        self.shown = shown;
        self.confirmed = 0;
    }
}
