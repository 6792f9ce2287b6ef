//! The one form of JSON that `JSON.stringify(JSON.parse(text))` gives back byte for byte in an ECMAScript engine.
//!
//! Many receivers verify a signature over the body they have parsed and written again. That only works if the body was
//! sent in the form their engine writes:
//! - no whitespace, UTF-8, no key twice;
//! - keys that are array indices (`0` to `4294967294`, no leading zero) first, by number, at every level; then the other
//!   keys, here by code point;
//! - numbers as `Number::toString` writes them: `1`, not `1.0`; `1e+21`; `1e-7`; never `-0`;
//! - in strings only `"`, `\` and U+0000–U+001F are escaped, in the short form where there is one, else `\u00xx`.
//!
//! One exception, documented to users: an integer that fits 64 bits keeps its exact digits even beyond 2^53, where an
//! ECMAScript engine would round it. Rounding somebody's numbers to please a re-serialising receiver would be a lie.
//!
//! Touches nothing. Invariant: writing what was parsed from this form gives the same bytes (`text::parse`).

use std::cmp::Ordering;
use std::io::Write as _;

use serde_json::{Map, Number, Value};

/// The canonical form of `value`.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(&mut out, value);
    out
}

/// Appends the canonical form of `value`.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(out, item);
            }
            out.push(b']');
        }
        Value::Object(members) => write_object(out, members),
    }
}

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            0x08 => out.extend_from_slice(br"\b"),
            0x09 => out.extend_from_slice(br"\t"),
            0x0a => out.extend_from_slice(br"\n"),
            0x0c => out.extend_from_slice(br"\f"),
            0x0d => out.extend_from_slice(br"\r"),
            control => write!(out, "\\u{control:04x}").expect("a Vec takes every write"),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends a number.
fn write_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(integer) = number.as_u64() {
        write!(out, "{integer}").expect("a Vec takes every write");
    } else if let Some(integer) = number.as_i64() {
        write!(out, "{integer}").expect("a Vec takes every write");
    } else {
        match number.as_f64() {
            Some(double) if double.is_finite() => {
                out.extend_from_slice(ryu_js::Buffer::new().format_finite(double).as_bytes());
            }
            // what an ECMAScript engine makes of 1e400; serde_json refuses to read one
            _ => out.extend_from_slice(b"null"),
        }
    }
}

fn write_object(out: &mut Vec<u8>, members: &Map<String, Value>) {
    out.push(b'{');
    if members.keys().is_sorted_by(|a, b| key_order(a, b) == Ordering::Less) {
        write_members(out, members.iter());
    } else {
        let mut sorted: Vec<_> = members.iter().collect();
        sorted.sort_unstable_by(|(a, _), (b, _)| key_order(a, b));
        write_members(out, sorted.into_iter());
    }
    out.push(b'}');
}

fn write_members<'a>(out: &mut Vec<u8>, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (at, (key, value)) in members.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(out, key);
        out.push(b':');
        write(out, value);
    }
}

/// Array indices first, by number; then everything else by code point.
fn key_order(a: &str, b: &str) -> Ordering {
    match (array_index(a), array_index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// The array index that `key` spells, if it spells one.
fn array_index(key: &str) -> Option<u32> {
    match key.as_bytes() {
        b"0" => Some(0),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            // u32::MAX is an array's greatest length, so the greatest index is one less
            key.parse().ok().filter(|index| *index < u32::MAX)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_spellings_below_the_greatest_length_are_array_indices() {
        for (key, index) in [("0", 0), ("7", 7), ("10", 10), ("4294967294", 4_294_967_294)] {
            assert_eq!(array_index(key), Some(index), "{key}");
        }
        for key in ["", "00", "01", "-1", "+1", " 1", "1 ", "1.5", "1e3", "4294967295", "99999999999", "١", "1a"] {
            assert_eq!(array_index(key), None, "{key}");
        }
    }

    #[test]
    fn integers_beyond_two_to_the_53_keep_their_digits() {
        let text = r#"{"n":[9007199254740993,-9007199254740993,9223372036854775807,-9223372036854775808,18446744073709551615]}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(to_vec(&value), text.as_bytes());
    }
}
