//! Rows that a subscription was shown by another source of the same kind, and that its present source has not shown.
//!
//! A subscription moves between sources when its version of a kind is edited, or when RBAC allows a cluster-wide watch no
//! longer, or again. What it was shown before is neither gone nor deselected by that; it is an orphan until the new
//! source shows the object, or is known to be complete up to a version at which the object was there and shows it not.
//!
//! Touches nothing. Invariant: no object is both an orphan and a row of the same source.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::Row;
use crate::plan::SubscriptionId;

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Orphans {
    subscriptions: BTreeMap<SubscriptionId, BTreeMap<Arc<str>, Orphan>>,
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
        self.subscriptions.entry(id.clone()).or_default().insert(Arc::clone(&row.uid), Orphan { rv: row.rv, row });
    }

    /// Those of one subscription; they are not orphans of this source any longer.
    pub(super) fn take(&mut self, id: &SubscriptionId) -> impl Iterator<Item = Arc<Row>> {
        self.subscriptions.remove(id).unwrap_or_default().into_values().map(|orphan| orphan.row)
    }

    /// Versions count anew.
    pub(super) fn rewind(&mut self) {
        self.subscriptions.values_mut().flat_map(BTreeMap::values_mut).for_each(|orphan| orphan.rv = 0);
    }

    /// The source shows this object.
    pub(super) fn shown(&mut self, uid: &str) {
        self.subscriptions.retain(|_, rows| {
            rows.remove(uid);
            !rows.is_empty()
        });
    }

    /// Takes away the orphans for which `gone`, given the row and the version in which it was shown, has a version.
    pub(super) fn retain(
        &mut self,
        gone: impl Fn(&Row, u64) -> Option<u64>,
        mut tell: impl FnMut(&SubscriptionId, &Row, u64),
    ) {
        self.subscriptions.retain(|id, rows| {
            rows.retain(|_, Orphan { row, rv }| {
                let Some(rv) = gone(row, *rv) else { return true };
                tell(id, row, rv);
                false
            });
            !rows.is_empty()
        });
    }
}
