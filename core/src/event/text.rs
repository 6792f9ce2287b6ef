//! Reading JSON text: into borrowed members without looking inside them, or into a value by the letter.
//!
//! Both exist because objects come from whoever may create them. [`Members`] does not care what its values hold, so an
//! object's metadata can be read however deep or odd its spec is. [`parse`] bounds nesting, and does not use
//! `serde_json`'s own `Value` decoder: with the `raw_value` feature that one takes an object whose first key is
//! `$serde_json::private::RawValue` for a document inside a string, which would change the content and escape the bound.
//!
//! Touches nothing. Invariant: neither fails because of what another part of the text holds, or panics on any text.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// How many objects and arrays may be nested in an object, itself included. The envelope adds two, which makes 127: the
/// most that `serde_json`, and so many a receiver, parses.
pub const MAX_NESTING: usize = 125;

/// Why a text was not made a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// More than [`MAX_NESTING`] levels.
    #[error("nested too deeply")]
    TooDeep,
    /// Not JSON, or JSON that holds what cannot be passed on: lone surrogates, numbers beyond every double.
    #[error("holds text or a number that cannot be decoded")]
    Undecodable,
}

/// Parses `text` whole. Of a repeated key the last value counts.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    parse_within(text, MAX_NESTING)
}

/// Parses `text`, in which at most `levels` objects and arrays may be nested.
pub(crate) fn parse_within(text: &str, levels: usize) -> Result<Value, ParseError> {
    debug_assert!(levels <= MAX_NESTING, "serde_json's own bound would come first");
    let too_deep = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Tree { levels, too_deep: &too_deep }.deserialize(&mut deserializer);
    value
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|_| if too_deep.get() { ParseError::TooDeep } else { ParseError::Undecodable })
}

#[derive(Clone, Copy)]
struct Tree<'c> {
    levels: usize,
    too_deep: &'c Cell<bool>,
}

impl Tree<'_> {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        if let Some(levels) = self.levels.checked_sub(1) {
            return Ok(Self { levels, ..self });
        }
        self.too_deep.set(true);
        Err(E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            object.insert(key, members.next_value_seed(below)?);
        }
        Ok(Value::Object(object))
    }
}

/// The members of one JSON object, in its order, values unread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The members of `text`; if it breaks off or is no object, those before the fault, and how it was at fault.
    pub(crate) fn read(text: &'a str) -> (Self, Option<serde_json::error::Category>) {
        let mut members = Vec::new();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = Collect(&mut members).deserialize(&mut deserializer).and_then(|()| deserializer.end());
        // of the error only its category goes on: its text can quote the object
        (Self(members), read.err().map(|fault| fault.classify()))
    }

    /// The members of the object under `key`, as far as they can be read; `None` if there is no object.
    pub(crate) fn object(&self, key: &str) -> Option<Self> {
        let text = self.get(key)?.get();
        text.starts_with('{').then(|| Self::read(text).0)
    }

    /// The value under `key`; the last one if the key is repeated.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(found, _)| found == key).map(|(_, value)| *value)
    }

    /// The string under `key`, unless it is empty, as an API server writes what is not there.
    pub(crate) fn string(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(string).filter(|text| !text.is_empty())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }
}

/// The value, if it is a string.
pub(crate) fn string<'a>(value: &'a RawValue) -> Option<Cow<'a, str>> {
    serde_json::from_str::<Text<'a>>(value.get()).ok().map(|Text(text)| text)
}

/// A string, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Collect<'a, 'v>(&'v mut Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> DeserializeSeed<'a> for Collect<'a, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Collect<'a, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some((Text(key), value)) = members.next_entry::<Text<'a>, &'a RawValue>()? {
            self.0.push((key, value));
        }
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Err(E::custom("null is no object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn nesting_is_bounded_and_the_bound_is_named() {
        assert!(parse(&nested(MAX_NESTING)).is_ok());
        for levels in [MAX_NESTING + 1, 127, 128, 1000, 100_000] {
            assert_eq!(parse(&nested(levels)), Err(ParseError::TooDeep), "{levels}");
        }
    }

    #[test]
    fn a_key_that_serde_json_takes_for_its_own_is_an_ordinary_key() {
        let text = r#"{"$serde_json::private::RawValue":"[1,2]"}"#;
        let value = parse(text).unwrap();
        assert_eq!(value.as_object().unwrap()["$serde_json::private::RawValue"], "[1,2]");
        assert!(serde_json::from_str::<Value>(text).unwrap().is_array(), "then the own decoder is no longer needed");
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused() {
        for text in [r#""\ud800""#, "1e400", "[1", "", "1 2", r#"{"\udfff":1}"#] {
            assert_eq!(parse(text), Err(ParseError::Undecodable), "{text}");
        }
    }

    #[test]
    fn members_are_read_whatever_is_in_them_and_up_to_a_fault() {
        let deep = nested(100_000);
        let text = format!(r#"{{"a":{deep},"\u0062":"\ud800","c":1,"c":2}}"#);
        let (members, fault) = Members::read(&text);
        assert!(fault.is_none());
        assert_eq!(members.get("a").unwrap().get(), deep);
        assert_eq!(members.string("b"), None);
        assert_eq!(members.get("c").unwrap().get(), "2");

        let (members, fault) = Members::read(r#"{"a":"x","b":tru"#);
        assert!(fault.is_some());
        assert_eq!(members.string("a").unwrap(), "x");
        for text in ["null", "[]", "3", "", "\"x\""] {
            assert!(Members::read(text).1.is_some(), "{text}");
        }
    }
}
