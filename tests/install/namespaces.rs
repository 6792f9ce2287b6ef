//! An install for some namespaces: Roles only, and nothing is asked about others.

use serde_json::{Value, json};

use crate::site::{OWN, Site, values};

#[tokio::test]
async fn with_roles_in_one_namespace_it_serves_that_namespace_and_asks_for_nothing_it_may_not_have() {
    let site = Site::with_crds().await;
    let roles = || site.plane.kubectl_ok(&["get", "clusterroles,clusterrolebindings", "--output=name"]);
    let before = roles().await.unwrap();
    let namespaces = json!({"watchNamespaces": ["shop"], "secrets": {"namespaces": ["shop"]}});
    let notes = site.helm_ok("install", &values(&namespaces)).await;
    assert!(notes.contains("and serves shop. Is it up?"), "{notes}");
    assert_eq!(roles().await.unwrap(), before, "something cluster-wide was granted");

    let operator = site.operator().await;
    site.kubectl(&["create", "namespace", "elsewhere"]).await;
    site.plane.tenant("elsewhere").await.unwrap();
    site.subscribe("elsewhere", "other", ("v1", "ConfigMap")).await;
    site.subscribe("shop", "hook", ("v1", "ConfigMap")).await;
    site.ready("shop", "hook", "True", "Watching").await;
    site.config_map("a", "1").await;
    assert_eq!(site.told("hook", 1).await, ["new a"]);
    assert!(operator.stop().await.unwrap().success());
    let operator = site.operator().await;
    site.config_map("a", "2").await;
    assert_eq!(site.told("hook", 2).await, ["new a", "updated a"]);

    let account = format!("system:serviceaccount:{OWN}:changehook");
    let refused: Vec<_> = site
        .plane
        .audit_log()
        .unwrap()
        .into_iter()
        .filter(|entry| entry.user.username == account)
        .filter(|entry| entry.response_status.as_ref().is_some_and(|status| status.code == 403))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert_eq!(site.get("elsewhere", "whsub", "other").await["status"], json!({"observedGeneration": -1}));
    assert!(site.receiver.requests("/other").is_empty());
    assert!(operator.stop().await.unwrap().success());
}

#[tokio::test]
async fn a_kind_without_namespaces_and_one_without_a_right_are_told_with_the_remedy_and_delay_nobody() {
    let site = Site::with_crds().await;
    let namespaces = json!({"watchNamespaces": ["shop", "default"], "secrets": {"namespaces": ["shop"]}});
    site.helm_ok("install", &values(&namespaces)).await;
    let operator = site.operator().await;
    site.subscribe("shop", "nodes", ("v1", "Node")).await;
    let message = site.ready("shop", "nodes", "False", "KindNotSupported").await;
    let expected =
        "spec.resources[0]: v1 Node is cluster-scoped and cannot be watched in a namespace; remove the entry";
    assert_eq!(message, expected);
    let stalled = site.get("shop", "whsub", "nodes").await;
    let conditions = stalled["status"]["conditions"].as_array().unwrap();
    let is_stalled = |condition: &Value| condition["type"] == "Stalled" && condition["status"] == "True";
    assert!(conditions.iter().any(is_stalled), "{conditions:?}");

    site.subscribe("shop", "jobs", ("batch/v1", "CronJob")).await;
    let message = site.ready("shop", "jobs", "False", "NotAuthorized").await;
    let rule = r#"a Role bound to its ServiceAccount needs the rule {apiGroups: ["batch"], resources: ["cronjobs"], verbs: ["list", "watch"]}"#;
    assert!(message.contains("cronjobs.batch in namespace shop") && message.contains(rule), "{message}");

    // its Secrets are not among those that may be read
    site.subscribe("default", "unsigned", ("v1", "ConfigMap")).await;
    let message = site.ready("default", "unsigned", "False", "NotAuthorized").await;
    assert!(message.contains("not allowed to read Secret default/signing; grant"), "{message}");

    site.subscribe("shop", "hook", ("v1", "ConfigMap")).await;
    site.ready("shop", "hook", "True", "Watching").await;
    site.config_map("a", "1").await;
    assert_eq!(site.told("hook", 1).await, ["new a"]);
    let both = json!(["shop", "default"]);
    let more = json!({"watchNamespaces": both, "secrets": {"namespaces": both}, "watch": {"rules": [
        {"apiGroups": [""], "resources": ["configmaps"]}, {"apiGroups": ["batch"], "resources": ["cronjobs"]}]}});
    site.helm_ok("upgrade", &values(&more)).await;
    site.ready("shop", "jobs", "True", "Watching").await;
    site.ready("default", "unsigned", "True", "Watching").await;
    assert!(operator.stop().await.unwrap().success());

    // what is listed in one namespace says nothing of the other
    let _operator = site.operator().await;
    let elsewhere = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}});
    site.apply("default", &elsewhere).await;
    assert_eq!(site.told("unsigned", 1).await, ["new b"]);
    site.config_map("a", "2").await;
    assert_eq!(site.told("hook", 2).await, ["new a", "updated a"]);
}
