//! What the driver does at its edges. What it decides is core's, and tested there.

mod bench;
mod crowd;
mod unasked;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use changehook_core::ledger::{Entries, Usage};
use changehook_core::object::{Gvk, Row, SourceEvent, Unreadable};
use changehook_core::plan::{ChangeTypes, Claims, Interest, Policy, Selector};
use changehook_core::retry::RetryPolicy;
use changehook_core::select::Next;
use prometheus_client::registry::Registry;

use super::super::clients::Clients;
use super::super::configs::Configs;
use super::super::secrets::Secrets;
use super::super::services::Services;
use super::super::testing;
use super::*;
use crate::ledger::{FoldEnd, Memory};

#[test]
fn a_wait_begins_at_the_end_of_the_millisecond_in_which_the_answer_came() {
    assert_eq!(rounded_up(Now { mono: 41, wall: 7 }), Now { mono: 42, wall: 7 });
}

/// A ledger in memory that counts its commits.
#[derive(Default)]
struct Counting {
    memory: Memory,
    commits: AtomicUsize,
}

impl LedgerStore for Counting {
    async fn claim(&self) -> Result<Entries, LedgerError> {
        self.memory.claim().await
    }

    async fn commit(&self, batch: &Batch) -> Result<Usage, LedgerError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.memory.commit(batch).await
    }

    async fn fold(&self) -> Result<FoldEnd, LedgerError> {
        self.memory.fold().await
    }
}

/// A subscription to ConfigMaps that are not there, and their source.
fn assignment() -> (Assignment, SourceId) {
    let gvk = Gvk::new("v1", "ConfigMap");
    let source = SourceId { gvk: gvk.clone(), namespace: None };
    let plan = Plan {
        id: SubscriptionId { uid: "s".into() },
        generation: 1,
        namespace: "team".into(),
        interests: vec![Interest { gvk, namespace: Some("team".into()), selector: Selector::default() }],
        changes: ChangeTypes::ALL,
        suspended: false,
        held: false,
        retry: RetryPolicy {
            max_retries: 3,
            initial_delay_ms: 2000,
            max_delay_ms: 60_000,
            jitter_percent: 10,
            retry_status_codes: Vec::new(),
            outage_max_delay_ms: 300_000,
        },
        max_in_flight: 16,
        host: "example.com".into(),
        config_hash: 0,
        policy: Policy::default(),
        claims: Claims::default(),
    };
    let endpoint = Arc::new(testing::endpoint("http://127.0.0.1:9/hook"));
    (Assignment { plan, endpoint, sources: vec![source.clone()], unasked: Vec::new() }, source)
}

/// Lets a driver take a baseline, which has to be committed, and gives how it ended and how many commits were begun.
async fn baseline(leads: bool) -> (Result<(), DriverError>, usize) {
    let store = Arc::new(Counting::default());
    let (ended, _) = drive(&store, leads, vec![event(SourceEvent::ListStarted), event(list_ended(7))]).await;
    (ended, store.commits.load(Ordering::Relaxed))
}

fn event(event: SourceEvent) -> Sighted {
    Sighted::Event(event)
}

fn list_ended(rv: u64) -> SourceEvent {
    SourceEvent::ListEnded { rv, unreadable: Unreadable::Named(Vec::new()) }
}

/// One whose API server is not there.
fn courier() -> Courier {
    let policy = testing::loopback();
    let http = testing::http_client(policy.clone(), testing::ScriptedLookup::default());
    let kube = testing::kube_client(([127, 0, 0, 1], 9).into());
    let (http, secrets, services) = (
        Clients::new(http, testing::everybodys(&policy)),
        Secrets::new(kube.clone()),
        (Services::new(kube.clone()), Configs::new(kube)),
    );
    Courier::new(http, secrets, services, testing::everybodys(&policy), || 0, Arc::new(|| true))
}

/// Lets a driver see all this and take a baseline; gives how it ended and what the last life had left.
async fn drive(store: &Arc<Counting>, leads: bool, seen: Vec<Sighted>) -> (Result<(), DriverError>, Entries) {
    let (sight, sightings) = mpsc::channel(8);
    let (command, commands) = mpsc::channel(8);
    let (told, mut views) = mpsc::channel(8);
    let (recheck, _rechecks) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let start = Instant::now();
    let recalled = Arc::new(Mutex::new(None));
    let recalling = Arc::clone(&recalled);
    let inputs = Inputs {
        sightings,
        commands,
        told,
        recheck,
        recall: Box::new(move |entries| *recalling.lock().unwrap() = Some(entries.clone())),
        now: Box::new(move || Now { mono: start.elapsed().as_millis() as u64 + 1000, wall: 1_767_609_000_000 }),
        random: Box::new(|| 0),
        leads: Arc::new(move || leads),
        heartbeat: Box::new(|| {}),
        watches_stop: stop.clone(),
        stop: stop.clone(),
    };
    let metrics = Metrics::register(&mut Registry::default());
    let driver = Driver::<_, Sighting>::claim(Settings::default(), Arc::clone(store), courier(), metrics, inputs);
    let driver = driver.await.unwrap();
    let (assignment, source) = assignment();
    command.send(Command::Assign(Box::new(assignment))).await.unwrap();
    let source = Arc::new(source);
    for seen in seen {
        sight.send(Sighting { source: source.clone(), seen }).await.unwrap();
    }
    let driver = tokio::spawn(driver.run());
    while let Some(told) = views.recv().await {
        if told.view.live {
            stop.cancel();
        }
    }
    let recalled = recalled.lock().unwrap().take().expect("recalled before anything else");
    (driver.await.unwrap(), recalled)
}

#[tokio::test(start_paused = true)]
async fn without_the_lease_nothing_is_committed_and_the_driver_ends() {
    let (ended, commits) = baseline(true).await;
    assert!(ended.is_ok() && commits > 0, "{ended:?} {commits}");
    let (ended, commits) = baseline(false).await;
    assert!(matches!(ended, Err(DriverError::NotLeading)), "{ended:?}");
    assert_eq!(commits, 0);
}

#[tokio::test(start_paused = true)]
async fn the_highest_version_that_a_source_has_shown_is_recalled_by_the_next_life() {
    let source = assignment().1;
    let store = Arc::new(Counting::default());
    let (namespace, uid) = (Some("team".into()), "u".into());
    let deleted = SourceEvent::Deleted { namespace, uid, rv: 9 };
    let seen = [SourceEvent::ListStarted, list_ended(7), deleted, SourceEvent::ListStarted, list_ended(8)];
    let (_, recalled) = drive(&store, true, seen.map(event).into()).await;
    assert_eq!(recalled.sources, BTreeMap::new());
    let (_, recalled) = drive(&store, true, vec![event(SourceEvent::ListStarted), event(list_ended(7))]).await;
    assert_eq!(recalled.sources, BTreeMap::from([(source, 9)]));
}

#[tokio::test(start_paused = true)]
async fn of_versions_that_count_anew_or_that_nobody_needs_the_ledger_keeps_nothing() {
    let source = assignment().1;
    for anew in [Sighted::Rewound, event(SourceEvent::KindAbsent), Sighted::Stopped] {
        let store = Arc::new(Counting::default());
        let list = |rv| [event(SourceEvent::ListStarted), event(list_ended(rv))];
        let seen = list(7).into_iter().chain([anew]).chain(list(3)).collect();
        drive(&store, true, seen).await.0.unwrap();
        assert_eq!(store.claim().await.unwrap().sources, BTreeMap::from([(source.clone(), 3)]));
    }
}
