//! What an endpoint gets.

use changehook_core::outcome::Class;

use super::super::super::endpoint::{HeaderEntry, Method, SecretKey};
use super::super::super::testing::{RawServer, endpoint, event};
use super::*;

fn secret(name: &str, key: &str) -> SecretKey {
    SecretKey { name: name.into(), key: key.into() }
}

fn signing(name: &str, key: &str) -> SigningKeys {
    SigningKeys { present: secret(name, key), previous: None }
}

fn literal(name: &str, value: &'static str) -> HeaderEntry {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    HeaderEntry { name, value: HeaderSource::Literal(HeaderValue::from_static(value)) }
}

fn from_secret(name: &'static str, secret: SecretKey) -> HeaderEntry {
    HeaderEntry { name: HeaderName::from_static(name), value: HeaderSource::Secret(secret) }
}

/// A courier with Secrets, and a server to go to.
async fn scene() -> (SecretApi, RawServer, Courier) {
    let api = SecretApi::start().await;
    let courier = courier_with(loopback(), ScriptedLookup::default(), Some(&api));
    (api, RawServer::status(204).await, courier)
}

#[tokio::test]
async fn the_body_is_sent_as_it_was_signed_with_the_contracts_headers() {
    let (api, server, courier) = scene().await;
    api.put("signing", &[("secret", b"s3cr3t\n")]);
    let mut endpoint = endpoint(&server.url());
    endpoint.signing = Some(signing("signing", "secret"));
    assert_eq!(courier.attempt(&endpoint, &event()).await.outcome, Outcome::Delivered { status: 204 });
    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    let options = RenderOptions { max_bytes: endpoint.max_bytes, object: Object::Full };
    let rendered = event::render(&event(), &options).unwrap();
    assert_eq!(request.body, rendered.body);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("user-agent"), Some(concat!("changehook/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.header("webhook-id"), Some(&rendered.event_id[..]));
    assert_eq!(request.header("webhook-timestamp"), Some("1767609000"));
    assert_eq!(request.header("content-length"), Some(&rendered.body.len().to_string()[..]));
    assert_eq!(request.header("transfer-encoding"), None);
    let signature = request.header("x-signature-256").unwrap();
    assert_eq!(signature, event::x_signature_256(b"s3cr3t\n", &request.body));
    assert_eq!(signature.len(), 71);
}

#[tokio::test]
async fn while_there_is_a_previous_key_a_second_header_has_the_signature_made_with_it() {
    let (api, server, courier) = scene().await;
    api.put("signing", &[("secret", b"new")]);
    let mut endpoint = endpoint(&server.url());
    let previous = Some(secret("before", "secret"));
    endpoint.signing = Some(SigningKeys { present: secret("signing", "secret"), previous });
    // a receiver that still has the old key would refuse it
    assert!(unsent(courier.attempt(&endpoint, &event()).await.outcome).contains("Secret shop/before not found"));
    assert_eq!(server.connections(), 0);
    api.put("before", &[("secret", b"old")]);
    // that it is missing is believed for a moment
    let began = Instant::now();
    while server.requests().is_empty() && began.elapsed() < Duration::from_secs(5) {
        courier.attempt(&endpoint, &event()).await;
    }
    let request = &server.requests()[0];
    for (name, key) in [("x-signature-256", b"new"), ("x-signature-256-previous", b"old")] {
        assert_eq!(request.header(name), Some(&event::x_signature_256(key, &request.body)[..]), "{name}");
    }
}

#[tokio::test]
async fn nothing_is_sent_by_a_replica_that_lost_its_lease_while_it_read_a_secret() {
    let (api, server, _) = scene().await;
    api.put("signing", &[("secret", b"s3cr3t")]);
    let policy = loopback();
    let http = Clients::new(http_client(policy.clone(), ScriptedLookup::default()), everybodys(&policy));
    // it leads until the Secret has been read
    let read = api.clone();
    let leads = Arc::new(move || read.reads() == 0);
    let (secrets, services) = (Secrets::new(api.client()), (Services::new(api.client()), Configs::new(api.client())));
    let courier = Courier::new(http, secrets, services, everybodys(&policy), wall_ms, leads.clone());
    let mut endpoint = endpoint(&server.url());
    endpoint.signing = Some(signing("signing", "secret"));
    assert!(leads());
    assert!(unsent(courier.attempt(&endpoint, &event()).await.outcome).contains("does not hold the Lease"));
    assert_eq!((api.reads(), server.connections()), (1, 0));
}

#[tokio::test]
async fn without_a_signing_key_there_is_no_signature() {
    let (_api, server, courier) = scene().await;
    assert_eq!(courier.attempt(&endpoint(&server.url()), &event()).await.outcome, Outcome::Delivered { status: 204 });
    assert_eq!(server.requests()[0].header("x-signature-256"), None);
}

#[tokio::test]
async fn put_and_patch_are_sent_as_such() {
    let (_api, server, courier) = scene().await;
    for (method, line) in [(Method::Put, "PUT /hook HTTP/1.1"), (Method::Patch, "PATCH /hook HTTP/1.1")] {
        let mut endpoint = endpoint(&server.url());
        endpoint.method = method;
        courier.attempt(&endpoint, &event()).await;
        assert_eq!(server.requests().last().unwrap().line, line);
    }
}

#[tokio::test]
async fn custom_headers_are_sent_from_the_subscription_and_from_secrets() {
    let (api, server, courier) = scene().await;
    api.put("partner", &[("token", "Bearer t\u{f6}ken".as_bytes())]);
    let mut endpoint = endpoint(&server.url());
    endpoint.headers =
        vec![literal("X-Custom-Header", "value"), from_secret("authorization", secret("partner", "token"))];
    assert_eq!(courier.attempt(&endpoint, &event()).await.outcome, Outcome::Delivered { status: 204 });
    let request = &server.requests()[0];
    assert_eq!(request.header("x-custom-header"), Some("value"));
    assert_eq!(request.header("authorization"), Some("Bearer t\u{f6}ken"));
}

#[tokio::test]
async fn our_headers_win_and_the_frame_stays_ours() {
    let (_api, server, courier) = scene().await;
    let mut endpoint = endpoint(&server.url());
    endpoint.headers = vec![
        literal("content-type", "text/plain"),
        literal("user-agent", "other"),
        literal("webhook-id", "other"),
        literal("webhook-timestamp", "0"),
        literal("x-signature-256", "sha256=00"),
        literal("content-length", "1"),
        literal("transfer-encoding", "chunked"),
        literal("host", "other.example"),
        literal("connection", "close"),
        literal("expect", "100-continue"),
    ];
    assert_eq!(courier.attempt(&endpoint, &event()).await.outcome, Outcome::Delivered { status: 204 });
    let request = &server.requests()[0];
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_ne!(request.header("user-agent"), Some("other"));
    assert_ne!(request.header("webhook-id"), Some("other"));
    assert_eq!(request.header("webhook-timestamp"), Some("1767609000"));
    assert_eq!(request.header("x-signature-256"), None);
    assert_eq!(request.header("content-length"), Some(&request.body.len().to_string()[..]));
    assert_eq!(request.header("host"), Some(&server.address.to_string()[..]));
    for name in ["transfer-encoding", "connection", "expect"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_sent_unsigned_while_the_secret_the_key_or_the_value_is_missing() {
    let (api, server, courier) = scene().await;
    api.put("partial", &[("empty", b"")]);
    api.answer("denied", 403, r#"{"kind":"Status","code":403}"#);
    api.answer("down", 500, "oops");
    for (name, key, wanted) in [
        ("missing", "secret", "Secret shop/missing not found"),
        ("partial", "secret", "has no key \"secret\""),
        ("partial", "empty", "empty value for key \"empty\""),
        ("denied", "secret", "not allowed to read Secret shop/denied"),
        ("down", "secret", "failed to read Secret shop/down"),
    ] {
        let mut endpoint = endpoint(&server.url());
        endpoint.signing = Some(signing(name, key));
        let message = unsent(courier.attempt(&endpoint, &event()).await.outcome);
        assert!(message.contains(wanted), "{message}");
        endpoint.signing = None;
        endpoint.headers = vec![from_secret("authorization", secret(name, key))];
        let message = unsent(courier.attempt(&endpoint, &event()).await.outcome);
        assert!(message.contains(wanted), "{message}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_secret_that_cannot_be_a_header_says_why_and_nothing_is_sent() {
    let (api, server, courier) = scene().await;
    let odd: [(&str, &[u8]); 4] =
        [("newline", b"token\n"), ("binary", &[0xff, 0xfe]), ("split", b"a\r\nx-evil: 1"), ("nul", b"a\0b")];
    api.put("odd", &odd);
    for (key, wanted) in [
        ("newline", "it ends with a line break; create the Secret without one"),
        ("binary", "it is not UTF-8 text"),
        ("split", "it contains a line break or another control character"),
        ("nul", "it contains a line break or another control character"),
    ] {
        let mut endpoint = endpoint(&server.url());
        endpoint.headers = vec![from_secret("authorization", secret("odd", key))];
        let message = unsent(courier.attempt(&endpoint, &event()).await.outcome);
        assert!(message.contains(wanted) && message.contains("shop/odd"), "{message}");
        assert!(!message.contains("token") && !message.contains("evil"), "{message}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_binary_signing_key_signs() {
    let (api, server, courier) = scene().await;
    api.put("signing", &[("secret", &[0xff, 0, 0xfe])]);
    let mut endpoint = endpoint(&server.url());
    endpoint.signing = Some(signing("signing", "secret"));
    courier.attempt(&endpoint, &event()).await;
    let request = &server.requests()[0];
    assert_eq!(request.header("x-signature-256"), Some(&event::x_signature_256(&[0xff, 0, 0xfe], &request.body)[..]));
}

#[tokio::test]
async fn a_401_or_403_has_the_key_read_anew_before_its_lifetime_ends() {
    for (status, again) in [(401, true), (403, true), (404, false)] {
        let api = SecretApi::start().await;
        let server = RawServer::status(status).await;
        let courier = courier_with(loopback(), ScriptedLookup::default(), Some(&api));
        // With so many Secrets in use, each lives for 5 s.
        for number in 0..250 {
            api.put(&format!("s{number}"), &[("secret", b"old")]);
            courier.secrets.get("shop", &secret(&format!("s{number}"), "secret")).await.unwrap();
        }
        let mut endpoint = endpoint(&server.url());
        endpoint.headers = vec![from_secret("authorization", secret("s249", "secret"))];
        api.put("s249", &[("secret", b"new")]);
        let began = Instant::now();
        let mut seen_new = false;
        while !seen_new && began.elapsed() < Duration::from_secs(1) {
            courier.attempt(&endpoint, &event()).await;
            seen_new = server.requests().last().unwrap().header("authorization") == Some("new");
        }
        assert_eq!(seen_new, again, "{status}");
    }
}

#[tokio::test]
async fn two_attempts_share_a_connection() {
    let (_api, server, courier) = scene().await;
    for _ in 0..2 {
        assert_eq!(
            courier.attempt(&endpoint(&server.url()), &event()).await.outcome,
            Outcome::Delivered { status: 204 }
        );
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 2));
}

#[tokio::test]
async fn an_event_too_large_even_without_its_object_is_the_events_fault_and_not_sent() {
    let (_api, server, courier) = scene().await;
    let mut endpoint = endpoint(&server.url());
    endpoint.max_bytes = 10;
    let failure = failure(courier.attempt(&endpoint, &event()).await.outcome);
    assert_eq!((failure.class, failure.reason), (Class::Event, Reason::Oversize));
    assert_eq!(server.connections(), 0);
}
