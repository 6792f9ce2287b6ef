//! What is known of sources before they begin: from an earlier life of the operator, or from before they were stopped.
//!
//! Touches nothing. Invariants: a version is forgotten only when versions count anew; what was known of objects is
//! forgotten when a complete list has said what became of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use changehook_core::object::{GroupKind, SourceId};

use super::census::uid_hash;

/// An object of an earlier life: its namespace, and the hash of its uid.
type Object = (Option<Arc<str>>, u64);

/// See the module's head.
#[derive(Debug, Default)]
pub struct Past {
    /// The highest version that each source has shown.
    versions: HashMap<SourceId, u64>,
    objects: HashMap<GroupKind, Vec<Object>>,
}

impl Past {
    /// The source has shown this version.
    pub fn saw(&mut self, source: SourceId, rv: u64) {
        self.versions.insert(source, rv);
    }

    /// An object was there.
    pub fn knew(&mut self, kind: &GroupKind, namespace: Option<&Arc<str>>, uid: &str) {
        let object = (namespace.map(Arc::clone), uid_hash(uid));
        match self.objects.get_mut(kind) {
            Some(objects) => objects.push(object),
            None => drop(self.objects.insert(kind.clone(), vec![object])),
        }
    }
}

/// The past, shared by all sources.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Past>);

impl Memory {
    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn recall(&self, past: Past) {
        *self.past() = past;
    }

    /// The highest version that the source has shown; zero if it never showed any.
    pub(super) fn version(&self, source: &SourceId) -> u64 {
        self.past().versions.get(source).copied().unwrap_or(0)
    }

    pub(super) fn set_version(&self, source: &SourceId, rv: u64) {
        self.past().versions.insert(source.clone(), rv);
    }

    /// The hashes of the objects that the source is expected to show.
    pub(super) fn objects(&self, source: &SourceId) -> Vec<u64> {
        let past = self.past();
        let objects = past.objects.get(&source.gvk.group_kind()).into_iter().flatten();
        objects.filter(|object| is_of(source, object)).map(|(_, uid)| *uid).collect()
    }

    /// A complete list of the source says what became of them.
    pub(super) fn forget_objects(&self, source: &SourceId) {
        let mut past = self.past();
        let kind = source.gvk.group_kind();
        let Some(objects) = past.objects.get_mut(&kind) else { return };
        objects.retain(|object| !is_of(source, object));
        if objects.is_empty() {
            past.objects.remove(&kind);
        }
    }
}

fn is_of(source: &SourceId, (namespace, _): &Object) -> bool {
    source.namespace.is_none() || source.namespace.as_deref() == namespace.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use changehook_core::object::Gvk;

    #[test]
    fn a_source_is_expected_to_show_the_objects_of_its_kind_and_namespace_until_it_was_complete() {
        let source = |namespace: Option<&str>| SourceId {
            gvk: Gvk::new("v1", "ConfigMap"),
            namespace: namespace.map(ToOwned::to_owned),
        };
        let (kind, a, b) = (source(None).gvk.group_kind(), Arc::from("a"), Arc::from("b"));
        let other = Gvk::new("apps/v1", "Deployment").group_kind();
        let mut past = Past::default();
        past.knew(&kind, Some(&a), "1");
        past.knew(&kind, Some(&b), "2");
        past.knew(&other, Some(&a), "3");
        past.knew(&other, None, "4");
        let memory = Memory::default();
        memory.recall(past);
        assert_eq!(memory.objects(&source(None)), [uid_hash("1"), uid_hash("2")]);
        assert_eq!(memory.objects(&source(Some("a"))), [uid_hash("1")]);
        memory.forget_objects(&source(Some("a")));
        assert_eq!(memory.objects(&source(None)), [uid_hash("2")]);
        memory.forget_objects(&source(None));
        assert!(memory.objects(&source(None)).is_empty());
        let deployments = SourceId { gvk: Gvk::new("apps/v1beta1", "Deployment"), namespace: None };
        assert_eq!(memory.objects(&deployments), [uid_hash("3"), uid_hash("4")]);
    }
}
