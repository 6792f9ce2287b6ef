//! /metrics after known traffic.

use std::collections::BTreeSet;

use serde_json::json;
use testbed::fault_proxy::Matcher;
use testbed::{FaultProxy, Operator, Reply, eventually};

use crate::world::{SOON, World, verified};

/// Waits until the series has the value.
async fn has(operator: &Operator, series: &str, value: f64) {
    let look = || async {
        let found = operator.metric(series).await.map_err(|error| error.to_string())?;
        if found == Some(value) { Ok(()) } else { Err(format!("{series} is {found:?}, not {value}")) }
    };
    if let Err(error) = eventually(SOON, look).await {
        panic!("{error}\n{}", operator.metrics().await.unwrap_or_default());
    }
}

/// Every label with its value, of the families of this program.
fn labels(text: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, rest)) = line.split_once('{') else { continue };
        let (inside, _) = rest.rsplit_once('}').expect("labels end");
        for pair in inside.split("\",") {
            let (name, value) = pair.split_once("=\"").expect("a label has a value");
            found.insert((name.to_owned(), value.trim_end_matches('"').to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn metrics_count_what_happened_under_labels_of_closed_sets() {
    let mut world = World::private().await;
    let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
    let mut options = world.operator_options();
    options.server_override = Some(proxy.url());
    let operator = Operator::start(options).await.expect("the operator gets ready");
    world.operator = Some(operator.into());
    let operator = world.operator();
    let zero = operator.metrics().await.expect("there are metrics");
    for family in ["attempts", "deliveries"] {
        let series = format!("changehook_{family}_total{{outcome=\"Delivered\"}} 0");
        assert!(zero.contains(&series), "a rate needs a beginning: {zero}");
    }

    world.subscribe("counted", json!({"retryPolicy": {"initialDelaySeconds": 1}})).await;
    world.receiver.script("/counted", vec![Reply::Status(503)]);
    // one failure and a retry, then: new, updated, removed
    world.config_map("flaky", json!({})).await;
    world.requests("counted", 2).await;
    world.config_map("flaky", json!({"n": "2"})).await;
    world.requests("counted", 3).await;
    world.kubectl(&["delete", "configmap", "flaky"]).await;
    world.requests("counted", 4).await;
    // and one that the endpoint never wants
    let poison = |request: &testbed::receiver::Request| {
        let name = verified(request)["change"]["resource"]["name"].as_str() == Some("poison");
        name.then_some(Reply::Status(400))
    };
    world.receiver.rule(poison);
    world.config_map("poison", json!({})).await;

    has(operator, "changehook_deliveries_total{outcome=\"ParkedEvent\"}", 1.0).await;
    has(operator, "changehook_deliveries_total{outcome=\"Delivered\"}", 3.0).await;
    has(operator, "changehook_deliveries_total{outcome=\"ParkedEndpoint\"}", 0.0).await;
    has(operator, "changehook_attempts_total{outcome=\"Delivered\"}", 3.0).await;
    has(operator, "changehook_attempts_total{outcome=\"ServerError\"}", 1.0).await;
    has(operator, "changehook_attempts_total{outcome=\"ClientError\"}", 1.0).await;
    has(operator, "changehook_delivery_latency_seconds_count", 3.0).await;
    has(operator, "changehook_attempt_duration_seconds_count", 5.0).await;
    has(operator, "changehook_parked", 1.0).await;
    has(operator, "changehook_pending", 0.0).await;
    has(operator, "changehook_retrying", 0.0).await;
    has(operator, "changehook_attempts_in_flight", 0.0).await;
    // one delivery took at least the second of its retry, and no request takes that long here
    let metrics = operator.metrics().await.expect("there are metrics");
    let sum = operator.metric("changehook_delivery_latency_seconds_sum").await.expect("a number").unwrap_or_default();
    assert!(sum >= 0.9, "{metrics}");

    // the subscription's kind, in all namespaces
    let held = world.kubectl(&["get", "configmaps", "--all-namespaces", "-o", "name"]).await.lines().count();
    has(operator, "changehook_objects_held", held as f64).await;
    has(operator, "changehook_watch_sources", 1.0).await;

    world.receiver.script_forever("/counted", vec![Reply::Status(500)]);
    world.config_map("stuck", json!({})).await;
    has(operator, "changehook_retrying", 1.0).await;
    has(operator, "changehook_pending", 1.0).await;

    let series = "changehook_watch_restarts_total{reason=\"Lost\"}";
    let before = operator.metric(series).await.expect("a number").unwrap_or_default();
    assert_eq!(proxy.cut_open_watches(&Matcher::watches("configmaps")), 1);
    has(operator, series, before + 1.0).await;

    // nothing of a tenant's is a label, and every label is known
    let text = operator.metrics().await.expect("there are metrics");
    for word in ["counted", "poison", "stuck", "127.0.0.1", world.namespace.as_str()] {
        assert!(!text.contains(word), "{word} is in {text}");
    }
    let names: BTreeSet<_> = labels(&text).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["kind", "le", "outcome", "reason", "role", "version"].map(str::to_owned).into());
    assert_eq!(labels(&text).len(), labels(&zero).union(&labels(&text)).count(), "no label value went away");
    assert!(text.ends_with("# EOF\n"), "the text is whole");
}
