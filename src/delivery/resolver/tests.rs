//! The vetting resolver with answers that tests make up.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use tokio::sync::Notify;

use super::super::testing::{ScriptedLookup, loopback, until};
use super::*;

async fn resolve(resolver: &VettingResolver, host: &str) -> Result<Vec<String>, ResolveError> {
    match resolver.resolve(Name::from_str(host).unwrap()).await {
        Ok(addresses) => Ok(addresses.map(|address| address.to_string()).collect()),
        Err(error) => Err(error.downcast_ref::<ResolveError>().unwrap().clone()),
    }
}

fn resolver(lookup: impl Lookup) -> VettingResolver {
    VettingResolver::new(loopback(), Arc::new(lookup))
}

/// 300 addresses of loopback.
fn many() -> Vec<String> {
    (1..=300).map(|n| format!("127.0.{}.{}", n / 256, n % 256)).collect()
}

#[tokio::test]
async fn allowed_addresses_are_answered() {
    let resolver = resolver(ScriptedLookup::new("a.test", &[&["127.0.0.1", "127.0.0.2"]]));
    assert_eq!(resolve(&resolver, "a.test").await.unwrap(), ["127.0.0.1:0", "127.0.0.2:0"]);
}

#[tokio::test]
async fn one_forbidden_address_rejects_the_answer_wherever_it_stands() {
    let bad = "169.254.169.254";
    // Behind those that would be dialled, too.
    let many = many();
    let behind: Vec<&str> = many.iter().map(String::as_str).chain([bad]).collect();
    for answer in [&[bad, "127.0.0.1"][..], &["127.0.0.1", bad], &behind] {
        let resolver = resolver(ScriptedLookup::new("a.test", &[answer]));
        assert!(matches!(resolve(&resolver, "a.test").await, Err(ResolveError::Refused(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn of_300_addresses_a_few_are_dialled() {
    let many = many();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let resolver = resolver(ScriptedLookup::new("a.test", &[&many]));
    assert_eq!(resolve(&resolver, "a.test").await.unwrap().len(), DIALLED);
}

#[tokio::test]
async fn every_answer_is_vetted_anew() {
    let lookup = ScriptedLookup::new("a.test", &[&["127.0.0.1"], &["169.254.169.254"]]);
    let resolver = resolver(lookup.clone());
    assert!(resolve(&resolver, "a.test").await.is_ok());
    assert!(matches!(resolve(&resolver, "a.test").await, Err(ResolveError::Refused(_))));
    assert_eq!(lookup.asked().len(), 2);
}

#[tokio::test]
async fn an_unknown_name_and_an_answer_without_address_are_told_from_a_refusal() {
    let resolver = resolver(ScriptedLookup::new("empty.test", &[&[]]));
    assert!(matches!(resolve(&resolver, "other.test").await, Err(ResolveError::Lookup(_))));
    assert!(matches!(resolve(&resolver, "empty.test").await, Err(ResolveError::Empty)));
}

#[tokio::test]
async fn an_answer_of_one_family_or_of_both_is_judged_whole() {
    let allow = ["127.0.0.0/8", "fd00::/8"].map(|range| range.parse().unwrap()).to_vec();
    let policy = Arc::new(AddressPolicy { allow, ..AddressPolicy::default() });
    for (answer, dialled) in [
        (&["fd00::1"][..], true),
        (&["fd00::1", "127.0.0.1"], true),
        // judged as the IPv4 address that it stands for
        (&["::ffff:127.0.0.1"], true),
        (&["::ffff:10.0.0.1"], false),
        (&["fe80::1"], false),
        (&["127.0.0.1", "::1"], false),
        (&["fd00::1", "169.254.169.254"], false),
        (&["fd00::1", "64:ff9b::a9fe:a9fe"], false),
    ] {
        let lookup = Arc::new(ScriptedLookup::new("a.test", &[answer]));
        let resolved = resolve(&VettingResolver::new(Arc::clone(&policy), lookup), "a.test").await;
        assert_eq!(resolved.is_ok(), dialled, "{answer:?}: {resolved:?}");
    }
}

/// Fails first, as the system's resolver does when there is no such name (NXDOMAIN), when name servers fail (SERVFAIL,
/// a loop of CNAMEs) or do not answer; all of these come out of it as an error whose kind means nothing.
#[derive(Clone, Default)]
struct FailsOnce {
    asked: Arc<AtomicUsize>,
}

impl Lookup for FailsOnce {
    fn lookup(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let first = self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        let failed = || io::Error::other("failed to lookup address information: hush");
        async move { if first { Err(failed()) } else { Ok(vec!["127.0.0.1".parse().unwrap()]) } }.boxed()
    }
}

#[tokio::test]
async fn a_look_up_that_failed_is_not_remembered_and_its_text_is_not_kept() {
    let lookup = FailsOnce::default();
    let resolver = resolver(lookup.clone());
    let failed = resolve(&resolver, "a.test").await.unwrap_err();
    assert!(matches!(failed, ResolveError::Lookup(_)) && !failed.to_string().contains("hush"), "{failed}");
    assert_eq!(resolve(&resolver, "a.test").await.unwrap(), ["127.0.0.1:0"]);
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 2);
}

/// Answers when told to, and counts what was begun.
#[derive(Clone, Default)]
struct Hanging {
    begun: Arc<AtomicUsize>,
    go: Arc<Notify>,
}

impl Lookup for Hanging {
    fn lookup(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let hanging = self.clone();
        async move {
            hanging.begun.fetch_add(1, Ordering::SeqCst);
            hanging.go.notified().await;
            Ok(vec!["127.0.0.1".parse().unwrap()])
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_name_that_hangs_has_one_look_up_however_many_ask() {
    let hanging = Hanging::default();
    let resolver = resolver(hanging.clone());
    let asking = tokio::spawn({
        let resolver = resolver.clone();
        async move { join_all((0..200).map(|_| resolve(&resolver, "a.test"))).await }
    });
    until("a look-up begins", || hanging.begun.load(Ordering::SeqCst) > 0).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hanging.begun.load(Ordering::SeqCst), 1);
    hanging.go.notify_waiters();
    assert!(asking.await.unwrap().into_iter().all(|answer| answer.is_ok()));
    assert!(resolver.under_way.lock().unwrap().is_empty());
}

#[tokio::test]
async fn look_ups_are_bounded_even_when_nobody_waits_for_them_any_more() {
    let hanging = Hanging::default();
    let resolver = resolver(hanging.clone());
    for number in 0..2 * LOOKUPS {
        let host = format!("{number}.test");
        assert!(resolve(&resolver, &host).now_or_never().is_none());
    }
    until("as many look-ups as may begin do", || hanging.begun.load(Ordering::SeqCst) == LOOKUPS).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hanging.begun.load(Ordering::SeqCst), LOOKUPS);
    hanging.go.notify_waiters();
    until("the others follow", || hanging.begun.load(Ordering::SeqCst) == 2 * LOOKUPS).await;
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let addresses = SystemLookup.lookup("localhost".into()).await.unwrap();
    assert!(addresses.iter().all(IpAddr::is_loopback) && !addresses.is_empty(), "{addresses:?}");
}
