//! Rows from every kind of text: ordinary, partial, deep, broken.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{MAX_NESTING, arbitrary, body_text, body_value, canonical, parse};
use super::{RowError, row};
use crate::object::{Body, Gvk, ObjectName, Row};

fn config_map() -> Arc<Gvk> {
    Arc::new(Gvk::new("v1", "ConfigMap"))
}

fn row_of(object: &Value) -> Row {
    row(&config_map(), &object.to_string()).unwrap()
}

fn sample() -> Value {
    json!({
        "metadata": {
            "name": "settings", "namespace": "shop", "uid": "9f8e7d6c", "resourceVersion": "4711",
            "labels": {"app": "api", "app.kubernetes.io/version": "2.1"},
            "annotations": {"note": "kept"},
            "generation": 3,
        },
        "data": {"10": "b", "9": "a", ".env": "c"},
    })
}

fn named(name: &str) -> ObjectName {
    ObjectName { namespace: Some("shop".into()), name: name.into() }
}

#[test]
fn a_row_says_who_the_object_is_and_keeps_its_whole_body() {
    let row = row_of(&sample());
    assert_eq!((&*row.uid, row.namespace.as_deref(), &*row.name, row.rv), ("9f8e7d6c", Some("shop"), "settings", 4711));
    assert_eq!(row.version.as_deref(), Some("2.1"));
    assert_eq!(row.labels.len(), 2);
    assert_eq!(&*row.labels["app"], "api");
    let mut whole = sample();
    whole["apiVersion"] = json!("v1");
    whole["kind"] = json!("ConfigMap");
    assert_eq!(body_value(&row.body).unwrap(), whole);
    assert_eq!(body_text(&row.body).unwrap().as_bytes(), canonical::to_vec(&whole));
}

#[test]
fn a_cluster_scoped_object_has_no_namespace() {
    let mut object = sample();
    for namespace in [Some(json!("")), None] {
        object["metadata"].as_object_mut().unwrap().remove("namespace");
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace;
        }
        assert_eq!(row_of(&object).namespace, None);
    }
}

#[test]
fn a_list_item_without_kind_equals_the_watched_object_with_it() {
    let mut watched = sample();
    watched["apiVersion"] = json!("v1");
    watched["kind"] = json!("ConfigMap");
    assert_eq!(row_of(&sample()), row_of(&watched));
}

#[test]
fn a_metadata_only_item_keeps_the_kind_it_is_watched_as() {
    let gvk = Arc::new(Gvk::new("v1", "Secret"));
    let raw = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a","namespace":"b","uid":"c","resourceVersion":"1"}}"#;
    let row = row(&gvk, raw).unwrap();
    assert_eq!(
        body_text(&row.body).unwrap(),
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"b","resourceVersion":"1","uid":"c"}}"#
    );
}

#[test]
fn server_bookkeeping_is_left_out_of_body_and_digest() {
    let plain = row_of(&sample());
    let mut object = sample();
    object["metadata"]["managedFields"] = json!([{"manager": "kubectl", "fieldsV1": {"f:data": {}}}]);
    object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!("{\"data\":{}}");
    assert_eq!(row_of(&object), plain);
    object["metadata"]["resourceVersion"] = json!("4712");
    let newer = row_of(&object);
    assert_eq!((newer.digest, newer.rv), (plain.digest, 4712));
    assert_eq!(body_value(&newer.body).unwrap()["metadata"]["resourceVersion"], "4712");
}

#[test]
fn annotations_are_dropped_only_if_nothing_but_last_applied_was_there() {
    let mut object = sample();
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "x"});
    let applied = row_of(&object);
    object["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(row_of(&object), applied);
    assert!(body_value(&applied.body).unwrap()["metadata"].get("annotations").is_none());
    for odd in [json!({}), json!(null), json!(3)] {
        object["metadata"]["annotations"] = odd.clone();
        assert_eq!(body_value(&row_of(&object).body).unwrap()["metadata"]["annotations"], odd);
    }
}

#[test]
fn any_change_of_content_changes_the_digest() {
    let digest = row_of(&sample()).digest;
    let changes: [fn(&mut Value); 8] = [
        |object| object["data"]["9"] = json!("A"),
        |object| object["data"]["8"] = json!("a"),
        |object| object["metadata"]["labels"]["app"] = json!("API"),
        |object| object["metadata"]["annotations"]["note"] = json!("changed"),
        |object| object["metadata"]["generation"] = json!(4),
        |object| object["metadata"]["deletionTimestamp"] = json!("2026-01-05T10:30:00Z"),
        |object| object["data"]["managedFields"] = json!("not the server's"),
        |object| object["resourceVersion"] = json!("not the metadata's"),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut object = sample();
        change(&mut object);
        assert_ne!(row_of(&object).digest, digest, "change {at}");
    }
    let other_kind = row(&Arc::new(Gvk::new("v2", "ConfigMap")), &sample().to_string()).unwrap();
    assert_ne!(other_kind.digest, digest);
}

/// An object whose spec nests `levels` arrays.
fn deep(levels: usize, resource_version: &str, inside: &str) -> String {
    let spec = format!("{}{inside}{}", "[".repeat(levels), "]".repeat(levels));
    format!(
        r#"{{"metadata":{{"name":"settings","namespace":"shop","uid":"u","resourceVersion":"{resource_version}","managedFields":[{resource_version}],
            "labels":{{"app":"api"}},"annotations":{{"note":"kept","kubectl.kubernetes.io/last-applied-configuration":"{resource_version}"}}}},
            "spec":{spec},"status":{{}}}}"#
    )
}

#[test]
fn nesting_costs_an_object_its_body_and_nothing_else() {
    for levels in [0, 120, 124, 125, 126, 127, 128, 1000, 500_000] {
        let row = row(&config_map(), &deep(levels, "5", "1")).unwrap();
        assert_eq!((&*row.name, row.rv, &*row.labels["app"]), ("settings", 5, "api"), "{levels}");
        if levels < MAX_NESTING {
            let text = body_text(&row.body).unwrap();
            let enveloped = format!(r#"{{"change":{{"object":{text}}}}}"#);
            assert!(serde_json::from_str::<Value>(&enveloped).is_ok(), "a receiver can parse {levels}");
        } else {
            assert_eq!(row.body, Body::Missing("nested too deeply"), "{levels}");
        }
    }
}

#[test]
fn a_change_in_a_body_that_cannot_be_kept_is_noticed_and_bookkeeping_is_not() {
    for inside in ["\"x\"", r#""\ud800""#, "1e400"] {
        let levels = if inside == "\"x\"" { 1000 } else { 1 };
        let digest = |resource_version: &str, inside: &str| {
            let row = row(&config_map(), &deep(levels, resource_version, inside)).unwrap();
            assert!(matches!(row.body, Body::Missing(_)));
            row.digest
        };
        assert_eq!(digest("5", inside), digest("6", inside));
        assert_ne!(digest("5", inside), digest("5", &format!("{inside},1")));
        let moved = deep(levels, "5", inside).replace(r#""app":"api""#, r#""app":"API""#);
        assert_ne!(row(&config_map(), &moved).unwrap().digest, digest("5", inside));
        let noted = deep(levels, "5", inside).replace(r#""note":"kept""#, r#""note":"changed""#);
        assert_ne!(row(&config_map(), &noted).unwrap().digest, digest("5", inside));
        let moved = deep(levels, "5", inside).replace(r#","status":{}}"#, "}").replacen('{', r#"{"status":{},"#, 1);
        assert_eq!(row(&config_map(), &moved).unwrap().digest, digest("5", inside));
        let listed = deep(levels, "5", inside).replacen('{', r#"{"kind":"ConfigMap","apiVersion":"v1","#, 1);
        assert_eq!(row(&config_map(), &listed).unwrap().digest, digest("5", inside));
    }
}

#[test]
fn text_that_is_not_unicode_costs_an_object_its_body_only() {
    let spoilt = [
        r#"{"metadata":{"name":"n","uid":"u","resourceVersion":"1"},"data":{"a":"\ud800"}}"#,
        r#"{"metadata":{"name":"n","uid":"u","resourceVersion":"1"},"data":{"\ud800":"a"}}"#,
        r#"{"metadata":{"name":"n","uid":"u","resourceVersion":"1","annotations":{"a":"\ud800"}}}"#,
        r#"{"metadata":{"name":"n","uid":"u","resourceVersion":"1","annotations":{"\ud800":"a"}}}"#,
        r#"{"metadata":{"name":"n","uid":"u","resourceVersion":"1","labels":{"a":"\ud800","app":"api"}}}"#,
        r#"{"metadata":{"name":"n","uid":"u","resourceVersion":"1"},"data":{"a":1e400}}"#,
    ];
    for raw in spoilt {
        let row = row(&config_map(), raw).unwrap();
        assert_eq!(row.body, Body::Missing("holds text or a number that cannot be decoded"), "{raw}");
        assert_eq!(&*row.name, "n");
    }
}

#[test]
fn odd_metadata_is_read_as_far_as_it_makes_sense() {
    let raw = r#"{"metadata":{"name":"n","uid":"u","resourceVersion":"1","namespace":7,"labels":["a"],"annotations":"x"},"spec":null}"#;
    let odd = row(&config_map(), raw).unwrap();
    assert_eq!((odd.namespace, odd.labels.len(), odd.version), (None, 0, None));
    let raw = r#"{"metadata":{"name":"n","uid":"u","resourceVersion":"1","labels":{"a":1,"b":null,"app":"\u0061pi"}}}"#;
    let labels = row(&config_map(), raw).unwrap().labels;
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), [("app".into(), "api".into())]);
}

#[test]
fn an_object_without_identity_is_named_as_far_as_it_can_be() {
    let mut object = sample();
    object["metadata"].as_object_mut().unwrap().remove("uid");
    let error = row(&config_map(), &object.to_string()).unwrap_err();
    assert_eq!(error, RowError::NoIdentity { name: Some(named("settings")), missing: "metadata.uid" });
    assert_eq!(error.name(), Some(&named("settings")));

    let mut object = sample();
    object["metadata"]["name"] = json!("");
    let error = row(&config_map(), &object.to_string()).unwrap_err();
    assert_eq!(error, RowError::NoIdentity { name: None, missing: "metadata.name" });
}

#[test]
fn a_version_that_is_no_decimal_number_is_an_error_of_its_own() {
    let versions = [
        json!("abc"),
        json!("+5"),
        json!("-5"),
        json!("1.5"),
        json!("0x5"),
        json!(" 5"),
        json!(""),
        json!(5),
        json!(null),
        json!("99999999999999999999999"),
    ];
    for version in versions {
        let mut object = sample();
        object["metadata"]["resourceVersion"] = version.clone();
        let error = row(&config_map(), &object.to_string()).unwrap_err();
        assert_eq!(error, RowError::ResourceVersion { name: Some(named("settings")) }, "{version}");
    }
}

#[test]
fn what_is_not_json_is_named_if_its_metadata_came_through_and_never_quoted() {
    let whole =
        r#"{"metadata":{"name":"settings","namespace":"shop","uid":"u","resourceVersion":"1"},"data":{"a":"hunter2"}}"#;
    let cut = &whole[..whole.len() - 3];
    assert_eq!(row(&config_map(), cut).unwrap_err().name(), Some(&named("settings")));
    for broken in ["", "null", "[]", "\"hunter2\"", "hunter2", "{\"hunter2\":", &format!("{whole} hunter2"), cut] {
        let error = row(&config_map(), broken).unwrap_err();
        assert!(matches!(error, RowError::NotJson { .. }), "{broken}");
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    }
}

fn with_metadata(mut object: Map<String, Value>, extra: Map<String, Value>) -> Value {
    let mut metadata = extra;
    metadata.insert("name".into(), json!("n"));
    metadata.insert("uid".into(), json!("u"));
    metadata.insert("resourceVersion".into(), json!("1"));
    metadata.remove("managedFields");
    object.insert("metadata".into(), Value::Object(metadata));
    Value::Object(object)
}

/// The same text, with the members of every object the other way round.
fn reversed(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(reversed).collect::<Vec<_>>().join(" , ")),
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().rev().map(|(key, value)| format!("{} : {}", json!(key), reversed(value))).collect();
            format!("{{ {} }}", members.join(","))
        }
        scalar => scalar.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_text_becomes_a_row_or_an_error(raw in any::<String>()) {
        let _ = row(&config_map(), &raw);
    }

    #[test]
    fn any_json_becomes_a_row_or_an_error(value in arbitrary::value()) {
        let _ = row(&config_map(), &value.to_string());
    }

    #[test]
    fn the_body_is_canonical_and_shows_everything(object in arbitrary::object(), extra in arbitrary::object()) {
        let object = with_metadata(object, extra);
        let text = body_text(&row_of(&object).body).unwrap();
        let shown = parse(&text).unwrap();
        prop_assert_eq!(canonical::to_vec(&shown), text.as_bytes());
        let mut expected = object;
        expected["apiVersion"] = json!("v1");
        expected["kind"] = json!("ConfigMap");
        prop_assert_eq!(canonical::to_vec(&shown), canonical::to_vec(&expected));
    }

    #[test]
    fn the_order_of_keys_and_white_space_make_no_difference(object in arbitrary::object(), extra in arbitrary::object()) {
        let object = with_metadata(object, extra);
        prop_assert_eq!(row_of(&object), row(&config_map(), &reversed(&object)).unwrap());
    }

    #[test]
    fn another_member_anywhere_changes_the_digest(
        object in arbitrary::object(), key in arbitrary::key(), before in arbitrary::value(), after in arbitrary::value(),
    ) {
        let ours = |key: &String| matches!(key.as_str(), "metadata" | "apiVersion" | "kind" | "managedFields" | "annotations");
        prop_assume!(!ours(&key) && canonical::to_vec(&before) != canonical::to_vec(&after));
        let put = |value: &Value, inside: bool| {
            let (mut object, mut extra) = (object.clone(), Map::new());
            if inside { &mut extra } else { &mut object }.insert(key.clone(), value.clone());
            row_of(&with_metadata(object, extra)).digest
        };
        prop_assert_ne!(put(&before, false), put(&after, false));
        prop_assume!(!matches!(key.as_str(), "name" | "uid" | "resourceVersion"));
        prop_assert_ne!(put(&before, true), put(&after, true));
    }
}
