//! One replica acts at a time: the Lease `changehook` in the operator's own namespace.
//!
//! Touches that Lease and nothing else. [`changehook_core::lease`] decides. Invariants: whoever acts asks [`Lease::is_valid`]
//! right before; a Lease that was once found over never comes back; it is given up only after everything else that acts
//! has stopped.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`lease`] | the right to act, as a value that expires |
//! | [`candidate`] | the task that gets it, renews it and gives it up |
//! | [`mod@apart`] | a thread of its own for that task |
//! | [`remote`] | the object at the API server |
//! | [`guard`] | no write without a Lease, whoever makes it |
//! | [`metrics`] | what is counted |

pub mod apart;
pub mod candidate;
pub mod guard;
pub mod lease;
pub mod metrics;
pub mod remote;

use std::path::PathBuf;
use std::sync::Arc;

use changehook_core::lease::Durations;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::client::{self, ClientError};
use super::clock;
use super::readiness::Standby;
use apart::{ApartError, apart};
use candidate::Candidate;
use remote::Remote;

pub use lease::{Lease, Lost};
pub use metrics::Metrics;

/// Why this replica stopped being one.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The client for the Lease could not be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The thread for the Lease did not start, or died.
    #[error(transparent)]
    Apart(#[from] ApartError),
}

/// What the Lease is looked for with.
pub struct Setting {
    /// How to reach the API server; the Lease has a client of its own, so that no other request delays it.
    pub kubeconfig: Option<PathBuf>,
    /// Where the Lease is.
    pub namespace: String,
    /// The name of this replica: see [`identity`].
    pub identity: String,
    /// How long things take.
    pub durations: Durations,
    /// What is counted.
    pub metrics: Metrics,
    /// Set while another replica leads.
    pub standby: Standby,
}

/// Waits for the Lease, hands it to `won`, renews it until `stop`, and gives it up.
pub async fn run(setting: Setting, won: oneshot::Sender<Lease>, stop: CancellationToken) -> Result<(), LeaderError> {
    let Setting { kubeconfig, namespace, identity, durations, metrics, standby } = setting;
    let ended = apart(move || async move {
        let client = client::build_another(kubeconfig.as_deref()).await?;
        let remote = Remote::new(client, &namespace, durations.request());
        let now = Arc::new(clock::counting_suspend);
        Candidate::new(remote, identity, durations, now, metrics, standby).run(won, stop).await;
        Ok(())
    });
    ended.await?
}

/// The name that this replica puts into the Lease: that of its pod or its host, and something that no other process has,
/// one of the same pod before or after it least of all.
pub fn identity(pod: Option<&str>, random: u32) -> String {
    let host = rustix::system::uname();
    let name = pod.filter(|name| !name.is_empty()).map_or_else(|| host.nodename().to_string_lossy(), Into::into);
    format!("{name}_{random:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_pods_name_or_the_hosts_and_a_suffix_of_its_own() {
        assert_eq!(identity(Some("changehook-7d6f-x2"), 0xab), "changehook-7d6f-x2_000000ab");
        let host = identity(None, 1);
        assert!(host.ends_with("_00000001") && host.len() > 9, "{host}");
        assert_eq!(identity(Some(""), 1), host);
    }
}
