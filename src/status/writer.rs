//! The one task that writes statuses.
//!
//! Touches the API server: it patches `webhooksubscriptions/status` and nothing else. Invariants: a patch holds the
//! whole status and the uid it is meant for, so that a re-created namesake is never written to; what is equal to the
//! last write is not written; a failed write is tried again with what is true then.

use std::collections::HashMap;
use std::time::Duration;

use changehook_core::Now;
use changehook_core::engine::View;
use changehook_core::plan::SubscriptionId;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http::header::CONTENT_TYPE;
use kube::Client;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::agenda::Agenda;
use super::card::Card;
use super::events::Events;
use super::metrics::{Metrics, Write};
use super::pace::Bucket;
use super::{Standing, Verdict};
use crate::api::{GROUP, SubscriptionKind, SubscriptionStatus, VERSION};

/// Patches under way at once.
const AT_ONCE: usize = 8;
/// For one patch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a view may wait for the first verdict.
const EARLY: u64 = 60_000;
/// How long the last statuses may take when the operator stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the writer is told by the controller.
#[derive(Debug)]
pub enum News {
    /// A subscription was looked at.
    Verdict(Box<Verdict>),
    /// It is gone.
    Gone(SubscriptionId),
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("failed to patch the status")]
    Api(#[from] kube::Error),
    #[error("failed to patch the status in {} s", TIMEOUT.as_secs())]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("failed to write the status down")]
    Json(#[from] serde_json::Error),
    #[error("failed to address the subscription")]
    Address(#[from] http::Error),
}

/// The writer's ends of its channels.
pub struct Inputs<T> {
    /// From the controller.
    pub news: mpsc::Receiver<News>,
    /// From the driver.
    pub views: mpsc::Receiver<T>,
    /// The clocks.
    pub now: Box<dyn Fn() -> Now + Send + Sync>,
    /// Write what is left, then return.
    pub stop: CancellationToken,
}

/// What was to be written, and what came of it.
type Done = (SubscriptionId, SubscriptionStatus, Result<(), WriteError>);

/// See the module's head.
pub struct Writer<T> {
    client: Client,
    metrics: Metrics,
    events: Events,
    inputs: Inputs<T>,
    cards: HashMap<SubscriptionId, Card>,
    /// When each card that differs from what was written is due. Who has waited longest comes first, so that nobody
    /// starves when there is more to write than may be written.
    agenda: Agenda,
    /// Views that came before the first verdict, and since when they are there.
    early: HashMap<SubscriptionId, (u64, View)>,
    bucket: Bucket,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
}

impl<T: Into<(SubscriptionId, View)> + Send> Writer<T> {
    /// Ready to run.
    pub fn new(client: Client, metrics: Metrics, events: Events, inputs: Inputs<T>) -> Self {
        Self {
            client,
            metrics,
            events,
            inputs,
            cards: HashMap::new(),
            agenda: Agenda::default(),
            early: HashMap::new(),
            bucket: Bucket::new(),
            under_way: FuturesUnordered::new(),
        }
    }

    /// Writes until told to stop and nothing is left to write, or the last statuses took too long.
    pub async fn run(mut self) {
        loop {
            let wake = self.start_what_is_due();
            tokio::select! {
                Some(news) = self.inputs.news.recv() => self.hear(news),
                Some(view) = self.inputs.views.recv() => self.see(view.into()),
                Some(done) = self.under_way.next() => self.finished(done),
                () = tokio::time::sleep(wake) => {}
                () = self.inputs.stop.cancelled() => break,
            }
        }
        let _in_time = tokio::time::timeout(FAREWELL, self.say_farewell()).await;
    }

    /// What is true in the end is written once more, whatever the pace says.
    async fn say_farewell(&mut self) {
        while let Ok(news) = self.inputs.news.try_recv() {
            self.hear(news);
        }
        while let Ok(view) = self.inputs.views.try_recv() {
            self.see(view.into());
        }
        while let Some(done) = self.under_way.next().await {
            self.finished(done);
        }
        for id in self.agenda.drain() {
            while self.under_way.len() >= AT_ONCE
                && let Some(done) = self.under_way.next().await
            {
                self.finished(done);
            }
            self.begin(&id, (self.inputs.now)());
        }
        while let Some(done) = self.under_way.next().await {
            self.finished(done);
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Gone(id) => {
                if let Some(card) = self.cards.remove(&id)
                    && let Some(at) = card.entered
                {
                    self.agenda.remove(at, id.clone(), &card.verdict.namespace);
                }
                self.early.remove(&id);
            }
            News::Verdict(verdict) => {
                let id = verdict.subscription.clone();
                if let Some(card) = self.cards.get_mut(&id) {
                    card.verdict = *verdict;
                } else {
                    let early = self.early.remove(&id).map(|(_, view)| view);
                    self.cards.insert(id.clone(), Card::new(*verdict, early));
                }
                self.reschedule(&id);
            }
        }
    }

    fn see(&mut self, (id, view): (SubscriptionId, View)) {
        if let Some(card) = self.cards.get_mut(&id) {
            card.view = Some(view);
            self.reschedule(&id);
        } else {
            // The verdict follows at once, unless this is the last view of a subscription that is gone.
            let now = (self.inputs.now)().mono;
            self.early.retain(|_, (since, _)| now.saturating_sub(*since) < EARLY);
            self.early.insert(id, (now, view));
        }
    }

    /// Something about the card changed: it may be due at another time.
    fn reschedule(&mut self, id: &SubscriptionId) {
        let Some(card) = self.cards.get_mut(id) else { return };
        let due = card.due((self.inputs.now)());
        if due == card.entered {
            return;
        }
        let namespace = &card.verdict.namespace;
        if let Some(before) = card.entered {
            self.agenda.remove(before, id.clone(), namespace);
        }
        if let Some(at) = due {
            self.agenda.enter(at, id.clone(), namespace);
        }
        card.entered = due;
    }

    /// Starts the writes that are due and returns how long until the next one is.
    fn start_what_is_due(&mut self) -> Duration {
        let now = (self.inputs.now)();
        let mut wake = u64::MAX;
        while self.under_way.len() < AT_ONCE {
            let Some(at) = self.agenda.first() else { break };
            if at > now.mono {
                wake = at;
                break;
            }
            if let Err(again) = self.bucket.take(now.mono) {
                wake = again;
                break;
            }
            let Some(id) = self.agenda.pop(now.mono) else { break };
            let Some(card) = self.cards.get_mut(&id) else { continue };
            card.entered = None;
            self.begin(&id, now);
        }
        Duration::from_millis(wake.saturating_sub(now.mono).clamp(1, 60_000))
    }

    fn begin(&mut self, id: &SubscriptionId, now: Now) {
        let Some(card) = self.cards.get_mut(id).filter(|card| !card.under_way) else { return };
        let Some(status) = card.news(now) else { return };
        card.begins(now.mono);
        tracing::trace!(subscription = %id.uid, "writing the status");
        self.under_way.push(Box::pin(write(self.client.clone(), card.verdict.clone(), status)));
    }

    fn finished(&mut self, done: Done) {
        let (id, status, result) = done;
        let now = (self.inputs.now)().mono;
        self.metrics.wrote(match &result {
            Ok(()) => Write::Written,
            Err(error) if error.nobody_there() => Write::Gone,
            Err(_) => Write::Failed,
        });
        let Some(card) = self.cards.get_mut(&id) else { return };
        match result {
            Ok(()) => {
                self.events.flips(&card.verdict, &card.written.conditions, &status.conditions);
                card.succeeded(status);
            }
            Err(error) if error.nobody_there() => {
                tracing::debug!(
                    error = %crate::chain::chain(&error),
                    namespace = card.verdict.namespace,
                    name = card.verdict.name,
                    "the subscription is gone; its status was not written"
                );
                card.pointless(now);
            }
            Err(error) => {
                tracing::warn!(
                    error = %crate::chain::chain(&error),
                    namespace = card.verdict.namespace,
                    name = card.verdict.name,
                    "a status was not written; it is tried again"
                );
                card.failed(now);
            }
        }
        self.reschedule(&id);
    }
}

impl WriteError {
    /// 404: deleted. 422 that blames no field of a subscription: the patch's test of the uid failed, so the name is a
    /// namesake's. The controller tells which, and the card goes.
    fn nobody_there(&self) -> bool {
        let Self::Api(kube::Error::Api(answer)) = self else { return false };
        let blames_a_field = answer.details.as_ref().is_some_and(|details| !details.kind.is_empty());
        answer.code == 404 || (answer.code == 422 && !blames_a_field)
    }
}

async fn write(client: Client, verdict: Verdict, status: SubscriptionStatus) -> Done {
    let result = patch(&client, &verdict, &status).await;
    (verdict.subscription, status, result)
}

async fn patch(client: &Client, verdict: &Verdict, status: &SubscriptionStatus) -> Result<(), WriteError> {
    let Verdict { kind, namespace, name, subscription, .. } = verdict;
    // The test makes the patch a patch of this very object; server-side apply would not look at the uid.
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": &*subscription.uid},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let place = match kind {
        SubscriptionKind::Namespaced => format!("namespaces/{namespace}/"),
        SubscriptionKind::Cluster => String::new(),
    };
    let plural = kind.plural();
    let address = format!("/apis/{GROUP}/{VERSION}/{place}{plural}/{name}/status?fieldManager=changehook");
    let request = http::Request::patch(address)
        .header(CONTENT_TYPE, "application/json-patch+json")
        .body(serde_json::to_vec(&patch)?)?;
    let _answer: serde::de::IgnoredAny = tokio::time::timeout(TIMEOUT, client.request(request)).await??;
    Ok(())
}

impl Standing {
    /// The same for a log line.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sound => "Sound",
            Self::Progressing { .. } => "Progressing",
            Self::Waiting { .. } => "Waiting",
            Self::Stalled { .. } => "Stalled",
        }
    }
}
