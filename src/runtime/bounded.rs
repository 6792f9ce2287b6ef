//! A listener that nobody can fill up: so many connections, and none that stays silent.
//!
//! Touches TCP sockets. Invariants: at most `connections` are open at once, the others wait in the kernel's queue; a
//! connection on which nothing could be answered for `silence` is closed, whether the peer sends nothing, sends a
//! request byte by byte, or does not read its answers.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// The listener.
#[derive(Debug)]
pub struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    silence: Duration,
}

/// One connection of a [`Bounded`] listener.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    silence: Duration,
    deadline: Pin<Box<Sleep>>,
    /// Given back when the connection closes.
    _permit: OwnedSemaphorePermit,
}

impl Bounded {
    /// Bounds a listener.
    pub fn new(listener: TcpListener, connections: usize, silence: Duration) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(connections)), silence }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let deadline = Box::pin(sleep(self.silence));
        (Connection { stream, silence: self.silence, deadline, _permit: permit }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connection {
    /// `Pending` becomes an error once the peer has had its time.
    fn or_timed_out<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_pending() && self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.or_timed_out(cx, poll)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(_)) = &poll {
            let silence = self.silence;
            self.deadline.as_mut().reset(Instant::now() + silence);
        }
        self.or_timed_out(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_timed_out(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.or_timed_out(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    async fn serve(connections: usize, silence: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bounded = Bounded::new(listener, connections, silence);
        let address = bounded.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "ok" }));
        tokio::spawn(axum::serve(bounded, router).into_future());
        address
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"ok") {
            let n = stream.read_buf(&mut text).await.unwrap();
            assert_ne!(n, 0, "closed early");
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_is_served_when_another_closes() {
        let address = serve(1, LONG).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        let waits = timeout(Duration::from_millis(200), ask(&mut second)).await;
        assert!(waits.is_err(), "served beyond the bound");
        drop(first);
        let mut third = second;
        let mut text = Vec::new();
        timeout(LONG, third.read_buf(&mut text)).await.expect("served once there is room").unwrap();
        assert!(text.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_silent_connection_and_a_trickling_request_are_closed() {
        let address = serve(8, Duration::from_millis(100)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut rest = Vec::new();
        timeout(LONG, silent.read_to_end(&mut rest)).await.expect("closed").ok();

        let mut trickling = TcpStream::connect(address).await.unwrap();
        trickling.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        let closed = timeout(LONG, async {
            // each byte comes well within the bound, the request never ends
            while trickling.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        closed.await.expect("a trickled request is closed");
    }

    #[tokio::test]
    async fn a_connection_that_is_answered_stays_open() {
        let silence = Duration::from_millis(500);
        let address = serve(8, silence).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let start = std::time::Instant::now();
        // longer than the bound in all, with an answer in between each time
        while start.elapsed() < silence * 2 {
            ask(&mut stream).await;
        }
    }
}
