//! An endpoint that is down as a whole: the pause, the probes, the recovery, and that nobody else notices.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::Reply;
use testbed::receiver::{Request, max_in_flight};

use crate::delivery::uid;
use crate::world::{SOON, World, told, verified};

/// For waits that the design bounds by 8 s or a tenth of the outage.
const RECOVERY: Duration = Duration::from_mins(1);

fn names(requests: &[Request]) -> BTreeSet<String> {
    requests.iter().map(|request| told(request).1).collect()
}

fn breaker(state: &str) -> impl Fn(&Value) -> bool {
    move |object| object["status"]["endpoint"]["breaker"] == state
}

/// The newest state of each object that the requests told, by sequence.
fn newest(requests: &[Request]) -> BTreeMap<String, Value> {
    let mut newest: BTreeMap<String, (u64, Value)> = BTreeMap::new();
    for request in requests {
        let change = verified(request)["change"].take();
        let name = change["resource"]["name"].as_str().unwrap_or_default().to_owned();
        let sequence = change["sequence"].as_u64().expect("there is a sequence");
        let entry = newest.entry(name).or_insert((0, Value::Null));
        if sequence > entry.0 {
            *entry = (sequence, change["object"]["data"].clone());
        }
    }
    newest.into_iter().map(|(name, (_, state))| (name, state)).collect()
}

#[tokio::test]
async fn after_an_outage_everything_arrives_in_its_newest_state_without_a_human() {
    let world = World::shared().await;
    world.subscribe("outage", json!({})).await;
    world.config_map("before", json!({})).await;
    world.requests("outage", 1).await;
    world.receiver.go_down().await.expect("it goes down");
    let down = Instant::now();
    for state in ["0", "1"] {
        for number in 0..30 {
            world.config_map(&format!("thing-{number}"), json!({"state": state})).await;
        }
    }
    world.kubectl(&["delete", "configmap", "before"]).await;
    // long enough for a few probes
    let failing = |object: &Value| {
        breaker("Open")(object) && object["status"]["endpoint"]["consecutiveFailures"].as_u64() >= Some(6)
    };
    world.until("outage", "no outage is noticed", failing).await;
    let outage = down.elapsed();
    world.receiver.come_up().await.expect("it comes up");
    let up = Instant::now();
    let all = |all: &[Request]| names(&all[1..]).len() == 31;
    let requests = world.receiver.wait_until(all, RECOVERY).await.expect("all objects arrive");
    // 8 s or a tenth of the outage, jitter, and what a busy machine takes
    let noticed = requests[1].arrived.saturating_duration_since(up);
    assert!(noticed < Duration::from_secs(8).max(outage / 10) + Duration::from_secs(4), "noticed after {noticed:?}");
    let newest = newest(&requests);
    for number in 0..30 {
        assert_eq!(newest[&format!("thing-{number}")], json!({"state": "1"}));
    }
    assert_eq!(newest["before"], Value::Null);
    let well = |object: &Value| {
        let delivery = &object["status"]["delivery"];
        breaker("Closed")(object) && delivery["pending"] == 0 && delivery["parked"] == 0
    };
    world.until("outage", "not well", well).await;
    world.condition("outage", "EndpointHealthy", "True", "Delivering").await;
    // Each was told once: what merged during the outage was never a request.
    assert_eq!(world.receiver.requests("/outage").len(), 32);
}

#[tokio::test]
async fn what_an_outage_parked_is_released_as_soon_as_the_endpoint_answers() {
    let world = World::shared().await;
    let policy = json!({"maxRetries": 1, "initialDelaySeconds": 1, "maxDelaySeconds": 2});
    world.subscribe("parked", json!({"retryPolicy": policy})).await;
    world.receiver.go_down().await.expect("it goes down");
    world.config_map("thing", json!({})).await;
    let parked = |object: &Value| breaker("Open")(object) && object["status"]["delivery"]["parked"] == 1;
    let object = world.until("parked", "not parked", parked).await;
    let sample = &object["status"]["parkedSamples"][0];
    assert_eq!((&sample["lastError"]["class"], &sample["attempt"]), (&json!("Endpoint"), &json!(2)));
    // A dead endpoint must not hold up whoever waits for the subscription.
    world.condition("parked", "EndpointHealthy", "False", "ConnectFailed").await;
    world.ready("parked").await;
    world.receiver.come_up().await.expect("it comes up");
    let up = Instant::now();
    let requests = world.requests("parked", 1).await;
    assert!(requests[0].arrived.saturating_duration_since(up) < Duration::from_secs(12));
    assert_eq!(verified(&requests[0])["change"]["id"], sample["eventID"]);
    world.until("parked", "still parked", |object| object["status"]["delivery"]["parked"] == 0).await;
}

#[tokio::test]
async fn while_the_breaker_is_open_one_probe_at_a_time_goes_to_one_object_after_the_other() {
    let world = World::shared().await;
    world.receiver.script_forever("/probes", vec![Reply::Status(503)]);
    world.subscribe("probes", json!({"retryPolicy": {"jitterPercent": 0, "maxDelaySeconds": 2}})).await;
    let mut manifests = Vec::new();
    for number in 0..8 {
        manifests
            .push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("thing-{number}")}}));
    }
    for manifest in &manifests {
        world.apply(&manifest.to_string()).await;
    }
    world.until("probes", "not open", breaker("Open")).await;
    let before = world.receiver.requests("/probes").len();
    let requests = world.receiver.wait_for("/probes", before + 9, RECOVERY).await.expect("probes");
    // Those that were under way when it opened come at once; from then on it is one every 2 s.
    let probes = &requests[requests.len() - 8..];
    for pair in probes.windows(2) {
        let (gap, done) = (pair[1].arrived - pair[0].arrived, pair[0].finished.expect("it was answered"));
        assert!(gap >= Duration::from_secs(2), "{gap:?}");
        assert!(done <= pair[1].arrived);
    }
    assert!(names(probes).len() >= 3, "only {:?} were probed", names(probes));
    world.receiver.script("/probes", vec![]);
    let delivered = |object: &Value| object["status"]["totals"]["delivered"] == 8;
    world.until("probes", "not all delivered", delivered).await;
}

#[tokio::test]
async fn a_credential_that_expired_is_the_endpoints_trouble_and_heals_by_itself() {
    let world = World::shared().await;
    world.receiver.script_forever("/expired", vec![Reply::Status(401)]);
    world.receiver.script_forever("/picky", vec![Reply::Status(422)]);
    world.subscribe("expired", json!({})).await;
    world.subscribe("picky", json!({})).await;
    for number in 0..4 {
        world.config_map(&format!("thing-{number}"), json!({})).await;
    }
    world.until("expired", "not open", breaker("Open")).await;
    let parked = |object: &Value| object["status"]["delivery"]["parked"] == 4;
    let object = world.until("picky", "not parked", parked).await;
    assert_eq!(object["status"]["endpoint"]["breaker"], "Closed");
    world.receiver.script("/expired", vec![]);
    world.receiver.script("/picky", vec![]);
    let delivered = |object: &Value| object["status"]["totals"]["delivered"] == 4;
    world.until("expired", "not delivered", delivered).await;
    // A refusal of the event itself waits for something about it to change.
    assert_eq!(world.receiver.requests("/picky").len(), 4);
}

#[tokio::test]
async fn a_dead_endpoint_delays_nobody_else() {
    let world = World::shared().await;
    // As dead as can be, on the very host of the one that is well, each with all the requests it may have under way.
    let dead =
        [("hangs", Reply::Hang), ("hangs-too", Reply::Hang), ("fails", Reply::Status(500)), ("resets", Reply::Reset)];
    for (name, reply) in dead {
        world.receiver.script_forever(&format!("/{name}"), vec![reply]);
        world.subscribe(name, json!({"endpoint": {"timeoutSeconds": 30, "maxInFlight": 64}})).await;
    }
    world.subscribe("well", json!({})).await;
    let mut latencies = Vec::new();
    for number in 0..100_usize {
        world.config_map(&format!("thing-{number}"), json!({})).await;
        // made now: what it takes from here on is the way to the endpoint
        let made = Instant::now();
        let requests = world.requests("well", number + 1).await;
        latencies.push(requests[number].arrived.saturating_duration_since(made));
    }
    latencies.sort_unstable();
    // not even once: a neighbour's timeout is 30 s
    assert!(latencies[99] < Duration::from_secs(5), "{latencies:?}");
    assert!(latencies[50] < Duration::from_millis(500), "{latencies:?}");
    let hanging = |request: &Request| request.path().starts_with("/hangs").then_some(());
    assert!(max_in_flight(&world.receiver.all_requests(), hanging)[&()] <= 32, "to one host");
}

#[tokio::test]
async fn an_object_that_the_endpoint_cannot_take_is_parked_alone_while_the_others_go_on() {
    let world = World::shared().await;
    world.receiver.rule(|request| {
        let poisonous = request.json().is_ok_and(|body| body["change"]["resource"]["name"] == "poison");
        poisonous.then_some(Reply::Status(500))
    });
    let policy = json!({"initialDelaySeconds": 1, "maxDelaySeconds": 1});
    world.subscribe("poison", json!({"retryPolicy": policy})).await;
    world.config_map("poison", json!({})).await;
    let mut sent = 0;
    let parked = |object: &Value| object["status"]["delivery"]["parked"] == 1;
    while !parked(&world.get("poison").await) {
        world.config_map("good", json!({"count": sent.to_string()})).await;
        sent += 1;
        let wanted = sent;
        let good = move |all: &[Request]| all.iter().filter(|request| told(request).1 == "good").count() >= wanted;
        world.receiver.wait_until(good, SOON).await.expect("the others go on");
        assert!(sent < 1000, "never parked");
    }
    let object = world.get("poison").await;
    assert_eq!(object["status"]["endpoint"]["breaker"], "Closed");
    let all = world.receiver.requests("/poison");
    let poison = max_in_flight(&all, |request| (told(request).1 == "poison").then(|| uid(request)));
    assert_eq!(poison.into_values().collect::<Vec<_>>(), [1]);
    assert_eq!(all.iter().filter(|request| told(request).1 == "poison").count(), 4);
}
