//! Who is told of what: kinds, namespaces, labels, names, and the first list.

use serde_json::{Value, json};

use super::sorted;
use crate::world::World;

fn config_map(name: &str, labels: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}).to_string()
}

/// A patch for ConfigMaps with this label selector.
fn selecting(selector: &Value) -> Value {
    json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": selector}]})
}

#[tokio::test]
async fn objects_that_exist_already_are_adopted_silently_and_told_from_their_next_change_on() {
    let world = World::shared().await;
    world.config_map("old", json!({"n": "1"})).await;
    world.config_map("older", json!({"n": "1"})).await;
    world.subscribe("adopt", json!({})).await;
    world.config_map("old", json!({"n": "2"})).await;
    world.config_map("marker", json!({})).await;
    world.told_exactly("adopt", &["updated old", "new marker"]).await;
    world.kubectl(&["delete", "configmap", "older"]).await;
    world.told_exactly("adopt", &["updated old", "new marker", "removed older"]).await;
}

#[tokio::test]
async fn one_subscription_watches_built_in_and_custom_kinds_together() {
    let world = World::shared().await;
    world.widgets().await;
    let resources = json!([
        {"apiVersion": "v1", "kind": "ConfigMap"},
        {"apiVersion": "v1", "kind": "Service"},
        {"apiVersion": "v1", "kind": "Pod"},
        {"apiVersion": "apps/v1", "kind": "Deployment"},
        {"apiVersion": "example.com/v1", "kind": "Widget"},
    ]);
    world.subscribe("kinds", json!({"resources": resources})).await;
    let labels = json!({"app": "a"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"selector": {"matchLabels": labels}, "template": template});
    let objects = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "same"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "same"},
            "spec": {"ports": [{"port": 80}]}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "same"},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "same"}, "spec": deployment}),
        super::widget("same", json!({"size": 1})),
    ];
    for object in &objects {
        world.apply(&object.to_string()).await;
    }
    let told = world.until_told("kinds", "five kinds", |told| told.len() >= objects.len()).await;
    for object in &objects {
        let one = told.iter().find(|one| object["kind"] == one.kind).expect("each kind is told");
        let resource = &one.body["change"]["resource"];
        assert_eq!((resource["apiVersion"].clone(), one.words().as_str()), (object["apiVersion"].clone(), "new same"));
        // what a built-in kind's list leaves out is there as well
        assert_eq!(one.body["change"]["object"]["apiVersion"], object["apiVersion"]);
        assert_eq!(one.body["change"]["object"]["kind"], object["kind"]);
    }
    world.kubectl(&["delete", "widget,deployment,service,configmap", "same"]).await;
    world.kubectl(&["delete", "pod", "same", "--grace-period=0", "--force"]).await;
    let told = world.until_told("kinds", "five removals", |told| {
        told.iter().filter(|one| one.change == "removed").count() >= objects.len()
    });
    let told = told.await;
    let mut removed: Vec<&str> =
        told.iter().filter(|one| one.change == "removed").map(|one| one.kind.as_str()).collect();
    removed.sort_unstable();
    assert_eq!(removed, ["ConfigMap", "Deployment", "Pod", "Service", "Widget"]);
}

#[tokio::test]
async fn another_namespaces_objects_are_never_told() {
    let world = World::shared().await;
    let other = World::shared().await;
    world.subscribe("mine", json!({})).await;
    for round in ["1", "2"] {
        other.config_map("theirs", json!({"n": round})).await;
    }
    other.kubectl(&["delete", "configmap", "theirs"]).await;
    world.config_map("mine", json!({})).await;
    let told = world.told_exactly("mine", &["new mine"]).await;
    assert_eq!(told[0].namespace, world.namespace);
}

#[tokio::test]
async fn every_operator_of_a_label_selector_decides_who_is_told() {
    let world = World::shared().await;
    let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]});
    let cases: [(&str, Value, &[&str]); 8] = [
        ("in", expression("In", json!(["web", "api"])), &["api", "web"]),
        ("not-in", expression("NotIn", json!(["web", "api"])), &["db", "empty", "none"]),
        ("exists", expression("Exists", json!([])), &["api", "db", "empty", "web"]),
        ("does-not-exist", expression("DoesNotExist", json!([])), &["none"]),
        ("match", json!({"matchLabels": {"app": "web"}}), &["web"]),
        ("match-empty", json!({"matchLabels": {"app": ""}}), &["empty"]),
        (
            "both",
            json!({"matchLabels": {"tier": "front"},
                "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}),
            &["none", "web"],
        ),
        ("all", json!({}), &["api", "db", "empty", "none", "web"]),
    ];
    for (name, selector, _) in &cases {
        world.subscribe(name, selecting(selector)).await;
    }
    let named = json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap", "names": ["db", "none", "absent"]}]});
    world.subscribe("named", named).await;
    for (name, labels) in [
        ("web", json!({"app": "web", "tier": "front"})),
        ("api", json!({"app": "api", "tier": "front"})),
        ("db", json!({"app": "db"})),
        ("empty", json!({"app": ""})),
        ("none", json!({"tier": "front"})),
    ] {
        world.apply(&config_map(name, &labels)).await;
    }
    // told last to those who select everything: by then the others have been told as well, or never will
    world.until_told("all", "all five", |told| told.len() == 5).await;
    world.apply(&config_map("zz", &json!({"app": "web", "tier": "front"}))).await;
    world.until_told("all", "the marker", |told| told.len() == 6).await;
    for (name, selector, expected) in &cases {
        let marked = !matches!(*name, "not-in" | "does-not-exist" | "match-empty");
        let expected: Vec<String> =
            expected.iter().copied().chain(marked.then_some("zz")).map(|name| format!("new {name}")).collect();
        let told = world.until_told(name, "its objects", |told| told.len() >= expected.len()).await;
        assert_eq!(sorted(&told), expected, "{name}: {selector}");
    }
    assert_eq!(sorted(&world.told("named")), ["new db", "new none"]);
}

#[tokio::test]
async fn a_label_that_enters_the_selection_is_new_and_one_that_leaves_it_is_removed() {
    let world = World::shared().await;
    world.subscribe("labels", selecting(&json!({"matchLabels": {"app": "web"}}))).await;
    world.config_map("moving", json!({})).await;
    for (labels, count, change) in [
        (json!({"app": "web"}), 1, "new"),
        (json!({"app": "web", "extra": "1"}), 2, "updated"),
        (json!({"app": "db"}), 3, "removed"),
        (json!({"app": "web"}), 4, "new"),
        (json!({}), 5, "removed"),
    ] {
        world.apply(&config_map("moving", &labels)).await;
        let told = world.until_told("labels", change, |told| told.len() >= count).await;
        assert_eq!(told[count - 1].change, change, "{labels}");
    }
    // what is not selected may change and go, and nobody hears of it
    world.config_map("moving", json!({"n": "1"})).await;
    world.kubectl(&["delete", "configmap", "moving"]).await;
    world.apply(&config_map("marker", &json!({"app": "web"}))).await;
    let told = world.until_told("labels", "the marker", |told| told.len() >= 6).await;
    assert_eq!(told.last().map(super::Telling::words).as_deref(), Some("new marker"));
    let sequences: Vec<u64> = told[..5].iter().map(|one| one.sequence).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    assert!(told[..5].iter().all(|one| one.uid == told[0].uid));
}
