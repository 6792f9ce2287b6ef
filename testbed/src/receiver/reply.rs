//! How a receiver answers one request: properly, late, wrongly or not at all.

use std::time::Duration;

/// One answer. A fault ends the connection as its description says; everything else keeps it alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// This status, the mark in a header and, from 400 on, as the body.
    Status(u16),
    /// This status with headers (as given, unchecked), no body.
    StatusWithHeaders(u16, Vec<(String, String)>),
    /// This status with a body.
    Body(u16, Vec<u8>),
    /// The answer within, after this long. Given up when the client goes away.
    Delay(Duration, Box<Reply>),
    /// Takes the request and never answers; ends when the client goes away.
    Hang,
    /// The answer within, as if the connection were kept, and then closes it.
    ThenClose(Box<Reply>),
    /// Answers with this status as soon as it has the head, reads no body, closes. Nothing that follows is read.
    BeforeBody(u16),
    /// A redirect with this status and `Location`.
    Redirect(u16, String),
    /// Closes in order (FIN) without a byte.
    CloseWithoutByte,
    /// Resets the connection (RST) without a byte.
    Reset,
    /// Half a status line and header, then RST.
    ResetMidHead,
    /// 200, a part of the promised body, then RST.
    ResetMidBody,
    /// 200, a part of the promised body, then FIN.
    TruncatedBody,
    /// 200 with a chunk size that is no number, then FIN.
    BrokenChunk,
    /// These bytes instead of HTTP (an SSH banner, TLS records, a status line with control characters), then FIN.
    Garbage(Vec<u8>),
    /// 200 and a body that does not end until the client goes away.
    EndlessBody,
    /// A status line and headers that do not end until the client goes away.
    EndlessHead,
    /// 200 with this many headers.
    ManyHeaders(usize),
    /// A proper 200, one byte of its head every so often.
    DripHead(Duration),
    /// 200, one byte of a body of 64 KiB every so often.
    DripBody(Duration),
    /// This many `103 Early Hints`, then 200.
    InformationalFlood(usize),
}

impl Reply {
    /// 302 to this location.
    pub fn redirect(location: impl Into<String>) -> Self {
        Self::Redirect(302, location.into())
    }

    /// An SSH server's banner.
    pub fn ssh_banner() -> Self {
        Self::Garbage(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec())
    }

    /// This answer, late.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::Delay(delay, Box::new(self))
    }
}
