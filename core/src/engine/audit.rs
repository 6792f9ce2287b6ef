//! Whether everything that is kept twice agrees, and everything that has to go on can.
//!
//! Touches nothing and is only called by tests: it looks at every slot. Invariant: an engine between two calls has no
//! finding, whatever happened to it before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::breaker::BreakerState;
use super::decide::Verdict;
use super::slot::{Lane, Phase, Room, Slot};
use super::{Engine, ObjectKey, Subscription};
use crate::outcome::Class;
use crate::plan::SubscriptionId;

impl Engine {
    /// What does not agree; nothing, always.
    #[doc(hidden)]
    pub fn audit(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut hosts: BTreeMap<Arc<str>, (u32, u32)> = BTreeMap::new();
        let mut under_way = 0;
        for (id, subscription) in &self.subscriptions {
            let mut find = |finding: String| findings.push(format!("{}: {finding}", id.uid));
            subscription.audit_counts(&mut find);
            subscription.audit_slots(&mut find);
            self.audit_progress(id, subscription, &mut find);
            for permit in subscription.slots.values().filter_map(|slot| slot.permit.as_ref()) {
                let (all, late) = hosts.entry(Arc::clone(&permit.host)).or_default();
                *all += 1;
                *late += u32::from(permit.lane.is_late());
                under_way += 1;
            }
        }
        let leftover: u32 = self.shared.leftover.values().map(|left| left.requests).sum();
        if under_way + leftover != self.shared.ring.in_flight() {
            findings.push(format!("{} permits are out, not {under_way} + {leftover}", self.shared.ring.in_flight()));
        }
        let taken: BTreeMap<Arc<str>, (u32, u32)> =
            self.shared.ring.load().map(|(host, all, late)| (Arc::clone(host), (all, late))).collect();
        if leftover == 0 {
            let taken: BTreeMap<_, _> = taken.into_iter().filter(|(_, (all, _))| *all > 0).collect();
            if taken != hosts {
                findings.push(format!("permits by host are {taken:?}, not {hosts:?}"));
            }
        }
        let admitted: u64 = self.subscriptions.values().map(|subscription| subscription.desk.admitted).sum();
        if admitted != self.shared.admitted {
            findings.push(format!("{} slots are admitted, not {admitted}", self.shared.admitted));
        }
        let crowded = self.subscriptions.iter().filter(|(_, subscription)| !subscription.desk.crowd.is_empty());
        if crowded.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>() != self.shared.crowded {
            findings.push(format!("{:?} await room, which is not so", self.shared.crowded));
        }
        if let Some(id) = self.shared.poor.ids().find(|id| !self.subscriptions.contains_key(*id)) {
            findings.push(format!("{} waits for something to write with, and is gone", id.uid));
        }
        let changed = self.subscriptions.iter().filter(|(_, subscription)| subscription.desk.changed).map(|(id, _)| id);
        let changed: BTreeSet<&SubscriptionId> = changed.collect();
        if changed != self.shared.changed.iter().collect() || changed.len() != self.shared.changed.len() {
            findings.push(format!("{changed:?} have changed, not {:?}", self.shared.changed));
        }
        let alarms: BTreeSet<(u64, SubscriptionId)> = self
            .subscriptions
            .iter()
            .filter_map(|(id, subscription)| Some((subscription.desk.alarm?, id.clone())))
            .collect();
        if alarms != self.shared.alarms {
            findings.push(format!("alarms are {:?}, not {alarms:?}", self.shared.alarms));
        }
        findings
    }

    /// The highest sequence given out, durable or not.
    #[cfg(feature = "proof")]
    #[doc(hidden)]
    pub fn sequence(&self) -> u64 {
        self.shared.journal.given_out()
    }

    /// Something that may start has a turn, waits for a permit, or has an alarm.
    fn audit_progress(&self, id: &SubscriptionId, subscription: &Subscription, find: &mut dyn FnMut(String)) {
        let desk = &subscription.desk;
        let startable = match desk.breaker.state() {
            BreakerState::Open { probing: true, .. } => false,
            BreakerState::Open { probing: false, .. } => desk.has_something_to_probe(),
            BreakerState::Closed | BreakerState::HalfOpen { .. } => !desk.first.is_empty() || !desk.due.is_empty(),
        };
        let stopped = desk.is_silent() || self.shared.waits_for_predecessors(desk) || self.shared.draining;
        let looked_at = self.shared.ring.will_look_at(&desk.plan.host, id)
            || self.shared.poor.will_look_at(id)
            || desk.alarm.is_some();
        // A probe's candidates may all be held or blocked; they are looked at when they are not.
        let stuck = startable && !stopped && desk.in_flight == 0 && !looked_at && subscription.may_start_any();
        if stuck {
            find("something may start, and nobody looks".to_owned());
        }
        if let Some((at, key)) = desk.waiting.first()
            && desk.alarm.is_none_or(|alarm| alarm > *at)
        {
            find(format!("{} waits for {at} without an alarm", key.uid));
        }
        if !desk.outage.is_empty() && !desk.breaker.is_open() {
            find("parked by an outage, and there is none".to_owned());
        }
        if desk.probe.is_some() != matches!(desk.breaker.state(), BreakerState::Open { probing: true, .. }) {
            find(format!("the probe is {:?}, the breaker {:?}", desk.probe, desk.breaker.state()));
        }
    }
}

impl Subscription {
    fn may_start_any(&self) -> bool {
        self.slots.iter().any(|(key, slot)| {
            let ready = matches!(slot.phase, Phase::Queued { .. } | Phase::Due { .. })
                || (self.desk.outage.contains(key) && self.desk.verdict(key, slot) == Verdict::Parked);
            ready && !self.waits_for_namesake(key)
        })
    }

    fn audit_counts(&self, find: &mut dyn FnMut(String)) {
        let Self { slots, desk } = self;
        let keys = |which: &dyn Fn(&Slot) -> bool| -> BTreeSet<ObjectKey> {
            slots.iter().filter(|(_, slot)| which(slot)).map(|(key, _)| key.clone()).collect()
        };
        let class = |slot: &Slot| slot.parked.map(|parked| parked.class);
        let owed = slots.iter().filter_map(|(key, slot)| Some((slot.owed_since?, key.clone()))).collect();
        let retrying = slots.iter().filter(|(_, slot)| slot.is_retrying());
        let waiting = slots.iter().filter(|(_, slot)| slot.phase == Phase::Waiting);
        let at = |(key, slot): (&ObjectKey, &Slot)| (slot.not_before, key.clone());
        let lane = |lane: Lane| {
            slots.values().filter(|slot| slot.permit.as_ref().is_some_and(|permit| permit.lane == lane)).count() as u32
        };
        let agreements = [
            ("owed", desk.owed == owed),
            ("retrying", desk.retrying == retrying.map(at).collect()),
            ("waiting", desk.waiting == waiting.map(at).collect()),
            ("parked", desk.parked == keys(&|slot| slot.parked.is_some())),
            ("outage", desk.outage == keys(&|slot| class(slot) == Some(Class::Endpoint))),
            ("refused", desk.refused == keys(&|slot| class(slot) == Some(Class::Event) && slot.blames_the_endpoint())),
            ("first", desk.first.len() == keys(&|slot| matches!(slot.phase, Phase::Queued { .. })).len()),
            ("due", desk.due.len() == keys(&|slot| matches!(slot.phase, Phase::Due { .. })).len()),
            ("in flight", desk.in_flight as usize == keys(&Slot::is_busy).len()),
            ("retries in flight", desk.retries_in_flight == lane(Lane::Retry)),
            ("inherited", desk.inherited.is_subset(&keys(&|slot| slot.sending.is_some() && slot.attempts == 0))),
            ("admitted", desk.admitted as usize == keys(&|slot| slot.room == Room::Taken).len()),
            ("crowd", desk.crowd == keys(&|slot| slot.room == Room::Awaited)),
            ("named", desk.namesakes.values().map(Vec::len).sum::<usize>() == slots.len()),
            ("shared names", desk.shared_names == desk.namesakes.values().filter(|keys| keys.len() > 1).count()),
        ];
        for (what, agrees) in agreements {
            if !agrees {
                find(format!("{what} disagrees with the slots"));
            }
        }
    }

    fn audit_slots(&self, find: &mut dyn FnMut(String)) {
        let Self { slots, desk } = self;
        for (key, slot) in slots {
            let mut find = |finding: &str| find(format!("{} {finding}: {slot:?}", key.uid));
            let stands = match slot.phase {
                Phase::Queued { place } => desk.first.at(place) == Some(key),
                Phase::Due { place } => desk.due.at(place) == Some(key),
                Phase::Idle | Phase::Waiting | Phase::Starting | Phase::InFlight => true,
            };
            if !stands {
                find("is not where it thinks it stands");
            }
            let under_way = matches!(slot.phase, Phase::Starting | Phase::InFlight);
            if under_way != slot.is_busy() {
                find("holds a permit without a request, or the other way round");
            }
            if slot.room == Room::Unneeded && (slot.is_known() || slot.pledged) {
                find("is recorded and does not count");
            }
            if slot.is_blank() {
                find("should be forgotten");
            }
            if slot.declared.as_ref().is_some_and(|declared| declared.subject.is_some()) != slot.is_busy() {
                find("holds a row it does not need, or needs one");
            }
            if slot.is_busy() {
                if slot.owed_since.is_none() && slot.parked.is_none() {
                    find("is under way and not owed");
                }
                continue;
            }
            let (idle, owed) = (slot.phase == Phase::Idle, slot.owed_since.is_some());
            let right = match desk.verdict(key, slot) {
                Verdict::Hold => idle,
                Verdict::Nothing => idle && !owed && slot.parked.is_none(),
                Verdict::Parked => idle && !owed && slot.parked.is_some(),
                Verdict::Adopt | Verdict::Drop => false,
                Verdict::Tell(_) => owed && slot.parked.is_none() && (!idle || self.waits_for_namesake(key)),
            };
            if !right {
                find("is not where its need puts it");
            }
        }
    }
}
