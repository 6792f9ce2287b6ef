//! Secrets that cannot be read or used: the place that names them is told, their values never.

use serde_json::{Value, json};

use crate::bad_input::{complaint, others_go_on};
use crate::world::{KEY, World, condition, verified};

#[tokio::test]
async fn without_the_right_to_read_secrets_nothing_is_sent_and_the_right_is_named() {
    let mut world = World::private().await;
    world.start_operator().await;
    let bind = |subjects: Value| {
        let (world, patch) = (&world, json!({"subjects": subjects}).to_string());
        async move {
            let binding = "changehook-system-secret-reader";
            world.kubectl(&["patch", "clusterrolebinding", binding, "--type=merge", "-p", &patch]).await;
        }
    };
    bind(json!([])).await;
    world.secret().await;
    world.apply(&world.subscription("blind", json!({})).to_string()).await;
    world.subscribe_unsigned("good").await;
    let message = complaint(&world, "blind", "NotAuthorized").await;
    let expected = format!("spec.signing.secretRef: not allowed to read Secret {}/signing; grant", world.namespace);
    assert!(message.starts_with(&expected), "{message}");
    others_go_on(&world, "a").await;
    bind(json!([{"kind": "ServiceAccount", "name": "changehook", "namespace": "changehook-system"}])).await;
    world.ready("blind").await;
    let requests = world.requests("blind", 1).await;
    assert_eq!(verified(&requests[0])["change"]["resource"]["name"], "a");
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_told_with_the_place_that_names_it_and_without_its_value() {
    let world = World::shared().await;
    world.subscribe("good", json!({})).await;
    let secret = |data: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "odd"}, "data": data}).to_string()
    };
    // "", 0xfffe, "zq9-planted\n", "a\r\nx-evil: zq9-planted"
    world
        .apply(&secret(
            json!({"empty": "", "binary": "//4=", "newline": "enE5LXBsYW50ZWQK", "split": "YQ0KeC1ldmlsOiB6cTktcGxhbnRlZA=="}),
        ))
        .await;
    let header = |key: &str| {
        let from = json!({"secretKeyRef": {"name": "odd", "key": key}});
        json!({"endpoint": {"headers": [{"name": "X-Fine", "value": "1"}, {"name": "Authorization", "valueFrom": from}]}})
    };
    let signing = json!({"signing": {"secretRef": {"name": "odd", "key": "empty"}}});
    for (name, patch, reason, place, says) in [
        ("empty", signing, "SecretInvalid", "spec.signing.secretRef: ", "empty value"),
        (
            "hollow",
            header("empty"),
            "SecretInvalid",
            "spec.endpoint.headers[1].valueFrom.secretKeyRef: ",
            "empty value",
        ),
        ("binary", header("binary"), "SecretInvalid", "spec.endpoint.headers[1].valueFrom.secretKeyRef: ", "not UTF-8"),
        (
            "newline",
            header("newline"),
            "SecretInvalid",
            "spec.endpoint.headers[1].valueFrom.secretKeyRef: ",
            "line break",
        ),
        ("split", header("split"), "SecretInvalid", "spec.endpoint.headers[1].valueFrom.secretKeyRef: ", "line break"),
        (
            "absent",
            header("absent"),
            "SecretKeyNotFound",
            "spec.endpoint.headers[1].valueFrom.secretKeyRef: ",
            "add it",
        ),
    ] {
        world.apply(&world.subscription(name, patch).to_string()).await;
        let message = complaint(&world, name, reason).await;
        assert!(message.starts_with(place) && message.contains(says), "{name}: {message}");
        assert!(!message.contains("zq9-planted"), "{message}");
    }
    others_go_on(&world, "a").await;
    assert_eq!(world.receiver.all_requests().len(), world.receiver.requests("/good").len());
    world.apply(&secret(json!({"newline": "enE5LXBsYW50ZWQ="}))).await;
    world.ready("newline").await;
    let requests = world.requests("newline", 1).await;
    assert_eq!(requests[0].header("authorization"), Some("zq9-planted"));
}

#[tokio::test]
async fn a_line_break_in_the_signing_key_is_part_of_it_and_is_remarked_upon() {
    let world = World::shared().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"},
        "stringData": {"secret": format!("{KEY}\n")}});
    world.apply(&secret.to_string()).await;
    world.apply(&world.subscription("newline", json!({})).to_string()).await;
    let object = world.ready("newline").await;
    let message = condition(&object, "Ready").unwrap()["message"].as_str().unwrap();
    assert!(message.contains("key \"secret\" ends with a line break"), "{message}");
    world.config_map("a", json!({})).await;
    let requests = world.requests("newline", 1).await;
    testbed::receiver::verify(&requests[0], format!("{KEY}\n").as_bytes()).unwrap();
}
