//! Which namespaces there are and how they are labelled, for subscriptions that choose them by their labels.
//!
//! Touches the API server: list and watch of the metadata of Namespaces, and only while somebody chooses. Invariants:
//! nothing is said of namespaces before a list of them is complete; while the watch fails what was seen last counts, and
//! after a while it is told that it fails; however often labels change, it is told at most once a second.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use changehook_core::plan::LabelSelector;
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep_until};

use crate::api::conditions::Reason;
use crate::status::Standing;

/// How long the watch may fail before it is told: a connection that ends is made again at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// From one change that is told to the next: a plan with other namespaces costs a look at every object.
const PACE: Duration = Duration::from_secs(1);

type Labels = BTreeMap<Box<str>, Box<str>>;
type Feed = BoxStream<'static, watcher::Result<Event<PartialObjectMeta<Namespace>>>>;

/// What is known of the cluster's namespaces, when somebody looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The labels of each; `None` until they were listed.
    labels: Option<Arc<BTreeMap<String, Labels>>>,
    /// Why they may be other ones by now.
    trouble: Option<Trouble>,
}

#[derive(Clone, Debug)]
struct Trouble {
    since: Instant,
    forbidden: bool,
}

/// See the module's head.
#[derive(Default)]
pub(super) struct Namespaces {
    feed: Option<Feed>,
    listing: BTreeMap<String, Labels>,
    known: Known,
    untold: bool,
    told_at: Option<Instant>,
}

impl Known {
    /// The names of those with such labels; `None` as long as nobody knows.
    pub fn chosen(&self, by: &LabelSelector) -> Option<Vec<String>> {
        let labels = self.labels.as_ref()?;
        let matching = labels.iter().filter(|(_, labels)| by.matches(labels));
        Some(matching.map(|(name, _)| name.clone()).collect())
    }

    /// How it stands with what was seen of them.
    pub fn standing(&self, now: Instant) -> Standing {
        let field = "spec.namespaceSelector";
        match (&self.trouble, &self.labels) {
            (Some(Trouble { forbidden: true, .. }), _) => Standing::Waiting {
                reason: Reason::NotAuthorized,
                message: format!(
                    "{field}: changehook may not list and watch namespaces; grant its ServiceAccount that in the whole \
                     cluster"
                ),
            },
            (Some(Trouble { since, .. }), _) if now.duration_since(*since) >= PATIENCE => Standing::Waiting {
                reason: Reason::WatchFailed,
                message: format!("{field}: failed to watch namespaces; this is tried again"),
            },
            (_, None) => Standing::Progressing { message: format!("{field}: reading the list of namespaces") },
            (_, Some(_)) => Standing::Sound,
        }
    }
}

impl Namespaces {
    /// Starts reading, or stops and forgets.
    pub fn need(&mut self, client: &Client, needed: bool) {
        match (needed, &self.feed) {
            (true, None) => {
                let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
                self.feed = Some(watcher(api, watcher::Config::default()).default_backoff().boxed());
            }
            (false, Some(_)) => *self = Self::default(),
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// What is known now.
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// Waits until something else is known than before. Never, if nobody needs it.
    pub async fn changed(&mut self) {
        let Some(feed) = &mut self.feed else { return pending().await };
        loop {
            let due = self.told_at.map_or_else(Instant::now, |told| told + PACE);
            let event = tokio::select! {
                // A watcher never ends; should it, nothing more is known, and what was known stays.
                event = feed.next() => match event {
                    Some(event) => event,
                    None => return pending().await,
                },
                () = sleep_until(due), if self.untold => {
                    self.untold = false;
                    self.told_at = Some(Instant::now());
                    return;
                }
            };
            self.untold |= match event {
                Ok(event) => self.known.hear(&mut self.listing, event),
                Err(error) => self.known.fail(&error),
            };
        }
    }
}

impl Known {
    /// Whether something else is known now.
    fn hear(&mut self, listing: &mut BTreeMap<String, Labels>, event: Event<PartialObjectMeta<Namespace>>) -> bool {
        let recovered = self.trouble.take().is_some();
        let changed = match event {
            Event::Init => {
                listing.clear();
                false
            }
            Event::InitApply(namespace) => {
                listing.insert(namespace.name_any(), labels(&namespace));
                false
            }
            Event::InitDone => {
                let listed = std::mem::take(listing);
                let changed = self.labels.as_deref() != Some(&listed);
                self.labels = Some(Arc::new(listed));
                changed
            }
            Event::Apply(namespace) => self.labels.as_mut().is_some_and(|known| {
                let labels = labels(&namespace);
                Arc::make_mut(known).insert(namespace.name_any(), labels.clone()) != Some(labels)
            }),
            Event::Delete(namespace) => {
                let known = self.labels.as_mut();
                known.is_some_and(|known| Arc::make_mut(known).remove(&namespace.name_any()).is_some())
            }
        };
        changed || recovered
    }

    /// Each failure is worth a look: by and by it is one that is told.
    fn fail(&mut self, error: &watcher::Error) -> bool {
        tracing::warn!(error = %crate::chain::chain(error), "failed to watch namespaces; trying again");
        let since = self.trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        self.trouble = Some(Trouble { since, forbidden: is_forbidden(error) });
        true
    }
}

fn labels(namespace: &PartialObjectMeta<Namespace>) -> Labels {
    let labels = namespace.metadata.labels.iter().flatten();
    labels.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
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

#[cfg(test)]
mod tests {
    use kube::core::ObjectMeta;

    use super::*;

    fn namespace(name: &str, team: &str) -> PartialObjectMeta<Namespace> {
        let labels = Some([("team".to_owned(), team.to_owned())].into());
        let metadata = ObjectMeta { name: Some(name.to_owned()), labels, ..ObjectMeta::default() };
        PartialObjectMeta { metadata, ..PartialObjectMeta::default() }
    }

    fn of(team: &str) -> LabelSelector {
        LabelSelector { match_labels: [("team".to_owned(), team.to_owned())].into(), expressions: Vec::new() }
    }

    fn api_error(code: u16) -> watcher::Error {
        let status = kube::core::Status { code, ..kube::core::Status::default() };
        watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn nothing_is_known_before_a_list_is_complete_and_then_what_it_showed_and_what_happened_since() {
        let (mut known, mut listing) = (Known::default(), BTreeMap::new());
        for event in [Event::Init, Event::InitApply(namespace("a", "shop")), Event::InitApply(namespace("b", "bank"))] {
            assert!(!known.hear(&mut listing, event) && known.chosen(&of("shop")).is_none());
        }
        assert!(known.hear(&mut listing, Event::InitDone));
        assert_eq!(known.chosen(&of("shop")).unwrap(), ["a"]);
        assert!(known.hear(&mut listing, Event::Apply(namespace("b", "shop"))));
        assert!(!known.hear(&mut listing, Event::Apply(namespace("b", "shop"))), "it has the labels that it had");
        assert_eq!(known.chosen(&of("shop")).unwrap(), ["a", "b"]);
        assert!(known.hear(&mut listing, Event::Delete(namespace("a", "shop"))));
        assert_eq!(known.chosen(&of("shop")).unwrap(), ["b"]);
        known.hear(&mut listing, Event::Init);
        assert!(known.hear(&mut listing, Event::InitDone), "a later list that shows nothing");
        assert_eq!(known.chosen(&of("shop")).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_missing_right_is_told_at_once_and_another_failure_after_a_while() {
        let now = Instant::now();
        let (mut known, mut listing) = (Known::default(), BTreeMap::new());
        assert!(matches!(known.standing(now), Standing::Progressing { .. }));
        known.hear(&mut listing, Event::InitDone);
        assert_eq!(known.standing(now), Standing::Sound);
        assert!(known.fail(&api_error(503)));
        assert_eq!(known.standing(now), Standing::Sound);
        let later = now + PATIENCE + Duration::from_secs(1);
        let failing = known.standing(later);
        assert!(matches!(failing, Standing::Waiting { reason: Reason::WatchFailed, .. }), "{failing:?}");
        known.fail(&api_error(403));
        let forbidden = known.standing(now);
        assert!(matches!(forbidden, Standing::Waiting { reason: Reason::NotAuthorized, .. }), "{forbidden:?}");
        assert!(known.hear(&mut listing, Event::Init), "it works again");
        assert_eq!(known.standing(later), Standing::Sound);
    }
}
