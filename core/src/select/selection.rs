//! All sources, and what a plan that comes, changes or goes means to its subscription.
//!
//! Touches nothing. Invariant: every interest of every plan is in the audience of exactly one source.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::source::Source;
use super::{Observation, Seen, Synced};
use crate::object::ObservedBy;
use crate::object::{Row, SourceEvent, SourceId};
use crate::plan::{Plan, SubscriptionId};

/// The row cache of every source, and who wants which of them.
#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub struct Selection {
    sources: BTreeMap<SourceId, Source>,
    plans: BTreeMap<SubscriptionId, Vec<Place>>,
}

/// Where one interest looks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    source: SourceId,
    namespace: Option<Arc<str>>,
}

impl Place {
    /// Whether the interest, looking here, would see this row, if it exists.
    fn covers(&self, row: &Row) -> bool {
        let within = |limit: Option<&str>| limit.is_none() || limit == row.namespace.as_deref();
        within(self.namespace.as_deref()) && within(self.source.namespace.as_deref())
    }

    fn same_kind(&self, other: &Self) -> bool {
        self.source.gvk.group == other.source.gvk.group && self.source.gvk.kind == other.source.gvk.kind
    }
}

impl Selection {
    /// Nothing watched, nobody interested.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a source's event and tells, for each subscription that is interested in the source, what it now sees.
    /// `Some` when a list has just become complete, or the kind was found absent.
    pub fn apply(&mut self, source: &SourceId, event: SourceEvent, out: &mut Vec<Observation>) -> Option<Synced> {
        let reached = match &event {
            SourceEvent::Upsert(row) => Some(row.rv),
            SourceEvent::Deleted { rv, .. } => Some(*rv),
            SourceEvent::ListStarted
            | SourceEvent::ListEnded { .. }
            | SourceEvent::Unreadable(_)
            | SourceEvent::KindAbsent => None,
        };
        self.apply_ahead(source, event, reached, out)
    }

    /// As [`Selection::apply`], of an event that may be ahead of older ones of other objects: with it everything up to
    /// `reached` was applied, or nothing more than before.
    pub fn apply_ahead(
        &mut self,
        source: &SourceId,
        event: SourceEvent,
        reached: Option<u64>,
        out: &mut Vec<Observation>,
    ) -> Option<Synced> {
        if let Some(source) = self.sources.get_mut(source) {
            return source.apply(event, reached, out);
        }
        self.source(source).apply(event, reached, out)
    }

    /// Adds or replaces a plan. `sources` names the source that each interest reads from, in the same order. The
    /// subscription is told
    /// - every cached row that its interests cover, selected or not;
    /// - as deselected, what its former interests covered and the present ones do not (a kind or namespace that was given up);
    /// - as gone, what a former source of the same kind showed and the present one is known not to have.
    ///
    /// What the present source is not known not to have is left as it was last seen, until that source shows it or proves
    /// it gone; so call this before [`Selection::drop_source`] of a source that is given up.
    ///
    /// # Panics
    /// If there is not one source per interest: the caller made both lists from the same plan.
    pub fn plan(&mut self, plan: &Plan, sources: &[SourceId], out: &mut Vec<Observation>) {
        assert_eq!(plan.interests.len(), sources.len(), "one source per interest");
        let places: Vec<Place> = plan
            .interests
            .iter()
            .zip(sources)
            .map(|(interest, source)| Place { source: source.clone(), namespace: interest.namespace.clone() })
            .collect();
        let former = self.plans.insert(plan.id.clone(), places.clone()).unwrap_or_default();
        for place in &places {
            self.source(&place.source);
        }
        for place in former.iter().filter(|place| !places.contains(place)) {
            self.leave(&plan.id, place, &places, out);
        }
        for (interest, place) in plan.interests.iter().zip(places) {
            let source = self.source(&place.source);
            source.show_all(&plan.id, place.namespace.as_deref(), &interest.selector, out);
            source.audience.add(plan.id.clone(), place.namespace, interest.selector.clone());
            // a source that is complete already may have nothing more to say for a long time
            source.settle_orphans(out);
        }
    }

    /// Takes an interest away; each row that it covered is deselected, unless the plan's present interests cover it.
    fn leave(&mut self, id: &SubscriptionId, place: &Place, places: &[Place], out: &mut Vec<Observation>) {
        let Some(source) = self.sources.get_mut(&place.source) else { return };
        source.audience.remove(id, place.namespace.as_deref());
        let mut known: Vec<Arc<Row>> = source.orphans.take(id).collect();
        source.rows.each(place.namespace.as_deref(), |row, _| known.push(Arc::clone(row)));
        for row in known {
            let present = places.iter().find(|present| present.same_kind(place) && present.covers(&row));
            if let Some(present) = present.and_then(|present| self.sources.get_mut(&present.source)) {
                if present.rows.get(row.namespace.as_deref(), &row.uid).is_none() {
                    present.orphans.add(id, row);
                }
            } else if let Some(source) = self.sources.get(&place.source) {
                let (object, by) = (source.key(&row), ObservedBy::Relist);
                out.push(Observation { subscription: id.clone(), object, seen: Seen::Deselected(row), by });
            }
        }
    }

    /// The subscription is gone; nothing is told.
    pub fn remove(&mut self, id: &SubscriptionId) {
        for place in self.plans.remove(id).unwrap_or_default() {
            if let Some(source) = self.sources.get_mut(&place.source) {
                source.audience.remove(id, place.namespace.as_deref());
                source.orphans.take(id).for_each(drop);
            }
        }
    }

    /// The source was stopped for want of users: its rows are forgotten, nothing is told. Should somebody be interested
    /// after all, they stay so, and see what the source shows when it is started again.
    pub fn drop_source(&mut self, source: &SourceId) {
        if let Some(stopped) = self.sources.get_mut(source) {
            stopped.forget();
            if stopped.audience.is_empty() {
                self.sources.remove(source);
            }
        }
    }

    /// The source's versions count anew: whatever it shows from here on is newer than what it has shown so far, and
    /// nothing is concluded until its next list is complete.
    pub fn rewind(&mut self, source: &SourceId) {
        if let Some(source) = self.sources.get_mut(source) {
            source.rewind();
        }
    }

    /// What the source was last known to be complete in, if it was.
    pub fn synced(&self, source: &SourceId) -> Option<Synced> {
        self.sources.get(source).and_then(Source::synced)
    }

    /// The source has yet to confirm objects that another one showed. What it reports then may be the end of objects of any
    /// namespace, so it is to be shown as a whole.
    pub fn has_orphans(&self, source: &SourceId) -> bool {
        self.sources.get(source).is_some_and(|source| !source.orphans.is_empty())
    }

    /// Objects held, over all sources.
    pub fn rows(&self) -> usize {
        self.sources.values().map(|source| source.rows.len()).sum()
    }

    /// Objects held of one source.
    pub fn rows_of(&self, source: &SourceId) -> usize {
        self.sources.get(source).map_or(0, |source| source.rows.len())
    }

    fn source(&mut self, id: &SourceId) -> &mut Source {
        self.sources.entry(id.clone()).or_insert_with(|| Source::new(Arc::new(id.gvk.group_kind())))
    }
}
