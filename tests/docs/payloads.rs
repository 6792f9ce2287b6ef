//! The payloads that are shown are the ones that are sent, and the snippets are those of the example receivers.

use std::collections::BTreeSet;
use std::sync::Arc;

use changehook_core::event::{Event, Identity, Object, RenderOptions, Subject, render, row};
use changehook_core::object::{Gvk, ObservedBy, Row};
use changehook_core::plan::{Change, SubscriptionId};
use serde_json::{Value, json};

use crate::manifests::is_in;
use crate::texts::{blocks, read};

const UID: &str = "9f8e7d6c-5b4a-4321-8fed-cba987654321";

fn example(version: &str) -> Row {
    let mut object: Value = serde_saphyr::from_str(&read("examples/mcp/server.yaml")).unwrap();
    for (key, value) in [("namespace", "default"), ("uid", UID), ("resourceVersion", "4711")] {
        object["metadata"][key] = json!(value);
    }
    object["spec"]["version_detail"]["version"] = json!(version);
    let gvk = Gvk::new(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    row(&Arc::new(gvk), &object.to_string()).unwrap()
}

fn body(change: Change, subject: Subject, previous: Option<&str>) -> Value {
    let event = Event {
        subscription: SubscriptionId { uid: "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f".into() },
        sequence: 3_731_590_134_923_271,
        change,
        subject,
        previous_version: previous.map(Arc::from),
        observed_by: ObservedBy::Watch,
        // 2026-01-05T10:30:00Z, the time in the contract's example
        detected_at: 1_767_609_000_000,
        declared_at: 1_767_609_000_000,
    };
    let rendered = render(&event, &RenderOptions { max_bytes: 262_144, object: Object::Full }).unwrap();
    serde_json::from_slice(&rendered.body).unwrap()
}

#[test]
fn the_documented_payloads_are_what_is_sent() {
    let text = read("docs/payload.md");
    let shown = |name: &str| -> Value {
        let (_, rest) = text.split_once(&format!("<!-- tested: {name} -->")).unwrap();
        serde_json::from_str(&blocks(rest, "json")[0]).unwrap()
    };
    let new = body(Change::New, Subject::Present(Arc::new(example("1.2.0"))), None);
    assert_eq!(shown("new"), new);
    let updated = body(Change::Updated, Subject::Present(Arc::new(example("1.3.0"))), Some("1.2.0"));
    assert!(is_in(&shown("updated"), &updated), "{updated}");
    let Row { gvk, uid, namespace, name, .. } = example("1.3.0");
    let identity = Identity { gvk, uid, namespace, name, rv: 4712 };
    let removed = body(Change::Removed, Subject::Absent(identity), Some("1.3.0"));
    assert!(is_in(&shown("removed"), &removed), "{removed}");
    for missing in ["object", "new_version"] {
        assert!(removed["change"].get(missing).is_none());
    }
    // the README's has an object of another kind, so only the fields are compared
    let readme: Value = serde_json::from_str(&blocks(&read("README.md"), "json")[0]).unwrap();
    for place in ["", "/change", "/change/resource"] {
        let names = |value: &Value| -> BTreeSet<String> {
            value.pointer(place).unwrap().as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&readme), names(&updated), "{place}");
    }
}

#[test]
fn the_readmes_snippets_are_in_the_example_receivers_unchanged() {
    let readme = read("README.md");
    for (language, receiver) in [("javascript", "node/server.js"), ("python", "python/server.py"), ("go", "go/main.go")]
    {
        let snippet = &blocks(&readme, language)[0];
        assert!(snippet.contains("sha256="), "{language}: {snippet}");
        let source = read(format!("examples/receivers/{receiver}"));
        assert!(source.contains(snippet.as_str()), "{receiver} has another snippet than the README");
    }
}
