//! The one task that turns the engine: sightings and plans in, commits and attempts out, views to whoever shows them.
//!
//! Touches the ledger store and, through attempts it spawns, endpoints. Invariants: the engine is only ever touched
//! here; nothing in the loop waits for a network; every channel is bounded, and a view that does not fit is sent later;
//! without the Lease nothing is begun, and what is under way is dropped.

mod taking;
mod telling;
#[cfg(test)]
mod tests;
mod throttle;
mod unasked;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use changehook_core::Now;
use changehook_core::engine::{Action, Attempt, Batch, Ends, Engine, LossView, Settings, View};
use changehook_core::ledger::{Entries, Usage};
use changehook_core::object::SourceId;
use changehook_core::outcome::{Class, Failure, Outcome, Reason};
use changehook_core::plan::{Plan, SubscriptionId};
pub use changehook_core::select::Sighted;
use changehook_core::select::{Backlog, Observation, Selection};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet, yield_now};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::throttle::Throttle;
use super::attempt::{Attempted, Courier};
use super::endpoint::Endpoint;
use super::metrics::Metrics;
use crate::ledger::{FoldEnd, LedgerError, LedgerStore};

/// How many sightings are heard before the engine's turn.
const SIGHTINGS_AT_ONCE: usize = 256;
/// With so many records that wait to be written nothing more is taken in: a commit hangs, and the watches have to wait.
const UNWRITTEN: usize = 50_000;
/// How many answers are taken in before the engine's turn.
const ANSWERS_AT_ONCE: usize = 64;
/// The heartbeat needs a turn now and then even if nothing happens.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How often views and gauges are told at most.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What a watch source saw.
#[derive(Debug)]
pub struct Sighting {
    /// Which source.
    pub source: Arc<SourceId>,
    /// What it saw.
    pub seen: Sighted,
}

/// What the controller wants of the driver.
#[derive(Debug)]
pub enum Command {
    /// A subscription is new or was edited.
    Assign(Box<Assignment>),
    /// A subscription is gone.
    Remove(SubscriptionId),
    /// These are all that there are: what an earlier life knew of others can be dropped.
    Sweep(BTreeSet<SubscriptionId>),
}

/// A plan with where its requests go and where its rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What core needs.
    pub plan: Plan,
    /// Where requests go.
    pub endpoint: Arc<Endpoint>,
    /// One source for each of the plan's interests, in the same order.
    pub sources: Vec<SourceId>,
    /// Those of them whose kind was not served, so that nobody could be asked whether it may be read.
    pub unasked: Vec<SourceId>,
}

/// What a subscription looks like now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whose.
    pub subscription: SubscriptionId,
    /// How it looks.
    pub view: View,
}

/// Why the driver ended.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The ledger is not ours any more, or does not answer.
    #[error("failed to keep the ledger")]
    Ledger(#[from] LedgerError),
    /// The task of a commit or a fold died.
    #[error("failed to finish a write to the ledger")]
    Commit(#[source] JoinError),
    /// Nobody watches any more, and nobody told them to stop.
    #[error("failed to hear from the watches: their channel is closed")]
    Deaf,
    /// Another replica may lead by now.
    #[error("failed to go on: this replica does not hold the Lease any more")]
    NotLeading,
}

/// The driver's ends of its channels, and the clocks it is given.
pub struct Inputs<R> {
    /// What watch sources see.
    pub sightings: mpsc::Receiver<R>,
    /// What the controller wants.
    pub commands: mpsc::Receiver<Command>,
    /// Views go here.
    pub told: mpsc::Sender<Told>,
    /// Subscriptions whose attempt could not be made for want of something of ours, or went to a host we did not know of.
    pub recheck: mpsc::Sender<SubscriptionId>,
    /// Called with what an earlier life left, before anything is watched.
    pub recall: Box<dyn Fn(&Entries) + Send + Sync>,
    /// The clocks.
    pub now: Box<dyn Fn() -> Now + Send + Sync>,
    /// Random numbers, for jitter.
    pub random: Box<dyn Fn() -> u32 + Send + Sync>,
    /// Whether this replica may act; asked before each commit and each attempt.
    pub leads: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Called on every turn, to show that it turns.
    pub heartbeat: Box<dyn Fn() + Send + Sync>,
    /// Cancelled when the watches are told to stop, which is before `stop`: their channel may close from then on.
    pub watches_stop: CancellationToken,
    /// Stop starting, finish what is under way, commit, return.
    pub stop: CancellationToken,
}

/// See the module's head.
pub struct Driver<S, R> {
    engine: Engine,
    backlog: Backlog,
    throttle: Throttle,
    selection: Selection,
    endpoints: HashMap<SubscriptionId, Assignment>,
    courier: Courier,
    store: Arc<S>,
    metrics: Metrics,
    inputs: Inputs<R>,
    attempts: JoinSet<Attempted>,
    under_way: HashMap<Id, Attempt>,
    commit: JoinSet<Result<(u64, Usage), LedgerError>>,
    fold: JoinSet<Result<FoldEnd, LedgerError>>,
    /// How many views are to be told before the next ones are due.
    untold: usize,
    /// The last of each subscription, however soon it was made up for.
    losses: HashMap<SubscriptionId, LossView>,
    told_at: u64,
    rechecked_at: u64,
    ends: Ends,
    /// Of the backlog, as counted.
    merged: u64,
    seen: Vec<Observation>,
}

impl<S: LedgerStore, R: Into<Sighting> + Send> Driver<S, R> {
    /// Claims the ledger and is ready to run.
    pub async fn claim(
        settings: Settings,
        store: Arc<S>,
        courier: Courier,
        metrics: Metrics,
        inputs: Inputs<R>,
    ) -> Result<Self, DriverError> {
        let durable = store.claim().await?;
        (inputs.recall)(&durable);
        let engine = Engine::claim(settings, durable, (inputs.now)());
        Ok(Self {
            engine,
            backlog: Backlog::new(taking::PART),
            throttle: Throttle::new(Instant::now()),
            selection: Selection::new(),
            endpoints: HashMap::new(),
            courier,
            store,
            metrics,
            inputs,
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            commit: JoinSet::new(),
            fold: JoinSet::new(),
            untold: 0,
            losses: HashMap::new(),
            told_at: 0,
            rechecked_at: 0,
            ends: Ends::default(),
            merged: 0,
            seen: Vec::new(),
        })
    }

    /// Turns until told to stop and drained.
    pub async fn run(mut self) -> Result<(), DriverError> {
        let mut sightings = Vec::with_capacity(SIGHTINGS_AT_ONCE);
        let mut listening = true;
        let mut draining = false;
        loop {
            (self.inputs.heartbeat)();
            self.listen(&mut sightings);
            self.take_in();
            let now = (self.inputs.now)();
            while let Some(action) = self.engine.poll(now) {
                // returning drops the commit and the requests that are under way
                if !(self.inputs.leads)() {
                    return Err(DriverError::NotLeading);
                }
                self.act(action);
            }
            self.tell(now);
            if draining && self.engine.is_drained() {
                self.tell_all(now);
                return Ok(());
            }
            let sleep = self.sleep(now);
            // no sleep is shorter than a millisecond or two, in which others' requests would wait
            let wake = async move { if sleep.is_zero() { yield_now().await } else { tokio::time::sleep(sleep).await } };
            let hears = listening && self.has_room();
            tokio::select! {
                // what there is to hear and to take in has its part of every turn, so that it need not come first here
                biased;
                () = self.inputs.stop.cancelled(), if !draining => {
                    draining = true;
                    self.engine.drain();
                }
                Some(joined) = self.commit.join_next() => {
                    let (number, usage) = match joined.map_err(DriverError::Commit)? {
                        Ok(committed) => committed,
                        Err(error) => {
                            self.tell_why(&error);
                            return Err(error.into());
                        }
                    };
                    let now = (self.inputs.now)();
                    self.engine.stored(now, usage);
                    self.engine.committed(now, number);
                }
                Some(joined) = self.fold.join_next() => {
                    let FoldEnd { done, usage } = joined.map_err(DriverError::Commit)??;
                    self.engine.folded((self.inputs.now)(), done, usage);
                }
                Some(command) = self.inputs.commands.recv() => self.obey(command),
                Some(joined) = self.attempts.join_next_with_id() => {
                    self.answered(joined);
                    for _ in 1..ANSWERS_AT_ONCE {
                        let Some(joined) = self.attempts.try_join_next_with_id() else { break };
                        self.answered(joined);
                    }
                }
                n = self.inputs.sightings.recv_many(&mut sightings, SIGHTINGS_AT_ONCE), if hears => {
                    if n == 0 {
                        if !self.inputs.watches_stop.is_cancelled() {
                            return Err(DriverError::Deaf);
                        }
                        listening = false;
                    }
                }
                () = wake => {}
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Commit(batch) => {
                let store = Arc::clone(&self.store);
                self.commit.spawn(async move { commit(&*store, batch).await });
            }
            Action::Fold => {
                let store = Arc::clone(&self.store);
                self.fold.spawn(async move { store.fold().await });
            }
            Action::Send(attempt) => {
                let courier = self.courier.clone();
                let assignment = self.endpoints.get(&attempt.event.subscription);
                let Some(endpoint) = assignment.map(|assignment| Arc::clone(&assignment.endpoint)) else {
                    // The engine has no subscription that was not assigned; should it ever, the permit comes back.
                    let outcome = Outcome::Unsent { message: "the subscription has no endpoint".to_owned() };
                    self.engine.answered((self.inputs.now)(), &attempt, outcome, 0);
                    return;
                };
                let event = attempt.event.clone();
                let metrics = self.metrics.clone();
                let handle = self.attempts.spawn(async move {
                    let (_in_flight, started) = (metrics.begin_attempt(), Instant::now());
                    let attempted = courier.attempt(&endpoint, &event).await;
                    metrics.end_attempt(&attempted.outcome, started.elapsed());
                    attempted
                });
                self.under_way.insert(handle.id(), *attempt);
            }
        }
    }

    fn answered(&mut self, joined: Result<(Id, Attempted), JoinError>) {
        let now = rounded_up((self.inputs.now)());
        let (id, Attempted { outcome, moved }) = match joined {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(error = %error, "an attempt died; this is a bug in changehook");
                let failure = Failure {
                    class: Class::Event,
                    reason: Reason::RenderFailed,
                    http_status: None,
                    message: "the request could not be made because of a bug in changehook; see the operator's log"
                        .to_owned(),
                    retry_after: None,
                };
                (error.id(), Attempted { outcome: Outcome::Failed(failure), moved: false })
            }
        };
        let Some(attempt) = self.under_way.remove(&id) else { return };
        match &outcome {
            Outcome::Delivered { .. } => {
                let latency = u64::try_from(now.wall - attempt.event.detected_at).unwrap_or(0);
                self.metrics.delivered_after(Duration::from_millis(latency));
            }
            Outcome::Failed(failure) => tracing::debug!(
                reason = failure.reason.as_str(),
                status = failure.http_status,
                attempt = attempt.number,
                subscription = %attempt.event.subscription.uid,
                "attempt failed"
            ),
            Outcome::Unsent { message } => {
                tracing::warn!(%message, subscription = %attempt.event.subscription.uid, "attempt not made");
            }
        }
        if moved || matches!(outcome, Outcome::Unsent { .. }) {
            // If the queue is full, the controller is about to look at everything anyway.
            let _full = self.inputs.recheck.try_send(attempt.event.subscription.clone());
        }
        self.engine.answered(now, &attempt, outcome, (self.inputs.random)());
    }

    fn obey(&mut self, command: Command) {
        let now = (self.inputs.now)();
        match command {
            Command::Assign(assignment) => {
                let Assignment { plan, endpoint: _, sources, unasked: _ } = &*assignment;
                let id = plan.id.clone();
                // what came of reports under the plan before it is seen before it
                let kept = self.backlog.take_of(&id);
                self.show(now, kept);
                self.engine.plan(now, self.bounded(&assignment));
                self.selection.plan(plan, sources, &mut self.seen);
                for observation in self.seen.drain(..) {
                    self.engine.replanned(now, observation);
                }
                for (interest, source) in plan.interests.iter().zip(sources) {
                    if let Some(synced) = self.selection.synced(source) {
                        self.engine.conclude(now, &id, &interest.gvk.group_kind(), &synced);
                    }
                }
                self.endpoints.insert(id, *assignment);
            }
            Command::Sweep(known) => self.engine.sweep(now, &known),
            Command::Remove(id) => {
                self.engine.remove(now, &id);
                self.selection.remove(&id);
                self.endpoints.remove(&id);
                self.losses.remove(&id);
            }
        }
    }

    /// How long nothing is to be done, unless something wakes it.
    fn sleep(&self, now: Now) -> Duration {
        if self.may_tell() {
            return Duration::ZERO;
        }
        let engine = self.engine.wake_at().map(|at| Duration::from_millis(at.saturating_sub(now.mono).max(1)));
        let tell = (self.engine.changed() > 0).then_some(TELL_EVERY);
        let take = self.until_take_in();
        [engine, tell, take].into_iter().flatten().min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }
}

/// Time is counted in whole milliseconds, rounded down. A wait that begins now begins at the end of this one, so that no
/// retry comes earlier than promised, not even by a part of a millisecond.
fn rounded_up(now: Now) -> Now {
    Now { mono: now.mono + 1, ..now }
}

async fn commit<S: LedgerStore>(store: &S, batch: Batch) -> Result<(u64, Usage), LedgerError> {
    store.commit(&batch).await.map(|usage| (batch.number, usage))
}
