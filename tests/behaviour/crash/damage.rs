//! Ledgers that somebody lost, damaged, copied or edited: the operator finds it out, says so, and does with the endpoint
//! what the subscription wants done.

use std::time::Duration;

use serde_json::json;
use testbed::ledger::{Ledger, Stored};
use testbed::{Reply, eventually};

use super::{LATER, Life, NAME};
use crate::history::History;
use crate::world::condition;

/// So many objects that the journal has been sealed into segments.
const OBJECTS: usize = 150;

/// An operator that has told of objects, and rests.
async fn with_records(patch: serde_json::Value) -> Life {
    let life = Life::subscribed(patch).await;
    for n in 0..OBJECTS {
        life.world.config_map(&format!("thing-{n}"), json!({"n": "1"})).await;
    }
    tells(&life, OBJECTS).await;
    life.settled().await;
    // slow enough that telling everything again outlasts the interval of the status
    life.world.receiver.set_default(Reply::Status(200).after(Duration::from_millis(300)));
    life
}

/// Waits until so many events were told in all.
async fn tells(life: &Life, count: usize) {
    let all = || async {
        let events = life.tally().events();
        if events >= count { Ok(()) } else { Err(format!("{events} events of {count}")) }
    };
    if let Err(error) = eventually(LATER, all).await {
        panic!("{error}\n{}", life.log_tail());
    }
}

/// The newest, which the Head reaches for sure.
async fn a_segment(ledger: &Ledger) -> Stored {
    let list = ledger.list().await.expect("the ledger can be listed");
    let number = |one: &Stored| {
        let numbers = one.name().split('-').skip(1).map(|part| part.parse::<u64>().unwrap_or_default());
        numbers.collect::<Vec<_>>()
    };
    let segments = list.into_iter().filter(|one| one.role() == "Segment");
    segments.max_by_key(number).expect("the journal has been sealed")
}

/// Waits until the operator says that records are lost.
async fn says_lost(life: &Life, history: &History) {
    let said = || async {
        let said = history.of_condition(NAME, "LedgerIntact");
        if said.iter().any(|said| said == "False(LedgerLost)") { Ok(()) } else { Err(format!("{said:?}")) }
    };
    if let Err(error) = eventually(LATER, said).await {
        panic!("it does not say that the ledger is lost: {error}\n{}", life.log_tail());
    }
}

#[tokio::test]
async fn records_that_are_lost_while_it_is_down_are_missed_and_everything_is_told_again() {
    let mut life = with_records(json!({})).await;
    let ledger = life.ledger().await;
    let mut told = OBJECTS;
    for damage in ["all deleted", "Head deleted", "Head flipped", "Head cut off", "Segment deleted", "Segment flipped"]
    {
        let history = History::of(&life.world).await;
        let before = life.tally().0.iter().map(|telling| telling.sequence).max().expect("events were told");
        life.stop().await;
        let done = match damage {
            "all deleted" => ledger.clear().await,
            "Head deleted" => ledger.delete("head").await,
            "Head flipped" => ledger.put(&ledger.the("Head").await.unwrap().with_bit_flipped(40).unwrap()).await,
            "Head cut off" => ledger.put(&ledger.the("Head").await.unwrap().truncated(60).unwrap()).await,
            "Segment deleted" => ledger.delete(a_segment(&ledger).await.name()).await,
            _ => ledger.put(&a_segment(&ledger).await.with_bit_flipped(-20).unwrap()).await,
        };
        done.unwrap_or_else(|error| panic!("{damage}: {error:?}"));
        life.world.config_map("thing-0", json!({"n": damage})).await;
        life.start().await;
        says_lost(&life, &history).await;
        told += OBJECTS;
        tells(&life, told).await;
        life.same_as_the_cluster().await;
        life.settled().await;
        let tally = life.tally();
        assert_eq!((tally.events(), tally.contradictions()), (told, vec![]), "{damage}");
        let after = tally.0[tally.0.len() - OBJECTS..].iter().all(|telling| telling.sequence > before);
        assert!(after, "{damage}: sequences only grow");
    }
    // whatever it was, the ledger is whole again
    life.kill().await;
    life.start().await;
    life.marker("marker").await;
    assert_eq!(life.tally().events(), told + 1);
}

#[tokio::test]
async fn where_loss_means_adoption_a_lost_ledger_tells_nothing_and_what_changes_afterwards_is_told() {
    let mut life = with_records(json!({"onLedgerLoss": "Adopt"})).await;
    life.stop().await;
    life.ledger().await.clear().await.expect("the ledger can be deleted");
    life.start().await;
    life.world.ready(NAME).await;
    life.world.config_map("thing-1", json!({"n": "2"})).await;
    life.marker("marker").await;
    let told = life.told();
    assert_eq!((told.len(), told.contains(&"updated thing-1".to_owned())), (OBJECTS + 2, true), "{told:?}");
    life.is_sound();
}

#[tokio::test]
async fn an_older_copy_and_another_clusters_ledger_are_not_taken_for_ones_own() {
    let (mut life, other) = tokio::join!(with_records(json!({})), with_records(json!({})));
    let ledger = life.ledger().await;
    let copy = ledger.list().await.expect("the ledger can be listed");
    let foreign = other.ledger().await.list().await.expect("the ledger can be listed");
    drop(other);
    let mut told = OBJECTS;
    for (n, what, records) in [(0, "an older copy", copy), (1, "another cluster's", foreign)] {
        let history = History::of(&life.world).await;
        for edited in 0..OBJECTS / 2 {
            life.world.config_map(&format!("thing-{edited}"), json!({"n": what})).await;
        }
        // the one that is gone by then is new again for this
        told += OBJECTS / 2;
        tells(&life, told).await;
        life.settled().await;
        life.stop().await;
        ledger.restore(&records).await.expect("the ledger can be written");
        life.world.kubectl(&["delete", "configmap", &format!("thing-{n}")]).await;
        life.start().await;
        says_lost(&life, &history).await;
        if n == 0 {
            // of an object that the copy knows it is told even that it is gone
            life.same_as_the_cluster().await;
        }
        life.marker(&format!("marker-{n}")).await;
        life.settled().await;
        told = life.tally().events();
        assert!(life.tally().contradictions().is_empty(), "{what}: {:#?}", life.tally().contradictions());
    }
}

#[tokio::test]
async fn a_ledger_of_a_future_format_is_left_alone_and_nothing_is_sent() {
    let mut life = with_records(json!({})).await;
    let ledger = life.ledger().await;
    life.stop().await;
    let head = ledger.the("Head").await.unwrap();
    let mut data = head.data().unwrap();
    // the format, after the four letters every blob begins with
    data[4] = 99;
    let future = head.clone().with_data(data).unwrap().with_format(99);
    ledger.put(&future).await.unwrap();
    let before = ledger.list().await.unwrap();
    life.world.config_map("thing-0", json!({"n": "2"})).await;
    life.start_unready().await;
    let ended = life.operator().wait(LATER).await.expect("it ends, or it could only wait for ever");
    assert!(!ended.success());
    let log = life.operator().log();
    assert!(log.contains("it has format 99, this version reads up to"), "{log}");
    let versions = |list: &[Stored]| list.iter().map(|one| one.version().to_owned()).collect::<Vec<_>>();
    assert_eq!(versions(&ledger.list().await.unwrap()), versions(&before), "nothing is touched");
    assert_eq!(life.tally().events(), OBJECTS);
    // the newer version is back, so to say
    ledger.put(&head).await.unwrap();
    life.start().await;
    life.same_as_the_cluster().await;
    assert_eq!(life.tally().events(), OBJECTS + 1);
    life.is_sound();
}

#[tokio::test]
async fn a_head_that_is_damaged_or_deleted_while_it_runs_ends_it_with_a_reason_before_anything_else_is_sent() {
    let mut life = with_records(json!({})).await;
    let ledger = life.ledger().await;
    for edit in ["damaged", "deleted"] {
        let before = life.tally();
        let head = ledger.the("Head").await.unwrap();
        match edit {
            "damaged" => ledger.put(&head.with_bit_flipped(30).unwrap()).await.unwrap(),
            _ => ledger.delete("head").await.unwrap(),
        }
        life.world.config_map("thing-0", json!({"n": edit})).await;
        let ended = life.operator().wait(LATER).await.expect("it ends");
        let log = life.operator().log();
        assert!(!ended.success() && log.contains("failed to commit: the ledger's head was"), "{edit}: {log}");
        assert_eq!(life.tally().0.len(), before.0.len(), "{edit}: nothing was declared, so nothing is sent");
        let history = History::of(&life.world).await;
        life.free_lease().await;
        life.start().await;
        says_lost(&life, &history).await;
        tells(&life, before.events() + OBJECTS).await;
        life.same_as_the_cluster().await;
        life.settled().await;
        let after = life.tally();
        assert_eq!((after.events(), after.contradictions()), (before.events() + OBJECTS, vec![]), "{edit}");
    }
}

#[tokio::test]
async fn a_head_that_somebody_touched_without_changing_what_it_says_is_written_on() {
    let mut life = with_records(json!({})).await;
    let ledger = life.ledger().await;
    let before = life.tally();
    ledger.put(&ledger.the("Head").await.unwrap().with_format(2)).await.unwrap();
    life.world.config_map("thing-0", json!({"n": "touched"})).await;
    tells(&life, before.events() + 1).await;
    life.same_as_the_cluster().await;
    assert_eq!(life.tally().events(), before.events() + 1);
    assert!(life.operator().wait(Duration::ZERO).await.is_err(), "it goes on");
}

#[tokio::test]
async fn the_ledgers_kind_itself_may_be_deleted_and_installed_again() {
    let mut life = with_records(json!({})).await;
    let history = History::of(&life.world).await;
    life.world.kubectl(&["delete", "crd", "deliveryledgers.changehook.dev", "--timeout=60s"]).await;
    life.world.config_map("thing-0", json!({"n": "2"})).await;
    let quiet = life.world.receiver.stays_quiet(Duration::from_secs(2)).await;
    quiet.expect("nothing can be declared");
    life.world.plane().apply_crds(&crate::world::root().join("crds")).await.expect("the CRDs are accepted");
    // the Head it knew is gone, which ends it
    eventually(LATER, async || life.operator().wait(Duration::ZERO).await).await.expect("it ends");
    life.restart_if_it_ended().await;
    says_lost(&life, &history).await;
    life.same_as_the_cluster().await;
    let ready = life.world.ready(NAME).await;
    assert!(condition(&ready, "LedgerIntact").is_some());
    assert!(life.tally().contradictions().is_empty());
}
