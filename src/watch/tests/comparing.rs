//! Comparisons: a watch that lost something is found out, and a sound one never.

use std::time::Duration;

use super::api::{Answer, Api, Asked, bookmark, object};
use super::bench::{Bench, quick, widgets};
use crate::watch::Settings;
use crate::watch::metrics::Restart;
use changehook_core::object::SourceId;

fn often() -> Settings {
    let often = Duration::from_millis(10);
    Settings { compare_every: often, compare_again: often, ..quick() }
}

fn comparisons(bench: &Bench) -> usize {
    bench.api.count(Asked::is_comparison)
}

#[tokio::test]
async fn a_lost_deletion_is_found_by_a_comparison_and_healed_by_a_list() {
    let mut bench = Bench::new(often()).await;
    bench.api.set("a");
    bench.api.set("b");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "end@102"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.lose("a");
    bench.api.set("c");
    bench.expect(&["c@104", "list", "b@102", "c@104", "end@104"]).await;
    assert_eq!((bench.metrics.divergence(), bench.metrics.restarts(Restart::Diverged)), (1, 1));
    let before = comparisons(&bench);
    bench.until("compared again", |b| comparisons(b) > before + 5).await;
    assert_eq!(bench.metrics.divergence(), 1);
}

#[tokio::test]
async fn a_difference_counts_only_when_the_watch_has_passed_the_version_of_the_list() {
    let mut bench = Bench::new(often()).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    bench.api.lose("a");
    let of_all = |bench: &Bench| bench.api.count(|asked| asked.is_comparison() && !asked.path.contains("namespaces"));
    bench.until("compared once", |b| of_all(b) >= 1).await;
    // as long as it takes another source to be compared many times
    let other = SourceId { namespace: Some("ns".into()), ..widgets() };
    let _other = bench.sources.acquire(other);
    bench.expect(&["list", "end@102"]).await;
    bench.until("another is compared", |b| comparisons(b) - of_all(b) > 20).await;
    assert!(of_all(&bench) <= 2, "one that may have been before the loss, and one after it");
    assert_eq!(bench.metrics.divergence(), 0);
    bench.api.push(&bookmark(102, false));
    bench.expect(&["list", "end@102"]).await;
    assert_eq!(bench.metrics.divergence(), 1);
}

#[tokio::test]
async fn a_sound_watch_of_busy_objects_never_differs_for_long() {
    let mut bench = Bench::new(often()).await;
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "end@100"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    let (mut n, mut lives) = (0, [0; 7]);
    while comparisons(&bench) < 50 {
        n += 1;
        // one that comes after another's deletion is another object: names are uids here, and no uid comes back
        let life = &mut lives[n % 7];
        let name = format!("w-{}-{life}", n % 7);
        bench.api.set(&name);
        bench.report().await;
        if n.is_multiple_of(3) {
            *life += 1;
            bench.api.delete(&name);
            bench.report().await;
        }
    }
    assert_eq!((bench.metrics.divergence(), bench.api.count(Asked::is_streaming)), (0, 1));
}

#[tokio::test]
async fn comparisons_read_names_by_pages_on_connections_of_their_own() {
    let (api, another) = (Api::start().await, Api::start().await);
    let mut bench = Bench::between(api, another.clone(), Settings { page_size: 2, ..often() });
    for name in ["a", "b", "c"] {
        bench.api.set(name);
        another.set(name);
    }
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "b@102", "c@103", "end@103"]).await;
    bench.until("compared", |_| another.count(|asked| asked.get("continue") == "2") >= 3).await;
    assert!(another.asked().iter().all(|asked| asked.is_comparison() && asked.get("limit") == "2"));
    assert_eq!(comparisons(&bench), 0);
    assert_eq!(bench.metrics.divergence(), 0);
}

#[tokio::test]
async fn a_comparison_that_fails_proves_nothing_and_the_watch_goes_on() {
    let mut bench = Bench::new(often()).await;
    bench.api.set("a");
    let _held = bench.sources.acquire(widgets());
    bench.expect(&["list", "a@101", "end@101"]).await;
    bench.until("watching", |b| b.api.watches() == 1).await;
    for _ in 0..3 {
        bench.api.trick(Asked::is_comparison, Answer::Plain(503, String::new()));
        bench.api.trick(Asked::is_comparison, Answer::Plain(200, "{".into()));
        let nameless = format!(r#"{{"metadata":{{"resourceVersion":"101"}},"items":[{{}},{}]}}"#, object("a", 101));
        bench.api.trick(Asked::is_comparison, Answer::Plain(200, nameless));
    }
    bench.until("compared", |b| comparisons(b) > 12).await;
    bench.api.set("b");
    bench.expect(&["b@102"]).await;
    assert_eq!((bench.metrics.divergence(), bench.api.count(Asked::is_streaming)), (0, 1));
}
