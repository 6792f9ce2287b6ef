//! One watch a kind, for as long as somebody holds it, and a while after.

use std::time::Duration;

use super::api::Asked;
use super::bench::{Bench, quick, widgets};
use crate::watch::{Settings, SourceState};
use changehook_core::object::{Gvk, SourceId};

#[tokio::test]
async fn holders_of_one_kind_share_one_watch() {
    let mut bench = Bench::new(quick()).await;
    let first = bench.sources.acquire(widgets());
    let second = bench.sources.clone().acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    drop(first);
    bench.api.set("a");
    bench.expect(&["a@101"]).await;
    assert_eq!(bench.api.count(Asked::is_streaming), 1);
    assert_eq!(bench.api.watches(), 1);
    drop(second);
    bench.expect(&["stopped"]).await;
}

#[tokio::test]
async fn a_source_lingers_and_then_its_watch_and_state_end() {
    let mut bench = Bench::new(quick()).await;
    let held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.state(&widgets(), |s| matches!(s, SourceState::Watching { .. })).await;
    drop(held);
    assert!(bench.sources.state(&widgets()).is_some(), "it lingers");
    bench.expect(&["stopped"]).await;
    bench.until("forgotten", |b| b.sources.state(&widgets()).is_none() && b.api.watches() == 0).await;
    let _again = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
}

#[tokio::test]
async fn a_source_asked_for_again_within_its_linger_goes_on_as_if_nothing_had_been() {
    let mut bench = Bench::new(Settings { linger: Duration::from_mins(1), ..quick() }).await;
    let held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    drop(held);
    let _again = bench.sources.acquire(widgets());
    bench.api.set("a");
    bench.expect(&["a@101"]).await;
    assert_eq!(bench.api.count(Asked::is_streaming), 1);
}

#[tokio::test]
async fn a_source_asked_for_while_it_stops_begins_anew_after_it_has_stopped() {
    let mut bench = Bench::new(quick()).await;
    let held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    // the one place in the channel is taken, so that `stopped` has to wait
    bench.api.set("a");
    bench.api.set("b");
    bench
        .until("waiting", |b| b.sources.state(&widgets()) == Some(SourceState::Watching { namespaced: true, rv: 101 }))
        .await;
    drop(held);
    bench.until("ended", |b| b.api.watches() == 0).await;
    let _again = bench.sources.acquire(widgets());
    bench.expect(&["a@101"]).await;
    bench.expect(&["stopped", "list", "a@101", "b@102", "end@102"]).await;
}

#[tokio::test]
async fn kinds_of_one_group_share_discovery() {
    let mut bench = Bench::new(Settings { discovery_ttl: Duration::from_secs(10), ..quick() }).await;
    let other = SourceId { namespace: Some("ns".into()), ..widgets() };
    let _held = (bench.sources.acquire(widgets()), bench.sources.acquire(other));
    for _ in 0..4 {
        bench.report().await;
    }
    assert_eq!(bench.api.count(|asked| asked.path == "/apis/example.com/v1"), 1);
}

#[tokio::test]
async fn a_kind_that_is_missing_costs_other_kinds_nothing() {
    // its absence is not proven within this test
    let mut bench = Bench::new(Settings { absence_gap: Duration::from_mins(10), ..quick() }).await;
    let missing = SourceId { gvk: Gvk::new("nowhere.example.com/v1", "Nothing"), namespace: None };
    let _held = (bench.sources.acquire(missing.clone()), bench.sources.acquire(widgets()));
    bench.expect(&["list", "end@100"]).await;
    bench.state(&missing, |s| matches!(s, SourceState::NotInstalled { .. })).await;
    bench.api.set("a");
    bench.expect(&["a@101"]).await;
}

#[tokio::test]
async fn a_task_that_dies_is_told_with_its_reason() {
    let bench = Bench::new(quick()).await;
    bench.sources.shared.spawn("example.com/v1 Widget".into(), async { panic!("out of {}", "luck") });
    let died = tokio::time::timeout(Duration::from_secs(20), bench.sources.failed()).await.unwrap();
    assert_eq!(died.to_string(), "failed to keep watching example.com/v1 Widget: the task panicked: out of luck");
}
