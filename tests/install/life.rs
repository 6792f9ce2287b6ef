//! Install, upgrade, uninstall, install again: subscriptions stay, and nothing is lost or told twice.

use serde_json::json;

use crate::site::{OWN, Site, chart, values};

#[tokio::test]
async fn through_an_upgrade_an_uninstall_and_another_install_every_change_is_told_once() {
    let site = Site::with_crds().await;
    let secrets = json!({"secrets": {"namespaces": ["shop"]}});
    let notes = site.helm_ok("install", &values(&secrets)).await;
    assert!(notes.contains("kubectl rollout status deployment/changehook --namespace changehook-system"), "{notes}");
    let operator = site.operator().await;
    site.subscribe("shop", "hook", ("v1", "ConfigMap")).await;
    site.ready("shop", "hook", "True", "Watching").await;
    site.config_map("a", "1").await;
    assert_eq!(site.told("hook", 1).await, ["new a"]);

    // a kind that the values do not list
    site.subscribe("shop", "jobs", ("batch/v1", "CronJob")).await;
    let message = site.ready("shop", "jobs", "False", "NotAuthorized").await;
    let rule = r#"{apiGroups: ["batch"], resources: ["cronjobs"], verbs: ["list", "watch"]}"#;
    assert!(message.contains(rule), "{message}");

    let mut upgraded = secrets.clone();
    upgraded["watch"] = json!({"rules": [
        {"apiGroups": [""], "resources": ["configmaps"]}, {"apiGroups": ["batch"], "resources": ["cronjobs"]}]});
    let before = site.get(OWN, "deployment", "changehook").await;
    site.helm_ok("upgrade", &values(&upgraded)).await;
    let after = site.get(OWN, "deployment", "changehook").await;
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert!(operator.stop().await.unwrap().success());
    let operator = site.operator().await;
    site.ready("shop", "jobs", "True", "Watching").await;
    site.config_map("b", "1").await;
    assert_eq!(site.told("hook", 2).await, ["new a", "new b"]);

    assert!(operator.stop().await.unwrap().success());
    for (release, namespace) in [("changehook", OWN), ("changehook-crds", "default")] {
        let args = ["uninstall", release, "--namespace", namespace, "--wait"];
        site.plane.helm_ok(&args, &json!({})).await.unwrap();
    }
    let left = site.plane.kubectl_ok(&["get", "deployments,serviceaccounts", "--namespace", OWN]).await.unwrap();
    assert_eq!(left, "", "something of the release is left");
    let roles = site.kubectl(&["get", "clusterroles,clusterrolebindings", "--output=name"]).await;
    assert!(!roles.contains("changehook"), "{roles}");
    let subscriptions = site.kubectl(&["get", "whsub", "--namespace=shop", "--output=name"]).await;
    assert_eq!(subscriptions.lines().count(), 2, "{subscriptions}");
    site.config_map("a", "2").await;
    site.kubectl(&["delete", "configmap", "b", "--namespace=shop"]).await;

    site.install_crds().await;
    site.helm_ok("install", &values(&secrets)).await;
    let operator = site.operator().await;
    let mut told = site.told("hook", 4).await;
    told[2..].sort();
    assert_eq!(told, ["new a", "new b", "removed b", "updated a"]);
    site.config_map("c", "1").await;
    assert_eq!(site.told("hook", 5).await[4], "new c");
    assert!(operator.stop().await.unwrap().success());
}

#[tokio::test]
async fn the_notes_show_a_subscription_that_can_be_pasted_and_warn_of_what_is_risky() {
    let site = Site::with_crds().await;
    let quiet = site.helm_ok("install", &json!({})).await;
    assert!(!quiet.contains("WARNING"), "{quiet}");
    let (_, pasted) = quiet.split_once("-f - <<EOF\n").unwrap();
    let (pasted, _) = pasted.split_once("\n  EOF\n").unwrap();
    let args = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    let created = site.plane.kubectl_as(site.plane.kubeconfig_path(), &args, pasted).await.unwrap();
    assert!(created.status.success() && created.stderr.is_empty(), "{}", created.stderr);

    let risky = json!({
        "secrets": {"clusterWide": true}, "operator": {"allowHTTP": true, "allowCIDRs": ["10.0.0.0/8"]},
        "watch": {"rules": [{"apiGroups": ["*"], "resources": ["*"]}]}, "crds": {"check": false},
    });
    let notes = site.helm_ok("upgrade", &risky).await;
    let warnings: Vec<&str> = notes.lines().filter_map(|line| line.strip_prefix("WARNING: ")).collect();
    let starts = [
        "secrets.clusterWide",
        "operator.allowHTTP",
        "operator.allowCIDRs",
        "watch.rules",
        "watch.rules",
        "crds.check",
    ];
    assert_eq!(warnings.len(), starts.len(), "{warnings:#?}");
    for (warning, start) in warnings.iter().zip(starts) {
        assert!(warning.starts_with(start), "{warning}");
    }
    let notes = site.helm_ok("upgrade", &json!({"rbac": {"create": false}})).await;
    assert!(notes.contains("WARNING: rbac.create is false") && !notes.contains("create rolebinding"), "{notes}");
}

#[tokio::test]
async fn the_crds_chart_is_upgraded_in_place_and_keeps_every_subscription() {
    let site = Site::with_crds().await;
    let uid = site.get("", "crd", "webhooksubscriptions.changehook.dev").await["metadata"]["uid"].clone();
    site.subscribe("shop", "hook", ("v1", "ConfigMap")).await;
    let args =
        ["upgrade", "--install", "changehook-crds", &chart("changehook-crds"), "--namespace", "default", "--wait"];
    site.plane.helm_ok(&args, &json!({})).await.unwrap();
    let crd = site.get("", "crd", "webhooksubscriptions.changehook.dev").await;
    assert_eq!(crd["metadata"]["uid"], uid);
    assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    site.get("shop", "whsub", "hook").await;
}
