//! What decides membership and change, and what happens to objects that were there before.
//!
//! Touches nothing. Invariant: whatever is not implemented yet is named in [`super::unsupported`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition on the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// A CEL expression on `object` that gives true or false: `object.spec.replicas > 0`.
    #[schemars(length(min = 1, max = 4096))]
    pub expression: String,
}

/// What counts as a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDetection {
    /// `Full` compares the whole object (managed fields, the resource version and kubectl's last-applied annotation
    /// aside), `Spec` what its owner wrote, `Expression` the value of `expression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DetectionScope")]
    pub scope: Option<DetectionScope>,
    /// A CEL expression on `object`; a change is a change of its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub expression: Option<String>,
    /// Fields whose changes do not count, as JSON pointers; `*` stands for any list index or key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 256)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub ignore_fields: Option<Vec<String>>,
    /// At most one event an object in this time; later changes within it are merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub min_interval_seconds: Option<i32>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DetectionScope {
    /// The whole object.
    Full,
    /// What its owner wrote: spec, labels, annotations; not the status.
    Spec,
    /// The value of an expression.
    Expression,
}

/// What happens to objects that exist when a subscription starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InitialSync {
    /// They are taken as known.
    #[default]
    Adopt,
    /// One New is sent for each.
    Notify,
}

/// What happens to existing objects that an edit of the selection brings in or drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectionChange {
    /// Nothing is sent.
    #[default]
    Adopt,
    /// New or Removed is sent.
    Notify,
}

/// What happens when the ledger is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LedgerLoss {
    /// Everything is sent again.
    #[default]
    Replay,
    /// The present state is taken as known.
    Adopt,
}

/// A request to deliver again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resync {
    /// Any text; a new one is a new request, done once. The status repeats it once it was seen.
    #[serde(rename = "requestID")]
    #[schemars(length(min = 1, max = 128))]
    pub request_id: String,
    /// `Parked` releases what was given up, `All` sends every selected object again.
    #[serde(default)]
    pub scope: ResyncScope,
}

/// What is delivered again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResyncScope {
    /// What is parked.
    #[default]
    Parked,
    /// Every selected object.
    All,
}
