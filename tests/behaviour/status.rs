//! What the status says after every attempt, and that it says it to nobody else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testbed::{Reply, marks, planted};

use crate::history::{History, QUERY, lint, said};
use crate::world::{KEY, World, verified};

/// Retries after 1, 2 and 4 s.
fn quick() -> Value {
    json!({"retryPolicy": {"initialDelaySeconds": 1, "jitterPercent": 0}})
}

fn seconds(time: &Value) -> u64 {
    let time: jiff::Timestamp = time.as_str().expect("a time").parse().expect("RFC 3339");
    u64::try_from(time.as_second()).expect("after 1970")
}

fn second_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[tokio::test]
async fn the_status_is_truthful_after_every_attempt_until_the_endpoint_has_the_change() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.receiver.script_forever("/truth", vec![Reply::Body(503, marks::MARK.as_bytes().to_vec())]);
    world.subscribe("truth", quick()).await;
    let before = second_of(SystemTime::now());
    world.config_map("a", json!({"k": "1"})).await;
    world.until("truth", "nothing is parked", |object| object["status"]["delivery"]["parked"] == 1).await;

    let requests = world.requests("truth", 4).await;
    let id = verified(&requests[0])["change"]["id"].clone();
    let versions = history.versions("truth");
    for attempt in 1..=3_usize {
        let shown = versions.iter().find(|object| object["status"]["retries"][0]["attempt"] == attempt);
        let status = &shown.unwrap_or_else(|| panic!("attempt {attempt} was never shown"))["status"];
        let retry = &status["retries"][0];
        assert_eq!((&retry["eventID"], &retry["changeType"]), (&id, &json!("New")));
        let about = &retry["objectRef"];
        assert_eq!(
            (&about["kind"], &about["name"], &about["apiVersion"]),
            (&json!("ConfigMap"), &json!("a"), &json!("v1"))
        );
        assert_eq!(about["namespace"], world.namespace.as_str());
        let error = &retry["lastError"];
        assert_eq!(
            (&error["class"], &error["reason"], &error["httpStatus"]),
            (&json!("Endpoint"), &json!("ServerError"), &json!(503))
        );
        assert_eq!(error["message"], "the endpoint answered 503");
        // whole seconds, cut off: the failure is not before the request, the next attempt not before the delay
        let failed = second_of(requests[attempt - 1].arrived_at);
        assert!((failed..=failed + 2).contains(&seconds(&error["time"])), "{error}");
        let next = seconds(&retry["nextAttemptTime"]);
        let delay = 1 << (attempt - 1);
        assert!((failed + delay..=failed + delay + 2).contains(&next), "{retry}");
        assert!(second_of(requests[attempt].arrived_at) >= next, "the attempt came before the time shown");
        assert_eq!((&status["delivery"]["pending"], &status["delivery"]["retrying"]), (&json!(1), &json!(1)));
        assert_eq!(status["endpoint"]["consecutiveFailures"], attempt);
        assert_eq!(
            (&status["endpoint"]["breaker"], &status["endpoint"]["attempt"]),
            (&json!("Closed"), &json!(attempt))
        );
        assert_eq!(status["endpoint"]["lastError"]["reason"], "ServerError");
        assert!(seconds(&status["delivery"]["oldestPendingTime"]) >= before);
    }
    let parked = world.get("truth").await["status"].clone();
    let sample = &parked["parkedSamples"][0];
    assert_eq!((&sample["eventID"], &sample["attempt"]), (&id, &json!(4)));
    assert_eq!((&sample["nextAttemptTime"], &parked["retries"]), (&Value::Null, &Value::Null));
    assert_eq!((&parked["delivery"]["pending"], &parked["delivery"]["oldestPendingTime"]), (&json!(0), &Value::Null));
    assert_eq!(parked["endpoint"]["breaker"], "Open");
    assert!(seconds(&parked["endpoint"]["nextAttemptTime"]) >= second_of(requests[3].arrived_at));
    assert_eq!(parked["totals"]["failedAttempts"], 4);

    world.receiver.script("/truth", vec![]);
    let healthy = |object: &Value| {
        object["status"]["totals"]["delivered"] == 1 && said(object, "EndpointHealthy") == "True(Delivering)"
    };
    let healed = world.until("truth", "it is not delivered", healthy).await["status"].clone();
    assert_eq!((&healed["lastDelivery"]["eventID"], &healed["lastDelivery"]["httpStatus"]), (&id, &json!(200)));
    assert_eq!((&healed["parkedSamples"], &healed["omitted"]), (&Value::Null, &Value::Null));
    assert_eq!(healed["endpoint"]["lastError"], Value::Null);
    assert_eq!(healed["endpoint"]["consecutiveFailures"], 0);

    assert_eq!(history.of_condition("truth", "Ready").last().unwrap(), "True(Watching)");
    let health = history.of_condition("truth", "EndpointHealthy");
    assert_eq!(health[health.len() - 3..], ["Unknown(NoDeliveryYet)", "False(ServerError)", "True(Delivering)"]);
    assert!(history.versions("truth").iter().all(|object| !object["status"].to_string().contains(marks::MARK)));
}

#[tokio::test]
async fn a_dead_endpoint_never_holds_up_whoever_waits_for_ready() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.receiver.go_down().await.unwrap();
    world.subscribe("dead", quick()).await;
    world.config_map("a", json!({})).await;
    world.condition("dead", "EndpointHealthy", "False", "ConnectFailed").await;
    world.kubectl(&["wait", "--for=condition=Ready", "--timeout=1s", "whsub/dead"]).await;
    world.until("dead", "nothing is parked", |object| object["status"]["delivery"]["parked"] == 1).await;
    world.kubectl(&["wait", "--for=condition=Ready", "--timeout=1s", "whsub/dead"]).await;
    let ready = history.of_condition("dead", "Ready");
    assert_eq!(ready.iter().filter(|said| *said == "True(Watching)").count(), 1, "{ready:?}");
    assert_eq!(ready.last().unwrap(), "True(Watching)");
}

#[tokio::test]
async fn waiting_for_ready_after_an_edit_never_returns_on_the_old_generation() {
    let world = World::shared().await;
    world.subscribe("edited", json!({})).await;
    for round in 0..6 {
        let (low, high) = (json!({"spec": {"endpoint": {"timeoutSeconds": 5 + round}}}), format!("v{round}"));
        let names = json!({"spec": {"resources": [{"apiVersion": "v1", "kind": "ConfigMap", "names": [high]}]}});
        let patch = if round % 2 == 0 { low } else { names };
        world.patch("edited", &patch).await;
        world.kubectl(&["wait", "--for=condition=Ready", "--timeout=30s", "whsub/edited"]).await;
        let object = world.get("edited").await;
        lint(&object);
        assert_eq!(object["status"]["observedGeneration"], object["metadata"]["generation"]);
    }
    let invalid = json!({"spec": {"endpoint": {"url": "http://169.254.169.254/latest"}}});
    world.patch("edited", &invalid).await;
    let wait = ["-n", &world.namespace, "wait", "--for=condition=Ready", "--timeout=2s", "whsub/edited"];
    assert!(!world.plane().kubectl(&wait).await.unwrap().status.success());
}

#[tokio::test]
async fn a_re_created_namesake_inherits_nothing_of_the_status() {
    let world = World::shared().await;
    world.subscribe("heir", json!({})).await;
    world.config_map("a", json!({})).await;
    world.until("heir", "nothing delivered", |object| object["status"]["totals"]["delivered"] == 1).await;
    let history = History::of(&world).await;
    world.kubectl(&["delete", "whsub", "heir"]).await;
    world.apply(&world.subscription("heir", json!({})).to_string()).await;
    let heir = world.ready("heir").await;
    let versions = history.versions("heir");
    let own = versions.iter().filter(|object| object["metadata"]["uid"] == heir["metadata"]["uid"]);
    for object in own {
        assert_eq!(object["status"]["lastDelivery"], Value::Null, "{:#}", object["status"]);
        assert!(object["status"]["totals"]["delivered"].as_i64().unwrap_or(0) == 0, "{:#}", object["status"]);
        assert!(!said(object, "EndpointHealthy").starts_with("True"), "{:#}", object["status"]);
    }
}

#[tokio::test]
async fn forty_retrying_objects_with_long_names_leave_a_small_status_that_counts_them_all() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    // All under way at once, so that the breaker comes too late for them.
    world.receiver.set_default(Reply::Status(500).after(Duration::from_secs(2)));
    let patient = json!({
        "retryPolicy": {"initialDelaySeconds": 60, "maxDelaySeconds": 60}, "endpoint": {"maxInFlight": 64},
    });
    world.subscribe("long", patient).await;
    let long = |n: usize| format!("{n:0>3}{}", "n".repeat(250));
    let maps: Vec<Value> =
        (0..40).map(|n| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": long(n)}})).collect();
    let maps: Vec<String> = maps.iter().map(Value::to_string).collect();
    world.apply(&maps.join("\n---\n")).await;
    let full = world
        .until("long", "not all are told", |object| {
            let status = &object["status"];
            status["delivery"]["pending"] == 40 && status["delivery"]["retrying"].as_u64() > Some(16)
        })
        .await;
    let status = &full["status"];
    let shown = status["retries"].as_array().unwrap().len();
    assert_eq!(shown, 16);
    let omitted = status["omitted"]["retries"].as_u64().unwrap_or(0);
    assert_eq!(json!(shown as u64 + omitted), status["delivery"]["retrying"], "{status:#}");
    history.versions("long");
}

#[tokio::test]
async fn kubectl_get_shows_at_a_glance_how_a_subscription_is() {
    let world = World::shared().await;
    world.subscribe("columns", json!({})).await;
    world.config_map("a", json!({})).await;
    world.until("columns", "nothing delivered", |object| object["status"]["totals"]["delivered"] == 1).await;
    let cells = |text: &str| -> Vec<Vec<String>> {
        text.lines()
            .map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect())
            .collect()
    };
    let table = cells(&world.kubectl(&["get", "whsub", "columns"]).await);
    let headings = ["NAME", "READY", "ENDPOINT", "PENDING", "RETRYING", "PARKED", "LAST DELIVERY", "AGE"];
    assert_eq!(table[0], headings);
    assert_eq!(table[1][..6], ["columns", "True", "Closed", "0", "0", "0"]);
    assert_eq!(table[1].len(), headings.len());
    let wide = cells(&world.kubectl(&["get", "whsub", "columns", "-o", "wide"]).await);
    assert_eq!(wide[0][8..], ["HOST", "REASON", "MESSAGE"]);
    assert_eq!(wide[1][8..10], [world.receiver.address().to_string(), "Watching".to_owned()]);
    let by_category = world.kubectl(&["get", "changehook"]).await;
    assert!(by_category.contains("columns"), "{by_category}");
}

#[tokio::test]
async fn the_url_and_the_key_are_nowhere_but_in_the_spec() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.receiver.set_default(Reply::Status(500));
    let url = world.receiver.url(&format!("/path-with-zq9-planted?{QUERY}"));
    let header = json!([{"name": "authorization", "value": concat!("Bearer ", planted!("-token"))}]);
    world.subscribe("quiet", json!({"endpoint": {"url": url, "headers": header}})).await;
    world.config_map("a", json!({})).await;
    let object = world.condition("quiet", "EndpointHealthy", "False", "ServerError").await;
    assert_eq!(object["message"], "the endpoint answered 500");
    world.receiver.go_down().await.unwrap();
    world.until("quiet", "not refused", |o| said(o, "EndpointHealthy") == "False(ConnectFailed)").await;
    for object in history.versions("quiet") {
        let status = object["status"].to_string();
        assert!(!status.contains(marks::MARK) && !status.contains(KEY), "{status}");
        let host = &object["status"]["endpoint"]["host"];
        assert!(host.is_null() || *host == world.receiver.address().to_string(), "{host}");
    }
    let events = world.kubectl(&["get", "events", "-o", "json"]).await;
    assert!(events.contains("ConnectFailed") || events.contains("ServerError"), "{events}");
    assert!(!events.contains(marks::MARK) && !events.contains(KEY), "{events}");
    let log = world.operator().log();
    assert!(!log.contains(marks::MARK) && !log.contains(KEY), "the log shows a credential");
}

#[tokio::test]
async fn before_the_operator_runs_the_status_says_that_nobody_has_seen_the_subscription() {
    let mut world = World::private().await;
    world.secret().await;
    world.apply(&world.subscription("early", json!({})).to_string()).await;
    let object = world.get("early").await;
    assert_eq!(object["status"], json!({"observedGeneration": -1}));
    lint(&object);
    let wait = ["-n", &world.namespace, "wait", "--for=condition=Ready", "--timeout=1s", "whsub/early"];
    assert!(!world.plane().kubectl(&wait).await.unwrap().status.success());
    world.start_operator().await;
    lint(&world.ready("early").await);

    // What the operator tells last is there when it has ended, and what it delivered is told by the next one as well.
    world.config_map("a", json!({})).await;
    world.requests("early", 1).await;
    assert!(world.operator().stop().await.unwrap().success());
    let left = world.get("early").await;
    assert_eq!(left["status"]["totals"]["delivered"], 1, "{:#}", left["status"]);
    let last = left["status"]["lastDelivery"]["eventID"].clone();
    world.patch("early", &json!({"spec": {"endpoint": {"timeoutSeconds": 3}}})).await;
    world.start_operator().await;
    let object = world.ready("early").await;
    assert_eq!(object["status"]["lastDelivery"]["eventID"], last);
    assert_eq!(said(&object, "EndpointHealthy"), "Unknown(NoDeliveryYet)");
}
