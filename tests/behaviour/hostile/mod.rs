//! Endpoints that misbehave on real sockets, all of a kind at once, at an operator that has others to serve: what each one
//! is told to be, that none of what it sends is shown, and that whoever behaves is served as if they were not there.

mod addresses;
mod broken;
mod crowd;
mod early;
mod leaks;
mod oversized;
mod restarts;
mod slow;

use serde_json::{Value, json};
use testbed::Reply;

use crate::world::World;

/// How an endpoint answers, and the reason that its status gives, or [`DELIVERED`].
pub type Case = (&'static str, Reply, &'static str);

/// What came of a change that counts as delivered.
pub const DELIVERED: &str = "Delivered";

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
        assert_eq!(outcome(&object).as_deref(), Some(*reason), "{name}: {:#}", object["status"]);
        assert!(!object["status"].to_string().contains(MARK), "{name}: {:#}", object["status"]);
    }
    world.config_map("thing", json!({"state": "second"})).await;
    world.requests("good", 2).await;
    assert!(!world.operator().log().contains(MARK));
    assert!(!world.operator().metrics().await.expect("metrics").contains(MARK));
    let events = world.kubectl(&["get", "events.events.k8s.io", "--output=yaml"]).await;
    assert!(!events.contains(MARK), "{events}");
}

/// What came of the change: a reason or [`DELIVERED`], once there is something to tell.
fn outcome(object: &Value) -> Option<String> {
    let status = &object["status"];
    if status["totals"]["delivered"].as_u64() >= Some(1) {
        return Some(DELIVERED.to_owned());
    }
    let failed = status["totals"]["failedAttempts"].as_u64() >= Some(1);
    let reason = status["endpoint"]["lastError"]["reason"].as_str();
    reason.filter(|_| failed).map(str::to_owned)
}
