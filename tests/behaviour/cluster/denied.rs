//! What the account may not read in the whole cluster, and what is wrong with a spec.

use serde_json::json;
use testbed::eventually;
use testbed::operator::NAMESPACE;

use super::Wide;
use crate::world::{SOON, World, condition, pair};

#[tokio::test]
async fn rights_in_the_whole_cluster_are_asked_for_and_the_commands_in_the_message_grant_them() {
    let wide = Wide::poor(World::shared().await).await;
    let own = wide.own().to_owned();
    wide.apply("denied", json!({"namespaceSelector": {}, "initialSync": "Notify"})).await;
    let message = wide.message("denied", "Authorized", "NotAuthorized").await;
    let (what, commands) = message.split_once("; to allow it: ").expect("there are commands");
    let lacking = ["list configmaps", "list namespaces", "watch configmaps", "watch namespaces"]
        .map(|right| format!("{right} in the whole cluster"));
    assert_eq!(what, format!("ServiceAccount {NAMESPACE}/{own} may not {}", lacking.join(", ")));
    wide.config_map(&own, "thing", "1").await;
    // a right in one namespace does not do
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": own},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": own, "namespace": NAMESPACE}]});
    wide.world.apply(&role.to_string()).await;
    for command in commands.split(" && ") {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        wide.world.plane().kubectl_ok(&words).await.expect("the command works as it is");
    }
    let granted = || async {
        let object = wide.get("denied").await;
        let ready = condition(&object, "Ready").cloned().unwrap_or_default();
        if ready["status"] == "True" { Ok(()) } else { Err(ready.to_string()) }
    };
    eventually(3 * SOON, granted).await.expect("it gets ready by itself");
    assert_eq!(wide.told("denied", 1).await, [pair("new", "thing")]);
}

#[tokio::test]
async fn a_selector_that_means_nothing_stalls_and_is_named() {
    let wide = Wide::shared().await;
    let selector = json!({"matchLabels": {"not a label": "x"}});
    wide.apply("bad", json!({"namespaceSelector": selector, "endpoint": {"method": "POST"}})).await;
    let message = wide.message("bad", "Stalled", "InvalidSpec").await;
    assert!(message.starts_with("spec.namespaceSelector.matchLabels: must have label keys"), "{message}");
}

#[tokio::test]
async fn a_namespaced_subscription_to_a_kind_without_namespaces_is_told_of_the_cluster_kind() {
    let world = World::shared().await;
    world.secret().await;
    let resources = json!([{"apiVersion": "v1", "kind": "Node"}]);
    world.apply(&world.subscription("nodes", json!({"resources": resources})).to_string()).await;
    let stalled = world.condition("nodes", "Stalled", "True", "KindNotSupported").await;
    assert!(stalled["message"].as_str().unwrap_or_default().contains("ClusterWebhookSubscription"), "{stalled}");
}
