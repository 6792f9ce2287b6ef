//! The list that every watch begins with.

use std::time::Duration;

use super::api::{Answer, Asked, COLLECTION, bookmark, error, event, list, object};
use super::bench::{Bench, quick, widgets};
use crate::watch::metrics::{ListKind, Restart};
use crate::watch::{Settings, SourceState};
use changehook_core::object::{Body, Gvk, SourceEvent, SourceId};

fn pages_of_two() -> Settings {
    Settings { page_size: 2, ..quick() }
}

#[tokio::test]
async fn where_streaming_lists_are_refused_pages_are_read_and_that_is_remembered() {
    let mut bench = Bench::new(pages_of_two()).await;
    bench.api.streaming(false);
    for name in ["a", "b", "c"] {
        bench.api.set(name);
    }
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "c@103", "end@103"]).await;
    bench.api.set("d");
    bench.expect(&["d@104"]).await;
    bench.api.push(&error(410));
    bench.expect(&["list", "a@101", "b@102", "c@103", "d@104", "end@104"]).await;
    assert_eq!(bench.api.count(Asked::is_streaming), 1, "tried once");
    assert_eq!(bench.metrics.lists(ListKind::Paged), 2);
    let pages = bench.api.asked().into_iter().filter(Asked::is_list);
    assert!(pages.into_iter().all(|page| page.get("resourceVersion").is_empty()), "each list is consistent");
}

#[tokio::test]
async fn a_streaming_list_that_breaks_before_its_end_is_begun_again_by_pages() {
    for broken in [
        Answer::Stream(event("ADDED", &object("a", 101)) + &error(500)),
        Answer::Stream(event("ADDED", &object("a", 101))),
        Answer::Broken(event("ADDED", &object("a", 101))),
    ] {
        let mut bench = Bench::new(quick()).await;
        bench.api.set("a");
        bench.api.trick(Asked::is_streaming, broken);
        let _held = bench.sources.acquire(widgets());
        bench.expect(&["list", "a@101", "list", "a@101", "end@101"]).await;
        assert_eq!((bench.metrics.lists(ListKind::Paged), bench.metrics.lists(ListKind::Streaming)), (1, 0));
    }
}

#[tokio::test]
async fn a_streaming_list_that_never_ends_is_given_up() {
    let mut bench = Bench::new(Settings { call_timeout: Duration::from_millis(200), ..quick() }).await;
    bench.api.trick(Asked::is_streaming, Answer::Silent(event("ADDED", &object("a", 90))));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@90", "list", "end@100"]).await;
}

#[tokio::test]
async fn changes_during_a_streaming_list_are_reported() {
    let mut bench = Bench::new(quick()).await;
    let text = [
        event("ADDED", &object("a", 90)),
        event("ADDED", &object("b", 80)),
        event("DELETED", &object("a", 101)),
        event("MODIFIED", &object("b", 102)),
        bookmark(102, true),
    ];
    bench.api.trick(Asked::is_streaming, Answer::Silent(text.concat()));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@90", "b@80", "-a@101", "b@102", "end@102"]).await;
}

#[tokio::test]
async fn a_list_continued_at_another_version_is_begun_again() {
    let mut bench = Bench::new(pages_of_two()).await;
    bench.api.streaming(false);
    for name in ["a", "b", "c"] {
        bench.api.set(name);
    }
    let inconsistent = list("999", "", &[object("c", 103)]);
    bench.api.trick(|asked| !asked.get("continue").is_empty(), Answer::Plain(200, inconsistent));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "list", "a@101", "b@102", "c@103", "end@103"]).await;
    assert_eq!(bench.metrics.restarts(Restart::List), 1);
}

#[tokio::test]
async fn an_expired_continue_token_begins_the_list_again_and_its_replacement_is_not_used() {
    let mut bench = Bench::new(pages_of_two()).await;
    bench.api.streaming(false);
    for name in ["a", "b", "c"] {
        bench.api.set(name);
    }
    let expired = r#"{"kind":"Status","code":410,"reason":"Expired","metadata":{"continue":"inconsistent"}}"#;
    bench.api.trick(|asked| !asked.get("continue").is_empty(), Answer::Plain(410, expired.into()));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "list", "a@101", "b@102", "c@103", "end@103"]).await;
    assert_eq!(bench.api.count(|asked| asked.get("continue") == "inconsistent"), 0);
}

#[tokio::test]
async fn a_continue_token_that_expires_while_objects_are_deleted_shows_none_of_them() {
    let mut bench = Bench::new(pages_of_two()).await;
    bench.api.streaming(false);
    for name in ["a", "b", "c", "d", "e"] {
        bench.api.set(name);
    }
    bench.api.trick(|asked| asked.get("continue") == "2", Answer::Plain(410, String::new()));
    let _held = bench.sources.acquire(widgets());
    // the first page waits for the reader, and two of the objects go: one that it shows, and one that it does not
    bench.expect(&["list", "a@101"]).await;
    bench.api.lose("a");
    bench.api.lose("d");
    bench.expect(&["b@102", "list", "b@102", "c@103", "e@105", "end@107"]).await;
    assert_eq!(bench.metrics.restarts(Restart::List), 1);
}

#[tokio::test]
async fn a_page_too_large_is_asked_for_with_fewer_objects() {
    let mut bench = Bench::new(Settings { page_size: 4, page_bytes: 500, ..quick() }).await;
    bench.api.streaming(false);
    for name in ["a", "b", "c", "d"] {
        bench.api.set(name);
    }
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "c@103", "d@104", "end@104"]).await;
    let limits: Vec<String> =
        bench.api.asked().iter().filter(|a| a.is_list()).map(|a| a.get("limit").to_owned()).collect();
    assert_eq!(limits, ["4", "2", "2"]);
}

#[tokio::test]
async fn a_stale_list_is_refused_whichever_way_it_is_made() {
    for streaming in [true, false] {
        let mut bench = Bench::new(quick()).await;
        bench.api.streaming(streaming);
        bench.api.set("a");
        let _held = bench.sources.acquire(widgets());
        bench.expect(&["list", "a@101", "end@101"]).await;
        bench.api.delete("a");
        bench.expect(&["-a@102"]).await;
        for _ in 0..3 {
            bench.api.trick(Asked::is_list, Answer::Plain(200, list("101", "", &[object("a", 101)])));
        }
        bench.api.push(&error(410));
        bench.state(&widgets(), |s| matches!(s, SourceState::Stale { .. })).await;
        // neither the deleted object nor an end was reported
        bench.expect(&["list", "end@102"]).await;
        bench.state(&widgets(), |s| matches!(s, SourceState::Watching { .. })).await;
    }
}

#[tokio::test]
async fn undecodable_objects_in_a_list_are_named_and_the_others_are_listed() {
    for streaming in [true, false] {
        let mut bench = Bench::new(quick()).await;
        bench.api.streaming(streaming);
        bench.api.set("a");
        bench.api.set_raw("b", r#"{"metadata":{"namespace":"ns","name":"b"}}"#);
        bench.api.set("c");
        let _held = bench.sources.acquire(widgets());
        bench.expect(&["list", "a@101", "c@103", "end@103 ?ns/b"]).await;
        bench.until("watching", |b| b.api.watches() == 1).await;
        bench.api.set_raw("d", r#"{"metadata":null}"#);
        bench.api.push(&error(410));
        bench.expect(&["list", "a@101", "c@103", "end@104 ?"]).await;
    }
}

#[tokio::test]
async fn a_version_that_is_no_number_is_told_as_not_supported() {
    for (version, item) in
        [("abc", object("a", 1)), ("", object("a", 1)), ("5", object("a", 1).replace("\"1\"", "\"x1\""))]
    {
        let mut bench = Bench::new(quick()).await;
        bench.api.streaming(false);
        let odd = list(version, "", &[item]);
        for _ in 0..100 {
            bench.api.trick(Asked::is_page, Answer::Plain(200, odd.clone()));
        }
        let _held = bench.sources.acquire(widgets());
        if version == "5" {
            bench.expect(&["list"]).await;
        }
        bench.state(&widgets(), |s| matches!(s, SourceState::Unsupported { .. })).await;
    }
}

#[tokio::test]
async fn a_failing_list_is_told_and_goes_on_by_itself() {
    let mut bench = Bench::new(quick()).await;
    bench.api.trick(Asked::is_streaming, Answer::Plain(503, r#"{"reason":"ServiceUnavailable"}"#.into()));
    bench.api.trick(Asked::is_streaming, Answer::Plain(503, r#"{"reason":"ServiceUnavailable"}"#.into()));
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    let state = bench.state(&widgets(), |s| matches!(s, SourceState::Failing { .. })).await;
    let told = "failed to watch widgets.example.com: the API server answered 503 ServiceUnavailable";
    assert_eq!(state, SourceState::Failing { message: told.into() });
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.state(&widgets(), |s| matches!(s, SourceState::Watching { .. })).await;
}

#[tokio::test]
async fn one_namespace_is_listed_and_watched_in_that_namespace_only() {
    let mut bench = Bench::new(quick()).await;
    bench.api.streaming(false);
    let id = SourceId { namespace: Some("ns".into()), ..widgets() };
    let _held = bench.sources.acquire(id);
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    let asked = bench.api.asked();
    assert!(asked.iter().any(|a| a.is_watch() && a.path == "/apis/example.com/v1/namespaces/ns/widgets"));
    assert!(asked.iter().all(|a| a.path != COLLECTION));
}

#[tokio::test]
async fn secrets_are_asked_for_as_metadata_and_nothing_else_of_them_is_kept() {
    for streaming in [true, false] {
        let mut bench = Bench::new(quick()).await;
        bench.api.streaming(streaming);
        let text = r#"{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":
            {"namespace":"ns","name":"s","uid":"s","resourceVersion":"7"},"data":{"k":"c2VjcmV0"}}"#;
        bench.api.set_raw("s", &text.replace('\n', ""));
        let _held = bench.sources.acquire(SourceId { gvk: Gvk::new("v1", "Secret"), namespace: None });
        bench.expect(&["list"]).await;
        let crate::watch::Report::Event { event: SourceEvent::Upsert(row), .. } = bench.report().await else {
            panic!("no row")
        };
        let Body::Whole(body) = &row.body else { panic!("no body") };
        let body = String::from_utf8_lossy(body).into_owned();
        assert!(
            body.contains("Secret") && !body.contains("c2VjcmV0") && !body.contains("PartialObjectMetadata"),
            "{body}"
        );
        bench.expect(&["end@101"]).await;
        bench.until("watching", |b| b.api.watches() == 1).await;
        for asked in bench.api.asked().iter().filter(|asked| asked.path == "/api/v1/secrets") {
            assert!(asked.accept.contains("as=PartialObjectMetadata"), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn a_kind_without_namespaces_is_not_watched_in_one() {
    let mut bench = Bench::new(quick()).await;
    let id = SourceId { gvk: Gvk::new("v1", "Node"), namespace: Some("ns".into()) };
    let _held = bench.sources.acquire(id.clone());
    let state = bench.state(&id, |s| *s != SourceState::Starting).await;
    let message = "v1 Node is cluster-scoped and cannot be watched in a namespace".to_owned();
    assert_eq!(state, SourceState::NotWatchable { message });
}
