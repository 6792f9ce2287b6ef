//! Attempts against real sockets, by theme.

mod addresses;
mod answers;
mod child;
mod failures;
mod requests;
mod tls;

use std::net::SocketAddr;

use super::super::resolver::Lookup;
use changehook_core::address::AddressPolicy;

use super::super::testing::{ScriptedLookup, SecretApi, everybodys, http_client, kube_client, loopback};
use super::*;

/// 2026-01-05T10:30:00.999Z
fn wall_ms() -> i64 {
    1_767_609_000_999
}

/// A courier that may go to loopback, looks names up in `lookup`, and reads its Secrets from `api`.
#[expect(clippy::needless_pass_by_value, reason = "the callers make it for this")]
fn courier_with(policy: Arc<AddressPolicy>, lookup: impl Lookup, api: Option<&SecretApi>) -> Courier {
    courier_under(everybodys(&policy), lookup, api)
}

fn courier_under(policies: Arc<Policies>, lookup: impl Lookup, api: Option<&SecretApi>) -> Courier {
    let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
    let kube = api.map_or_else(|| kube_client(nowhere), SecretApi::client);
    let clients = Clients::new(http_client(Arc::clone(policies.everybodys()), lookup), Arc::clone(&policies));
    let (secrets, services) = (Secrets::new(kube.clone()), (Services::new(kube.clone()), Configs::new(kube)));
    Courier::new(clients, secrets, services, policies, wall_ms, Arc::new(|| true))
}

fn courier() -> Courier {
    courier_with(loopback(), ScriptedLookup::default(), None)
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Delivered { .. } | Outcome::Unsent { .. } => panic!("{outcome:?} is no failure"),
    }
}

fn unsent(outcome: Outcome) -> String {
    match outcome {
        Outcome::Unsent { message } => message,
        Outcome::Delivered { .. } | Outcome::Failed(_) => panic!("{outcome:?} was sent"),
    }
}
