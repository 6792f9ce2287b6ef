//! Several replicas, one Lease: one of them sends, and none does without it.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use testbed::fault_proxy::{Fault, Matcher, Times};
use testbed::process::Signal;
use testbed::receiver::Reply;
use testbed::{FaultProxy, Operator, OperatorOptions, eventually};

use crate::world::{SOON, World, told};

const LEADER: &str = "changehook_leader";
const DELIVERED: &str = "changehook_attempts_total{outcome=\"Delivered\"}";
const FAILED_RENEWALS: &str = "changehook_lease_renew_failures_total";

/// Where the absolute durations are not the point.
fn quick(mut options: OperatorOptions<'_>) -> OperatorOptions<'_> {
    for (name, seconds) in
        [("lease-duration-seconds", "6"), ("lease-renew-deadline-seconds", "4"), ("lease-retry-period-seconds", "1")]
    {
        options.settings.insert(name, seconds.to_owned());
    }
    options
}

async fn start(options: OperatorOptions<'_>) -> Operator {
    Operator::start(options).await.expect("the operator gets ready")
}

async fn leader(options: OperatorOptions<'_>) -> Operator {
    let operator = start(options).await;
    assert_eq!(operator.metric(LEADER).await.expect("it answers"), Some(1.0), "{}", operator.log());
    operator
}

async fn standby(options: OperatorOptions<'_>) -> Operator {
    let operator = start(options).await;
    let standing_by = (StatusCode::OK, "standing by: another replica holds the Lease\n".to_owned());
    assert_eq!(operator.readyz().await.expect("it answers"), standing_by);
    assert_eq!(operator.metric(LEADER).await.expect("it answers"), Some(0.0));
    operator
}

async fn metric_is(operator: &Operator, series: &str, wanted: impl Fn(f64) -> bool, within: Duration) {
    let look = || async {
        let value = operator.metric(series).await.map_err(|error| error.to_string())?;
        if value.is_some_and(&wanted) { Ok(()) } else { Err(format!("{series} is {value:?}")) }
    };
    if let Err(error) = eventually(within, look).await {
        panic!("{error}\n{}", operator.log());
    }
}

async fn leads(operator: &Operator, within: Duration) {
    metric_is(operator, LEADER, |value| value >= 1.0, within).await;
}

async fn holder(world: &World) -> String {
    let lease = ["get", "lease", "changehook", "--namespace=changehook-system"];
    world.kubectl(&[&lease[..], &["-o", "jsonpath={.spec.holderIdentity}"]].concat()).await
}

/// Changes something until it is told: whoever took over may take the first of it as known.
async fn delivers(world: &World, path: &str) {
    let before = world.receiver.all_requests().len();
    let number = std::cell::Cell::new(0);
    let look = || async {
        number.set(number.get() + 1);
        world.config_map("probe", json!({"n": number.get().to_string(), "before": before.to_string()})).await;
        let is_probe = |request: &testbed::receiver::Request| request.path() == path && told(request).1 == "probe";
        let seen = |all: &[testbed::receiver::Request]| all.iter().skip(before).any(is_probe);
        world.receiver.wait_until(seen, Duration::from_secs(2)).await
    };
    eventually(SOON, look).await.expect("a change is told");
}

#[tokio::test]
async fn of_two_replicas_one_sends_and_the_other_is_ready_and_sends_nothing() {
    let world = World::private().await;
    let first = leader(world.operator_options()).await;
    let second = standby(world.operator_options()).await;
    world.subscribe("two", json!({})).await;
    let names: Vec<String> = (0..5).map(|n| format!("object-{n}")).collect();
    for name in &names {
        world.config_map(name, json!({})).await;
    }
    let requests = world.requests("two", names.len()).await;
    let mut seen: Vec<_> = requests.iter().map(|request| told(request).1).collect();
    seen.sort();
    assert_eq!(seen, names, "each once");
    metric_is(&first, DELIVERED, |value| value >= 5.0, SOON).await;
    assert_eq!(second.metric(DELIVERED).await.expect("it answers"), Some(0.0));
    assert!(second.log().contains("standing by: another replica leads"), "{}", second.log());

    // and it goes without touching what is not its own
    let held_by = holder(&world).await;
    assert_eq!(second.stop().await.expect("it ends").code(), Some(0), "{}", second.log());
    assert_eq!(holder(&world).await, held_by);
    world.config_map("after", json!({})).await;
    assert_eq!(world.requests("two", 6).await.len(), 6);
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_within_two_seconds() {
    let world = World::private().await;
    let first = leader(world.operator_options()).await;
    let second = standby(world.operator_options()).await;
    world.subscribe("handover", json!({})).await;
    world.config_map("before", json!({})).await;
    world.requests("handover", 1).await;

    first.signal(Signal::Terminate);
    leads(&second, Duration::from_secs(2)).await;
    assert_eq!(first.wait(SOON).await.expect("it ends").code(), Some(0), "{}", first.log());
    assert!(first.log().contains("the Lease is free"), "{}", first.log());
    delivers(&world, "/handover").await;
}

#[tokio::test]
async fn a_leader_that_stops_keeps_its_lease_until_its_last_request_is_answered() {
    let world = World::private().await;
    let first = leader(world.operator_options()).await;
    let second = standby(world.operator_options()).await;
    world.subscribe("last", json!({})).await;
    world.receiver.script("/last", vec![Reply::Delay(Duration::from_secs(4), Box::new(Reply::Status(202)))]);
    world.config_map("slow", json!({})).await;
    world.requests("last", 1).await;
    first.signal(Signal::Terminate);
    leads(&second, SOON).await;
    let answered = world.receiver.requests("/last")[0].finished;
    assert!(answered.is_some_and(|at| at <= Instant::now()), "the request was under way when the other took over");
    assert_eq!(first.wait(SOON).await.expect("it ends").code(), Some(0), "{}", first.log());
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_within_twenty_seconds_and_not_at_once() {
    let world = World::private().await;
    let first = leader(world.operator_options()).await;
    let second = standby(world.operator_options()).await;
    world.subscribe("killed", json!({})).await;
    let killed = Instant::now();
    first.kill().await.expect("it ends");
    leads(&second, Duration::from_secs(20)).await;
    // 15 s from its last renewal, which was at most two seconds and an answer before
    assert!(killed.elapsed() > Duration::from_secs(10), "{:?}", killed.elapsed());
    delivers(&world, "/killed").await;
}

#[tokio::test]
async fn a_leader_that_was_paused_for_longer_than_its_lease_sends_nothing_when_it_wakes_up_and_ends() {
    let world = World::private().await;
    let first = leader(quick(world.operator_options())).await;
    let second = standby(quick(world.operator_options())).await;
    world.subscribe("paused", json!({"retryPolicy": {"initialDelaySeconds": 1}})).await;
    // due again when it wakes up
    world.receiver.script_forever("/paused", vec![Reply::Status(503)]);
    world.config_map("owed", json!({})).await;
    world.requests("paused", 1).await;

    first.pause().await.expect("it stands still");
    leads(&second, SOON).await;
    world.receiver.script_forever("/paused", vec![Reply::Status(202)]);
    delivers(&world, "/paused").await;
    // these wait in the sockets of the one that is paused
    for name in ["a", "b", "c"] {
        world.config_map(name, json!({})).await;
    }
    let all = |requests: &[testbed::receiver::Request]| {
        ["a", "b", "c"].iter().all(|name| requests.iter().any(|request| told(request).1 == *name))
    };
    world.receiver.wait_until(all, SOON).await.expect("the new leader tells them");
    for series in ["changehook_pending", "changehook_attempts_in_flight"] {
        metric_is(&second, series, |value| value < 1.0, SOON).await;
    }
    let before = world.receiver.all_requests().len();

    first.resume();
    assert_eq!(first.wait(SOON).await.expect("it ends").code(), Some(1), "{}", first.log());
    let log = first.log();
    assert!(log.contains("failed to renew the Lease within 4 s"), "{log}");
    let late: Vec<_> = world.receiver.since(before).iter().map(told).collect();
    assert_eq!(late, [], "{log}");
    assert_eq!(second.metric(LEADER).await.expect("it answers"), Some(1.0));
    delivers(&world, "/paused").await;
}

/// A leader whose API server is behind a proxy.
async fn proxied(world: &World) -> (Operator, FaultProxy) {
    let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
    let mut options = quick(world.operator_options());
    options.server_override = Some(proxy.url());
    (leader(options).await, proxy)
}

fn updates() -> Matcher {
    Matcher::any().method("PUT").containing("/leases/changehook?")
}

#[tokio::test]
async fn a_leader_that_cannot_renew_goes_on_until_the_deadline_and_then_ends() {
    for fault in [Fault::Status(500), Fault::Status(403), Fault::Hang] {
        let world = World::private().await;
        let (operator, proxy) = proxied(&world).await;
        world.subscribe("denied", json!({})).await;
        let denied = Instant::now();
        proxy.inject(updates(), fault.clone(), Times::Always);
        metric_is(&operator, FAILED_RENEWALS, |value| value >= 1.0, SOON).await;
        world.config_map("in-time", json!({})).await;
        world.requests("denied", 1).await;
        let status = operator.wait(Duration::from_secs(8)).await.expect("it ends");
        assert_eq!(status.code(), Some(1), "{fault:?}: {}", operator.log());
        assert!(denied.elapsed() > Duration::from_secs(2), "{fault:?}: {:?}", denied.elapsed());
        let log = operator.log();
        assert!(log.contains("failed to renew the Lease within 4 s"), "{fault:?}: {log}");
        let rule = "resourceNames: [changehook], verbs: [get, update]";
        assert_eq!(log.contains(rule), matches!(fault, Fault::Status(403)), "{fault:?}: {log}");
    }
}

#[tokio::test]
async fn a_renewal_without_an_answer_is_looked_up_and_made_again() {
    let world = World::private().await;
    let (operator, proxy) = proxied(&world).await;
    let reads = Matcher::any().method("GET").containing("/leases/changehook?");
    let read_before = proxy.seen(&reads).len();
    proxy.inject(updates(), Fault::Hang, Times::Once);
    metric_is(&operator, FAILED_RENEWALS, |value| value >= 1.0, SOON).await;
    let answered = proxy.seen(&updates()).iter().filter(|seen| seen.status.is_some()).count();
    proxy.wait_for(&updates(), answered + 2, SOON).await.expect("it renews again");
    assert_eq!(proxy.seen(&reads).len(), read_before + 1, "one look, after the one that was not answered");
    assert_eq!(operator.metric(FAILED_RENEWALS).await.expect("it answers"), Some(1.0));
    assert_eq!(operator.metric(LEADER).await.expect("it answers"), Some(1.0));
}

#[tokio::test]
async fn a_leader_whose_lease_somebody_took_ends_at_once() {
    let world = World::private().await;
    let operator = leader(world.operator_options()).await;
    let taken = json!({"spec": {"holderIdentity": "somebody-else"}}).to_string();
    let patch = ["patch", "lease", "changehook", "--namespace=changehook-system", "--type=merge", "--patch", &taken];
    world.kubectl(&patch).await;
    // the next renewal notices, well before the deadline
    let status = operator.wait(Duration::from_secs(8)).await.expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(operator.log().contains("it belongs to somebody-else now"), "{}", operator.log());
    assert_eq!(holder(&world).await, "somebody-else", "it does not give up what is not its own");
}

#[tokio::test]
async fn without_rights_to_its_lease_it_is_not_ready_names_the_rule_and_leads_when_it_has_them() {
    let world = World::private().await;
    let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
    proxy.inject(Matcher::any().containing("/leases"), Fault::Status(403), Times::Always);
    let mut options = quick(world.operator_options());
    options.server_override = Some(proxy.url());
    let operator = Operator::start_unready(options).await.expect("the operator starts");
    let look = || async {
        let ready = operator.readyz().await.map_err(|error| error.to_string())?;
        let missing = "waiting for the Lease\nwaiting for the list of subscriptions\n";
        if ready == (StatusCode::SERVICE_UNAVAILABLE, missing.to_owned()) { Ok(()) } else { Err(format!("{ready:?}")) }
    };
    eventually(SOON, look).await.expect("it says what is missing");
    let rule = "The operator's Role in the namespace changehook-system needs \
                {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]} and \
                {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [changehook], verbs: [get, update]}";
    let look = || async { if operator.log().contains(rule) { Ok(()) } else { Err(operator.log()) } };
    eventually(SOON, look).await.expect("it names the rule");

    proxy.clear();
    leads(&operator, SOON).await;
    assert_eq!(operator.log().matches("waiting for the Lease").count(), 1, "said once: {}", operator.log());
}
