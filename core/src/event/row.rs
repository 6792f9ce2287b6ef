//! From the text of one object, as a list or a watch shows it, to a row.
//!
//! Touches nothing. Invariant: whatever an object holds, it stops nobody else: either it becomes a row (without a body
//! if need be), or the error says which object it is, as far as that could be read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::text::{self, Members};
use super::{content, facts};
use crate::object::{Gvk, ObjectName, Row};

/// Why an object did not become a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The text is not one JSON object.
    #[error("failed to read an object: not JSON ({what})")]
    NotJson {
        /// Which object, if that much could be read.
        name: Option<ObjectName>,
        /// In what way; nothing of the text itself.
        what: &'static str,
    },
    /// What a slot is keyed by, or an event has to name, is missing.
    #[error("failed to read an object: it has no {missing}")]
    NoIdentity {
        /// Which object, if that much is known.
        name: Option<ObjectName>,
        /// The first field that is missing.
        missing: &'static str,
    },
    /// The version is no decimal number, as some aggregated API servers do: versions of this kind cannot be compared,
    /// so the kind as a whole is not supported.
    #[error("failed to read an object: its resourceVersion is not a decimal number")]
    ResourceVersion {
        /// Which object.
        name: Option<ObjectName>,
    },
}

impl RowError {
    /// Which object it is about, if that could be read.
    pub fn name(&self) -> Option<&ObjectName> {
        match self {
            Self::NotJson { name, .. } | Self::NoIdentity { name, .. } | Self::ResourceVersion { name } => {
                name.as_ref()
            }
        }
    }
}

/// The row of the object `raw`, watched as `gvk`.
pub fn row(gvk: &Arc<Gvk>, raw: &str) -> Result<Row, RowError> {
    let (object, fault) = Members::read(raw);
    let metadata = object.object("metadata").unwrap_or_default();
    let namespace = metadata.string("namespace");
    let name = metadata.string("name");
    let known = || {
        let namespace = namespace.as_deref().map(ToOwned::to_owned);
        name.as_deref().map(|name| ObjectName { namespace, name: name.to_owned() })
    };
    if let Some(fault) = fault {
        return Err(RowError::NotJson { name: known(), what: in_words(fault) });
    }
    let Some(rv) = metadata.string("resourceVersion").as_deref().and_then(decimal) else {
        return Err(RowError::ResourceVersion { name: known() });
    };
    let Some(uid) = metadata.string("uid") else {
        return Err(RowError::NoIdentity { name: known(), missing: "metadata.uid" });
    };
    let Some(name) = name else {
        return Err(RowError::NoIdentity { name: None, missing: "metadata.name" });
    };

    let labels = labels(&metadata);
    let version = facts::version(&object, &labels).map(Arc::from);
    let (digest, body) = content::of(gvk, &object, &metadata);
    Ok(Row {
        gvk: Arc::clone(gvk),
        uid: uid.into(),
        namespace: namespace.map(Arc::from),
        name: name.into(),
        labels,
        rv,
        digest,
        version,
        body,
    })
}

/// Digits only: a sign, which `u64`'s own parser would take, is no resource version.
fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn labels(metadata: &Members<'_>) -> BTreeMap<Box<str>, Box<str>> {
    let labels = metadata.object("labels").unwrap_or_default();
    labels
        .iter()
        .filter_map(|(key, value)| Some((Box::from(key), text::string(value).map(Cow::into_owned)?.into_boxed_str())))
        .collect()
}

fn in_words(fault: serde_json::error::Category) -> &'static str {
    use serde_json::error::Category;
    match fault {
        Category::Eof => "it ends too early",
        Category::Data => "it is not an object",
        Category::Syntax | Category::Io => "its syntax is wrong",
    }
}

#[cfg(test)]
mod tests;
