//! The delivery protocol: what each endpoint still needs, when it is sent, what comes of it.
//!
//! One state machine for all subscriptions, driven by one task: observations, answers and finished commits go in,
//! commits and attempts come out of [`Engine::poll`]. Nothing in here waits. Invariants:
//!
//! - no request is started before its Sending record is durable (write ahead), acknowledgements follow behind;
//! - per slot at most one request is under way, and a sequence never means two kinds or two contents;
//! - what is unanswered stays owed until an answer or a newer event settles it;
//! - a slot that has something to tell is in a line, waits for its time, holds a permit, or waits for a namesake.
//!
//! | file | idea |
//! | --- | --- |
//! | `want` | the one decision: what a slot needs |
//! | `decide` | what is done about it: into a line, a silent record, or nothing |
//! | `observe` | what the watch shows |
//! | `ended` | what is gone does not come back as it was before |
//! | `doubts` | unless a list shows that it was never gone |
//! | `namesake` | objects of one name are told one after the other |
//! | `edit` | plans that come, change and go |
//! | `baseline` | what exists already is adopted; what an earlier life knew |
//! | `start` | from a line to a request: permits, write ahead |
//! | `answer` | what an answer settles |
//! | `park` | given up, and released |
//! | `resync` | somebody asks to be told again |
//! | `recipe` | what a fingerprint is made of |
//! | `loss` | what was known is lost |
//! | `rewind` | the cluster was set back |
//! | `capacity` | how much the ledger may hold |
//! | `breaker` | the endpoint-wide pause |
//! | `fairness`, `turns`, `line` | whose turn it is |
//! | `poor` | who waits until something may be written |
//! | `slot`, `desk`, `shared`, `journal` | what is remembered of an object, a subscription, by all, and until it is durable |
//! | `kinds` | a value for each kind of a plan |
//! | `folding` | when the journal is folded |
//! | `view` | what the status is told |
//! | `audit` | whether all of the above agrees with itself; for tests |

mod answer;
mod audit;
mod baseline;
mod breaker;
mod capacity;
mod decide;
mod desk;
mod doubts;
mod edit;
mod ended;
mod fairness;
mod folding;
mod journal;
mod kinds;
mod line;
mod loss;
mod namesake;
mod observe;
mod park;
mod poor;
mod recipe;
mod resync;
mod rewind;
mod shared;
mod slot;
mod start;
mod turns;
mod view;
mod want;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use breaker::BreakerState;
pub use capacity::{Limit, Limits};
pub use desk::{LastDelivery, Totals};
pub use fairness::Caps;
pub use slot::LastError;
pub use view::{CrowdView, EndpointView, Ends, Gauges, LossView, RetryView, SAMPLES, View};

use crate::Now;
use crate::event::Event;
use crate::ledger::budget::Allowance;
use crate::ledger::{Book, Entries, Record, Usage, claim_seq};
use crate::object::{ObjectKey, SourceId};
use crate::plan::SubscriptionId;
use desk::Desk;
use loss::Claimed;
use shared::Shared;
use slot::Slot;

/// A map whose order depends on what was put in alone, so that a schedule can be run again, which is why anybody could
/// work out keys that collide. Most keys are uids, which the API server makes; of names a namespace has too few to make a
/// lookup slow.
type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;

/// How the engine is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Requests under way.
    pub caps: Caps,
    /// How long an acknowledgement may wait for company before it is committed, in milliseconds.
    pub ack_delay: u64,
    /// How long to leave a subscription alone after something of ours was missing, in milliseconds.
    pub unsent_pause: u64,
    /// How many entries the ledger may hold.
    pub limits: Limits,
    /// How much may be written into the ledger.
    pub allowance: Allowance,
    /// A commit that takes so long stops all sending, in milliseconds.
    pub stall_after: u64,
    /// What is not folded is folded after so long, in milliseconds,
    pub fold_every: u64,
    /// or when it is so many bytes,
    pub fold_bytes: usize,
    /// or so many segments.
    pub fold_segments: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            caps: Caps::default(),
            ack_delay: 1_500,
            unsent_pause: 1_000,
            limits: Limits::default(),
            allowance: Allowance::default(),
            stall_after: 5_000,
            fold_every: 600_000,
            fold_bytes: 4 << 20,
            fold_segments: 128,
        }
    }
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make these records durable, all or none, then call [`Engine::committed`].
    Commit(Batch),
    /// Fold what is sealed, then call [`Engine::folded`].
    Fold,
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
    /// The highest version that each source has shown.
    pub sources: Vec<(SourceId, u64)>,
}

/// One request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What to tell.
    pub event: Event,
    /// How many attempts of this event were made since it was last released, this one included. A probe of a parked
    /// event counts on, so it may be more than the policy's.
    pub number: u32,
    /// The host whose permit it holds.
    pub host: Arc<str>,
}

/// See the module's head.
#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub struct Engine {
    subscriptions: Map<SubscriptionId, Subscription>,
    shared: Shared,
    /// What an earlier life left, until the subscription's plan arrives.
    unclaimed: BTreeMap<SubscriptionId, Book>,
    claimed: Claimed,
}

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
struct Subscription {
    slots: Map<ObjectKey, Slot>,
    desk: Desk,
}

impl Engine {
    /// Takes over what an earlier life left durable. Sequences continue past it.
    pub fn claim(settings: Settings, durable: Entries, now: Now) -> Self {
        let Entries { mut books, seq, sources, loss } = durable;
        let base = claim_seq(seq, u64::try_from(now.wall).unwrap_or(0));
        let mut shared = Shared::new(settings, base);
        shared.journal.sources = sources;
        // What was lost is made up for subscription by subscription, with their plans. Until then it is on record that it
        // was: a commit for one of them makes the ledger look whole to all.
        for (id, book) in &mut books {
            if let Some(loss) = book.loss.or(loss) {
                loss::note(&mut shared.journal, now, id, book, loss);
            }
        }
        let claimed = Claimed { durable: seq, base, loss };
        Self { subscriptions: Map::default(), shared, unclaimed: books, claimed }
    }

    /// What to do next; call it until it answers `None`, and again after every input and at [`Self::wake_at`].
    pub fn poll(&mut self, now: Now) -> Option<Action> {
        self.ring_alarms(now);
        self.let_in(now);
        self.end_recoveries();
        if self.shared.journal.stall_changed(now) {
            // Every view says so.
            let Self { subscriptions, shared, .. } = self;
            for Subscription { desk, .. } in subscriptions.values_mut() {
                shared.mark_changed(desk);
            }
        }
        self.shared.refill(now);
        loop {
            self.start_what_may(now);
            let Some(start) = self.shared.next_start() else { break };
            if let Some(attempt) = self.launch(now, &start) {
                return Some(Action::Send(Box::new(attempt)));
            }
        }
        let Shared { journal, folding, draining, .. } = &mut self.shared;
        if let Some(batch) = journal.next_batch(now, *draining) {
            return Some(Action::Commit(batch));
        }
        (!*draining && folding.begin(now, journal)).then_some(Action::Fold)
    }

    /// When [`Self::poll`] is worth calling even if nothing happens; monotonic.
    pub fn wake_at(&self) -> Option<u64> {
        let alarm = self.shared.alarms.first().map(|(at, _)| *at);
        let fold = self.shared.folding.wake_at().filter(|_| !self.shared.draining);
        let journal = self.shared.journal.wake_at();
        [alarm, journal, self.shared.poor.wake_at(), fold].into_iter().flatten().min()
    }

    /// The store has written something, and this is how its journal stands.
    pub fn stored(&mut self, now: Now, usage: Usage) {
        self.shared.journal.spent(now, usage);
        self.shared.folding.stored(now, usage);
    }

    /// The fold is over; if it was not done, it is tried again.
    pub fn folded(&mut self, now: Now, done: bool, usage: Usage) {
        self.shared.journal.folded(now, usage);
        self.shared.folding.ended(now, done, usage);
    }

    /// The commit with this number is durable.
    pub fn committed(&mut self, now: Now, number: u64) {
        if self.shared.journal.committed(now, number) {
            self.close_baselines(now);
            self.show_what_was_heard();
        }
    }

    /// A source has shown everything up to this version. It rides along with the next commit and causes none.
    pub fn source_at(&mut self, source: &SourceId, rv: u64) {
        self.shared.journal.source_at(source, rv);
    }

    /// Records that wait to be written.
    pub fn unwritten(&self) -> usize {
        self.shared.journal.len()
    }

    /// The highest version that the source was ever seen to have, by this leader or one before.
    pub fn highest_version(&self, source: &SourceId) -> Option<u64> {
        self.shared.journal.sources.get(source).copied()
    }

    /// What the source has shown so far says nothing about what is to come, or nobody needs it any more.
    pub fn forget_source(&mut self, source: &SourceId) {
        self.shared.journal.sources.remove(source);
    }

    /// Starts nothing any more; what is under way may finish, what is acknowledged is committed.
    pub fn drain(&mut self) {
        self.shared.draining = true;
    }

    /// Nothing is under way and nothing waits to be durable.
    pub fn is_drained(&self) -> bool {
        self.shared.ring.in_flight() == 0 && self.shared.journal.is_idle()
    }

    /// A subscription whose [`View`] may differ from the one last taken; who changed first comes first.
    pub fn next_changed(&mut self) -> Option<SubscriptionId> {
        let id = self.shared.changed.pop_front()?;
        if let Some(Subscription { desk, .. }) = self.subscriptions.get_mut(&id) {
            desk.changed = false;
        }
        Some(id)
    }

    /// How many [`Self::next_changed`] has to give.
    pub fn changed(&self) -> usize {
        self.shared.changed.len()
    }

    /// Whose time has come may have something to start.
    fn ring_alarms(&mut self, now: Now) {
        while let Some(id) = self.shared.next_alarm(now) {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            subscription.desk.alarm = None;
            subscription.fall_due(&mut self.shared, now);
            self.shared.ring.enlist(&subscription.desk.plan.namespace, &id);
        }
    }
}
