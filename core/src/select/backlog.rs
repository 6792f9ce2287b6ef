//! What the sources reported and nobody has taken in yet: of each object only the newest row, and each namespace in turn.
//!
//! Touches nothing. Invariants:
//!
//! - what concerns a source as a whole (lists, an absent kind, versions that count anew, its end) is taken in after
//!   everything that was reported before it, and before everything after it;
//! - within a source and a namespace the order is as reported, but that a newer row takes the place of an older one of the
//!   same object that still waits; not beyond its deletion, nor beyond something there that could not be read;
//! - a namespace's rows wait for at most one of each other namespace in turn, however many those have, and for a part of
//!   what is left to be shown of theirs before each, if the caller lets that be shown at all;
//! - what is taken in ahead of others says so: see [`Next::Report::reached`];
//! - of what came of one report a namespace shows a part in a turn, and all of it before its next report;
//! - what came of reports and was not shown yet is bounded: beyond [`MOST_KEPT`] nothing new is taken in.

mod objects;
mod rests;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Observation;
use crate::object::{SourceEvent, SourceId};
use crate::plan::SubscriptionId;
use objects::{Added, Objects, namespace, weight};
use rests::Rests;

/// So many observations may be kept before nothing but them is taken in; one report's come on top.
const MOST_KEPT: usize = 20_000;

/// `None` is that of all objects without one.
type Namespace = Option<Arc<str>>;

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
pub enum Next {
    /// A source reported something.
    Report {
        /// Which source.
        source: Arc<SourceId>,
        /// What it reported.
        seen: Sighted,
        /// With this, everything that the source reported up to this version was taken in; `None` if something older waits.
        reached: Option<u64>,
    },
    /// More of what came of an earlier report.
    Rest(Vec<Observation>),
}

/// See the module's head.
#[derive(Debug)]
pub struct Backlog {
    /// How many subscriptions are shown an object in one turn of its namespace.
    part: usize,
    sources: HashMap<Arc<SourceId>, VecDeque<Part>>,
    /// Sources whose first part is a [`Part::Whole`].
    wholes: VecDeque<Arc<SourceId>>,
    /// Namespaces with something to take in that nothing came of yet; those without any namespace take turns as one.
    turns: VecDeque<Namespace>,
    /// The last that came out was a part of a rest.
    rested: bool,
    /// By namespace, the sources that have something of it in their first part.
    namespaces: HashMap<Namespace, VecDeque<Arc<SourceId>>>,
    rests: Rests,
    /// Whose turn it is, if it is that of a single object's report.
    turn: Option<Turn>,
    next_ticket: u64,
    len: usize,
    bytes: usize,
    merged: u64,
}

#[derive(Debug)]
struct Turn {
    namespace: Namespace,
    source: Arc<SourceId>,
}

/// A source's reports, in order, in parts.
#[derive(Debug)]
enum Part {
    /// Concerns all of the source.
    Whole(Sighted),
    /// Of single objects.
    Objects(Objects),
}

impl Backlog {
    /// Nothing waits. An object is shown to `part` subscriptions in one turn of its namespace, at least to one.
    pub fn new(part: usize) -> Self {
        Self {
            part: part.max(1),
            sources: HashMap::new(),
            wholes: VecDeque::new(),
            turns: VecDeque::new(),
            rested: false,
            namespaces: HashMap::new(),
            rests: Rests::default(),
            turn: None,
            next_ticket: 0,
            len: 0,
            bytes: 0,
            merged: 0,
        }
    }

    /// How many objects were shown to a part of those who watch them.
    pub fn partly_shown(&self) -> usize {
        self.rests.namespaces()
    }

    /// Whether something comes out next even if no rest may that nobody waits for.
    pub fn is_ready(&self) -> bool {
        let whole = self.wholes.iter().any(|source| self.may_take_whole(source));
        whole || if self.only_rests() { !self.rests.is_empty() } else { !self.turns.is_empty() }
    }

    /// How many reports wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.rests.is_empty()
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

    /// What is to be taken in next; of rests only if they may be shown now, or everybody waits for them.
    pub fn pop(&mut self, may_rest: bool) -> Option<Next> {
        self.turn = None;
        if let Some(at) = self.wholes.iter().position(|source| self.may_take_whole(source)) {
            return self.pop_whole(at);
        }
        let only_rests = self.only_rests();
        if only_rests || may_rest && (!self.rested || self.turns.is_empty()) {
            self.rested = true;
            if let Some(part) = self.pop_rest() {
                return Some(Next::Rest(part));
            }
        }
        self.rested = false;
        if only_rests { None } else { self.pop_turn() }
    }

    /// Only one that concerns all sources is left waiting for what came of others' objects.
    fn only_rests(&self) -> bool {
        self.rests.len() >= MOST_KEPT || self.wholes.iter().any(|source| self.concerns_all(source))
    }

    /// What concerns a source as a whole comes after all that came of its objects; it has no other reports before.
    fn may_take_whole(&self, source: &SourceId) -> bool {
        if self.concerns_all(source) { self.rests.is_empty() } else { !self.rests.are_of(source) }
    }

    /// Versions that count anew concern whatever was seen.
    fn concerns_all(&self, source: &SourceId) -> bool {
        let first = self.sources.get(source).and_then(VecDeque::front);
        matches!(first, Some(Part::Whole(Sighted::Rewound)))
    }

    /// Of what came of the last report only a part is shown now, and the rest is kept; unless it concerns a source as a
    /// whole.
    pub fn keep(&mut self, came_of_it: &mut Vec<Observation>) {
        let Some(Turn { namespace, source }) = self.turn.take().filter(|_| came_of_it.len() > self.part) else {
            return;
        };
        let rest = came_of_it.split_off(self.part);
        // it has a turn only if it has something; then it went to the back just now
        if self.namespaces.contains_key(&namespace)
            && let Some(at) = self.turns.iter().rposition(|other| *other == namespace)
        {
            self.turns.remove(at);
        }
        self.rests.add(namespace, source, rest);
    }

    /// All that is kept of one subscription's: it is to be shown before its next plan.
    pub fn take_of(&mut self, subscription: &SubscriptionId) -> Vec<Observation> {
        if self.rests.is_empty() {
            return Vec::new();
        }
        let (taken, shown) = self.rests.take_of(subscription);
        for namespace in shown {
            self.requeue(namespace);
        }
        taken
    }

    fn pop_rest(&mut self) -> Option<Vec<Observation>> {
        let (part, shown) = self.rests.take(self.part)?;
        if let Some(namespace) = shown {
            self.requeue(namespace);
        }
        Some(part)
    }

    /// All that came of a namespace's last report was shown: its next one has a turn.
    fn requeue(&mut self, namespace: Namespace) {
        if self.namespaces.contains_key(&namespace) {
            self.turns.push_back(namespace);
        }
    }

    fn pop_whole(&mut self, at: usize) -> Option<Next> {
        let source = self.wholes.remove(at)?;
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
        Some(Next::Report { source, seen, reached })
    }

    fn pop_turn(&mut self) -> Option<Next> {
        let namespace = self.turns.pop_front()?;
        let sources = self.namespaces.get_mut(&namespace)?;
        let source = sources.pop_front()?;
        let Some(Part::Objects(objects)) = self.sources.get_mut(&source)?.front_mut() else { return None };
        let (event, reached, more) = objects.take(&namespace)?;
        self.turn = Some(Turn { namespace: namespace.clone(), source: Arc::clone(&source) });
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
        if objects.is_empty() {
            if let Some(parts) = self.sources.get_mut(&source) {
                parts.pop_front();
            }
            self.open(&source);
        }
        Some(Next::Report { source, seen: Sighted::Event(event), reached })
    }

    /// The source's first part is another one now.
    fn open(&mut self, source: &Arc<SourceId>) {
        let lanes: Vec<Namespace> = match self.sources.get(source).and_then(VecDeque::front) {
            None => {
                self.sources.remove(source);
                return;
            }
            Some(Part::Whole(_)) => {
                self.wholes.push_back(Arc::clone(source));
                return;
            }
            Some(Part::Objects(objects)) => objects.namespaces().cloned().collect(),
        };
        for namespace in lanes {
            self.queue(namespace, source);
        }
    }

    /// The source has something of this namespace; whoever is queued already stays where it is.
    fn queue(&mut self, namespace: Namespace, source: &Arc<SourceId>) {
        if !self.namespaces.contains_key(&namespace) && !self.rests.has(&namespace) {
            self.turns.push_back(namespace.clone());
        }
        let sources = self.namespaces.entry(namespace).or_default();
        if !sources.contains(source) {
            sources.push_back(Arc::clone(source));
        }
    }
}
