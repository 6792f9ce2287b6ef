//! The rows of one source.
//!
//! Touches nothing. Invariants: a row is only replaced by a newer version of it; within a namespace a name belongs to one
//! row, because a name that shows another uid proves that its former owner is gone.
//!
//! Rows are nested by namespace, so that a namespaced subscription costs its namespace only, and each namespace has an
//! index of names: it shares its strings with the rows, and it makes the namesake check cheap enough for every upsert.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::{ObjectName, Row};

/// What happened to a row.
#[derive(Debug)]
pub(super) enum Change {
    /// It is new, newer, or readable again.
    Shown(Arc<Row>),
    /// The object is gone as of `rv`; this was its last row.
    Gone(Arc<Row>, u64),
    /// The object could not be read; this was its last row.
    Unreadable(Arc<Row>),
}

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Rows {
    /// `""` holds cluster-scoped objects.
    namespaces: BTreeMap<Arc<str>, Namespace>,
    count: usize,
    /// The number of the list under way, or of the last one; a row that carries it was shown since that list began.
    list: u32,
}

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
struct Namespace {
    by_uid: BTreeMap<Arc<str>, Entry>,
    uids: BTreeMap<Arc<str>, Arc<str>>,
}

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
struct Entry {
    row: Arc<Row>,
    list: u32,
    readable: bool,
    /// Versions count anew since it was shown, so that its own says nothing.
    void: bool,
}

impl Entry {
    /// Whether what happened at `rv` is older than the row.
    fn is_newer_than(&self, rv: u64) -> bool {
        !self.void && rv < self.row.rv
    }
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// From here on every row has to be shown again, or [`Rows::sweep`] takes it away.
    pub(super) fn start_list(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// The object exists and looks like this. Older and unchanged versions tell nothing, but count as shown.
    pub(super) fn upsert(&mut self, row: Arc<Row>, tell: &mut dyn FnMut(Change)) {
        let namespace = row.namespace.as_ref().map_or_else(|| Arc::from(""), Arc::clone);
        let Namespace { by_uid, uids } = self.namespaces.entry(namespace).or_default();
        if let Some(entry) = by_uid.get_mut(&row.uid) {
            entry.list = self.list;
            if entry.is_newer_than(row.rv) || (row.rv == entry.row.rv && entry.readable && !entry.void) {
                return;
            }
        }
        if let Some(namesake) = uids.get(&row.name).filter(|uid| **uid != row.uid).and_then(|uid| by_uid.get(uid)) {
            if namesake.is_newer_than(row.rv) {
                return;
            }
            let namesake = Arc::clone(&namesake.row);
            by_uid.remove(&namesake.uid);
            self.count -= 1;
            tell(Change::Gone(namesake, row.rv));
        }
        uids.insert(Arc::clone(&row.name), Arc::clone(&row.uid));
        let entry = Entry { row: Arc::clone(&row), list: self.list, readable: true, void: false };
        match by_uid.insert(Arc::clone(&row.uid), entry) {
            None => self.count += 1,
            // objects are never renamed, but an aggregated API may say so
            Some(old) if old.row.name != row.name => {
                uids.remove(&old.row.name);
            }
            Some(_) => {}
        }
        tell(Change::Shown(row));
    }

    /// The object was deleted at version `rv`; an older deletion than the row is a stale one.
    pub(super) fn delete(&mut self, namespace: Option<&str>, uid: &str, rv: u64, tell: &mut dyn FnMut(Change)) {
        let key = namespace.unwrap_or("");
        let Some(rows) = self.namespaces.get_mut(key) else { return };
        if rows.by_uid.get(uid).is_none_or(|entry| entry.is_newer_than(rv)) {
            return;
        }
        if let Some(entry) = rows.by_uid.remove(uid) {
            rows.uids.remove(&entry.row.name);
            self.count -= 1;
            tell(Change::Gone(entry.row, rv));
        }
        if rows.by_uid.is_empty() {
            self.namespaces.remove(key);
        }
    }

    /// The object was shown, but could not be read.
    pub(super) fn unreadable(&mut self, name: &ObjectName, tell: &mut dyn FnMut(Change)) {
        let list = self.list;
        let Some(entry) = self.entry_named(name) else { return };
        entry.list = list;
        if entry.readable {
            entry.readable = false;
            tell(Change::Unreadable(Arc::clone(&entry.row)));
        }
    }

    /// The list is complete: what it did not show, and is no newer than it, is gone. A row that is newer is from after the
    /// list, and stays.
    pub(super) fn sweep(&mut self, rv: u64, unreadable: &[ObjectName], tell: &mut dyn FnMut(Change)) {
        let list = self.list;
        for name in unreadable {
            // what the same list also showed readably, it showed
            if self.entry_named(name).is_some_and(|entry| entry.list != list) {
                self.unreadable(name, tell);
            }
        }
        self.retain(|entry| (entry.list != list && !entry.is_newer_than(rv)).then_some(rv), tell);
    }

    /// Versions count anew: whatever is shown from here on is newer, and what is not shown is gone.
    pub(super) fn rewind(&mut self) {
        let entries = self.namespaces.values_mut().flat_map(|namespace| namespace.by_uid.values_mut());
        entries.for_each(|entry| entry.void = true);
    }

    /// Every object is gone.
    pub(super) fn clear(&mut self, rv: u64, tell: &mut dyn FnMut(Change)) {
        self.retain(|_| Some(rv), tell);
    }

    /// The rows of one namespace, or of all, and whether each could be read when it was last shown.
    pub(super) fn each(&self, namespace: Option<&str>, mut visit: impl FnMut(&Arc<Row>, bool)) {
        let visit_all = |rows: &Namespace| rows.by_uid.values().for_each(|entry| visit(&entry.row, entry.readable));
        match namespace {
            Some(namespace) => self.namespaces.get(namespace).into_iter().for_each(visit_all),
            None => self.namespaces.values().for_each(visit_all),
        }
    }

    /// The row of an object.
    pub(super) fn get(&self, namespace: Option<&str>, uid: &str) -> Option<&Row> {
        self.namespaces.get(namespace.unwrap_or(""))?.by_uid.get(uid).map(|entry| &*entry.row)
    }

    fn entry_named(&mut self, name: &ObjectName) -> Option<&mut Entry> {
        let rows = self.namespaces.get_mut(name.namespace.as_deref().unwrap_or(""))?;
        let uid = rows.uids.get(name.name.as_str())?;
        rows.by_uid.get_mut(uid)
    }

    /// Takes away the rows for which `gone` has a version.
    fn retain(&mut self, gone: impl Fn(&Entry) -> Option<u64>, tell: &mut dyn FnMut(Change)) {
        let count = &mut self.count;
        self.namespaces.retain(|_, Namespace { by_uid, uids }| {
            by_uid.retain(|_, entry| {
                let Some(rv) = gone(entry) else { return true };
                uids.remove(&entry.row.name);
                *count -= 1;
                tell(Change::Gone(Arc::clone(&entry.row), rv));
                false
            });
            !by_uid.is_empty()
        });
    }
}
