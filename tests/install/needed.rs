//! The operator's permissions are exactly what it needs: it is walked through all that it can be asked to do, and the API
//! server's audit log is compared with the rules that the chart bound to it.
//!
//! The chart is installed with its default rules, and the documented line opens the Secrets of the two namespaces. What is
//! granted is in the end used, without exception: a rule that is added without a use, and a use without a rule, are red.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use testbed::{Receiver, eventually};

use crate::rights::{Uses, grants, uses};
use crate::site::{OWN, SOON, Site, values};

const ACCOUNT: (&str, &str) = (OWN, "changehook");
/// So many that the ledger's journal is sealed into segments, without which there is nothing to fold.
const OBJECTS: usize = 200;
/// Where a Service can be: in the part of the range from which the API server gives none to Services that ask for any.
const SERVICE: Ipv4Addr = Ipv4Addr::new(127, 0, 96, 90);

/// The kinds of the default `watch.rules`.
const KINDS: [(&str, &str); 5] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
];

/// Default rules; a fold, and the list that each watch is compared with, come within seconds instead of minutes.
fn quick(more: &Value) -> Value {
    let mut values = values(more);
    values["extraEnv"] = json!([{"name": "CHANGEHOOK_LEDGER_FOLD_INTERVAL_SECONDS", "value": "2"}]);
    values["operator"]["relistIntervalSeconds"] = json!(5);
    values
}

fn asked(site: &Site) -> Uses {
    uses(site.plane.audit_log().unwrap(), &format!("system:serviceaccount:{}:{}", ACCOUNT.0, ACCOUNT.1))
}

/// The line that the notes and docs/install.md show.
async fn open_secrets(site: &Site, namespace: &str) {
    let account = format!("--serviceaccount={}:{}", ACCOUNT.0, ACCOUNT.1);
    let role = "--clusterrole=changehook-secret-reader";
    let line = ["create", "rolebinding", "changehook-secrets", "--namespace", namespace, role, &account];
    site.kubectl(&line).await;
}

/// Signed subscriptions of one namespace to every kind, to a URL, to a URL of a Secret with a header of a Secret, to a
/// Service, and to an endpoint with authorities of its own; changes, a condition that flips twice to the same, and one
/// subscription that is deleted.
async fn walk(site: &Site, receiver: &Receiver) {
    for (api_version, kind) in KINDS {
        site.subscribe("shop", &kind.to_lowercase(), (api_version, kind)).await;
    }
    let url = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook"},
        "stringData": {"url": site.receiver.url("/secret"), "token": "t0ken"}});
    site.apply("shop", &url).await;
    let from = |key: &str| json!({"secretKeyRef": {"name": "hook", "key": key}});
    let endpoint = json!({"urlFrom": from("url"), "headers": [{"name": "X-Token", "valueFrom": from("token")}]});
    site.apply("shop", &subscription("secret", &endpoint)).await;
    let (ip, port) = (receiver.address().ip(), receiver.address().port());
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "receiver"},
        "spec": {"clusterIP": ip, "selector": {"app": "receiver"}, "ports": [{"name": "http", "port": port}]}});
    site.apply("shop", &service).await;
    site.apply("shop", &subscription("to-service", &json!({"service": {"name": "receiver", "port": "http"}}))).await;
    // its authorities are looked for, whether they are there or not
    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "authorities"}});
    site.apply("shop", &subscription("trusting", &json!({"url": "https://127.0.0.1:9/", "tls": tls}))).await;
    for name in ["deployment", "statefulset", "daemonset", "configmap", "service", "secret", "to-service"] {
        site.ready("shop", name, "True", "Watching").await;
    }
    let maps = (0..OBJECTS).map(|n| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("map-{n}")}}).to_string()
    });
    site.plane.apply_yaml(&maps.collect::<Vec<_>>().join("\n---\n"), "shop").await.unwrap();
    receiver.wait_for("/", OBJECTS, SOON).await.expect("the Service is told");
    site.receiver.wait_for("/secret", OBJECTS, SOON).await.expect("the Secret's URL is told");
    for on in [true, false, true] {
        let patch = json!({"spec": {"suspend": on}}).to_string();
        site.kubectl(&["patch", "whsub", "secret", "--namespace=shop", "--type=merge", "--patch", &patch]).await;
        let is = || async {
            let object = site.get("shop", "whsub", "secret").await;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let suspended = conditions.iter().any(|one| one["type"] == "Suspended" && one["status"] == "True");
            (suspended == on).then_some(())
        };
        eventually(SOON, is).await.expect("the status says so");
    }
    site.kubectl(&["delete", "whsub", "configmap", "--namespace=shop"]).await;
}

/// An unsigned subscription to ConfigMaps.
fn subscription(name: &str, endpoint: &Value) -> Value {
    json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription", "metadata": {"name": name},
        "spec": {"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}], "endpoint": endpoint}})
}

/// A signed subscription of the whole cluster that chooses namespaces by a label.
async fn walk_the_cluster(site: &Site) {
    let rbac = "rbac.authorization.k8s.io/v1";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}});
    let role = json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wide"},
        "stringData": {"secret": "s3cr3t"}});
    for object in [account, role, secret] {
        site.apply(OWN, &object).await;
    }
    let account = format!("--serviceaccount={OWN}:reader");
    site.kubectl(&["create", "clusterrolebinding", "reader", "--clusterrole=reader", &account]).await;
    site.kubectl(&["label", "namespace", "shop", "team=a"]).await;
    let mut wide = subscription("wide", &json!({"url": site.receiver.url("/wide")}));
    wide["kind"] = json!("ClusterWebhookSubscription");
    wide["spec"]["serviceAccountName"] = json!("reader");
    wide["spec"]["namespaceSelector"] = json!({"matchLabels": {"team": "a"}});
    wide["spec"]["signing"] = json!({"secretRef": {"name": "wide"}});
    site.apply("", &wide).await;
    let is_ready = || async {
        let conditions = site.get("", "clusterwebhooksubscription", "wide").await["status"]["conditions"].take();
        let ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
        if conditions.as_array().into_iter().flatten().any(ready) { Ok(()) } else { Err(conditions.to_string()) }
    };
    eventually(SOON, is_ready).await.expect("it is Ready");
    site.config_map("wide", "1").await;
    site.told("wide", 1).await;
}

/// Waits until all that is granted has been used, stops the operator, and compares.
async fn compare(site: &Site, operator: testbed::Operator) {
    let granted = grants(site, ACCOUNT).await;
    let all_used = || async {
        let uses = asked(site);
        let unused: Vec<String> = uses.unused(&granted).iter().map(ToString::to_string).collect();
        if unused.is_empty() { Ok(()) } else { Err(format!("never used: {unused:#?}")) }
    };
    let waited = eventually(SOON, all_used).await;
    assert!(operator.stop().await.unwrap().success());
    let uses = asked(site);
    let requests: usize = uses.resources.values().sum();
    println!(
        "rules {}, used {}, requests {requests} of {} kinds, missing {}, forbidden {}, paths {:?}",
        granted.len(),
        granted.len() - uses.unused(&granted).len(),
        uses.resources.len(),
        uses.missing(&granted).len(),
        uses.forbidden.len(),
        uses.paths,
    );
    waited.unwrap_or_else(|error| panic!("{error}"));
    assert!(uses.forbidden.is_empty(), "answered 403: {:#?}", uses.forbidden);
    assert!(uses.missing(&granted).is_empty(), "asked for without a rule: {:#?}", uses.missing(&granted));
    assert!(uses.twice(&granted).is_empty(), "granted twice: {:#?}", uses.twice(&granted));
    for grant in &granted {
        assert!(![&grant.group, &grant.resource, &grant.verb].iter().any(|part| part.contains('*')), "{grant}");
        assert!(grant.resource != "secrets" || grant.verb == "get", "{grant}");
    }
    for used in uses.resources.keys() {
        assert!(used.resource != "secrets" || used.verb == "get", "{used:?}");
    }
    // the rest is what every account may ask
    for path in &uses.paths {
        assert!(["/api", "/openapi/", "/version"].iter().any(|root| path.starts_with(root)), "{path}");
    }
}

#[tokio::test]
async fn every_rule_of_the_chart_is_used_and_every_request_of_the_operator_has_a_rule() {
    let site = Site::with_crds().await;
    let receiver = Receiver::start_at(SERVICE).await.unwrap();
    site.helm_ok("install", &quick(&json!({}))).await;
    for namespace in ["shop", OWN] {
        open_secrets(&site, namespace).await;
    }
    let operator = site.operator().await;
    walk(&site, &receiver).await;
    walk_the_cluster(&site).await;
    compare(&site, operator).await;
}

#[tokio::test]
async fn every_rule_of_an_install_for_some_namespaces_is_used_and_every_request_has_a_rule() {
    let site = Site::with_crds().await;
    let receiver = Receiver::start_at(SERVICE).await.unwrap();
    let shop = json!({"watchNamespaces": ["shop"], "secrets": {"namespaces": ["shop"]}});
    site.helm_ok("install", &quick(&shop)).await;
    let operator = site.operator().await;
    walk(&site, &receiver).await;
    compare(&site, operator).await;
}
