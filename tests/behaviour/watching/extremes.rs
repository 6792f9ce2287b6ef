//! Objects that come and go quickly, in numbers, or in sizes and shapes that nobody asked for.

use std::collections::BTreeMap;

use futures::future::join_all;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{Telling, delete, of_widgets, put, widget};
use crate::world::World;

#[tokio::test]
async fn a_namesake_that_comes_after_a_deletion_is_new_with_its_own_uid_and_after_the_removal() {
    let world = World::shared().await;
    world.widgets().await;
    world.subscribe("namesake", of_widgets()).await;
    let api = world.widget_api().await;
    put(&api, &widget("phoenix", json!({"life": 1}))).await;
    world.until_told("namesake", "the first", |told| told.len() == 1).await;
    for life in 2..6 {
        delete(&api, "phoenix").await;
        put(&api, &widget("phoenix", json!({"life": life}))).await;
    }
    let last = |told: &[Telling]| told.last().is_some_and(|one| one.body["change"]["object"]["spec"]["life"] == 5);
    let told = world.until_told("namesake", "the last life", last).await;
    let uid = api.get("phoenix").await.expect("it exists").metadata.uid.expect("a uid");
    assert_eq!(told.last().map(|one| one.uid.clone()), Some(uid));
    // each that was told as new was removed before the next: a receiver that keys by name is never confused
    let mut present: Option<&str> = None;
    for one in &told {
        match (one.change.as_str(), present) {
            ("new", None) => present = Some(&one.uid),
            ("removed", Some(uid)) if uid == one.uid => present = None,
            (change, present) => panic!("{change} {} while {present:?} is there: {told:#?}", one.uid),
        }
    }
}

#[tokio::test]
async fn what_is_created_and_deleted_at_once_leaves_nothing_behind_at_the_endpoint() {
    let world = World::shared().await;
    world.widgets().await;
    world.subscribe("flash", of_widgets()).await;
    let api = world.widget_api().await;
    let flashes = (0..30).map(|n| {
        let api = api.clone();
        async move {
            let name = format!("flash-{n}");
            put(&api, &widget(&name, json!({}))).await;
            delete(&api, &name).await;
        }
    });
    join_all(flashes).await;
    put(&api, &widget("marker", json!({}))).await;
    let complete = |told: &[Telling]| {
        let by_name = changes_by_name(told);
        by_name.contains_key("marker")
            && by_name.iter().all(|(name, changes)| *name == "marker" || changes.last() == Some(&"removed"))
    };
    world.until_told("flash", "everything that was new is removed", complete).await;
    put(&api, &widget("marker", json!({"again": true}))).await;
    let told = world.until_told("flash", "the marker", |told| {
        complete(told) && changes_by_name(told)["marker"].last() == Some(&"updated")
    });
    for (name, changes) in changes_by_name(&told.await) {
        let expected: &[&str] = if name == "marker" { &["new", "updated"] } else { &["new", "removed"] };
        assert_eq!(changes, expected, "{name}");
    }
}

fn changes_by_name(told: &[Telling]) -> BTreeMap<&str, Vec<&str>> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    told.iter().for_each(|one| by_name.entry(&one.name).or_default().push(&one.change));
    by_name
}

#[tokio::test]
async fn two_hundred_objects_created_at_once_are_each_told_once() {
    let world = World::shared().await;
    world.widgets().await;
    world.subscribe("many", of_widgets()).await;
    let api = world.widget_api().await;
    join_all((0..200).map(|n| {
        let api = api.clone();
        async move { put(&api, &widget(&format!("w-{n:03}"), json!({"n": n}))).await }
    }))
    .await;
    world.until_told("many", "two hundred", |told| told.len() >= 200).await;
    put(&api, &widget("w-200", json!({"n": 200}))).await;
    let told = world.until_told("many", "the marker", |told| told.len() >= 201).await;
    let expected: Vec<String> = (0..=200).map(|n| format!("new w-{n:03}")).collect();
    assert_eq!(super::sorted(&told), expected);
    let number = |one: &Telling| one.body["change"]["object"]["spec"]["n"].as_u64();
    assert!(told.iter().all(|one| number(one).map(|n| format!("w-{n:03}")).as_ref() == Some(&one.name)));
}

/// `levels` objects, one in the other, without recursion.
fn nested(levels: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

#[tokio::test]
async fn an_object_too_large_or_too_deep_is_told_without_its_content_and_costs_others_nothing() {
    let world = World::shared().await;
    world.widgets().await;
    world.subscribe("extremes", of_widgets()).await;
    // the API server takes a little less than 1.5 MiB, and nesting far beyond what most receivers parse
    let text = "x".repeat(1_400_000);
    world.widget("large", json!({"text": text})).await;
    let deep = format!(
        r#"{{"apiVersion":"example.com/v1","kind":"Widget","metadata":{{"name":"deep"}},"spec":{}}}"#,
        nested(1000)
    );
    let create = |text: String| {
        let world = &world;
        async move {
            let path = format!("/apis/example.com/v1/namespaces/{}/widgets", world.namespace);
            let client = world.plane().client().await.expect("a client");
            let request = http::Request::post(path).header("Content-Type", "application/json").body(text.into_bytes());
            client.request_text(request.expect("a request")).await.expect("the object is accepted")
        }
    };
    create(deep).await;
    world.widget("plain", json!({"size": 1})).await;
    let told = world.told_exactly("extremes", &["new large", "new deep", "new plain"]).await;
    for one in &told {
        let change = &one.body["change"];
        let plain = one.name == "plain";
        assert_eq!(change.get("truncated"), (!plain).then_some(&Value::Bool(true)), "{}", one.name);
        assert_eq!(change.get("object").is_some(), plain, "{}", one.name);
        assert_eq!(change["resource"]["name"], one.name);
    }
    // and a change of what is not sent is still a change
    world.widget("large", json!({"text": format!("{text}y")})).await;
    let told = world.until_told("extremes", "the change", |told| told.len() >= 4).await;
    assert_eq!(told[3].words(), "updated large");
    world.delete_widget("large").await;
    world.delete_widget("deep").await;
    world
        .told_exactly(
            "extremes",
            &["new large", "new deep", "new plain", "updated large", "removed large", "removed deep"],
        )
        .await;
}

#[tokio::test]
async fn an_object_with_odd_content_is_told_as_it_is() {
    let world = World::shared().await;
    world.widgets().await;
    world.subscribe("odd", of_widgets()).await;
    let spec = json!({"": 1, "$serde_json::private::RawValue": "[1]", "__proto__": {"a": null}, "é\u{2028}": "\u{0}",
        "float": 1.0e-7, "big": 9_007_199_254_740_991_i64, "list": [[], {}, null]});
    let api = world.widget_api().await;
    let object = serde_json::from_value(widget("odd", spec.clone())).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("it is accepted");
    let told = world.until_told("odd", "it", |told| told.len() == 1).await;
    assert_eq!(told[0].body["change"]["object"]["spec"], spec);
}
