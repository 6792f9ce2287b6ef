//! Where subscriptions are read from: both kinds in the whole cluster, or one kind in some namespaces, each with a list and
//! a watch of its own.
//!
//! Touches the API server: list and watch of our own kinds. Invariants: of each place's list it is known which place it is
//! of, so that a list of one says nothing of what is in another; who serves some namespaces only leaves alone what is of
//! the whole cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{BoxStream, SelectAll, once};
use futures::{StreamExt, TryStreamExt};
use kube::api::ApiResource;
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};

use crate::api::{ClusterWebhookSubscription, SubscriptionKind, WebhookSubscription};

/// Whose subscriptions are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    Cluster,
    /// Those in these namespaces; nothing is asked of the API server about others.
    Namespaces(BTreeSet<String>),
}

/// A place that subscriptions are listed in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub kind: SubscriptionKind,
    /// `None` for all.
    pub namespace: Option<Arc<str>>,
}

/// What the API server tells of subscriptions; never ends.
pub(super) type Feed = SelectAll<BoxStream<'static, Option<(Place, watcher::Result<Event<DynamicObject>>)>>>;

impl Scope {
    /// Some namespaces; none at all means everybody's.
    pub fn of(namespaces: impl IntoIterator<Item = String>) -> Self {
        let namespaces: BTreeSet<String> = namespaces.into_iter().collect();
        if namespaces.is_empty() { Self::Cluster } else { Self::Namespaces(namespaces) }
    }

    /// Each of them is listed once to begin with.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |kind, namespace| Place { kind, namespace };
        match self {
            Self::Cluster => {
                [SubscriptionKind::Namespaced, SubscriptionKind::Cluster].map(|kind| place(kind, None)).into()
            }
            Self::Namespaces(names) => {
                names.iter().map(|name| place(SubscriptionKind::Namespaced, Some(Arc::from(name.as_str())))).collect()
            }
        }
    }
}

/// Lists and watches in every place. A `None` says that one of them has ended, which none does.
pub(super) fn feed(client: &Client, scope: &Scope) -> Feed {
    // One that an older CRD let in must not keep the others from being listed, so specs are read one by one.
    let of = |place: Place| {
        let kind = match place.kind {
            SubscriptionKind::Namespaced => ApiResource::erase::<WebhookSubscription>(&()),
            SubscriptionKind::Cluster => ApiResource::erase::<ClusterWebhookSubscription>(&()),
        };
        let api: Api<DynamicObject> = match &place.namespace {
            None => Api::all_with(client.clone(), &kind),
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        };
        let told = watcher(api, watcher::Config::default()).default_backoff().into_stream();
        told.map(move |event| Some((place.clone(), event))).chain(once(async { None })).boxed()
    };
    scope.places().into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_namespace_the_whole_cluster_is_one_place_for_each_kind_and_each_namespace_is_one_of_one_kind() {
        use SubscriptionKind::{Cluster, Namespaced};
        let place = |kind, namespace: Option<&str>| Place { kind, namespace: namespace.map(Arc::from) };
        assert_eq!(Scope::of([]).places(), [place(Namespaced, None), place(Cluster, None)]);
        let places = Scope::of(["b", "a", "b"].map(str::to_owned)).places();
        assert_eq!(places, [place(Namespaced, Some("a")), place(Namespaced, Some("b"))]);
    }
}
