//! How often a status is written, as the API server counted it, and what becomes a Kubernetes Event.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Reply, eventually};

use crate::history::History;
use crate::world::{SOON, World};

/// Status patches so far, of one subscription or of all, in this world's namespace.
fn writes(world: &World, name: Option<&str>) -> usize {
    let log = world.plane().audit_log().expect("the audit log can be read");
    let status = |entry: &&testbed::audit::AuditEntry| {
        entry.verb == "patch"
            && entry.object_ref.as_ref().is_some_and(|object| {
                object.subresource == "status"
                    && object.resource == "webhooksubscriptions"
                    && object.namespace == world.namespace
                    && name.is_none_or(|name| object.name == name)
            })
    };
    log.iter().filter(status).count()
}

fn events(list: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(list).expect("kubectl prints JSON");
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let word = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    items
        .iter()
        .map(|event| format!("{} {} {}", word(event, "type"), word(event, "action"), word(event, "reason")))
        .collect()
}

#[tokio::test]
async fn under_retries_a_status_is_written_about_once_a_second() {
    let world = World::shared().await;
    world.receiver.set_default(Reply::Status(500));
    let hasty = json!({"retryPolicy": {"initialDelaySeconds": 1, "maxDelaySeconds": 1, "maxRetries": 20}});
    world.subscribe("busy", hasty).await;
    let (began, before) = (Instant::now(), writes(&world, Some("busy")));
    for n in 0..2 {
        // two, so that no third opens the breaker
        world.config_map(&format!("a{n}"), json!({})).await;
    }
    world.requests("busy", 16).await;
    let (took, written) = (began.elapsed().as_secs_f64(), writes(&world, Some("busy")) - before);
    assert!(written as f64 <= took + 2.0, "{written} writes in {took} s");
    assert!(written >= 4, "{written} writes in {took} s: retries are told");
}

#[tokio::test]
async fn while_only_counters_move_a_status_is_written_every_ten_seconds() {
    let world = World::shared().await;
    world.subscribe("steady", json!({})).await;
    world.config_map("a", json!({"n": "0"})).await;
    world.condition("steady", "EndpointHealthy", "True", "Delivering").await;
    let (began, before) = (Instant::now(), writes(&world, Some("steady")));
    let mut sent = 1;
    while began.elapsed() < Duration::from_secs(12) {
        world.receiver.set_default(Reply::Status(if sent % 2 == 0 { 200 } else { 202 }));
        world.config_map("a", json!({"n": sent.to_string()})).await;
        sent += 1;
        world.requests("steady", sent).await;
    }
    let (took, written) = (began.elapsed().as_secs_f64(), writes(&world, Some("steady")) - before);
    assert!(written as f64 <= took / 10.0 + 1.0, "{written} writes in {took} s");
    world.until("steady", "not all are counted", |object| object["status"]["totals"]["delivered"] == sent).await;
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes() {
    let world = World::shared().await;
    world.subscribe("idle", json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap", "names": ["none"]}]})).await;
    let quiet = world.get("idle").await["metadata"]["resourceVersion"].clone();
    world.subscribe("other", json!({})).await;
    // Long enough for counters of the other to be written twice.
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < Duration::from_secs(11) {
        world.config_map("a", json!({"n": sent.to_string()})).await;
        sent += 1;
        world.requests("other", sent).await;
    }
    world.until("other", "not counted", |object| object["status"]["totals"]["delivered"].as_u64() > Some(1)).await;
    assert_eq!(world.get("idle").await["metadata"]["resourceVersion"], quiet);
}

#[tokio::test]
async fn more_flips_than_may_be_written_starve_nobody() {
    const MANY: usize = 40;
    let mut world = World::private().await;
    world.start_operator().await;
    world.receiver.set_default(Reply::Status(500));
    world.secret().await;
    let hasty = json!({"retryPolicy": {"initialDelaySeconds": 1, "maxDelaySeconds": 1, "maxRetries": 20}});
    let all: Vec<String> = (0..MANY).map(|n| world.subscription(&format!("s{n}"), hasty.clone()).to_string()).collect();
    world.apply(&all.join("\n---\n")).await;
    world.kubectl(&["wait", "--for=condition=Ready", "--timeout=30s", "whsub", "--all"]).await;
    let (began, before) = (Instant::now(), writes(&world, None));
    world.config_map("a", json!({})).await;
    let told = || async {
        let list: Value = serde_json::from_str(&world.kubectl(&["get", "whsub", "-o", "json"]).await).unwrap();
        let items = list["items"].as_array().unwrap();
        let late: Vec<_> = items
            .iter()
            .filter(|object| object["status"]["retries"][0]["attempt"].as_u64() < Some(3))
            .map(|object| object["metadata"]["name"].to_string())
            .collect();
        if late.is_empty() { Ok(()) } else { Err(format!("not told: {}", late.join(", "))) }
    };
    eventually(SOON, told).await.unwrap();
    let (took, written) = (began.elapsed().as_secs_f64(), writes(&world, None) - before);
    assert!(written as f64 <= took.mul_add(10.0, 25.0), "{written} writes in {took} s");
}

#[tokio::test]
async fn flips_become_kubernetes_events_and_deliveries_do_not() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.apply(&world.subscription("told", json!({"retryPolicy": {"initialDelaySeconds": 1}})).to_string()).await;
    world.condition("told", "Ready", "False", "SecretNotFound").await;
    world.secret().await;
    world.ready("told").await;
    for n in 0..3 {
        world.config_map(&format!("a{n}"), json!({})).await;
    }
    world.condition("told", "EndpointHealthy", "True", "Delivering").await;
    world.receiver.script("/told", vec![Reply::Status(500)]);
    world.config_map("b", json!({})).await;
    world.requests("told", 5).await;
    let went_down = || async {
        let said = history.of_condition("told", "EndpointHealthy");
        let ups = said.iter().filter(|said| *said == "True(Delivering)").count();
        if ups == 2 { Ok(()) } else { Err(format!("{said:?}")) }
    };
    eventually(SOON, went_down).await.unwrap();
    world.patch("told", &json!({"spec": {"suspend": true}})).await;
    world.condition("told", "Suspended", "True", "Suspended").await;
    world.patch("told", &json!({"spec": {"suspend": false}})).await;
    world.condition("told", "Ready", "True", "Watching").await;
    world.patch("told", &json!({"spec": {"endpoint": {"url": "http://10.0.0.1/"}}})).await;
    world.condition("told", "Stalled", "True", "AddressRefused").await;

    let expected = [
        "Normal EndpointHealthy Delivering",
        "Normal Ready Watching",
        "Normal Suspended Resumed",
        "Normal Suspended Suspended",
        "Warning EndpointHealthy ServerError",
        "Warning Ready AddressRefused",
        "Warning Ready SecretNotFound",
        "Warning Stalled AddressRefused",
    ];
    let complete = || async {
        let mut all = events(&world.kubectl(&["get", "events.events.k8s.io", "-o", "json"]).await);
        all.sort();
        all.dedup();
        if all == expected { Ok(()) } else { Err(format!("{all:#?}")) }
    };
    eventually(SOON, complete).await.unwrap();
    let described = world.kubectl(&["describe", "whsub", "told"]).await;
    assert!(described.contains("AddressRefused") && described.contains("changehook"), "{described}");
}
