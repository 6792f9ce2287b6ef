//! Who has to be looked at when something is heard of.
//!
//! Touches nothing. Invariant: a subscription hears of just what its present spec names.

use std::collections::{BTreeSet, HashMap};

use changehook_core::object::Gvk;
use changehook_core::plan::SubscriptionId;

use super::read::Shown;

#[derive(Debug, Default)]
pub(super) struct Hearers {
    /// Of a kind's source, from the moment the spec names the kind.
    readers: HashMap<Gvk, BTreeSet<SubscriptionId>>,
    /// Of namespaces.
    choosers: BTreeSet<SubscriptionId>,
}

impl Hearers {
    pub fn add(&mut self, id: &SubscriptionId, shown: &Shown) {
        for gvk in kinds(shown) {
            self.readers.entry(gvk).or_default().insert(id.clone());
        }
        if shown.chooses_namespaces() {
            self.choosers.insert(id.clone());
        }
    }

    /// What was added for it is not heard of any more.
    pub fn remove(&mut self, id: &SubscriptionId, shown: &Shown) {
        self.choosers.remove(id);
        for gvk in kinds(shown) {
            if let Some(readers) = self.readers.get_mut(&gvk) {
                readers.remove(id);
                if readers.is_empty() {
                    self.readers.remove(&gvk);
                }
            }
        }
    }

    pub fn of_kind(&self, gvk: &Gvk) -> impl Iterator<Item = &SubscriptionId> {
        self.readers.get(gvk).into_iter().flatten()
    }

    pub fn of_namespaces(&self) -> &BTreeSet<SubscriptionId> {
        &self.choosers
    }
}

/// The kinds that the spec names; one that cannot be read names none.
fn kinds(shown: &Shown) -> Vec<Gvk> {
    match shown {
        Shown::Readable(readable) => {
            let resources = &readable.subscription.spec.resources;
            resources.iter().map(|resource| Gvk::new(&resource.api_version, &resource.kind)).collect()
        }
        Shown::Unreadable(_) => Vec::new(),
    }
}
