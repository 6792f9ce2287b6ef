//! What is sent.
//!
//! Touches nothing. Invariant: the defaults are the contract's body.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// `Native` is changehook's own JSON; the others are CloudEvents 1.0 in one of its two HTTP modes, or `template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PayloadFormat")]
    pub format: Option<PayloadFormat>,
    /// How much of the object the body carries: all of it, its metadata, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PayloadObject")]
    pub object: Option<PayloadObject>,
    /// CEL expressions on `object` that replace what changehook puts into the body's `server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerFields>,
    /// Add the fields that changed, with their old and new values. Keeps the previous state in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_changes: Option<bool>,
    /// The body's template.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub template: Option<String>,
    /// The largest body. A larger one is sent without `object` and with `truncated`.
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 4096, max = 2_097_152))]
    pub max_bytes: i32,
}

impl Default for Payload {
    fn default() -> Self {
        Self {
            format: None,
            object: None,
            server: None,
            field_changes: None,
            template: None,
            max_bytes: default_max_bytes(),
        }
    }
}

/// The form of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PayloadFormat {
    /// changehook's own JSON.
    Native,
    /// CloudEvents, everything in the body.
    CloudEventsStructured,
    /// CloudEvents, attributes as headers.
    CloudEventsBinary,
    /// A template.
    Template,
}

/// How much of the object is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PayloadObject {
    /// All of it.
    Full,
    /// apiVersion, kind and metadata.
    Metadata,
    /// Nothing.
    None,
}

/// CEL expressions on `object` for the fields of `server`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerFields {
    /// For `server.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub name: Option<String>,
    /// For `server.description`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// For `server.repository.url`.
    #[serde(rename = "repositoryURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub repository_url: Option<String>,
    /// For `server.version_detail.version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub version: Option<String>,
}

fn default_max_bytes() -> i32 {
    262_144
}
