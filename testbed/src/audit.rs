//! What the API server was asked, as it saw it: its audit log at the level Metadata.
//!
//! One entry per request, written when the request is answered; for a watch, when its stream begins. Used to assert, for
//! instance, that two subscriptions on one kind share one watch.

use serde::Deserialize;

use crate::error::{Context, Result};

/// Requests of the API server's own components are left out: they are many and say nothing about the operator.
pub(crate) const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver"]}
- {level: None, nonResourceURLs: ["/readyz*", "/livez*", "/healthz*"]}
- {level: Metadata}
"#;

/// One request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// `ResponseStarted` (long-running requests only) or `ResponseComplete`.
    pub stage: String,
    /// One id for all stages of a request.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// Who asked.
    pub user: AuditUser,
    /// With which program.
    #[serde(default)]
    pub user_agent: String,
    /// What was asked for; none for discovery and the like.
    pub object_ref: Option<AuditObject>,
    /// How it was answered.
    pub response_status: Option<AuditStatus>,
}

/// The authenticated user of a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    /// Such as `system:serviceaccount:changehook-system:changehook`.
    pub username: String,
}

/// The object of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    /// Plural.
    pub resource: String,
    /// Empty for all namespaces.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// Empty for the core group.
    pub api_group: String,
    /// Such as `status`.
    pub subresource: String,
}

/// The answer to a request.
#[derive(Clone, Debug, Deserialize)]
pub struct AuditStatus {
    /// HTTP status code.
    pub code: u16,
}

impl AuditEntry {
    /// Whether this is the beginning of a watch on the resource `plural` by `username`: count these to count watches.
    pub fn begins_watch(&self, username: &str, plural: &str) -> bool {
        self.stage == "ResponseStarted"
            && self.verb == "watch"
            && self.user.username == username
            && self.object_ref.as_ref().is_some_and(|object| object.resource == plural)
    }
}

/// Reads a log; a last line that is still being written is left out.
pub(crate) fn parse(log: &str) -> Result<Vec<AuditEntry>> {
    let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).context("failed to decode a line of the audit log")).collect()
}
