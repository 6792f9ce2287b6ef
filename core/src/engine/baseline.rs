//! Plans and baselines: how a subscription starts, is edited and ends.
//!
//! Touches nothing. Invariants: while a baseline is open nothing of its subscription is declared; once it is closed it
//! adopts nothing; it closes only when every adopted entry is durable.

use std::collections::HashMap;
use std::sync::Arc;

use super::breaker::Breaker;
use super::desk::{Baseline, Desk};
use super::observe::settle;
use super::slot::{Phase, Shown, Slot};
use super::{Engine, Shared, Subscription};
use crate::Now;
use crate::ledger::{Acked, Fact, Mark};
use crate::object::{GroupKind, ObjectKey, ObjectName, Unreadable};
use crate::plan::{Plan, SubscriptionId};

impl Engine {
    /// A subscription is new, or was edited. Follow it with [`Engine::replanned`] for each object it now sees, then with
    /// [`Engine::synced`] for each kind whose list is complete.
    pub fn plan(&mut self, now: Now, plan: Plan) {
        let id = plan.id.clone();
        let book = self.unclaimed.remove(&id);
        let subscription = self
            .subscriptions
            .entry(id.clone())
            .or_insert_with(|| Subscription { slots: HashMap::new(), desk: Desk::new(plan.clone(), now.wall) });
        if let Some(book) = book {
            for (key, entry) in book.entries {
                subscription.desk.enlist(&key, &entry.named);
                let slot = Slot::restored(entry);
                if slot.parked.is_some() {
                    subscription.desk.parked.insert(key.clone());
                    subscription.desk.outage.push_back(key.clone());
                }
                subscription.slots.insert(key, slot);
            }
            for (kind, Mark { rv, open }) in book.marks {
                // An open mark is simply set again once the list is complete.
                let _ = rv;
                let baseline = if open { Baseline::Waiting } else { Baseline::Closed };
                subscription.desk.baselines.insert(kind, baseline);
            }
        }
        let old = std::mem::replace(&mut subscription.desk.plan, plan);
        let desk = &mut subscription.desk;
        let kinds: Vec<Arc<GroupKind>> =
            desk.plan.interests.iter().map(|interest| Arc::new(interest.gvk.group_kind())).collect();
        desk.baselines.retain(|kind, _| kinds.contains(kind));
        for (kind, interest) in kinds.iter().zip(&desk.plan.interests) {
            let edited = old
                .interests
                .iter()
                .find(|other| other.gvk.group_kind() == **kind)
                .is_some_and(|other| other.selector != interest.selector || other.namespace != interest.namespace);
            let baseline = desk.baselines.entry(Arc::clone(kind)).or_insert(Baseline::Waiting);
            if edited {
                *baseline = Baseline::Waiting;
            }
        }
        if old.config_hash != desk.plan.config_hash {
            subscription.start_afresh(&mut self.shared, now);
        }
        if old.changes.updated != subscription.desk.plan.changes.updated {
            subscription.change_recipe(&mut self.shared, now);
        }
        let keys: Vec<ObjectKey> = subscription.slots.keys().cloned().collect();
        for key in keys {
            subscription.reconsider(&mut self.shared, now, &key);
        }
        subscription.desk.paused_until = 0;
        self.shared.ring.enlist(&subscription.desk.plan.namespace, &id);
        self.shared.mark_changed(&id);
    }

    /// The subscription is gone: nothing more is started for it, what it owed is dropped.
    pub fn remove(&mut self, now: Now, id: &SubscriptionId) {
        let Some(subscription) = self.subscriptions.remove(id) else { return };
        for slot in subscription.slots.into_values().filter(|slot| slot.phase == Phase::Declaring) {
            if let Some(permit) = slot.permit {
                self.shared.ring.give_permit(&permit.host);
            }
        }
        self.shared.outbox.retain(|attempt| {
            let stays = attempt.event.subscription != *id;
            if !stays {
                self.shared.ring.give_permit(&attempt.host);
            }
            stays
        });
        self.shared.record(now, id, Fact::Forget, false);
        self.shared.changed.remove(id);
    }

    /// The list of a kind is complete as of `rv`, for this subscription's part of it.
    pub fn synced(&mut self, now: Now, id: &SubscriptionId, kind: &GroupKind, rv: u64, unreadable: &Unreadable) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let Subscription { slots, desk } = subscription;
        // What an earlier life knew and the list does not show is gone.
        let mut gone = Vec::new();
        let mut mark = rv;
        for (key, slot) in slots.iter_mut().filter(|(key, _)| *key.kind == *kind) {
            match &slot.shown {
                Shown::Unknown if proves_absence(unreadable, slot) => {
                    slot.shown = Shown::Gone { rv };
                    slot.detected_at = now.wall;
                    gone.push(key.clone());
                }
                Shown::Selected { row, .. } => mark = mark.max(row.rv),
                Shown::Unknown | Shown::Deselected { .. } | Shown::Gone { .. } => {}
            }
        }
        let kind = match desk.baselines.get_key_value(kind) {
            Some((kind, Baseline::Waiting)) => Arc::clone(kind),
            Some((_, Baseline::Open { .. } | Baseline::Closed)) | None => {
                for key in gone {
                    subscription.reconsider(&mut self.shared, now, &key);
                }
                return;
            }
        };
        let shared = &mut self.shared;
        shared.record(now, id, Fact::Mark { kind: Arc::clone(&kind), rv: mark, open: true }, true);
        desk.baselines.insert(Arc::clone(&kind), Baseline::Open { mark, closes_at_seq: u64::MAX });
        let keys: Vec<ObjectKey> = slots.keys().filter(|key| key.kind == kind).cloned().collect();
        for key in keys {
            subscription.reconsider(shared, now, &key);
        }
        let closes_at_seq = shared.seq;
        subscription.desk.baselines.insert(kind, Baseline::Open { mark, closes_at_seq });
        shared.opening.push(id.clone());
    }

    /// Baselines whose entries are durable are closed, and what was held for them goes on.
    pub(super) fn close_baselines(&mut self, now: Now) {
        let opening = std::mem::take(&mut self.shared.opening);
        for id in opening {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            let desk = &mut subscription.desk;
            let mut closed = Vec::new();
            let mut still_open = false;
            for (kind, baseline) in &mut desk.baselines {
                match *baseline {
                    Baseline::Open { mark, closes_at_seq } if closes_at_seq <= self.shared.durable_seq => {
                        *baseline = Baseline::Closed;
                        closed.push((Arc::clone(kind), mark));
                    }
                    Baseline::Open { .. } => still_open = true,
                    Baseline::Waiting | Baseline::Closed => {}
                }
            }
            for (kind, rv) in &closed {
                let fact = Fact::Mark { kind: Arc::clone(kind), rv: *rv, open: false };
                self.shared.record(now, &id, fact, false);
            }
            if desk.all_live() && desk.baseline_at.is_none() {
                desk.baseline_at = Some(now.wall);
            }
            let keys: Vec<ObjectKey> = subscription
                .slots
                .keys()
                .filter(|key| closed.iter().any(|(kind, _)| *kind == key.kind))
                .cloned()
                .collect();
            for key in keys {
                subscription.reconsider(&mut self.shared, now, &key);
            }
            self.shared.ring.enlist(&subscription.desk.plan.namespace, &id);
            self.shared.mark_changed(&id);
            if still_open {
                self.shared.opening.push(id);
            }
        }
    }
}

impl Subscription {
    /// The endpoint's configuration or its Secrets changed: everything parked gets another chance, the outage is history.
    fn start_afresh(&mut self, shared: &mut Shared, now: Now) {
        self.desk.breaker = Breaker::new();
        self.desk.last_error = None;
        self.desk.unsent = None;
        self.release_parked(shared, now, |_| true);
    }

    /// Releases what is parked and `which` says yes to.
    pub(super) fn release_parked(&mut self, shared: &mut Shared, now: Now, which: impl Fn(&Slot) -> bool) {
        let keys: Vec<ObjectKey> = self.desk.parked.iter().cloned().collect();
        for key in keys {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            // A probe of a parked slot is settled by its own answer.
            if slot.is_busy() || !which(slot) {
                continue;
            }
            shared.record(now, &self.desk.plan.id, Fact::Release { object: key.clone() }, false);
            slot.parked = None;
            self.desk.parked.remove(&key);
            slot.attempts = 0;
            self.reconsider(shared, now, &key);
        }
        let parked = &self.desk.parked;
        self.desk.outage.retain(|key| parked.contains(key));
    }

    /// What counts as a change is another thing now: entries that are clean and still match are rewritten silently.
    fn change_recipe(&mut self, shared: &mut Shared, now: Now) {
        for (key, slot) in &mut self.slots {
            let Shown::Selected { row, fp } = &mut slot.shown else { continue };
            let old = std::mem::replace(fp, self.desk.fingerprint(row));
            let (fp, rv) = (*fp, row.rv);
            if slot.sending.is_some() || slot.acked.is_none_or(|acked| acked.fp != old) {
                continue;
            }
            let fact = Fact::Adopt { object: key.clone(), named: slot.named.clone(), rv, fp };
            let seq = shared.record(now, &self.desk.plan.id, fact, false);
            slot.acked = Some(Acked { seq, rv, fp });
            settle(&mut self.desk, shared, key, slot);
        }
    }
}

fn proves_absence(unreadable: &Unreadable, slot: &Slot) -> bool {
    match unreadable {
        Unreadable::Unknown => false,
        Unreadable::Named(names) => !names.iter().any(|ObjectName { namespace, name }| {
            namespace.as_deref() == slot.named.namespace.as_deref() && **name == *slot.named.name
        }),
    }
}
