//! What of an object counts as its content, its digest, and the body at rest.
//!
//! Normalised means: without managedFields (server bookkeeping, often larger than the object), without the annotation
//! that repeats the object for `kubectl apply`, and with the apiVersion and kind it is watched under, which items of a
//! built-in kind's list do not carry and metadata-only items carry for `PartialObjectMetadata`.
//!
//! Touches nothing. Invariant: a change of content changes the digest, whether or not the body can be kept; a change of
//! only what is left out, or of the order of keys in a body that can be kept, does not.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::text::{MAX_NESTING, Members, ParseError, parse_within};
use super::{canonical, hash, text};
use crate::object::{Body, Digest, Gvk};

/// The annotation in which `kubectl apply` repeats the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why a body at rest gives no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It was never kept.
    #[error("failed to show the object: {0}")]
    Missing(&'static str),
    /// It does not decompress to what was compressed.
    #[error("failed to decompress the object")]
    Corrupt,
}

/// The canonical text of a body at rest.
pub fn body_text(body: &Body) -> Result<String, BodyError> {
    match body {
        Body::Whole(packed) => {
            let bytes = lz4_flex::block::decompress_size_prepended(packed).map_err(|_| BodyError::Corrupt)?;
            String::from_utf8(bytes).map_err(|_| BodyError::Corrupt)
        }
        Body::Missing(why) => Err(BodyError::Missing(why)),
    }
}

/// The object of a body at rest.
pub fn body_value(body: &Body) -> Result<Value, BodyError> {
    text::parse(&body_text(body)?).map_err(|_| BodyError::Corrupt)
}

/// Digest and body of an object whose members, and whose metadata's members, are these.
pub(crate) fn of(gvk: &Gvk, object: &Members<'_>, metadata: &Members<'_>) -> (Digest, Body) {
    match whole(gvk, object, metadata) {
        Ok((digest, body)) => (digest, body),
        Err(why) => (raw_digest(gvk, object, metadata), Body::Missing(reason(why))),
    }
}

fn reason(why: ParseError) -> &'static str {
    match why {
        ParseError::TooDeep => "nested too deeply",
        ParseError::Undecodable => "holds text or a number that cannot be decoded",
    }
}

fn whole(gvk: &Gvk, object: &Members<'_>, metadata: &Members<'_>) -> Result<(Digest, Body), ParseError> {
    let mut kept = Map::new();
    for (key, value) in object.iter().filter(|(key, _)| !is_set_by_us(key)) {
        kept.insert(key.to_owned(), parse_within(value.get(), MAX_NESTING - 1)?);
    }
    let mut kept_metadata = Map::new();
    for (key, value) in metadata.iter().filter(|(key, _)| !is_volatile(key)) {
        let mut value = parse_within(value.get(), MAX_NESTING - 2)?;
        if key == "annotations" && strip_last_applied(&mut value) {
            continue;
        }
        kept_metadata.insert(key.to_owned(), value);
    }
    let version = metadata.string("resourceVersion").map(|version| Value::String(version.into_owned()));

    kept.insert("apiVersion".to_owned(), Value::String(gvk.api_version()));
    kept.insert("kind".to_owned(), Value::String(gvk.kind.clone()));
    kept.insert("metadata".to_owned(), Value::Object(kept_metadata));
    let mut object = Value::Object(kept);
    let mut text = canonical::to_vec(&object);
    let digest = Digest(hash::first_128(&Sha256::digest(&text).into()));
    if let Some(version) = version {
        object["metadata"]["resourceVersion"] = version;
        text.clear();
        canonical::write(&mut text, &object);
    }
    Ok((digest, Body::Whole(lz4_flex::block::compress_prepend_size(&text).into_boxed_slice())))
}

/// The digest of an object that cannot be made a value: over its text as it came, so that a change is still noticed,
/// if not always an equality (an API server writes the same content the same way).
fn raw_digest(gvk: &Gvk, object: &Members<'_>, metadata: &Members<'_>) -> Digest {
    let mut members: Vec<(&str, String, &str)> = Vec::new();
    for (key, value) in object.iter().filter(|(key, _)| !is_set_by_us(key)) {
        members.push(("", key.to_owned(), value.get()));
    }
    for (key, value) in metadata.iter().filter(|(key, _)| !is_volatile(key)) {
        match (key == "annotations").then(|| Members::read(value.get())) {
            Some((annotations, None)) => members.extend(
                annotations
                    .iter()
                    .filter(|(key, _)| *key != LAST_APPLIED)
                    .map(|(key, value)| ("annotations", key.to_owned(), value.get())),
            ),
            Some((_, Some(_))) | None => members.push(("metadata", key.to_owned(), value.get())),
        }
    }
    members.sort_unstable();
    let api_version = gvk.api_version();
    let parts = ["changehook raw object 1", &api_version, &gvk.kind]
        .map(str::as_bytes)
        .into_iter()
        .chain(members.iter().flat_map(|(place, key, value)| [place.as_bytes(), key.as_bytes(), value.as_bytes()]));
    Digest(hash::first_128(&hash::of_parts(parts)))
}

/// Members that are always written from what is known better.
fn is_set_by_us(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata")
}

/// Members of the metadata that change without the content changing.
fn is_volatile(key: &str) -> bool {
    matches!(key, "managedFields" | "resourceVersion")
}

/// True if nothing is left of the annotations.
fn strip_last_applied(annotations: &mut Value) -> bool {
    match annotations {
        Value::Object(annotations) => annotations.remove(LAST_APPLIED).is_some() && annotations.is_empty(),
        _ => false,
    }
}
