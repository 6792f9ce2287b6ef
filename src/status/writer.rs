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
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::compose::compose;
use super::events::Events;
use super::metrics::{Metrics, Write};
use super::pace::{Bucket, Change, due};
use super::{Standing, Verdict};
use crate::api::{GROUP, SubscriptionStatus, VERSION};

/// Patches under way at once.
const AT_ONCE: usize = 8;
/// For one patch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed write.
const AGAIN: u64 = 2_000;
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

/// One subscription's status, as it is and as it was written.
struct Card {
    verdict: Verdict,
    view: Option<View>,
    written: SubscriptionStatus,
    written_at: Option<u64>,
    changed_since: u64,
    not_before: u64,
    under_way: bool,
}

/// See the module's head.
pub struct Writer<T> {
    client: Client,
    metrics: Metrics,
    events: Events,
    inputs: Inputs<T>,
    cards: HashMap<SubscriptionId, Card>,
    /// Views that came before the first verdict.
    early: HashMap<SubscriptionId, View>,
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
        let ids: Vec<SubscriptionId> = self.cards.keys().cloned().collect();
        for id in ids {
            while self.under_way.len() >= AT_ONCE
                && let Some(done) = self.under_way.next().await
            {
                self.finished(done);
            }
            let now = (self.inputs.now)();
            if let Some(card) = self.cards.get_mut(&id)
                && let Some(status) = card.news(now)
            {
                card.under_way = true;
                self.under_way.push(Box::pin(write(self.client.clone(), card.verdict.clone(), status)));
            }
        }
        while let Some(done) = self.under_way.next().await {
            self.finished(done);
        }
    }

    fn hear(&mut self, news: News) {
        let now = (self.inputs.now)().mono;
        match news {
            News::Gone(id) => {
                self.cards.remove(&id);
                self.early.remove(&id);
            }
            News::Verdict(verdict) => {
                let id = verdict.subscription.clone();
                let early = self.early.remove(&id);
                let card = self.cards.entry(id).or_insert_with(|| Card {
                    written: verdict.before.clone(),
                    verdict: (*verdict).clone(),
                    view: early,
                    written_at: None,
                    changed_since: now,
                    not_before: 0,
                    under_way: false,
                });
                card.touch(now);
                card.verdict = *verdict;
            }
        }
    }

    fn see(&mut self, (id, view): (SubscriptionId, View)) {
        let now = (self.inputs.now)().mono;
        match self.cards.get_mut(&id) {
            Some(card) => {
                card.touch(now);
                card.view = Some(view);
            }
            None => {
                self.early.insert(id, view);
            }
        }
    }

    /// Starts the writes that are due and returns how long until the next one is.
    fn start_what_is_due(&mut self) -> Duration {
        let now = (self.inputs.now)();
        let mut wake = u64::MAX;
        for (id, card) in &mut self.cards {
            if card.under_way || card.is_settled() {
                continue;
            }
            let Some(status) = card.news(now) else {
                card.settled();
                continue;
            };
            let change = weigh(&card.written, &status);
            let Some(at) = due(change, card.changed_since, card.written_at) else { continue };
            let at = at.max(card.not_before);
            if at > now.mono {
                wake = wake.min(at);
                continue;
            }
            if self.under_way.len() >= AT_ONCE {
                break;
            }
            if let Err(again) = self.bucket.take(now.mono) {
                wake = wake.min(again);
                break;
            }
            card.under_way = true;
            card.written_at = Some(now.mono);
            tracing::trace!(subscription = %id.uid, ?change, "writing the status");
            self.under_way.push(Box::pin(write(self.client.clone(), card.verdict.clone(), status)));
        }
        Duration::from_millis(wake.saturating_sub(now.mono).clamp(1, 60_000))
    }

    fn finished(&mut self, done: Done) {
        let (id, status, result) = done;
        let now = (self.inputs.now)().mono;
        let Some(card) = self.cards.get_mut(&id) else { return };
        card.under_way = false;
        match result {
            Ok(()) => {
                self.metrics.wrote(Write::Written);
                self.events.flips(&card.verdict, &card.written.conditions, &status.conditions);
                card.written = status;
                card.not_before = 0;
            }
            // 404: deleted. 422: the uid test failed, a namesake. The controller tells which, and drops the card.
            Err(WriteError::Api(kube::Error::Api(answer))) if matches!(answer.code, 404 | 422) => {
                self.metrics.wrote(Write::Gone);
                tracing::debug!(
                    namespace = card.verdict.namespace,
                    name = card.verdict.name,
                    code = answer.code,
                    reason = answer.message,
                    "the subscription is gone; its status was not written"
                );
                card.not_before = now + 15 * AGAIN;
            }
            Err(error) => {
                self.metrics.wrote(Write::Failed);
                tracing::warn!(
                    error = %crate::chain::chain(&error),
                    namespace = card.verdict.namespace,
                    name = card.verdict.name,
                    "a status was not written; it is tried again"
                );
                card.not_before = now + AGAIN;
            }
        }
        card.touch(now);
    }
}

impl Card {
    /// Something may have changed.
    fn touch(&mut self, now: u64) {
        if self.is_settled() {
            self.changed_since = now;
        }
    }

    fn settled(&mut self) {
        self.changed_since = u64::MAX;
    }

    fn is_settled(&self) -> bool {
        self.changed_since == u64::MAX
    }

    /// The status as of now, if it differs from the one last written.
    fn news(&self, now: Now) -> Option<SubscriptionStatus> {
        let at = Timestamp::from_second(now.wall.div_euclid(1000)).unwrap_or_default();
        let status = compose(&self.written, &self.verdict, self.view.as_ref(), at);
        (status != self.written).then_some(status)
    }
}

/// How much there is to write.
fn weigh(before: &SubscriptionStatus, after: &SubscriptionStatus) -> Change {
    let breaker = |status: &SubscriptionStatus| status.endpoint.as_ref().and_then(|endpoint| endpoint.breaker);
    let flip = before.observed_generation != after.observed_generation
        || before.conditions != after.conditions
        || before.retries != after.retries
        || before.parked_samples != after.parked_samples
        || breaker(before) != breaker(after);
    match (flip, before == after) {
        (true, _) => Change::Flip,
        (false, true) => Change::None,
        (false, false) => Change::Counters,
    }
}

async fn write(client: Client, verdict: Verdict, status: SubscriptionStatus) -> Done {
    let result = patch(&client, &verdict, &status).await;
    (verdict.subscription, status, result)
}

async fn patch(client: &Client, verdict: &Verdict, status: &SubscriptionStatus) -> Result<(), WriteError> {
    let Verdict { namespace, name, subscription, .. } = verdict;
    // The test makes the patch a patch of this very object; server-side apply would not look at the uid.
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": &*subscription.uid},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let address = format!(
        "/apis/{GROUP}/{VERSION}/namespaces/{namespace}/webhooksubscriptions/{name}/status?fieldManager=changehook"
    );
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
