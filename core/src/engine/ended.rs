//! The last objects that were seen to be gone, or not selected, and need no slot: a source that is behind may still show
//! what they were before.
//!
//! Touches nothing. Invariant: no more than [`MOST`] are remembered, the last ones; who is forgotten and shown again as it
//! was is told as new and, once the source has caught up, as removed.

use std::collections::VecDeque;

use super::{Map, ObjectKey};
use crate::object::GroupKind;

/// So many of a subscription.
const MOST: usize = 1_000;

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Ended {
    versions: Map<ObjectKey, u64>,
    order: VecDeque<ObjectKey>,
}

impl Ended {
    /// That is what it is as of this version.
    pub fn note(&mut self, key: ObjectKey, rv: u64) {
        let known = self.versions.entry(key.clone()).or_insert_with(|| {
            self.order.push_back(key);
            rv
        });
        *known = rv.max(*known);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.versions.remove(&oldest);
        }
    }

    /// The version of its end, if that is later than this one.
    pub fn after(&self, key: &ObjectKey, rv: u64) -> Option<u64> {
        self.versions.get(key).copied().filter(|end| *end > rv)
    }

    /// It is there again.
    pub fn forget(&mut self, key: &ObjectKey) {
        if self.versions.remove(key).is_some() {
            self.order.retain(|other| other != key);
        }
    }

    /// Versions of the kind count anew.
    pub fn forget_kind(&mut self, kind: &GroupKind) {
        self.versions.retain(|key, _| *key.kind != *kind);
        self.order.retain(|key| *key.kind != *kind);
    }

    /// All versions count anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::object::Gvk;

    #[test]
    fn the_last_ones_are_remembered_and_each_once() {
        let kind = Arc::new(Gvk::new("v1", "ConfigMap").group_kind());
        let key = |n: usize| ObjectKey { kind: Arc::clone(&kind), uid: n.to_string().into() };
        let mut ended = Ended::default();
        for n in 0..=MOST {
            ended.note(key(n), 5);
            ended.note(key(n), 7);
        }
        assert_eq!(ended.after(&key(0), 1), None);
        assert_eq!([ended.after(&key(1), 6), ended.after(&key(1), 7)], [Some(7), None]);
        assert_eq!(ended.after(&key(MOST), 6), Some(7));
        assert_eq!(ended.order.len(), MOST);
    }
}
