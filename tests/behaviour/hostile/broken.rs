//! Endpoints that speak something else than HTTP, or stop in the middle of it.

use testbed::Reply;

use super::{Case, DELIVERED, MARK, tell_all, told_as_expected};
use crate::world::World;

pub fn cases() -> Vec<Case> {
    let garbage = |text: String| Reply::Garbage(text.into_bytes());
    let controls = format!("HTTP/1.1 500 {MARK}\u{1b}[31m{MARK}\r\nx-note: {MARK}\0\r\n\r\n{MARK}");
    let not_text = [b"HTTP/1.1 500 ".as_slice(), MARK.as_bytes(), b"\xff\xfe\r\ncontent-length: 0\r\n\r\n"].concat();
    vec![
        ("closes", Reply::CloseWithoutByte, "ConnectionLost"),
        ("resets", Reply::Reset, "ConnectionLost"),
        ("resets-in-its-head", Reply::ResetMidHead, "ConnectionLost"),
        ("resets-in-its-body", Reply::ResetMidBody, DELIVERED),
        ("stops-in-its-body", Reply::TruncatedBody, DELIVERED),
        ("cannot-count", Reply::BrokenChunk, DELIVERED),
        ("speaks-ssh", garbage(format!("SSH-2.0-{MARK}\r\n")), "ConnectionLost"),
        ("speaks-tls", Reply::Garbage(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()), "ConnectionLost"),
        ("speaks-in-controls", garbage(controls), "ConnectionLost"),
        ("speaks-no-text", Reply::Garbage(not_text), "ServerError"),
        (
            "has-two-lengths",
            garbage("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx".to_owned()),
            "ConnectionLost",
        ),
        ("has-a-status-of-its-own", garbage("HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n".to_owned()), "ServerError"),
        (
            "switches-protocols",
            garbage("HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n".to_owned()),
            "ServerError",
        ),
        (
            "answers-twice",
            garbage("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 500 X\r\n\r\n".to_owned()),
            DELIVERED,
        ),
    ]
}

#[tokio::test]
async fn an_endpoint_that_breaks_http_fails_as_what_it_is_and_is_not_shown() {
    let world = World::shared().await;
    tell_all(&world, &cases()).await;
    told_as_expected(&world, &cases()).await;
}
