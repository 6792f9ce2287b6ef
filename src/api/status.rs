//! What the operator reports about a subscription.
//!
//! Touches nothing. Invariants: nothing is required at the top, because the schema's default is only
//! `{observedGeneration: -1}`; no text in here comes from an endpoint's answer, a Secret or a URL's path or query.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions;
use super::subscription::ChangeType;

/// How many entries `retries` and `parkedSamples` show.
pub const MAX_SAMPLES: usize = 16;
/// The longest `lastError.message`, in bytes.
pub const MAX_ERROR_MESSAGE: usize = 256;

/// The state of a subscription and its deliveries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionStatus {
    /// The metadata.generation that this status is about; -1 until the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Ready, and what there is to say besides: Reconciling, Stalled, Authorized, EndpointHealthy, LedgerIntact,
    /// Suspended. All of them are about observedGeneration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// The record of what the endpoint has acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
    /// What is owed to the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryStatus>,
    /// Counters; they start again with the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// The last request that was answered with 2xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<LastDelivery>,
    /// The endpoint as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointStatus>,
    /// Deliveries that wait for their next attempt, the soonest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub retries: Vec<PendingDelivery>,
    /// Some of the deliveries that were given up for now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub parked_samples: Vec<PendingDelivery>,
    /// How many entries the two lists leave out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omitted: Option<Omitted>,
    /// The requests to deliver again that were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync: Option<ResyncStatus>,
}

/// The record of what the endpoint has acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LedgerStatus {
    /// How many objects of this subscription are in it.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub entries: i32,
    /// When the existing objects had been taken note of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_time: Option<Time>,
    /// When it was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_commit_time: Option<Time>,
    /// The highest sequence in it, over all subscriptions. A ledger that has less is out of date.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub sequence: i64,
}

/// What is owed to the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliveryStatus {
    /// Objects with a change that the endpoint has not acknowledged; those in flight and retrying are among them,
    /// those parked are not.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub pending: i32,
    /// Requests under way.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub in_flight: i32,
    /// Deliveries that failed, or were unanswered when the operator started, and wait for their next attempt.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub retrying: i32,
    /// Deliveries that were given up for now and are still owed.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub parked: i32,
    /// Since when the oldest of the pending changes waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_pending_time: Option<Time>,
}

/// Counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// When they were 0: when the operator that counts started to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Events the endpoint acknowledged.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub delivered: i64,
    /// Attempts that failed.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub failed_attempts: i64,
    /// Changes that were replaced by a newer one of the same object before they were sent.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub merged: i64,
    /// Events that were given up for good, as retryPolicy.onExhausted asks for.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub discarded: i64,
}

/// The last request that was answered with 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDelivery {
    /// When the answer came.
    pub time: Time,
    /// The event's id, the body's `change.id`.
    #[serde(rename = "eventID")]
    #[schemars(length(max = 64))]
    pub event_id: String,
    /// The answer's status.
    #[schemars(range(min = 100, max = 999))]
    pub http_status: i32,
}

/// The endpoint as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointStatus {
    /// The host, and the port if it is not the scheme's own; nothing else of the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 261))]
    pub host: Option<String>,
    /// `Closed` while requests flow, `Open` while only probes are sent, `HalfOpen` while they start again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BreakerState")]
    pub breaker: Option<BreakerState>,
    /// Attempts that failed since the last that did not.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub consecutive_failures: i32,
    /// While the endpoint fails: which attempt it has come to, counted on by the probes of an open breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub attempt: Option<i32>,
    /// When the next attempt goes: of an open breaker the next probe, else the soonest retry. Absent while there is
    /// nothing to try again, and while nothing is sent (suspended, or something is missing).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// The last failure of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// The endpoint-wide pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BreakerState {
    /// Requests flow.
    Closed,
    /// Only probes are sent.
    Open,
    /// Requests start again.
    HalfOpen,
}

/// One event that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingDelivery {
    /// The event's id, the body's `change.id`.
    #[serde(rename = "eventID")]
    #[schemars(length(max = 64))]
    pub event_id: String,
    /// New, Updated or Removed.
    pub change_type: ChangeType,
    /// The object that changed.
    pub object_ref: ObjectRef,
    /// How many attempts were made.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub attempt: i32,
    /// When the next one goes, not earlier; absent when none is planned: parked, or nothing is sent (suspended, or
    /// something is missing).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// Why the last one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// Who an object is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Its apiVersion.
    #[schemars(length(max = 317))]
    pub api_version: String,
    /// Its kind.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Its namespace, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid.
    #[schemars(length(max = 128))]
    pub uid: String,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// Whose trouble it is: the `Endpoint`'s (or the way to it), or this `Event`'s.
    pub class: ErrorClass,
    /// Why, in one word: ConnectFailed, Timeout, ServerError and so on.
    #[schemars(length(max = 64), regex(pattern = "^[A-Za-z]+$"))]
    pub reason: String,
    /// The answer's status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999))]
    pub http_status: Option<i32>,
    /// For people. Never shows anything of the answer's body.
    #[schemars(length(max = 256))]
    pub message: String,
    /// When the attempt failed.
    pub time: Time,
}

/// Whose trouble a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ErrorClass {
    /// The endpoint's or the network's.
    Endpoint,
    /// This event's.
    Event,
}

/// How many entries the lists leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Omitted {
    /// Deliveries that wait for their next attempt and are not in `retries`.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub retries: i32,
    /// Parked deliveries that are not in `parkedSamples`.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub parked: i32,
}

/// The requests to deliver again that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResyncStatus {
    /// The last spec.resync.requestID that was seen.
    #[serde(rename = "observedRequestID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub observed_request_id: Option<String>,
    /// The last text of the annotation changehook.dev/resync-requested-at that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub observed_requested_at: Option<String>,
}
