//! The real parts that tests and the demo run against: a real API server, a receiver that misbehaves on request, a
//! faulty way to the API server, and the operator as the child process it is in production. Not published.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`tools`] | the programs etcd, kube-apiserver, kubectl and helm: found, or built once |
//! | [`process`] | child processes that end with their parent, however it ends |
//! | [`scratch`] | temporary folders that do not pile up |
//! | [`control_plane`] | etcd and kube-apiserver on loopback, clients, tokens, kubectl |
//! | [`second`] | a second API server on the same etcd, with a view that can be frozen |
//! | [`storage`] | etcd's data as it was some time ago |
//! | [`link`] | a way for TCP connections that can be frozen |
//! | [`manifests`] | server-side apply of YAML files |
//! | [`helm`] | helm 4: rendering charts, installing them |
//! | [`audit`] | what the API server was asked, from its audit log |
//! | [`receiver`] | an HTTP/1.1 endpoint with scripted faults, which records every request |
//! | [`spellings`] | what a URL's host can be written like, to mean an address that nobody should reach |
//! | [`fault_proxy`] | an API server that fails on request |
//! | [`program`] | the operator's program and benches, built with Cargo |
//! | [`operator`] | the operator under a ServiceAccount with least RBAC |
//! | `deployment` | the operator as its Deployment says |
//! | [`plain`] | the manifests that are made from the charts |
//! | [`ledger`] | the operator's records: lost, damaged, copied, brought back |
//! | `lease` | the Lease of an operator that is dead |
//! | [`mirror`] | what a careful receiver knows, compared with the cluster |
//! | [`unrest`] | objects that change all the time |
//! | [`rounds`] | kill -9 again and again under load, in tests and in `cargo soak` |
//! | [`tally`] | every event, request by request: repeats, and what must never be told |
//! | [`interrupt`] | being told to stop |
//! | [`marks`] | a text in everything that must stay hidden, and the search for it |
//! | [`usage`] | memory and processor time of a process |
//! | [`tenant`] | what a namespace has before its people come |
//! | [`wait`] | waiting for a condition with a deadline |
//!
//! Knows nothing of changehook's own code: what is checked here is checked a second time, independently.

pub mod audit;
pub mod control_plane;
mod deployment;
mod error;
pub mod fault_proxy;
pub mod helm;
mod http1;
pub mod interrupt;
pub mod kubeconfig;
mod lease;
pub mod ledger;
pub mod link;
pub mod manifests;
pub mod marks;
pub mod mirror;
pub mod operator;
mod pki;
pub mod plain;
pub mod process;
pub mod program;
pub mod receiver;
pub mod rounds;
pub mod scratch;
pub mod second;
pub mod spellings;
pub mod storage;
pub mod tally;
pub mod tenant;
pub mod tools;
pub mod unrest;
pub mod usage;
pub mod wait;

pub use control_plane::ControlPlane;
pub use error::{Error, Result};
pub use fault_proxy::FaultProxy;
pub use mirror::Mirror;
pub use operator::{Operator, OperatorOptions};
pub use receiver::{Receiver, Reply};
pub use tally::Tally;
pub use wait::eventually;

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let digits = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from(digits[usize::from(nibble)])).collect()
}

/// Installs the process's one TLS provider (ring). Called by everything here that needs it; harmless to repeat.
pub fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // an error means that the test installed one itself, which is as good
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
