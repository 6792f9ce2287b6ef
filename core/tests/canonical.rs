//! The canonical form against the published vectors, against a second, independent writing of the rules, and against
//! Node itself.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use changehook_core::event::{canonical, parse, x_signature_256};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;

#[allow(dead_code, reason = "the crate's own tests use the rest of it")]
#[path = "../src/event/arbitrary.rs"]
mod arbitrary;

const SURVIVE: &str = include_str!("vectors/survive.txt");
const NORMALISED: &str = include_str!("vectors/normalised.txt");

fn canonical_text(value: &Value) -> String {
    String::from_utf8(canonical::to_vec(value)).unwrap()
}

/// A document without integers that an ECMAScript engine cannot hold, the documented exception.
fn holdable(value: &Value) -> bool {
    match value {
        Value::Number(number) if !number.is_f64() => number.as_i128().unwrap().unsigned_abs() <= 1 << 53,
        Value::Array(items) => items.iter().all(holdable),
        Value::Object(members) => members.values().all(holdable),
        _ => true,
    }
}

#[test]
fn bodies_known_to_survive_are_already_canonical_and_sign_as_published() {
    assert_eq!(SURVIVE.lines().count(), 6);
    for line in SURVIVE.lines() {
        let (signature, body) = line.split_once(' ').unwrap();
        assert_eq!(x_signature_256(b"s3cr3t", body.as_bytes()), format!("sha256={signature}"), "{body}");
        let value = parse(body).unwrap();
        // the rules leave the order of keys that are no indices open: they are sorted here
        let expected = if body.contains("__proto__") {
            r#"{"data":{"":"e","__proto__":"x","constructor":"y","toJSON":"z"}}"#
        } else {
            body
        };
        assert_eq!(canonical_text(&value), expected);
    }
}

#[test]
fn forms_that_do_not_survive_are_normalised() {
    assert!(NORMALISED.lines().count() >= 30);
    for line in NORMALISED.lines() {
        let (given, expected) = line.split_once(" => ").unwrap();
        let written = canonical_text(&parse(given).unwrap());
        assert_eq!(written, expected, "from {given}");
        assert_eq!(canonical_text(&parse(&written).unwrap()), expected, "again");
    }
}

#[test]
fn node_gives_back_every_vector_but_for_big_integers() {
    let vectors = SURVIVE.lines().map(|line| line.split_once(' ').unwrap().1.to_owned());
    let normalised = NORMALISED.lines().map(|line| line.split_once(" => ").unwrap().1.to_owned());
    let documents: Vec<String> = vectors.chain(normalised).filter(|text| holdable(&parse(text).unwrap())).collect();
    assert!(documents.len() >= 30);
    assert_eq!(changed_by_node(&documents), Vec::<String>::new());
}

#[test]
fn node_gives_back_every_document_byte_for_byte() {
    let mut runner = TestRunner::deterministic();
    let documents: Vec<String> = std::iter::repeat_with(|| arbitrary::value().new_tree(&mut runner).unwrap().current())
        .filter(holdable)
        .take(3_000)
        .map(|value| canonical_text(&value))
        .collect();
    assert_eq!(changed_by_node(&documents), Vec::<String>::new());

    let doubles: Vec<String> = std::iter::repeat_with(|| arbitrary::double().new_tree(&mut runner).unwrap().current())
        .take(10_000)
        .map(|double| canonical_text(&double.into()))
        .collect();
    assert_eq!(changed_by_node(&doubles), Vec::<String>::new());
}

#[test]
fn node_would_have_noticed() {
    for spoilt in [r#"{"10":2,"9":1}"#, r#"{"a":1.0}"#, r#"{"a":"\u007f"}"#, r#"{"a":9007199254740993}"#, "[1, 2]"] {
        assert_eq!(changed_by_node(&["[]".to_owned(), spoilt.to_owned()]), [spoilt]);
    }
}

/// The documents that Node writes in another way than it was given them.
fn changed_by_node(documents: &[String]) -> Vec<String> {
    const SCRIPT: &str = r"
        const lines = require('fs').readFileSync(0, 'utf8').split('\n').slice(0, -1);
        const changed = lines.flatMap((line, at) => {
            try { return JSON.stringify(JSON.parse(line)) === line ? [] : [at]; } catch { return [at]; }
        });
        console.log([lines.length, ...changed].join('\n'));";
    let mut node = Command::new("node")
        .args(["-e", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs Node (any maintained version) on PATH: it is the judge of the canonical form");
    let mut input = node.stdin.take().unwrap();
    for document in documents {
        assert!(!document.contains('\n'), "{document:?}");
        writeln!(input, "{document}").unwrap();
    }
    drop(input);
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut numbers = std::str::from_utf8(&output.stdout).unwrap().lines().map(|line| line.parse::<usize>().unwrap());
    assert_eq!(numbers.next(), Some(documents.len()), "node read every document");
    numbers.map(|at| documents[at].clone()).collect()
}

/// Rules 2 to 4 a second time, from the specification instead of from the code.
fn model(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) if number.is_f64() => model_double(number.as_f64().unwrap()),
        Value::Number(number) => number.as_i128().unwrap().to_string(),
        Value::String(text) => model_string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(model).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            // an index is what, read as a number, is written back the same and is not beyond 2^32 - 2
            let place = |key: &String| match key.parse::<u64>() {
                Ok(index) if index.to_string() == *key && index <= 4_294_967_294 => (0, index, String::new()),
                _ => (1, 0, key.clone()),
            };
            let sorted: BTreeMap<_, _> = members.iter().map(|(key, value)| (place(key), (key, value))).collect();
            let members: Vec<String> =
                sorted.values().map(|(key, value)| format!("{}:{}", model_string(key), model(value))).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// ECMA-262, Number::toString, from the shortest digits and their exponent.
fn model_double(double: f64) -> String {
    if double == 0.0 {
        return "0".into();
    }
    let shortest = format!("{:e}", double.abs());
    // of several shortest decimals the specification wants the closest, and of two as close the even one; Rust's exact
    // form rounds so, its shortest form does not always
    let places = shortest.split_once('e').unwrap().0.len().saturating_sub(2);
    let closest = format!("{:.places$e}", double.abs());
    let reads_back = closest.parse::<f64>().unwrap().to_bits() == double.abs().to_bits();
    let scientific = if reads_back { closest } else { shortest };
    let (digits, exponent) = scientific.split_once('e').unwrap();
    let digits = digits.replace('.', "");
    let k = digits.len() as i32;
    let n = exponent.parse::<i32>().unwrap() + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap());
    let magnitude = if k <= n && n <= 21 {
        format!("{digits}{}", zeros(n - k))
    } else if 0 < n && n <= 21 {
        let (whole, fraction) = digits.split_at(usize::try_from(n).unwrap());
        format!("{whole}.{fraction}")
    } else if -6 < n && n <= 0 {
        format!("0.{}{digits}", zeros(-n))
    } else {
        let sign = if n > 0 { '+' } else { '-' };
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        format!("{first}{point}{rest}e{sign}{}", (n - 1).abs())
    };
    if double < 0.0 { format!("-{magnitude}") } else { magnitude }
}

fn model_string(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if (control as u32) < 0x20 => out.extend(format!("\\u{:04x}", control as u32).chars()),
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_document_is_written_as_the_rules_say(value in arbitrary::value()) {
        prop_assert_eq!(canonical_text(&value), model(&value));
    }

    #[test]
    fn what_was_written_reads_back_and_is_written_the_same(value in arbitrary::value()) {
        let written = canonical_text(&value);
        prop_assert_eq!(canonical_text(&parse(&written).unwrap()), written);
    }

    #[test]
    fn any_double_is_written_as_the_specification_says(double in arbitrary::double()) {
        let written = canonical_text(&double.into());
        prop_assert_eq!(&written, &model_double(double));
        prop_assert_eq!(written.parse::<f64>().unwrap().to_bits(), (double + 0.0).to_bits(), "but for -0");
    }
}
