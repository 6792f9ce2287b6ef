//! What the sources reported and nobody has taken in yet: of each object only the newest row, and each namespace in turn.
//!
//! Touches nothing. Invariants:
//!
//! - what concerns a source as a whole (lists, an absent kind, versions that count anew, its end) is taken in after
//!   everything that was reported before it, and before everything after it;
//! - within a source and a namespace the order is as reported, but that a newer row takes the place of an older one of the
//!   same object that still waits; not beyond its deletion, nor beyond something there that could not be read;
//! - a namespace's rows wait for at most one of each other namespace in turn, however many those have;
//! - what is taken in ahead of others says so: see [`Next::reached`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::object::{Body, Row, SourceEvent, SourceId};

#[cfg(test)]
mod tests;

/// What a source reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighted {
    /// Objects, or that there are none.
    Event(SourceEvent),
    /// Its versions count anew.
    Rewound,
    /// It stopped for want of users.
    Stopped,
}

/// What is taken in next.
#[derive(Debug)]
pub struct Next {
    /// Which source reported it.
    pub source: Arc<SourceId>,
    /// What it reported.
    pub seen: Sighted,
    /// With this, everything that the source reported up to this version was taken in; `None` if something older waits.
    pub reached: Option<u64>,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Backlog {
    sources: HashMap<Arc<SourceId>, VecDeque<Part>>,
    /// Sources whose first part is a [`Part::Whole`].
    wholes: VecDeque<Arc<SourceId>>,
    /// Namespaces with something to take in; those without any namespace take turns as one.
    turns: VecDeque<Option<Arc<str>>>,
    /// By namespace, the sources that have something of it in their first part.
    namespaces: HashMap<Option<Arc<str>>, VecDeque<Arc<SourceId>>>,
    next_ticket: u64,
    len: usize,
    bytes: usize,
    merged: u64,
}

/// A source's reports, in order, in parts.
#[derive(Debug)]
enum Part {
    /// Concerns all of the source.
    Whole(Sighted),
    /// Of single objects.
    Objects(Objects),
}

#[derive(Debug, Default)]
struct Objects {
    lanes: HashMap<Option<Arc<str>>, Lane>,
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

impl Backlog {
    /// Nothing waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many reports wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the bodies that wait weigh.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows so far that a newer one took the place of.
    pub fn merged(&self) -> u64 {
        self.merged
    }

    /// A source reports this.
    pub fn push(&mut self, source: &Arc<SourceId>, seen: Sighted) {
        let parts = self.sources.entry(Arc::clone(source)).or_default();
        let event = match seen {
            Sighted::Event(
                event @ (SourceEvent::Upsert(_) | SourceEvent::Deleted { .. } | SourceEvent::Unreadable(_)),
            ) => event,
            Sighted::Event(SourceEvent::ListStarted | SourceEvent::ListEnded { .. } | SourceEvent::KindAbsent)
            | Sighted::Rewound
            | Sighted::Stopped => {
                if parts.is_empty() {
                    self.wholes.push_back(Arc::clone(source));
                }
                parts.push_back(Part::Whole(seen));
                self.len += 1;
                return;
            }
        };
        if !matches!(parts.back(), Some(Part::Objects(_))) {
            parts.push_back(Part::Objects(Objects::default()));
        }
        let takes_turns = parts.len() == 1;
        let Some(Part::Objects(objects)) = parts.back_mut() else { return };
        let weight = weight(&event);
        let namespace = namespace(&event);
        match objects.add(self.next_ticket, namespace.clone(), event) {
            Added::Queued { alone } => {
                self.next_ticket += 1;
                self.len += 1;
                self.bytes += weight;
                if alone && takes_turns {
                    self.queue(namespace, source);
                }
            }
            Added::Replaced(lighter) => {
                self.merged += 1;
                self.bytes = self.bytes + weight - lighter;
            }
            Added::Outdated => self.merged += 1,
        }
    }

    /// What is to be taken in next.
    pub fn pop(&mut self) -> Option<Next> {
        self.pop_whole().or_else(|| self.pop_object())
    }

    fn pop_whole(&mut self) -> Option<Next> {
        let source = self.wholes.pop_front()?;
        let Some(Part::Whole(seen)) = self.sources.get_mut(&source)?.pop_front() else { return None };
        self.len -= 1;
        self.open(&source);
        let reached = match &seen {
            Sighted::Event(SourceEvent::ListEnded { rv, .. }) => Some(*rv),
            Sighted::Event(
                SourceEvent::ListStarted
                | SourceEvent::Upsert(_)
                | SourceEvent::Deleted { .. }
                | SourceEvent::Unreadable(_)
                | SourceEvent::KindAbsent,
            )
            | Sighted::Rewound
            | Sighted::Stopped => None,
        };
        Some(Next { source, seen, reached })
    }

    fn pop_object(&mut self) -> Option<Next> {
        let namespace = self.turns.pop_front()?;
        let sources = self.namespaces.get_mut(&namespace)?;
        let source = sources.pop_front()?;
        let Some(Part::Objects(objects)) = self.sources.get_mut(&source)?.front_mut() else { return None };
        let (event, reached, more) = objects.take(namespace.as_ref())?;
        if more {
            sources.push_back(Arc::clone(&source));
        }
        if sources.is_empty() {
            self.namespaces.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        self.len -= 1;
        self.bytes -= weight(&event);
        if objects.lanes.is_empty() {
            if let Some(parts) = self.sources.get_mut(&source) {
                parts.pop_front();
            }
            self.open(&source);
        }
        Some(Next { source, seen: Sighted::Event(event), reached })
    }

    /// The source's first part is another one now.
    fn open(&mut self, source: &Arc<SourceId>) {
        let lanes: Vec<Option<Arc<str>>> = match self.sources.get(source).and_then(VecDeque::front) {
            None => {
                self.sources.remove(source);
                return;
            }
            Some(Part::Whole(_)) => {
                self.wholes.push_back(Arc::clone(source));
                return;
            }
            Some(Part::Objects(objects)) => objects.lanes.keys().cloned().collect(),
        };
        for namespace in lanes {
            self.queue(namespace, source);
        }
    }

    /// The source has something of this namespace; whoever is queued already stays where it is.
    fn queue(&mut self, namespace: Option<Arc<str>>, source: &Arc<SourceId>) {
        let sources = self.namespaces.entry(namespace.clone()).or_default();
        if sources.is_empty() {
            self.turns.push_back(namespace);
        }
        if !sources.contains(source) {
            sources.push_back(Arc::clone(source));
        }
    }
}

/// What became of a report.
enum Added {
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
    fn add(&mut self, ticket: u64, namespace: Option<Arc<str>>, event: SourceEvent) -> Added {
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
    fn take(&mut self, namespace: Option<&Arc<str>>) -> Option<(SourceEvent, Option<u64>, bool)> {
        let namespace = namespace.cloned();
        let lane = self.lanes.get_mut(&namespace)?;
        let (ticket, event) = lane.waiting.pop_first()?;
        if let SourceEvent::Upsert(row) = &event
            && lane.newest.get(&row.uid) == Some(&ticket)
        {
            lane.newest.remove(&row.uid);
        }
        let more = !lane.waiting.is_empty();
        if !more {
            self.lanes.remove(&namespace);
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

fn namespace(event: &SourceEvent) -> Option<Arc<str>> {
    match event {
        SourceEvent::Upsert(row) => row.namespace.clone(),
        SourceEvent::Deleted { namespace, .. } => namespace.clone(),
        SourceEvent::Unreadable(name) => name.namespace.as_deref().map(Arc::from),
        SourceEvent::ListStarted | SourceEvent::ListEnded { .. } | SourceEvent::KindAbsent => None,
    }
}

fn weight(event: &SourceEvent) -> usize {
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
