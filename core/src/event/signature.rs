//! The signature header's value. Touches nothing.

use super::hash;

/// The value of `X-Signature-256`: `sha256=` and HMAC-SHA256 of the exact body in lower-case hex, always 71 characters.
/// The key is used byte for byte: a trailing newline is part of it.
pub fn x_signature_256(key: &[u8], body: &[u8]) -> String {
    format!("sha256={}", hash::hex(&hash::keyed(key, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn github_s_published_example_verifies() {
        assert_eq!(
            x_signature_256(b"It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn a_trailing_newline_in_the_key_is_part_of_the_key() {
        assert_eq!(
            x_signature_256(b"s3cr3t", br#"{"a":1}"#),
            "sha256=d42927434049e0b8c73ce887062238cc1c6bb6644bfe66e66d8dd0f30b85679e"
        );
        assert_eq!(
            x_signature_256(b"s3cr3t\n", br#"{"a":1}"#),
            "sha256=9c8f761f219ece3e605754a0a7b685d3c5801437267eb5bc4065fca26a933197"
        );
    }

    #[test]
    fn the_value_is_71_characters_whatever_the_key_and_body() {
        for (key, body) in [(&b""[..], &b""[..]), (&[0xff; 10_000], b"x"), (b"k", &[0; 10_000])] {
            assert_eq!(x_signature_256(key, body).len(), 71);
        }
    }
}
