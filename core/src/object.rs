//! The nouns that every room shares: kinds, watch sources, rows, and what a source reports.
//!
//! Touches nothing. Invariant: a [`Row`] is immutable; a newer version of the object is a new row.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A group, version and kind; `group` is empty for the core group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group, `""` for core.
    pub group: String,
    /// API version within the group.
    pub version: String,
    /// Kind, in CamelCase.
    pub kind: String,
}

impl Gvk {
    /// From the two fields every manifest has.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// `group/version`, or `version` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// What one slot is keyed by, besides the object: two versions of a kind are the same objects.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// A kind regardless of its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// API group, `""` for core.
    pub group: String,
    /// Kind, in CamelCase.
    pub kind: String,
}

/// One shared watch: a kind, everywhere or in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId {
    /// What is watched.
    pub gvk: Gvk,
    /// `None` watches the whole cluster, which is the rule; a namespace where RBAC denies that.
    pub namespace: Option<String>,
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} in {namespace}", self.gvk),
            None => self.gvk.fmt(f),
        }
    }
}

/// A 128-bit digest of an object's normalised content: no managedFields, resourceVersion or last-applied annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 16]);

/// A subscription's own 64-bit fingerprint of what it watches for in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

/// The object's body at rest.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Canonical JSON of the object (managedFields and last-applied stripped, resourceVersion kept), lz4 with its size.
    Whole(Box<[u8]>),
    /// The body could not be kept; events go out without `object`, with `truncated`. The reason is for people.
    Missing(&'static str),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Missing(why) => write!(f, "Missing({why})"),
        }
    }
}

/// One watched object as the watch last showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its kind, shared by all rows of a source.
    pub gvk: Arc<Gvk>,
    /// metadata.uid
    pub uid: Arc<str>,
    /// metadata.namespace, `None` for cluster-scoped objects.
    pub namespace: Option<Arc<str>>,
    /// metadata.name
    pub name: Arc<str>,
    /// metadata.labels
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// metadata.resourceVersion, as the number the API guarantees it to be.
    pub rv: u64,
    /// Digest of the normalised content.
    pub digest: Digest,
    /// The version that `server.version_detail` would show; kept apart because `previous_version` outlives the body.
    pub version: Option<Arc<str>>,
    /// The body.
    pub body: Body,
}

/// What a watch source reports, in order. A list is `ListStarted`, one `Upsert` an object, `ListEnded`; a list that
/// breaks off is started again. Between lists come single `Upsert`s and `Deleted`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// A complete, consistent list begins.
    ListStarted,
    /// The object exists and looks like this.
    Upsert(Arc<Row>),
    /// The watch reported the object's deletion at version `rv`.
    Deleted {
        /// metadata.namespace
        namespace: Option<Arc<str>>,
        /// metadata.uid
        uid: Arc<str>,
        /// The version of the deletion.
        rv: u64,
    },
    /// The list is complete as of `rv`: what it did not show is gone, except what is named in `unreadable`.
    ListEnded {
        /// The list's resourceVersion.
        rv: u64,
        /// Objects that were listed but could not be read: neither present nor absent.
        unreadable: Unreadable,
    },
    /// An object was shown that could not be read; what was known of it is no longer known to be true.
    Unreadable(ObjectName),
    /// Discovery proved that no version of the kind is served any more: every object of it is gone.
    KindAbsent,
}

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// metadata.namespace
    pub namespace: Option<String>,
    /// metadata.name
    pub name: String,
}

/// Which listed objects could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// These, by name; empty when all were read.
    Named(Vec<ObjectName>),
    /// At least one that did not even show its name, so nothing is proven absent by this list.
    Unknown,
}

/// What the engine keys a slot by, within one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKey {
    /// The kind, whatever version is watched.
    pub kind: Arc<GroupKind>,
    /// metadata.uid
    pub uid: Arc<str>,
}

impl Hash for ObjectKey {
    /// By uid alone, which tells objects apart (but for some that are served as two kinds, such as Events).
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uid.hash(state);
    }
}

impl Ord for ObjectKey {
    /// By kind, then uid. Objects of one source share their kind, and millions of them are sorted when a ledger is loaded.
    fn cmp(&self, other: &Self) -> Ordering {
        let kinds = if Arc::ptr_eq(&self.kind, &other.kind) { Ordering::Equal } else { self.kind.cmp(&other.kind) };
        kinds.then_with(|| self.uid.cmp(&other.uid))
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How a change was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObservedBy {
    /// By a watch event.
    Watch,
    /// By comparing a complete list with what was known.
    Relist,
}

impl ObservedBy {
    /// The body's `observed_by`.
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Relist => "relist",
        }
    }
}
