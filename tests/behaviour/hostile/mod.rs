//! Endpoints that misbehave on real sockets, all of a kind at once, at an operator that has others to serve: what each one
//! is told to be, that none of what it sends is shown, and that whoever behaves is served as if they were not there.

mod addresses;
mod broken;
mod leaks;
mod oversized;
mod slow;

use serde_json::{Value, json};
use testbed::Reply;

use crate::world::World;

/// How an endpoint answers, and the reason that its status gives; `None` if the change counts as delivered.
pub type Case = (&'static str, Reply, Option<&'static str>);

/// What endpoints put into their answers, and nobody must see.
pub const MARK: &str = "M4RKER";

/// One subscription for each case and a well-behaved one, `good`; one change for all of them.
async fn tell_all(world: &World, cases: &[Case]) {
    world.secret().await;
    let mut manifests = vec![world.subscription("good", json!({})).to_string()];
    for (name, reply, _) in cases {
        world.receiver.script_forever(&format!("/{name}"), vec![reply.clone()]);
        let patch =
            json!({"endpoint": {"timeoutSeconds": 1}, "retryPolicy": {"maxRetries": 1, "initialDelaySeconds": 1}});
        manifests.push(world.subscription(name, patch).to_string());
    }
    world.apply(&manifests.join("\n---\n")).await;
    for name in cases.iter().map(|(name, ..)| *name).chain(["good"]) {
        world.ready(name).await;
    }
    world.config_map("thing", json!({"state": "first"})).await;
    world.requests("good", 1).await;
}

/// Each case is told as it should be, and none of its words.
async fn told_as_expected(world: &World, cases: &[Case]) {
    for (name, _, reason) in cases {
        let object = world.until(name, "not told", |object| outcome(object).is_some()).await;
        assert_eq!(outcome(&object), Some(reason.map(str::to_owned)), "{name}: {:#}", object["status"]);
        assert!(!object["status"].to_string().contains(MARK), "{name}: {:#}", object["status"]);
    }
    world.config_map("thing", json!({"state": "second"})).await;
    world.requests("good", 2).await;
    assert!(!world.operator().log().contains(MARK));
    assert!(!world.operator().metrics().await.expect("metrics").contains(MARK));
    let events = world.kubectl(&["get", "events.events.k8s.io", "--output=yaml"]).await;
    assert!(!events.contains(MARK), "{events}");
}

/// What came of the change: `Some(None)` if it was delivered, the reason if it failed, nothing yet otherwise.
fn outcome(object: &Value) -> Option<Option<String>> {
    let status = &object["status"];
    if status["totals"]["delivered"].as_u64() >= Some(1) {
        return Some(None);
    }
    let reason = status["endpoint"]["lastError"]["reason"].as_str().map(str::to_owned);
    let failed = status["totals"]["failedAttempts"].as_u64() >= Some(1);
    if failed { reason.map(Some) } else { None }
}
