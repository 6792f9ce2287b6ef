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
//! | [`remote`] | the object at the API server |
//! | [`guard`] | no write without a Lease, whoever makes it |
//! | [`metrics`] | what is counted |

pub mod candidate;
pub mod guard;
pub mod lease;
pub mod metrics;
pub mod remote;

pub use candidate::Candidate;
pub use lease::{Lease, Lost};
pub use metrics::Metrics;
pub use remote::Remote;

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
