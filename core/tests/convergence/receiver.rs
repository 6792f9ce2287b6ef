//! What an endpoint believes, by the recipe of the README: what is not higher than seen is ignored.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use changehook_core::engine::Attempt;
use changehook_core::event::{Subject, event_id};
use changehook_core::object::ObjectKey;
use changehook_core::plan::Change;

pub type Name = (String, Arc<str>);

#[derive(Default)]
pub struct Receiver {
    /// uid → the highest sequence.
    pub highest: HashMap<Arc<str>, u64>,
    /// uid → content.
    pub holds: BTreeMap<Arc<str>, u8>,
    /// The same events, kept by a receiver that knows objects by their names alone.
    pub names: BTreeMap<Name, (Arc<str>, u8)>,
    /// uid → its name.
    pub called: HashMap<Arc<str>, Name>,
    /// Event id → what it said.
    pub said: HashMap<String, (Change, Option<u8>)>,
}

/// The object an attempt is about, its content if it tells one, and its name.
pub fn about(attempt: &Attempt) -> (ObjectKey, Option<u8>, Name) {
    let (gvk, uid, content, name) = match &attempt.event.subject {
        Subject::Present(row) => (&row.gvk, &row.uid, Some(row.digest.0[0]), &row.name),
        Subject::Absent(identity) => (&identity.gvk, &identity.uid, None, &identity.name),
    };
    let key = ObjectKey { kind: Arc::new(gvk.group_kind()), uid: uid.clone() };
    (key, content, (gvk.kind.clone(), name.clone()))
}

impl Receiver {
    pub fn receive(&mut self, attempt: &Attempt, contents_are_told: bool) {
        let event = &attempt.event;
        let (key, content, name) = about(attempt);
        assert_eq!(content.is_none(), event.change == Change::Removed);
        let id = event_id(&event.subscription.uid, &key.uid, event.sequence);
        let said = (event.change, content.filter(|_| contents_are_told));
        let before = self.said.insert(id.clone(), said);
        assert!(before.is_none_or(|before| before == said), "{id} said {before:?} and now {said:?}");
        let highest = self.highest.entry(key.uid.clone()).or_insert(0);
        if event.sequence <= *highest {
            return;
        }
        *highest = event.sequence;
        self.called.insert(key.uid.clone(), name.clone());
        if let Some(content) = content {
            self.holds.insert(key.uid.clone(), content);
            self.names.insert(name, (key.uid, content));
        } else {
            self.holds.remove(&key.uid);
            self.names.remove(&name);
        }
    }
}
