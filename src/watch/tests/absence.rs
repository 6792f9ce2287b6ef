//! Kinds that are not there yet, not there any more, or only in another version.

use std::time::Duration;

use super::api::{Answer, Asked};
use super::bench::{Bench, quick, widgets};
use crate::watch::{Settings, SourceState};

const VERBS: &[&str] = &["list", "watch"];

fn not_installed(state: &SourceState) -> bool {
    matches!(state, SourceState::NotInstalled { .. })
}

#[tokio::test]
async fn a_kind_appears_disappears_and_comes_back() {
    let mut bench = Bench::new(quick()).await;
    bench.api.serve(&[], VERBS);
    let _held = bench.sources.acquire(widgets());
    let state = bench.state(&widgets(), not_installed).await;
    let message = "the API server does not serve example.com/v1 Widget".to_owned();
    assert_eq!(state, SourceState::NotInstalled { message });
    // once proven it is told, so that what comes later is known to be new
    bench.expect(&["absent"]).await;

    bench.api.set("a");
    bench.api.serve(&["v1"], VERBS);
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.state(&widgets(), |s| matches!(s, SourceState::Watching { .. })).await;

    bench.api.serve(&[], VERBS);
    bench.expect(&["absent"]).await;
    bench.state(&widgets(), not_installed).await;
    let seen = bench.api.count(|asked| asked.path == "/apis");
    bench.until("asked again and again", |b| b.api.count(|asked| asked.path == "/apis") > seen + 3).await;

    // it was told once; and a new installation may count from one
    bench.api.rv(5);
    bench.api.serve(&["v1"], VERBS);
    bench.expect(&["list", "a@101", "end@5"]).await;
}

#[tokio::test]
async fn absence_takes_two_complete_discoveries_some_time_apart() {
    let gap = Duration::from_millis(300);
    let mut bench = Bench::new(Settings { absence_gap: gap, ..quick() }).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.api.trick(|asked| asked.path == "/apis", Answer::Plain(503, String::new()));
    let began = std::time::Instant::now();
    bench.api.serve(&[], VERBS);
    // an incomplete discovery proves nothing
    bench.state(&widgets(), |s| matches!(s, SourceState::Failing { .. })).await;
    bench.state(&widgets(), not_installed).await;
    bench.expect(&["absent"]).await;
    assert!(began.elapsed() >= gap, "{:?}", began.elapsed());
    assert!(bench.api.count(|asked| asked.path == "/apis") >= 3);
}

#[tokio::test]
async fn a_kind_that_is_back_before_it_is_proven_absent_was_never_absent() {
    let gap = Duration::from_secs(1);
    let mut bench = Bench::new(Settings { absence_gap: gap, ..quick() }).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.api.serve(&[], VERBS);
    bench.state(&widgets(), not_installed).await;
    bench.api.serve(&["v1"], VERBS);
    bench.expect(&["list", "a@101", "end@101"]).await;
}

#[tokio::test]
async fn a_kind_served_in_another_version_only_is_held_and_that_version_is_named() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.api.serve(&["v2"], VERBS);
    let state = bench.state(&widgets(), not_installed).await;
    let message = "the API server does not serve example.com/v1 Widget, but serves Widget as example.com/v2".to_owned();
    assert_eq!(state, SourceState::NotInstalled { message });
    let seen = bench.api.count(|asked| asked.path == "/apis");
    bench.until("asked again and again", |b| b.api.count(|asked| asked.path == "/apis") > seen + 5).await;
    bench.api.serve(&["v1", "v2"], VERBS);
    bench.expect(&["list", "a@101", "end@101"]).await;
}

#[tokio::test]
async fn a_list_that_answers_404_while_the_kind_is_served_is_only_a_failure() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    bench.api.trick(Asked::is_streaming, Answer::Plain(404, "404 page not found".into()));
    let _held = bench.sources.acquire(widgets());
    bench.state(&widgets(), |s| matches!(s, SourceState::Failing { .. })).await;
    bench.expect(&["list", "a@101", "end@101"]).await;
}

#[tokio::test]
async fn discovery_that_lags_behind_a_list_that_works_is_not_believed() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.trick(|asked| asked.path == "/apis/example.com/v1", Answer::Plain(404, "404 page not found".into()));
    bench.api.push(&super::api::error(410));
    bench.expect(&["list", "a@101", "end@101"]).await;
    assert_eq!(bench.api.count(|asked| asked.path == "/apis"), 0);
}

#[tokio::test]
async fn a_kind_that_is_installed_between_two_questions_is_listed_at_once() {
    let patient = Duration::from_mins(10);
    let mut bench = Bench::new(Settings { backoff_min: patient, absent_retry_max: patient, ..quick() }).await;
    bench.api.set("a");
    bench.api.trick(|asked| asked.path == "/apis/example.com/v1", Answer::Plain(404, "404 page not found".into()));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    assert_eq!(bench.api.count(|asked| asked.path == "/apis"), 1);
}

/// Discovery that says that Widgets have no namespaces.
const CLUSTER_SCOPED: &str =
    r#"{"resources":[{"name":"widgets","kind":"Widget","namespaced":false,"verbs":["list","watch"]}]}"#;

#[tokio::test]
async fn a_scope_that_the_objects_contradict_is_asked_for_again() {
    for listed in [true, false] {
        let mut bench = Bench::new(Settings { discovery_ttl: Duration::from_mins(10), ..quick() }).await;
        bench.api.trick(|asked| asked.path == "/apis/example.com/v1", Answer::Plain(200, CLUSTER_SCOPED.to_owned()));
        if listed {
            bench.api.set("a");
        }
        let _held = bench.sources.acquire(widgets());
        if listed {
            bench.expect(&["list", "a@101", "end@101", "list", "a@101", "end@101"]).await;
        } else {
            bench.expect(&["list", "end@100"]).await;
            bench.state(&widgets(), |s| matches!(s, SourceState::Watching { namespaced: false, .. })).await;
            bench.api.set("a");
            bench.expect(&["a@101", "list", "a@101", "end@101"]).await;
        }
        bench.state(&widgets(), |s| matches!(s, SourceState::Watching { namespaced: true, .. })).await;
    }
}

#[tokio::test]
async fn a_scope_that_discovery_tells_differently_later_is_noticed_when_the_watch_is_resumed() {
    let mut bench = Bench::new(quick()).await;
    bench.api.trick(|asked| asked.path == "/apis/example.com/v1", Answer::Plain(200, CLUSTER_SCOPED.to_owned()));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.end();
    bench.expect(&["list", "end@100"]).await;
    bench.state(&widgets(), |s| matches!(s, SourceState::Watching { namespaced: true, .. })).await;
}

#[tokio::test]
async fn after_trouble_discovery_is_not_taken_from_memory() {
    let mut bench = Bench::new(Settings { discovery_ttl: Duration::from_mins(10), ..quick() }).await;
    bench.api.trick(|asked| asked.path == "/apis/example.com/v1", Answer::Plain(200, CLUSTER_SCOPED.to_owned()));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.push(&super::api::error(410));
    bench.expect(&["list", "end@100"]).await;
    bench.state(&widgets(), |s| matches!(s, SourceState::Watching { namespaced: true, .. })).await;
}

#[tokio::test]
async fn a_kind_without_watch_is_told_so() {
    let mut bench = Bench::new(quick()).await;
    bench.api.serve(&["v1"], &["get", "list"]);
    let _held = bench.sources.acquire(widgets());
    let state = bench.state(&widgets(), |s| *s != SourceState::Starting).await;
    let message = "example.com/v1 Widget does not support watch".to_owned();
    assert_eq!(state, SourceState::NotWatchable { message });
    bench.api.serve(&["v1"], VERBS);
    bench.expect(&["list", "end@100"]).await;
}
