//! Where an attempt may lead, with listeners that must not hear of it.

use std::net::{Ipv4Addr, TcpListener};

use super::super::super::testing::{RawServer, endpoint, event};
use changehook_core::address::Rules;

use super::*;
use crate::delivery::resolver::SystemLookup;

/// Ports on every address of this machine that a forbidden host might reach, which count who comes.
struct Canaries(Vec<TcpListener>);

impl Canaries {
    fn start() -> Self {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = v4.local_addr().unwrap().port();
        // where there is no IPv6, nothing can be reached by it
        let v6 = TcpListener::bind(("::1", port)).ok();
        let all: Vec<_> = [Some(v4), v6].into_iter().flatten().collect();
        for listener in &all {
            listener.set_nonblocking(true).unwrap();
        }
        Self(all)
    }

    fn port(&self) -> u16 {
        self.0[0].local_addr().unwrap().port()
    }

    fn visits(&self) -> usize {
        self.0.iter().map(|listener| std::iter::from_fn(|| listener.accept().ok()).count()).sum()
    }
}

/// One that may go to 10.0.0.0/8 and speak plain HTTP.
fn strict() -> Arc<AddressPolicy> {
    let allow = vec!["10.0.0.0/8".parse().unwrap()];
    Arc::new(AddressPolicy { allow, allow_http: true, ..AddressPolicy::default() })
}

fn refused(attempted: Attempted) -> bool {
    failure(attempted.outcome).reason == Reason::AddressRefused
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_leads_to_a_connection() {
    use testbed::spellings::{of_v4, of_v6};
    let canaries = Canaries::start();
    let lookup = ScriptedLookup::default();
    let (policy, courier) = (strict(), courier_with(strict(), lookup.clone(), None));
    let v4 = ["127.0.0.1", "127.255.255.254", "0.0.0.0", "169.254.169.254", "100.100.100.200", "224.0.0.1"];
    let v6 = ["::1", "::", "fe80::1", "fec0::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254", "::2"];
    let mut hosts: Vec<String> = v4.iter().flat_map(|ip| of_v4(ip.parse().unwrap())).collect();
    hosts.extend(v6.iter().flat_map(|ip| of_v6(ip.parse().unwrap())));
    hosts.extend(["localhost", "LOCALHOST", "localhost.", "a.localhost", "%6cocalhost"].map(str::to_owned));
    let (mut tried, mut unreadable) = (0, 0);
    for host in hosts {
        let url = format!("http://{host}:{}/hook", canaries.port());
        // what is no URL for the parser never becomes an endpoint
        if Url::parse(&url).is_err() {
            assert!(policy.check_url(&url).is_err(), "{url}");
            unreadable += 1;
            continue;
        }
        assert!(policy.check_url(&url).is_err(), "{url}");
        assert!(refused(courier.attempt(&endpoint(&url), &event()).await), "{url}");
        tried += 1;
    }
    assert_eq!(canaries.visits(), 0);
    assert!(lookup.asked().is_empty(), "{:?}", lookup.asked());
    assert!(tried >= 400 && unreadable < tried / 10, "{tried} tried, {unreadable} unreadable");
    // the canaries do hear of whom is let through
    let mut endpoint = endpoint(&format!("http://0x7f.1:{}/hook", canaries.port()));
    endpoint.timeout = Duration::from_millis(100);
    assert_eq!(
        failure(courier_with(loopback(), lookup, None).attempt(&endpoint, &event()).await.outcome).reason,
        Reason::Timeout
    );
    assert_eq!(canaries.visits(), 1);
}

#[tokio::test]
async fn what_is_dialled_is_what_was_vetted_and_the_name_is_looked_up_once() {
    let server = RawServer::status(204).await;
    // a name server that answers well once, and otherwise with what nobody may dial
    let lookup = ScriptedLookup::new("a.test", &[&["127.0.0.1"], &["169.254.169.254"]]);
    let courier = courier_with(loopback(), lookup.clone(), None);
    let endpoint = endpoint(&server.named("a.test"));
    assert_eq!(courier.attempt(&endpoint, &event()).await.outcome, Outcome::Delivered { status: 204 });
    assert_eq!((lookup.asked().len(), server.connections()), (1, 1));
}

#[tokio::test]
async fn a_stricter_policy_does_not_use_a_connection_that_a_laxer_one_has_left() {
    let server = RawServer::status(204).await;
    let lookup = ScriptedLookup::new("a.test", &[&["127.0.0.1"]]);
    let lax = courier_with(loopback(), lookup, None);
    let excluded = "a.test".parse().unwrap();
    let policies = [
        strict(),
        Arc::new(AddressPolicy { allow_http: false, ..AddressPolicy::clone(&loopback()) }),
        Arc::new(AddressPolicy {
            deny_ranges: vec!["127.0.0.0/8".parse().unwrap()],
            ..AddressPolicy::clone(&loopback())
        }),
    ];
    let by_address = endpoint(&server.url());
    let by_name = endpoint(&server.named("a.test"));
    for endpoint in [&by_address, &by_name] {
        assert_eq!(lax.attempt(endpoint, &event()).await.outcome, Outcome::Delivered { status: 204 });
    }
    for policy in policies {
        // the same client, and so the same idle connections
        let mut tightened = lax.clone();
        tightened.policies = everybodys(&policy);
        assert!(refused(tightened.attempt(&by_address, &event()).await));
    }
    let mut tightened = lax.clone();
    let policy = AddressPolicy { deny_hosts: vec![excluded], ..AddressPolicy::clone(&loopback()) };
    tightened.policies = everybodys(&policy);
    assert!(refused(tightened.attempt(&by_name, &event()).await));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn an_excluded_range_is_excluded_for_names_too() {
    let server = RawServer::status(204).await;
    let policy =
        AddressPolicy { deny_ranges: vec!["127.0.0.1/32".parse().unwrap()], ..AddressPolicy::clone(&loopback()) };
    let lookup = ScriptedLookup::new("a.test", &[&["127.0.0.2", "127.0.0.1"]]);
    let courier = courier_with(Arc::new(policy), lookup, None);
    assert!(refused(courier.attempt(&endpoint(&server.named("a.test")), &event()).await));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_namespace_goes_by_its_own_policy_and_leaves_no_connection_for_another() {
    let server = RawServer::status(204).await;
    let open = ["shop=127.0.0.0/8", "shop=::1/128"].map(|text| text.parse().unwrap());
    let base = AddressPolicy { allow_http: true, ..AddressPolicy::default() };
    let policies = Policies::new(&base, &Rules { allow: &open, ..Rules::default() });
    let courier = courier_under(Arc::new(policies), SystemLookup, None);
    let by_name = endpoint(&server.named("localhost"));
    for endpoint in [endpoint(&server.url()), by_name] {
        assert_eq!(endpoint.namespace, "shop");
        assert_eq!(courier.attempt(&endpoint, &event()).await.outcome, Outcome::Delivered { status: 204 });
        let other = Endpoint { namespace: "bank".to_owned(), ..endpoint };
        assert!(refused(courier.attempt(&other, &event()).await));
    }
    assert_eq!(server.requests().len(), 2);
}
