//! Secrets read from a scripted API server on a real socket.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;

use super::super::testing::{RawServer, SecretApi, child, kube_client, run_child};
use super::*;

/// Secrets on a clock that a test moves.
struct Bench {
    api: SecretApi,
    secrets: Secrets,
    ms: Arc<AtomicU64>,
}

impl Bench {
    async fn new() -> Self {
        Self::with_timeout(READ_TIMEOUT).await
    }

    async fn with_timeout(timeout: Duration) -> Self {
        let api = SecretApi::start().await;
        let (start, ms) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let clock = ms.clone();
        let now = move || start + Duration::from_millis(clock.load(Ordering::SeqCst));
        Self { secrets: Secrets::with(api.client(), timeout, now), api, ms }
    }

    fn advance(&self, ms: u64) {
        self.ms.fetch_add(ms, Ordering::SeqCst);
    }

    async fn get(&self, name: &str, key: &str) -> Result<Vec<u8>, SecretError> {
        let key = SecretKey { name: name.into(), key: key.into() };
        self.secrets.get("shop", &key).await.map(|bytes| bytes.as_bytes().to_vec())
    }

    async fn message(&self, name: &str, key: &str) -> String {
        self.get(name, key).await.unwrap_err().to_string()
    }
}

#[tokio::test]
async fn a_value_is_read_by_get_of_the_one_secret_and_kept_verbatim() {
    let bench = Bench::new().await;
    bench.api.put("signing", &[("secret", b"s3cr3t\n"), ("binary", &[0, 0xff, 0xfe])]);
    assert_eq!(bench.get("signing", "secret").await.unwrap(), b"s3cr3t\n");
    assert_eq!(bench.get("signing", "binary").await.unwrap(), [0, 0xff, 0xfe]);
    let lines: Vec<_> = bench.api.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET /api/v1/namespaces/shop/secrets/signing HTTP/1.1"]);
}

#[tokio::test]
async fn concurrent_readers_share_one_get() {
    let bench = Bench::new().await;
    bench.api.put("signing", &[("secret", b"a"), ("other", b"b")]);
    let reads = (0..200).map(|number| bench.get("signing", if number % 2 == 0 { "secret" } else { "other" }));
    assert!(join_all(reads).await.into_iter().all(|read| read.is_ok()));
    assert_eq!(bench.api.reads(), 1);
}

#[tokio::test]
async fn a_reader_that_gives_up_leaves_the_get_to_the_others() {
    let bench = Bench::new().await;
    bench.api.put("signing", &[("secret", b"a")]);
    {
        let first = bench.get("signing", "secret");
        tokio::pin!(first);
        assert!(futures::poll!(first.as_mut()).is_pending());
    }
    assert_eq!(bench.get("signing", "secret").await.unwrap(), b"a");
    assert_eq!(bench.api.reads(), 1);
}

#[tokio::test]
async fn a_rotated_secret_is_seen_at_the_first_read_after_its_lifetime() {
    let bench = Bench::new().await;
    bench.api.put("signing", &[("secret", b"old")]);
    assert_eq!(bench.get("signing", "secret").await.unwrap(), b"old");
    bench.api.put("signing", &[("secret", b"new")]);
    bench.advance(99);
    assert_eq!(bench.get("signing", "secret").await.unwrap(), b"old");
    bench.advance(1);
    assert_eq!(bench.get("signing", "secret").await.unwrap(), b"new");
    assert_eq!(bench.api.reads(), 2);
}

#[tokio::test]
async fn an_invalidated_secret_is_read_again_before_its_lifetime_ends() {
    let bench = Bench::new().await;
    // 100 Secrets in use live for 2 s each.
    for number in 0..100 {
        bench.api.put(&format!("s{number}"), &[("secret", b"old")]);
        bench.get(&format!("s{number}"), "secret").await.unwrap();
    }
    bench.api.put("s7", &[("secret", b"new")]);
    bench.advance(200);
    assert_eq!(bench.get("s7", "secret").await.unwrap(), b"old");
    bench.secrets.invalidate("shop", "s7");
    assert_eq!(bench.get("s7", "secret").await.unwrap(), b"new");
}

#[tokio::test]
async fn a_missing_secret_names_itself_and_is_found_once_it_exists() {
    let bench = Bench::new().await;
    assert_eq!(
        bench.message("signing", "secret").await,
        "Secret shop/signing not found; create it and delivery starts by itself"
    );
    bench.api.put("signing", &[("secret", b"a")]);
    bench.advance(100);
    assert_eq!(bench.get("signing", "secret").await.unwrap(), b"a");
}

#[tokio::test]
async fn missing_keys_and_empty_values_are_named() {
    let bench = Bench::new().await;
    bench.api.put("signing", &[("empty", b"")]);
    assert_eq!(
        bench.message("signing", "secret").await,
        "Secret shop/signing has no key \"secret\"; add it and delivery starts by itself"
    );
    assert_eq!(
        bench.message("signing", "empty").await,
        "Secret shop/signing has an empty value for key \"empty\"; give it one and delivery starts by itself"
    );
    assert_eq!(bench.api.reads(), 1);
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_from_what_it_cannot_do_now() {
    let bench = Bench::new().await;
    let status = |code: u16| format!(r#"{{"kind":"Status","status":"Failure","code":{code},"message":"hush"}}"#);
    bench.api.answer("denied", 403, &status(403));
    bench.api.answer("plain", 404, "404 page not found");
    bench.api.answer("busy", 429, &status(429));
    bench.api.answer("down", 503, "<html>hush</html>");
    bench.api.answer("expired", 401, &status(401));
    assert!(matches!(bench.get("denied", "k").await, Err(SecretError::Forbidden { .. })));
    assert!(matches!(bench.get("plain", "k").await, Err(SecretError::SecretNotFound { .. })));
    for name in ["busy", "down", "expired"] {
        let error = bench.get(name, "k").await.unwrap_err();
        assert!(matches!(error, SecretError::Unavailable { .. }), "{name}: {error}");
        assert!(!error.to_string().contains("hush"));
    }
    let denied = bench.message("denied", "k").await;
    assert!(
        denied.contains("grant changehook's service account the verb get on secrets in namespace shop"),
        "{denied}"
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_shows_nothing_of_itself() {
    let bench = Bench::new().await;
    for (name, body) in [
        ("cut", r#"{"data":{"secret":"aHVzaA=="#),
        ("wrong", r#"{"data":"aHVzaA=="}"#),
        ("bad", r#"{"data":{"secret":"aHVzaA*"}}"#),
        ("object", r#"{"data":{"secret":{"aHVzaA":1}}}"#),
    ] {
        bench.api.answer(name, 200, body);
        let error = bench.get(name, "secret").await.unwrap_err();
        assert!(matches!(error, SecretError::Unavailable { .. }), "{name}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("aHVza") && !shown.contains("hush"), "{shown}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_for_ever() {
    let server = RawServer::start(|mut peer| async move {
        peer.request().await;
        let mut chunk = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n{\"data\":{\"k\":\"".to_owned();
        while peer.send(&chunk).await.is_ok() {
            chunk = "A".repeat(65_536);
        }
    })
    .await;
    let key = SecretKey { name: "huge".into(), key: "k".into() };
    let error = Secrets::new(kube_client(server.address)).get("shop", &key).await.unwrap_err().to_string();
    assert!(error.contains("the API server's answer is too large"), "{error}");
}

#[tokio::test]
async fn a_large_secret_arrives_whole() {
    let bench = Bench::new().await;
    let over = vec![7; 65_537];
    let value: Vec<u8> = (0..65_536_u32).map(|n| n as u8).collect();
    bench.api.put("large", &[("a", &value), ("b", &value), ("z", b"end"), ("over", &over)]);
    assert_eq!(bench.get("large", "a").await.unwrap(), value);
    assert_eq!(bench.get("large", "z").await.unwrap(), b"end");
    assert!(matches!(bench.get("large", "over").await, Err(SecretError::TooLarge { .. })));
}

#[tokio::test]
async fn a_name_that_no_object_can_have_never_reaches_the_api_server() {
    let bench = Bench::new().await;
    for name in ["", ".", "..", "../../x/secrets/y", "a/b", "a?b", "A", "a%2fb", "-a", "a-", &"a".repeat(254)] {
        assert!(matches!(bench.get(name, "k").await, Err(SecretError::SecretNotFound { .. })), "{name}");
    }
    let key = SecretKey { name: "signing".into(), key: "k".into() };
    assert!(bench.secrets.get("shop/secrets/x", &key).await.is_err());
    assert_eq!(bench.api.reads(), 0);
}

#[tokio::test]
async fn an_api_server_that_is_not_there_is_unavailable() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let secrets = Secrets::new(kube_client(address));
    let key = SecretKey { name: "signing".into(), key: "k".into() };
    let error = secrets.get("shop", &key).await.unwrap_err();
    assert!(matches!(error, SecretError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_holds_nobody_for_longer_than_the_timeout() {
    let bench = Bench::with_timeout(Duration::from_millis(300)).await;
    bench.api.hang("signing");
    bench.api.put("fine", &[("secret", b"a")]);
    let began = Instant::now();
    let (hanging, fine) = futures::join!(bench.get("signing", "secret"), bench.get("fine", "secret"));
    assert_eq!(fine.unwrap(), b"a");
    let error = hanging.unwrap_err().to_string();
    assert!(error.contains("did not answer in time"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3));
}

/// What was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_byte_of_a_secret_is_logged_at_any_level() {
    if child().is_none() {
        // Other tests of this process would decide which log lines exist.
        let name = concat!(module_path!(), "::no_byte_of_a_secret_is_logged_at_any_level");
        return run_child(name, "1", Vec::new()).await;
    }
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // This thread runs the client's tasks as well.
    let _guard = tracing::subscriber::set_default(subscriber);
    let bench = Bench::new().await;
    bench.api.put("signing", &[("secret", b"hush-hush")]);
    bench.get("signing", "secret").await.unwrap();
    bench.api.answer("wrong", 200, r#"{"kind":"Secret","data":"aHVzaC1odXNo"}"#);
    bench.get("wrong", "secret").await.unwrap_err();
    bench.api.answer("cut", 200, r#"{"kind":"Secret","data":{"secret":"aHVzaC1odXNo"#);
    bench.get("cut", "secret").await.unwrap_err();
    let logged = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(!logged.is_empty());
    assert!(!logged.contains("aHVzaC1odXNo") && !logged.contains("hush-hush"), "{logged}");
}

#[test]
fn a_header_from_a_secret_shows_nothing_in_debug() {
    let value = header_value(&SecretBytes::from(b"hush".to_vec())).unwrap();
    assert_eq!(format!("{value:?}"), "Sensitive");
}
