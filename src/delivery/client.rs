//! How an HTTP client is built: the one that all attempts share, and those for one place.
//!
//! Touches the system's certificate store, once. Invariants: no proxy from the environment (the third gate: a proxy
//! would dial in our place, past the vetting), no redirect is followed, nothing is sent twice behind our back, answers
//! are not decompressed. Building a client costs milliseconds, so there is one per TLS setting, not one per attempt.

use std::sync::Arc;
use std::time::Duration;

use changehook_core::address::AddressPolicy;
use reqwest::{Client, ClientBuilder, redirect, retry, tls};

use super::clients::{Place, Reach};
use super::resolver::{Alias, Lookup, Pinned, SystemLookup, VettingResolver};
use super::tls::Material;

/// What every request calls itself.
pub const USER_AGENT: &str = concat!("changehook/", env!("CARGO_PKG_VERSION"));

/// For name, TCP and TLS together; an endpoint's shorter timeout wins.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Below the 5 s after which common servers close an idle connection: a request must not meet that close half-way.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Idle connections kept per host: as many as requests to it may be under way.
const IDLE_PER_HOST: usize = 32;

/// Headers in an answer's head. The default refuses a legal answer of 150 headers, which would be sent again.
const ANSWER_HEADERS: usize = 256;

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("failed to build the HTTP client; is there a CA bundle in the image?")]
pub struct ClientError(#[source] reqwest::Error);

/// The client for endpoints without TLS settings of their own. The process-wide TLS provider must be installed.
pub fn build(policy: Arc<AddressPolicy>) -> Result<Client, ClientError> {
    build_with(policy, Arc::new(SystemLookup), CONNECT_TIMEOUT)
}

/// The same, with another way to look up names and another time to connect.
pub fn build_with(
    policy: Arc<AddressPolicy>,
    lookup: Arc<dyn Lookup>,
    connect_timeout: Duration,
) -> Result<Client, ClientError> {
    builder(connect_timeout).dns_resolver(VettingResolver::new(policy, lookup)).build().map_err(ClientError)
}

/// A client for one place, with its own TLS settings if it has any.
pub(super) fn build_for(
    place: &Place,
    material: Option<Material>,
    names: VettingResolver,
) -> Result<Client, ClientError> {
    let Place { reach, tls, settings: _ } = place;
    let builder = builder(CONNECT_TIMEOUT);
    let builder = match reach {
        Reach::Names { own: _ } => builder.dns_resolver(names),
        Reach::Address(host, address) => builder.dns_resolver(Pinned { host: host.clone(), address: *address }),
        Reach::Alias { host, name, own: _ } => {
            builder.dns_resolver(Alias { host: host.clone(), name: name.clone(), names })
        }
    };
    let (roots, identity) = material.map_or((None, None), |material| (material.roots, material.identity));
    let builder = match roots {
        Some(roots) => builder.tls_certs_only(roots),
        None if *tls => builder,
        // loading the system's certificates is most of the work, and plain HTTP has no use for them
        None => builder.tls_certs_only([]),
    };
    let builder = match identity {
        Some(identity) => builder.identity(identity),
        None => builder,
    };
    builder.build().map_err(ClientError)
}

fn builder(connect_timeout: Duration) -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .http1_only()
        .http1_max_headers(ANSWER_HEADERS)
        .tls_version_min(tls::Version::TLS_1_2)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .tcp_nodelay(true)
        .user_agent(USER_AGENT)
}
