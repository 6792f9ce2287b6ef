//! Suspending stops sending at once; resuming sends one merged change for each object.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::Reply;

use crate::history::said;
use crate::world::{World, pair, told_since, verified};

fn suspend(on: bool) -> Value {
    json!({"spec": {"suspend": on}})
}

async fn suspended(world: &World, name: &str) {
    world.patch(name, &suspend(true)).await;
    world.condition(name, "Suspended", "True", "Suspended").await;
}

#[tokio::test]
async fn resuming_sends_one_merged_change_for_each_object_in_its_newest_state() {
    let world = World::shared().await;
    world.subscribe("merged", json!({})).await;
    for name in ["changed", "deleted", "reverted", "untouched"] {
        world.config_map(name, json!({"n": "0"})).await;
    }
    world.requests("merged", 4).await;
    suspended(&world, "merged").await;
    for n in 1..=3 {
        world.config_map("changed", json!({"n": n.to_string()})).await;
        world.config_map("created", json!({"n": n.to_string()})).await;
    }
    world.config_map("reverted", json!({"n": "1"})).await;
    world.config_map("reverted", json!({"n": "0"})).await;
    world.kubectl(&["delete", "configmap", "deleted"]).await;
    world.config_map("came-and-went", json!({})).await;
    world.kubectl(&["delete", "configmap", "came-and-went"]).await;
    // The watch has shown all of it: pending are changed, created and deleted.
    let object = world.until("merged", "not 3 pending", |o| o["status"]["delivery"]["pending"] == 3).await;
    assert_eq!(object["status"]["delivery"]["inFlight"], 0);
    assert_eq!(world.receiver.requests("/merged").len(), 4, "something was sent while suspended");

    world.patch("merged", &suspend(false)).await;
    world.requests("merged", 7).await;
    world.config_map("marker", json!({})).await;
    let requests = world.requests("merged", 8).await;
    let expected =
        [pair("new", "created"), pair("new", "marker"), pair("removed", "deleted"), pair("updated", "changed")];
    assert_eq!(told_since(&world, "merged", 4), expected);
    for request in &requests[4..7] {
        let body = verified(request);
        if body["change"]["change_type"] != "removed" {
            assert_eq!(body["change"]["object"]["data"]["n"], "3");
        }
    }
    let object = world.until("merged", "still pending", |o| o["status"]["delivery"]["pending"] == 0).await;
    assert_eq!(said(&object, "Suspended"), "-");
    assert_eq!(said(&object, "Ready"), "True(Watching)");
}

#[tokio::test]
async fn suspending_stops_a_delivery_that_waits_for_its_retry_and_resuming_goes_on_with_it() {
    let world = World::shared().await;
    world.receiver.set_default(Reply::Status(500));
    world.subscribe("paused", json!({"retryPolicy": {"initialDelaySeconds": 2, "maxRetries": 20}})).await;
    world.config_map("a", json!({})).await;
    world.requests("paused", 1).await;
    suspended(&world, "paused").await;
    let so_far = world.receiver.requests("/paused").len();
    let object = world.until("paused", "no retry is shown", |o| o["status"]["delivery"]["retrying"] == 1).await;
    assert_eq!(object["status"]["retries"][0]["nextAttemptTime"], Value::Null, "none is planned");
    assert_eq!(object["status"]["endpoint"]["nextAttemptTime"], Value::Null, "none is planned");
    // Twice the delay.
    world.receiver.stays_quiet(Duration::from_secs(4)).await.unwrap();

    world.receiver.set_default(Reply::Status(200));
    world.patch("paused", &suspend(false)).await;
    let requests = world.requests("paused", so_far + 1).await;
    let id = |n: usize| verified(&requests[n])["change"]["id"].clone();
    assert_eq!(id(0), id(so_far), "the same state is the same event");
    world.until("paused", "not delivered", |o| o["status"]["totals"]["delivered"] == 1).await;
}

#[tokio::test]
async fn suspending_with_a_backlog_lets_what_is_under_way_finish_and_starts_nothing_more() {
    let world = World::shared().await;
    world.subscribe("backlog", json!({"endpoint": {"maxInFlight": 1}})).await;
    world.receiver.set_default(Reply::Status(200).after(Duration::from_millis(500)));
    let maps: Vec<String> = (0..20)
        .map(|n| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{n}")}}).to_string())
        .collect();
    world.apply(&maps.join("\n---\n")).await;
    world.requests("backlog", 2).await;
    suspended(&world, "backlog").await;
    world.until("backlog", "in flight", |o| o["status"]["delivery"]["inFlight"] == 0).await;
    let sent = world.receiver.requests("/backlog").len();
    assert!(sent < 20, "{sent}");
    world.receiver.stays_quiet(Duration::from_secs(1)).await.unwrap();
    let object = world.until("backlog", "wrong count", |o| o["status"]["delivery"]["pending"] == 20 - sent).await;
    assert_eq!(object["status"]["totals"]["delivered"], sent);

    world.receiver.set_default(Reply::Status(200));
    world.patch("backlog", &suspend(false)).await;
    world.requests("backlog", 20).await;
    world.config_map("marker", json!({})).await;
    world.requests("backlog", 21).await;
    assert_eq!(world.receiver.requests("/backlog").len(), 21, "something was sent twice");
}

#[tokio::test]
async fn a_subscription_that_begins_suspended_takes_note_of_what_exists_and_sends_only_what_changes() {
    let world = World::shared().await;
    world.config_map("before", json!({})).await;
    world.secret().await;
    world.apply(&world.subscription("asleep", json!({"suspend": true})).to_string()).await;
    let object = world.until("asleep", "no baseline", |o| said(o, "Ready") == "True(Suspended)").await;
    assert_ne!(object["status"]["ledger"]["baselineTime"], Value::Null);
    world.config_map("after", json!({})).await;
    world.until("asleep", "nothing pending", |o| o["status"]["delivery"]["pending"] == 1).await;
    world.receiver.stays_quiet(Duration::from_millis(500)).await.unwrap();
    world.patch("asleep", &suspend(false)).await;
    world.requests("asleep", 1).await;
    world.config_map("marker", json!({})).await;
    world.requests("asleep", 2).await;
    assert_eq!(told_since(&world, "asleep", 0), [pair("new", "after"), pair("new", "marker")]);
}

#[tokio::test]
async fn suspending_while_the_endpoint_is_down_stops_the_probes_too() {
    let world = World::shared().await;
    world.receiver.set_default(Reply::Status(503));
    world.subscribe("outage", json!({"retryPolicy": {"initialDelaySeconds": 1, "maxDelaySeconds": 1}})).await;
    for n in 0..3 {
        world.config_map(&format!("a{n}"), json!({})).await;
    }
    world.until("outage", "not open", |o| o["status"]["endpoint"]["breaker"] == "Open").await;
    suspended(&world, "outage").await;
    world.until("outage", "in flight", |o| o["status"]["delivery"]["inFlight"] == 0).await;
    world.receiver.stays_quiet(Duration::from_secs(3)).await.unwrap();
    world.receiver.set_default(Reply::Status(200));
    world.patch("outage", &suspend(false)).await;
    world.until("outage", "not all delivered", |o| o["status"]["totals"]["delivered"] == 3).await;
    let object = world.until("outage", "not closed", |o| o["status"]["endpoint"]["breaker"] != "Open").await;
    assert_eq!(object["status"]["delivery"]["parked"], 0);
}
