//! What came of reports and was not shown yet: of each namespace what came of one.
//!
//! Touches nothing. Invariants: a namespace has a rest only while something of it is left; those that have one take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Namespace;
use crate::object::SourceId;
use crate::plan::SubscriptionId;
use crate::select::Observation;

#[derive(Debug, Default)]
pub(super) struct Rests {
    namespaces: HashMap<Namespace, Rest>,
    turns: VecDeque<Namespace>,
    /// Whose reports they came of, and how many there are of each.
    sources: HashMap<Arc<SourceId>, usize>,
    len: usize,
}

#[derive(Debug)]
struct Rest {
    source: Arc<SourceId>,
    observations: VecDeque<Observation>,
}

impl Rests {
    /// How many observations there are in all.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many namespaces have one.
    pub(super) fn namespaces(&self) -> usize {
        self.namespaces.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    pub(super) fn has(&self, namespace: &Namespace) -> bool {
        self.namespaces.contains_key(namespace)
    }

    pub(super) fn are_of(&self, source: &SourceId) -> bool {
        self.sources.contains_key(source)
    }

    /// The namespace has none yet, and this is not empty.
    pub(super) fn add(&mut self, namespace: Namespace, source: Arc<SourceId>, observations: Vec<Observation>) {
        self.len += observations.len();
        *self.sources.entry(Arc::clone(&source)).or_default() += 1;
        self.turns.push_back(namespace.clone());
        self.namespaces.insert(namespace, Rest { source, observations: observations.into() });
    }

    /// The first so many of a namespace's whose turn it is; and the namespace, if that was all of it.
    pub(super) fn take(&mut self, most: usize) -> Option<(Vec<Observation>, Option<Namespace>)> {
        let namespace = self.turns.pop_front()?;
        let Rest { source, observations } = self.namespaces.get_mut(&namespace)?;
        let part: Vec<Observation> = observations.drain(..observations.len().min(most)).collect();
        self.len -= part.len();
        if !observations.is_empty() {
            self.turns.push_back(namespace);
            return Some((part, None));
        }
        forget(&mut self.sources, source);
        self.namespaces.remove(&namespace);
        Some((part, Some(namespace)))
    }

    /// All that are one subscription's; and the namespaces of which nothing is left with that.
    pub(super) fn take_of(&mut self, subscription: &SubscriptionId) -> (Vec<Observation>, Vec<Namespace>) {
        let (mut taken, mut shown) = (Vec::new(), Vec::new());
        let Self { namespaces, turns, sources, len } = self;
        turns.retain(|namespace| {
            let Some(Rest { source, observations }) = namespaces.get_mut(namespace) else { return false };
            let before = observations.len();
            for _ in 0..before {
                match observations.pop_front() {
                    Some(own) if own.subscription == *subscription => taken.push(own),
                    Some(other) => observations.push_back(other),
                    None => {}
                }
            }
            *len -= before - observations.len();
            if observations.is_empty() {
                forget(sources, source);
                namespaces.remove(namespace);
                shown.push(namespace.clone());
                return false;
            }
            true
        });
        (taken, shown)
    }
}

fn forget(sources: &mut HashMap<Arc<SourceId>, usize>, source: &Arc<SourceId>) {
    if let Some(count) = sources.get_mut(source) {
        *count -= 1;
        if *count == 0 {
            sources.remove(source);
        }
    }
}
