//! What a Secret holds, once it has been read.
//!
//! Touches nothing. Invariants: values are wiped when dropped and never shown; parsing cannot produce a text that
//! quotes its input.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A value above this is no key and no header.
const MAX_VALUE: usize = 64 << 10;

/// The bytes of one value. Clones share them; the last one wipes them.
#[derive(Clone)]
pub struct SecretBytes(Arc<Zeroizing<Vec<u8>>>);

impl SecretBytes {
    /// The bytes, verbatim.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// Tells one content from another, without being either: the same in every process.
pub fn content_hash(bytes: &SecretBytes) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"changehook secret content\0");
    hash.update(bytes.as_bytes());
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// One key's value.
pub(super) enum Value {
    /// This.
    Bytes(SecretBytes),
    /// Nothing, or null.
    Empty,
    /// More than a key or header can be.
    TooLarge,
    /// Not what the API promises: no base64 text.
    Unreadable,
}

/// All keys of one Secret.
pub(super) struct Contents(BTreeMap<String, Value>);

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    data: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

impl Contents {
    /// Reads the API server's answer; one odd value spoils only its own key. `None` if it is no object at all. The
    /// parser's error is dropped on purpose: it quotes what it could not read.
    pub(super) fn parse(answer: &[u8]) -> Option<Self> {
        let wire: Wire<'_> = serde_json::from_slice(answer).ok()?;
        let data = wire.data.unwrap_or_default();
        Some(Self(data.into_iter().map(|(key, value)| (key.into_owned(), Value::parse(value))).collect()))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }
}

impl Value {
    fn parse(value: &RawValue) -> Self {
        if value.get().len() / 4 * 3 > MAX_VALUE + 6 {
            return Self::TooLarge;
        }
        match serde_json::from_str::<ByteString>(value.get()) {
            Ok(ByteString(bytes)) if bytes.is_empty() => Self::Empty,
            Ok(ByteString(bytes)) if bytes.len() > MAX_VALUE => Self::TooLarge,
            Ok(ByteString(bytes)) => Self::Bytes(bytes.into()),
            Err(_) => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<'a>(contents: &'a Contents, key: &str) -> Option<&'a [u8]> {
        match contents.get(key) {
            Some(Value::Bytes(bytes)) => Some(bytes.as_bytes()),
            Some(Value::Empty | Value::TooLarge | Value::Unreadable) | None => None,
        }
    }

    #[test]
    fn values_are_verbatim_trailing_newline_and_binary_included() {
        let contents = Contents::parse(br#"{"data":{"text":"czNjcjN0Cg==","binary":"AP/+"}}"#).unwrap();
        assert_eq!(bytes(&contents, "text"), Some(&b"s3cr3t\n"[..]));
        assert_eq!(bytes(&contents, "binary"), Some(&[0, 0xff, 0xfe][..]));
    }

    #[test]
    fn one_odd_value_spoils_only_its_own_key() {
        let contents = Contents::parse(br#"{"data":{"odd":{"a":1},"bad":"*","none":null,"empty":"","good":"YQ=="}}"#);
        let contents = contents.unwrap();
        assert!(matches!(contents.get("odd"), Some(Value::Unreadable)));
        assert!(matches!(contents.get("bad"), Some(Value::Unreadable)));
        assert!(matches!(contents.get("none"), Some(Value::Empty)));
        assert!(matches!(contents.get("empty"), Some(Value::Empty)));
        assert_eq!(bytes(&contents, "good"), Some(&b"a"[..]));
    }

    #[test]
    fn a_secret_without_data_has_no_keys_and_a_page_of_html_is_no_secret() {
        for answer in ["{}", r#"{"data":null}"#, r#"{"data":{}}"#] {
            assert!(Contents::parse(answer.as_bytes()).unwrap().get("secret").is_none(), "{answer}");
        }
        for answer in ["<html>", "", "\"text\"", r#"{"data":"text"}"#] {
            assert!(Contents::parse(answer.as_bytes()).is_none(), "{answer}");
        }
    }

    #[test]
    fn a_value_above_64_kib_is_too_large_and_one_of_64_kib_is_not() {
        let encode = |length: usize| {
            let value = serde_json::to_string(&ByteString(vec![7; length])).unwrap();
            Contents::parse(format!(r#"{{"data":{{"key":{value}}}}}"#).as_bytes()).unwrap()
        };
        assert_eq!(bytes(&encode(MAX_VALUE), "key").map(<[u8]>::len), Some(MAX_VALUE));
        assert!(matches!(encode(MAX_VALUE + 1).get("key"), Some(Value::TooLarge)));
        assert!(matches!(encode(2 * MAX_VALUE).get("key"), Some(Value::TooLarge)));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", SecretBytes::from(b"s3cr3t".to_vec()));
        assert_eq!(shown, "SecretBytes(…)");
    }

    #[test]
    fn the_hash_tells_contents_apart_and_is_the_same_in_every_process() {
        let hash = |text: &str| content_hash(&SecretBytes::from(text.as_bytes().to_vec()));
        assert_ne!(hash("s3cr3t"), hash("s3cr3t\n"));
        // printf 'changehook secret content\0s3cr3t' | sha256sum | head -c 16
        assert_eq!(hash("s3cr3t"), KNOWN);
    }

    const KNOWN: u64 = 0xb18d_5b72_552a_3999;
}
