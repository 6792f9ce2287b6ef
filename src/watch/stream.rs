//! A watch's answer as lines.
//!
//! Invariants: a line is bounded; what follows the last newline is no line, because it may have been cut anywhere.

use std::time::Duration;

use axum::body::BodyDataStream;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::timeout;

/// The lines of one watch.
pub(super) struct Lines {
    body: BodyDataStream,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no newline.
    searched: usize,
    limit: usize,
}

/// What came next.
pub(super) enum Next {
    /// A whole line, without its newline.
    Line(Bytes),
    /// The answer ended after a whole line.
    Ended,
    /// The answer broke off.
    Lost,
    /// Nothing came in time.
    Idle,
    /// A line is longer than it may be.
    TooLong,
}

impl Lines {
    pub(super) fn new(body: BodyDataStream, limit: usize) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, limit }
    }

    /// The next line, if it comes within `idle`.
    pub(super) async fn next(&mut self, idle: Duration) -> Next {
        timeout(idle, self.line()).await.unwrap_or(Next::Idle)
    }

    async fn line(&mut self) -> Next {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                if line.len() > self.limit {
                    return Next::TooLong;
                }
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Next::Line(line.freeze());
            }
            self.searched = self.buffer.len();
            if self.searched > self.limit {
                return Next::TooLong;
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.is_empty() => return Next::Ended,
                Some(Err(_)) | None => return Next::Lost,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn lines(chunks: &[&'static str], limit: usize) -> Lines {
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            chunks.iter().map(|c| Ok(Bytes::from_static(c.as_bytes()))).collect();
        Lines::new(Body::from_stream(futures::stream::iter(chunks)).into_data_stream(), limit)
    }

    async fn next(lines: &mut Lines) -> String {
        match lines.next(Duration::from_secs(5)).await {
            Next::Line(line) => String::from_utf8(line.to_vec()).unwrap(),
            Next::Ended => "<ended>".into(),
            Next::Lost => "<lost>".into(),
            Next::Idle => "<idle>".into(),
            Next::TooLong => "<too long>".into(),
        }
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_are_cut_into_chunks() {
        let mut lines = lines(&["a", "b\nc", "", "d\n\n", "ef\ng\n"], 8);
        for want in ["ab", "cd", "ef", "g", "<ended>"] {
            assert_eq!(next(&mut lines).await, want);
        }
    }

    #[tokio::test]
    async fn what_follows_the_last_newline_is_no_line() {
        let mut lines = lines(&["ab\ncd"], 8);
        assert_eq!(next(&mut lines).await, "ab");
        assert_eq!(next(&mut lines).await, "<lost>");
    }

    #[tokio::test]
    async fn a_line_longer_than_the_limit_is_refused_before_it_ends() {
        let mut endless = lines(&["12345678", "9"], 8);
        assert_eq!(next(&mut endless).await, "<too long>");
        let mut at_once = lines(&["123456789\n"], 8);
        assert_eq!(next(&mut at_once).await, "<too long>");
        let mut fits = lines(&["12345678\n"], 8);
        assert_eq!(next(&mut fits).await, "12345678");
    }

    #[tokio::test]
    async fn a_silent_connection_is_noticed() {
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let mut silent = Lines::new(body.into_data_stream(), 8);
        assert!(matches!(silent.next(Duration::from_millis(1)).await, Next::Idle));
    }
}
