//! Every row of the design's table of states, from a real run. What every version of a status has to obey is in
//! [`crate::history::lint`].

use std::time::Duration;

use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Matcher, Times};
use testbed::{FaultProxy, Operator, Reply};

use crate::history::{History, lint, said};
use crate::world::{World, told};

/// All conditions, in order, as `Ready=True(Watching)`; an intact ledger is not repeated everywhere.
fn all(object: &Value) -> Vec<String> {
    lint(object);
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let types = conditions.iter().map(|c| c["type"].as_str().unwrap_or_default().to_owned());
    let all = types.map(|type_| format!("{type_}={}", said(object, &type_)));
    all.filter(|said| said != "LedgerIntact=True(Intact)").collect()
}

const GRANTED: &str = "Authorized=True(Granted)";
const UNKNOWN: &str = "EndpointHealthy=Unknown(NoDeliveryYet)";

/// A private world whose operator reads the API server through a proxy.
pub async fn proxied() -> (World, FaultProxy) {
    let mut world = World::private().await;
    let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
    let mut options = world.operator_options();
    options.server_override = Some(proxy.url());
    let operator = Operator::start(options).await.expect("the operator gets ready");
    world.operator = Some(std::sync::Arc::new(operator));
    (world, proxy)
}

#[tokio::test]
async fn watching_delivering_failing_and_suspended_are_told_as_the_table_says() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.subscribe("rows", json!({"retryPolicy": {"initialDelaySeconds": 1}})).await;
    assert_eq!(all(&world.get("rows").await), ["Ready=True(Watching)", GRANTED, UNKNOWN]);

    world.config_map("a", json!({})).await;
    world.condition("rows", "EndpointHealthy", "True", "Delivering").await;
    let up = ["Ready=True(Watching)", GRANTED, "EndpointHealthy=True(Delivering)"];
    assert_eq!(all(&world.get("rows").await), up);

    world.receiver.set_default(Reply::Status(404));
    world.config_map("a", json!({"n": "1"})).await;
    world.condition("rows", "EndpointHealthy", "False", "ClientError").await;
    let object = world.until("rows", "not parked", |object| object["status"]["delivery"]["parked"] == 1).await;
    assert_eq!(all(&object), ["Ready=True(Watching)", GRANTED, "EndpointHealthy=False(ClientError)"]);
    let error = &object["status"]["parkedSamples"][0]["lastError"];
    assert_eq!((&error["class"], &error["httpStatus"]), (&json!("Event"), &json!(404)));

    world.patch("rows", &json!({"spec": {"suspend": true}})).await;
    world.condition("rows", "Suspended", "True", "Suspended").await;
    let suspended =
        ["Ready=True(Suspended)", GRANTED, "EndpointHealthy=False(ClientError)", "Suspended=True(Suspended)"];
    assert_eq!(all(&world.get("rows").await), suspended);

    world.receiver.set_default(Reply::Status(200));
    world.patch("rows", &json!({"spec": {"suspend": false}})).await;
    world.config_map("a", json!({"n": "2"})).await;
    let object = world.until("rows", "not healthy", |o| said(o, "EndpointHealthy") == "True(Delivering)").await;
    assert_eq!(all(&object), up);
    history.versions("rows");
}

#[tokio::test]
async fn while_a_list_is_read_the_subscription_is_progressing() {
    let (world, proxy) = proxied().await;
    let history = History::of(&world).await;
    let late = proxy.inject(Matcher::lists("configmaps"), Fault::Delay(Duration::from_secs(2)), Times::Always);
    let later = proxy.inject(Matcher::watches("configmaps"), Fault::Delay(Duration::from_secs(2)), Times::Always);
    world.subscribe("listing", json!({})).await;
    late.clear();
    later.clear();
    let ready = history.of_condition("listing", "Ready");
    assert_eq!(ready, ["-", "False(Progressing)", "True(Watching)"]);
    assert_eq!(history.of_condition("listing", "Reconciling"), ["-", "True(Progressing)", "-"]);
    let versions = history.versions("listing");
    let message = crate::world::condition(&versions[1], "Ready").unwrap()["message"].clone();
    assert_eq!(message, "spec.resources[0]: reading the list of v1 ConfigMap");
}

#[tokio::test]
async fn a_list_that_ends_while_the_secret_is_still_being_read_is_not_missed() {
    let (world, proxy) = proxied().await;
    // The list is complete long before the Secret is read, so that only a notice during the look tells of it.
    let secrets = Matcher::any().method("GET").containing("/secrets/signing");
    proxy.inject(secrets, Fault::Delay(Duration::from_secs(3)), Times::Once);
    world.subscribe("overtaken", json!({})).await;
    world.config_map("a", json!({})).await;
    world.requests("overtaken", 1).await;
}

#[tokio::test]
async fn what_something_else_can_heal_is_reconciling_and_heals_by_itself() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    let two = json!({"signing": {"secretRef": {"name": "signing", "key": "other"}}});
    world.apply(&world.subscription("missing", two).to_string()).await;
    let condition = world.condition("missing", "Ready", "False", "SecretNotFound").await;
    let message = condition["message"].as_str().unwrap().to_owned();
    let secret = format!("spec.signing.secretRef: Secret {}/signing not found", world.namespace);
    assert!(message.starts_with(&secret), "{message}");
    let expected = ["Ready=False(SecretNotFound)", "Reconciling=True(ProgressingWithRetry)", GRANTED, UNKNOWN];
    assert_eq!(all(&world.get("missing").await), expected);
    world.config_map("a", json!({})).await;
    world.secret().await;
    let condition = world.condition("missing", "Ready", "False", "SecretKeyNotFound").await;
    assert!(condition["message"].as_str().unwrap().contains("has no key \"other\""), "{condition}");
    let whole = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"},
        "stringData": {"secret": testbed::marks::MARK, "other": crate::world::KEY}});
    world.apply(&whole.to_string()).await;
    world.ready("missing").await;
    let requests = world.requests("missing", 1).await;
    assert_eq!(told(&requests[0]), ("new".to_owned(), "a".to_owned()));
    assert_eq!(all(&world.get("missing").await)[0], "Ready=True(Watching)");
    history.versions("missing");
}

#[tokio::test]
async fn a_secret_that_goes_while_changes_are_sent_is_missed_at_once_and_nothing_is_sent_unsigned() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.subscribe("gone", json!({})).await;
    world.config_map("a", json!({})).await;
    world.requests("gone", 1).await;
    world.kubectl(&["delete", "secret", "signing"]).await;
    // What is cached may still be used for a moment: a change after that needs the Secret.
    let mut n = 0;
    let missed = || {
        n += 1;
        let value = n.to_string();
        let world = &world;
        async move {
            world.config_map("a", json!({"n": value})).await;
            let object = world.get("gone").await;
            if said(&object, "Ready") == "False(SecretNotFound)" { Ok(()) } else { Err(said(&object, "Ready")) }
        }
    };
    testbed::eventually(crate::world::SOON, missed).await.unwrap();
    let sent = world.receiver.requests("/gone").len();
    world.config_map("a", json!({"last": "one"})).await;
    world.receiver.stays_quiet(Duration::from_millis(500)).await.unwrap();
    let object = world.get("gone").await;
    assert_eq!(object["status"]["delivery"]["pending"], 1, "{:#}", object["status"]);
    world.secret().await;
    let requests = world.requests("gone", sent + 1).await;
    let body = crate::world::verified(requests.last().unwrap());
    assert_eq!(body["change"]["object"]["data"], json!({"last": "one"}));
    assert!(requests.iter().all(|request| request.header("x-signature-256").is_some()));
    world.ready("gone").await;
    history.versions("gone");
}

#[tokio::test]
async fn what_only_an_edit_can_heal_is_stalled_until_it_is_edited() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.subscribe("edit", json!({})).await;
    world
        .patch("edit", &json!({"spec": {"endpoint": {"url": "https://169.254.169.254/latest?secret=zq9-planted"}}}))
        .await;
    let stalled = world.condition("edit", "Stalled", "True", "AddressRefused").await;
    let message = stalled["message"].as_str().unwrap();
    assert!(message.starts_with("spec.endpoint.url: ") && message.contains("--allow-cidr"), "{message}");
    let object = world.get("edit").await;
    assert_eq!(all(&object), ["Ready=False(AddressRefused)", "Stalled=True(AddressRefused)", UNKNOWN]);
    world.config_map("a", json!({})).await;
    world.receiver.stays_quiet(Duration::from_millis(500)).await.unwrap();

    // What changed while it was stalled is told once it is healed, as with a suspension.
    world.patch("edit", &json!({"spec": {"endpoint": {"url": world.receiver.url("/healed")}}})).await;
    world.ready("edit").await;
    let requests = world.requests("healed", 1).await;
    assert_eq!(told(&requests[0]), ("new".to_owned(), "a".to_owned()));
    history.versions("edit");
}

#[tokio::test]
async fn while_the_api_server_does_not_let_a_kind_be_read_the_others_go_on() {
    let (world, proxy) = proxied().await;
    let kinds = json!({"resources": [
        {"apiVersion": "v1", "kind": "ConfigMap"}, {"apiVersion": "apps/v1", "kind": "Deployment"}]});
    proxy.inject(Matcher::lists("deployments"), Fault::Status(403), Times::Always);
    proxy.inject(Matcher::watches("deployments"), Fault::Status(403), Times::Always);
    world.secret().await;
    world.apply(&world.subscription("half", kinds).to_string()).await;
    let condition = world.condition("half", "Ready", "False", "NotAuthorized").await;
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.starts_with("spec.resources[1]: changehook may not ") && message.contains("deployments.apps"),
        "{message}"
    );
    let rule = r#"{apiGroups: ["apps"], resources: ["deployments"], verbs: ["list", "watch"]}"#;
    assert!(message.contains(rule), "{message}");
    let expected =
        ["Ready=False(NotAuthorized)", "Reconciling=True(ProgressingWithRetry)", "Authorized=False(NotAuthorized)"];
    assert_eq!(all(&world.get("half").await)[..3], expected);
    world.config_map("a", json!({})).await;
    world.requests("half", 1).await;
    proxy.clear();
    let object = world.ready("half").await;
    assert_eq!(all(&object), ["Ready=True(Watching)", GRANTED, "EndpointHealthy=True(Delivering)"]);
}
