//! How a loss of the ledger is told: even if it is made up for before anybody looks, and by whoever goes on with it.

use std::time::Duration;

use serde_json::json;
use testbed::{Reply, eventually};

use super::{LATER, Life, NAME};
use crate::history::{History, said};
use crate::world::condition;

/// Stops, loses its records, and starts.
async fn loses_its_ledger(life: &mut Life) {
    life.stop().await;
    life.ledger().await.clear().await.expect("the ledger can be deleted");
    life.start().await;
}

/// Waits until what was told of the ledger, in order, is this.
async fn told_of_ledger(life: &Life, history: &History, expected: &[&str]) {
    let look = || async {
        let told = history.of_condition(NAME, "LedgerIntact");
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    };
    if let Err(error) = eventually(LATER, look).await {
        panic!("{error}, not {expected:?}\n{}", life.log_tail());
    }
}

#[tokio::test]
async fn a_loss_that_is_made_up_for_at_once_is_told_by_a_status_and_by_one_event() {
    for policy in ["Adopt", "Replay"] {
        let mut life = Life::subscribed(json!({"onLedgerLoss": policy})).await;
        life.marker("thing").await;
        life.settled().await;
        let history = History::of(&life.world).await;
        loses_its_ledger(&mut life).await;
        told_of_ledger(&life, &history, &["True(Intact)", "False(LedgerLost)", "True(Intact)"]).await;
        let count = async |reason: &str| {
            let path = format!("jsonpath={{range .items[?(@.reason==\"{reason}\")]}}{{.series.count}}x {{end}}");
            life.world.kubectl(&["get", "events.events.k8s.io", "-o", &path]).await
        };
        // the one that ends it comes later, so that by then there would be two of the first
        let over = || async { (count("Intact").await.trim() == "x").then_some(()) };
        eventually(LATER, over).await.expect("its end is an Event");
        assert_eq!(count("LedgerLost").await.trim(), "x", "{policy}: one Event, and not a series");
        let expected = if policy == "Adopt" { 1 } else { 2 };
        life.marker("marker").await;
        assert_eq!(life.tally().events(), expected + 1, "{policy}");
    }
}

#[tokio::test]
async fn a_life_that_ends_in_the_middle_of_a_replay_leaves_it_to_the_next_one_to_say_what_was_lost() {
    const OBJECTS: usize = 12;
    let mut life = Life::subscribed(json!({"endpoint": {"maxInFlight": 1}})).await;
    for n in 0..OBJECTS {
        life.marker(&format!("thing-{n}")).await;
    }
    life.settled().await;
    let history = History::of(&life.world).await;
    life.world.receiver.set_default(Reply::Status(200).after(Duration::from_secs(1)));
    loses_its_ledger(&mut life).await;
    let lost = life.world.condition(NAME, "LedgerIntact", "False", "LedgerLost").await;
    assert!(lost["message"].as_str().unwrap_or_default().contains("is gone; everything"), "{lost}");
    life.kill().await;
    let so_far = life.tally().events();
    assert!(so_far < 2 * OBJECTS, "the replay is over: {so_far}");
    life.start().await;
    let more = || async { (life.tally().events() > so_far + 2).then_some(()) };
    eventually(LATER, more).await.expect("the replay goes on");
    let going_on = life.world.get(NAME).await;
    assert_eq!(said(&going_on, "LedgerIntact"), "False(LedgerLost)", "{going_on:#}");
    assert_eq!(condition(&going_on, "LedgerIntact").map(|told| &told["message"]), Some(&lost["message"]));
    life.world.receiver.set_default(Reply::Status(200));
    told_of_ledger(&life, &history, &["True(Intact)", "False(LedgerLost)", "True(Intact)"]).await;
    life.same_as_the_cluster().await;
}
