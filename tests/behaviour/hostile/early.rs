//! Endpoints that refuse a request before they have read it.

use serde_json::json;
use testbed::Reply;

use crate::world::World;

/// From one that fits the sockets' buffers to the largest object that the API server takes. A body has 2 MiB at most.
const SIZES: [usize; 3] = [100_000, 750_000, 1_400_000];

#[tokio::test]
async fn a_refusal_that_comes_before_the_body_is_read_is_seen_whatever_the_bodys_size() {
    let world = World::shared().await;
    world.widgets().await;
    world.receiver.script_forever("/early", vec![Reply::BeforeBody(413)]);
    let resources = json!([{"apiVersion": "example.com/v1", "kind": "Widget"}]);
    world.subscribe("early", json!({"resources": resources, "payload": {"maxBytes": 2_097_152}})).await;
    for (number, size) in SIZES.into_iter().enumerate() {
        world.widget(&format!("of-{size}"), json!({"text": "x".repeat(size)})).await;
        let parked = number + 1;
        let object =
            world.until("early", "not parked", |object| object["status"]["delivery"]["parked"] == parked).await;
        let error = &object["status"]["endpoint"]["lastError"];
        assert_eq!((&error["reason"], &error["httpStatus"]), (&json!("ClientError"), &json!(413)), "{size}: {error}");
    }
    let requests = world.receiver.requests("/early");
    assert_eq!(requests.len(), SIZES.len(), "each was refused once");
    let promised = |request: &testbed::receiver::Request| request.header("content-length")?.parse::<usize>().ok();
    assert!(
        requests.iter().zip(SIZES).all(|(request, size)| promised(request) >= Some(size)),
        "the objects were in them"
    );
    // and it goes on with whoever is taken
    world.receiver.script("/early", vec![]);
    world.widget("small", json!({})).await;
    world.requests("early", SIZES.len() + 1).await;
}
