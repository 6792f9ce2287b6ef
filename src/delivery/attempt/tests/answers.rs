//! What an answer means, whatever shape it has.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use changehook_core::outcome::Class;

use super::super::super::testing::{RawServer, endpoint, event, until};
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\n";

async fn outcome_of(answer: impl Into<Vec<u8>>) -> Outcome {
    let server = RawServer::answering(answer).await;
    let outcome = courier().attempt(&endpoint(&server.url()), &event()).await.outcome;
    assert_eq!(server.requests().len(), 1, "one attempt is one request");
    outcome
}

fn empty(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn every_2xx_is_success() {
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(outcome_of(empty(status)).await, Outcome::Delivered { status });
    }
}

#[tokio::test]
async fn statuses_have_the_class_of_the_table() {
    for (status, class, reason) in [
        (101, Class::Endpoint, Reason::ServerError),
        (300, Class::Event, Reason::Redirected),
        (304, Class::Event, Reason::Redirected),
        (400, Class::Event, Reason::ClientError),
        (401, Class::Event, Reason::ClientError),
        (410, Class::Event, Reason::ClientError),
        (413, Class::Event, Reason::ClientError),
        (429, Class::Event, Reason::ClientError),
        (500, Class::Endpoint, Reason::ServerError),
        (503, Class::Endpoint, Reason::ServerError),
        (600, Class::Endpoint, Reason::ServerError),
        (999, Class::Endpoint, Reason::ServerError),
    ] {
        let failure = failure(outcome_of(empty(status)).await);
        assert_eq!((failure.class, failure.reason, failure.http_status), (class, reason, Some(status)), "{status}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed_wherever_it_points() {
    let target = RawServer::status(200).await;
    for status in [301, 302, 303, 307, 308] {
        for location in [target.url(), "/other".into(), "file:///etc/passwd".into(), "http://169.254.169.254/".into()] {
            let answer = format!("HTTP/1.1 {status} X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            let failure = failure(outcome_of(answer).await);
            assert_eq!((failure.class, failure.reason), (Class::Event, Reason::Redirected), "{status} {location}");
            assert!(!failure.message.contains(&location));
        }
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn retry_after_counts_for_a_listed_status_and_only_when_it_is_one_value() {
    for (header, wanted) in [
        ("retry-after: 7\r\n", Some(Duration::from_secs(7))),
        ("retry-after: Mon, 05 Jan 2026 10:30:10 GMT\r\n", Some(Duration::from_millis(9_001))),
        ("retry-after: 7\r\nretry-after: 9\r\n", None),
        ("retry-after: soon\r\n", None),
        ("retry-after: \u{ff}\r\n", None),
        ("", None),
    ] {
        let server = RawServer::answering(format!("HTTP/1.1 429 X\r\n{header}content-length: 0\r\n\r\n")).await;
        let mut endpoint = endpoint(&server.url());
        endpoint.retry_status_codes = vec![429];
        let failure = failure(courier().attempt(&endpoint, &event()).await.outcome);
        assert_eq!((failure.class, failure.retry_after), (Class::Endpoint, wanted), "{header}");
    }
}

#[tokio::test]
async fn a_2xx_counts_though_its_body_is_cut_short_or_wrong_or_ends_with_the_connection() {
    for rest in ["content-length: 100\r\n\r\nshort", "transfer-encoding: chunked\r\n\r\nzz\r\n", "\r\nuntil close"] {
        let answer = format!("{OK}{rest}");
        let server = RawServer::start(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.request().await;
                let _gone = peer.send(answer).await;
            }
        })
        .await;
        let outcome = courier().attempt(&endpoint(&server.url()), &event()).await.outcome;
        assert_eq!(outcome, Outcome::Delivered { status: 200 }, "{rest}");
    }
}

#[tokio::test]
async fn an_endless_body_costs_little_memory_and_no_time() {
    let (sent, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let counted = (sent.clone(), over.clone());
    let server = RawServer::start(move |mut peer| {
        let (sent, over) = counted.clone();
        async move {
            peer.request().await;
            let _gone = peer.send(format!("{OK}content-length: 1000000000000\r\n\r\n")).await;
            let chunk = vec![b'x'; 65_536];
            while peer.send(&chunk).await.is_ok() {
                sent.fetch_add(65_536, Ordering::SeqCst);
            }
            over.store(true, Ordering::SeqCst);
        }
    })
    .await;
    let began = Instant::now();
    let outcome = courier().attempt(&endpoint(&server.url()), &event()).await.outcome;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    assert!(began.elapsed() < DRAINED_FOR, "{:?}", began.elapsed());
    until("the connection ends", || over.load(Ordering::SeqCst)).await;
    // What the kernel's buffers took is not ours to bound.
    assert!(sent.load(Ordering::SeqCst) < 16 << 20, "{sent:?} bytes were taken");
}

/// A server whose answer's body never gets to its end.
async fn dripping() -> RawServer {
    RawServer::start(|mut peer| async move {
        peer.request().await;
        let _gone = peer.send(format!("{OK}content-length: 10\r\n\r\nx")).await;
        peer.hang().await;
    })
    .await
}

#[tokio::test]
async fn a_body_that_drips_holds_an_attempt_for_a_second_and_changes_nothing() {
    let server = dripping().await;
    let began = Instant::now();
    let outcome = courier().attempt(&endpoint(&server.url()), &event()).await.outcome;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    assert!(began.elapsed() >= DRAINED_FOR && began.elapsed() < DRAINED_FOR * 3, "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_timeout_ends_a_dripping_body_too_and_the_status_still_counts() {
    let server = dripping().await;
    let mut endpoint = endpoint(&server.url());
    endpoint.timeout = Duration::from_millis(300);
    let began = Instant::now();
    assert_eq!(courier().attempt(&endpoint, &event()).await.outcome, Outcome::Delivered { status: 200 });
    assert!(began.elapsed() < DRAINED_FOR, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_compressed_body_is_neither_asked_for_nor_unpacked() {
    let server = RawServer::answering(format!("{OK}content-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope")).await;
    let courier = courier();
    for _ in 0..2 {
        let outcome = courier.attempt(&endpoint(&server.url()), &event()).await.outcome;
        assert_eq!(outcome, Outcome::Delivered { status: 200 });
    }
    assert_eq!(server.requests()[0].header("accept-encoding"), None);
    // A body that is no gzip was read to its end without anybody minding: the connection is still good.
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_answer_of_150_headers_is_an_answer() {
    let headers = (0..150).map(|n| format!("x-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
    assert_eq!(outcome_of(format!("{OK}{headers}content-length: 0\r\n\r\n")).await, Outcome::Delivered { status: 200 });
}

#[tokio::test]
async fn a_head_without_end_is_no_answer() {
    let server = RawServer::start(|mut peer| async move {
        peer.request().await;
        let _gone = peer.send(OK).await;
        while peer.send(format!("x: {}\r\n", "x".repeat(60_000))).await.is_ok() {}
    })
    .await;
    let failure = failure(courier().attempt(&endpoint(&server.url()), &event()).await.outcome);
    assert_eq!((failure.class, failure.reason), (Class::Endpoint, Reason::ConnectionLost));
}

#[tokio::test]
async fn an_early_refusal_is_seen_though_the_body_was_not_read() {
    let server = RawServer::start(|mut peer| async move {
        let _begun = tokio::io::AsyncReadExt::read_u8(&mut peer.stream).await;
        let _gone = peer.send("HTTP/1.1 413 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        peer.hang().await;
    })
    .await;
    let failure = failure(courier().attempt(&endpoint(&server.url()), &event()).await.outcome);
    assert_eq!(failure.http_status, Some(413));
}

#[tokio::test]
async fn an_interim_answer_is_not_the_answer() {
    let answer = format!("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n{}", empty(200));
    assert_eq!(outcome_of(answer).await, Outcome::Delivered { status: 200 });
}

#[tokio::test]
async fn no_byte_of_an_answer_gets_into_an_outcome() {
    let hush = "hush\u{1b}[31m";
    for answer in [
        format!("HTTP/1.1 500 {hush}\r\nx-{hush}: {hush}\r\ncontent-length: 9\r\n\r\n{hush}"),
        "HTTP/1.1 500 hush\r\nserver: hush\r\ncontent-length: 4\r\n\r\nhush".to_owned(),
        "HTTP/1.1 302 hush\r\nlocation: http://hush/\r\ncontent-length: 4\r\n\r\nhush".to_owned(),
        "HTTP/1.1 400 hush\r\nretry-after: hush\r\ncontent-length: 4\r\n\r\nhush".to_owned(),
        format!("SSH-2.0-hush {hush}\r\n"),
    ] {
        let outcome = format!("{:?}", outcome_of(answer).await);
        assert!(!outcome.contains("hush") && !outcome.contains('\u{1b}'), "{outcome}");
    }
}
