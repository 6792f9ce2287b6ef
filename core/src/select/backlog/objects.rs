//! What one source reported of single objects, and what may take the place of what.
//!
//! Touches nothing. Invariant: within a namespace everything keeps its place; a newer row takes that of an older one of its
//! object, unless its deletion, or something that could not be read, stands between them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Namespace;
use crate::object::{Body, Row, SourceEvent};

#[derive(Debug, Default)]
pub(super) struct Objects {
    lanes: HashMap<Namespace, Lane>,
    /// By the ticket of what waits: the highest version reported from then until what waits next.
    versions: BTreeMap<u64, u64>,
}

/// One namespace of a source.
#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeMap<u64, SourceEvent>,
    /// By uid, the row that a newer one may replace.
    newest: HashMap<Arc<str>, u64>,
}

/// What became of a report.
pub(super) enum Added {
    Queued {
        /// Nothing else of its namespace waits.
        alone: bool,
    },
    /// It took the place of one that weighed so much.
    Replaced(usize),
    /// What waits is as new.
    Outdated,
}

impl Objects {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(super) fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.lanes.keys()
    }

    pub(super) fn add(&mut self, ticket: u64, namespace: Namespace, event: SourceEvent) -> Added {
        let rv = version(&event).unwrap_or(0);
        let added = self.lanes.entry(namespace).or_default().add(ticket, event);
        match added {
            Added::Queued { .. } => {
                self.versions.insert(ticket, rv);
            }
            Added::Replaced(_) | Added::Outdated => {
                if let Some(mut last) = self.versions.last_entry() {
                    *last.get_mut() = rv.max(*last.get());
                }
            }
        }
        added
    }

    /// The first of a namespace, what is reached with it, and whether there is more of that namespace.
    pub(super) fn take(&mut self, namespace: &Namespace) -> Option<(SourceEvent, Option<u64>, bool)> {
        let lane = self.lanes.get_mut(namespace)?;
        let (ticket, event) = lane.waiting.pop_first()?;
        if let SourceEvent::Upsert(row) = &event
            && lane.newest.get(&row.uid) == Some(&ticket)
        {
            lane.newest.remove(&row.uid);
        }
        let more = !lane.waiting.is_empty();
        if !more {
            self.lanes.remove(namespace);
        }
        Some((event, self.reach(ticket), more))
    }

    /// This one waits no more: what was reported up to the next that waits is complete, if nothing older waits.
    fn reach(&mut self, ticket: u64) -> Option<u64> {
        let rv = self.versions.remove(&ticket)?;
        match self.versions.range_mut(..ticket).next_back() {
            Some((_, before)) => {
                *before = rv.max(*before);
                None
            }
            None => Some(rv),
        }
    }
}

impl Lane {
    fn add(&mut self, ticket: u64, event: SourceEvent) -> Added {
        match &event {
            SourceEvent::Upsert(row) => {
                let older = self.newest.get(&row.uid).and_then(|ticket| self.waiting.get_mut(ticket));
                if let Some(SourceEvent::Upsert(older)) = older
                    && older.name == row.name
                {
                    if older.rv >= row.rv {
                        return Added::Outdated;
                    }
                    let lighter = weight_of(older);
                    *older = Arc::clone(row);
                    return Added::Replaced(lighter);
                }
                self.newest.insert(Arc::clone(&row.uid), ticket);
            }
            SourceEvent::Deleted { uid, .. } => {
                self.newest.remove(uid);
            }
            // it is told by its name alone
            SourceEvent::Unreadable(_) => self.newest.clear(),
            SourceEvent::ListStarted | SourceEvent::ListEnded { .. } | SourceEvent::KindAbsent => {}
        }
        self.waiting.insert(ticket, event);
        Added::Queued { alone: self.waiting.len() == 1 }
    }
}

fn version(event: &SourceEvent) -> Option<u64> {
    match event {
        SourceEvent::Upsert(row) => Some(row.rv),
        SourceEvent::Deleted { rv, .. } => Some(*rv),
        SourceEvent::ListEnded { .. }
        | SourceEvent::ListStarted
        | SourceEvent::Unreadable(_)
        | SourceEvent::KindAbsent => None,
    }
}

pub(super) fn namespace(event: &SourceEvent) -> Namespace {
    match event {
        SourceEvent::Upsert(row) => row.namespace.clone(),
        SourceEvent::Deleted { namespace, .. } => namespace.clone(),
        SourceEvent::Unreadable(name) => name.namespace.as_deref().map(Arc::from),
        SourceEvent::ListStarted | SourceEvent::ListEnded { .. } | SourceEvent::KindAbsent => None,
    }
}

pub(super) fn weight(event: &SourceEvent) -> usize {
    match event {
        SourceEvent::Upsert(row) => weight_of(row),
        SourceEvent::Deleted { .. }
        | SourceEvent::Unreadable(_)
        | SourceEvent::ListStarted
        | SourceEvent::ListEnded { .. }
        | SourceEvent::KindAbsent => 0,
    }
}

fn weight_of(row: &Row) -> usize {
    match &row.body {
        Body::Whole(bytes) => bytes.len(),
        Body::Missing(_) => 0,
    }
}
