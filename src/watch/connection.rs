//! How the API server is reached.
//!
//! Touches nothing itself. Invariant: nothing here waits without a timeout.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::timeout;

use super::request::CallError;

/// Makes a client that shares no connection with any other; `None` if that fails, with the reason in the log.
pub type MakeClient = Arc<dyn Fn() -> BoxFuture<'static, Option<kube::Client>> + Send + Sync>;

/// See the module's head.
#[derive(Clone)]
pub struct Connection {
    /// For everything that need not be on a connection of its own.
    pub shared: kube::Client,
    /// For what must be: where several API servers share an address, another one may answer.
    pub another: MakeClient,
}

impl Connection {
    pub(super) async fn anew(&self, within: Duration) -> Result<kube::Client, CallError> {
        let made = timeout(within, (self.another)()).await.map_err(|_| CallError::Timeout)?;
        made.ok_or(CallError::NoClient)
    }
}
