//! The whole way of one change.

use serde_json::json;

use crate::world::{World, told, verified};

#[tokio::test]
async fn a_change_of_a_config_map_reaches_the_endpoint_signed() {
    let world = World::shared().await;
    world.subscribe("slice", json!({})).await;
    world.config_map("greeting", json!({"text": "hello"})).await;
    let requests = world.requests("slice", 1).await;
    let body = verified(&requests[0]);
    assert_eq!(body["event"], "change.detected");
    assert_eq!(body["change"]["change_type"], "new");
    assert_eq!(body["change"]["object"]["data"], json!({"text": "hello"}));

    world.config_map("greeting", json!({"text": "hello again"})).await;
    world.requests("slice", 2).await;
    world.kubectl(&["delete", "configmap", "greeting"]).await;
    let requests = world.requests("slice", 3).await;
    let all: Vec<_> = requests.iter().map(told).collect();
    assert_eq!(all.iter().map(|(change, _)| change.as_str()).collect::<Vec<_>>(), ["new", "updated", "removed"]);
    assert!(all.iter().all(|(_, name)| name == "greeting"));
    let sequences: Vec<_> = requests.iter().map(|r| verified(r)["change"]["sequence"].as_u64()).collect();
    assert!(sequences.is_sorted() && sequences[0] < sequences[2], "{sequences:?}");
}
