//! Who is to be looked at, and when.
//!
//! Touches the API server: list and watch of WebhookSubscriptions. Invariants: a subscription that is gone is removed
//! from the driver and the status whether its deletion was seen or not; looks are bounded; one that waits for something
//! is looked at again after 1, 2, 4 … 30 s, or at once when its watch source or the driver says so.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use changehook_core::object::{Gvk, SourceId};
use changehook_core::plan::SubscriptionId;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, pin_mut};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::time::{DelayQueue, delay_queue};

use super::reconcile::{Context, Look, id, look};
use crate::api::WebhookSubscription;
use crate::api::conditions::Reason;
use crate::delivery::driver::{Assignment, Command};
use crate::status::writer::News;
use crate::status::{Standing, Verdict};
use crate::watch::SourceHandle;

/// Looks under way at once.
const LOOKS: usize = 16;
/// The longest wait between two looks at a subscription that something is missing for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The watch of our own kind ended, which it never does.
    #[error("failed to keep watching WebhookSubscriptions: the stream ended")]
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
    /// Called once the first list of subscriptions is complete.
    pub listed: Box<dyn FnOnce() + Send>,
}

/// One subscription.
struct Entry {
    object: Arc<WebhookSubscription>,
    assigned: Option<Assignment>,
    handles: Vec<SourceHandle>,
    reads_from: Vec<SourceId>,
    looking: bool,
    /// Something happened while it was being looked at.
    again: bool,
    patience: Duration,
    timer: Option<delay_queue::Key>,
}

impl Entry {
    /// By its spec, not by what it read from so far: a source may change while the first look is still under way.
    fn names(&self, gvk: &Gvk) -> bool {
        self.object.spec.resources.iter().any(|resource| Gvk::new(&resource.api_version, &resource.kind) == *gvk)
    }
}

/// See the module's head.
pub struct Roster {
    client: Client,
    context: Arc<Context>,
    inputs: Inputs,
    entries: HashMap<SubscriptionId, Entry>,
    /// Namespace and name → who has them now.
    names: HashMap<(String, String), SubscriptionId>,
    /// Subscriptions seen in the list that is under way.
    listing: Option<HashSet<SubscriptionId>>,
    queue: Vec<SubscriptionId>,
    timers: DelayQueue<SubscriptionId>,
    looks: FuturesUnordered<BoxFuture<'static, (SubscriptionId, Look)>>,
}

impl Roster {
    /// Ready to run.
    pub fn new(client: Client, context: Context, inputs: Inputs) -> Self {
        Self {
            client,
            context: Arc::new(context),
            inputs,
            entries: HashMap::new(),
            names: HashMap::new(),
            listing: None,
            queue: Vec::new(),
            timers: DelayQueue::new(),
            looks: FuturesUnordered::new(),
        }
    }

    /// Keeps every subscription in force until stopped.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ControllerError> {
        let api: Api<DeserializeGuard<WebhookSubscription>> = Api::all(self.client.clone());
        let stream = watcher(api, watcher::Config::default()).default_backoff();
        pin_mut!(stream);
        loop {
            self.start_looks();
            tokio::select! {
                event = stream.next() => match event {
                    Some(Ok(event)) => self.hear(event).await?,
                    Some(Err(error)) => tracing::warn!(
                        error = %crate::chain::chain(&error),
                        "failed to watch WebhookSubscriptions; trying again"
                    ),
                    None => return Err(ControllerError::StreamEnded),
                },
                Some(source) = self.inputs.notices.recv() => {
                    let readers = self.entries.iter().filter(|(_, entry)| entry.names(&source.gvk));
                    let readers: Vec<SubscriptionId> = readers.map(|(id, _)| id.clone()).collect();
                    self.queue.extend(readers);
                }
                Some(id) = self.inputs.recheck.recv() => self.queue.push(id),
                Some(expired) = self.timers.next() => {
                    let id = expired.into_inner();
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.timer = None;
                    }
                    self.queue.push(id);
                }
                Some((id, look)) = self.looks.next() => self.looked(id, look).await?,
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn hear(&mut self, event: Event<DeserializeGuard<WebhookSubscription>>) -> Result<(), ControllerError> {
        match event {
            Event::Init => self.listing = Some(HashSet::new()),
            Event::InitApply(object) => {
                let uid = object.uid().unwrap_or_default();
                if let Some(listing) = &mut self.listing {
                    listing.insert(SubscriptionId { uid: uid.into() });
                }
                self.applied(object).await?;
            }
            Event::InitDone => {
                let listed = self.listing.take().unwrap_or_default();
                let gone: Vec<_> = self.entries.keys().filter(|id| !listed.contains(*id)).cloned().collect();
                for id in gone {
                    self.forget(&id).await?;
                }
                std::mem::replace(&mut self.inputs.listed, Box::new(|| {}))();
            }
            Event::Apply(object) => self.applied(object).await?,
            Event::Delete(object) => {
                let id = SubscriptionId { uid: object.uid().unwrap_or_default().into() };
                self.forget(&id).await?;
            }
        }
        Ok(())
    }

    async fn applied(&mut self, guard: DeserializeGuard<WebhookSubscription>) -> Result<(), ControllerError> {
        let object = match guard.0 {
            Ok(object) => object,
            Err(invalid) => return self.unreadable(&invalid).await,
        };
        let id = id(&object);
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
        let object = Arc::new(object);
        match self.entries.get_mut(&id) {
            // Status and labels change without a new generation, and are nothing to us.
            Some(entry) if entry.object.metadata.generation == object.metadata.generation => entry.object = object,
            Some(entry) => {
                entry.object = object;
                entry.patience = Duration::from_secs(1);
                self.queue.push(id);
            }
            None => {
                let entry = Entry {
                    object,
                    assigned: None,
                    handles: Vec::new(),
                    reads_from: Vec::new(),
                    looking: false,
                    again: false,
                    patience: Duration::from_secs(1),
                    timer: None,
                };
                self.entries.insert(id.clone(), entry);
                self.queue.push(id);
            }
        }
        Ok(())
    }

    /// An object that does not even have the shape of a subscription: an older CRD let it in.
    async fn unreadable(&mut self, invalid: &kube::core::error_boundary::InvalidObject) -> Result<(), ControllerError> {
        let metadata = &invalid.metadata;
        let id = SubscriptionId { uid: metadata.uid.clone().unwrap_or_default().into() };
        self.hold(&id).await?;
        let verdict = Verdict {
            subscription: id,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            before: crate::api::SubscriptionStatus::default(),
            standing: Standing::Stalled {
                reason: Reason::InvalidSpec,
                message: format!("spec: {}; install this version's CRDs, which say so at once", invalid.error),
            },
            suspended: false,
            host: None,
            remarks: Vec::new(),
        };
        self.tell(News::Verdict(Box::new(verdict))).await
    }

    fn start_looks(&mut self) {
        let mut later = Vec::new();
        for id in std::mem::take(&mut self.queue) {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.looking {
                entry.again = true;
            } else if self.looks.len() >= LOOKS {
                later.push(id);
            } else {
                if let Some(timer) = entry.timer.take() {
                    self.timers.remove(&timer);
                }
                entry.looking = true;
                let (context, object) = (Arc::clone(&self.context), Arc::clone(&entry.object));
                let before = entry.reads_from.clone();
                self.looks.push(Box::pin(async move { (id, look(&context, &object, &before).await) }));
            }
        }
        later.sort_unstable();
        later.dedup();
        self.queue = later;
    }

    async fn looked(&mut self, id: SubscriptionId, look: Look) -> Result<(), ControllerError> {
        let Look { verdict, assignment, handles, again } = look;
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        entry.looking = false;
        if std::mem::take(&mut entry.again) || entry.object.metadata.generation != Some(verdict.generation) {
            self.queue.push(id.clone());
        }
        // The new handles are there before the old ones go, so a source they share goes on.
        entry.handles = handles;
        if again {
            entry.timer = Some(self.timers.insert(id.clone(), entry.patience));
            entry.patience = (entry.patience * 2).min(PATIENCE);
        } else {
            entry.patience = Duration::from_secs(1);
        }
        tracing::debug!(
            namespace = verdict.namespace,
            name = verdict.name,
            generation = verdict.generation,
            standing = verdict.standing.as_str(),
            "looked at a subscription"
        );
        match assignment {
            Some(assignment) => {
                entry.reads_from.clone_from(&assignment.sources);
                if entry.assigned.as_ref() != Some(&assignment) {
                    entry.assigned = Some(assignment.clone());
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
        if let Some(entry) = self.entries.remove(id) {
            if let Some(timer) = entry.timer {
                self.timers.remove(&timer);
            }
            let name = (entry.object.namespace().unwrap_or_default(), entry.object.name_any());
            if self.names.get(&name) == Some(id) {
                self.names.remove(&name);
            }
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
