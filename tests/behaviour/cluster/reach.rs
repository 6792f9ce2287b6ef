//! Which objects are seen, and where what is referred to is.

use serde_json::{Value, json};
use testbed::operator::NAMESPACE;
use testbed::{Operator, eventually};

use super::Wide;
use crate::world::{SOON, World, condition, pair, verified};

#[tokio::test]
async fn what_is_in_any_namespace_is_told_with_its_namespace() {
    let wide = Wide::shared().await;
    wide.subscribe("all", json!({})).await;
    let other = wide.namespace("other", json!({})).await;
    wide.config_map(wide.own(), "here", "1").await;
    wide.config_map(&other, "there", "1").await;
    wide.world.config_map("unlabelled", json!({})).await;
    let requests = wide.requests("all", 2).await;
    let of = |request| {
        let resource = verified(request)["change"]["resource"].take();
        [&resource["namespace"], &resource["name"]].map(|text: &Value| text.as_str().unwrap_or_default().to_owned())
    };
    let mut found: Vec<_> = requests.iter().map(of).collect();
    found.sort();
    let mut expected = [[wide.own(), "here"], [&other, "there"]].map(|pair| pair.map(str::to_owned));
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn objects_without_a_namespace_are_told() {
    let wide = Wide::shared().await;
    let labels = json!({"of": wide.own()});
    let resources = json!([{"apiVersion": "v1", "kind": "Node", "labelSelector": {"matchLabels": labels}}]);
    wide.subscribe("nodes", json!({"resources": resources})).await;
    let node = wide.named("node");
    let manifest = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}});
    wide.world.apply(&manifest.to_string()).await;
    let requests = wide.requests("nodes", 1).await;
    let resource = verified(&requests[0])["change"]["resource"].take();
    assert_eq!((&resource["name"], resource.get("namespace").unwrap_or(&Value::Null)), (&json!(node), &Value::Null));
    wide.world.plane().kubectl_ok(&["delete", "node", &node]).await.expect("it was there");
    assert_eq!(wide.told("nodes", 2).await, [pair("new", &node), pair("removed", &node)]);
}

#[tokio::test]
async fn what_it_refers_to_is_in_the_operators_namespace() {
    let wide = Wide::shared().await;
    // a Secret of this name is in the test's namespace only
    wide.world.secret().await;
    wide.allow(json!([{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list", "watch"]}]))
        .await;
    wide.apply("lost", json!({"signing": {"secretRef": {"name": wide.named("signing")}}})).await;
    let message = wide.message("lost", "Ready", "SecretNotFound").await;
    assert!(message.contains(&format!("Secret {NAMESPACE}/{}", wide.named("signing"))), "{message}");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": wide.named("signing")},
        "stringData": {"secret": crate::world::KEY}});
    wide.world.plane().apply_yaml(&secret.to_string(), NAMESPACE).await.expect("it is accepted");
    wide.ready("lost").await;
    wide.config_map(wide.own(), "thing", "1").await;
    assert_eq!(wide.told("lost", 1).await, [pair("new", "thing")]);
}

#[tokio::test]
async fn its_status_names_its_account_and_its_conditions_are_told_as_events() {
    let wide = Wide::shared().await;
    let object = wide.subscribe("status", json!({})).await;
    let authorized = condition(&object, "Authorized").expect("it says who may read");
    let message = authorized["message"].as_str().unwrap_or_default();
    assert!(message.contains(&format!("ServiceAccount {NAMESPACE}/{}", wide.own())), "{authorized}");
    let events = || async {
        let involved = format!("involvedObject.name={}", wide.named("status"));
        let args = ["get", "events", "--namespace", "default", "--field-selector", &involved, "--output", "name"];
        let listed = wide.world.plane().kubectl_ok(&args).await.expect("events are listed");
        (!listed.is_empty()).then_some(())
    };
    eventually(SOON, events).await.expect("there is an Event");
}

#[tokio::test]
async fn one_that_is_deleted_sends_no_more() {
    let wide = Wide::shared().await;
    wide.subscribe("first", json!({})).await;
    wide.subscribe("other", json!({})).await;
    wide.world.kubectl(&["delete", "cwhsub", &wide.named("first")]).await;
    // once a change has gone to the other alone, the operator knows, and no later one goes to it
    let mut alone = 0;
    for count in 1..50 {
        let before = wide.world.receiver.requests("/first").len();
        wide.config_map(wide.own(), "thing", &count.to_string()).await;
        wide.requests("other", count).await;
        let quiet = wide.world.receiver.requests("/first").len() == before;
        assert!(quiet || alone < 2, "it goes on");
        alone = if quiet { alone + 1 } else { 0 };
        if alone == 10 {
            return;
        }
    }
    panic!("it goes on");
}

#[tokio::test]
async fn an_operator_of_some_namespaces_leaves_it_alone_and_asks_for_nothing_of_it() {
    let mut wide = Wide::poor(World::private().await).await;
    let mut options = wide.world.operator_options();
    options.settings.insert("watch-namespace", wide.own().to_owned());
    let operator = Operator::start(options).await.expect("it gets ready");
    wide.world.operator = Some(operator.into());
    wide.apply("ignored", json!({})).await;
    wide.world.subscribe("own", json!({})).await;
    let object = wide.get("ignored").await;
    assert_eq!(object["status"], json!({"observedGeneration": -1}));
    let log = wide.world.operator().log();
    assert!(log.contains("ClusterWebhookSubscriptions are left to an operator of the whole cluster"), "{log}");
}
