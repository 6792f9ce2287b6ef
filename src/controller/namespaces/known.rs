//! What is known of namespaces, and how good it is.
//!
//! Touches nothing; the time comes in. Invariants: nothing is known before a list is complete, and what a later one does not
//! show stays until it is complete; only what was listed, or has happened since, ends a trouble.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use changehook_core::plan::LabelSelector;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use tokio::time::Instant;

use crate::api::conditions::Reason;
use crate::status::Standing;

/// How long the watch may fail before it is told: a connection that ends is made again at once.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) type Labels = BTreeMap<Box<str>, Box<str>>;

/// What is known of the cluster's namespaces, when somebody looks.
#[derive(Clone, Debug, Default)]
pub(in crate::controller) struct Known {
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

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Changed {
    /// Which namespaces there are, or how they are labelled.
    Labels,
    /// Whether that can be known.
    Health,
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

    /// What is known otherwise now.
    pub(super) fn hear(
        &mut self,
        listing: &mut BTreeMap<String, Labels>,
        event: Event<PartialObjectMeta<Namespace>>,
    ) -> Option<Changed> {
        let changed = match event {
            // Told before anything was asked for.
            Event::Init => {
                listing.clear();
                return None;
            }
            Event::InitApply(namespace) => {
                listing.insert(namespace.name_any(), labels(&namespace));
                return None;
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
        let recovered = self.trouble.take().is_some();
        if recovered { Some(Changed::Health) } else { changed.then_some(Changed::Labels) }
    }

    /// Each failure is worth a look: by and by it is one that is told.
    pub(super) fn fail(&mut self, forbidden: bool, now: Instant) {
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { since, forbidden });
    }
}

fn labels(namespace: &PartialObjectMeta<Namespace>) -> Labels {
    let labels = namespace.metadata.labels.iter().flatten();
    labels.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
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

    fn chosen(known: &Known, team: &str) -> Option<Vec<String>> {
        known.chosen(&of(team))
    }

    #[test]
    fn nothing_is_known_before_a_list_is_complete_and_then_what_it_showed_and_what_happened_since() {
        let (mut known, mut listing) = (Known::default(), BTreeMap::new());
        for event in [Event::Init, Event::InitApply(namespace("a", "shop")), Event::InitApply(namespace("b", "bank"))] {
            assert_eq!((known.hear(&mut listing, event), chosen(&known, "shop")), (None, None));
        }
        assert_eq!(known.hear(&mut listing, Event::InitDone), Some(Changed::Labels));
        assert_eq!(chosen(&known, "shop").unwrap(), ["a"]);
        assert_eq!(known.hear(&mut listing, Event::Apply(namespace("b", "shop"))), Some(Changed::Labels));
        assert_eq!(
            known.hear(&mut listing, Event::Apply(namespace("b", "shop"))),
            None,
            "it has the labels that it had"
        );
        assert_eq!(chosen(&known, "shop").unwrap(), ["a", "b"]);
        assert_eq!(known.hear(&mut listing, Event::Delete(namespace("a", "shop"))), Some(Changed::Labels));
        assert_eq!(chosen(&known, "shop").unwrap(), ["b"]);
        // a later list is complete before what it does not show is gone
        known.hear(&mut listing, Event::Init);
        assert_eq!(chosen(&known, "shop").unwrap(), ["b"]);
        assert_eq!(known.hear(&mut listing, Event::InitDone), Some(Changed::Labels));
        assert_eq!(chosen(&known, "shop").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_missing_right_is_told_at_once_and_another_failure_after_a_while_and_only_a_complete_list_ends_them() {
        let now = Instant::now();
        let later = now + PATIENCE;
        let (mut known, mut listing) = (Known::default(), BTreeMap::new());
        assert!(matches!(known.standing(now), Standing::Progressing { .. }));
        known.hear(&mut listing, Event::InitDone);
        assert_eq!(known.standing(now), Standing::Sound);
        // as a list that fails again and again is told
        for seconds in 0..40 {
            known.hear(&mut listing, Event::Init);
            known.fail(false, now + Duration::from_secs(seconds));
        }
        assert_eq!(known.standing(now), Standing::Sound);
        known.hear(&mut listing, Event::Init);
        let failing = known.standing(later);
        assert!(matches!(failing, Standing::Waiting { reason: Reason::WatchFailed, .. }), "{failing:?}");
        known.fail(true, later);
        let forbidden = known.standing(now);
        assert!(matches!(forbidden, Standing::Waiting { reason: Reason::NotAuthorized, .. }), "{forbidden:?}");
        assert_eq!(known.hear(&mut listing, Event::InitDone), Some(Changed::Health));
        assert_eq!(known.standing(later), Standing::Sound);
    }
}
