//! Bodies: the contract's example, what each change tells, what is dropped, and that every body is canonical.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{Identity, ObservedBy, SubscriptionId, arbitrary, parse, row};
use super::*;
use crate::object::Body;

const CONTRACT: &str = include_str!("../../../tests/vectors/contract-example.json");
const FULL: RenderOptions = RenderOptions { max_bytes: 262_144, object: Object::Full };

/// 2026-01-05T10:30:00Z, the contract's example time.
const EXAMPLE_TIME: i64 = 1_767_609_000_000;

fn example_object() -> Value {
    json!({
        "apiVersion": "registry.example/v1", "kind": "MCPServer",
        "metadata": {
            "name": "awesome-database-tool", "namespace": "registry",
            "uid": "9f8e7d6c-5b4a-4321-8fed-cba987654321", "resourceVersion": "4711",
        },
        "spec": {
            "description": "A database integration for AI assistants",
            "repository": {"url": "https://github.com/example/awesome-database-tool"},
            "version_detail": {"version": "1.2.0"},
        },
    })
}

fn event(object: &Value) -> Event {
    let gvk = Arc::new(Gvk::new("registry.example/v1", "MCPServer"));
    Event {
        subscription: SubscriptionId { uid: "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f".into() },
        sequence: 3_731_590_134_923_271,
        change: Change::New,
        subject: Subject::Present(Arc::new(row(&gvk, &object.to_string()).unwrap())),
        previous_version: None,
        observed_by: ObservedBy::Watch,
        detected_at: EXAMPLE_TIME,
        declared_at: EXAMPLE_TIME,
    }
}

fn removed() -> Event {
    let identity = Identity {
        gvk: Arc::new(Gvk::new("registry.example/v1", "MCPServer")),
        uid: "9f8e7d6c-5b4a-4321-8fed-cba987654321".into(),
        namespace: Some("registry".into()),
        name: "awesome-database-tool".into(),
        rv: 4712,
    };
    Event { change: Change::Removed, subject: Subject::Absent(identity), ..event(&example_object()) }
}

fn body(event: &Event) -> Value {
    parse(std::str::from_utf8(&render(event, &FULL).unwrap().body).unwrap()).unwrap()
}

fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_contract_s_example_comes_out_field_by_field() {
    let contract: Value = serde_json::from_str(CONTRACT).unwrap();
    let mut ours = body(&event(&example_object()));
    let change = ours["change"].as_object_mut().unwrap();
    for extra in ["resource", "object", "sequence", "observed_by"] {
        assert!(change.remove(extra).is_some(), "{extra} is documented as present");
    }
    // ids are of the contract's shape; their values are our own
    for id in ["/subscription_id", "/change/id"] {
        let (ours, contract) = (ours.pointer_mut(id).unwrap(), contract.pointer(id).unwrap());
        assert_eq!(ours.as_str().unwrap()[..4], contract.as_str().unwrap()[..4]);
        *ours = contract.clone();
    }
    assert_eq!(ours, contract);
}

#[test]
fn our_own_fields_say_which_object_in_which_state_and_how_it_was_noticed() {
    let ours = body(&event(&example_object()));
    assert_eq!(ours["subscription_id"], "sub_0b4e2c1a6f1d4f7e9d0c3a5b7c9d1e2f");
    let change = &ours["change"];
    assert_eq!(
        change["resource"],
        json!({
            "apiVersion": "registry.example/v1", "kind": "MCPServer", "namespace": "registry",
            "name": "awesome-database-tool", "uid": "9f8e7d6c-5b4a-4321-8fed-cba987654321", "resourceVersion": "4711",
        })
    );
    assert_eq!(change["object"], example_object());
    assert_eq!(change["sequence"], json!(3_731_590_134_923_271_u64));
    assert_eq!(change["observed_by"], "watch");
    let rendered = render(&event(&example_object()), &FULL).unwrap();
    assert_eq!(change["id"], rendered.event_id.as_str());
    assert!(!rendered.truncated);
}

#[test]
fn an_update_names_both_versions() {
    let mut updated = event(&example_object());
    updated.change = Change::Updated;
    updated.previous_version = Some("1.1.0".into());
    updated.observed_by = ObservedBy::Relist;
    let change = &body(&updated)["change"];
    assert_eq!(
        (&change["change_type"], &change["previous_version"], &change["new_version"], &change["observed_by"]),
        (&json!("updated"), &json!("1.1.0"), &json!("1.2.0"), &json!("relist"))
    );
}

#[test]
fn a_removal_tells_who_it_was_and_no_state() {
    let mut gone = removed();
    gone.previous_version = Some("1.2.0".into());
    let body_gone = body(&gone);
    let change = &body_gone["change"];
    assert_eq!(
        members(change),
        [
            "change_type",
            "detected_at",
            "id",
            "observed_by",
            "previous_version",
            "resource",
            "sequence",
            "server",
            "server_name",
        ]
    );
    assert_eq!(change["change_type"], "removed");
    assert_eq!(change["server"], json!({"name": "awesome-database-tool"}));
    assert_eq!(change["resource"]["resourceVersion"], "4712");
    gone.previous_version = None;
    assert!(body(&gone)["change"].get("previous_version").is_none());

    let mut deselected = event(&example_object());
    deselected.change = Change::Removed;
    let still_there = &body(&deselected)["change"];
    assert_eq!(still_there["server"], json!({"name": "awesome-database-tool"}));
    assert!(still_there.get("object").is_none() && still_there.get("new_version").is_none());
    assert!(still_there.get("truncated").is_none(), "nothing was cut off");
}

#[test]
fn what_is_not_known_is_absent() {
    let object = json!({"metadata": {"name": "bare", "uid": "u", "resourceVersion": "1"}});
    let body = body(&event(&object));
    let change = &body["change"];
    assert_eq!(change["server"], json!({"name": "bare"}));
    assert!(change.get("new_version").is_none() && change.get("previous_version").is_none());
    assert!(change["resource"].get("namespace").is_none());
    assert!(!serde_json::to_string(&body).unwrap().contains("null"));
}

#[test]
fn times_are_whole_seconds_or_milliseconds_in_utc() {
    for (millis, text) in [
        (EXAMPLE_TIME, "2026-01-05T10:30:00Z"),
        (EXAMPLE_TIME + 7, "2026-01-05T10:30:00.007Z"),
        (EXAMPLE_TIME + 120, "2026-01-05T10:30:00.120Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(rfc3339(millis), text);
    }
    assert_eq!(rfc3339(i64::MAX), "9999-12-30T22:00:00.999Z");
    assert_eq!(rfc3339(i64::MIN), "-009999-01-02T01:59:59Z");
    let mut event = event(&example_object());
    (event.detected_at, event.declared_at) = (EXAMPLE_TIME + 250, EXAMPLE_TIME + 1000);
    let body = body(&event);
    assert_eq!(body["timestamp"], "2026-01-05T10:30:01Z");
    assert_eq!(body["change"]["detected_at"], "2026-01-05T10:30:00.250Z");
}

#[test]
fn a_body_over_the_limit_goes_without_its_object_and_says_so() {
    let event = event(&example_object());
    let whole = render(&event, &FULL).unwrap().body.len();
    let at = |max_bytes| render(&event, &RenderOptions { max_bytes, object: Object::Full });
    assert!(!at(whole).unwrap().truncated, "exactly the limit is within it");

    let cut = at(whole - 1).unwrap();
    assert!(cut.truncated && cut.body.len() < whole);
    let change = &parse(std::str::from_utf8(&cut.body).unwrap()).unwrap()["change"];
    assert_eq!(change["truncated"], true);
    assert!(change.get("object").is_none());
    assert_eq!(change["server"]["version_detail"]["version"], "1.2.0", "what was read from the object is still told");
    assert_eq!(cut.event_id, render(&event, &FULL).unwrap().event_id);

    let least = cut.body.len();
    assert_eq!(at(least).unwrap().body, cut.body);
    assert_eq!(at(least - 1), Err(RenderError::Oversize { bytes: least, max_bytes: least - 1 }));
    assert!(matches!(at(0), Err(RenderError::Oversize { .. })));
}

#[test]
fn an_object_whose_body_could_not_be_kept_goes_without_it_and_says_so() {
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let mut raw = example_object().to_string();
    raw = raw.replacen(r#""spec":{"#, &format!(r#""spec":{{"deep":{deep},"#), 1);
    let row = row(&Arc::new(Gvk::new("registry.example/v1", "MCPServer")), &raw).unwrap();
    let event = Event { subject: Subject::Present(Arc::new(row)), ..event(&example_object()) };
    let rendered = render(&event, &FULL).unwrap();
    assert!(rendered.truncated);
    let change = &parse(std::str::from_utf8(&rendered.body).unwrap()).unwrap()["change"];
    assert_eq!((&change["truncated"], change.get("object")), (&json!(true), None));
    assert_eq!(change["new_version"], "1.2.0", "the version was read in spite of the depth");
}

#[test]
fn a_damaged_body_at_rest_is_an_error_and_not_a_wrong_event() {
    let mut event = event(&example_object());
    let Subject::Present(row) = &mut event.subject else { unreachable!("a present object") };
    Arc::make_mut(row).body = Body::Whole(Box::new([200, 0, 0, 0, 0xff]));
    assert_eq!(render(&event, &FULL), Err(RenderError::Body(BodyError::Corrupt)));
}

#[test]
fn the_deepest_object_that_is_kept_still_makes_a_body_that_default_parsers_take() {
    let mut object = example_object().to_string();
    object = object.replacen(r#""spec":{"#, &format!(r#""spec":{{"deep":{}{},"#, "[".repeat(123), "]".repeat(123)), 1);
    let row = row(&Arc::new(Gvk::new("registry.example/v1", "MCPServer")), &object).unwrap();
    let event = Event { subject: Subject::Present(Arc::new(row)), ..event(&example_object()) };
    let rendered = render(&event, &FULL).unwrap();
    assert!(!rendered.truncated);
    let parsed: Value = serde_json::from_slice(&rendered.body).unwrap();
    assert_eq!(canonical::to_vec(&parsed), rendered.body);
}

fn any_row_object() -> impl Strategy<Value = Value> {
    (arbitrary::object(), arbitrary::object(), arbitrary::value(), arbitrary::object(), arbitrary::text()).prop_map(
        |(mut object, mut metadata, odd, mut spec, text): (_, Map<_, _>, _, Map<_, _>, _)| {
            spec.insert("version".into(), odd.clone());
            spec.insert("repository".into(), json!({"url": text, "x": odd}));
            metadata.insert("annotations".into(), json!({"kubernetes.io/description": text}));
            metadata.insert("name".into(), json!(format!("n{text}")));
            metadata.insert("uid".into(), json!("u"));
            metadata.insert("resourceVersion".into(), json!("1"));
            object.insert("metadata".into(), Value::Object(metadata));
            object.insert("spec".into(), Value::Object(spec));
            Value::Object(object)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_body_is_canonical_and_the_same_each_time(
        object in any_row_object(), max_bytes in 0_usize..4000, sequence in 0_u64..1 << 53,
        change in prop::sample::select(vec![Change::New, Change::Updated, Change::Removed]),
        previous in prop::option::of(arbitrary::text()), detected_at in any::<i64>(), declared_at in any::<i64>(),
    ) {
        let previous_version = previous.map(Arc::from);
        let event = Event { sequence, change, previous_version, detected_at, declared_at, ..event(&object) };
        let options = RenderOptions { max_bytes, object: Object::Full };
        let rendered = render(&event, &options);
        prop_assert_eq!(&rendered, &render(&event.clone(), &options));
        match rendered {
            Ok(Rendered { body, truncated, .. }) => {
                prop_assert!(body.len() <= max_bytes);
                let text = std::str::from_utf8(&body).unwrap();
                let parsed = parse(text).unwrap();
                prop_assert_eq!(canonical::to_vec(&parsed), &*body);
                prop_assert_eq!(parsed["change"].get("truncated").is_some(), truncated);
                prop_assert_eq!(parsed["change"].get("object").is_some(), !truncated && change != Change::Removed);
            }
            Err(RenderError::Oversize { bytes, .. }) => prop_assert!(bytes > max_bytes),
            Err(RenderError::Body(error)) => prop_assert!(false, "{error}"),
        }
    }
}
