//! Keys and headers from Secrets: missing, edited, deleted, odd; and that nothing of them is shown.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::Reply;
use testbed::receiver::{Request, verify};

use crate::world::{KEY, SOON, World, condition};

/// Secrets of a subscription that has something parked are read again every 30 s.
const A_LOOK: Duration = Duration::from_secs(90);

/// As the API has it in a Secret's data.
fn base64(bytes: &[u8]) -> String {
    let value = serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).expect("bytes can be JSON");
    value.as_str().unwrap_or_default().to_owned()
}

async fn secret(world: &World, name: &str, data: Value) {
    let manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data});
    world.apply(&manifest.to_string()).await;
}

async fn key(world: &World, key: &[u8]) {
    secret(world, "signing", json!({"secret": base64(key)})).await;
}

fn signed_with(request: &Request, key: &[u8]) -> bool {
    verify(request, key).is_ok()
}

/// A subscription that needs no Secret and shows when a change was there to be sent.
async fn unsigned(world: &World, name: &str) {
    let mut subscription = world.subscription(name, json!({}));
    subscription["spec"].as_object_mut().expect("it is an object").remove("signing");
    world.apply(&subscription.to_string()).await;
    world.ready(name).await;
}

/// The text in which all that anybody may read of a subscription is in one.
async fn shown(world: &World, name: &str) -> String {
    let mut text = world.get(name).await["status"].to_string();
    text += &world.kubectl(&["get", "events.events.k8s.io", "-o", "json"]).await;
    text += &world.operator().log();
    text += &world.operator().metrics().await.expect("there are metrics");
    text
}

#[tokio::test]
async fn nothing_is_sent_until_the_secret_exists_and_then_it_starts_by_itself() {
    let world = World::shared().await;
    unsigned(&world, "barrier").await;
    world.apply(&world.subscription("missing", json!({})).to_string()).await;
    let ready = world.condition("missing", "Ready", "False", "SecretNotFound").await;
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains(&format!("{}/signing", world.namespace)), "{message}");
    let object = world.get("missing").await;
    assert_eq!(condition(&object, "Reconciling").map(|found| &found["status"]), Some(&json!("True")));

    world.config_map("early", json!({})).await;
    world.requests("barrier", 1).await;
    secret(&world, "signing", json!({"other": base64(b"x")})).await;
    let ready = world.condition("missing", "Ready", "False", "SecretKeyNotFound").await;
    assert!(ready["message"].as_str().is_some_and(|message| message.contains("\"secret\"")), "{ready}");
    secret(&world, "signing", json!({"secret": ""})).await;
    world.condition("missing", "Ready", "False", "SecretInvalid").await;
    world.config_map("late", json!({})).await;
    world.requests("barrier", 2).await;
    assert_eq!(world.receiver.requests("/missing").len(), 0);

    key(&world, b"zq9-planted-at-last").await;
    let delivered = world.receiver.wait_for("/missing", 2, A_LOOK).await.expect("what was held is sent");
    assert!(delivered.iter().all(|request| signed_with(request, b"zq9-planted-at-last")));
    let mut names: Vec<_> =
        delivered.iter().map(|r| r.json().expect("JSON")["change"]["server_name"].clone()).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["early", "late"]);
    world.ready("missing").await;
}

#[tokio::test]
async fn a_retry_is_signed_with_the_key_as_it_is_then() {
    let world = World::shared().await;
    world.receiver.script("/rotated", vec![Reply::Status(500)]);
    world.subscribe("rotated", json!({"retryPolicy": {"initialDelaySeconds": 6}})).await;
    world.config_map("thing", json!({})).await;
    let first = world.requests("rotated", 1).await.remove(0);
    key(&world, b"zq9-planted-next-key").await;
    let second = world.requests("rotated", 2).await.remove(1);
    assert!(signed_with(&first, KEY.as_bytes()));
    assert!(signed_with(&second, b"zq9-planted-next-key"));
    assert_eq!((first.header("webhook-id"), &first.body), (second.header("webhook-id"), &second.body));
}

#[tokio::test]
async fn an_edited_key_is_used_within_seconds_and_the_old_one_never_again() {
    let world = World::shared().await;
    world.subscribe("edited", json!({})).await;
    key(&world, b"zq9-planted-next-key").await;
    let edited = std::time::Instant::now();
    let mut sent = 0;
    loop {
        sent += 1;
        world.config_map("thing", json!({"sent": sent.to_string()})).await;
        let requests = world.requests("edited", sent).await;
        let last = &requests[sent - 1];
        // The cache of Secrets holds 5 s at most.
        if signed_with(last, b"zq9-planted-next-key") {
            break;
        }
        assert!(signed_with(last, KEY.as_bytes()), "signed with neither");
        assert!(last.arrived.saturating_duration_since(edited) < Duration::from_secs(7), "the old key is still used");
    }
    for more in 1..=5 {
        world.config_map("thing", json!({"more": more.to_string()})).await;
        let requests = world.requests("edited", sent + more).await;
        assert!(signed_with(&requests[sent + more - 1], b"zq9-planted-next-key"));
    }
}

#[tokio::test]
async fn a_secret_deleted_between_attempts_holds_the_change_until_it_is_back() {
    let world = World::shared().await;
    unsigned(&world, "barrier").await;
    world.receiver.script("/held", vec![Reply::Status(500)]);
    world.subscribe("held", json!({"retryPolicy": {"initialDelaySeconds": 3}})).await;
    world.config_map("thing", json!({})).await;
    world.requests("held", 1).await;
    world.kubectl(&["delete", "secret", "signing"]).await;
    let ready = world.condition("held", "Ready", "False", "SecretNotFound").await;
    assert!(ready["message"].as_str().is_some_and(|message| message.contains("signing")), "{ready}");
    world.config_map("other", json!({})).await;
    world.requests("barrier", 2).await;
    assert_eq!(world.receiver.requests("/held").len(), 1);
    world.secret().await;
    let requests = world.receiver.wait_for("/held", 3, A_LOOK).await.expect("it goes on");
    assert!(requests.iter().all(|request| signed_with(request, KEY.as_bytes())));
    assert!(requests[1..].iter().any(|request| request.header("webhook-id") == requests[0].header("webhook-id")));
    world.ready("held").await;
}

#[tokio::test]
async fn the_bytes_of_a_key_are_used_as_they_are() {
    let world = World::shared().await;
    let cases: [(&str, Vec<u8>); 5] = [
        ("binary", vec![0, 0xff, 0xfe, b'\n', 0x80]),
        ("newline", b"zq9-planted\n".to_vec()),
        ("carriage", b"zq9-planted\r\n".to_vec()),
        ("one", b"k".to_vec()),
        ("long", vec![0xaa; 10_000]),
    ];
    let data: Value = cases.iter().map(|(name, key)| ((*name).to_owned(), json!(base64(key)))).collect();
    secret(&world, "keys", data).await;
    for (name, _) in &cases {
        world.subscribe(name, json!({"signing": {"secretRef": {"name": "keys", "key": name}}})).await;
    }
    world.config_map("thing", json!({})).await;
    for (name, key) in &cases {
        let requests = world.requests(name, 1).await;
        assert!(signed_with(&requests[0], key), "{name}");
        let object = world.get(name).await;
        let ready = condition(&object, "Ready").expect("it is Ready")["message"].as_str().unwrap_or_default();
        let remark = ready.contains("line break") && ready.contains("keys");
        assert_eq!(remark, key.ends_with(b"\n"), "{name}: {ready}");
    }
}

#[tokio::test]
async fn without_a_signing_secret_requests_are_unsigned() {
    let world = World::shared().await;
    unsigned(&world, "unsigned").await;
    world.config_map("thing", json!({})).await;
    let request = world.requests("unsigned", 1).await.remove(0);
    for name in ["x-signature-256", "x-signature", "webhook-signature"] {
        assert_eq!(request.header_values(name).count(), 0, "{name}");
    }
    assert!(request.header("webhook-id").is_some());
}

#[tokio::test]
async fn a_header_whose_secret_is_missing_or_unfit_holds_the_subscription_and_says_so() {
    let world = World::shared().await;
    let headers =
        json!([{"name": "authorization", "valueFrom": {"secretKeyRef": {"name": "partner", "key": "token"}}}]);
    world.secret().await;
    world.apply(&world.subscription("header", json!({"endpoint": {"headers": headers}})).to_string()).await;
    let ready = world.condition("header", "Ready", "False", "SecretNotFound").await;
    assert!(ready["message"].as_str().is_some_and(|message| message.contains("partner")), "{ready}");
    for unfit in [&b"zq9-planted\n"[..], b"two\r\nX-Injected: 1", b"\xff\xfe", b"nul\0"] {
        secret(&world, "partner", json!({"token": base64(unfit)})).await;
        let ready = world.condition("header", "Ready", "False", "SecretInvalid").await;
        assert!(ready["message"].as_str().is_some_and(|message| message.contains("partner")), "{ready}");
    }
    world.config_map("thing", json!({})).await;
    secret(&world, "partner", json!({"token": base64(b"Bearer zq9-planted")})).await;
    let requests = world.receiver.wait_for("/header", 1, A_LOOK).await.expect("it starts by itself");
    assert_eq!(requests[0].header("authorization"), Some("Bearer zq9-planted"));
    assert_eq!(requests[0].header_values("x-injected").count(), 0);
}

#[tokio::test]
async fn a_change_refused_with_401_is_sent_again_once_the_secret_is_edited() {
    let world = World::shared().await;
    let right = b"zq9-planted-right-key";
    world.receiver.rule(move |request| Some(Reply::Status(if signed_with(request, right) { 200 } else { 401 })));
    world.subscribe("refused", json!({})).await;
    world.config_map("thing", json!({})).await;
    world.until("refused", "not parked", |object| object["status"]["delivery"]["parked"] == 1).await;
    key(&world, right).await;
    let requests = world.receiver.wait_for("/refused", 2, A_LOOK).await.expect("it is sent again");
    assert!(signed_with(&requests[1], right));
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    world.until("refused", "still parked", |object| object["status"]["delivery"]["parked"] == 0).await;
}

#[tokio::test]
async fn no_secret_is_shown_in_logs_status_events_or_metrics_even_at_the_finest_level() {
    let mut world = World::private().await;
    let mut options = world.operator_options();
    options.args = vec!["--log-filter".to_owned(), "trace".to_owned()];
    world.operator =
        Some(std::sync::Arc::new(testbed::Operator::start(options).await.expect("the operator gets ready")));
    let (key, token, literal, query) =
        ("zq9-planted-key", "zq9-planted-token", "zq9-planted-literal", "zq9-planted-query");
    secret(&world, "signing", json!({"secret": base64(key.as_bytes())})).await;
    let hidden_path = "zq9-planted-path";
    secret(&world, "hook", json!({"url": base64(world.receiver.url(&format!("/{hidden_path}")).as_bytes())})).await;
    let mut from = world
        .subscription("shown-from", json!({"endpoint": {"urlFrom": {"secretKeyRef": {"name": "hook", "key": "url"}}}}));
    from["spec"]["endpoint"].as_object_mut().expect("it is an object").remove("url");
    world.receiver.script(&format!("/{hidden_path}"), vec![Reply::Status(500), Reply::Status(403), Reply::Reset]);
    world.apply(&from.to_string()).await;
    world.ready("shown-from").await;
    secret(&world, "partner", json!({"token": base64(token.as_bytes())})).await;
    let headers = json!([
        {"name": "authorization", "valueFrom": {"secretKeyRef": {"name": "partner", "key": "token"}}},
        {"name": "x-api-key", "value": literal},
    ]);
    let url = world.receiver.url(&format!("/shown?token={query}"));
    let patch = json!({"endpoint": {"headers": headers, "url": url}, "retryPolicy": {"maxRetries": 1, "initialDelaySeconds": 1}});
    world.receiver.script("/shown", vec![Reply::Status(500), Reply::Status(401), Reply::Reset]);
    world.apply(&world.subscription("shown", patch).to_string()).await;
    world.ready("shown").await;
    for state in 0..4 {
        world.config_map("thing", json!({"state": state.to_string()})).await;
        world.receiver.wait_for("/shown", state + 1, SOON).await.expect("it is sent");
    }
    world.kubectl(&["delete", "secret", "partner"]).await;
    world.config_map("thing", json!({"state": "last"})).await;
    world.condition("shown", "Ready", "False", "SecretNotFound").await;
    let requests = world.receiver.requests("/shown");
    assert!(requests.iter().all(|request| signed_with(request, key.as_bytes()) && request.target.contains(query)));
    assert!(requests.iter().all(|request| request.header("authorization") == Some(token)));
    world.receiver.wait_for(&format!("/{hidden_path}"), 2, SOON).await.expect("it is sent");
    let text = shown(&world, "shown").await + &shown(&world, "shown-from").await;
    for hidden in
        [key, token, literal, query, hidden_path].iter().flat_map(|text| [(*text).to_owned(), base64(text.as_bytes())])
    {
        let at = text.find(&hidden).map(|at| text[at.saturating_sub(300)..at].to_owned());
        assert_eq!(at, None, "{hidden} is shown");
    }
    assert!(text.contains("TRACE"), "the log is at its finest level");
    crate::world::shown::search(world.plane(), Some(world.operator()));
}
