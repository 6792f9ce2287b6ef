//! What a receiver records of one request, and what can be computed from many.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use crate::{
    error::{Context, Error, Result},
    hex,
};

/// One request as it came in. Recorded when its body is complete (or known to be cut short).
#[derive(Clone, Debug)]
pub struct Request {
    /// Counts up over all paths of the receiver.
    pub index: usize,
    /// Which connection it came on, counting up.
    pub connection: usize,
    /// When the last byte of its head came in.
    pub arrived: Instant,
    /// The same on the wall clock.
    pub arrived_at: SystemTime,
    /// When its outcome was given (just before the byte that gives it), or the client went away. `None` while open.
    pub finished: Option<Instant>,
    /// The status of a proper answer; `None` if there was none, or not yet.
    pub status: Option<u16>,
    /// Such as `POST`.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// In the order sent, names and values untouched.
    pub headers: Vec<(String, Bytes)>,
    /// The bytes of the body, chunks put together.
    pub body: Bytes,
    /// Whether the body came in whole.
    pub complete: bool,
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// All values of a header; its name may be written either way.
    pub fn header_values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Bytes> + use<'a> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().filter(move |(sent, _)| sent.eq_ignore_ascii_case(&name)).map(|(_, value)| value)
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The body as JSON, its signature unchecked.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).context(format!("failed to read the body of {} as JSON", self.target))
    }

    /// One line for error messages.
    pub(super) fn summary(&self) -> String {
        let state = if self.finished.is_some() { "finished" } else { "open" };
        format!("#{} {} {} ({} bytes, {state})", self.index, self.method, self.target, self.body.len())
    }
}

/// How many requests of each key were open at the same time, at most. Requests without a key are left out; one that is
/// still open counts as open to the end.
pub fn max_in_flight<K: Eq + Hash>(requests: &[Request], key: impl Fn(&Request) -> Option<K>) -> HashMap<K, usize> {
    let mut spans: HashMap<K, Vec<(Instant, i8)>> = HashMap::new();
    for request in requests {
        if let Some(key) = key(request) {
            let steps = spans.entry(key).or_default();
            steps.push((request.arrived, 1));
            steps.extend(request.finished.map(|finished| (finished, -1)));
        }
    }
    let highest = |mut steps: Vec<(Instant, i8)>| {
        // at the same instant an end comes before a beginning
        steps.sort_unstable();
        let open = steps.iter().scan(0_usize, |open, (_, step)| {
            *open = open.saturating_add_signed(isize::from(*step));
            Some(*open)
        });
        open.max().unwrap_or(0)
    };
    spans.into_iter().map(|(key, steps)| (key, highest(steps))).collect()
}

/// Checks `X-Signature-256` over the raw body, as the contract's samples do, and gives the body. The HMAC is this
/// crate's own (RFC 2104 over SHA-256), so that it cannot share a mistake with the code that signs.
pub fn verify(request: &Request, key: &[u8]) -> Result<serde_json::Value> {
    verify_header(request, "X-Signature-256", key)
}

/// The same for a signature in another header.
pub fn verify_header(request: &Request, header: &str, key: &[u8]) -> Result<serde_json::Value> {
    let mut values = request.header_values(header);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Error::new(format!("failed to verify: {header} is not there exactly once")));
    };
    let expected = sign(&request.body, key);
    // compared as bytes: upper-case digits or surrounding space are a mistake of the sender
    if value.as_ref() != expected.as_bytes() {
        return Err(Error::new(format!("failed to verify: {header} does not match the body")));
    }
    request.json()
}

/// The value that the header has to have for these bytes.
pub(crate) fn sign(body: &[u8], key: &[u8]) -> String {
    format!("sha256={}", hex(&hmac_sha256(key, body)))
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};

    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(headers: &[(&str, &str)], body: &str) -> Request {
        Request {
            index: 0,
            connection: 0,
            arrived: Instant::now(),
            arrived_at: SystemTime::now(),
            finished: None,
            status: None,
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_string().into())).collect(),
            body: body.to_owned().into(),
            complete: true,
        }
    }

    #[test]
    fn the_published_vector_verifies_and_every_other_spelling_is_refused() {
        let digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let key = b"It's a Secret to Everybody";
        assert_eq!(hex(&hmac_sha256(key, b"Hello, World!")), digest);
        // RFC 4231, case 6: a key longer than a block
        let long = hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");

        let good = format!("sha256={}", hex(&hmac_sha256(b"key", b"{}")));
        verify(&request(&[("x-signature-256", &good)], "{}"), b"key").unwrap();
        verify(&request(&[("x-signature-256", &good)], "{}"), b"other").unwrap_err();
        verify(&request(&[("x-signature-256", &good)], "{ }"), b"key").unwrap_err();
        verify(&request(&[("x-signature-256", &good.to_uppercase())], "{}"), b"key").unwrap_err();
        verify(&request(&[("x-signature-256", &good), ("X-Signature-256", &good)], "{}"), b"key").unwrap_err();
        verify(&request(&[], "{}"), b"key").unwrap_err();
    }

    #[test]
    fn requests_in_flight_are_counted_per_key_and_one_after_the_other_is_one() {
        let start = Instant::now();
        let span = |key: &str, from: u64, to: Option<u64>| {
            let mut request = request(&[], key);
            request.arrived = start + Duration::from_millis(from);
            request.finished = to.map(|to| start + Duration::from_millis(to));
            request
        };
        let requests = [span("a", 0, Some(5)), span("a", 5, Some(9)), span("b", 0, None), span("b", 8, Some(9))];
        let counted = max_in_flight(&requests, |request| Some(request.body.clone()));
        assert_eq!(counted, HashMap::from([("a".into(), 1), ("b".into(), 2)]));
    }
}
