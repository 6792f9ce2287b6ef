//! What names of the Kubernetes API, of HTTP headers and the like are made of.
//!
//! Touches nothing. Invariant: the same verdicts as the CRD's rules, where those have one.

/// Lower case labels of at most 63 characters with dots between them, as most objects' names are.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| !label.is_empty() && is_edged(label, is_lower, |b| b == b'-'))
}

/// One such label, as the names of Services and of their ports are.
pub(super) fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_edged(text, is_lower, |b| b == b'-')
}

/// A key of a Secret.
pub(super) fn is_secret_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// `VERSION` or `GROUP/VERSION`.
pub(super) fn is_api_version(text: &str) -> bool {
    let (group, version) = text.split_once('/').map_or((None, text), |(group, version)| (Some(group), version));
    let group_fine = group.is_none_or(|group| group.len() <= 253 && is_edged(group, is_lower, |b| b"-.".contains(&b)));
    group_fine
        && version.len() <= 63
        && version.starts_with(|c: char| c.is_ascii_lowercase())
        && is_edged(version, is_lower, |b| b == b'-')
}

/// A kind.
pub(super) fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && is_edged(text, |b| b.is_ascii_alphanumeric(), |b| b == b'-')
}

/// An object's name as a path segment.
pub(super) fn is_object_name(text: &str) -> bool {
    (1..=253).contains(&text.len()) && !text.contains(['/', '%']) && !matches!(text, "." | "..")
}

/// A label's key: an optional DNS subdomain and a slash, then a short name.
pub(super) fn is_label_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name)
}

/// A label's value: a short name, or nothing.
pub(super) fn is_label_value(text: &str) -> bool {
    text.len() <= 63 && (text.is_empty() || is_edged(text, |b| b.is_ascii_alphanumeric(), |b| b"-_.".contains(&b)))
}

/// A header's name: RFC 9110's token.
pub(super) fn is_token(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A header's value that arrives as it is written.
pub(super) fn is_header_value(text: &str) -> bool {
    text.len() <= 4096 && text.bytes().all(|b| (0x20..=0x7e).contains(&b)) && text.trim_matches(' ').len() == text.len()
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Not empty, `edge` bytes at both ends, and `edge` or `inner` ones between.
fn is_edged(text: &str, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(first, last)| edge(*first) && edge(*last));
    ends && bytes.iter().all(|b| edge(*b) || inner(*b))
}
