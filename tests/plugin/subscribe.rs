//! `kubectl changehook subscribe webhook`.

use serde_json::{Value, json};

use crate::kubectl::{changehook, done, kubectl_as, user};
use crate::world::World;

fn subscribe<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["subscribe", "webhook", "--url", url, "--name", "My Integration"], more].concat()
}

#[tokio::test]
async fn the_contracts_quick_set_up_waits_for_ready_and_the_next_change_is_delivered() {
    let world = World::shared().await;
    let url = world.receiver.url("/hook?token=s3cret");
    let said = done(&world, &subscribe(&url, &[])).await;
    for part in ["my-integration created", "Deployment (apps/v1), ConfigMap (v1)", "signing   none", "Ready: Watching"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(said.contains(&format!("kubectl changehook status my-integration -n {}", world.namespace)), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    world.config_map("hello", json!({"a": "b"})).await;
    let found = world.receiver.wait_for("/hook", 1, crate::world::SOON).await.unwrap();
    assert!(found[0].header("x-signature-256").is_none());
}

#[tokio::test]
async fn a_user_who_may_only_create_and_read_subscriptions_can_subscribe_and_one_who_may_not_is_told_the_right() {
    let world = World::shared().await;
    let url = world.receiver.url("/hook");
    let may =
        json!([{"apiGroups": ["changehook.dev"], "resources": ["webhooksubscriptions"], "verbs": ["create", "get"]}]);
    let allowed = user(&world, "allowed", may).await;
    let namespace = ["-n", world.namespace.as_str(), "--resource", "cm"];
    let arguments = subscribe(&url, &namespace);
    let output = kubectl_as(&world, &allowed, &arguments).await;
    assert!(output.status.success(), "{}", output.stderr);

    let forbidden = user(&world, "forbidden", json!([])).await;
    let output = kubectl_as(&world, &forbidden, &arguments).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.contains("failed to create WebhookSubscription"), "{}", output.stderr);
    assert!(output.stderr.contains("cannot create resource"), "{}", output.stderr);
    assert_eq!(output.stderr.trim().lines().count(), 1, "{}", output.stderr);
}

#[tokio::test]
async fn what_dry_run_prints_creates_nothing_and_applied_it_is_what_subscribe_would_have_created() {
    let world = World::shared().await;
    let url = world.receiver.url("/hook");
    let more = [
        "--resource",
        "deploy,configmaps.v1",
        "--selector",
        "app=shop,tier in (web,api)",
        "--secret",
        "signing:secret",
        "--method",
        "PUT",
        "--header",
        "X-Team=shop",
    ];
    let arguments = subscribe(&url, &more);
    let printed = done(&world, &[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!(world.kubectl(&["get", "whsub", "-o", "name"]).await, "");
    let json = done(&world, &[&arguments[..], &["--dry-run", "-o", "json"]].concat()).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["spec"]["resources"][0]["kind"], "Deployment");

    world.secret().await;
    world.apply(&printed).await;
    let applied = world.ready("my-integration").await;
    let said = done(&world, &arguments).await;
    assert!(said.contains("my-integration unchanged"), "{said}");
    assert_eq!(world.get("my-integration").await["metadata"]["generation"], applied["metadata"]["generation"]);
    assert_eq!(applied["spec"]["endpoint"]["method"], "PUT");
}

#[tokio::test]
async fn another_subscription_of_the_name_is_left_alone_unless_overwrite_is_said() {
    let world = World::shared().await;
    let (one, other) = (world.receiver.url("/one"), world.receiver.url("/other"));
    done(&world, &subscribe(&one, &["--resource", "cm"])).await;
    let second = subscribe(&other, &["--resource", "cm"]);
    let output = changehook(&world, &second).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.contains("exists with another spec (spec.endpoint)"), "{}", output.stderr);
    assert!(output.stderr.contains("--overwrite"), "{}", output.stderr);
    assert_eq!(world.get("my-integration").await["spec"]["endpoint"]["url"], one);
    let said = done(&world, &[&second[..], &["--overwrite"]].concat()).await;
    assert!(said.contains("replaced"), "{said}");
    assert_eq!(world.get("my-integration").await["spec"]["endpoint"]["url"], other);
}

#[tokio::test]
async fn bad_input_ends_with_2_and_the_remedy_before_anything_is_created() {
    let world = World::shared().await;
    let url = world.receiver.url("/hook");
    for (url, more, wanted) in [
        ("ftp://a.example", vec![], "--url must start with https://"),
        (&url, vec!["--resource", "gizmos"], "kubectl api-resources"),
        (&url, vec!["--resource", "nodes"], "do not belong to a namespace"),
        (&url, vec!["--resource", "events"], "fits several kinds; write one of events.v1., events.v1.events.k8s.io"),
        (&url, vec!["--resource", "webhooksubscriptions"], "spec.resources[0]"),
        (&url, vec!["--selector", "a in b"], "values go in parentheses"),
        (&url, vec!["--header", "Host=a"], "reserved"),
        (&url, vec!["--method", "GET"], "possible values: POST, PUT, PATCH"),
    ] {
        let output = changehook(&world, &subscribe(url, &more)).await;
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains(wanted), "{more:?}: {}", output.stderr);
    }
    assert_eq!(world.kubectl(&["get", "whsub", "-o", "name"]).await, "");
}

#[tokio::test]
async fn what_is_not_ready_is_told_with_reason_and_remedy_and_wait_false_does_not_ask() {
    let world = World::shared().await;
    let url = world.receiver.url("/hook");
    let missing = subscribe(&url, &["--secret", "missing", "--resource", "cm"]);
    let output = changehook(&world, &[&missing[..], &["--timeout", "5"]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("waiting: SecretNotFound"), "{}", output.stderr);
    assert!(output.stderr.contains("not Ready after 5 seconds: SecretNotFound"), "{}", output.stderr);
    let said = done(&world, &[&missing[..], &["--wait=false"]].concat()).await;
    assert!(said.contains("unchanged") && !said.contains("Ready:"), "{said}");

    let metadata = ["subscribe", "webhook", "--url", "https://169.254.169.254/", "--name", "stalled"];
    let output = changehook(&world, &metadata).await;
    assert_eq!(output.status.code(), Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("only an edit of it helps: AddressRefused"), "{}", output.stderr);
}
