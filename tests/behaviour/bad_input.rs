//! Bad input gets a clear message that names the field and what to do; everybody else goes on; mended, it heals.

use serde_json::{Value, json};
use testbed::Reply;

use crate::history::{History, lint, said};
use crate::world::{World, told};

/// The message of Ready, of a subscription that is not.
pub async fn complaint(world: &World, name: &str, reason: &str) -> String {
    let condition = world.condition(name, "Ready", "False", reason).await;
    lint(&world.get(name).await);
    condition["message"].as_str().expect("a message").to_owned()
}

/// A subscription beside the bad one delivers.
pub async fn others_go_on(world: &World, object: &str) {
    let sent = world.receiver.requests("/good").len();
    world.config_map(object, json!({"n": sent.to_string()})).await;
    world.requests("good", sent + 1).await;
}

pub fn kind(api_version: &str, kind: &str) -> Value {
    json!({"resources": [{"apiVersion": api_version, "kind": kind}]})
}

#[tokio::test]
async fn an_address_that_may_not_be_dialled_is_refused_and_never_asked_whatever_it_is_written_like() {
    let world = World::shared().await;
    world.subscribe("good", json!({})).await;
    let bad = [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "http://[fd00::1]/",
        "http://0x0a000001/",
        "http://167772161/",
        "http://[::ffff:10.0.0.1]/",
        "http://0.0.0.0/",
        "http://100.64.0.1/",
    ];
    let all: Vec<String> = bad
        .iter()
        .enumerate()
        .map(|(n, url)| {
            world
                .subscription(&format!("bad{n}"), json!({"endpoint": {"url": format!("{url}?zq9-planted")}}))
                .to_string()
        })
        .collect();
    world.apply(&all.join("\n---\n")).await;
    for (n, url) in bad.iter().enumerate() {
        let message = complaint(&world, &format!("bad{n}"), "AddressRefused").await;
        assert!(message.starts_with("spec.endpoint.url: "), "{url}: {message}");
        assert!(message.contains("--allow-cidr") && !message.contains("zq9-planted"), "{url}: {message}");
        assert_eq!(said(&world.get(&format!("bad{n}")).await, "Stalled"), "True(AddressRefused)");
    }
    others_go_on(&world, "a").await;
    world.patch("bad0", &json!({"spec": {"endpoint": {"url": world.receiver.url("/mended")}}})).await;
    world.ready("bad0").await;
    others_go_on(&world, "a").await;
    let mended = world.requests("mended", 1).await;
    assert_eq!(told(&mended[0]).1, "a");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_the_endpoints_trouble_and_not_the_subscriptions() {
    let world = World::shared().await;
    world.subscribe("good", json!({})).await;
    world.subscribe("nowhere", json!({"endpoint": {"url": "https://nowhere.invalid/in?zq9-planted"}})).await;
    others_go_on(&world, "a").await;
    let health = world.condition("nowhere", "EndpointHealthy", "False", "DnsFailed").await;
    assert!(!health["message"].as_str().unwrap().contains("zq9-planted"), "{health}");
    let object = world.get("nowhere").await;
    assert_eq!(said(&object, "Ready"), "True(Watching)");
    assert_eq!(object["status"]["endpoint"]["host"], "nowhere.invalid");
}

#[tokio::test]
async fn a_kind_that_cannot_be_watched_here_is_stalled_until_the_entry_is_gone() {
    let world = World::shared().await;
    world.subscribe("good", json!({})).await;
    for (name, resources, says) in [
        ("review", kind("authorization.k8s.io/v1", "SubjectAccessReview"), "does not support list and watch"),
        ("binding", kind("v1", "Binding"), "does not support list and watch"),
        ("node", kind("v1", "Node"), "do not belong to a namespace"),
        ("namespace", kind("v1", "Namespace"), "do not belong to a namespace"),
    ] {
        world.apply(&world.subscription(name, resources).to_string()).await;
        let message = complaint(&world, name, "KindNotSupported").await;
        assert!(message.starts_with("spec.resources[0]: ") && message.contains(says), "{message}");
        assert!(message.contains("remove the entry"), "{message}");
        assert_eq!(said(&world.get(name).await, "Stalled"), "True(KindNotSupported)");
    }
    others_go_on(&world, "a").await;
    world.patch("node", &json!({"spec": kind("v1", "ConfigMap")})).await;
    world.ready("node").await;
    world.config_map("b", json!({})).await;
    assert_eq!(told(&world.requests("node", 1).await[0]).1, "b");
}

#[tokio::test]
async fn an_unknown_kind_waits_until_it_is_installed() {
    let mut world = World::private().await;
    world.start_operator().await;
    world.subscribe("good", json!({})).await;
    world.apply(&world.subscription("widgets", kind("example.com/v1", "Widget")).to_string()).await;
    let message = complaint(&world, "widgets", "KindNotInstalled").await;
    assert!(message.starts_with("spec.resources[0]: the API server does not serve example.com/v1 Widget"), "{message}");
    assert!(message.ends_with("install the kind, or correct apiVersion and kind"), "{message}");
    let object = world.get("widgets").await;
    assert_eq!(
        (said(&object, "Reconciling"), said(&object, "Stalled")),
        ("True(ProgressingWithRetry)".to_owned(), "-".to_owned())
    );
    world.apply(&world.subscription("typo", kind("apps/v2", "Deployment")).to_string()).await;
    let message = complaint(&world, "typo", "KindNotInstalled").await;
    assert!(message.contains("but serves Deployment as apps/v1"), "{message}");
    others_go_on(&world, "a").await;

    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    });
    world.plane().apply_crd_yaml(&crd.to_string()).await.unwrap();
    world.ready("widgets").await;
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
    world.apply(&widget.to_string()).await;
    assert_eq!(told(&world.requests("widgets", 1).await[0]), ("new".to_owned(), "w".to_owned()));
}

#[tokio::test]
async fn a_right_that_is_missing_for_a_kind_is_named_and_its_grant_in_the_namespace_is_enough() {
    let world = World::shared().await;
    world.subscribe("good", json!({})).await;
    world.apply(&world.subscription("sets", kind("apps/v1", "StatefulSet")).to_string()).await;
    let message = complaint(&world, "sets", "NotAuthorized").await;
    assert!(message.contains(&format!("statefulsets.apps in namespace {}", world.namespace)), "{message}");
    let rule = r#"{apiGroups: ["apps"], resources: ["statefulsets"], verbs: ["list", "watch"]}"#;
    assert!(message.contains(rule), "{message}");
    assert_eq!(said(&world.get("sets").await, "Authorized"), "False(NotAuthorized)");
    others_go_on(&world, "a").await;

    let granted = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "sets"},
        "rules": [{"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["list", "watch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "sets"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "sets"},
        "subjects": [{"kind": "ServiceAccount", "name": "changehook", "namespace": "changehook-system"}]});
    world.apply(&format!("{granted}\n---\n{binding}")).await;
    let object = world.ready("sets").await;
    assert_eq!(said(&object, "Authorized"), "True(Granted)");
    let labels = json!({"app": "db"});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
        "serviceName": "db", "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "db", "image": "db"}]}}}});
    world.apply(&set.to_string()).await;
    assert_eq!(told(&world.requests("sets", 1).await[0]), ("new".to_owned(), "db".to_owned()));
}

#[tokio::test]
async fn in_a_namespace_that_is_being_deleted_deliveries_and_status_go_on_quietly() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.subscribe("last", json!({})).await;
    world.config_map("a", json!({"n": "1"})).await;
    world.requests("last", 1).await;
    world.condition("last", "EndpointHealthy", "True", "Delivering").await;
    // Nobody empties it here, so it stays as it is.
    world.kubectl(&["delete", "namespace", &world.namespace, "--wait=false"]).await;
    world.config_map("a", json!({"n": "2"})).await;
    world.requests("last", 2).await;
    // The endpoint fails: a flip, whose Event the API server refuses.
    world.receiver.script("/last", vec![Reply::Status(500)]);
    world.kubectl(&["delete", "configmap", "a"]).await;
    world.condition("last", "EndpointHealthy", "False", "ServerError").await;
    let requests = world.requests("last", 4).await;
    assert_eq!(told(&requests[3]), ("removed".to_owned(), "a".to_owned()));
    world.until("last", "not healthy again", |o| said(o, "EndpointHealthy") == "True(Delivering)").await;
    history.versions("last");
    let log = world.operator().log();
    let complaints: Vec<&str> =
        log.lines().filter(|line| !line.contains(" INFO ") && line.contains(&world.namespace)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    world.kubectl(&["delete", "whsub", "last"]).await;
}
