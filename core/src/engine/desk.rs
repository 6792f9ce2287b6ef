//! What a subscription keeps beside its slots: lanes, counts, baselines, namesakes.
//!
//! Touches nothing. Invariant: `owed`, `retrying` and `parked` are exactly the slots that are behind, failed at least
//! once, or given up for now; they are what the status shows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::breaker::Breaker;
use super::slot::{LastError, Slot};
use crate::event::fingerprint;
use crate::ledger::Named;
use crate::object::{Fingerprint, GroupKind, ObjectKey, Row};
use crate::plan::Plan;

/// Where a kind's baseline stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Baseline {
    /// The first complete list is still to come.
    Waiting,
    /// Rows up to `mark` are being adopted; nothing of the subscription is declared.
    Open {
        mark: u64,
        closes_at_seq: u64,
    },
    Closed,
}

/// Counts since this process took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events the endpoint acknowledged.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Changes that were told as part of a later one.
    pub merged: u64,
}

/// The last acknowledged event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastDelivery {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// The event's id.
    pub event_id: String,
    /// The answer.
    pub http_status: u16,
}

pub(super) type Name = (Arc<GroupKind>, Option<Arc<str>>, Arc<str>);

#[derive(Debug)]
pub(super) struct Desk {
    pub plan: Plan,
    pub baselines: BTreeMap<Arc<GroupKind>, Baseline>,
    pub baseline_at: Option<i64>,
    pub breaker: Breaker,
    pub first: VecDeque<ObjectKey>,
    pub due: VecDeque<ObjectKey>,
    /// Behind and not given up: since when, which.
    pub owed: BTreeSet<(i64, ObjectKey)>,
    /// Failed at least once and not given up: when it may go again, which.
    pub retrying: BTreeSet<(u64, ObjectKey)>,
    pub parked: BTreeSet<ObjectKey>,
    /// Parked by an outage, in the order in which they are probed.
    pub outage: VecDeque<ObjectKey>,
    pub in_flight: u32,
    pub retries_in_flight: u32,
    /// Which lane a lone permit serves next.
    pub retry_turn: bool,
    /// Objects of one name; only a name's second uid is looked at.
    pub namesakes: HashMap<Name, Vec<ObjectKey>>,
    /// Something of ours was missing when it was last tried: not before this.
    pub paused_until: u64,
    pub unsent: Option<String>,
    pub totals: Totals,
    pub last_delivery: Option<LastDelivery>,
    pub last_error: Option<LastError>,
    pub since: i64,
}

impl Desk {
    pub fn new(plan: Plan, since: i64) -> Self {
        Self {
            plan,
            baselines: BTreeMap::new(),
            baseline_at: None,
            breaker: Breaker::new(),
            first: VecDeque::new(),
            due: VecDeque::new(),
            owed: BTreeSet::new(),
            retrying: BTreeSet::new(),
            parked: BTreeSet::new(),
            outage: VecDeque::new(),
            in_flight: 0,
            retries_in_flight: 0,
            retry_turn: false,
            namesakes: HashMap::new(),
            paused_until: 0,
            unsent: None,
            totals: Totals::default(),
            last_delivery: None,
            last_error: None,
            since,
        }
    }

    /// What this subscription watches for in a row. Without Updated every state is the same.
    pub fn fingerprint(&self, row: &Row) -> Fingerprint {
        if self.plan.changes.updated {
            // Zero is kept for what is gone, and for the constant below.
            Fingerprint(fingerprint(&self.plan.id.uid, row.digest).0.max(2))
        } else {
            Fingerprint(1)
        }
    }

    /// The version up to which rows of `kind` are adopted, or why nothing can be decided yet.
    pub fn mark(&self, kind: &GroupKind) -> Option<u64> {
        match self.baselines.get(kind) {
            Some(Baseline::Open { mark, .. }) => Some(*mark),
            Some(Baseline::Waiting | Baseline::Closed) | None => None,
        }
    }

    /// Nothing is sent: suspended, held, or a baseline is open.
    pub fn is_silent(&self) -> bool {
        self.plan.suspended
            || self.plan.held
            || self.baselines.values().any(|baseline| matches!(baseline, Baseline::Open { .. }))
    }

    pub fn all_live(&self) -> bool {
        self.baselines.values().all(|baseline| *baseline == Baseline::Closed)
    }

    pub fn enlist(&mut self, key: &ObjectKey, named: &Named) {
        let keys = self.namesakes.entry(name_of(key, named)).or_default();
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }

    pub fn delist(&mut self, key: &ObjectKey, named: &Named) {
        let name = name_of(key, named);
        if let Some(keys) = self.namesakes.get_mut(&name) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.namesakes.remove(&name);
            }
        }
    }

    /// Other objects that have or had the same name.
    pub fn others_named(&self, key: &ObjectKey, named: &Named) -> Vec<ObjectKey> {
        match self.namesakes.get(&name_of(key, named)) {
            Some(keys) => keys.iter().filter(|other| *other != key).cloned().collect(),
            None => Vec::new(),
        }
    }

    /// The endpoint is behind on this slot.
    pub fn note_owed(&mut self, key: &ObjectKey, slot: &mut Slot, wall: i64) {
        if slot.owed_since.is_none() {
            slot.owed_since = Some(wall);
            self.owed.insert((wall, key.clone()));
        }
    }

    /// It is not any more, or it was given up for now.
    pub fn note_not_owed(&mut self, key: &ObjectKey, slot: &mut Slot) {
        if let Some(since) = slot.owed_since.take() {
            self.owed.remove(&(since, key.clone()));
        }
        self.retrying.remove(&(slot.not_before, key.clone()));
    }

    /// It waits for another attempt, not before `at`.
    pub fn note_retry(&mut self, key: &ObjectKey, slot: &mut Slot, at: u64) {
        self.retrying.remove(&(slot.not_before, key.clone()));
        slot.not_before = at;
        self.retrying.insert((at, key.clone()));
    }

    pub fn note_unparked(&mut self, key: &ObjectKey, slot: &mut Slot) {
        slot.parked = None;
        if self.parked.remove(key) {
            self.outage.retain(|other| other != key);
        }
    }
}

fn name_of(key: &ObjectKey, named: &Named) -> Name {
    (Arc::clone(&key.kind), named.namespace.clone(), Arc::clone(&named.name))
}
