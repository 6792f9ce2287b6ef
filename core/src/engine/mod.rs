//! The delivery protocol: what each endpoint still needs, when it is sent, what comes of it.
//!
//! One state machine for all subscriptions, driven by one task: observations, answers and finished commits go in,
//! commits and attempts come out of [`Engine::poll`]. Nothing in here waits. Invariants:
//!
//! - no request is started before its Sending record is durable (write ahead), acknowledgements follow behind;
//! - per slot at most one request is under way, and a sequence never means two kinds or two contents;
//! - what is unanswered stays owed until an answer or a newer event settles it.
//!
//! `want` decides, `declare` starts, `answer` settles, `observe` and `baseline` feed, `breaker` and `fairness` hold back,
//! `view` tells the status.

mod answer;
mod baseline;
mod breaker;
mod declare;
mod desk;
mod fairness;
mod observe;
mod slot;
#[cfg(test)]
mod tests;
mod view;
mod want;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

pub use breaker::BreakerState;
pub use desk::{LastDelivery, Totals};
pub use fairness::Caps;
pub use slot::LastError;
pub use view::{EndpointView, Ends, Gauges, RetryView, View};

use crate::Now;
use crate::event::Event;
use crate::ledger::{Book, Entries, Fact, Record, claim_seq};
use crate::object::ObjectKey;
use crate::plan::SubscriptionId;
use desk::Desk;
use fairness::Ring;
use slot::Slot;

/// How the engine is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Requests under way.
    pub caps: Caps,
    /// How long an acknowledgement may wait for company before it is committed, in milliseconds.
    pub ack_delay: u64,
    /// How long to leave a subscription alone after something of ours was missing, in milliseconds.
    pub unsent_pause: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { caps: Caps::default(), ack_delay: 1_500, unsent_pause: 1_000 }
    }
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make these records durable, all or none, then call [`Engine::committed`].
    Commit(Batch),
    /// Make this request, then call [`Engine::answered`].
    Send(Box<Attempt>),
}

/// Records that become durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Grows by one with every commit.
    pub number: u64,
    /// In order of their sequence.
    pub records: Vec<Record>,
}

/// One request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What to tell.
    pub event: Event,
    /// Which attempt of the delivery it is, from 1.
    pub number: u32,
    /// The host whose permit it holds.
    pub host: Arc<str>,
}

/// See the module's head.
#[derive(Debug)]
pub struct Engine {
    subscriptions: HashMap<SubscriptionId, Subscription>,
    shared: Shared,
    /// What an earlier life left, until the subscription's plan arrives.
    unclaimed: BTreeMap<SubscriptionId, Book>,
}

#[derive(Debug)]
struct Subscription {
    slots: HashMap<ObjectKey, Slot>,
    desk: Desk,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Slot(ObjectKey),
    /// A probe, or the end of a pause: the subscription may have something to start.
    Subscription,
}

/// What all subscriptions share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    seq: u64,
    durable_seq: u64,
    commit: u64,
    committing: Option<(u64, u64)>,
    /// Not yet committed, in order.
    records: Vec<Record>,
    /// Since when the oldest of them waits; monotonic.
    records_since: u64,
    /// One of them is waited for.
    urgent: bool,
    last_commit: Option<i64>,
    declaring: VecDeque<(u64, SubscriptionId, ObjectKey)>,
    outbox: VecDeque<Attempt>,
    timers: BinaryHeap<Reverse<(u64, SubscriptionId, Timer)>>,
    ring: Ring,
    changed: BTreeSet<SubscriptionId>,
    /// Subscriptions with an open baseline.
    opening: Vec<SubscriptionId>,
    ends: Ends,
    draining: bool,
}

impl Shared {
    /// Adds a record; `urgent` ones are committed at once, the others ride along or wait a little.
    fn record(&mut self, now: Now, id: &SubscriptionId, fact: Fact, urgent: bool) -> u64 {
        self.seq += 1;
        if self.records.is_empty() {
            self.records_since = now.mono;
        }
        self.urgent |= urgent;
        self.records.push(Record { seq: self.seq, subscription: id.clone(), fact });
        self.seq
    }

    fn wake(&mut self, at: u64, id: &SubscriptionId, timer: Timer) {
        self.timers.push(Reverse((at, id.clone(), timer)));
    }

    fn mark_changed(&mut self, id: &SubscriptionId) {
        if !self.changed.contains(id) {
            self.changed.insert(id.clone());
        }
    }
}

impl Engine {
    /// Takes over what an earlier life left durable. Sequences continue past it.
    pub fn claim(settings: Settings, durable: Entries, now: Now) -> Self {
        let Entries { books, seq } = durable;
        let seq = claim_seq(seq, u64::try_from(now.wall / 1000).unwrap_or(0));
        Self {
            subscriptions: HashMap::new(),
            unclaimed: books,
            shared: Shared {
                settings,
                seq,
                durable_seq: seq,
                commit: 0,
                committing: None,
                records: Vec::new(),
                records_since: 0,
                urgent: false,
                last_commit: None,
                declaring: VecDeque::new(),
                outbox: VecDeque::new(),
                timers: BinaryHeap::new(),
                ring: Ring::new(settings.caps),
                changed: BTreeSet::new(),
                opening: Vec::new(),
                ends: Ends::default(),
                draining: false,
            },
        }
    }

    /// What to do next; call it until it answers `None`, and again after every input and at [`Self::wake_at`].
    pub fn poll(&mut self, now: Now) -> Option<Action> {
        self.fire_timers(now);
        self.start_what_may(now);
        if let Some(attempt) = self.shared.outbox.pop_front() {
            return Some(Action::Send(Box::new(attempt)));
        }
        let shared = &mut self.shared;
        let ripe = shared.urgent
            || shared.draining
            || now.mono.saturating_sub(shared.records_since) >= shared.settings.ack_delay;
        if shared.committing.is_some() || shared.records.is_empty() || !ripe {
            return None;
        }
        shared.commit += 1;
        shared.committing = Some((shared.commit, shared.seq));
        shared.urgent = false;
        Some(Action::Commit(Batch { number: shared.commit, records: std::mem::take(&mut shared.records) }))
    }

    /// When [`Self::poll`] is worth calling even if nothing happens; monotonic.
    pub fn wake_at(&self) -> Option<u64> {
        let timer = self.shared.timers.peek().map(|Reverse((at, ..))| *at);
        let commit = (!self.shared.records.is_empty() && self.shared.committing.is_none())
            .then(|| self.shared.records_since + self.shared.settings.ack_delay);
        match (timer, commit) {
            (Some(timer), Some(commit)) => Some(timer.min(commit)),
            (timer, commit) => timer.or(commit),
        }
    }

    /// The commit with this number is durable.
    pub fn committed(&mut self, now: Now, number: u64) {
        match self.shared.committing {
            Some((expected, seq)) if expected == number => {
                self.shared.committing = None;
                self.shared.durable_seq = seq;
                self.shared.last_commit = Some(now.wall);
            }
            Some(_) | None => return,
        }
        self.close_baselines(now);
        self.send_what_is_declared(now);
    }

    /// Starts nothing any more; what is under way may finish, what is acknowledged is committed.
    pub fn drain(&mut self) {
        self.shared.draining = true;
    }

    /// Nothing is under way and nothing waits to be durable.
    pub fn is_drained(&self) -> bool {
        self.shared.ring.in_flight() == 0
            && self.shared.outbox.is_empty()
            && self.shared.records.is_empty()
            && self.shared.committing.is_none()
    }

    /// Subscriptions whose [`View`] may differ from the one last taken.
    pub fn take_changed(&mut self) -> BTreeSet<SubscriptionId> {
        std::mem::take(&mut self.shared.changed)
    }

    fn fire_timers(&mut self, now: Now) {
        while let Some(Reverse((at, ..))) = self.shared.timers.peek()
            && *at <= now.mono
            && let Some(Reverse((at, id, timer))) = self.shared.timers.pop()
        {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            if let Timer::Slot(key) = timer {
                subscription.fell_due(&key, at);
            }
            self.shared.ring.enlist(&subscription.desk.plan.namespace, &id);
        }
    }
}
