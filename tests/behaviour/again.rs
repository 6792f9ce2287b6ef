//! What is told although nothing changed: because somebody asks, because it existed before, or because the ledger is lost;
//! and what is not told any more.

use serde_json::json;
use testbed::Reply;

use crate::history::said;
use crate::world::{World, pair, told, told_since, verified};

const ANNOTATION: &str = "changehook.dev/resync-requested-at";

#[tokio::test]
async fn an_annotation_and_a_request_id_ask_for_everything_again_and_the_status_repeats_them() {
    let world = World::shared().await;
    world.subscribe("asked", json!({})).await;
    world.config_map("a", json!({})).await;
    world.config_map("b", json!({})).await;
    world.requests("asked", 2).await;
    let generation = world.get("asked").await["metadata"]["generation"].clone();

    world.kubectl(&["annotate", "whsub", "asked", &format!("{ANNOTATION}=monday")]).await;
    let requests = world.requests("asked", 4).await;
    assert_eq!(told_since(&world, "asked", 2), [pair("updated", "a"), pair("updated", "b")]);
    let sequences: Vec<_> = requests.iter().map(|r| verified(r)["change"]["sequence"].as_u64()).collect();
    assert!(sequences[..2].iter().max() < sequences[2..].iter().min(), "{sequences:?}");
    let echoed = |o: &serde_json::Value| o["status"]["resync"] == json!({"observedRequestedAt": "monday"});
    let object = world.until("asked", "the annotation is not repeated", echoed).await;
    assert_eq!(object["metadata"]["generation"], generation, "nothing of the spec was touched");

    world.patch("asked", &json!({"spec": {"resync": {"requestID": "1", "scope": "All"}}})).await;
    world.requests("asked", 6).await;
    let both = json!({"observedRequestedAt": "monday", "observedRequestID": "1"});
    world.until("asked", "the request is not repeated", |o| o["status"]["resync"] == both).await;
    // a marker: whatever was sent for a request that was seen before would be here before it
    world.patch("asked", &json!({"spec": {"resync": null}})).await;
    world.patch("asked", &json!({"spec": {"resync": {"requestID": "1", "scope": "All"}}})).await;
    world.ready("asked").await;
    world.config_map("marker", json!({})).await;
    let requests = world.requests("asked", 7).await;
    assert_eq!(told(&requests[6]), pair("new", "marker"));
}

#[tokio::test]
async fn what_exists_already_is_told_if_the_subscription_asks_for_it() {
    let world = World::shared().await;
    world.config_map("before", json!({})).await;
    world.subscribe("notified", json!({"initialSync": "Notify"})).await;
    let requests = world.requests("notified", 1).await;
    assert_eq!(told(&requests[0]), pair("new", "before"));
}

#[tokio::test]
async fn an_edit_of_the_selection_tells_what_it_brings_in_and_takes_out_if_asked_to() {
    let world = World::shared().await;
    let names = |names: &[&str]| json!([{"apiVersion": "v1", "kind": "ConfigMap", "names": names}]);
    world.config_map("in", json!({})).await;
    world.config_map("out", json!({})).await;
    world.subscribe("edited", json!({"resources": names(&["in"]), "selectionChange": "Notify"})).await;
    world.patch("edited", &json!({"spec": {"resources": names(&["out"])}})).await;
    world.requests("edited", 2).await;
    assert_eq!(told_since(&world, "edited", 0), [pair("new", "out"), pair("removed", "in")]);
}

#[tokio::test]
async fn what_is_refused_is_discarded_and_counted_if_asked_to() {
    let world = World::shared().await;
    world.subscribe("discarding", json!({"retryPolicy": {"onExhausted": "Discard"}})).await;
    world.receiver.set_default(Reply::Status(422));
    world.config_map("a", json!({})).await;
    let object =
        world.until("discarding", "not discarded", |object| object["status"]["totals"]["discarded"] == 1).await;
    assert_eq!(
        (&object["status"]["delivery"]["parked"], &object["status"]["delivery"]["pending"]),
        (&json!(0), &json!(0))
    );
    world.receiver.set_default(Reply::Status(200));
    world.config_map("a", json!({"n": "1"})).await;
    let requests = world.requests("discarding", 2).await;
    assert_eq!(told(&requests[1]), pair("updated", "a"));
}

#[tokio::test]
async fn a_ledger_that_was_deleted_is_a_loss_that_is_told_and_everything_is_sent_again() {
    let mut world = World::private().await;
    world.start_operator().await;
    world.subscribe("lost", json!({})).await;
    world.config_map("a", json!({})).await;
    world.config_map("b", json!({})).await;
    world.requests("lost", 2).await;
    world.until("lost", "no baseline", |object| object["status"]["ledger"]["entries"] == 2).await;
    assert!(world.operator().stop().await.expect("it ends").success());
    let ledger = world.plane().ledger(&world.operator_options().namespace).await.expect("the ledger can be reached");
    ledger.clear().await.expect("it can be deleted");

    world.receiver.set_default(Reply::Status(503));
    world.start_operator().await;
    let object = world.until("lost", "not lost", |o| said(o, "LedgerIntact") == "False(LedgerLost)").await;
    assert_eq!(said(&object, "Ready"), "True(Watching)");
    world.receiver.set_default(Reply::Status(200));
    world.until("lost", "not made up for", |o| said(o, "LedgerIntact") == "True(Intact)").await;
    let again = world.receiver.requests("/lost").into_iter().skip(2).filter(|request| request.status == Some(200));
    let mut again: Vec<_> = again.map(|request| told(&request)).collect();
    again.sort();
    assert_eq!(again, [pair("new", "a"), pair("new", "b")]);
    let events = world.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]).await;
    assert!(events.contains("LedgerLost") && events.contains("Intact"), "{events}");
}
