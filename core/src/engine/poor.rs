//! Subscriptions that have something to declare while nothing is left to write with for their namespace.
//!
//! Touches nothing. Invariants: a subscription is in here at most once; there is a moment at which each namespace in here is
//! looked at again, no later than it may declare something, or little later.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::Map;
use crate::Now;
use crate::plan::SubscriptionId;

/// So many namespaces are looked at in a millisecond.
const AT_A_TIME: u64 = 64;

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Poor {
    /// In the order in which they came.
    namespaces: VecDeque<Arc<str>>,
    members: Map<Arc<str>, VecDeque<SubscriptionId>>,
    all: BTreeSet<SubscriptionId>,
    /// When one of the namespaces may have something; monotonic.
    at: Option<u64>,
}

impl Poor {
    /// Waits until its namespace has something to write with, which it has not before `until`.
    pub fn join(&mut self, namespace: &Arc<str>, id: &SubscriptionId, until: u64) {
        self.at = Some(self.at.map_or(until, |at| at.min(until)));
        if self.all.insert(id.clone()) {
            if !self.members.contains_key(namespace) {
                self.namespaces.push_back(Arc::clone(namespace));
            }
            self.members.entry(Arc::clone(namespace)).or_default().push_back(id.clone());
        }
    }

    /// It is gone.
    pub fn leave(&mut self, namespace: &Arc<str>, id: &SubscriptionId) {
        if self.all.remove(id)
            && let Some(members) = self.members.get_mut(namespace)
        {
            members.retain(|other| other != id);
        }
    }

    /// Who waits no more, namespaces in the order in which they came, and their subscriptions in theirs.
    pub fn release(
        &mut self,
        now: Now,
        not_before: impl Fn(&Arc<str>) -> Option<u64>,
        mut released: impl FnMut(&Arc<str>, &SubscriptionId),
    ) {
        if self.at.is_none_or(|at| at > now.mono) {
            return;
        }
        let Self { namespaces, members, all, at } = self;
        *at = None;
        // one at a time for each of thousands would be all that there is time for
        let soonest = now.mono + namespaces.len() as u64 / AT_A_TIME;
        namespaces.retain(|namespace| {
            if let Some(until) = not_before(namespace).map(|until| until.max(soonest)) {
                *at = Some(at.map_or(until, |at| at.min(until)));
                return true;
            }
            for id in members.remove(namespace).into_iter().flatten() {
                all.remove(&id);
                released(namespace, &id);
            }
            false
        });
    }

    /// When to look again; monotonic.
    pub fn wake_at(&self) -> Option<u64> {
        self.at
    }

    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = &SubscriptionId> {
        self.members.values().flatten()
    }

    /// Whether it is in here, and there is a moment at which it is looked at.
    pub fn will_look_at(&self, id: &SubscriptionId) -> bool {
        self.all.contains(id) && self.at.is_some()
    }
}
