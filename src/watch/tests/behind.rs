//! Versions: what an earlier life saw is not gone back behind, unless versions count anew.

use std::time::{Duration, Instant};

use super::api::{Answer, Api, Asked, list, object};
use super::bench::{Bench, quick, widgets};
use crate::watch::metrics::Restart;
use crate::watch::{Past, Settings, SourceState};

fn stale(state: &SourceState) -> bool {
    matches!(state, SourceState::Stale { .. })
}

fn watching(state: &SourceState) -> bool {
    matches!(state, SourceState::Watching { .. })
}

fn idle_soon() -> Settings {
    Settings { idle_timeout: Duration::from_millis(30), ..quick() }
}

#[tokio::test]
async fn a_first_list_older_than_what_an_earlier_life_saw_is_refused_until_it_is_not() {
    for streaming in [true, false] {
        let mut bench = Bench::new(quick()).await;
        bench.api.streaming(streaming);
        bench.api.set("a");
        let mut past = Past::default();
        past.saw(widgets(), 110);
        bench.sources.recall(past);
        let _held = bench.sources.acquire(widgets());
        bench.state(&widgets(), stale).await;
        bench.api.rv(110);
        // nothing of the older lists was reported
        bench.expect(&["list", "a@101", "end@110"]).await;
        bench.state(&widgets(), watching).await;
        assert_eq!(bench.metrics.rewinds(), 0);
    }
}

#[tokio::test]
async fn a_source_that_was_stopped_does_not_go_back_behind_what_it_has_shown() {
    let mut bench = Bench::new(quick()).await;
    let held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    drop(held);
    bench.expect(&["stopped"]).await;
    bench.until("forgotten", |b| b.sources.state(&widgets()).is_none()).await;
    bench.api.rv(99);
    let _held = bench.sources.acquire(widgets());
    bench.state(&widgets(), stale).await;
    bench.api.rv(100);
    bench.expect(&["list", "end@100"]).await;
}

#[tokio::test]
async fn a_bookmark_is_nothing_that_was_shown() {
    let mut bench = Bench::new(quick()).await;
    let held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.push(&super::api::bookmark(500, false));
    bench
        .until("the watch moves", |b| {
            b.sources.state(&widgets()) == Some(SourceState::Watching { namespaced: true, rv: 500 })
        })
        .await;
    drop(held);
    bench.expect(&["stopped"]).await;
    bench.until("forgotten", |b| b.sources.state(&widgets()).is_none()).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
}

#[tokio::test]
async fn when_every_list_is_older_for_a_while_versions_count_anew_and_the_kind_is_listed() {
    let rewind_after = Duration::from_millis(300);
    let mut bench = Bench::new(Settings { rewind_after, ..idle_soon() }).await;
    bench.api.set("a");
    bench.api.set("b");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "end@102"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    let began = Instant::now();
    bench.api.restore(50, &[("a", 40)]);
    bench.expect(&["rewound", "list", "a@40", "end@50"]).await;
    assert!(began.elapsed() >= rewind_after, "{:?}", began.elapsed());
    bench.state(&widgets(), watching).await;
    assert_eq!((bench.metrics.rewinds(), bench.metrics.restarts(Restart::Rewound)), (1, 1));
    // and from there on as ever
    bench.api.set("c");
    bench.expect(&["c@51"]).await;
}

#[tokio::test]
async fn a_list_that_is_new_enough_in_between_ends_the_count() {
    let rewind_after = Duration::from_millis(600);
    let mut bench = Bench::new(Settings { rewind_after, ..quick() }).await;
    let mut past = Past::default();
    past.saw(widgets(), 110);
    bench.sources.recall(past);
    let _held = bench.sources.acquire(widgets());
    bench.state(&widgets(), stale).await;
    let behind = Instant::now();
    bench.until("half of the time is over", |_| behind.elapsed() >= rewind_after / 2).await;
    bench.api.rv(110);
    bench.expect(&["list", "end@110"]).await;
    let began = Instant::now();
    bench.api.rv(50);
    bench.api.push(&super::api::error(410));
    bench.expect(&["rewound"]).await;
    assert!(began.elapsed() >= rewind_after, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_api_server_that_only_lags_behind_another_one_is_never_believed() {
    let (old, new) = (Api::start().await, Api::start().await);
    new.rv(110);
    let mut bench = Bench::between(old, new.clone(), Settings { rewind_after: Duration::ZERO, ..quick() });
    let mut past = Past::default();
    past.saw(widgets(), 110);
    bench.sources.recall(past);
    let _held = bench.sources.acquire(widgets());
    bench.state(&widgets(), stale).await;
    bench.until("the other one is asked again and again", |_| new.count(Asked::is_list) > 5).await;
    assert_eq!(bench.metrics.rewinds(), 0);
    new.trick(Asked::is_list, Answer::Plain(503, String::new()));
    bench.until("a failure is no proof", |_| new.count(Asked::is_list) > 10).await;
    assert_eq!(bench.metrics.rewinds(), 0);
    new.trick(Asked::is_list, Answer::Plain(200, list("109", "", &[object("a", 1)])));
    bench.expect(&["rewound", "list", "end@100"]).await;
}
