//! Objects of one name, one after the other: an endpoint that keys by name must hear that the old one is gone before it
//! hears of the new one, and never after.
//!
//! Touches nothing. Invariants: of two namesakes at most one has a request under way; of an old one that still has to be
//! told as Removed and a new one that was tried already (because the old one was given up for a while), the new one goes
//! first, and Removed of the old one is dropped once the new one is acknowledged; who is given up blocks nobody.

use std::sync::Arc;

use super::decide::drop_silently;
use super::desk::Desk;
use super::shared::Shared;
use super::slot::{Shown, Slot};
use super::{ObjectKey, Subscription};
use crate::Now;
use crate::ledger::Named;
use crate::object::ObservedBy;
use crate::object::{GroupKind, Row};
use crate::plan::Change;
use crate::proof::{Mark, Rule, broken, passed};

pub(super) type Name = (Arc<GroupKind>, Option<Arc<str>>, Arc<str>);

fn name_of(key: &ObjectKey, namespace: Option<&Arc<str>>, name: &Arc<str>) -> Name {
    (Arc::clone(&key.kind), namespace.cloned(), Arc::clone(name))
}

impl Desk {
    pub fn enlist(&mut self, key: &ObjectKey, named: &Named) {
        let keys = self.namesakes.entry(name_of(key, named.namespace.as_ref(), &named.name)).or_default();
        if !keys.contains(key) {
            keys.push(key.clone());
            self.shared_names += usize::from(keys.len() == 2);
        }
    }

    pub fn delist(&mut self, key: &ObjectKey, named: &Named) {
        let name = name_of(key, named.namespace.as_ref(), &named.name);
        if let Some(keys) = self.namesakes.get_mut(&name)
            && let Some(at) = keys.iter().position(|other| other == key)
        {
            keys.remove(at);
            self.shared_names -= usize::from(keys.len() == 1);
            if keys.is_empty() {
                self.namesakes.remove(&name);
            }
        }
    }

    /// Other objects that have or had the same name.
    pub fn others_named(&self, key: &ObjectKey, named: &Named) -> Vec<ObjectKey> {
        self.others(key, named.namespace.as_ref(), &named.name)
    }

    fn others(&self, key: &ObjectKey, namespace: Option<&Arc<str>>, name: &Arc<str>) -> Vec<ObjectKey> {
        match self.namesakes.get(&name_of(key, namespace, name)) {
            Some(keys) => keys.iter().filter(|other| *other != key).cloned().collect(),
            None => Vec::new(),
        }
    }
}

/// A request that tells of the object was made and not answered well, or one is about to be made.
fn was_tried(slot: &Slot) -> bool {
    let told = slot.sending.is_some_and(|sending| sending.change != Change::Removed);
    slot.is_busy() || (told && slot.may_be_known)
}

/// Whether `new` has to wait for `old`, which has the same name and is not selected.
fn waits_for_old(new: &Slot, old: &Slot) -> bool {
    let owes_removed = old.is_known() && old.parked.is_none();
    old.is_busy() || (owes_removed && !was_tried(new))
}

/// Whether `old` has to wait for `new`, which has the same name and is selected.
fn waits_for_new(old: &Slot, new: &Slot) -> bool {
    !old.is_selected() && was_tried(new) && (new.is_busy() || new.parked.is_none())
}

/// Whether `old`, which is gone, has to wait for the one that may have its name now, though that is not selected or cannot
/// be read at the moment: should it be again, it goes on with the event that was tried, and that must not be from before
/// the end of `old`.
fn waits_for_heir(old: &Slot, new: &Slot) -> bool {
    let may_have_it = match new.shown {
        Shown::Deselected { .. } | Shown::Unknown | Shown::Unseen => true,
        Shown::Selected { .. } | Shown::Gone { .. } => false,
    };
    matches!(old.shown, Shown::Gone { .. }) && may_have_it && waits_for_new(old, new)
}

fn noted(mark: Mark) -> bool {
    passed(mark);
    true
}

impl Subscription {
    /// There is a slot for the row's object, and no other one has or had its name. That is the rule, and it is cheap to
    /// know.
    pub(super) fn is_known_alone(&self, key: &ObjectKey, row: &Row) -> bool {
        self.desk.shared_names == 0 && self.slots.get(key).is_some_and(|slot| slot.is_called_as(row))
    }

    /// Another object of the same name goes first.
    pub(super) fn waits_for_namesake(&self, key: &ObjectKey) -> bool {
        if self.desk.shared_names == 0 {
            return false;
        }
        let Some(slot) = self.slots.get(key).filter(|_| !broken(Rule::NamesakesInOrder)) else { return false };
        self.desk.others_named(key, &slot.named).iter().filter_map(|other| self.slots.get(other)).any(|other| {
            match (slot.is_selected(), other.is_selected()) {
                (true, false) => waits_for_old(slot, other) && noted(Mark::WaitsForOld),
                (false, true) => waits_for_new(slot, other) && noted(Mark::WaitsForNew),
                (false, false) => other.is_busy() || (waits_for_heir(slot, other) && noted(Mark::WaitsForHeir)),
                (true, true) => other.is_busy(),
            }
        })
    }

    /// Something about this object was settled; those of the same name may go on.
    pub(super) fn reconsider_namesakes(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, named: &Named) {
        for other in self.desk.others_named(key, named) {
            self.reconsider(shared, now, &other);
        }
    }

    /// A row proves that whoever had its name before is gone, even if no list says so: one that was not shown since a
    /// takeover, or one that was shown by another source, which this one has yet to confirm.
    pub(super) fn prove_namesakes_gone(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, row: &Row) {
        for other in self.desk.others(key, row.namespace.as_ref(), &row.name) {
            let Some(slot) = self.slots.get(&other) else { continue };
            let proven = match slot.shown {
                Shown::Unknown | Shown::Unseen => true,
                Shown::Selected { rv, .. } => rv <= row.rv && !broken(Rule::NamesProveTheEnd),
                Shown::Deselected { .. } | Shown::Gone { .. } => false,
            };
            if proven && slot.highest_rv() <= row.rv {
                passed(if slot.is_selected() { Mark::NamesakeReplaced } else { Mark::NamesakeProvedGone });
                self.show(shared, now, &other, Shown::Gone { rv: row.rv }, ObservedBy::Relist, false);
            }
        }
    }

    /// The version in which somebody else was seen to have the name, if that is later than this row.
    pub(super) fn successor(&self, key: &ObjectKey, row: &Row) -> Option<u64> {
        if self.desk.recounted.contains(&key.kind) {
            return None;
        }
        let others = self.desk.others(key, row.namespace.as_ref(), &row.name);
        let seen = others.iter().filter_map(|other| match self.slots.get(other)?.shown {
            Shown::Selected { rv, .. } | Shown::Deselected { rv } => Some(rv),
            Shown::Gone { .. } | Shown::Unknown | Shown::Unseen => None,
        });
        seen.max().filter(|seen| *seen > row.rv)
    }

    /// The endpoint knows a newer object of that name: Removed of an older one would only confuse it.
    pub(super) fn drop_outdated_namesakes(&mut self, shared: &mut Shared, now: Now, key: &ObjectKey, named: &Named) {
        for other in self.desk.others_named(key, named) {
            let Some(slot) = self.slots.get_mut(&other) else { continue };
            let over = matches!(slot.shown, Shown::Gone { .. } | Shown::Deselected { .. });
            if over && !slot.is_busy() && !broken(Rule::OutdatedEndsAreDropped) {
                passed(Mark::NamesakeOutdated);
                drop_silently(&mut self.desk, shared, now, &other, slot);
                self.forget_if_blank(shared, &other);
            }
        }
    }
}
