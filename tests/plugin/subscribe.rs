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

    // what it says about signing can be pasted
    let name = "my-integration";
    assert!(
        said.contains(&format!("kubectl create secret generic {name} -n {} --from-literal=secret=", world.namespace))
    );
    let literal = format!("--from-literal=secret={}", crate::world::KEY);
    world.kubectl(&["create", "secret", "generic", name, &literal]).await;
    let patch = said.split_once("--patch '").unwrap().1.split('\'').next().unwrap();
    world.kubectl(&["patch", "whsub", name, "--type", "merge", "--patch", patch]).await;
    world.ready(name).await;
    world.config_map("hello", json!({"a": "c"})).await;
    let found = world.receiver.wait_for("/hook", 2, crate::world::SOON).await.unwrap();
    crate::world::verified(&found[1]);
    done(&world, &["status", "My Integration"]).await;
}

#[tokio::test]
async fn a_namespace_a_context_and_a_kubeconfig_that_are_not_there_are_named() {
    let world = World::shared().await;
    let url = world.receiver.url("/hook");
    let admin = world.plane().kubeconfig_path().to_owned();
    for (kubeconfig, more, wanted) in [
        (admin.clone(), ["-n", "not-there"], "namespaces \"not-there\" not found; create the namespace"),
        (admin, ["--context", "elsewhere"], "elsewhere"),
        ("/nowhere/one".into(), ["-n", "default"], "see --kubeconfig and --context"),
    ] {
        let output = kubectl_as(&world, &kubeconfig, &subscribe(&url, &more)).await;
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert!(output.stderr.contains(wanted), "{}", output.stderr);
        assert_eq!(output.stderr.trim().lines().count(), 1, "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_credential_in_a_header_is_warned_about_and_not_shown() {
    let world = World::shared().await;
    let url = world.receiver.url("/hook");
    let said = done(&world, &subscribe(&url, &["--header", "Authorization=Bearer t0ken", "--wait=false"])).await;
    assert!(said.contains("can read its Authorization header") && !said.contains("t0ken"), "{said}");
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
    let output = changehook(&world, &[&missing[..], &["--timeout", "5s"]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("waiting: SecretNotFound"), "{}", output.stderr);
    assert!(output.stderr.contains("not Ready after 5 seconds: SecretNotFound"), "{}", output.stderr);
    let create = format!("kubectl create secret generic NAME -n {}", world.namespace);
    assert!(output.stderr.contains(&create), "{}", output.stderr);
    let said = done(&world, &[&missing[..], &["--wait=false"]].concat()).await;
    assert!(said.contains("unchanged") && !said.contains("Ready:"), "{said}");

    let metadata = ["subscribe", "webhook", "--url", "https://169.254.169.254/", "--name", "stalled"];
    let output = changehook(&world, &metadata).await;
    assert_eq!(output.status.code(), Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("only an edit of it helps: AddressRefused"), "{}", output.stderr);
}
