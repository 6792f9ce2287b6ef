//! An endpoint whose URL is in a Secret: judged as one in the subscription is, and never shown.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Receiver, Reply};

use crate::world::{SOON, World, condition, verified};

/// Secrets of a subscription that has something parked are read again every 30 s.
const A_LOOK: Duration = Duration::from_secs(90);
const PLACE: &str = "spec.endpoint.urlFrom.secretKeyRef: ";

async fn hook(world: &World, url: &str) {
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook"}, "stringData": {"url": url}});
    world.apply(&secret.to_string()).await;
}

async fn subscribe(world: &World, name: &str, patch: Value) {
    let mut subscription = world.subscription(name, patch);
    let endpoint = subscription["spec"]["endpoint"].as_object_mut().expect("it is an object");
    endpoint.remove("url");
    endpoint.insert("urlFrom".to_owned(), json!({"secretKeyRef": {"name": "hook", "key": "url"}}));
    world.secret().await;
    world.apply(&subscription.to_string()).await;
}

async fn waiting(world: &World, name: &str, reason: &str) -> String {
    let ready = world.condition(name, "Ready", "False", reason).await;
    let object = world.get(name).await;
    assert_eq!(condition(&object, "Reconciling").map(|found| &found["status"]), Some(&json!("True")), "{object:#}");
    assert_eq!(condition(&object, "Stalled"), None);
    let message = ready["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with(PLACE), "{message}");
    message
}

#[tokio::test]
async fn requests_go_to_the_url_in_the_secret_of_which_the_status_shows_the_host() {
    let world = World::shared().await;
    hook(&world, &world.receiver.url("/from/zq9-planted-path?token=zq9-planted-query")).await;
    subscribe(&world, "from", json!({})).await;
    let object = world.ready("from").await;
    assert_eq!(object["status"]["endpoint"]["host"], world.receiver.address().to_string());
    world.config_map("thing", json!({})).await;
    let requests = world.receiver.wait_for("/from/zq9-planted-path", 1, SOON).await.expect("it is sent");
    assert_eq!(requests[0].target, "/from/zq9-planted-path?token=zq9-planted-query");
    assert_eq!(verified(&requests[0])["change"]["resource"]["name"], "thing");
    let mut text = world.get("from").await["status"].to_string();
    text += &world.kubectl(&["get", "events.events.k8s.io", "-o", "json"]).await;
    text += &world.operator().log();
    text += &world.operator().metrics().await.expect("there are metrics");
    assert!(!text.contains("zq9-planted"), "the URL is shown");
}

#[tokio::test]
async fn what_is_no_url_or_a_refused_one_holds_the_subscription_until_the_secret_is_corrected() {
    let world = World::shared().await;
    subscribe(&world, "odd", json!({})).await;
    assert!(waiting(&world, "odd", "SecretNotFound").await.contains("create it"));
    for (value, reason, says) in [
        ("zq9-planted", "SecretInvalid", "must start with https://"),
        ("", "SecretInvalid", "empty value"),
        ("https://hooks.example/zq9-planted\n", "SecretInvalid", "line break"),
        ("https://zq9-planted@hooks.example/", "SecretInvalid", "user information"),
        ("https://hooks.example/#zq9-planted", "SecretInvalid", "fragment"),
        ("https://hooks.example/zq9-planted zq9-planted", "SecretInvalid", "whitespace"),
        ("ftp://hooks.example/zq9-planted", "SecretInvalid", "must start with https://"),
        ("http://10.0.0.1/zq9-planted", "AddressRefused", "--allow-cidr"),
        ("http://169.254.169.254/zq9-planted", "AddressRefused", "--allow-cidr"),
    ] {
        hook(&world, value).await;
        let told = |object: &Value| {
            condition(object, "Ready").is_some_and(|ready| {
                ready["reason"] == reason && ready["message"].as_str().is_some_and(|message| message.contains(says))
            })
        };
        world.until("odd", &format!("does not say {says:?}"), told).await;
        let message = waiting(&world, "odd", reason).await;
        assert!(!message.contains("zq9-planted") && message.contains("hook"), "{message}");
    }
    world.config_map("held", json!({})).await;
    hook(&world, &world.receiver.url("/odd")).await;
    let requests = world.receiver.wait_for("/odd", 1, A_LOOK).await.expect("it starts by itself");
    assert_eq!(verified(&requests[0])["change"]["resource"]["name"], "held");
    world.ready("odd").await;
}

#[tokio::test]
async fn an_edited_url_is_used_within_seconds_and_the_status_shows_the_new_host() {
    let world = World::shared().await;
    let other = Receiver::start().await.expect("a receiver starts");
    hook(&world, &world.receiver.url("/before")).await;
    subscribe(&world, "edited", json!({})).await;
    world.ready("edited").await;
    world.config_map("thing", json!({})).await;
    world.requests("before", 1).await;

    hook(&world, &other.url("/after")).await;
    let edited = Instant::now();
    let mut sent = 1;
    while other.requests("/after").is_empty() {
        sent += 1;
        world.config_map("thing", json!({"sent": sent.to_string()})).await;
        let arrived = async || {
            let all = world.receiver.requests("/before").len() + other.requests("/after").len();
            (all >= sent).then_some(())
        };
        testbed::eventually(SOON, arrived).await.expect("it is sent to one of them");
    }
    let last = world.receiver.requests("/before").iter().map(|request| request.arrived).max().expect("there was one");
    assert!(last.saturating_duration_since(edited) < Duration::from_secs(7), "the old URL was still used");
    let host = other.address().to_string();
    world.until("edited", "not the new host", |object| object["status"]["endpoint"]["host"] == host).await;
}

#[tokio::test]
async fn what_is_parked_is_sent_to_the_new_url_once_the_secret_is_edited() {
    let world = World::shared().await;
    world.receiver.script("/gone", vec![Reply::Status(410)]);
    hook(&world, &world.receiver.url("/gone")).await;
    subscribe(&world, "moved", json!({})).await;
    world.ready("moved").await;
    world.config_map("thing", json!({})).await;
    world.until("moved", "not parked", |object| object["status"]["delivery"]["parked"] == 1).await;
    hook(&world, &world.receiver.url("/here")).await;
    let requests = world.receiver.wait_for("/here", 1, A_LOOK).await.expect("it is sent again");
    assert_eq!(requests[0].header("webhook-id"), world.receiver.requests("/gone")[0].header("webhook-id"));
    world.until("moved", "still parked", |object| object["status"]["delivery"]["parked"] == 0).await;
}
