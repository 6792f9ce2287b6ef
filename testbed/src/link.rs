//! A way for TCP connections that can be frozen: nothing passes and nothing breaks, as when a switch hangs.
//!
//! Invariant: what was sent while it was frozen passes, in order, once it is thawed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{Context, Result};

/// The way. Ends, with all its connections, on drop.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    frozen: Arc<watch::Sender<bool>>,
    _stop: DropGuard,
}

impl Link {
    /// One that leads there.
    pub async fn to(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to listen")?;
        let address = listener.local_addr().context("failed to listen")?;
        let frozen = Arc::new(watch::Sender::new(false));
        let stop = CancellationToken::new();
        let accept = accept(listener, upstream, Arc::clone(&frozen));
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        Ok(Self { address, frozen, _stop: stop.drop_guard() })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes, in either direction; new connections are taken, and wait.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    /// Everything passes again.
    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, frozen: Arc<watch::Sender<bool>>) {
    // ends with the connections when it is dropped
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // an error: the client was gone before it was accepted
        let Ok((near, _)) = listener.accept().await else { continue };
        let frozen = frozen.subscribe();
        connections.spawn(async move {
            let Ok(far) = TcpStream::connect(upstream).await else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(pass(near_in, far_out, frozen.clone()), pass(far_in, near_out, frozen));
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Until one side is gone, which the other is told.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut frozen: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // its sender lives as long as this task
        let _ = frozen.wait_for(|frozen| !frozen).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_frozen_link_holds_what_is_sent_and_passes_it_when_it_is_thawed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let link = Link::to(listener.local_addr().unwrap()).await.unwrap();
        let mut near = TcpStream::connect(link.address()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let mut word = [0; 4];
        near.write_all(b"ping").await.unwrap();
        far.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");

        link.freeze();
        far.write_all(b"pong").await.unwrap();
        timeout(Duration::from_millis(100), near.read_exact(&mut word)).await.unwrap_err();
        link.thaw();
        timeout(Duration::from_secs(5), near.read_exact(&mut word)).await.unwrap().unwrap();
        assert_eq!(&word, b"pong");

        drop(link);
        assert_eq!(timeout(Duration::from_secs(5), near.read(&mut word)).await.unwrap().unwrap_or(0), 0);
    }
}
