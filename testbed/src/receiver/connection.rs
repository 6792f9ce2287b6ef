//! One connection of a receiver: reads requests, writes answers, keeps alive. Errors end the connection; what came in
//! before is recorded.

use std::{
    io::{Error, ErrorKind, Result},
    ops::ControlFlow,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Reply, Request, Shared};
use crate::{marks::MARK, planted};

/// Between the last byte and a reset, so that the byte is seen before the reset takes it back.
const BEFORE_RESET: Duration = Duration::from_millis(20);

/// A chunk whose size is no number.
const BROKEN: &str = concat!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", planted!("\r\nhalf"));
/// A part of what it promises.
const HALF: &str = concat!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", planted!("-half"));

struct Connection<'a> {
    stream: TcpStream,
    unread: BytesMut,
    shared: &'a Shared,
}

/// Marks a request finished when its answer is given up for any reason.
struct Open<'a>(&'a Shared, usize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.finish(self.1);
    }
}

pub(super) async fn serve(stream: TcpStream, number: usize, shared: &Shared) {
    // small answers go out at once
    let _ = stream.set_nodelay(true);
    let mut connection = Connection { stream, unread: BytesMut::new(), shared };
    while let Ok(ControlFlow::Continue(())) = connection.exchange(number).await {}
}

impl Connection<'_> {
    async fn exchange(&mut self, number: usize) -> Result<ControlFlow<()>> {
        let Some(mut request) = self.head(number).await? else { return Ok(ControlFlow::Break(())) };
        if self.shared.early(&request.target).is_none() {
            request.complete = self.body(&mut request).await.is_ok();
        } else {
            request.complete = false;
        }
        let complete = request.complete;
        let (index, reply) = self.shared.record(request);
        let open = Open(self.shared, index);
        if !complete && !matches!(reply, Reply::BeforeBody(_)) {
            return Ok(ControlFlow::Break(()));
        }
        Box::pin(self.answer(reply, &open)).await
    }

    /// Reads up to the empty line; `None` if the client closed between requests.
    async fn head(&mut self, connection: usize) -> Result<Option<Request>> {
        let length = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(None);
            }
        };
        let (arrived, arrived_at) = (Instant::now(), SystemTime::now());
        let head = self.unread.split_to(length).freeze();
        let mut lines =
            head[..length - 4].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let headers = lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = head.slice_ref(line[colon + 1..].trim_ascii());
            Some((String::from_utf8_lossy(&line[..colon]).into_owned(), value))
        });
        let headers = headers.collect();
        let (finished, status, body) = (None, None, Bytes::new());
        Ok(Some(Request {
            index: 0,
            connection,
            arrived,
            arrived_at,
            finished,
            status,
            method,
            target,
            headers,
            body,
            complete: true,
        }))
    }

    async fn body(&mut self, request: &mut Request) -> Result<()> {
        if request.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            let mut body = BytesMut::new();
            loop {
                let size = self.line().await?;
                let size = std::str::from_utf8(&size).ok().and_then(|text| text.split(';').next());
                let size = size.and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
                let size = size.ok_or_else(|| Error::from(ErrorKind::InvalidData))?;
                body.extend_from_slice(&self.take(size).await?);
                self.line().await?;
                if size == 0 {
                    request.body = body.freeze();
                    return Ok(());
                }
            }
        }
        let length = request.header("content-length").map_or(Ok(0), str::parse);
        let length = length.map_err(|_| Error::from(ErrorKind::InvalidData))?;
        let taken = self.take(length).await;
        if taken.is_err() {
            // what came of it belongs to the record
            request.body = self.unread.split().freeze();
        }
        request.body = taken?;
        Ok(())
    }

    async fn line(&mut self) -> Result<Bytes> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line = self.unread.split_to(end).freeze();
                self.unread.advance(2);
                return Ok(line);
            }
            self.read_more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Bytes> {
        while self.unread.len() < length {
            self.read_more().await?;
        }
        Ok(self.unread.split_to(length).freeze())
    }

    async fn read_more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Returns when the client closes or resets; what it sends until then is kept for the next request.
    async fn client_gone(&mut self) {
        while self.read_more().await.is_ok() {}
    }

    async fn answer(&mut self, reply: Reply, open: &Open<'_>) -> Result<ControlFlow<()>> {
        match reply {
            Reply::Status(status) => {
                let note = [("x-note".to_owned(), MARK.to_owned())];
                let body = if status >= 400 { MARK } else { "" };
                self.whole(open, status, &note, body.as_bytes()).await?;
            }
            Reply::StatusWithHeaders(status, headers) => self.whole(open, status, &headers, b"").await?,
            Reply::Body(status, body) => self.whole(open, status, &[], &body).await?,
            Reply::Redirect(status, location) => {
                self.whole(open, status, &[("location".to_owned(), location)], b"").await?;
            }
            Reply::ManyHeaders(count) => {
                let headers: Vec<_> = (0..count).map(|number| (format!("x-{number}"), "y".to_owned())).collect();
                self.whole(open, 200, &headers, b"").await?;
            }
            Reply::InformationalFlood(count) => {
                let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
                for _ in 0..count {
                    self.stream.write_all(hint).await?;
                }
                self.whole(open, 200, &[], b"").await?;
            }
            Reply::Delay(delay, reply) => {
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = self.client_gone() => return Ok(ControlFlow::Break(())),
                }
                return Box::pin(self.answer(*reply, open)).await;
            }
            Reply::ThenClose(reply) => {
                let _ = Box::pin(self.answer(*reply, open)).await?;
                return Ok(ControlFlow::Break(()));
            }
            fault => {
                self.misbehave(fault, open).await?;
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Answers after which the connection ends.
    async fn misbehave(&mut self, reply: Reply, open: &Open<'_>) -> Result<()> {
        match reply {
            Reply::Hang => self.client_gone().await,
            Reply::CloseWithoutByte => self.stream.shutdown().await?,
            Reply::Reset => self.stream.set_zero_linger()?,
            Reply::BeforeBody(status) => {
                self.whole(open, status, &[("connection".to_owned(), "close".to_owned())], b"").await?;
                self.stream.shutdown().await?;
                // closing with unread bytes would reset, and a reset could overtake the answer
                self.client_gone().await;
            }
            Reply::ResetMidHead => self.then_reset(b"HTTP/1.1 200 OK\r\ncontent-le").await?,
            Reply::ResetMidBody => {
                open.0.finish(open.1);
                self.then_reset(HALF.as_bytes()).await?;
            }
            Reply::TruncatedBody => {
                open.0.finish(open.1);
                self.stream.write_all(HALF.as_bytes()).await?;
                self.stream.shutdown().await?;
            }
            Reply::BrokenChunk => {
                open.0.finish(open.1);
                self.stream.write_all(BROKEN.as_bytes()).await?;
                self.stream.shutdown().await?;
            }
            Reply::Garbage(bytes) => {
                self.stream.write_all(&bytes).await?;
                self.stream.shutdown().await?;
            }
            Reply::EndlessBody => {
                open.0.finish(open.1);
                self.stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    self.stream.write_all(b"10\r\n0123456789abcdef\r\n").await?;
                }
            }
            Reply::EndlessHead => {
                self.stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    self.stream.write_all(b"x-more: 0123456789abcdef\r\n").await?;
                }
            }
            Reply::DripHead(pause) => self.drip(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", pause).await?,
            Reply::DripBody(pause) => {
                open.0.finish(open.1);
                self.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n").await?;
                self.drip(&vec![b'x'; 65536], pause).await?;
            }
            Reply::Status(_)
            | Reply::StatusWithHeaders(..)
            | Reply::Body(..)
            | Reply::Redirect(..)
            | Reply::ManyHeaders(_)
            | Reply::InformationalFlood(_)
            | Reply::Delay(..)
            | Reply::ThenClose(_) => return Err(Error::other("a proper answer is no fault")),
        }
        Ok(())
    }

    /// A complete answer. Finished before it is written: the client may act on it before we run again.
    async fn whole(&mut self, open: &Open<'_>, status: u16, headers: &[(String, String)], body: &[u8]) -> Result<()> {
        let mut answer = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in headers {
            answer.extend([name, ": ", value, "\r\n"]);
        }
        if !matches!(status, 100..=199 | 204 | 304) {
            answer.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        answer += "\r\n";
        open.0.answered(open.1, status);
        self.stream.write_all(&[answer.as_bytes(), body].concat()).await
    }

    async fn then_reset(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        tokio::time::sleep(BEFORE_RESET).await;
        self.stream.set_zero_linger()
    }

    async fn drip(&mut self, bytes: &[u8], pause: Duration) -> Result<()> {
        for byte in bytes {
            self.stream.write_all(&[*byte]).await?;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.client_gone() => return Ok(()),
            }
        }
        Ok(())
    }
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}
