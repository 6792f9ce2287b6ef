//! Which namespaces there are and how they are labelled, for subscriptions that choose them by their labels.
//!
//! Touches the API server: list and watch of the metadata of Namespaces, and only while somebody chooses. Invariants:
//! nothing is said of namespaces before a list of them is complete; while the watch fails what was seen last counts, and
//! after a while it is told that it fails; only what was listed or has happened since shows that it works; however often
//! labels change, it is told at most once a second; what a watch has missed is found by a list now and then.

mod known;

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until};

pub(super) use self::known::{Changed, Known};

use self::known::Labels;

/// From one change that is told to the next: a plan with other namespaces costs a look at every object.
const PACE: Duration = Duration::from_secs(1);
/// After a failure, and twice as long after each more, up to the last.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_secs(30);

type Feed = BoxStream<'static, watcher::Result<Event<PartialObjectMeta<Namespace>>>>;

/// See the module's head.
#[derive(Default)]
pub(super) struct Namespaces {
    /// While somebody needs it.
    reading: Option<Reading>,
    known: Known,
    untold: Option<Changed>,
    told_at: Option<Instant>,
}

struct Reading {
    client: Client,
    feed: Feed,
    listing: BTreeMap<String, Labels>,
    /// A new list, and a watch from there.
    begin: Instant,
    /// From one failure to the next attempt.
    backoff: Duration,
    /// Whether the feed is of use, or waits to be begun anew.
    works: bool,
    relist: Duration,
}

impl Namespaces {
    /// Starts reading, or stops and forgets. What is watched is listed again every `relist`.
    pub fn need(&mut self, client: &Client, relist: Duration, needed: bool) {
        match (needed, &self.reading) {
            (true, None) => self.reading = Some(Reading::begin(client.clone(), relist)),
            (false, Some(_)) => *self = Self::default(),
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// What is known now.
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// Waits until something else is known than before. Never, if nobody needs it.
    pub async fn changed(&mut self) -> Changed {
        let Some(reading) = &mut self.reading else { return pending().await };
        loop {
            let due = self.told_at.map_or_else(Instant::now, |told| told + PACE);
            let changed = tokio::select! {
                changed = reading.next(&mut self.known) => changed,
                () = sleep_until(due), if self.untold.is_some() => {
                    self.told_at = Some(Instant::now());
                    return self.untold.take().unwrap_or(Changed::Health);
                }
            };
            // That it works again says nothing about who has which labels, so everybody is told.
            self.untold = match (self.untold, changed) {
                (None | Some(Changed::Labels), changed) => changed.or(self.untold),
                (Some(Changed::Health), _) => Some(Changed::Health),
            };
        }
    }
}

impl Reading {
    fn begin(client: Client, relist: Duration) -> Self {
        let feed = feed(&client);
        let begin = Instant::now() + relist;
        Self { client, feed, listing: BTreeMap::new(), begin, backoff: FIRST_BACKOFF, works: true, relist }
    }

    /// Whether something else is known after the next event.
    async fn next(&mut self, known: &mut Known) -> Option<Changed> {
        let event = tokio::select! {
            event = self.feed.next(), if self.works => event,
            () = sleep_until(self.begin) => {
                self.feed = feed(&self.client);
                self.works = true;
                self.begin = Instant::now() + self.relist;
                return None;
            }
        };
        match event {
            Some(Ok(event)) => {
                if matches!(event, Event::InitDone) {
                    self.backoff = FIRST_BACKOFF;
                }
                known.hear(&mut self.listing, event)
            }
            Some(Err(error)) => {
                tracing::warn!(error = %crate::chain::chain(&error), "failed to watch namespaces; trying again");
                self.wait();
                known.fail(is_forbidden(&error), Instant::now());
                Some(Changed::Health)
            }
            // A watcher never ends; should it, it is begun anew.
            None => {
                self.wait();
                None
            }
        }
    }

    fn wait(&mut self) {
        self.works = false;
        self.begin = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(LAST_BACKOFF);
    }
}

fn feed(client: &Client) -> Feed {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    watcher(api, watcher::Config::default()).boxed()
}

fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code == 403,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}
