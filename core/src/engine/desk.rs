//! What a subscription keeps beside its slots: lines, counts, baselines, namesakes.
//!
//! Touches nothing. Invariants: `owed`, `retrying` and `parked` are exactly the slots that are behind, failed at the last
//! attempt, or given up for now; `first`, `due` and `waiting` are exactly the slots in that phase; `outage` and `refused`
//! are parts of `parked`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Map;
use super::breaker::Breaker;
use super::doubts::Doubts;
use super::ended::Ended;
use super::kinds::Kinds;
use super::line::Line;
use super::namesake::Name;
use super::slot::{LastError, Phase, Slot};
use super::view::LossView;
use crate::Now;
use crate::ledger::Recipe;
use crate::object::{GroupKind, ObjectKey};
use crate::plan::{Plan, Requests, SubscriptionId};
use crate::proof::{Rule, broken};

/// Where a kind's baseline stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Baseline {
    /// The first complete list is still to come. What is in it is adopted up to `mark`, or all of it without one; with
    /// zero nothing is.
    Waiting { mark: Option<u64> },
    /// Rows up to `mark` are being adopted, none if it is zero; nothing of the subscription is declared.
    Open { mark: u64, closes_at_seq: u64 },
    /// Nothing is adopted any more.
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
    /// Events that were given up for good.
    pub discarded: u64,
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

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Desk {
    pub plan: Plan,
    /// Removed subscriptions that had requests under way when this one began.
    pub predecessors: Vec<SubscriptionId>,
    pub baselines: Kinds<Baseline>,
    pub baseline_at: Option<i64>,
    /// Kinds of which a list was complete since this process took over.
    pub listed: BTreeSet<Arc<GroupKind>>,
    /// Of these, those of which one could read everything.
    pub whole: BTreeSet<Arc<GroupKind>>,
    /// When that was so of all of them; wall clock.
    pub all_listed_at: Option<i64>,
    /// What was acknowledged before this sequence is owed again.
    pub resync: u64,
    /// The requests to be told again that were seen, and the sequence from which on that is durable.
    pub requests: (u64, Requests),
    /// How fingerprints are made, from which sequence on; oldest first.
    pub recipes: Vec<(u64, Recipe)>,
    /// What was known is lost, and not made up for yet.
    pub lost: Option<LossView>,
    pub breaker: Breaker,
    /// Waiting for their first attempt.
    pub first: Line,
    /// Waiting for another attempt, and it is time.
    pub due: Line,
    /// Waiting for another attempt, not before that moment.
    pub waiting: BTreeSet<(u64, ObjectKey)>,
    /// Behind and not given up: since when, which.
    pub owed: BTreeSet<(i64, ObjectKey)>,
    /// Failed at the last attempt and not given up: when it may, or might, go again, which.
    pub retrying: BTreeSet<(u64, ObjectKey)>,
    pub parked: BTreeSet<ObjectKey>,
    /// Unanswered in an earlier life, and not tried yet in this one.
    pub inherited: BTreeSet<ObjectKey>,
    /// Slots that the ledger has room for.
    pub admitted: u64,
    /// Slots that it has none for.
    pub crowd: BTreeSet<ObjectKey>,
    /// Of the parked, those that wait for the end of the outage.
    pub outage: BTreeSet<ObjectKey>,
    /// Of the parked, those refused with a status that is the endpoint's trouble once it is common.
    pub refused: BTreeSet<ObjectKey>,
    /// The slot under way as the breaker's probe.
    pub probe: Option<ObjectKey>,
    /// Counts probes, so that they go round.
    pub probes: u64,
    /// The last of `outage` that was probed.
    pub probed: Option<ObjectKey>,
    pub in_flight: u32,
    pub retries_in_flight: u32,
    /// Which lane a lone permit serves next.
    pub retry_turn: bool,
    /// Objects of one name; only a name's second uid is looked at.
    pub namesakes: Map<Name, Vec<ObjectKey>>,
    /// Names that more than one of them has or had.
    pub shared_names: usize,
    /// Objects that are gone or not selected, and forgotten.
    pub ended: Ended,
    pub doubts: Doubts,
    /// Kinds of which the plan in force selects otherwise than the one before it.
    pub reselects: BTreeSet<Arc<GroupKind>>,
    /// Kinds whose versions count anew, until their next list is complete.
    pub recounted: BTreeSet<Arc<GroupKind>>,
    /// Something of ours was missing when it was last tried: not before this.
    pub paused_until: u64,
    pub unsent: Option<String>,
    /// When the next alarm rings.
    pub alarm: Option<u64>,
    /// Whoever takes views is to take this one.
    pub changed: bool,
    pub totals: Totals,
    pub last_delivery: Option<LastDelivery>,
    pub last_error: Option<LastError>,
    pub since: i64,
}

impl Desk {
    pub fn new(plan: Plan, since: i64) -> Self {
        Self {
            plan,
            predecessors: Vec::new(),
            baselines: Kinds::default(),
            baseline_at: None,
            listed: BTreeSet::new(),
            whole: BTreeSet::new(),
            all_listed_at: None,
            resync: 0,
            requests: (0, Requests::default()),
            recipes: Vec::new(),
            lost: None,
            breaker: Breaker::new(),
            first: Line::default(),
            due: Line::default(),
            waiting: BTreeSet::new(),
            owed: BTreeSet::new(),
            retrying: BTreeSet::new(),
            parked: BTreeSet::new(),
            inherited: BTreeSet::new(),
            admitted: 0,
            crowd: BTreeSet::new(),
            outage: BTreeSet::new(),
            refused: BTreeSet::new(),
            probe: None,
            probes: 0,
            probed: None,
            in_flight: 0,
            retries_in_flight: 0,
            retry_turn: false,
            namesakes: Map::default(),
            shared_names: 0,
            ended: Ended::default(),
            doubts: Doubts::default(),
            reselects: BTreeSet::new(),
            recounted: BTreeSet::new(),
            paused_until: 0,
            unsent: None,
            alarm: None,
            changed: false,
            totals: Totals::default(),
            last_delivery: None,
            last_error: None,
            since,
        }
    }

    /// Nothing is sent: suspended, held, or a baseline is open.
    pub fn is_silent(&self) -> bool {
        let stopped = (self.plan.suspended || self.plan.held) && !broken(Rule::SuspendedIsSilent);
        let opening = self.baselines.values().any(|baseline| matches!(baseline, Baseline::Open { .. }));
        stopped || (opening && !broken(Rule::OpenBaselineIsSilent))
    }

    pub fn all_live(&self) -> bool {
        self.baselines.values().all(|baseline| *baseline == Baseline::Closed)
    }

    /// The endpoint is behind on this slot.
    pub fn note_owed(&mut self, key: &ObjectKey, slot: &mut Slot, since: i64) {
        if slot.owed_since.is_none() {
            slot.owed_since = Some(since);
            self.owed.insert((since, key.clone()));
        }
    }

    /// It is not any more, or it was given up for now.
    pub fn note_not_owed(&mut self, key: &ObjectKey, slot: &mut Slot) {
        self.leave_lines(key, slot);
        if let Some(since) = slot.owed_since.take() {
            self.owed.remove(&(since, key.clone()));
        }
        self.forget_retry(key, slot);
    }

    /// When it failed last has no say any more in when it goes again.
    pub fn forget_retry(&mut self, key: &ObjectKey, slot: &mut Slot) {
        self.leave_lines(key, slot);
        if slot.is_retrying() {
            self.retrying.remove(&(slot.not_before, key.clone()));
        }
        slot.not_before = 0;
    }

    /// It failed, and goes again no earlier than `at`.
    pub fn note_retry(&mut self, key: &ObjectKey, slot: &mut Slot, at: u64) {
        self.leave_lines(key, slot);
        if slot.is_retrying() {
            self.retrying.remove(&(slot.not_before, key.clone()));
        }
        slot.not_before = if broken(Rule::RetriesWait) { 1 } else { at.max(1) };
        self.retrying.insert((slot.not_before, key.clone()));
    }

    /// It is parked no more.
    pub fn note_unparked(&mut self, key: &ObjectKey, slot: &mut Slot) {
        if slot.parked.take().is_some() {
            self.parked.remove(key);
            self.outage.remove(key);
            self.refused.remove(key);
        }
    }

    /// Out of whatever line it stands in; a slot that holds a permit stands in none.
    pub fn leave_lines(&mut self, key: &ObjectKey, slot: &mut Slot) {
        match slot.phase {
            Phase::Queued { place } => self.first.leave(place),
            Phase::Due { place } => self.due.leave(place),
            Phase::Waiting => {
                self.waiting.remove(&(slot.not_before, key.clone()));
            }
            Phase::Idle => {}
            Phase::Starting | Phase::InFlight => return,
        }
        slot.phase = Phase::Idle;
    }

    /// When there may be something to start that may not now.
    pub fn next_chance(&self, now: Now) -> Option<u64> {
        let waiting = self.waiting.first().map(|(at, _)| *at);
        let pause = Some(self.paused_until);
        [waiting, pause, self.breaker.next_probe()].into_iter().flatten().filter(|at| *at > now.mono).min()
    }
}
