//! What the operator needs before it works, and how it is told its settings.

use http::StatusCode;
use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Matcher, Times};
use testbed::{ControlPlane, FaultProxy, Operator, OperatorOptions, eventually};

use crate::world::{SOON, World, binary, root, told};

async fn has_logged(operator: &Operator, text: &str) {
    let look = || async { if operator.log().contains(text) { Ok(()) } else { Err(operator.log()) } };
    eventually(SOON, look).await.expect("it is in the log");
}

/// Waits until /readyz names exactly these as missing, and checks that the operator lives all the same.
async fn is_missing(operator: &Operator, missing: &[&str]) {
    let expected = missing.iter().fold(String::new(), |text, what| text + "waiting for " + what + "\n");
    let look = || async {
        let (status, body) = operator.readyz().await.map_err(|error| error.to_string())?;
        let fits = status == StatusCode::SERVICE_UNAVAILABLE && body == expected;
        if fits { Ok(()) } else { Err(format!("/readyz says {status}: {body}")) }
    };
    eventually(SOON, look).await.expect("it names what is missing");
    let (status, body) = operator.ask("/livez").await.expect("it answers");
    assert_eq!((status, body.as_str()), (StatusCode::OK, "ok\n"));
}

async fn is_ready(operator: &Operator) {
    let look = || async {
        let (status, body) = operator.readyz().await.map_err(|error| error.to_string())?;
        if status == StatusCode::OK { Ok(()) } else { Err(format!("/readyz says {status}: {body}")) }
    };
    eventually(SOON, look).await.expect("it gets ready");
}

#[tokio::test]
async fn without_the_definitions_it_is_not_ready_says_so_and_gets_ready_when_they_are_applied() {
    let control_plane = ControlPlane::start().await.expect("a control plane starts");
    let options = OperatorOptions::new(binary(), &control_plane);
    let operator = Operator::start_unready(options).await.expect("the operator starts");
    is_missing(&operator, &["the custom resource definitions", "the Lease", "the list of subscriptions"]).await;
    let hint = "webhooksubscriptions.changehook.dev/v1alpha1 is not served; upgrade the chart changehook-crds, or apply \
                the output of `changehook crds`";
    has_logged(&operator, hint).await;

    control_plane.apply_crds(&root().join("crds")).await.expect("the CRDs can be applied");
    is_ready(&operator).await;
}

#[tokio::test]
async fn under_older_definitions_it_is_not_ready_names_a_field_that_they_lack_and_gets_ready_when_they_are_upgraded() {
    let control_plane = ControlPlane::start().await.expect("a control plane starts");
    control_plane.apply_crds(&root().join("crds")).await.expect("the CRDs can be applied");
    let text = std::fs::read_to_string(root().join("crds/webhooksubscriptions.yaml")).unwrap();
    let mut older: Value = serde_saphyr::from_str(&text).unwrap();
    let status = &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
    assert!(status.as_object_mut().unwrap().remove("totals").is_some());
    control_plane.apply_crd_yaml(&older.to_string()).await.expect("it can be applied");
    is_no_longer_published(&control_plane, "/properties/status/properties/totals").await;
    let operator = Operator::start_unready(OperatorOptions::new(binary(), &control_plane)).await.expect("it starts");
    is_missing(&operator, &["the custom resource definitions", "the Lease", "the list of subscriptions"]).await;
    let hint = "the CustomResourceDefinition webhooksubscriptions.changehook.dev is older than this operator: it does not \
                know status.totals; upgrade the chart changehook-crds, or apply the output of `changehook crds`";
    has_logged(&operator, hint).await;

    control_plane.apply_crds(&root().join("crds")).await.expect("the CRDs can be applied");
    is_ready(&operator).await;
}

/// Waits until the API server's OpenAPI document, which follows its definitions, has lost the field.
async fn is_no_longer_published(control_plane: &ControlPlane, pointer: &str) {
    let look = || async {
        let path = "/openapi/v3/apis/changehook.dev/v1alpha1";
        let text = control_plane.kubectl_ok(&["get", "--raw", path]).await.map_err(|error| error.to_string())?;
        let document: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let schema = &document["components"]["schemas"]["dev.changehook.v1alpha1.WebhookSubscription"];
        if schema.is_object() && schema.pointer(pointer).is_none() { Ok(()) } else { Err(schema.to_string()) }
    };
    eventually(SOON, look).await.expect("the document follows");
}

#[tokio::test]
async fn it_waits_for_an_api_server_and_for_its_rights_says_so_and_then_delivers() {
    let mut world = World::private().await;
    let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
    let _closed = proxy.inject(Matcher::any(), Fault::Close, Times::Always);
    let mut options = world.operator_options();
    options.server_override = Some(proxy.url());
    let operator = Operator::start_unready(options).await.expect("the operator starts");
    let all =
        ["an answer of the API server", "the custom resource definitions", "the Lease", "the list of subscriptions"];
    is_missing(&operator, &all).await;
    has_logged(&operator, "waiting for the API server").await;

    // it answers now, and allows nothing
    proxy.clear();
    let subscriptions = Matcher::any().containing("/webhooksubscriptions");
    let _forbidden = proxy.inject(subscriptions.clone(), Fault::Status(403), Times::Always);
    is_missing(&operator, &["the list of subscriptions"]).await;
    proxy.wait_for(&subscriptions, 2, SOON).await.expect("it asks again");

    proxy.clear();
    is_ready(&operator).await;
    world.operator = Some(operator.into());
    world.subscribe("late", json!({})).await;
    world.config_map("first", json!({})).await;
    assert_eq!(told(&world.requests("late", 1).await[0]), ("new".to_owned(), "first".to_owned()));
}

#[tokio::test]
async fn settings_from_the_environment_do_what_flags_do_and_json_logs_are_json_lines() {
    let mut world = World::private().await;
    let mut options = world.operator_options();
    options.by_environment = true;
    options.reach.clear();
    for (name, value) in [
        ("allow-cidr", "127.0.0.0/8"),
        ("allow-http", "true"),
        ("log-format", "json"),
        ("log-filter", "changehook=debug"),
        ("shutdown-grace-seconds", "20"),
    ] {
        options.settings.insert(name, value.to_owned());
    }
    let operator = Operator::start(options).await.expect("the operator gets ready");
    world.operator = Some(operator.into());
    // http and a loopback address: both are refused unless the environment was read
    world.subscribe("environment", json!({})).await;
    world.config_map("first", json!({})).await;
    world.requests("environment", 1).await;
    let status = world.operator().stop().await.expect("it ends");
    assert_eq!(status.code(), Some(0));

    let log = world.operator().log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
    }
    let first = &lines[0];
    assert_eq!((&first["namespace"], &first["allow_http"]), (&json!("changehook-system"), &json!(true)));
    assert_eq!((&first["allow_cidr"], &first["shutdown_grace_seconds"]), (&json!("127.0.0.0/8"), &json!(20)));
    assert!(lines.iter().any(|line| line["level"] == "DEBUG"), "the filter was not read: {log}");
    assert_eq!(lines.last().expect("there are lines")["message"], "stopped");
    for secret in [crate::world::KEY, "Bearer", "signature"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}
