//! The body of a request: the contract's payload, with our fields beside the contract's.
//!
//! Touches nothing. Invariants: the same event gives the same bytes, now and in another process that holds the same row;
//! the bytes are canonical JSON; what is not known is absent, never null.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::content::{BodyError, body_text};
use super::text::Members;
use super::{Event, Subject, canonical, facts, id};
use crate::object::{Gvk, Row};
use crate::plan::Change;

/// How an event is to be rendered: the subscription's `spec.payload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderOptions {
    /// A body longer than this goes without its object.
    pub max_bytes: usize,
    /// How much of the object is sent.
    pub object: Object,
}

/// How much of the object is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// All of it, but for what normalising leaves out.
    Full,
}

/// A body, ready to be signed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The exact bytes.
    pub body: Vec<u8>,
    /// The event's id, as in the body.
    pub event_id: String,
    /// The object should have been in the body and is not.
    pub truncated: bool,
}

/// Why an event has no body. Both are the event's own fault, and final for its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Too long even without the object: a description as long as a book.
    #[error("failed to render the event within {max_bytes} bytes: {bytes} without the object")]
    Oversize {
        /// The length without the object.
        bytes: usize,
        /// The length allowed.
        max_bytes: usize,
    },
    /// The object's body at rest is damaged.
    #[error("failed to render the event")]
    Body(#[source] BodyError),
}

/// The body of `event`.
pub fn render(event: &Event, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let told = Told::of(event);
    let object = match told.row.map(|row| body_text(&row.body)) {
        Some(Ok(text)) => Some(text),
        Some(Err(BodyError::Missing(_))) | None => None,
        Some(Err(error @ BodyError::Corrupt)) => return Err(RenderError::Body(error)),
    };
    let event_id = id::event_id(&event.subscription.uid, told.uid, event.sequence);

    let mut change = Fields::default();
    change.put("id", &json!(event_id));
    change.put("server_name", &json!(told.name));
    change.put("change_type", &json!(event.change.as_wire()));
    if let Some(version) = event.previous_version.as_deref() {
        change.put("previous_version", &json!(version));
    }
    if let Some(version) = told.version() {
        change.put("new_version", &json!(version));
    }
    change.put("server", &told.server(object.as_deref()));
    change.put("resource", &told.resource());
    change.put("sequence", &json!(event.sequence));
    change.put("observed_by", &json!(event.observed_by.as_wire()));
    change.put("detected_at", &json!(rfc3339(event.detected_at)));

    match options.object {
        Object::Full => {
            if let Some(text) = object.as_deref().filter(|text| text.len() <= options.max_bytes) {
                let body = envelope(event, change.clone().with_text("object", text));
                if body.len() <= options.max_bytes {
                    return Ok(Rendered { body, event_id, truncated: false });
                }
            }
        }
    }
    let truncated = told.row.is_some();
    if truncated {
        change.put("truncated", &json!(true));
    }
    let body = envelope(event, change);
    if body.len() > options.max_bytes {
        return Err(RenderError::Oversize { bytes: body.len(), max_bytes: options.max_bytes });
    }
    Ok(Rendered { body, event_id, truncated })
}

fn envelope(event: &Event, change: Fields<'_>) -> Vec<u8> {
    let mut envelope = Fields::default();
    envelope.put("event", &json!("change.detected"));
    envelope.put("timestamp", &json!(rfc3339(event.declared_at)));
    envelope.put("subscription_id", &json!(id::subscription_id(&event.subscription.uid)));
    envelope.0.insert("change", Cow::Owned(change.into_bytes()));
    envelope.into_bytes()
}

/// Whom an event is about, and the state that is told if there is one.
struct Told<'a> {
    gvk: &'a Gvk,
    uid: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
    rv: u64,
    row: Option<&'a Row>,
}

impl<'a> Told<'a> {
    fn of(event: &'a Event) -> Self {
        match &event.subject {
            Subject::Present(row) => Self {
                gvk: &row.gvk,
                uid: &row.uid,
                namespace: row.namespace.as_deref(),
                name: &row.name,
                rv: row.rv,
                // an object that is no longer selected may still be there; of its state nothing is told any more
                row: match event.change {
                    Change::New | Change::Updated => Some(row),
                    Change::Removed => None,
                },
            },
            Subject::Absent(identity) => Self {
                gvk: &identity.gvk,
                uid: &identity.uid,
                namespace: identity.namespace.as_deref(),
                name: &identity.name,
                rv: identity.rv,
                row: None,
            },
        }
    }

    fn version(&self) -> Option<&'a str> {
        self.row?.version.as_deref()
    }

    fn server(&self, object: Option<&str>) -> Value {
        let mut server = json!({ "name": self.name });
        let object = object.map(|text| Members::read(text).0).unwrap_or_default();
        if let Some(description) = facts::description(&object) {
            server["description"] = json!(description);
        }
        if let Some(url) = facts::repository(&object) {
            server["repository"] = json!({ "url": url });
        }
        if let Some(version) = self.version() {
            server["version_detail"] = json!({ "version": version });
        }
        server
    }

    fn resource(&self) -> Value {
        let mut resource = json!({
            "apiVersion": self.gvk.api_version(),
            "kind": self.gvk.kind,
            "name": self.name,
            "uid": self.uid,
            "resourceVersion": self.rv.to_string(),
        });
        if let Some(namespace) = self.namespace {
            resource["namespace"] = json!(namespace);
        }
        resource
    }
}

/// The members of an object of ours, each already canonical. Our keys are plain words, so their order is the canonical.
#[derive(Clone, Default)]
struct Fields<'a>(BTreeMap<&'static str, Cow<'a, [u8]>>);

impl<'a> Fields<'a> {
    fn put(&mut self, key: &'static str, value: &Value) {
        self.0.insert(key, Cow::Owned(canonical::to_vec(value)));
    }

    /// With `text`, which is canonical, spliced in as it is.
    fn with_text(mut self, key: &'static str, text: &'a str) -> Self {
        self.0.insert(key, Cow::Borrowed(text.as_bytes()));
        self
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.iter().map(|(key, value)| key.len() + value.len() + 4).sum());
        for (at, (key, value)) in self.0.iter().enumerate() {
            out.push(if at == 0 { b'{' } else { b',' });
            canonical::write_string(&mut out, key);
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.push(b'}');
        out
    }
}

/// RFC 3339 in UTC: whole seconds where the time is whole seconds, else milliseconds. A time outside the years that can
/// be written is shown as the nearest that can.
fn rfc3339(millis: i64) -> String {
    let nearest = if millis < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let time = Timestamp::from_millisecond(millis).unwrap_or(nearest);
    if time.subsec_millisecond() == 0 { format!("{time:.0}") } else { format!("{time:.3}") }
}

#[cfg(test)]
mod tests;
