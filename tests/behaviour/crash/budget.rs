//! What the ledger costs the API server: bytes as they are sent to it.

use std::time::{Duration, Instant};

use serde_json::json;
use testbed::eventually;
use testbed::fault_proxy::Seen;
use testbed::unrest::Unrest;

use super::{LATER, Life};

/// As promised.
const RATE: f64 = 64_000.0;
const BURST: f64 = (16 << 20) as f64;
/// What acknowledgements may overdraw, and what is around a blob.
const OVERDRAWN: f64 = 512.0 * 1024.0;

/// The most that was written beyond `RATE` in any span of time.
fn most_beyond_rate(writes: &[Seen]) -> f64 {
    let (mut most, mut beyond, mut last) = (0.0_f64, 0.0_f64, None::<Instant>);
    for write in writes {
        let passed = last.map_or(0.0, |last| write.at.saturating_duration_since(last).as_secs_f64());
        beyond = (beyond - passed * RATE).max(0.0) + write.bytes as f64;
        (most, last) = (most.max(beyond), Some(write.at));
    }
    most
}

#[tokio::test]
async fn the_ledger_is_not_written_at_rest_and_within_its_budget_under_load() {
    let mut life = Life::subscribed(json!({})).await;
    life.marker("marker").await;
    life.settled().await;
    let before = life.commits().len();
    // through a whole status interval and several of whatever else is periodic
    let at_rest = life.world.receiver.stays_quiet(Duration::from_secs(12)).await;
    at_rest.expect("nothing changes");
    assert_eq!(life.commits().len(), before, "{:#?}", life.commits());

    let client = life.world.plane().client().await.expect("a client");
    let unrest = Unrest::new(client, &life.world.namespace, 100);
    let busy = unrest.begin(3, 6, Duration::from_millis(5));
    let start = Instant::now();
    let long_enough = || async { (start.elapsed() > Duration::from_secs(25)).then_some(()) };
    eventually(LATER, long_enough).await.expect("time passes");
    let changes = busy.end().await;
    life.same_as_the_cluster().await;
    life.settled().await;
    let commits = life.commits();
    let under_load = &commits[before..];
    let bytes: u64 = under_load.iter().map(|write| write.bytes).sum();
    let events = life.tally().events();
    println!("{changes} changes, {events} events, {} writes of {bytes} bytes to the ledger", under_load.len());
    assert!(under_load.iter().all(|write| write.bytes > 0), "the length of each is known");
    let most = most_beyond_rate(under_load);
    assert!(most <= BURST + OVERDRAWN, "{most} bytes beyond the rate");
    assert!(bytes < events as u64 * 1_000, "an event costs {} bytes", bytes / events as u64);
    life.is_sound();
}
