//! What a source has reported to exist, as far as it takes to notice that a list or a watch is missing something.
//!
//! Pure. Invariants: after a complete list it holds what the reports add up to, less what cannot be read; nothing in it
//! is ever told, it only says when to look again. Objects are known by 64-bit hashes, so that one costs some 30 bytes:
//! should two of a million share a hash (once in 30 million), no more happens than a list that was not needed.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use changehook_core::object::{ObjectName, Row, Unreadable};

/// So many objects may vanish at once without anybody wondering.
const FEW: usize = 20;

/// One object's hash.
pub(super) fn uid_hash(uid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    hasher.finish()
}

fn name_hash(namespace: Option<&str>, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (namespace.unwrap_or_default(), name).hash(&mut hasher);
    hasher.finish()
}

#[derive(Clone, Copy, Debug)]
struct Known {
    rv: u64,
    /// The number of the last list that showed it, or that was complete when it was shown.
    list: u32,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Census {
    known: HashMap<u64, Known>,
    list: u32,
    /// How many were known when the list under way began.
    before: usize,
    /// Names of what could not be read since the last list began.
    unreadable: HashSet<u64>,
}

/// One object of a list that is only compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Glimpse {
    uid: u64,
    name: u64,
    rv: u64,
}

impl Glimpse {
    pub(super) fn new(uid: &str, name: &ObjectName, rv: u64) -> Self {
        Self { uid: uid_hash(uid), name: name_hash(name.namespace.as_deref(), &name.name), rv }
    }
}

/// A complete list that is only compared.
#[derive(Debug)]
pub(super) struct Listing {
    rv: u64,
    /// In order of their hashes.
    objects: Vec<Glimpse>,
}

impl Listing {
    pub(super) fn new(rv: u64, mut objects: Vec<Glimpse>) -> Self {
        objects.sort_unstable_by_key(|object| object.uid);
        Self { rv, objects }
    }

    fn shows(&self, uid: u64) -> bool {
        self.objects.binary_search_by_key(&uid, |object| object.uid).is_ok()
    }
}

/// How a list and the watch differ in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// The list shows a newer version.
    Older { rv: u64 },
    /// Only the list shows it.
    Unseen,
    /// The list does not show it.
    Gone,
}

/// What one comparison found. The watch may only not have got there yet, so it takes a second look.
#[derive(Debug)]
pub(super) struct Suspicion {
    rv: u64,
    differences: HashMap<u64, Difference>,
}

impl Suspicion {
    /// The version that the watch has to pass before the difference means anything.
    pub(super) fn rv(&self) -> u64 {
        self.rv
    }

    pub(super) fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Census {
    /// Objects that an earlier life knew of: a first list is expected to show them.
    pub(super) fn expect(&mut self, uids: impl IntoIterator<Item = u64>) {
        let list = self.list;
        self.known.extend(uids.into_iter().map(|uid| (uid, Known { rv: 0, list })));
    }

    pub(super) fn list_started(&mut self) {
        self.list = self.list.wrapping_add(1);
        self.before = self.known.len();
        self.unreadable.clear();
    }

    pub(super) fn shown(&mut self, row: &Row) {
        let list = self.list;
        let known = self.known.entry(uid_hash(&row.uid)).or_insert(Known { rv: 0, list });
        *known = Known { rv: known.rv.max(row.rv), list };
        if !self.unreadable.is_empty() {
            self.unreadable.remove(&name_hash(row.namespace.as_deref(), &row.name));
        }
    }

    pub(super) fn deleted(&mut self, uid: &str, rv: u64) {
        let uid = uid_hash(uid);
        if self.known.get(&uid).is_some_and(|known| known.rv <= rv) {
            self.known.remove(&uid);
        }
    }

    pub(super) fn unreadable(&mut self, name: &ObjectName) {
        self.unreadable.insert(name_hash(name.namespace.as_deref(), &name.name));
    }

    /// How many objects the list, complete as of `rv`, takes away without a word, if these are more than half of what was
    /// known, and not just a few.
    pub(super) fn vanished(&self, rv: u64, unreadable: &Unreadable) -> Option<usize> {
        // such a list takes nothing away
        let Unreadable::Named(names) = unreadable else { return None };
        let missing = self.known.values().filter(|known| self.is_swept(known, rv)).count();
        let missing = missing.saturating_sub(names.len());
        (missing > FEW && missing * 2 > self.before).then_some(missing)
    }

    pub(super) fn list_ended(&mut self, rv: u64, unreadable: &Unreadable) {
        let Unreadable::Named(names) = unreadable else { return };
        let list = self.list;
        self.known.retain(|_, known| known.list == list || known.rv > rv);
        for name in names {
            self.unreadable(name);
        }
    }

    fn is_swept(&self, known: &Known, rv: u64) -> bool {
        known.list != self.list && known.rv <= rv
    }

    /// The kind is not served, so nothing of it exists.
    pub(super) fn clear(&mut self) {
        *self = Self { list: self.list, ..Self::default() };
    }

    /// Versions count anew.
    pub(super) fn rewind(&mut self) {
        self.known.values_mut().for_each(|known| known.rv = 0);
    }

    /// Where a list differs from what is known.
    pub(super) fn suspect(&self, listing: &Listing) -> Suspicion {
        let mut differences = HashMap::new();
        for object in self.readable(listing) {
            match self.known.get(&object.uid) {
                None => drop(differences.insert(object.uid, Difference::Unseen)),
                Some(known) if known.rv < object.rv => {
                    differences.insert(object.uid, Difference::Older { rv: object.rv });
                }
                Some(_) => {}
            }
        }
        let gone = self.known.iter().filter(|(uid, known)| known.rv <= listing.rv && !listing.shows(**uid));
        differences.extend(gone.map(|(uid, _)| (*uid, Difference::Gone)));
        Suspicion { rv: listing.rv, differences }
    }

    /// In how many objects the difference has lasted, now that the watch has passed the first list's version and there is
    /// a second list.
    pub(super) fn lasting(&self, suspicion: &Suspicion, listing: &Listing) -> usize {
        let unread: HashSet<u64> =
            listing.objects.iter().filter(|o| self.unreadable.contains(&o.name)).map(|o| o.uid).collect();
        let lasts = |(uid, difference): &(&u64, &Difference)| {
            let known = self.known.get(*uid);
            match difference {
                Difference::Older { rv } => known.is_some_and(|known| known.rv < *rv),
                Difference::Unseen => known.is_none() && listing.shows(**uid),
                Difference::Gone => known.is_some_and(|known| known.rv <= suspicion.rv) && !listing.shows(**uid),
            }
        };
        suspicion.differences.iter().filter(|(uid, _)| !unread.contains(uid)).filter(lasts).count()
    }

    /// What the watch could not read is shown by a list of names all the same.
    fn readable<'a>(&'a self, listing: &'a Listing) -> impl Iterator<Item = &'a Glimpse> {
        listing.objects.iter().filter(|object| !self.unreadable.contains(&object.name))
    }
}

#[cfg(test)]
mod tests;
