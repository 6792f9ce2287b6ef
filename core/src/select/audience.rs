//! Who is interested in one source.
//!
//! Touches nothing. Invariant: a subscription is in here at most once (group and kind are unique within a plan), so a row
//! is told at most once to each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::Row;
use crate::plan::Selector;
use crate::plan::SubscriptionId;

/// By namespace, so that a row costs only those who can see it.
#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Audience {
    everywhere: BTreeMap<SubscriptionId, Selector>,
    namespaces: BTreeMap<Arc<str>, BTreeMap<SubscriptionId, Selector>>,
}

impl Audience {
    pub(super) fn add(&mut self, id: SubscriptionId, namespace: Option<Arc<str>>, selector: Selector) {
        match namespace {
            Some(namespace) => self.namespaces.entry(namespace).or_default().insert(id, selector),
            None => self.everywhere.insert(id, selector),
        };
    }

    pub(super) fn remove(&mut self, id: &SubscriptionId, namespace: Option<&str>) {
        let Some(namespace) = namespace else {
            self.everywhere.remove(id);
            return;
        };
        if let Some(interests) = self.namespaces.get_mut(namespace) {
            interests.remove(id);
            if interests.is_empty() {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// Everyone who sees rows of this row's namespace.
    pub(super) fn of(&self, row: &Row) -> impl Iterator<Item = (&SubscriptionId, &Selector)> {
        self.within(row.namespace.as_deref())
    }

    /// Everyone who sees rows of this namespace, or of none.
    pub(super) fn within(&self, namespace: Option<&str>) -> impl Iterator<Item = (&SubscriptionId, &Selector)> {
        let namespaced = namespace.and_then(|namespace| self.namespaces.get(namespace));
        self.everywhere.iter().chain(namespaced.into_iter().flatten())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.namespaces.is_empty()
    }
}
