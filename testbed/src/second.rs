//! A second API server on the same etcd, whose view of it can be frozen: what it serves from then on is stale.
//!
//! It shares keys, users and data with the first one, so any token is good for both. Ends on drop.

use std::net::{Ipv4Addr, SocketAddr};

use kube::Client;

use crate::{ControlPlane, control_plane::free_port, error::Result, link::Link, process::Child};

/// The second API server.
pub struct SecondApiServer {
    port: u16,
    client: Client,
    etcd: Link,
    // held, never read: killed on drop
    _child: Child,
}

impl ControlPlane {
    /// Starts one and waits until it is ready.
    pub async fn second_api_server(&self) -> Result<SecondApiServer> {
        let etcd = Link::to(self.etcd_address()).await?;
        let port = free_port()?;
        let child = self.run_api_server("second", port, etcd.address()).await?;
        let client = self.client_of(&format!("https://127.0.0.1:{port}"), self.admin_token()).await?;
        Ok(SecondApiServer { port, client, etcd, _child: child })
    }
}

impl SecondApiServer {
    /// `https://127.0.0.1:port`, for [`ControlPlane::kubeconfig_for_token`] and
    /// [`crate::OperatorOptions::server_override`].
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// It hears no more from etcd, and etcd nothing from it; its clients notice only what that makes of its answers.
    pub fn freeze(&self) {
        self.etcd.freeze();
    }

    /// It catches up.
    pub fn thaw(&self) {
        self.etcd.thaw();
    }
}
