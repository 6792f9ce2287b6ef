//! Helm 4 waits for custom resources by kstatus: for what a subscription lacks, and not for its endpoint.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::process::Output;

use crate::history::said;
use crate::world::{KEY, World, root};

const NAME: &str = "orders";

/// `helm VERB --wait` of the chart beside this file.
async fn helm(world: &World, verb: &str, timeout: &str, values: &Value) -> Output {
    let chart = root().join("tests/gitops/chart").display().to_string();
    let rest = ["--wait", "--timeout", timeout, "--namespace", &world.namespace, "--values", "-", NAME, &chart];
    world.plane().helm(&[&[verb], &rest[..]].concat(), values).await.expect("helm runs")
}

#[tokio::test]
async fn helm_does_not_wait_for_an_endpoint_that_is_dead() {
    let world = World::shared().await;
    world.receiver.go_down().await.expect("it goes down");
    let values = json!({"url": world.receiver.url("/orders"), "key": KEY});
    let output = helm(&world, "install", "60s", &values).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    assert!(said(&world.get(NAME).await, "Ready").starts_with("True("), "it was waited for");
    world.condition(NAME, "EndpointHealthy", "False", "ConnectFailed").await;
    // nor when it is known to be dead
    let output = helm(&world, "upgrade", "60s", &values).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    assert_eq!(said(&world.get(NAME).await, "EndpointHealthy"), "False(ConnectFailed)");
}

#[tokio::test]
async fn helm_waits_for_a_missing_secret_and_gives_up_at_its_timeout() {
    let world = World::shared().await;
    let begun = Instant::now();
    let output = helm(&world, "install", "6s", &json!({"url": world.receiver.url("/orders")})).await;
    assert!(!output.status.success() && begun.elapsed() >= Duration::from_secs(6), "{}", output.stdout);
    let said_so = output.stderr.contains("InProgress") && output.stderr.contains(NAME);
    assert!(said_so, "it says what it waited for: {}", output.stderr);
    world.condition(NAME, "Ready", "False", "SecretNotFound").await;
    // the Secret is what it waited for
    let values = json!({"url": world.receiver.url("/orders"), "key": KEY});
    let output = helm(&world, "upgrade", "60s", &values).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    assert!(said(&world.get(NAME).await, "Ready").starts_with("True("));
}

#[tokio::test]
async fn helm_fails_at_once_where_only_an_edit_helps() {
    let world = World::shared().await;
    let begun = Instant::now();
    let values = json!({"url": "https://169.254.169.254/", "key": KEY});
    let output = helm(&world, "install", "300s", &values).await;
    assert!(!output.status.success() && begun.elapsed() < Duration::from_mins(1), "{}", output.stdout);
    assert!(output.stderr.contains("Failed") && output.stderr.contains(NAME), "{}", output.stderr);
}
