//! What all subscriptions share: the journal, permits and turns, alarms, counts.
//!
//! Touches nothing. Invariant: a subscription has at most one alarm, and it is no later than the first moment at which
//! something of that subscription's may start that may not now.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::desk::Desk;
use super::fairness::Ring;
use super::folding::Folding;
use super::journal::Journal;
use super::poor::Poor;
use super::view::Ends;
use super::{Map, Settings, Slot};
use crate::Now;
use crate::ledger::Fact;
use crate::object::ObjectKey;
use crate::plan::{Plan, SubscriptionId};
use crate::proof::{Rule, broken};

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Shared {
    pub settings: Settings,
    pub journal: Journal,
    pub folding: Folding,
    /// Hold a permit, wait for their Sending record; in order of sequence.
    declaring: VecDeque<Start>,
    /// Hold a permit, and their record is durable.
    ready: VecDeque<Start>,
    pub ring: Ring,
    pub poor: Poor,
    pub alarms: BTreeSet<(u64, SubscriptionId)>,
    /// Whose view may differ, each once as long as its desk says so.
    pub changed: VecDeque<SubscriptionId>,
    /// Subscriptions with an open baseline.
    pub opening: BTreeSet<SubscriptionId>,
    /// Requests to be told again that are not durable yet: the sequence of the record, and whose it is.
    pub heard: BTreeSet<(u64, SubscriptionId)>,
    /// Subscriptions that make up for a loss.
    pub recovering: BTreeSet<SubscriptionId>,
    /// Slots that the ledger has room for.
    pub admitted: u64,
    /// Subscriptions that the ledger has no room for, as they are.
    pub crowded: BTreeSet<SubscriptionId>,
    /// There is more room than when it was last looked at.
    pub freed: bool,
    /// Requests still under way of subscriptions that were removed meanwhile.
    pub leftover: Map<SubscriptionId, Leftover>,
    pub ends: Ends,
    pub draining: bool,
}

/// A slot whose next request is about to start.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub seq: u64,
    pub subscription: SubscriptionId,
    pub object: ObjectKey,
}

/// What is left of a subscription that was removed.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    pub namespace: Arc<str>,
    pub host: Arc<str>,
    /// Under way.
    pub requests: u32,
}

impl Shared {
    /// Those whose requests a new subscription must not overtake: it may be one of them, created again.
    pub fn leftovers_of(&self, plan: &Plan) -> Vec<SubscriptionId> {
        let same = |left: &Leftover| left.namespace == plan.namespace && left.host == plan.host;
        self.leftover.iter().filter(|(id, left)| **id == plan.id || same(left)).map(|(id, _)| id.clone()).collect()
    }

    /// Requests of its predecessors are still under way.
    pub fn waits_for_predecessors(&self, desk: &Desk) -> bool {
        !self.leftover.is_empty() && desk.predecessors.iter().any(|id| self.leftover.contains_key(id))
    }

    pub fn new(settings: Settings, seq: u64) -> Self {
        Self {
            settings,
            journal: Journal::new(seq, &settings),
            folding: Folding::new(&settings),
            declaring: VecDeque::new(),
            ready: VecDeque::new(),
            ring: Ring::new(settings.caps),
            poor: Poor::default(),
            alarms: BTreeSet::new(),
            changed: VecDeque::new(),
            opening: BTreeSet::new(),
            heard: BTreeSet::new(),
            recovering: BTreeSet::new(),
            admitted: 0,
            crowded: BTreeSet::new(),
            freed: false,
            leftover: Map::default(),
            ends: Ends::default(),
            draining: false,
        }
    }

    /// Adds a record of a subscription; it rides along with the next commit, at the latest a little later.
    pub fn record(&mut self, now: Now, desk: &Desk, fact: Fact) -> u64 {
        self.journal.add_of(now, &desk.plan.namespace, &desk.plan.id, fact)
    }

    /// The slot's request may leave once its record, with sequence `seq`, is durable.
    pub fn start(&mut self, now: Now, desk: &Desk, key: &ObjectKey, seq: u64) {
        let start = Start { seq, subscription: desk.plan.id.clone(), object: key.clone() };
        if self.journal.is_durable(seq) || broken(Rule::WriteAhead) {
            self.ready.push_back(start);
        } else {
            self.journal.hurry(now, Some(&desk.plan.namespace));
            self.declaring.push_back(start);
        }
    }

    /// Namespaces that may have something to write with again have turns again.
    pub fn refill(&mut self, now: Now) {
        let Self { journal, poor, ring, .. } = self;
        poor.release(
            now,
            |namespace| journal.declares_not_before(now, namespace),
            |namespace, id| {
                ring.enlist(namespace, id);
            },
        );
    }

    /// The next request that may leave.
    pub fn next_start(&mut self) -> Option<Start> {
        if self.declaring.front().is_some_and(|start| self.journal.is_durable(start.seq)) {
            return self.declaring.pop_front();
        }
        self.ready.pop_front()
    }

    /// The subscription is worth a look at this moment, monotonic.
    pub fn wake(&mut self, at: u64, desk: &mut Desk) {
        if desk.alarm.is_some_and(|alarm| alarm <= at) {
            return;
        }
        if let Some(later) = desk.alarm.replace(at) {
            self.alarms.remove(&(later, desk.plan.id.clone()));
        }
        self.alarms.insert((at, desk.plan.id.clone()));
    }

    /// Takes out an alarm whose time has come.
    pub fn next_alarm(&mut self, now: Now) -> Option<SubscriptionId> {
        let due = self.alarms.first().is_some_and(|(at, _)| *at <= now.mono);
        if due { self.alarms.pop_first().map(|(_, id)| id) } else { None }
    }

    pub fn mark_changed(&mut self, desk: &mut Desk) {
        if !std::mem::replace(&mut desk.changed, true) {
            self.changed.push_back(desk.plan.id.clone());
        }
    }

    /// Takes the slot's permit away, because it was answered or will not be sent, and says what it was for.
    pub fn give_back(&mut self, desk: &mut Desk, slot: &mut Slot) -> Option<super::slot::Permit> {
        let permit = slot.permit.take()?;
        slot.phase = super::slot::Phase::Idle;
        desk.in_flight = desk.in_flight.saturating_sub(1);
        if permit.lane == super::slot::Lane::Retry {
            desk.retries_in_flight = desk.retries_in_flight.saturating_sub(1);
        }
        self.ring.give_permit(&permit.host, permit.lane.is_late());
        self.ring.enlist(&desk.plan.namespace, &desk.plan.id);
        self.mark_changed(desk);
        Some(permit)
    }
}
