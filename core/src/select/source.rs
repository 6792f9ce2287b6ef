//! What one source event means to each subscription that is interested in the source.
//!
//! Touches nothing. Invariant: nothing is told to be gone but by a deletion, by a complete list that could read everything
//! concerned, or by discovery.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::audience::Audience;
use super::orphans::Orphans;
use super::rows::{Change, Rows};
use super::{Observation, Seen, Synced};
use crate::object::ObservedBy;
use crate::object::{GroupKind, ObjectKey, ObjectName, Row, SourceEvent, Unreadable};
use crate::plan::Selector;
use crate::plan::SubscriptionId;
use crate::proof::{Rule, broken};

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Source {
    kind: Arc<GroupKind>,
    pub(super) rows: Rows,
    pub(super) audience: Audience,
    pub(super) orphans: Orphans,
    listing: bool,
    standing: Standing,
    /// The version up to which what is not among the rows does not exist; `None` while that is not known.
    complete: Option<u64>,
    highest: u64,
    /// Objects that the last list, or the watch since, could not read.
    unreadable: BTreeSet<ObjectName>,
}

/// What the source as a whole was last known to be.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Unlisted,
    /// Its last complete list was of this version.
    Listed(u64),
    /// Its kind is not served.
    Absent,
}

impl Source {
    pub(super) fn new(kind: Arc<GroupKind>) -> Self {
        Self {
            kind,
            rows: Rows::default(),
            audience: Audience::default(),
            orphans: Orphans::default(),
            listing: false,
            standing: Standing::Unlisted,
            complete: None,
            highest: 0,
            unreadable: BTreeSet::new(),
        }
    }

    /// As after [`Source::new`], but with its audience.
    pub(super) fn forget(&mut self) {
        let kind = Arc::clone(&self.kind);
        let audience = std::mem::take(&mut self.audience);
        *self = Self { audience, ..Self::new(kind) };
    }

    /// Versions count anew.
    pub(super) fn rewind(&mut self) {
        self.rows.rewind();
        self.orphans.rewind();
        (self.listing, self.standing, self.complete, self.highest) = (false, Standing::Unlisted, None, 0);
    }

    pub(super) fn synced(&self) -> Option<Synced> {
        match self.standing {
            Standing::Unlisted => None,
            Standing::Listed(rv) => Some(Synced::Listed { rv, unreadable: self.unreadable() }),
            Standing::Absent => Some(Synced::Absent),
        }
    }

    /// Whether something was listed or watched that could not be read.
    fn is_in_the_dark(&self) -> bool {
        !self.unreadable.is_empty() || (self.complete.is_none() && matches!(self.standing, Standing::Listed(_)))
    }

    /// What may exist although it is not among the rows: a list that has begun has not named it yet.
    fn unreadable(&self) -> Unreadable {
        if self.listing || self.complete.is_none() {
            Unreadable::Unknown
        } else {
            Unreadable::Named(self.unreadable.iter().cloned().collect())
        }
    }

    pub(super) fn key(&self, row: &Row) -> ObjectKey {
        ObjectKey { kind: Arc::clone(&self.kind), uid: Arc::clone(&row.uid) }
    }

    /// `reached` is the version up to which everything is applied with this event, if that is known from it.
    pub(super) fn apply(
        &mut self,
        event: SourceEvent,
        reached: Option<u64>,
        out: &mut Vec<Observation>,
    ) -> Option<Synced> {
        let by = if self.listing { ObservedBy::Relist } else { ObservedBy::Watch };
        let completes = matches!(event, SourceEvent::ListEnded { .. } | SourceEvent::KindAbsent);
        match event {
            SourceEvent::ListStarted => {
                self.listing = true;
                self.unreadable.clear();
                if let Standing::Absent = self.standing {
                    // it is back
                    self.standing = Standing::Unlisted;
                }
                self.rows.start_list();
            }
            SourceEvent::Upsert(row) => {
                self.advance(row.rv, reached);
                self.shown(&row);
                self.change_rows(by, out, |rows, tell| rows.upsert(row, tell));
            }
            SourceEvent::Deleted { namespace, uid, rv } => {
                self.advance(rv, reached);
                let by = ObservedBy::Watch;
                self.deleted(namespace.as_deref(), &uid, rv, out);
                self.change_orphans(by, out, |orphans, tell| orphans.deleted(&uid, rv, tell));
            }
            SourceEvent::Unreadable(name) => {
                self.advance(0, reached);
                self.change_rows(by, out, |rows, tell| rows.unreadable(&name, tell));
                self.unreadable.insert(name);
            }
            SourceEvent::ListEnded { rv, unreadable } => {
                self.listing = false;
                self.highest = self.highest.max(rv);
                self.standing = Standing::Listed(rv);
                match unreadable {
                    Unreadable::Named(names) => {
                        self.change_rows(ObservedBy::Relist, out, |rows, tell| rows.sweep(rv, &names, tell));
                        self.unreadable.extend(names);
                        self.complete = Some(rv);
                    }
                    Unreadable::Unknown => {
                        self.complete = None;
                        if broken(Rule::RowsOutliveHalfLists) {
                            self.change_rows(ObservedBy::Relist, out, |rows, tell| rows.sweep(rv, &[], tell));
                        }
                    }
                }
            }
            SourceEvent::KindAbsent => {
                let rv = self.highest;
                self.listing = false;
                self.unreadable.clear();
                self.change_rows(ObservedBy::Relist, out, |rows, tell| rows.clear(rv, tell));
                self.change_orphans(ObservedBy::Relist, out, |orphans, tell| orphans.clear(rv, tell));
                self.standing = Standing::Absent;
                self.complete = Some(rv);
            }
        }
        self.settle_orphans(out);
        self.synced().filter(|_| completes)
    }

    /// An object without a row may be one that could not be read, of which an earlier life may have told.
    fn deleted(&mut self, namespace: Option<&str>, uid: &Arc<str>, rv: u64, out: &mut Vec<Observation>) {
        let by = ObservedBy::Watch;
        if let Some(row) = self.rows.get(namespace, uid) {
            if !self.unreadable.is_empty() && rv >= row.rv {
                self.unreadable.remove(&name_of(row));
            }
            self.change_rows(by, out, |rows, tell| rows.delete(namespace, uid, rv, tell));
        } else if self.is_in_the_dark() {
            let object = ObjectKey { kind: Arc::clone(&self.kind), uid: Arc::clone(uid) };
            out.extend(self.audience.within(namespace).map(|(subscription, _)| Observation {
                subscription: subscription.clone(),
                object: object.clone(),
                seen: Seen::Gone { rv },
                by,
            }));
        }
    }

    /// A watch is complete up to its newest event, if nothing older waits; within a list the order of objects says nothing.
    fn advance(&mut self, rv: u64, reached: Option<u64>) {
        self.highest = self.highest.max(rv);
        if let (false, Some(reached)) = (self.listing, reached) {
            self.complete = self.complete.map(|complete| complete.max(reached));
        }
    }

    fn shown(&mut self, row: &Row) {
        if !self.orphans.is_empty() {
            self.orphans.shown(&row.uid);
        }
        if !self.unreadable.is_empty() {
            self.unreadable.remove(&name_of(row));
        }
    }

    /// Orphans that the source would show by now, if they existed, are gone.
    pub(super) fn settle_orphans(&mut self, out: &mut Vec<Observation>) {
        if let (false, false, Some(complete)) = (self.listing, self.orphans.is_empty(), self.complete) {
            let (unreadable, highest) = (std::mem::take(&mut self.unreadable), self.highest);
            self.change_orphans(ObservedBy::Relist, out, |orphans, tell| {
                orphans.settle(complete, highest, |row| unreadable.contains(&name_of(row)), tell);
            });
            self.unreadable = unreadable;
        }
    }

    fn change_rows<'out>(
        &mut self,
        by: ObservedBy,
        out: &'out mut Vec<Observation>,
        change: impl FnOnce(&mut Rows, &mut dyn FnMut(Change)) + 'out,
    ) {
        let Self { kind, rows, audience, .. } = self;
        change(rows, &mut |change| {
            let (Change::Shown(row) | Change::Gone(row, _) | Change::Unreadable(row)) = &change;
            for (subscription, selector) in audience.of(row) {
                out.push(Observation {
                    subscription: subscription.clone(),
                    object: ObjectKey { kind: Arc::clone(kind), uid: Arc::clone(&row.uid) },
                    seen: match &change {
                        Change::Shown(row) => shown_to(selector, row),
                        Change::Gone(_, rv) => Seen::Gone { rv: *rv },
                        Change::Unreadable(_) => Seen::Unknown,
                    },
                    by,
                });
            }
        });
    }

    fn change_orphans(
        &mut self,
        by: ObservedBy,
        out: &mut Vec<Observation>,
        change: impl FnOnce(&mut Orphans, &mut dyn FnMut(&SubscriptionId, &Row, u64)),
    ) {
        let Self { kind, orphans, .. } = self;
        change(orphans, &mut |subscription, row, rv| {
            let object = ObjectKey { kind: Arc::clone(kind), uid: Arc::clone(&row.uid) };
            out.push(Observation { subscription: subscription.clone(), object, seen: Seen::Gone { rv }, by });
        });
    }

    /// What one subscription sees of every row in its namespace.
    pub(super) fn show_all(
        &self,
        id: &SubscriptionId,
        namespace: Option<&str>,
        selector: &Selector,
        out: &mut Vec<Observation>,
    ) {
        self.rows.each(namespace, |row, readable| {
            let seen = if readable { shown_to(selector, row) } else { Seen::Unknown };
            let object = self.key(row);
            out.push(Observation { subscription: id.clone(), object, seen, by: ObservedBy::Relist });
        });
    }
}

fn shown_to(selector: &Selector, row: &Arc<Row>) -> Seen {
    if selector.matches(row) { Seen::Selected(Arc::clone(row)) } else { Seen::Deselected(Arc::clone(row)) }
}

fn name_of(row: &Row) -> ObjectName {
    ObjectName { namespace: row.namespace.as_deref().map(ToOwned::to_owned), name: row.name.as_ref().to_owned() }
}
