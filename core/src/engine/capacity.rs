//! How much the ledger may hold: beyond that, what is new is held, and what is there goes on.
//!
//! Touches nothing. Invariants: a slot counts from when something of it is about to be recorded until it is forgotten;
//! nothing is recorded of one that awaits room; as soon as there is room, somebody who awaits it is looked at again.

use super::decide::Verdict;
use super::desk::Desk;
use super::shared::Shared;
use super::slot::{Room, Slot};
use super::{Engine, ObjectKey};
use crate::Now;
use crate::proof::{Mark, passed};

/// How many entries the ledger may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a subscription to one namespace.
    pub namespaced: u64,
    /// Of a subscription to all of them.
    pub cluster_wide: u64,
    /// Of all subscriptions together.
    pub all: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { namespaced: 10_000, cluster_wide: 150_000, all: 1_000_000 }
    }
}

impl Limits {
    /// The limit that is reached, by a subscription with so many entries, or by all.
    fn reached(self, cluster_wide: bool, entries: u64, all: u64) -> Option<Limit> {
        let own = if cluster_wide { self.cluster_wide } else { self.namespaced };
        if entries >= own {
            Some(Limit::Subscription(own))
        } else if all >= self.all {
            Some(Limit::All(self.all))
        } else {
            None
        }
    }
}

/// A limit of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// This subscription's.
    Subscription(u64),
    /// That of all subscriptions together.
    All(u64),
}

impl Engine {
    /// Those who awaited room are let in while there is some.
    pub(super) fn let_in(&mut self, now: Now) {
        let Self { subscriptions, shared, .. } = self;
        if !std::mem::take(&mut shared.freed) {
            return;
        }
        for id in std::mem::take(&mut shared.crowded) {
            let Some(subscription) = subscriptions.get_mut(&id) else { continue };
            while subscription.desk.limit_reached(shared).is_none()
                && let Some(key) = subscription.desk.crowd.pop_first()
            {
                passed(Mark::LetIn);
                if let Some(slot) = subscription.slots.get_mut(&key) {
                    slot.room = Room::Unneeded;
                }
                subscription.reconsider(shared, now, &key);
            }
            if !subscription.desk.crowd.is_empty() {
                shared.crowded.insert(id);
            }
            shared.mark_changed(&mut subscription.desk);
        }
    }
}

impl Desk {
    /// The limit that keeps another slot out.
    pub fn limit_reached(&self, shared: &Shared) -> Option<Limit> {
        shared.settings.limits.reached(self.plan.is_cluster_wide(), self.admitted, shared.admitted)
    }

    /// What is to be done about the slot, now that it may need room.
    pub fn admit(&mut self, shared: &mut Shared, key: &ObjectKey, slot: &mut Slot, verdict: Verdict) -> Verdict {
        let needed = match verdict {
            Verdict::Adopt | Verdict::Tell(_) => slot.room != Room::Taken,
            Verdict::Hold | Verdict::Nothing | Verdict::Parked | Verdict::Drop => false,
        };
        if !needed {
            return verdict;
        }
        if self.limit_reached(shared).is_none() {
            self.take_room(shared, slot);
            return verdict;
        }
        passed(Mark::KeptOut);
        slot.room = Room::Awaited;
        self.crowd.insert(key.clone());
        shared.crowded.insert(self.plan.id.clone());
        shared.mark_changed(self);
        Verdict::Hold
    }

    /// The slot counts from here on, whatever the limits say.
    pub fn take_room(&mut self, shared: &mut Shared, slot: &mut Slot) {
        slot.room = Room::Taken;
        self.admitted += 1;
        shared.admitted += 1;
    }

    /// The slot is forgotten.
    pub fn give_room(&mut self, shared: &mut Shared, key: &ObjectKey, slot: &mut Slot) {
        match slot.room {
            Room::Unneeded => {}
            Room::Taken => {
                self.admitted -= 1;
                shared.admitted -= 1;
                shared.freed = true;
            }
            Room::Awaited => {
                self.crowd.remove(key);
                if self.crowd.is_empty() {
                    shared.crowded.remove(&self.plan.id);
                }
                shared.mark_changed(self);
            }
        }
        slot.room = Room::Unneeded;
    }
}
