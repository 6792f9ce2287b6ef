//! Lists that lack most of what was known are asked for again before they are believed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::api::{Answer, Asked, bookmark, error, event, list, object};
use super::bench::{Bench, quick, widgets};
use crate::watch::metrics::Restart;
use crate::watch::{Past, Settings};

const LOOK: Duration = Duration::from_millis(200);

/// Thirty objects, listed and watched.
async fn thirty(streaming: bool) -> (Bench, crate::watch::SourceHandle, Vec<String>) {
    let mut bench = Bench::new(Settings { second_look: LOOK, ..quick() }).await;
    bench.api.streaming(streaming);
    let all = fill(&bench);
    let held = bench.sources.acquire(widgets());
    expect_list(&mut bench, &all, Some(130)).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    (bench, held, all)
}

fn fill(bench: &Bench) -> Vec<String> {
    (0..30).map(|n| format!("w-{n:02}")).map(|name| format!("{name}@{}", bench.api.set(&name))).collect()
}

/// The reports of one list, and of its end if it is believed.
async fn expect_list(bench: &mut Bench, shown: &[String], end: Option<u64>) {
    let end = end.map(|rv| format!("end@{rv}"));
    let words: Vec<&str> =
        std::iter::once("list").chain(shown.iter().map(String::as_str)).chain(end.as_deref()).collect();
    bench.expect(&words).await;
}

#[tokio::test]
async fn a_list_with_less_than_half_of_the_items_is_not_believed_if_the_next_one_has_them_all() {
    for streaming in [true, false] {
        let (mut bench, _held, all) = thirty(streaming).await;
        let few: Vec<String> = (0..9).map(|n| object(&format!("w-{n:02}"), 101 + n)).collect();
        if streaming {
            let lines: String = few.iter().map(|object| event("ADDED", object)).collect();
            bench.api.trick(Asked::is_streaming, Answer::Silent(lines + &bookmark(130, true)));
        } else {
            bench.api.trick(Asked::is_page, Answer::Plain(200, list("130", "", &few)));
        }
        let began = Instant::now();
        bench.api.push(&error(410));
        expect_list(&mut bench, &all[..9], None).await;
        expect_list(&mut bench, &all, Some(130)).await;
        assert!(began.elapsed() >= LOOK, "{:?}", began.elapsed());
        assert_eq!(bench.metrics.restarts(Restart::Vanished), 1);
    }
}

#[tokio::test]
async fn what_two_lists_lack_is_gone() {
    let (mut bench, _held, all) = thirty(true).await;
    (0..25).for_each(|n| bench.api.lose(&format!("w-{n:02}")));
    let began = Instant::now();
    bench.api.push(&error(410));
    expect_list(&mut bench, &all[25..], None).await;
    expect_list(&mut bench, &all[25..], Some(155)).await;
    assert!(began.elapsed() >= LOOK, "{:?}", began.elapsed());
    // the next time it is asked for twice again
    bench.until("watching", |b| b.api.watches() == 1).await;
    let refilled = fill(&bench);
    bench.expect(&refilled.iter().map(String::as_str).collect::<Vec<_>>()).await;
    (0..30).for_each(|n| bench.api.lose(&format!("w-{n:02}")));
    bench.api.push(&error(410));
    bench.expect(&["list", "list", "end@215"]).await;
    assert_eq!(bench.metrics.restarts(Restart::Vanished), 2);
}

#[tokio::test]
async fn a_first_list_without_what_an_earlier_life_knew_is_asked_for_again() {
    let mut bench = Bench::new(Settings { second_look: LOOK, ..quick() }).await;
    let kind = widgets().gvk.group_kind();
    let mut past = Past::default();
    (0..30).for_each(|n| past.knew(&kind, Some(&Arc::from("ns")), &format!("w-{n:02}")));
    bench.sources.recall(past);
    let all = fill(&bench);
    bench.api.trick(Asked::is_streaming, Answer::Silent(bookmark(130, true)));
    let held = bench.sources.acquire(widgets());
    expect_list(&mut bench, &[], None).await;
    expect_list(&mut bench, &all, Some(130)).await;
    assert_eq!(bench.metrics.restarts(Restart::Vanished), 1);
    // what became of them is known now, so that a later source does not expect them
    drop(held);
    bench.expect(&["stopped"]).await;
    bench.until("forgotten", |b| b.sources.state(&widgets()).is_none()).await;
    (0..30).for_each(|n| bench.api.lose(&format!("w-{n:02}")));
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@160"]).await;
}
