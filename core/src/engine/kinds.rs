//! A value for each kind that a plan names: a few, looked up with every row.
//!
//! Touches nothing. Invariants: in order of the kinds, each once; a kind is known by its address where it can be, since
//! whoever shows rows of it shares one with all of them.

use std::sync::Arc;

use crate::object::GroupKind;

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Kinds<V>(Vec<(Arc<GroupKind>, V)>);

impl<V> Default for Kinds<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Kinds<V> {
    pub fn get(&self, kind: &GroupKind) -> Option<&V> {
        self.find(kind).map(|at| &self.0[at].1)
    }

    pub fn get_mut(&mut self, kind: &GroupKind) -> Option<&mut V> {
        self.find(kind).map(|at| &mut self.0[at].1)
    }

    /// With the shared form of the kind.
    pub fn get_key_value(&self, kind: &GroupKind) -> Option<(&Arc<GroupKind>, &V)> {
        self.find(kind).map(|at| (&self.0[at].0, &self.0[at].1))
    }

    pub fn insert(&mut self, kind: Arc<GroupKind>, value: V) {
        match self.0.binary_search_by(|(known, _)| known.cmp(&kind)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (kind, value)),
        }
    }

    pub fn remove(&mut self, kind: &GroupKind) {
        self.0.retain(|(known, _)| **known != *kind);
    }

    /// Whether the kind is here; if so, it is known by this address from here on.
    pub fn meet(&mut self, kind: &Arc<GroupKind>) -> bool {
        let Some(at) = self.find(kind) else { return false };
        if !Arc::ptr_eq(&self.0[at].0, kind) {
            self.0[at].0 = Arc::clone(kind);
        }
        true
    }

    pub fn keys(&self) -> impl Iterator<Item = &Arc<GroupKind>> {
        self.0.iter().map(|(kind, _)| kind)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<GroupKind>, &mut V)> {
        self.0.iter_mut().map(|(kind, value)| (&*kind, value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, kind: &GroupKind) -> Option<usize> {
        let by_address = self.0.iter().position(|(known, _)| std::ptr::eq(Arc::as_ptr(known), kind));
        by_address.or_else(|| self.0.iter().position(|(known, _)| **known == *kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Arc<GroupKind> {
        Arc::new(GroupKind { group: "apps".to_owned(), kind: name.to_owned() })
    }

    #[test]
    fn a_kind_is_found_whatever_its_address_and_stands_in_order_once() {
        let mut kinds = Kinds::default();
        for (name, value) in [("b", 1), ("a", 2), ("c", 3), ("b", 4)] {
            kinds.insert(kind(name), value);
        }
        assert_eq!(kinds.keys().map(|kind| &*kind.kind).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(kinds.values().copied().collect::<Vec<_>>(), [2, 4, 3]);
        let other = kind("b");
        assert!(!Arc::ptr_eq(kinds.get_key_value(&other).unwrap().0, &other));
        assert!(kinds.meet(&other) && Arc::ptr_eq(kinds.get_key_value(&other).unwrap().0, &other));
        assert!(!kinds.meet(&kind("d")));
        kinds.remove(&kind("b"));
        assert_eq!((kinds.len(), kinds.get(&other)), (2, None));
    }
}
