//! Who may do what after an install: the operator no more than it needs, people what they may do with everything else.

use serde_json::{Value, json};
use testbed::{eventually, helm};

use crate::site::{OWN, SOON, Site, documents, read};

const OPERATOR: &str = "system:serviceaccount:changehook-system:changehook";

impl Site {
    async fn may(&self, who: &str, what: &[&str]) -> bool {
        let asking = format!("--as={who}");
        let args = [&["auth", "can-i", &*asking], what].concat();
        self.plane.kubectl(&args).await.unwrap().stdout.trim() == "yes"
    }
}

/// The command in a text that begins so, its lines put together.
fn command(text: &str, start: &str) -> Vec<String> {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    let joined = rest.replace("\\\n", " ");
    let line = joined.lines().next().unwrap();
    start.split(' ').chain(line.split_whitespace()).skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn with_the_defaults_the_operator_has_no_wildcard_and_neither_lists_nor_watches_secrets() {
    let rendered = helm::template("changehook", "changehook", OWN, &json!({})).await.unwrap();
    let objects = documents(&rendered);
    let bound: Vec<&Value> = objects
        .iter()
        .filter(|object| object["roleRef"].is_object())
        .map(|object| &object["roleRef"]["name"])
        .collect();
    let mut rules = 0;
    for role in objects.iter().filter(|object| bound.contains(&&object["metadata"]["name"])) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            rules += 1;
            assert!(!rule.to_string().contains('*'), "{rule}");
            assert!(!rule["resources"].as_array().unwrap().contains(&json!("secrets")), "{rule}");
        }
    }
    assert!(rules >= 9, "{rules}");
}

#[tokio::test]
async fn secrets_of_a_namespace_can_be_read_after_the_line_that_the_notes_show_and_no_others() {
    let site = Site::with_crds().await;
    let notes = site.helm_ok("install", &json!({})).await;
    let read_secret = |namespace: &str| ["get", "secrets/signing", "--namespace", namespace].map(str::to_owned);
    for (place, expected) in [("shop", false), ("default", false)] {
        let what = read_secret(place);
        assert_eq!(site.may(OPERATOR, &what.each_ref().map(|arg| &**arg)).await, expected, "{place}");
    }
    let line = command(&notes, "kubectl create rolebinding changehook-secrets");
    let args: Vec<&str> = line.iter().map(|arg| if arg == "NAMESPACE" { "shop" } else { &**arg }).collect();
    site.kubectl(&args).await;
    for (place, expected) in [("shop", true), ("default", false)] {
        let what = read_secret(place);
        assert_eq!(site.may(OPERATOR, &what.each_ref().map(|arg| &**arg)).await, expected, "{place}");
    }
    for verb in ["list", "watch"] {
        assert!(!site.may(OPERATOR, &[verb, "secrets", "--namespace=shop"]).await, "{verb}");
    }
    // the documentation shows the same line
    let documented = command(&read("docs/install.md"), "kubectl create rolebinding changehook-secrets");
    assert_eq!(documented.iter().map(|arg| arg.replace("shop", "NAMESPACE")).collect::<Vec<_>>(), line);

    // what it is bound to outside of its own namespace stops there
    for resource in ["leases.coordination.k8s.io/changehook", "deliveryledgers.changehook.dev/head"] {
        assert!(site.may(OPERATOR, &["update", resource, "--namespace", OWN]).await, "{resource}");
        assert!(!site.may(OPERATOR, &["update", resource, "--namespace=shop"]).await, "{resource}");
    }
    assert!(!site.may(OPERATOR, &["update", "leases.coordination.k8s.io/other", "--namespace", OWN]).await);
    assert!(site.may(OPERATOR, &["get", "namespaces/kube-system"]).await);
    assert!(!site.may(OPERATOR, &["get", "namespaces/default"]).await);
}

/// What the control plane's own controller does, which does not run here: it adds the rules of all roles with the label.
async fn aggregate(site: &Site, role: &str) {
    let aggregated: Value =
        serde_json::from_str(&site.kubectl(&["get", "clusterrole", role, "--output=json"]).await).unwrap();
    let mut sum = Vec::new();
    for selector in aggregated["aggregationRule"]["clusterRoleSelectors"].as_array().unwrap() {
        let labels = selector["matchLabels"].as_object().unwrap();
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        let labelled = site.kubectl(&["get", "clusterroles", "--output=json", "--selector", &labels.join(",")]).await;
        let labelled: Value = serde_json::from_str(&labelled).unwrap();
        for role in labelled["items"].as_array().unwrap() {
            sum.extend(role["rules"].as_array().cloned().unwrap_or_default());
        }
    }
    let result = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": role}, "rules": sum})
    .to_string();
    let args = ["apply", "--server-side", "--force-conflicts", "--field-manager=aggregation", "-f", "-"];
    let applied = site.plane.kubectl_as(site.plane.kubeconfig_path(), &args, &result).await.unwrap();
    assert!(applied.status.success(), "{}", applied.stderr);
}

#[tokio::test]
async fn a_kind_is_added_by_a_labelled_role_and_an_upgrade_takes_nothing_of_it_away() {
    let site = Site::with_crds().await;
    site.helm_ok("install", &json!({})).await;
    let what = ["watch", "cronjobs.batch", "--all-namespaces"];
    assert!(!site.may(OPERATOR, &what).await);
    // the documentation's own manifest
    let text = read("docs/install.md");
    let (_, block) = text.split_once("```yaml\napiVersion: rbac.authorization.k8s.io/v1\n").unwrap();
    let (role, _) = block.split_once("```").unwrap();
    site.apply("", &documents(&format!("apiVersion: rbac.authorization.k8s.io/v1\n{role}"))[0]).await;
    aggregate(&site, "changehook-watch-more").await;
    let granted = || async { site.may(OPERATOR, &what).await.then_some(()) };
    eventually(SOON, granted).await.expect("it may watch them");
    site.helm_ok("upgrade", &json!({"replicas": 2})).await;
    assert!(site.may(OPERATOR, &what).await, "the upgrade took it away");
    assert!(!site.may(OPERATOR, &["get", "cronjobs.batch", "--all-namespaces"]).await);
}

#[tokio::test]
async fn whoever_may_edit_a_namespace_may_write_its_subscriptions_but_not_their_status() {
    let site = Site::with_crds().await;
    site.helm_ok("install", &json!({})).await;
    // bound as the roles view and edit would be, to which these are added
    for (user, role) in [("alice", "changehook-edit"), ("bob", "changehook-view")] {
        let (name, role, user) = (format!("{user}-test"), format!("--clusterrole={role}"), format!("--user={user}"));
        site.kubectl(&["create", "rolebinding", &name, &role, &user, "--namespace=shop"]).await;
    }
    for (user, verb, resource, expected) in [
        ("alice", "create", "webhooksubscriptions.changehook.dev", true),
        ("alice", "delete", "webhooksubscriptions.changehook.dev", true),
        ("alice", "patch", "webhooksubscriptions.changehook.dev/status", false),
        ("alice", "get", "deliveryledgers.changehook.dev", false),
        ("bob", "watch", "webhooksubscriptions.changehook.dev", true),
        ("bob", "patch", "webhooksubscriptions.changehook.dev", false),
    ] {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let subresource = format!("--subresource={subresource}");
        let may = site.may(user, &[verb, resource, &subresource, "--namespace=shop"]).await;
        assert_eq!(may, expected, "{user} {verb} {resource} {subresource}");
        assert!(!site.may(user, &[verb, resource, &subresource, "--namespace=default"]).await, "{user}");
    }
    for (name, to) in [("view", ["view", "edit", "admin"].as_slice()), ("edit", &["edit", "admin"])] {
        let role = site.get("", "clusterrole", &format!("changehook-{name}")).await;
        let labels = role["metadata"]["labels"].as_object().unwrap();
        let of = labels.keys().filter_map(|key| key.strip_prefix("rbac.authorization.k8s.io/aggregate-to-"));
        let mut of: Vec<&str> = of.collect();
        of.sort_by_key(|role| ["view", "edit", "admin"].iter().position(|known| known == role));
        assert_eq!(of, to);
    }
}
