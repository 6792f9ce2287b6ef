//! What goes over the wire: events, their ids and fingerprints, the envelope, canonical JSON and signatures; and, on
//! the way in, how an object's JSON becomes a row.

#[cfg(test)]
mod arbitrary;
pub mod canonical;
mod content;
mod envelope;
mod facts;
mod fingerprint;
mod hash;
mod id;
mod row;
mod signature;
mod text;

use std::sync::Arc;

use crate::object::{Gvk, ObservedBy, Row};
use crate::plan::{Change, SubscriptionId};

pub use content::{BodyError, body_text, body_value};
pub use envelope::{Object, RenderError, RenderOptions, Rendered, render};
pub use fingerprint::{SCHEME, fingerprint};
pub use id::{event_id, subscription_id};
pub use row::{RowError, row};
pub use signature::x_signature_256;
pub use text::{MAX_NESTING, ParseError, parse};

/// A change with its sequence: what one delivery, with all its attempts, is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// For whom.
    pub subscription: SubscriptionId,
    /// The sequence of its Sending record; grows per object, for ever.
    pub sequence: u64,
    /// New, Updated or Removed.
    pub change: Change,
    /// What it is about.
    pub subject: Subject,
    /// The version the endpoint last acknowledged, where this process still knows it.
    pub previous_version: Option<Arc<str>>,
    /// How the change was noticed.
    pub observed_by: ObservedBy,
    /// When the change was noticed, milliseconds since the Unix epoch.
    pub detected_at: i64,
    /// When the event was declared, milliseconds since the Unix epoch; the body's `timestamp`.
    pub declared_at: i64,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The object, in the state that is told.
    Present(Arc<Row>),
    /// The object is gone, or no longer selected; all that is told is who it was.
    Absent(Identity),
}

/// Who an object was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its kind.
    pub gvk: Arc<Gvk>,
    /// metadata.uid
    pub uid: Arc<str>,
    /// metadata.namespace
    pub namespace: Option<Arc<str>>,
    /// metadata.name
    pub name: Arc<str>,
    /// The version at which it was found gone, or the last one seen.
    pub rv: u64,
}
