//! The example receivers, which hold the contract's own snippets, verify what changehook signs, over objects that were
//! made to trip them; and what a running operator sends. Needs Node.js, Python and Go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod live;
mod program;

use std::sync::Arc;

use changehook_core::event::{Event, Object, RenderOptions, Rendered, Subject, event_id, render, row, x_signature_256};
use changehook_core::object::{Gvk, ObservedBy};
use changehook_core::plan::{Change, SubscriptionId};
use serde_json::{Value, json};
use testbed::process;
use testbed::scratch::Scratch;

use program::{ALL, Language, Receiver, SECRET};

const SUBSCRIPTION: &str = "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f";
/// 2026-01-05T10:30:00Z
const NOW: i64 = 1_767_609_000_000;

// === deliveries ===

impl Receiver {
    async fn deliver(&self, rendered: &Rendered) -> u16 {
        self.post(&rendered.body, &[signature(&rendered.body).as_bytes()]).await
    }
}

fn signature(body: &[u8]) -> String {
    x_signature_256(SECRET.as_bytes(), body)
}

/// An object of a kind with this content.
fn object(name: &str, content: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}"), "resourceVersion": "4711"},
    });
    for (key, value) in content.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn event(text: &str, change: Change, sequence: u64) -> Event {
    let object: Value = serde_json::from_str(text).unwrap_or_default();
    let api_version = object["apiVersion"].as_str().unwrap_or("example.com/v1");
    let gvk = Arc::new(Gvk::new(api_version, object["kind"].as_str().unwrap_or("Widget")));
    Event {
        subscription: SubscriptionId { uid: SUBSCRIPTION.into() },
        sequence,
        change,
        subject: Subject::Present(Arc::new(row(&gvk, text).unwrap())),
        previous_version: None,
        observed_by: ObservedBy::Watch,
        detected_at: NOW,
        declared_at: NOW,
    }
}

fn rendered(text: &str, change: Change, sequence: u64) -> Rendered {
    let options = RenderOptions { max_bytes: 2_097_152, object: Object::Full };
    let rendered = render(&event(text, change, sequence), &options).unwrap();
    assert!(!rendered.truncated, "the object should be in the body");
    rendered
}

/// Objects whose JSON comes out different when it is parsed and written again by hands that are not careful.
fn hostile() -> Vec<(&'static str, String)> {
    let of = |name, content: &Value| (name, object(name, content).to_string());
    let keys: serde_json::Map<_, _> = ["10", "9", "0", "-1", "01", "1.5", "4294967294", "4294967295", " 1", "+1", "a"]
        .map(|key| (key.to_owned(), json!(key)))
        .into_iter()
        .collect();
    // what serde_json would write otherwise than it was sent
    let raw = |name, content: &str| {
        let whole = object(name, &json!({"spec": "HERE"})).to_string();
        (name, whole.replace("\"HERE\"", content))
    };
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    vec![
        of("integer-like-keys", &json!({"data": keys, "spec": [keys, {"nested": keys}]})),
        raw(
            "prototype",
            r#"{"__proto__":{"polluted":1},"constructor":{"prototype":{"x":1}},"toJSON":"z","hasOwnProperty":0}"#,
        ),
        of(
            "dot-files",
            &json!({"data": {".env": "A=1\nB=2\r\n", "-": "c", "_": "e", "$": "f", "%": "g", "": "empty"}}),
        ),
        of(
            "non-ascii",
            &json!({"data": {"é": "Grüße, 世界", "\u{e000}": "\u{feff}bom", "ß": "\u{2028}\u{2029}\u{7f}\u{85}"}}),
        ),
        of("astral", &json!({"data": {"😀": "𝒳 👩‍👩‍👧‍👦", "\u{ffff}": "before or after 😀", "text": "/<>&'"}})),
        of("controls", &json!({"data": {"all": (0_u8..32).map(char::from).collect::<String>(), "quote": "\"\\"}})),
        raw("escapes", r#"{"a":"\u00e9\/\ud83d\ude00\u007f\u001F\u0008","\u0061b":1}"#),
        raw(
            "floats",
            "[1.0,1.10,-0,-0.0,0.1,1e5,1E-7,1e21,1e-6,0.30000000000000004,5e-324,1.7976931348623157e308,123456789.125]",
        ),
        raw("integers", "[0,-1,9007199254740991,9007199254740992,-9007199254740992,4294967296]"),
        of(
            "empties",
            &json!({"data": {}, "spec": {"list": [], "null": null, "no": false, "text": "", "": {"": {"": []}}}}),
        ),
        raw("whitespace", " {\n\t\"b\" : [ 1 , 2 ] ,\r\n \"a\" : { } } "),
        raw("repeated-key", r#"{"a":1,"a":2}"#),
        raw("deep", &deep),
        of("large", &json!({"data": {"blob": "é\"\n".repeat(300_000)}})),
    ]
}

async fn every_hostile_object_verifies_in(language: Language) {
    let receiver = Receiver::start(language).await;
    for (number, (name, text)) in hostile().into_iter().enumerate() {
        let sequence = 3_731_590_134_923_271 + number as u64;
        for (step, change) in [Change::New, Change::Updated, Change::Removed].into_iter().enumerate() {
            let sequence = sequence + 100 * step as u64;
            let rendered = if change == Change::Removed {
                render(&event(&text, change, sequence), &RenderOptions { max_bytes: 4096, object: Object::Full })
                    .unwrap()
            } else {
                rendered(&text, change, sequence)
            };
            let status = receiver.deliver(&rendered).await;
            assert_eq!(status, 200, "{language:?} does not verify {name}");
            receiver.says(&format!("verified {} Widget shop/{name} sequence={sequence}", change.as_wire())).await;
        }
    }
}

#[tokio::test]
async fn the_contracts_node_snippet_verifies_what_it_parsed_and_wrote_again() {
    every_hostile_object_verifies_in(Language::Node).await;
}

#[tokio::test]
async fn the_contracts_python_snippet_verifies_the_same_deliveries() {
    every_hostile_object_verifies_in(Language::Python).await;
}

#[tokio::test]
async fn the_contracts_go_snippet_verifies_the_same_deliveries() {
    every_hostile_object_verifies_in(Language::Go).await;
}

#[tokio::test]
async fn a_wrong_signature_of_whatever_form_is_answered_401_and_the_receiver_goes_on() {
    for language in ALL {
        let receiver = Receiver::start(language).await;
        let text = object("api", &json!({"spec": {"replicas": 3}})).to_string();
        let good = rendered(&text, Change::New, 7);
        let right = signature(&good.body);
        let other_key = x_signature_256(b"another key", &good.body);
        let with_newline = x_signature_256(format!("{SECRET}\n").as_bytes(), &good.body);
        let upper = format!("sha256={}", right["sha256=".len()..].to_uppercase());
        let longer = format!("{right}0");
        let latin = [b"sha256=".as_slice(), &[0xe9; 64]].concat();
        let wrong: [&[&[u8]]; 9] = [
            &[],
            &[b""],
            &[b"sha256="],
            &[&right.as_bytes()[..70]],
            &[longer.as_bytes()],
            &[other_key.as_bytes()],
            &[with_newline.as_bytes()],
            &[upper.as_bytes()],
            &[&latin],
        ];
        for signatures in wrong {
            let shown: Vec<_> = signatures.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
            assert_eq!(receiver.post(&good.body, signatures).await, 401, "{language:?}: {shown:?}");
        }
        let mut tampered = good.body.clone();
        let at = tampered.iter().position(|byte| *byte == b'3').unwrap();
        tampered[at] = b'4';
        assert_eq!(receiver.post(&tampered, &[right.as_bytes()]).await, 401, "{language:?}");
        assert_eq!(receiver.deliver(&good).await, 200, "{language:?}");
        receiver.says("verified new Widget shop/api sequence=7").await;
        assert_eq!(receiver.child.log().matches("verified").count(), 1, "{language:?}");
    }
}

#[tokio::test]
async fn what_is_not_higher_than_the_sequence_last_seen_for_the_object_is_ignored() {
    for language in ALL {
        let receiver = Receiver::start(language).await;
        let (api, web) = (object("api", &json!({})).to_string(), object("web", &json!({})).to_string());
        let deliveries = [
            (&api, Change::New, 10, "verified new Widget shop/api sequence=10"),
            (&api, Change::Updated, 30, "verified updated Widget shop/api sequence=30"),
            (&api, Change::Updated, 20, "ignored updated Widget shop/api sequence=20"),
            (&api, Change::Updated, 30, "ignored updated Widget shop/api sequence=30"),
            (&web, Change::New, 15, "verified new Widget shop/web sequence=15"),
            (
                &api,
                Change::Removed,
                9_007_199_254_740_991,
                "verified removed Widget shop/api sequence=9007199254740991",
            ),
            (&api, Change::Updated, 31, "ignored updated Widget shop/api sequence=31"),
        ];
        let mut lines = Vec::new();
        for (text, change, sequence, line) in deliveries {
            let status = receiver.deliver(&rendered_any(text, change, sequence)).await;
            assert_eq!(status, 200, "{:?}: what is ignored has arrived all the same", receiver.language);
            receiver.says(line).await;
            lines.push(line);
        }
        let log = receiver.child.log();
        assert_eq!(log.lines().skip(1).collect::<Vec<_>>(), lines, "{language:?}");
    }
}

fn rendered_any(text: &str, change: Change, sequence: u64) -> Rendered {
    render(&event(text, change, sequence), &RenderOptions { max_bytes: 262_144, object: Object::Full }).unwrap()
}

/// The one documented exception: such an integer keeps its digits, so JavaScript, which rounds it, writes other bytes.
#[tokio::test]
async fn an_integer_beyond_two_to_the_53_verifies_over_the_bytes_as_they_came_and_not_once_javascript_rounded_it() {
    let text = object("big", &json!({"spec": {"n": 9_007_199_254_740_993_u64}})).to_string();
    let big = rendered(&text, Change::New, 1);
    for language in ALL {
        let receiver = Receiver::start(language).await;
        let expected = match language {
            Language::Node => 401,
            Language::Python | Language::Go => 200,
        };
        assert_eq!(receiver.deliver(&big).await, expected, "{language:?}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_the_receiver_goes_on() {
    for language in ALL {
        let receiver = Receiver::start(language).await;
        let body = vec![b' '; 6 << 20];
        let signature = signature(&body);
        let request = receiver.http.post(&receiver.url).header("X-Signature-256", &signature).body(body);
        // who stops reading half-way may close the connection before its answer was read
        if let Ok(answer) = request.send().await {
            assert_eq!(answer.status().as_u16(), 413, "{language:?}");
        }
        let text = object("api", &json!({})).to_string();
        assert_eq!(receiver.deliver(&rendered(&text, Change::New, 7)).await, 200, "{language:?}");
        receiver.says("verified new Widget shop/api sequence=7").await;
    }
}

#[tokio::test]
async fn a_receiver_without_a_key_says_so_and_ends() {
    for language in ALL {
        let scratch = Scratch::new().unwrap();
        let mut command = language.command(scratch.path()).await;
        command.env("PORT", "0").env_remove("WEBHOOK_SECRET");
        let output = process::run(command, Vec::new()).await.unwrap();
        assert!(!output.status.success() && output.stderr.contains("WEBHOOK_SECRET"), "{language:?}: {output:?}");
    }
}

// === examples/mcp ===

#[test]
fn the_registry_example_gives_the_contracts_example_payload_field_by_field() {
    let manifest = include_str!("../../examples/mcp/server.yaml");
    let contract: Value = serde_json::from_str(include_str!("../../core/tests/vectors/contract-example.json")).unwrap();
    let mut object: Value = serde_saphyr::from_str(manifest).unwrap();
    for (key, value) in [("namespace", "default"), ("uid", "uid-of-server"), ("resourceVersion", "4711")] {
        object["metadata"][key] = json!(value);
    }
    let body: Value = serde_json::from_slice(&rendered(&object.to_string(), Change::New, 7).body).unwrap();
    assert_eq!(body["change"]["id"], json!(event_id(SUBSCRIPTION, "uid-of-server", 7)));
    let mut ours = body.clone();
    for own in ["resource", "object", "sequence", "observed_by"] {
        assert!(ours["change"].as_object_mut().unwrap().remove(own).is_some(), "{own} is missing");
    }
    // ids have the contract's form and a value of their own
    for id in ["/subscription_id", "/change/id"] {
        let (mine, theirs) = (ours.pointer_mut(id).unwrap(), contract.pointer(id).unwrap());
        assert_eq!(mine.as_str().unwrap()[..4], theirs.as_str().unwrap()[..4]);
        *mine = theirs.clone();
    }
    assert_eq!(ours, contract);
}
