//! `WebhookSubscription` and `ClusterWebhookSubscription`, and the spec they share.
//!
//! Touches nothing. Invariant: the cluster kind's spec is the namespaced one plus `namespaceSelector`.

#![allow(clippy::duplicated_attributes, reason = "each printcolumn has its own type and priority")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::detection::{ChangeDetection, Filter, InitialSync, LedgerLoss, Resync, SelectionChange};
use super::endpoint::Endpoint;
use super::payload::Payload;
use super::resources::{LabelSelector, Resource};
use super::retry::RetryPolicy;
use super::signing::Signing;
use super::status::SubscriptionStatus;

/// A WebhookSubscription selects resources of any kind in its own namespace; changehook POSTs every change of them to
/// an HTTP endpoint, signed, until the endpoint has it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "changehook.dev",
    version = "v1alpha1",
    kind = "WebhookSubscription",
    plural = "webhooksubscriptions",
    namespaced,
    status = "SubscriptionStatus",
    shortname = "whsub",
    category = "changehook",
    selectable = ".spec.suspend",
    derive = "PartialEq",
    doc = "A WebhookSubscription selects resources of any kind in its own namespace. changehook POSTs every change of them to an HTTP endpoint, signed, until the endpoint has it, and reports attempts and errors in the status.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint.breaker"),
    printcolumn(name = "Pending", type_ = "integer", json_path = ".status.delivery.pending"),
    printcolumn(name = "Retrying", type_ = "integer", json_path = ".status.delivery.retrying"),
    printcolumn(name = "Parked", type_ = "integer", json_path = ".status.delivery.parked"),
    printcolumn(name = "Last Delivery", type_ = "date", json_path = ".status.lastDelivery.time"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.endpoint.host", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSubscriptionSpec {
    /// Stop sending. Watching goes on; after resuming, each object that changed meanwhile is sent once, in its newest
    /// state.
    #[serde(default)]
    pub suspend: bool,
    /// The ServiceAccount, in this namespace, whose permissions bound what may be watched and which Secrets may be read.
    #[serde(default = "default_service_account")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: String,
    /// The kinds to watch, and which objects of each. One entry per kind.
    #[schemars(
        length(min = 1, max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["apiVersion", "kind"])
    )]
    pub resources: Vec<Resource>,
    /// Which changes are sent: `New` (an object the endpoint does not know), `Updated` (a new state of one it knows),
    /// `Removed` (it is gone, or no longer selected). The others are taken note of and not sent.
    #[serde(default = "default_change_types")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub change_types: Vec<ChangeType>,
    /// A condition on the object itself; objects that do not meet it are treated as not selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// What counts as a change of an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_detection: Option<ChangeDetection>,
    /// What happens to objects that exist when the subscription starts: `Adopt` takes them as known and sends nothing,
    /// `Notify` sends one New each.
    #[serde(default)]
    pub initial_sync: InitialSync,
    /// What happens to existing objects that an edit of the selection brings in or drops: `Adopt` sends nothing,
    /// `Notify` sends New or Removed. An object that is gone is always Removed.
    #[serde(default)]
    pub selection_change: SelectionChange,
    /// Where changes are sent.
    pub endpoint: Endpoint,
    /// How requests are signed. Without it they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// What is sent.
    #[serde(default)]
    pub payload: Payload,
    /// What happens when the endpoint does not answer with 2xx.
    #[serde(default)]
    pub retry_policy: RetryPolicy,
    /// What happens when the record of what the endpoint acknowledged is lost: `Replay` sends everything again,
    /// `Adopt` takes the present state as known.
    #[serde(default)]
    pub on_ledger_loss: LedgerLoss,
    /// Ask for deliveries to be repeated, from Git. By hand, a new text in the annotation
    /// `changehook.dev/resync-requested-at` asks for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync: Option<Resync>,
}

/// A ClusterWebhookSubscription does for all namespaces what a WebhookSubscription does for its own.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "changehook.dev",
    version = "v1alpha1",
    kind = "ClusterWebhookSubscription",
    plural = "clusterwebhooksubscriptions",
    status = "SubscriptionStatus",
    shortname = "cwhsub",
    category = "changehook",
    selectable = ".spec.suspend",
    derive = "PartialEq",
    doc = "A ClusterWebhookSubscription does for all namespaces, and for resources without one, what a WebhookSubscription does for its own. The ServiceAccount, Secrets, Services and ConfigMaps that it names are in the operator's namespace.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint.breaker"),
    printcolumn(name = "Pending", type_ = "integer", json_path = ".status.delivery.pending"),
    printcolumn(name = "Retrying", type_ = "integer", json_path = ".status.delivery.retrying"),
    printcolumn(name = "Parked", type_ = "integer", json_path = ".status.delivery.parked"),
    printcolumn(name = "Last Delivery", type_ = "date", json_path = ".status.lastDelivery.time"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.endpoint.host", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterWebhookSubscriptionSpec {
    /// The namespaces whose objects are selected, by their labels; all of them without it. A namespace that gets such
    /// labels brings its objects in as New, one that loses them takes them out as Removed. Objects without a namespace
    /// are selected whatever it says, except that a Namespace is judged by its own labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Everything a WebhookSubscription has.
    #[serde(flatten)]
    pub subscription: WebhookSubscriptionSpec,
}

/// Which of the two kinds a subscription is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubscriptionKind {
    /// It has a namespace, and watches what is in it.
    Namespaced,
    /// It has none, and watches the whole cluster.
    Cluster,
}

impl SubscriptionKind {
    /// As in a manifest.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Namespaced => "WebhookSubscription",
            Self::Cluster => "ClusterWebhookSubscription",
        }
    }

    /// As in a path.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Namespaced => "webhooksubscriptions",
            Self::Cluster => "clusterwebhooksubscriptions",
        }
    }
}

/// A change that can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ChangeType {
    /// The endpoint does not know the object.
    New,
    /// It knows another state of it.
    Updated,
    /// It knows an object that is gone or no longer selected.
    Removed,
}

fn default_service_account() -> String {
    "default".to_owned()
}

fn default_change_types() -> Vec<ChangeType> {
    vec![ChangeType::New, ChangeType::Updated, ChangeType::Removed]
}
