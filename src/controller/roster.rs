//! Who is to be looked at, and when.
//!
//! Touches the API server through its feed. Invariants: a subscription that is gone is removed
//! from the driver and the status whether its deletion was seen or not; looks are bounded; what happens during a look
//! leads to another one; one that waits for something is looked at again after a while ([`patience`](super::patience)), or
//! at once when its watch source or the driver says so, and every one is looked at now and then; what is in force keeps
//! its watches, so that no deletion is missed while a spec is broken.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use changehook_core::object::SourceId;
use changehook_core::plan::SubscriptionId;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kube::core::{DynamicObject, ObjectMeta};
use kube::runtime::watcher::Event;
use kube::{Client, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::time::{DelayQueue, delay_queue};

use super::assign::relabelled;
use super::feed::{Place, feed};
use super::hearers::Hearers;
use super::namespaces::{Changed, Known, Namespaces};
use super::patience::Patience;
use super::queue::Queue;
use super::read::{Shown, read};
use super::reconcile::{Before, Context, Look, look};
use crate::api::SubscriptionKind;
use crate::delivery::driver::{Assignment, Command};
use crate::status::writer::News;
use crate::watch::SourceHandle;

/// Looks under way at once.
const LOOKS: usize = 16;
/// Between two looks at a subscription that lacks nothing, give or take a fifth: a Secret may go without a word, and so
/// may a right.
const STEADY: Duration = Duration::from_mins(5);

/// How long after the first list the records of subscriptions that are not there are kept: whatever went wrong with that
/// list has been put right by then.
const SWEEP_AFTER: Duration = Duration::from_mins(10);

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The watch of one of our own kinds ended, which it never does.
    #[error("failed to keep watching subscriptions: the stream ended")]
    StreamEnded,
    /// The driver or the status writer is gone.
    #[error("failed to pass on what was found: the receiving task is gone")]
    Deserted,
}

/// The controller's ends of its channels.
pub struct Inputs {
    /// Sources whose state changed.
    pub notices: mpsc::Receiver<SourceId>,
    /// Subscriptions the driver wants looked at.
    pub recheck: mpsc::Receiver<SubscriptionId>,
    /// To the driver.
    pub commands: mpsc::Sender<Command>,
    /// To the status writer.
    pub news: mpsc::Sender<News>,
    /// Called once the first list of WebhookSubscriptions is complete, in every place.
    pub listed: Option<Box<dyn FnOnce() + Send>>,
}

/// One subscription.
struct Entry {
    shown: Arc<Shown>,
    /// The generation of the last look.
    looked_at: Option<i64>,
    assigned: Option<Assignment>,
    /// Keeps the sources of what is in force.
    handles: Vec<SourceHandle>,
    /// The look that is under way; what comes of any other is out of date.
    looking: Option<u64>,
    /// Something happened while it was being looked at.
    again: bool,
    patience: Patience,
    timer: Option<delay_queue::Key>,
}

impl Entry {
    /// Whether its selector now chooses other namespaces than those that are in force, or none are.
    fn chooses_otherwise(&self, known: &Known) -> bool {
        let Some(assigned) = &self.assigned else { return true };
        let chosen = assigned.plan.interests.iter().find_map(|interest| interest.selector.namespaces.as_ref());
        // A selector that is in force where only namespaces are watched is in the labels; that they are looked at is enough.
        chosen.is_some_and(|chosen| {
            known.chosen(&chosen.chosen_by).is_none_or(|names| !names.iter().eq(chosen.names.iter()))
        })
    }

    /// Whether a list of that place shows it, if it is there.
    fn is_in(&self, place: &Place) -> bool {
        let Place { kind, namespace } = place;
        let of = self.shown.metadata().namespace.as_deref();
        self.shown.kind() == *kind && namespace.as_deref().is_none_or(|namespace| of == Some(namespace))
    }
}

/// See the module's head.
pub struct Roster {
    client: Client,
    context: Arc<Context>,
    inputs: Inputs,
    entries: HashMap<SubscriptionId, Entry>,
    /// Namespace and name → who has them now; what is of the whole cluster has no namespace.
    names: HashMap<(String, String), SubscriptionId>,
    hearers: Hearers,
    /// Subscriptions with a certificate that expires soon.
    expiring: HashSet<SubscriptionId>,
    namespaces: Namespaces,
    /// Subscriptions seen in the lists that are under way.
    listing: HashMap<Place, HashSet<SubscriptionId>>,
    /// Where no list has been complete yet.
    unlisted: HashSet<Place>,
    queue: Queue,
    timers: DelayQueue<SubscriptionId>,
    looks: FuturesUnordered<BoxFuture<'static, (SubscriptionId, u64, Look)>>,
    looks_started: u64,
    /// When the records of subscriptions that are gone are dropped.
    sweep: Option<Pin<Box<Sleep>>>,
}

impl Roster {
    /// Ready to run.
    pub fn new(client: Client, context: Context, inputs: Inputs) -> Self {
        Self {
            unlisted: context.scope.places().into_iter().collect(),
            client,
            context: Arc::new(context),
            inputs,
            entries: HashMap::new(),
            names: HashMap::new(),
            hearers: Hearers::default(),
            expiring: HashSet::new(),
            namespaces: Namespaces::default(),
            listing: HashMap::new(),
            queue: Queue::default(),
            timers: DelayQueue::new(),
            looks: FuturesUnordered::new(),
            looks_started: 0,
            sweep: None,
        }
    }

    /// Keeps every subscription in force until stopped.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ControllerError> {
        let mut feed = feed(&self.client, &self.context.scope);
        loop {
            self.start_looks();
            tokio::select! {
                event = feed.next() => match event.flatten() {
                    Some((place, Ok(event))) => self.hear(place, event).await?,
                    Some((place, Err(error))) => tracing::warn!(
                        error = %crate::chain::chain(&error),
                        kind = place.kind.kind(),
                        namespace = place.namespace.as_deref(),
                        "failed to watch subscriptions; trying again"
                    ),
                    None => return Err(ControllerError::StreamEnded),
                },
                Some(source) = self.inputs.notices.recv() => {
                    self.hearers.of_kind(&source.gvk).for_each(|id| self.queue.push(id.clone()));
                }
                changed = self.namespaces.changed() => self.heard_of_namespaces(changed),
                Some(id) = self.inputs.recheck.recv() => self.queue.push(id),
                Some(expired) = self.timers.next() => {
                    let id = expired.into_inner();
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.timer = None;
                    }
                    self.queue.push(id);
                }
                Some((id, number, look)) = self.looks.next() => self.looked(id, number, look).await?,
                () = async { if let Some(due) = &mut self.sweep { due.await } }, if self.sweep.is_some() => {
                    self.sweep = None;
                    let known = self.entries.keys().cloned().collect();
                    self.command(Command::Sweep(known)).await?;
                }
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    fn heard_of_namespaces(&mut self, changed: Changed) {
        let known = self.namespaces.known();
        for id in self.hearers.of_namespaces() {
            let concerns = match changed {
                Changed::Health => true,
                Changed::Labels => self.entries.get(id).is_some_and(|entry| entry.chooses_otherwise(&known)),
            };
            if concerns {
                self.queue.push(id.clone());
            }
        }
    }

    async fn hear(&mut self, place: Place, event: Event<DynamicObject>) -> Result<(), ControllerError> {
        match event {
            Event::Init => drop(self.listing.insert(place, HashSet::new())),
            Event::InitApply(object) => {
                if let Some(listing) = self.listing.get_mut(&place) {
                    listing.insert(id(&object.metadata));
                }
                self.applied(place.kind, object).await?;
            }
            Event::InitDone => {
                let listed = self.listing.remove(&place).unwrap_or_default();
                let gone = self.entries.iter().filter(|(id, entry)| entry.is_in(&place) && !listed.contains(*id));
                for id in gone.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
                    self.forget(&id).await?;
                }
                let missing = self.unlisted.remove(&place);
                // An operator that is not allowed to see the cluster kind yet serves the other one.
                if !self.unlisted.iter().any(|place| place.kind == SubscriptionKind::Namespaced)
                    && let Some(listed) = self.inputs.listed.take()
                {
                    listed();
                }
                if missing && self.unlisted.is_empty() {
                    self.sweep = Some(Box::pin(sleep(SWEEP_AFTER)));
                }
            }
            Event::Apply(object) => self.applied(place.kind, object).await?,
            Event::Delete(object) => self.forget(&id(&object.metadata)).await?,
        }
        Ok(())
    }

    async fn applied(&mut self, kind: SubscriptionKind, object: DynamicObject) -> Result<(), ControllerError> {
        let id = id(&object.metadata);
        if object.metadata.deletion_timestamp.is_some() {
            return self.forget(&id).await;
        }
        let name = (object.namespace().unwrap_or_default(), object.name_any());
        if let Some(other) = self.names.insert(name, id.clone())
            && other != id
        {
            // A namesake with another uid was deleted and re-created between two events.
            self.forget(&other).await?;
        }
        let shown = Arc::new(read(kind, object));
        if let Some(entry) = self.entries.get_mut(&id) {
            let before = std::mem::replace(&mut entry.shown, Arc::clone(&shown));
            if before.asks_the_same_as(&shown) {
                return Ok(());
            }
            entry.patience = Patience::default();
            self.hearers.remove(&id, &before);
        } else {
            let entry = Entry {
                shown: Arc::clone(&shown),
                looked_at: None,
                assigned: None,
                handles: Vec::new(),
                looking: None,
                again: false,
                patience: Patience::default(),
                timer: None,
            };
            self.entries.insert(id.clone(), entry);
        }
        self.hearers.add(&id, &shown);
        self.namespaces.need(&self.client, self.context.relist, !self.hearers.of_namespaces().is_empty());
        self.queue.push(id);
        Ok(())
    }

    fn start_looks(&mut self) {
        while self.looks.len() < LOOKS
            && let Some(id) = self.queue.pop()
        {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.looking.is_some() {
                entry.again = true;
                continue;
            }
            if let Some(timer) = entry.timer.take() {
                self.timers.remove(&timer);
            }
            self.looks_started += 1;
            let number = self.looks_started;
            entry.looking = Some(number);
            let (context, shown) = (Arc::clone(&self.context), Arc::clone(&entry.shown));
            let generation = entry.looked_at;
            let namespaces = self.namespaces.known();
            let nothing = Before { generation, namespaces: namespaces.clone(), ..Before::default() };
            let before = entry.assigned.as_ref().map_or(nothing, |assigned| Before {
                generation,
                sources: assigned.sources.clone(),
                config_hash: Some(assigned.plan.config_hash),
                claims: Some(assigned.plan.claims.clone()),
                namespaces,
            });
            self.looks.push(Box::pin(async move {
                let look = look(&context, &id, &shown, &before).await;
                (id, number, look)
            }));
        }
    }

    async fn looked(&mut self, id: SubscriptionId, number: u64, look: Look) -> Result<(), ControllerError> {
        let Look { verdict, assignment, again, within, expiring } = look;
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.looking == Some(number)) else {
            // It went meanwhile, and perhaps came back.
            return Ok(());
        };
        entry.looking = None;
        entry.looked_at = Some(verdict.generation);
        let _noted = if expiring { self.expiring.insert(id.clone()) } else { self.expiring.remove(&id) };
        self.context.metrics.expiring(self.expiring.len());
        if std::mem::take(&mut entry.again) {
            self.queue.push(id.clone());
        }
        let wait = if again {
            spread(&id, entry.patience.wait(&verdict.standing, Instant::now()))
        } else {
            entry.patience = Patience::default();
            within.into_iter().chain([spread(&id, STEADY)]).min().unwrap_or(STEADY)
        };
        entry.timer = Some(self.timers.insert(id.clone(), wait));
        tracing::debug!(
            namespace = verdict.namespace,
            name = verdict.name,
            generation = verdict.generation,
            standing = verdict.standing.as_str(),
            "looked at a subscription"
        );
        match assignment {
            Some((assignment, handles)) => {
                // The new handles are there before the old ones go, so a source they share goes on.
                entry.handles = handles;
                if entry.assigned.as_ref() != Some(&assignment) {
                    let former = entry.assigned.replace(assignment.clone());
                    if let Some(moved) = former.and_then(|former| relabelled(&former, &assignment)) {
                        self.command(Command::Assign(Box::new(moved))).await?;
                    }
                    self.command(Command::Assign(Box::new(assignment))).await?;
                }
            }
            None => self.hold(&id).await?,
        }
        self.tell(News::Verdict(Box::new(verdict))).await
    }

    /// What is in force stays, but nothing is sent.
    async fn hold(&mut self, id: &SubscriptionId) -> Result<(), ControllerError> {
        let Some(assigned) = self.entries.get_mut(id).and_then(|entry| entry.assigned.as_mut()) else { return Ok(()) };
        if assigned.plan.held {
            return Ok(());
        }
        assigned.plan.held = true;
        let assignment = assigned.clone();
        self.command(Command::Assign(Box::new(assignment))).await
    }

    async fn forget(&mut self, id: &SubscriptionId) -> Result<(), ControllerError> {
        let Some(entry) = self.entries.remove(id) else { return Ok(()) };
        if let Some(timer) = entry.timer {
            self.timers.remove(&timer);
        }
        self.hearers.remove(id, &entry.shown);
        self.expiring.remove(id);
        self.context.metrics.expiring(self.expiring.len());
        self.namespaces.need(&self.client, self.context.relist, !self.hearers.of_namespaces().is_empty());
        let metadata = entry.shown.metadata();
        let name = (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
        if self.names.get(&name) == Some(id) {
            self.names.remove(&name);
        }
        self.command(Command::Remove(id.clone())).await?;
        self.tell(News::Gone(id.clone())).await
    }

    async fn command(&mut self, command: Command) -> Result<(), ControllerError> {
        self.inputs.commands.send(command).await.map_err(|_| ControllerError::Deserted)
    }

    async fn tell(&mut self, news: News) -> Result<(), ControllerError> {
        self.inputs.news.send(news).await.map_err(|_| ControllerError::Deserted)
    }
}

/// The API server sets a uid on everything it serves.
fn id(metadata: &ObjectMeta) -> SubscriptionId {
    SubscriptionId { uid: metadata.uid.as_deref().unwrap_or_default().into() }
}

/// `wait`, give or take a fifth by who it is, so that not all are looked at together.
fn spread(id: &SubscriptionId, wait: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let permille = u32::try_from(800 + hasher.finish() % 400).unwrap_or(1000);
    wait * permille / 1000
}
