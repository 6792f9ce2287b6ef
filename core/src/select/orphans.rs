//! Rows that a subscription was shown by another source of the same kind, and that its present source has not shown.
//!
//! A subscription moves between sources when its version of a kind is edited, or when RBAC allows a cluster-wide watch no
//! longer, or again. What it was shown before is neither gone nor deselected by that; it is an orphan until the new
//! source shows the object, or is known to be complete up to a version at which the object was there and shows it not.
//!
//! Touches nothing. Invariants: no object is both an orphan and a row of the same source; an event that settles nothing
//! looks at none of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::Row;
use crate::plan::SubscriptionId;

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Orphans {
    subscriptions: BTreeMap<SubscriptionId, BTreeMap<Arc<str>, Orphan>>,
    /// None was shown in an earlier version.
    earliest: u64,
}

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
struct Orphan {
    row: Arc<Row>,
    /// The version in which it was shown; zero if versions count anew since.
    rv: u64,
}

impl Orphans {
    pub(super) fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    pub(super) fn add(&mut self, id: &SubscriptionId, row: Arc<Row>) {
        self.earliest = if self.is_empty() { row.rv } else { self.earliest.min(row.rv) };
        self.subscriptions.entry(id.clone()).or_default().insert(Arc::clone(&row.uid), Orphan { rv: row.rv, row });
    }

    /// Those of one subscription; they are not orphans of this source any longer.
    pub(super) fn take(&mut self, id: &SubscriptionId) -> impl Iterator<Item = Arc<Row>> {
        self.subscriptions.remove(id).unwrap_or_default().into_values().map(|orphan| orphan.row)
    }

    /// Versions count anew.
    pub(super) fn rewind(&mut self) {
        self.subscriptions.values_mut().flat_map(BTreeMap::values_mut).for_each(|orphan| orphan.rv = 0);
        self.earliest = 0;
    }

    /// The source shows this object.
    pub(super) fn shown(&mut self, uid: &str) {
        self.subscriptions.retain(|_, rows| {
            rows.remove(uid);
            !rows.is_empty()
        });
    }

    /// The object was deleted at `rv`.
    pub(super) fn deleted(&mut self, uid: &str, rv: u64, mut tell: impl FnMut(&SubscriptionId, &Row, u64)) {
        self.subscriptions.retain(|id, rows| {
            if rows.get(uid).is_some_and(|orphan| rv >= orphan.rv)
                && let Some(Orphan { row, .. }) = rows.remove(uid)
            {
                tell(id, &row, rv);
            }
            !rows.is_empty()
        });
    }

    /// The source is complete up to `rv`, but for what is `hidden`: those that it would have shown are gone, at the latest
    /// as of `highest`, for it may have shown ends that are later than that.
    pub(super) fn settle(
        &mut self,
        rv: u64,
        highest: u64,
        hidden: impl Fn(&Row) -> bool,
        mut tell: impl FnMut(&SubscriptionId, &Row, u64),
    ) {
        if self.earliest > rv {
            return;
        }
        let mut earliest = u64::MAX;
        self.retain(|id, orphan| {
            let stays = orphan.rv > rv || hidden(&orphan.row);
            if stays {
                earliest = earliest.min(orphan.rv);
            } else {
                tell(id, &orphan.row, rv.max(highest));
            }
            stays
        });
        self.earliest = earliest;
    }

    /// The kind is not served, as of `rv` or later: all are gone.
    pub(super) fn clear(&mut self, rv: u64, mut tell: impl FnMut(&SubscriptionId, &Row, u64)) {
        self.retain(|id, orphan| {
            tell(id, &orphan.row, rv.max(orphan.rv));
            false
        });
    }

    fn retain(&mut self, mut stays: impl FnMut(&SubscriptionId, &Orphan) -> bool) {
        self.subscriptions.retain(|id, rows| {
            rows.retain(|_, orphan| stays(id, orphan));
            !rows.is_empty()
        });
    }
}
