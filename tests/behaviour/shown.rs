//! All that the operator shows to anybody, searched for what must stay hidden: with every world that ends, and here once
//! with all of it at the same time.
//!
//! What is hidden has [`MARK`] in it: keys, tokens, URLs' queries, what endpoints answer. The operator's log, in which its
//! panics are too, is searched by [`Operator`] itself.

use std::time::Duration;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::json;
use testbed::marks;
use testbed::{ControlPlane, Operator};

/// A world may end because its API server or its operator has: then there is nothing to be had from them.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is shown where, by name.
pub type Shown = Vec<(&'static str, String)>;

/// Statuses, Events and the ledger's blobs, of all namespaces.
async fn stored(plane: &ControlPlane) -> kube::Result<Shown> {
    let client = plane.client().await.map_err(|error| kube::Error::Service(error.into()))?;
    let list = async |group: &str, version: &str, kind: &str, plural: &str| {
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        Api::<DynamicObject>::all_with(client.clone(), &kind).list(&ListParams::default()).await.map(|list| list.items)
    };
    let mut shown = Vec::new();
    for (kind, plural) in
        [("WebhookSubscription", "webhooksubscriptions"), ("ClusterWebhookSubscription", "clusterwebhooksubscriptions")]
    {
        for object in list("changehook.dev", "v1alpha1", kind, plural).await? {
            shown.push(("a status", object.data["status"].to_string()));
        }
    }
    for event in list("events.k8s.io", "v1", "Event", "events").await? {
        shown.push(("an Event", json!({"metadata": event.metadata, "data": event.data}).to_string()));
    }
    for object in list("changehook.dev", "v1alpha1", "DeliveryLedger", "deliveryledgers").await? {
        let data = serde_json::from_value::<k8s_openapi::ByteString>(object.data["spec"]["data"].clone());
        let data = data.map_err(kube::Error::SerdeError)?;
        shown.push(("the ledger", String::from_utf8_lossy(&data.0).into_owned()));
        shown.push(("a ledger object", json!({"metadata": object.metadata, "data": object.data}).to_string()));
    }
    Ok(shown)
}

/// All of it.
pub async fn everything(plane: &ControlPlane, operator: Option<&Operator>) -> Shown {
    let mut shown = stored(plane).await.unwrap_or_default();
    if let Some(operator) = operator
        && let Ok(metrics) = operator.metrics().await
    {
        shown.push(("/metrics", metrics));
    }
    shown
}

/// For a world that ends, wherever that is; panics if something is found. The test's own runtime may be the one that
/// waits for this, so that the search has one for itself.
pub fn search(plane: &ControlPlane, operator: Option<&Operator>) {
    let look = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
        runtime.block_on(async { tokio::time::timeout(PATIENCE, everything(plane, operator)).await })
    };
    let shown = std::thread::scope(|scope| scope.spawn(look).join()).expect("looking does not panic");
    for (what, text) in shown.unwrap_or_default() {
        marks::assert_none(what, &text);
    }
    if let Some(operator) = operator {
        operator.search_log();
    }
}
