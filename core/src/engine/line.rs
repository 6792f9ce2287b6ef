//! A line of slots that wait for a permit: first come, first served, and whoever stands in the middle can leave.
//!
//! Touches nothing. Invariant: a line holds exactly the slots whose phase names a place in it, so it never grows beyond
//! them, however often objects come and go while nothing is sent.

use std::collections::BTreeMap;

use crate::object::ObjectKey;

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Line {
    places: BTreeMap<u64, ObjectKey>,
    next: u64,
}

impl Line {
    /// Stands at the end; returns the place, which [`Self::leave`] needs.
    pub fn join(&mut self, key: &ObjectKey) -> u64 {
        let place = self.next;
        self.next += 1;
        self.places.insert(place, key.clone());
        place
    }

    pub fn leave(&mut self, place: u64) {
        self.places.remove(&place);
    }

    pub fn pop(&mut self) -> Option<ObjectKey> {
        self.places.pop_first().map(|(_, key)| key)
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Who stands at that place.
    pub fn at(&self, place: u64) -> Option<&ObjectKey> {
        self.places.get(&place)
    }
}
