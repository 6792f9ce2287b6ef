//! A watch stream through the proxy, line by line as the lines come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;

use super::{
    Fault, Line, Seen, Shared,
    forward::{AnyError, Body},
};

/// What a test does to an open stream.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Breaks the connection.
    Cut,
    /// A line, then on.
    Send(Vec<u8>),
    /// A line, then the proper end.
    SendAndEnd(Vec<u8>),
}

/// The answer's body: what the pump hands over, one line a frame.
struct Lines(mpsc::Receiver<Result<Bytes, AnyError>>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        self.0.poll_recv(cx).map(|next| next.map(|line| line.map(Frame::data)))
    }
}

/// Wraps the API server's stream, and registers it so that tests can reach it while it is open.
pub(super) fn lines(shared: Arc<Shared>, seen: Seen, upstream: Incoming, fault: Option<&Fault>) -> Body {
    let (out, body) = mpsc::channel(1);
    let (commands, incoming) = mpsc::unbounded_channel();
    {
        let mut state = shared.lock();
        state.streams.retain(|(_, stream)| !stream.is_closed());
        state.streams.push((seen.clone(), commands));
    }
    let (left, cut) = match fault {
        Some(Fault::CutAfterLines(count)) => (Some(*count), true),
        Some(Fault::EndAfterLines(count)) => (Some(*count), false),
        _ => (None, false),
    };
    let pump = Pump { shared, seen, upstream, incoming, out, left, cut, unread: BytesMut::new() };
    tokio::spawn(pump.run());
    Lines(body).boxed()
}

struct Pump {
    shared: Arc<Shared>,
    seen: Seen,
    upstream: Incoming,
    incoming: mpsc::UnboundedReceiver<Command>,
    out: mpsc::Sender<Result<Bytes, AnyError>>,
    /// Lines that may still pass, and whether the stream breaks or ends then.
    left: Option<usize>,
    cut: bool,
    unread: BytesMut,
}

/// The stream is over; `Err` breaks the connection, `Ok` ends it properly.
type Over = Result<(), AnyError>;

impl Pump {
    async fn run(mut self) {
        let over = self.pump().await;
        if let Err(error) = over {
            // the client may be gone already
            let _ = self.out.send(Err(error)).await;
        }
    }

    async fn pump(&mut self) -> Over {
        loop {
            if self.left == Some(0) {
                return if self.cut { Err("cut by the fault proxy".into()) } else { Ok(()) };
            }
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(end + 1).freeze();
                let action = self.shared.line(&self.seen, &line[..end]);
                match action {
                    Line::Keep => self.send(line).await?,
                    Line::Drop => {}
                    Line::Replace(bytes) => self.send_line(bytes).await?,
                    Line::Cut => return Err("cut by the fault proxy".into()),
                }
                self.left = self.left.map(|left| left - 1);
                continue;
            }
            tokio::select! {
                () = self.out.closed() => return Ok(()),
                command = self.incoming.recv() => match command {
                    Some(Command::Send(line)) => self.send_line(line).await?,
                    Some(Command::SendAndEnd(line)) => return self.send_line(line).await,
                    // a test that dropped the proxy has no use for its streams
                    Some(Command::Cut) | None => return Err("cut by the fault proxy".into()),
                },
                frame = self.upstream.frame() => match frame {
                    Some(frame) => {
                        if let Some(data) = frame?.data_ref() {
                            self.unread.extend_from_slice(data);
                        }
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    async fn send_line(&mut self, mut line: Vec<u8>) -> Over {
        line.push(b'\n');
        self.send(line.into()).await
    }

    async fn send(&mut self, line: Bytes) -> Over {
        self.out.send(Ok(line)).await.map_err(|_| "the client is gone".into())
    }
}
