//! One request as the endpoint sees it, and what each answer means.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use testbed::marks::MARK;
use testbed::receiver::Request;
use testbed::{Reply, planted};

use crate::world::{SOON, World, told, verified};

/// Subscriptions to all ConfigMaps, one for each case, `/NAME` answering as its case says and then 200; all Ready.
/// Jitter is off, so that retries of all cases come at the same times.
pub async fn subscribe_each(world: &World, cases: &[(&str, Reply)]) {
    world.secret().await;
    for (name, reply) in cases {
        world.receiver.script(&format!("/{name}"), vec![reply.clone()]);
        world.apply(&world.subscription(name, json!({"retryPolicy": {"jitterPercent": 0}})).to_string()).await;
    }
    for (name, _) in cases {
        world.ready(name).await;
    }
}

/// Has one change go out to every case and to `clock`, which fails twice: once its third request is there, 6 s later,
/// any case that is tried again has been.
async fn tell_each(world: &World, cases: &[(&str, Reply)]) {
    subscribe_each(world, cases).await;
    subscribe_each(world, &[("clock", Reply::Status(500))]).await;
    world.receiver.script("/clock", vec![Reply::Status(500), Reply::Status(500)]);
    world.config_map("thing", json!({"state": "first"})).await;
    world.requests("clock", 3).await;
    for (name, _) in cases {
        assert_eq!(world.receiver.requests(&format!("/{name}")).len(), 1, "requests to {name}");
    }
}

/// Those of the requests that are about the object `name`.
pub fn about(requests: &[Request], name: &str) -> Vec<Request> {
    requests.iter().filter(|request| told(request).1 == name).cloned().collect()
}

/// The object's uid.
pub fn uid(request: &Request) -> Option<String> {
    request.json().ok()?["change"]["resource"]["uid"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_request_carries_our_headers_and_the_subscriptions_own() {
    let world = World::shared().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "partner"},
        "stringData": {"token": concat!("Bearer ", planted!("-token"))}});
    world.apply(&secret.to_string()).await;
    let headers = json!([
        {"name": "X-Team", "value": "shop / checkout"},
        {"name": "authorization", "valueFrom": {"secretKeyRef": {"name": "partner", "key": "token"}}},
        {"name": "Accept", "value": "application/json"},
    ]);
    world.subscribe("headers", json!({"endpoint": {"headers": headers}})).await;
    world.config_map("thing", json!({})).await;
    let request = world.requests("headers", 1).await.remove(0);

    let once = |name: &str| {
        let values: Vec<_> = request.header_values(name).collect();
        assert_eq!(values.len(), 1, "{name}");
        request.header(name).expect("it is text").to_owned()
    };
    assert_eq!(request.method, "POST");
    assert_eq!(once("content-type"), "application/json");
    assert_eq!(once("user-agent"), format!("changehook/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(once("content-length"), request.body.len().to_string());
    assert_eq!(once("host"), world.receiver.address().to_string());
    assert_eq!(once("x-team"), "shop / checkout");
    assert_eq!(once("authorization"), concat!("Bearer ", planted!("-token")));
    assert_eq!(once("accept"), "application/json");
    assert_eq!(once("webhook-id"), verified(&request)["change"]["id"].as_str().unwrap_or_default());
    let sent: u64 = once("webhook-timestamp").parse().expect("whole seconds");
    let arrived = request.arrived_at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    assert!((arrived - 10..=arrived).contains(&sent), "sent at {sent}, arrived at {arrived}");
    for absent in ["content-encoding", "accept-encoding", "expect", "referer", "webhook-signature", "x-signature"] {
        assert_eq!(request.header_values(absent).count(), 0, "{absent}");
    }
}

#[tokio::test]
async fn the_method_is_what_the_subscription_says() {
    let world = World::shared().await;
    for method in ["PUT", "PATCH", "POST"] {
        world.subscribe(&method.to_lowercase(), json!({"endpoint": {"method": method}})).await;
    }
    world.config_map("thing", json!({})).await;
    for method in ["PUT", "PATCH", "POST"] {
        let requests = world.requests(&method.to_lowercase(), 1).await;
        assert_eq!(requests[0].method, method);
        verified(&requests[0]);
    }
}

#[tokio::test]
async fn the_path_and_the_query_of_the_url_arrive_as_written() {
    let world = World::shared().await;
    let url = world.receiver.url("/hook%2Fin/a?token=zq9-planted%20k&x=1&x=2");
    world.subscribe("query", json!({"endpoint": {"url": url}})).await;
    world.config_map("thing", json!({})).await;
    let requests = world.receiver.wait_for("/hook%2Fin/a", 1, SOON).await.expect("it comes");
    assert_eq!(requests[0].target, "/hook%2Fin/a?token=zq9-planted%20k&x=1&x=2");
    let status = world.get("query").await["status"].to_string();
    assert!(!status.contains("token") && !world.operator().log().contains("t%20k"), "{status}");
}

#[tokio::test]
async fn every_2xx_ends_a_delivery_with_one_request() {
    let world = World::shared().await;
    let cases = [200, 201, 202, 204, 206, 299].map(|status| (format!("s{status}"), Reply::Status(status)));
    let cases: Vec<_> = cases.iter().map(|(name, reply)| (name.as_str(), reply.clone())).collect();
    tell_each(&world, &cases).await;
    for (name, _) in &cases {
        let object = world.until(name, "not delivered", |object| object["status"]["totals"]["delivered"] == 1).await;
        let status = &object["status"];
        assert_eq!((&status["delivery"]["pending"], &status["delivery"]["parked"]), (&json!(0), &json!(0)), "{name}");
        assert_eq!(format!("s{}", status["lastDelivery"]["httpStatus"]), *name);
    }
}

/// One request, parked as the event's fault, delivered once the object changes.
async fn is_final(world: &World, cases: &[(&str, Reply)], reason: &str) {
    tell_each(world, cases).await;
    for (name, _) in cases {
        let parked = |object: &Value| object["status"]["delivery"]["parked"] == 1;
        let object = world.until(name, "not parked", parked).await;
        let sample = &object["status"]["parkedSamples"][0];
        assert_eq!(sample["objectRef"]["name"], "thing", "{name}");
        assert_eq!((&sample["lastError"]["class"], &sample["lastError"]["reason"]), (&json!("Event"), &json!(reason)));
        assert_eq!(format!("s{}", sample["lastError"]["httpStatus"]), *name);
        assert_eq!(object["status"]["endpoint"]["breaker"], "Closed", "{name}");
    }
    world.config_map("thing", json!({"state": "second"})).await;
    for (name, _) in cases {
        let requests = world.requests(name, 2).await;
        assert_eq!(verified(&requests[1])["change"]["object"]["data"]["state"], "second", "{name}");
        // The endpoint never took the first one, so the object is still new to it.
        assert_eq!(told(&requests[1]).0, "new", "{name}");
        world.until(name, "still parked", |object| object["status"]["delivery"]["parked"] == 0).await;
    }
}

#[tokio::test]
async fn a_4xx_is_final_for_the_state_it_answered_and_a_newer_state_is_tried() {
    let world = World::shared().await;
    let cases = [400, 401, 404, 408, 409, 410, 413, 422, 429, 499];
    let cases = cases.map(|status| (format!("s{status}"), Reply::Status(status)));
    let cases: Vec<_> = cases.iter().map(|(name, reply)| (name.as_str(), reply.clone())).collect();
    is_final(&world, &cases, "ClientError").await;
}

#[tokio::test]
async fn a_redirect_is_final_and_nobody_follows_it() {
    let world = World::shared().await;
    let elsewhere = testbed::Receiver::start().await.expect("a receiver starts");
    let to = |status| Reply::Redirect(status, elsewhere.url("/landing"));
    let cases = [300, 301, 302, 303, 304, 307, 308].map(|status| (format!("s{status}"), to(status)));
    let cases: Vec<_> = cases.iter().map(|(name, reply)| (name.as_str(), reply.clone())).collect();
    is_final(&world, &cases, "Redirected").await;
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_removed_object_that_the_endpoint_does_not_know_is_done() {
    let world = World::shared().await;
    let cases = [("s404", Reply::Status(404)), ("s410", Reply::Status(410)), ("s409", Reply::Status(409))];
    world.config_map("thing", json!({})).await;
    tell_removed(&world, &cases).await;
    for name in ["s404", "s410"] {
        let object = world.until(name, "not done", |object| object["status"]["totals"]["delivered"] == 1).await;
        assert_eq!(
            (&object["status"]["delivery"]["pending"], &object["status"]["delivery"]["parked"]),
            (&json!(0), &json!(0))
        );
        assert_eq!(object["status"]["ledger"]["entries"], 0, "{name}");
    }
    world.until("s409", "not parked", |object| object["status"]["delivery"]["parked"] == 1).await;
}

/// `thing` exists already and is deleted; `clock` shows that nothing is tried again.
async fn tell_removed(world: &World, cases: &[(&str, Reply)]) {
    subscribe_each(world, cases).await;
    subscribe_each(world, &[("clock", Reply::Status(500))]).await;
    world.kubectl(&["delete", "configmap", "thing"]).await;
    world.requests("clock", 2).await;
    for (name, _) in cases {
        let requests = world.receiver.requests(&format!("/{name}"));
        assert_eq!(
            requests.iter().map(told).collect::<Vec<_>>(),
            [("removed".to_owned(), "thing".to_owned())],
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_given_up_after_the_timeout_and_tried_again() {
    let world = World::shared().await;
    world.receiver.script("/hang", vec![Reply::Hang]);
    world.subscribe("hang", json!({"endpoint": {"timeoutSeconds": 1}})).await;
    world.config_map("thing", json!({})).await;
    let requests = world.requests("hang", 2).await;
    let [first, second] = &requests[..] else { panic!("{} requests", requests.len()) };
    let gave_up = first.finished.expect("the connection was closed") - first.arrived;
    // The clock starts before the request arrives: a little less may be left of the second.
    assert!(gave_up > Duration::from_millis(500) && gave_up < Duration::from_secs(10), "gave up after {gave_up:?}");
    assert!(second.arrived - first.arrived >= Duration::from_millis(2_500), "{:?}", second.arrived - first.arrived);
    assert_eq!((first.header("webhook-id"), &first.body), (second.header("webhook-id"), &second.body));
    let object = world.until("hang", "not delivered", |object| object["status"]["totals"]["delivered"] == 1).await;
    assert_eq!(object["status"]["totals"]["failedAttempts"], 1);
}

#[tokio::test]
async fn many_deliveries_share_few_connections() {
    let world = World::shared().await;
    world.subscribe("pool", json!({"endpoint": {"maxInFlight": 4}})).await;
    for number in 0..60 {
        world.config_map(&format!("thing-{number}"), json!({})).await;
    }
    let requests = world.requests("pool", 60).await;
    assert_eq!(requests.len(), 60);
    assert!(world.receiver.connections() <= 12, "{} connections", world.receiver.connections());
}

#[tokio::test]
async fn an_endpoint_that_closes_after_each_answer_gets_every_change_once() {
    let world = World::shared().await;
    let closes = Reply::ThenClose(Box::new(Reply::Status(200)));
    world.receiver.script_forever("/closes", vec![closes]);
    world.subscribe("closes", json!({"retryPolicy": {"initialDelaySeconds": 1}})).await;
    for number in 0..60 {
        world.config_map(&format!("thing-{number}"), json!({})).await;
    }
    let delivered = |object: &Value| object["status"]["totals"]["delivered"] == 60;
    world.until("closes", "not delivered", delivered).await;
    assert_eq!(world.requests("closes", 60).await.len(), 60);
}

#[tokio::test]
async fn an_answer_that_is_cut_short_or_endless_counts_by_its_status_and_none_of_it_is_shown() {
    let world = World::shared().await;
    let marked = |status| Reply::Body(status, format!("{MARK} \x1b[31m\r\nX-Injected: {MARK}").into_bytes());
    let reason = Reply::StatusWithHeaders(400, vec![("retry-after".to_owned(), MARK.to_owned())]);
    let cases = [
        ("truncated", Reply::TruncatedBody),
        ("reset", Reply::ResetMidBody),
        ("chunk", Reply::BrokenChunk),
        ("endless", Reply::EndlessBody),
        ("headers", Reply::ManyHeaders(150)),
        ("hints", Reply::InformationalFlood(20)),
        ("marked", marked(200)),
    ];
    let refused = [
        ("refused", marked(400)),
        ("header", reason),
        ("moved", Reply::redirect(format!("http://{MARK}.example/{MARK}"))),
    ];
    let all: Vec<_> = cases.iter().chain(&refused).cloned().collect();
    tell_each(&world, &all).await;
    for (name, _) in &cases {
        world.until(name, "not delivered", |object| object["status"]["totals"]["delivered"] == 1).await;
    }
    for (name, _) in &refused {
        let object = world.until(name, "not parked", |object| object["status"]["delivery"]["parked"] == 1).await;
        assert!(!object["status"].to_string().to_lowercase().contains(MARK), "{}", object["status"]);
    }
    assert!(!world.operator().log().to_lowercase().contains(MARK));
}
