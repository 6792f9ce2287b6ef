//! Documents for property tests, chosen to hurt: keys that are or nearly are array indices, doubles of every size, text
//! that has to be escaped or looks as if it had to be. Also included by `tests/canonical.rs`.

use proptest::prelude::*;
use serde_json::{Map, Value};

/// Any JSON value, a few levels deep.
pub fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((key(), inner), 0..8).prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// Any JSON object.
pub fn object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((key(), value()), 0..8).prop_map(Map::from_iter)
}

/// A member's key.
pub fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => any::<u8>().prop_map(|index| index.to_string()),
        1 => any::<u32>().prop_map(|index| index.to_string()),
        1 => (4_294_967_290_u64..4_294_967_300).prop_map(|index| index.to_string()),
        2 => prop::sample::select(vec![
            "", "-", "-1", "01", "00", "+1", " 1", "1 ", "1.5", "1e3", ".env", "$", "%", "__proto__", "constructor",
            "toJSON", "prototype", "length", "spec", "metadata", "data", "\u{661}", "\u{ff11}",
            "$serde_json::private::RawValue", "$serde_json::private::Number",
        ]).prop_map(str::to_owned),
        2 => text(),
    ]
}

/// A string.
pub fn text() -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        3 => any::<char>(),
        3 => prop::char::range(' ', '~'),
        2 => prop::char::range('\0', '\u{a0}'),
        1 => prop::sample::select(vec!['"', '\\', '/', '\u{2028}', '\u{2029}', '\u{feff}', '\u{fffd}', '<', '😀']),
    ];
    prop::collection::vec(characters, 0..12).prop_map(String::from_iter)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1000_i64..1000).prop_map(Value::from),
        double().prop_map(Value::from),
        text().prop_map(Value::from),
    ]
}

/// A finite double.
pub fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |double| double.is_finite()),
        any::<i64>().prop_map(|integer| integer as f64),
        (any::<i32>(), -30_i32..30).prop_map(|(digits, exponent)| f64::from(digits) * 10_f64.powi(exponent)),
        (any::<i32>(), 1_i32..1000).prop_map(|(above, below)| f64::from(above) / f64::from(below)),
        // quarters, which lie exactly between two shortest decimals
        (1_u64 << 51..1 << 53).prop_map(|quarters| quarters as f64 / 4.0),
        prop::sample::select(vec![0.0, -0.0, 1e20, 1e21, 1e-6, 1e-7, 5e-324, f64::MAX, f64::MIN_POSITIVE, 0.1, 1e16]),
    ]
}
