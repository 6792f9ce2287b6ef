//! Turns taken one after the other: round robin over namespaces, then over their subscriptions.
//!
//! Touches nothing. Invariant: a subscription is in here at most once, so a namespace with many of them gets no more
//! turns than one with few.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Map;
use crate::plan::SubscriptionId;

/// `M` is what a turn carries along.
#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Turns<M> {
    namespaces: VecDeque<Arc<str>>,
    members: Map<Arc<str>, VecDeque<SubscriptionId>>,
    marks: Map<SubscriptionId, M>,
}

impl<M> Default for Turns<M> {
    fn default() -> Self {
        Self { namespaces: VecDeque::new(), members: Map::default(), marks: Map::default() }
    }
}

impl<M> Turns<M> {
    /// Queues up, unless it already has; returns the mark it carries, to be set.
    pub fn join(&mut self, namespace: &Arc<str>, id: &SubscriptionId, mark: M) -> &mut M {
        if !self.marks.contains_key(id) {
            let members = self.members.entry(Arc::clone(namespace)).or_default();
            if members.is_empty() {
                self.namespaces.push_back(Arc::clone(namespace));
            }
            members.push_back(id.clone());
        }
        self.marks.entry(id.clone()).or_insert(mark)
    }

    /// Whose turn it is; its namespace goes to the back.
    pub fn next(&mut self) -> Option<(Arc<str>, SubscriptionId, M)> {
        while let Some(namespace) = self.namespaces.pop_front() {
            let Some(members) = self.members.get_mut(&namespace) else { continue };
            let next = members.pop_front();
            if members.is_empty() {
                self.members.remove(&namespace);
            } else {
                self.namespaces.push_back(Arc::clone(&namespace));
            }
            if let Some(id) = next
                && let Some(mark) = self.marks.remove(&id)
            {
                return Some((namespace, id, mark));
            }
        }
        None
    }

    pub fn contains(&self, id: &SubscriptionId) -> bool {
        self.marks.contains_key(id)
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SubscriptionId {
        SubscriptionId { uid: name.into() }
    }

    #[test]
    fn a_namespace_with_many_subscriptions_gets_no_more_turns_than_one_with_few() {
        let mut turns = Turns::default();
        let (crowded, quiet): (Arc<str>, Arc<str>) = ("crowded".into(), "quiet".into());
        for n in 0..9 {
            turns.join(&crowded, &id(&format!("crowded-{n}")), ());
        }
        turns.join(&quiet, &id("quiet"), ());
        let mut quiet_turns = 0;
        for _ in 0..10 {
            let (namespace, next, ()) = turns.next().unwrap();
            quiet_turns += u32::from(*next.uid == *"quiet");
            turns.join(&namespace, &next, ());
        }
        assert_eq!(quiet_turns, 5);
    }

    #[test]
    fn whoever_joins_twice_has_one_turn() {
        let mut turns = Turns::default();
        let namespace: Arc<str> = "n".into();
        turns.join(&namespace, &id("a"), 1);
        *turns.join(&namespace, &id("a"), 2) += 10;
        assert_eq!(turns.next(), Some((Arc::clone(&namespace), id("a"), 11)));
        assert_eq!(turns.next(), None);
        assert!(turns.is_empty());
    }
}
