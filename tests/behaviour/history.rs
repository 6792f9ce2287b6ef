//! Every version of every subscription of a namespace, as a watch sees them, and what must be true of each.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use serde_json::Value;
use testbed::{eventually, planted};
use tokio::task::JoinHandle;

use crate::world::{KEY, SOON, World};

/// Stands in URLs where a credential would.
pub const QUERY: &str = concat!("token=", planted!("-in-the-query"));

/// See the module's head.
pub struct History {
    seen: Arc<Mutex<Vec<Value>>>,
    watch: JoinHandle<()>,
}

impl History {
    /// From now on.
    pub async fn of(world: &World) -> Self {
        let kind = GroupVersionKind::gvk("changehook.dev", "v1alpha1", "WebhookSubscription");
        let kind = ApiResource::from_gvk_with_plural(&kind, "webhooksubscriptions");
        let client = world.plane().client().await.expect("a client can be built");
        let api: Api<DynamicObject> = Api::namespaced_with(client, &world.namespace, &kind);
        // a kind that was just installed is not served at once
        let begin = || async { api.watch(&WatchParams::default(), "0").await.map(StreamExt::boxed) };
        let mut events = eventually(SOON, begin).await.expect("a watch begins");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            while let Some(Ok(event)) = events.next().await {
                if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                    let object = serde_json::to_value(object).expect("an object is JSON");
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(object);
                }
            }
        });
        Self { seen, watch }
    }

    /// The versions of one subscription so far, each checked with [`lint`].
    pub fn versions(&self, name: &str) -> Vec<Value> {
        let versions = self.unchecked(name);
        for version in &versions {
            lint(version);
        }
        versions
    }

    /// The same for those who have judges of their own.
    pub fn unchecked(&self, name: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|object| object["metadata"]["name"] == name).cloned().collect()
    }

    /// What one condition was, in order, without repetitions: `False(Progressing)`, or `-` while it was not there.
    pub fn of_condition(&self, name: &str, type_: &str) -> Vec<String> {
        let mut values: Vec<String> = self.versions(name).iter().map(|object| said(object, type_)).collect();
        values.dedup();
        values
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// `False(Progressing)`, or `-`.
pub fn said(object: &Value, type_: &str) -> String {
    match crate::world::condition(object, type_) {
        Some(found) => {
            format!(
                "{}({})",
                found["status"].as_str().unwrap_or_default(),
                found["reason"].as_str().unwrap_or_default()
            )
        }
        None => "-".to_owned(),
    }
}

/// What Flux's linter for conditions and kstatus ask of every status, and what ours promises.
pub fn lint(object: &Value) {
    let status = &object["status"];
    let observed = status["observedGeneration"].as_i64().expect("observedGeneration is always there");
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    if observed == -1 {
        assert!(conditions.is_empty(), "{status:#}");
        return;
    }
    assert!(observed <= object["metadata"]["generation"].as_i64().expect("a generation"), "{object:#}");
    assert!(conditions.iter().all(|condition| condition["observedGeneration"] == observed), "{status:#}");
    let types: Vec<&str> = conditions.iter().map(|c| c["type"].as_str().expect("a type")).collect();
    let mut unique = types.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), types.len(), "{status:#}");
    let negative: Vec<String> = ["Reconciling", "Stalled"].map(|type_| said(object, type_)).into();
    assert!(negative.iter().all(|said| said == "-" || said.starts_with("True")), "{status:#}");
    let there = negative.iter().filter(|said| *said != "-").count();
    let ready = said(object, "Ready");
    assert!(ready.starts_with("True(") || ready.starts_with("False("), "{status:#}");
    assert_eq!(there, usize::from(ready.starts_with("False")), "{status:#}");
    let text = status.to_string();
    assert!(!text.contains(KEY) && !text.contains(QUERY), "{text}");
    assert!(text.len() <= 20 * 1024, "{} bytes", text.len());
}
