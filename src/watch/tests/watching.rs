//! From a complete list on: resuming, and beginning anew.

use std::time::Duration;

use super::api::{Answer, Asked, bookmark, error, event, list, object};
use super::bench::{Bench, quick, widgets};
use crate::watch::metrics::{ListKind, Restart};
use crate::watch::{Settings, SourceState};

fn watching(state: &SourceState) -> bool {
    matches!(state, SourceState::Watching { .. })
}

#[tokio::test]
async fn a_list_is_followed_by_changes_as_they_come() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    bench.api.set("b");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "end@102"]).await;
    bench.api.set("a");
    bench.api.delete("b");
    bench.expect(&["a@103", "-b@104"]).await;
    bench
        .until("the version is shown", |b| {
            b.sources.state(&widgets()) == Some(SourceState::Watching { namespaced: true, rv: 104 })
        })
        .await;
    assert!(bench.api.asked().iter().all(|asked| asked.encoding == "identity"), "no request asks for compression");
}

#[tokio::test]
async fn a_cut_watch_resumes_from_the_last_version_and_misses_nothing() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.api.cut();
    bench.api.set("b");
    bench.expect(&["b@102"]).await;
    bench.api.set("c");
    bench.expect(&["c@103"]).await;
    let resumed: Vec<String> =
        bench.api.asked().iter().filter(|a| a.is_watch()).map(|a| a.get("resourceVersion").to_owned()).collect();
    assert_eq!(resumed, ["101"]);
    assert_eq!(bench.api.count(Asked::is_streaming), 1, "nothing was listed again");
}

#[tokio::test]
async fn a_watch_that_ends_in_order_resumes_from_the_last_bookmark() {
    let mut bench = Bench::new(quick()).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.rv(500);
    bench.api.push(&bookmark(500, false));
    bench.api.end();
    bench.until("resumed", |b| b.api.count(|a| a.is_watch() && a.get("resourceVersion") == "500") == 1).await;
    bench.api.set("a");
    bench.expect(&["a@501"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Ended), 1);
}

#[tokio::test]
async fn half_a_line_at_the_end_of_a_broken_watch_is_not_taken_for_a_line() {
    let mut bench = Bench::new(quick()).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    let line = event("ADDED", &object("a", 101));
    bench.api.push(&line[..line.len() - 1]);
    bench.api.cut();
    bench.api.set("a");
    bench.expect(&["a@101"]).await;
    assert_eq!(bench.metrics.undecodables(), 0);
}

#[tokio::test]
async fn gone_as_an_http_status_leads_to_a_new_list() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    bench.api.set("b");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "end@102"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.trick(Asked::is_watch, Answer::Plain(410, "too old".into()));
    bench.api.lose("a");
    bench.api.cut();
    bench.expect(&["list", "b@102", "end@103"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Gone), 1);
}

#[tokio::test]
async fn gone_as_an_event_leads_to_a_new_list() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.push(&error(410));
    bench.expect(&["list", "a@101", "end@101"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Gone), 1);
    let again = bench.api.asked().into_iter().rfind(Asked::is_streaming).unwrap();
    assert_eq!(again.get("resourceVersion"), "101", "the second list is at least as new as the first");
}

#[tokio::test]
async fn other_errors_resume_and_only_repeated_ones_list_anew() {
    let mut bench = Bench::new(quick()).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.trick(Asked::is_watch, Answer::Stream(error(500)));
    bench.api.push(&error(500));
    bench.until("resumed twice", |b| b.api.count(Asked::is_watch) == 2).await;
    assert_eq!(bench.api.count(Asked::is_streaming), 1);
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.push(&error(500));
    bench.expect(&["list", "end@100"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Error), 3);
}

#[tokio::test]
async fn an_undecodable_object_on_the_watch_costs_only_itself() {
    let mut bench = Bench::new(quick()).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.set_raw("odd", r#"{"metadata":{"namespace":"ns","name":"odd","resourceVersion":"101"}}"#);
    bench.api.set("b");
    bench.expect(&["?ns/odd", "b@102"]).await;
    assert_eq!(bench.metrics.undecodables(), 1);
    // deleting needs no more than uid and version, however odd the rest is
    bench.api.push(&event("DELETED", r#"{"metadata":{"name":7,"uid":"odd","resourceVersion":"103"},"spec":9}"#));
    bench.expect(&["-odd@103"]).await;
}

#[tokio::test]
async fn a_line_about_nobody_knows_what_is_healed_by_a_list_when_the_watch_ends() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.push("{\"type\":\"ADD\n");
    bench.api.set("b");
    bench.expect(&["b@102"]).await;
    bench.api.end();
    bench.expect(&["list", "a@101", "b@102", "end@102"]).await;
    assert_eq!((bench.metrics.undecodables(), bench.metrics.restarts(Restart::Unreadable)), (1, 1));
}

#[tokio::test]
async fn a_line_about_nobody_knows_what_is_healed_by_a_list_in_time_however_busy_the_watch_is() {
    let mut bench = Bench::new(Settings { doubt_min: Duration::from_millis(100), ..quick() }).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.push("{\"type\":\"ADD\n");
    // the reports wait for the reader, so the watch always has a line ready
    while bench.metrics.restarts(Restart::Unreadable) == 0 {
        bench.api.set("a");
        bench.report().await;
    }
    assert_eq!(bench.metrics.undecodables(), 1);
}

#[tokio::test]
async fn a_list_with_something_nameless_is_followed_by_another_in_time() {
    let mut bench = Bench::new(Settings { doubt_min: Duration::from_millis(20), ..quick() }).await;
    bench.api.streaming(false);
    bench.api.set("a");
    let odd = list("101", "", &["7".to_owned()]);
    bench.api.trick(Asked::is_list, Answer::Plain(200, odd));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@101 ?", "list", "a@101", "end@101"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Unreadable), 1);
}

#[tokio::test]
async fn a_line_too_long_leads_to_a_new_list() {
    let mut bench = Bench::new(Settings { line_bytes: 1000, ..quick() }).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.push(&"x".repeat(1001));
    bench.expect(&["list", "end@100"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Oversize), 1);
}

#[tokio::test]
async fn a_silent_watch_is_resumed() {
    let mut bench = Bench::new(Settings { idle_timeout: Duration::from_millis(50), ..quick() }).await;
    bench.api.trick(Asked::is_streaming, Answer::Silent(bookmark(100, true)));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.api.set("a");
    bench.expect(&["a@101"]).await;
    assert!(bench.metrics.restarts(Restart::Idle) >= 1);
    assert_eq!(bench.api.count(Asked::is_streaming), 1);
}

#[tokio::test]
async fn a_watch_from_a_version_in_the_future_is_found_out_and_its_kind_held() {
    let mut bench = Bench::new(Settings { idle_timeout: Duration::from_millis(50), ..quick() }).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    // the API server's storage goes back in time, which its watches do not say
    bench.api.rv(50);
    bench.state(&widgets(), |s| matches!(s, SourceState::Stale { .. })).await;
    assert!(bench.metrics.restarts(Restart::Future) >= 1);
    bench.api.rv(101);
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.state(&widgets(), watching).await;
}

#[tokio::test]
async fn a_forbidden_or_failing_watch_holds_what_was_seen_and_goes_on_by_itself() {
    let mut bench = Bench::new(quick()).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.state(&widgets(), watching).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    for code in [403, 503] {
        for _ in 0..3 {
            bench.api.trick(Asked::is_watch, Answer::Plain(code, String::new()));
        }
    }
    bench.api.cut();
    let forbidden = bench.state(&widgets(), |s| matches!(s, SourceState::Forbidden { .. })).await;
    let SourceState::Forbidden { message } = forbidden else { unreachable!() };
    assert!(message.contains("may not watch widgets.example.com in the whole cluster"), "{message}");
    assert!(message.contains(r#"resources: ["widgets"], verbs: ["list", "watch"]"#), "{message}");
    bench.state(&widgets(), watching).await;
    bench.api.set("b");
    bench.expect(&["b@102"]).await;
    assert_eq!(bench.metrics.lists(ListKind::Streaming), 1);
}

#[tokio::test]
async fn an_older_bookmark_or_a_version_not_reached_leads_to_a_new_list() {
    let mut bench = Bench::new(quick()).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.push(&bookmark(99, false));
    bench.expect(&["list", "end@100"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Future), 1);
    bench.until("watching", |b| b.api.watches() >= 1).await;
    bench.api.trick(Asked::is_watch, Answer::Plain(504, "Too large resource version".into()));
    bench.api.cut();
    bench.expect(&["list", "end@100"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Future), 2);
}

#[tokio::test]
async fn a_watch_without_contact_for_too_long_is_not_resumed() {
    let mut bench = Bench::new(Settings { resume_within: Duration::ZERO, ..quick() }).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.cut();
    bench.expect(&["list", "end@100"]).await;
    assert_eq!((bench.api.count(Asked::is_watch), bench.metrics.restarts(Restart::Aged)), (0, 1));
}

#[tokio::test]
async fn an_api_server_that_always_says_gone_is_not_listed_in_a_storm() {
    let settings = Settings { backoff_min: Duration::from_millis(40), backoff_max: Duration::from_mins(1), ..quick() };
    let mut bench = Bench::new(settings).await;
    for _ in 0..5 {
        bench.api.trick(Asked::is_streaming, Answer::Stream(bookmark(100, true) + &error(410)));
    }
    let began = std::time::Instant::now();
    let _held = bench.sources.acquire(widgets());
    for _ in 0..6 {
        bench.expect(&["list", "end@100"]).await;
    }
    // at once, then at least 20, 40, 80 and 160 ms
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}
