//! `kubectl changehook status`.

use serde_json::{Value, json};
use testbed::{Reply, eventually};

use crate::kubectl::{changehook, done, kubectl_as, user};
use crate::world::{SOON, World};

/// Asks until the screen has this.
async fn shows(world: &World, name: &str, part: &str) -> String {
    let look = async || {
        let screen = done(world, &["status", name]).await;
        if screen.contains(part) { Ok(screen) } else { Err(format!("{part} is not in\n{screen}")) }
    };
    eventually(SOON, look).await.unwrap()
}

#[tokio::test]
async fn a_healthy_subscription_shows_its_references_and_deliveries() {
    let world = World::shared().await;
    world.subscribe("healthy", json!({})).await;
    world.config_map("hello", json!({"a": "b"})).await;
    world.requests("healthy", 1).await;
    let screen = shows(&world, "healthy", "1 delivered").await;
    for part in [
        "Ready: True (Watching)",
        "ConfigMap v1: served, 1 selected",
        "signing: found, with key secret",
        "breaker Closed",
        "HTTP 200",
    ] {
        assert!(screen.contains(part), "{part} is not in\n{screen}");
    }
    assert!(!screen.contains(crate::world::KEY), "{screen}");
    let json: Value = serde_json::from_str(&done(&world, &["status", "healthy", "-o", "json"]).await).unwrap();
    assert_eq!(json["status"]["totals"]["delivered"], 1);
    assert_eq!(json["references"][0]["state"], "Found");
    assert!(json.get("spec").is_none());
}

#[tokio::test]
async fn a_dead_endpoint_shows_what_is_retried_why_and_when_next() {
    let world = World::shared().await;
    world.subscribe("dead", json!({"retryPolicy": {"initialDelaySeconds": 60}})).await;
    world.receiver.set_default(Reply::Status(503));
    world.config_map("hello", json!({"a": "b"})).await;
    world.requests("dead", 1).await;
    let screen = shows(&world, "dead", "Retrying     ConfigMap/hello New").await;
    for part in ["ServerError HTTP 503", "next try in", "1 retrying", "EndpointHealthy=False", "Ready: True"] {
        assert!(screen.contains(part), "{part} is not in\n{screen}");
    }
}

#[tokio::test]
async fn a_missing_secret_is_shown_in_its_place_with_the_command_that_creates_it() {
    let world = World::shared().await;
    world.apply(&world.subscription("lonely", json!({})).to_string()).await;
    let screen = shows(&world, "lonely", "SecretNotFound").await;
    let command = format!("kubectl create secret generic signing -n {} --from-literal=secret=", world.namespace);
    assert!(screen.contains("Secret signing: MISSING not found") && screen.contains(&command), "{screen}");
    assert!(screen.contains("ConfigMap v1: served") && screen.contains("Delivery"), "{screen}");
}

#[tokio::test]
async fn what_the_user_may_not_look_at_is_shown_as_forbidden_and_the_rest_goes_on() {
    let world = World::shared().await;
    world.subscribe("veiled", json!({})).await;
    let may = json!([{"apiGroups": ["changehook.dev"], "resources": ["webhooksubscriptions"], "verbs": ["get"]}]);
    let viewer = user(&world, "viewer", may).await;
    let arguments = ["status", "veiled", "-n", &world.namespace];
    let output = kubectl_as(&world, &viewer, &arguments).await;
    assert!(output.status.success(), "{}", output.stderr);
    let screen = output.stdout;
    for part in
        ["Secret signing: FORBIDDEN", "ConfigMap v1: FORBIDDEN", "ServiceAccount default: FORBIDDEN", "Ready: True"]
    {
        assert!(screen.contains(part), "{part} is not in\n{screen}");
    }
}

#[tokio::test]
async fn a_subscription_that_is_not_there_is_named() {
    let world = World::shared().await;
    let output = changehook(&world, &["status", "nobody"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.stderr.contains(&format!("WebhookSubscription {}/nobody: not found", world.namespace))
            && output.stderr.contains("kubectl get whsub"),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn a_parked_delivery_is_shown_with_its_reason() {
    let world = World::shared().await;
    world.receiver.set_default(Reply::Status(422));
    world.subscribe("parked", json!({})).await;
    world.config_map("hello", json!({"a": "b"})).await;
    let screen = shows(&world, "parked", "Parked       ConfigMap/hello New").await;
    assert!(screen.contains("1 parked") && screen.contains("ClientError HTTP 422"), "{screen}");
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_shown_in_its_place_and_the_other_is_counted() {
    let world = World::shared().await;
    world.secret().await;
    let resources =
        json!([{"apiVersion": "v1", "kind": "ConfigMap"}, {"apiVersion": "gone.example/v1", "kind": "Gone"}]);
    world.apply(&world.subscription("gone", json!({"resources": resources})).to_string()).await;
    let screen = shows(&world, "gone", "KindNotInstalled").await;
    assert!(screen.contains("Gone gone.example/v1: MISSING not found; install the kind"), "{screen}");
    assert!(screen.contains("ConfigMap v1: served, 0 selected"), "{screen}");
}

#[tokio::test]
async fn one_of_the_whole_cluster_is_shown_with_what_it_refers_to_in_the_operators_namespace() {
    let world = World::shared().await;
    let name = format!("{}-wide", world.namespace);
    let account = format!("{}-nobody", world.namespace);
    let mut manifest = world.subscription("wide", json!({"serviceAccountName": account, "namespaceSelector": {}}));
    manifest["kind"] = "ClusterWebhookSubscription".into();
    manifest["metadata"] = json!({"name": name});
    world.apply(&manifest.to_string()).await;
    // without a namespace, that of the context, `default`, does not count
    let look = async || {
        let arguments = ["status", &name, "--cluster"];
        let screen = kubectl_as(&world, world.plane().kubeconfig_path(), &arguments).await.stdout;
        if screen.contains("ServiceAccountNotFound") { Ok(screen) } else { Err(screen) }
    };
    let screen = eventually(SOON, look).await.unwrap();
    for part in [
        format!("Subscription {name}   Ready: False"),
        format!("ServiceAccount {account}: MISSING"),
        "Secret signing: MISSING".to_owned(),
        "-n changehook-system --from-literal".to_owned(),
        "selected in all namespaces".to_owned(),
    ] {
        assert!(screen.contains(&part), "{part} is not in\n{screen}");
    }
    let screen = done(&world, &["status", &name, "--cluster"]).await;
    assert!(screen.contains(&format!("secret generic signing -n {}", world.namespace)), "{screen}");
}

#[tokio::test]
async fn certificates_are_shown_in_their_places() {
    let world = World::shared().await;
    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "partner-ca"},
        "clientCertificateSecretRef": {"name": "partner-client"}});
    let endpoint = json!({"url": "https://127.0.0.1:9/", "tls": tls});
    world.apply(&world.subscription("certified", json!({"endpoint": endpoint})).to_string()).await;
    let screen = shows(&world, "certified", "Authorities  ConfigMap partner-ca: MISSING not found").await;
    assert!(screen.contains("Secret partner-client: MISSING"), "{screen}");
    world
        .apply(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "partner-ca"},
        "data": {"ca.crt": "x"}})
            .to_string(),
        )
        .await;
    shows(&world, "certified", "Authorities  ConfigMap partner-ca: found, with key ca.crt").await;
}
