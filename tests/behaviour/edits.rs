//! What an edit of a subscription does to what is owed, to what is selected, and to what is under way.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::Reply;

use crate::history::said;
use crate::world::{World, told, verified};

async fn edit(world: &World, name: &str, spec: Value) {
    world.patch(name, &json!({"spec": spec})).await;
    world.ready(name).await;
}

async fn labelled(world: &World, name: &str, labels: Value, data: Value) {
    let metadata = json!({"name": name, "labels": labels});
    world
        .apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).to_string())
        .await;
}

/// Sends a marker and gives everything that came before it, in order.
async fn until_marker(world: &World, path: &str, from: usize) -> Vec<(String, String)> {
    labelled(world, "marker", json!({"app": "web"}), json!({"from": from.to_string()})).await;
    let path = format!("/{path}");
    let marked = |all: &[testbed::receiver::Request]| {
        all.iter().filter(|request| request.path() == path).skip(from).any(|request| told(request).1 == "marker")
    };
    world.receiver.wait_until(marked, crate::world::SOON).await.expect("the marker comes");
    let sent = world.receiver.requests(&path);
    sent.iter().skip(from).map(told).take_while(|(_, name)| name != "marker").collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(change, name)| ((*change).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test]
async fn a_new_url_gets_what_is_pending_and_nothing_that_was_delivered() {
    let world = World::shared().await;
    world.subscribe("old", json!({"retryPolicy": {"initialDelaySeconds": 1}})).await;
    world.config_map("delivered", json!({})).await;
    world.requests("old", 1).await;
    world.receiver.script_forever("/old", vec![Reply::Status(503)]);
    world.config_map("owed", json!({})).await;
    world.requests("old", 2).await;
    edit(&world, "old", json!({"endpoint": {"url": world.receiver.url("/new")}})).await;
    world.requests("new", 1).await;
    assert_eq!(until_marker(&world, "new", 0).await, pairs(&[("new", "owed")]));
    let old = world.receiver.requests("/old").len();
    assert!(old <= 3, "{old} requests to the old URL");
}

#[tokio::test]
async fn a_new_url_frees_what_was_parked_and_ends_the_outage() {
    let world = World::shared().await;
    world.receiver.script_forever("/down", vec![Reply::Status(503)]);
    world.subscribe("down", json!({"retryPolicy": {"maxRetries": 0}})).await;
    world.config_map("a", json!({})).await;
    let object = world.until("down", "not parked", |o| o["status"]["delivery"]["parked"] == 1).await;
    assert_eq!(object["status"]["endpoint"]["breaker"], "Open");
    edit(&world, "down", json!({"endpoint": {"url": world.receiver.url("/up")}})).await;
    world.requests("up", 1).await;
    let object = world.until("down", "not delivered", |o| o["status"]["totals"]["delivered"] == 1).await;
    assert_eq!(
        (&object["status"]["endpoint"]["breaker"], &object["status"]["delivery"]["parked"]),
        (&json!("Closed"), &json!(0))
    );
}

#[tokio::test]
async fn a_new_url_is_neither_healthy_nor_not_until_it_has_answered() {
    let world = World::shared().await;
    world.subscribe("proven", json!({})).await;
    world.config_map("a", json!({})).await;
    world.condition("proven", "EndpointHealthy", "True", "Delivering").await;
    edit(&world, "proven", json!({"endpoint": {"url": world.receiver.url("/unproven")}})).await;
    let object = world.get("proven").await;
    assert_eq!(said(&object, "EndpointHealthy"), "Unknown(NoDeliveryYet)");
    world.config_map("b", json!({})).await;
    world.condition("proven", "EndpointHealthy", "True", "Delivering").await;
    assert_eq!(world.receiver.requests("/unproven").len(), 1);
}

#[tokio::test]
async fn method_and_headers_of_the_next_request_are_those_of_the_edit() {
    let world = World::shared().await;
    world.subscribe("head", json!({"endpoint": {"headers": [{"name": "X-Old", "value": "1"}]}})).await;
    world.config_map("a", json!({"n": "1"})).await;
    world.requests("head", 1).await;
    let headers = json!([{"name": "X-New", "value": "2"}]);
    edit(&world, "head", json!({"endpoint": {"method": "PUT", "headers": headers}})).await;
    world.config_map("a", json!({"n": "2"})).await;
    let requests = world.requests("head", 2).await;
    let shown = |n: usize| (requests[n].method.clone(), requests[n].header("x-old"), requests[n].header("x-new"));
    assert_eq!(shown(0), ("POST".to_owned(), Some("1"), None));
    assert_eq!(shown(1), ("PUT".to_owned(), None, Some("2")));
}

#[tokio::test]
async fn a_wider_selection_is_silent_about_what_exists_and_tells_what_changes() {
    let world = World::shared().await;
    let web = json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": {"matchLabels": {"app": "web"}}}]});
    world.subscribe("wide", web).await;
    labelled(&world, "web", json!({"app": "web"}), json!({})).await;
    labelled(&world, "db", json!({"app": "db"}), json!({})).await;
    world.requests("wide", 1).await;
    edit(&world, "wide", json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}]})).await;
    assert_eq!(until_marker(&world, "wide", 1).await, []);
    labelled(&world, "db", json!({"app": "db"}), json!({"n": "1"})).await;
    let requests = world.requests("wide", 3).await;
    assert_eq!(told(&requests[2]), ("updated".to_owned(), "db".to_owned()));
}

#[tokio::test]
async fn a_narrower_selection_is_silent_about_what_exists_and_about_what_becomes_of_it() {
    let world = World::shared().await;
    world.subscribe("narrow", json!({})).await;
    labelled(&world, "web", json!({"app": "web"}), json!({})).await;
    labelled(&world, "db", json!({"app": "db"}), json!({})).await;
    world.requests("narrow", 2).await;
    let web = json!([{"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": {"matchLabels": {"app": "web"}}}]);
    edit(&world, "narrow", json!({"resources": web})).await;
    labelled(&world, "db", json!({"app": "db"}), json!({"n": "1"})).await;
    world.kubectl(&["delete", "configmap", "db"]).await;
    assert_eq!(until_marker(&world, "narrow", 2).await, []);
    // A label that goes is a change of the object, not of the subscription: it is told.
    labelled(&world, "web", json!({"app": "other"}), json!({})).await;
    let requests = world.requests("narrow", 4).await;
    assert_eq!(told(&requests[3]), ("removed".to_owned(), "web".to_owned()));
    let object = world.until("narrow", "pending", |o| o["status"]["delivery"]["pending"] == 0).await;
    assert_eq!(object["status"]["delivery"]["parked"], 0);
}

#[tokio::test]
async fn what_an_edit_drops_is_owed_no_more_but_what_was_gone_before_is_still_told() {
    let world = World::shared().await;
    world.receiver.script_forever("/dropped", vec![Reply::Status(503)]);
    world.subscribe("dropped", json!({"retryPolicy": {"initialDelaySeconds": 1}})).await;
    labelled(&world, "dropped", json!({"app": "db"}), json!({})).await;
    labelled(&world, "gone", json!({"app": "db"}), json!({})).await;
    world.requests("dropped", 2).await;
    world.kubectl(&["delete", "configmap", "gone"]).await;
    world.until("dropped", "not both pending", |o| o["status"]["delivery"]["pending"] == 2).await;
    world.patch("dropped", &json!({"spec": {"suspend": true}})).await;
    world
        .until("dropped", "in flight", |o| said(o, "Suspended") != "-" && o["status"]["delivery"]["inFlight"] == 0)
        .await;
    let sent = world.receiver.requests("/dropped").len();
    world.receiver.script("/dropped", vec![]);
    let services = json!([{"apiVersion": "v1", "kind": "Service"}]);
    edit(&world, "dropped", json!({"suspend": false, "resources": services})).await;
    let requests = world.requests("dropped", sent + 1).await;
    assert_eq!(told(&requests[sent]), ("removed".to_owned(), "gone".to_owned()));
    let object = world.until("dropped", "still owed", |o| o["status"]["delivery"]["pending"] == 0).await;
    let delivery = &object["status"]["delivery"];
    assert_eq!((&delivery["retrying"], &delivery["parked"]), (&json!(0), &json!(0)), "{:#}", object["status"]);
    assert_eq!(object["status"]["retries"], Value::Null);
    assert_eq!(world.receiver.requests("/dropped").len(), sent + 1);
}

#[tokio::test]
async fn a_kind_can_be_added_and_taken_away() {
    let world = World::shared().await;
    world.subscribe("kinds", json!({})).await;
    world.config_map("a", json!({})).await;
    world.requests("kinds", 1).await;
    let service = |name: &str, port: u16| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": port}]}});
    world.apply(&service("existing", 80).to_string()).await;
    let both = json!([{"apiVersion": "v1", "kind": "ConfigMap"}, {"apiVersion": "v1", "kind": "Service"}]);
    edit(&world, "kinds", json!({"resources": both})).await;
    assert_eq!(until_marker(&world, "kinds", 1).await, []);
    world.apply(&service("fresh", 80).to_string()).await;
    let requests = world.requests("kinds", 3).await;
    assert_eq!(told(&requests[2]), ("new".to_owned(), "fresh".to_owned()));
    edit(&world, "kinds", json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}]})).await;
    world.apply(&service("fresh", 81).to_string()).await;
    world.kubectl(&["delete", "service", "existing"]).await;
    assert_eq!(until_marker(&world, "kinds", 3).await, []);
}

#[tokio::test]
async fn changes_that_are_not_subscribed_are_taken_note_of_and_an_edit_of_them_sends_nothing_by_itself() {
    let world = World::shared().await;
    world.subscribe("types", json!({"changeTypes": ["Updated"]})).await;
    labelled(&world, "a", json!({"app": "web"}), json!({"n": "1"})).await;
    labelled(&world, "a", json!({"app": "web"}), json!({"n": "2"})).await;
    let first = world.requests("types", 1).await;
    assert_eq!(told(&first[0]), ("updated".to_owned(), "a".to_owned()));
    world.kubectl(&["delete", "configmap", "a"]).await;
    edit(&world, "types", json!({"changeTypes": ["New", "Removed"]})).await;
    labelled(&world, "b", json!({}), json!({"n": "1"})).await;
    world.requests("types", 2).await;
    labelled(&world, "b", json!({}), json!({"n": "2"})).await;
    assert_eq!(until_marker(&world, "types", 1).await, pairs(&[("new", "b")]));
    edit(&world, "types", json!({"changeTypes": ["New", "Updated", "Removed"]})).await;
    labelled(&world, "b", json!({}), json!({"n": "3"})).await;
    let requests = world.requests("types", 4).await;
    assert_eq!(told(&requests[3]), ("updated".to_owned(), "b".to_owned()));
    world.kubectl(&["delete", "configmap", "b"]).await;
    let requests = world.requests("types", 5).await;
    assert_eq!(told(&requests[4]), ("removed".to_owned(), "b".to_owned()));
}

#[tokio::test]
async fn max_in_flight_holds_after_an_edit_as_before() {
    let world = World::shared().await;
    world.receiver.set_default(Reply::Status(200).after(Duration::from_millis(300)));
    world.subscribe("flight", json!({"endpoint": {"maxInFlight": 1}})).await;
    let batch = |prefix: &str| -> String {
        let maps = (0..12).map(|n| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{prefix}{n}")}}).to_string()
        });
        maps.collect::<Vec<_>>().join("\n---\n")
    };
    world.apply(&batch("one")).await;
    let requests = world.requests("flight", 12).await;
    let most = |requests: &[testbed::receiver::Request]| testbed::receiver::max_in_flight(requests, |_| Some(()))[&()];
    assert_eq!(most(&requests), 1);
    edit(&world, "flight", json!({"endpoint": {"maxInFlight": 6}})).await;
    world.apply(&batch("six")).await;
    let requests = world.requests("flight", 24).await;
    let most = most(&requests[12..]);
    assert!((2..=6).contains(&most), "{most}");
}

#[tokio::test]
async fn a_deleted_subscription_sends_nothing_more_though_a_retry_was_planned() {
    let world = World::shared().await;
    world.receiver.script_forever("/doomed", vec![Reply::Status(503)]);
    world.subscribe("doomed", json!({"retryPolicy": {"initialDelaySeconds": 2}})).await;
    world.config_map("a", json!({})).await;
    world.until("doomed", "no retry", |o| o["status"]["delivery"]["retrying"] == 1).await;
    world.kubectl(&["delete", "whsub", "doomed"]).await;
    // A second subscription to another path shows that deletion was seen: it is handled in order.
    world.apply(&world.subscription("next", json!({})).to_string()).await;
    world.ready("next").await;
    let sent = world.receiver.requests("/doomed").len();
    assert!(sent <= 2, "{sent}");
    world.receiver.stays_quiet(Duration::from_secs(5)).await.unwrap();

    // Its namesake owes nothing of it: what exists is known, what changes is told.
    world.receiver.script("/doomed", vec![]);
    world.apply(&world.subscription("doomed", json!({})).to_string()).await;
    world.ready("doomed").await;
    assert_eq!(until_marker(&world, "doomed", sent).await, []);
}

#[tokio::test]
async fn a_subscription_applied_again_without_a_change_sends_nothing() {
    let world = World::shared().await;
    world.subscribe("same", json!({})).await;
    world.config_map("a", json!({})).await;
    world.requests("same", 1).await;
    world.subscribe("same", json!({})).await;
    world.kubectl(&["label", "whsub", "same", "touched=yes"]).await;
    world.kubectl(&["annotate", "whsub", "same", "touched=yes"]).await;
    assert_eq!(until_marker(&world, "same", 1).await, []);
    let object = world.get("same").await;
    assert_eq!(object["metadata"]["generation"], 1);
}

#[tokio::test]
async fn edits_in_quick_succession_end_in_the_last_one() {
    let world = World::shared().await;
    world.subscribe("hectic", json!({})).await;
    for n in 0..15 {
        let url = world.receiver.url(&format!("/hectic{n}"));
        world.patch("hectic", &json!({"spec": {"suspend": n % 2 == 1, "endpoint": {"url": url}}})).await;
    }
    world.ready("hectic").await;
    world.config_map("a", json!({})).await;
    let requests = world.requests("hectic14", 1).await;
    assert_eq!(verified(&requests[0])["change"]["resource"]["name"], "a");
    assert_eq!(world.receiver.all_requests().len(), 1);
}
