//! Rows that are older than the end of their object, as that was seen: either the source that shows them is behind, or the
//! end was an error, such as a list that left the object out. A list that is no older than the end decides.
//!
//! Touches nothing. Invariant: a row stands here only as long as the source has shown nothing else of its object; so there
//! are never more than rows that the source has.

use super::{Map, ObjectKey};
use crate::object::{GroupKind, ObservedBy};
use crate::select::Seen;

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Doubts {
    rows: Map<ObjectKey, Doubted>,
}

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Doubted {
    pub seen: Seen,
    pub by: ObservedBy,
    /// As of which version the object had been seen to be gone.
    pub end: u64,
}

impl Doubts {
    pub fn add(&mut self, key: ObjectKey, doubted: Doubted) {
        self.rows.insert(key, doubted);
    }

    /// Something else is shown of the object.
    pub fn drop(&mut self, key: &ObjectKey) {
        if !self.rows.is_empty() {
            self.rows.remove(key);
        }
    }

    /// The source shows everything again, or versions count anew.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Those of a kind whose objects are there after all: a list of this version showed them.
    pub fn settled(&mut self, kind: &GroupKind, rv: u64) -> Vec<(ObjectKey, Doubted)> {
        self.rows.extract_if(|key, doubted| *key.kind == *kind && doubted.end <= rv).collect()
    }
}
