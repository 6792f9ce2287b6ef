//! Lines and items as what they mean.
//!
//! Pure. Invariants: an object that cannot be read costs only itself; nothing of an object's content but its namespace
//! and name gets into an error.

use std::borrow::Cow;
use std::sync::Arc;

use changehook_core::event::{self, RowError};
use changehook_core::object::{Gvk, ObjectName, Row};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::request::Status;

/// The annotation of the bookmark that ends a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What is said of a garbled line.
pub(super) const GARBLED: &str = "failed to read a line of the watch";

/// How a source's objects are to be read.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) gvk: Arc<Gvk>,
    /// Only the metadata is kept, whatever the API server sends.
    pub(super) metadata_only: bool,
}

/// What one item of a list is.
pub(super) enum Item {
    Row(Arc<Row>),
    /// It could not be read, for a reason that shows nothing of it; its name and version, if at least those could.
    Unreadable {
        name: Option<ObjectName>,
        rv: Option<u64>,
        why: String,
    },
    /// Its resourceVersion is no decimal number, so no version of this kind can be compared.
    NotDecimal,
}

/// What one line of a watch is.
pub(super) enum Line {
    Object(Item),
    Deleted {
        namespace: Option<Arc<str>>,
        uid: Arc<str>,
        rv: u64,
    },
    Bookmark {
        rv: u64,
        ends_list: bool,
    },
    Error(Status),
    /// Not even the kind of line could be read, or it is one that does not exist.
    Garbled,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// An object made of its metadata alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Option<&'a RawValue>,
}

/// An object of which nothing is believed to have the right type.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    uid: Option<&'a RawValue>,
    #[serde(borrow)]
    namespace: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_version: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

/// Digits only: a sign, which the number's own parser would take, is no resourceVersion.
pub(super) fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

impl Metadata<'_> {
    fn name(&self) -> Option<ObjectName> {
        Some(ObjectName { namespace: string(self.namespace), name: string(self.name)? })
    }

    fn rv(&self) -> Option<u64> {
        decimal(&string(self.resource_version)?)
    }
}

fn metadata(object: &str) -> Metadata<'_> {
    let probe: Option<Probe<'_>> = serde_json::from_str(object).ok();
    probe.and_then(|probe| serde_json::from_str(probe.metadata?.get()).ok()).unwrap_or_default()
}

/// Which object this is, and in which version.
pub(super) fn identity(object: &str) -> Option<(String, ObjectName, u64)> {
    let metadata = metadata(object);
    let namespace = string(metadata.namespace).filter(|namespace| !namespace.is_empty());
    Some((string(metadata.uid)?, ObjectName { namespace, name: string(metadata.name)? }, metadata.rv()?))
}

impl Reader {
    /// An object as it is listed or watched.
    pub(super) fn item(&self, object: &str) -> Item {
        let own = if self.metadata_only { Cow::Owned(self.without_content(object)) } else { Cow::Borrowed(object) };
        match event::row(&self.gvk, &own) {
            Ok(row) => Item::Row(Arc::new(row)),
            Err(error) => {
                let metadata = metadata(object);
                // one object without any version is that object's trouble
                let versioned = string(metadata.resource_version).is_some_and(|version| !version.is_empty());
                match error {
                    RowError::ResourceVersion { .. } if versioned => Item::NotDecimal,
                    error => Item::Unreadable { name: metadata.name(), rv: metadata.rv(), why: error.to_string() },
                }
            }
        }
    }

    /// The object as its metadata alone, under its own name and not as the PartialObjectMetadata it came as.
    fn without_content(&self, object: &str) -> String {
        let metadata = serde_json::from_str(object).ok().and_then(|probe: Probe<'_>| probe.metadata);
        let own = Whole { api_version: &self.gvk.api_version(), kind: &self.gvk.kind, metadata };
        // writing to memory what was read as JSON cannot fail; an empty text would be told as unreadable
        serde_json::to_string(&own).unwrap_or_default()
    }

    /// A line of a watch.
    pub(super) fn line(&self, line: &[u8]) -> Line {
        let Ok(Event { kind, object }) = serde_json::from_slice(line) else { return Line::Garbled };
        match kind {
            "ADDED" | "MODIFIED" => Line::Object(self.item(object.get())),
            "DELETED" => {
                // a deletion needs no more than to know whose it is
                let metadata = metadata(object.get());
                match (string(metadata.uid), metadata.rv()) {
                    (Some(uid), Some(rv)) => Line::Deleted {
                        namespace: string(metadata.namespace).filter(|n| !n.is_empty()).map(Into::into),
                        uid: uid.into(),
                        rv,
                    },
                    (uid, rv) => {
                        let missing = if uid.is_none() { "uid" } else { "resourceVersion" };
                        let why = format!("failed to read a deletion: it has no {missing}");
                        Line::Object(Item::Unreadable { name: metadata.name(), rv, why })
                    }
                }
            }
            "BOOKMARK" => {
                let metadata = metadata(object.get());
                let annotations: Option<std::collections::BTreeMap<String, String>> =
                    metadata.annotations.and_then(|raw| serde_json::from_str(raw.get()).ok());
                let ends_list =
                    annotations.is_some_and(|all| all.get(INITIAL_EVENTS_END).is_some_and(|value| value == "true"));
                match metadata.rv() {
                    Some(rv) => Line::Bookmark { rv, ends_list },
                    None if ends_list => Line::Object(Item::NotDecimal),
                    None => Line::Garbled,
                }
            }
            "ERROR" => Line::Error(serde_json::from_str(object.get()).unwrap_or_default()),
            _ => Line::Garbled,
        }
    }
}

/// The row that a line of a watch shows, if it shows one: for the benches, which see only what this crate shows.
pub fn row_in_line(gvk: &Arc<Gvk>, line: &[u8]) -> Option<Arc<Row>> {
    match (Reader { gvk: Arc::clone(gvk), metadata_only: false }).line(line) {
        Line::Object(Item::Row(row)) => Some(row),
        Line::Object(Item::Unreadable { .. } | Item::NotDecimal)
        | Line::Deleted { .. }
        | Line::Bookmark { .. }
        | Line::Error(_)
        | Line::Garbled => None,
    }
}

/// One page of a list.
pub(super) struct Page<'a> {
    pub(super) rv: String,
    pub(super) next: Option<String>,
    pub(super) items: Vec<&'a RawValue>,
}

/// A page's items, not read yet.
pub(super) fn page(text: &str) -> Option<Page<'_>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ListMeta {
        #[serde(default)]
        resource_version: String,
        #[serde(rename = "continue")]
        next: Option<String>,
    }
    #[derive(Deserialize)]
    struct List<'a> {
        metadata: ListMeta,
        #[serde(borrow)]
        items: Option<Vec<&'a RawValue>>,
    }
    let list: List<'_> = serde_json::from_str(text).ok()?;
    Some(Page {
        rv: list.metadata.resource_version,
        next: list.metadata.next.filter(|token| !token.is_empty()),
        items: list.items.unwrap_or_default(),
    })
}
