//! What is tried again, when, and with what: measured at the receiver.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::Reply;
use testbed::receiver::Request;

use crate::delivery::{about, subscribe_each};
use crate::world::{SOON, World, told, verified};

/// A whole delivery takes 14 s at least.
const A_DELIVERY: Duration = Duration::from_mins(1);

/// From each request to the next.
fn gaps(requests: &[Request]) -> Vec<Duration> {
    requests.windows(2).map(|pair| pair[1].arrived - pair[0].arrived).collect()
}

/// None of the waits was shorter than the schedule's, or much longer.
fn keep_to(requests: &[Request], seconds: &[u64], what: &str) {
    let gaps = gaps(requests);
    assert_eq!(gaps.len(), seconds.len(), "{what}: {gaps:?}");
    for (gap, seconds) in gaps.iter().zip(seconds) {
        let wanted = Duration::from_secs(*seconds);
        assert!(*gap >= wanted, "{what}: early: {gaps:?}");
        assert!(*gap < wanted * 2 + Duration::from_secs(5), "{what}: late: {gaps:?}");
    }
}

/// All requests are of one event: the same id and the same bytes.
fn one_event(requests: &[Request]) {
    for request in requests {
        assert_eq!(request.header("webhook-id"), requests[0].header("webhook-id"));
        assert_eq!(request.body, requests[0].body);
        verified(request);
    }
}

/// Every case answers `thing` like this for ever and has an object besides that it takes, in the midst of it: the
/// endpoint is well, so `thing` alone is parked and there is no probing.
async fn is_tried_four_times(cases: &[(&str, Reply)], reason: &str) {
    let world = World::shared().await;
    let fault: Vec<_> = cases.iter().map(|(name, reply)| (format!("/{name}"), reply.clone())).collect();
    world.receiver.rule(move |request| {
        let (_, reply) = fault.iter().find(|(path, _)| path == request.path())?;
        let poisonous = request.json().is_ok_and(|body| body["change"]["resource"]["name"] == "thing");
        Some(if poisonous { reply.clone() } else { Reply::Status(200) })
    });
    subscribe_each(&world, cases).await;
    world.config_map("thing", json!({"state": "poisonous"})).await;
    for (name, _) in cases {
        world.requests(name, 2).await;
    }
    world.config_map("good", json!({})).await;
    for (name, _) in cases {
        let requests = world.receiver.wait_for(&format!("/{name}"), 5, A_DELIVERY).await.expect("four and one");
        let requests = about(&requests, "thing");
        keep_to(&requests, &[2, 4, 8], name);
        one_event(&requests);
        let parked = |object: &Value| object["status"]["delivery"]["parked"] == 1;
        let status = &world.until(name, "not parked", parked).await["status"];
        let sample = &status["parkedSamples"][0];
        assert_eq!(
            (&sample["attempt"], &sample["lastError"]["reason"]),
            (&json!(4), &json!(reason)),
            "{name}: {sample}"
        );
        assert_eq!((&status["delivery"]["pending"], &status["delivery"]["retrying"]), (&json!(0), &json!(0)), "{name}");
        assert_eq!((&status["endpoint"]["breaker"], &status["totals"]["delivered"]), (&json!("Closed"), &json!(1)));
        if let Some(status) = name.strip_prefix('s') {
            assert_eq!(sample["lastError"]["httpStatus"].to_string(), status);
        }
    }
    // What is parked stays parked: a later change of another object comes alone.
    world.config_map("good", json!({"marker": "1"})).await;
    for (name, _) in cases {
        let requests = world.requests(name, 6).await;
        assert_eq!((requests.len(), told(&requests[5]).1.as_str()), (6, "good"), "{name}");
    }
}

#[tokio::test]
async fn a_server_error_is_tried_after_2_4_and_8_seconds_and_then_parked() {
    let cases = [500, 502, 503, 504, 599, 600, 999].map(|status| (format!("s{status}"), Reply::Status(status)));
    let cases: Vec<_> = cases.iter().map(|(name, reply)| (name.as_str(), reply.clone())).collect();
    is_tried_four_times(&cases, "ServerError").await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_after_2_4_and_8_seconds_and_then_parked() {
    let cases = [
        ("reset", Reply::Reset),
        ("midhead", Reply::ResetMidHead),
        ("close", Reply::CloseWithoutByte),
        ("banner", Reply::ssh_banner()),
        ("garbage", Reply::Garbage(b"HTTP/1.1 200 OK\x00\x1b[2J\r\n\r\n".to_vec())),
        ("tls", Reply::Garbage(b"\x15\x03\x01\x00\x02\x02\x46".to_vec())),
        ("head", Reply::EndlessHead),
    ];
    is_tried_four_times(&cases, "ConnectionLost").await;
}

#[tokio::test]
async fn a_refused_connection_is_retried_until_somebody_listens() {
    let world = World::shared().await;
    world.subscribe("refused", json!({})).await;
    world.receiver.go_down().await.expect("it goes down");
    world.config_map("thing", json!({})).await;
    let retrying = |object: &Value| object["status"]["retries"][0]["attempt"] == 2;
    let status = &world.until("refused", "not retried", retrying).await["status"];
    assert_eq!(status["retries"][0]["lastError"]["reason"], "ConnectFailed");
    world.receiver.come_up().await.expect("it comes up");
    let requests = world.requests("refused", 1).await;
    assert_eq!(verified(&requests[0])["change"]["id"], status["retries"][0]["eventID"]);
}

#[tokio::test]
async fn success_ends_the_retries_at_whichever_attempt_it_comes() {
    let world = World::shared().await;
    let cases = [("second", 1_usize), ("third", 2), ("fourth", 3)];
    for (name, failures) in cases {
        world.receiver.script(&format!("/{name}"), vec![Reply::Status(500); failures]);
    }
    for (name, _) in cases {
        world.subscribe(name, json!({"retryPolicy": {"jitterPercent": 0}})).await;
    }
    world.config_map("thing", json!({})).await;
    for (name, failures) in cases {
        let delivered = |object: &Value| object["status"]["totals"]["delivered"] == 1;
        let object = world.until(name, "not delivered", delivered).await;
        let requests = world.requests(name, failures + 1).await;
        keep_to(&requests, &[2, 4, 8][..failures], name);
        one_event(&requests);
        let status = &object["status"];
        assert_eq!(status["totals"]["failedAttempts"], failures);
        assert_eq!((&status["delivery"]["pending"], &status["delivery"]["retrying"]), (&json!(0), &json!(0)));
    }
    // The fourth came 14 s after the first: the second's and third's next retry would have come meanwhile.
    let counts = cases.map(|(name, _)| world.receiver.requests(&format!("/{name}")).len());
    assert_eq!(counts, [2, 3, 4]);
}

#[tokio::test]
async fn the_retry_policy_is_the_subscriptions_own() {
    let world = World::shared().await;
    let policy = json!({"maxRetries": 2, "initialDelaySeconds": 1, "maxDelaySeconds": 1, "jitterPercent": 0});
    world.receiver.script_forever("/own", vec![Reply::Status(500)]);
    world.receiver.script_forever("/none", vec![Reply::Status(500)]);
    world.subscribe("own", json!({"retryPolicy": policy})).await;
    world.subscribe("none", json!({"retryPolicy": {"maxRetries": 0, "initialDelaySeconds": 20}})).await;
    world.config_map("thing", json!({})).await;
    let parked = |object: &Value| object["status"]["delivery"]["parked"] == 1;
    world.until("own", "not parked", parked).await;
    keep_to(&world.requests("own", 3).await[..3], &[1, 1], "own");
    world.until("none", "not parked", parked).await;
    assert_eq!(world.receiver.requests("/none").len(), 1);
}

#[tokio::test]
async fn retry_after_is_honoured_for_listed_statuses_and_no_others() {
    let world = World::shared().await;
    let asks = |status, value: &str| Reply::StatusWithHeaders(status, vec![("Retry-After".into(), value.into())]);
    let listed = json!({"retryPolicy": {"retryStatusCodes": [429, 503], "jitterPercent": 0}});
    let unlisted = json!({"retryPolicy": {"jitterPercent": 0}});
    let cases = [
        ("l429", asks(429, "5"), &listed, Some(5)),
        ("l503", asks(503, "6"), &listed, Some(6)),
        ("shorter", asks(429, "0"), &listed, Some(2)),
        ("junk", asks(429, "-7, soon"), &listed, Some(2)),
        ("past", asks(503, "Sun, 06 Nov 1994 08:49:37 GMT"), &listed, Some(2)),
        ("other", asks(500, "3600"), &listed, Some(2)),
        ("u503", asks(503, "3600"), &unlisted, Some(2)),
        ("u429", asks(429, "1"), &unlisted, None),
    ];
    world.secret().await;
    for (name, reply, patch, _) in &cases {
        world.receiver.script(&format!("/{name}"), vec![reply.clone()]);
        world.apply(&world.subscription(name, (*patch).clone()).to_string()).await;
    }
    for (name, ..) in &cases {
        world.ready(name).await;
    }
    world.config_map("thing", json!({})).await;
    for (name, _, _, seconds) in &cases {
        let Some(seconds) = seconds else { continue };
        let requests = world.requests(name, 2).await;
        keep_to(&requests, &[*seconds], name);
        one_event(&requests);
    }
    // 6 s have passed
    assert_eq!(world.receiver.requests("/u429").len(), 1);
}

#[tokio::test]
async fn a_change_during_the_retries_is_told_instead_without_waiting_longer_and_with_fresh_retries() {
    let world = World::shared().await;
    world.receiver.script("/merged", vec![Reply::Status(500); 4]);
    world.subscribe("merged", json!({"retryPolicy": {"jitterPercent": 0, "initialDelaySeconds": 3}})).await;
    world.config_map("thing", json!({"state": "0"})).await;
    world.requests("merged", 2).await;
    // 6 s to go; ten states, of which only the last can be told
    for state in 1..=10 {
        world.config_map("thing", json!({"state": state.to_string()})).await;
    }
    let requests = world.receiver.wait_for("/merged", 5, A_DELIVERY).await.expect("five requests");
    let states: Vec<_> = requests.iter().map(|r| verified(r)["change"]["object"]["data"]["state"].clone()).collect();
    assert_eq!(states, ["0", "0", "10", "10", "10"]);
    // The third comes when the old event's third was due; its own waits begin anew.
    keep_to(&requests, &[3, 6, 3, 6], "merged");
    let id = |at: usize| requests[at].header("webhook-id").map(str::to_owned);
    assert_eq!((id(0), id(2), id(3)), (id(1), id(3), id(4)));
    assert_ne!(id(0), id(2));
    let sequence = |at: usize| verified(&requests[at])["change"]["sequence"].as_u64();
    assert!(sequence(2) > sequence(0));
    assert!(requests.iter().all(|request| told(request).0 == "new"));
    let merged = |object: &Value| object["status"]["totals"]["merged"].as_u64() >= Some(1);
    world.until("merged", "nothing was merged", merged).await;
}

#[tokio::test]
async fn an_object_that_is_deleted_during_its_retries_is_told_as_removed() {
    let world = World::shared().await;
    world.receiver.script("/deleted", vec![Reply::Status(500)]);
    world.subscribe("deleted", json!({"retryPolicy": {"initialDelaySeconds": 6}})).await;
    world.config_map("thing", json!({})).await;
    world.requests("deleted", 1).await;
    world.kubectl(&["delete", "configmap", "thing"]).await;
    world.config_map("marker", json!({})).await;
    let requests = world.receiver.wait_for("/deleted", 3, SOON).await.expect("three requests");
    let thing: Vec<_> = about(&requests, "thing").iter().map(|request| told(request).0).collect();
    // The endpoint may have kept what it answered with 500.
    assert_eq!(thing, ["new", "removed"]);
}

#[tokio::test]
async fn a_new_url_and_a_new_method_hold_for_the_next_attempt() {
    let world = World::shared().await;
    world.receiver.script_forever("/edited", vec![Reply::Status(500)]);
    world.subscribe("edited", json!({"retryPolicy": {"initialDelaySeconds": 6}})).await;
    world.config_map("thing", json!({})).await;
    let before = world.requests("edited", 1).await.remove(0);
    let patch = json!({"spec": {"endpoint": {"url": world.receiver.url("/moved"), "method": "PUT"}}}).to_string();
    world.kubectl(&["patch", "whsub", "edited", "--type=merge", "-p", &patch]).await;
    let after = world.requests("moved", 1).await.remove(0);
    assert_eq!(
        (after.method.as_str(), verified(&after)["change"]["id"].clone()),
        ("PUT", verified(&before)["change"]["id"].clone())
    );
    assert_eq!(world.receiver.requests("/edited").len(), 1);
}
