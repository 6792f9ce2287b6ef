//! What a fold leaves, damaged; and a leader that dies or sleeps in the middle of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use testbed::fault_proxy::{Matcher, Moment, StopPoint};
use testbed::ledger::{Ledger, Stored};
use testbed::{Operator, eventually};

use super::{LATER, Life, NAME};
use crate::history::History;
use crate::world::World;

/// So many objects that the journal has been sealed into segments, without which there is nothing to fold.
const OBJECTS: usize = 150;
/// A second subscription to the same, so that there are parts of two to be mixed up.
const OTHER: &str = "other";

/// An operator that folds so often, and that has told of objects.
async fn folding(every_seconds: u32, patch: Value) -> Life {
    let mut life = Life::of(World::private().await, 0).await;
    let mut options = life.options();
    for (name, seconds) in [
        ("ledger-fold-interval-seconds", every_seconds),
        ("lease-duration-seconds", 6),
        ("lease-renew-deadline-seconds", 4),
        ("lease-retry-period-seconds", 1),
    ] {
        options.settings.insert(name, seconds.to_string());
    }
    let operator = Operator::start(options).await.expect("the operator gets ready");
    life.world.operator = Some(Arc::new(operator));
    life.world.subscribe(NAME, patch.clone()).await;
    life.world.subscribe(OTHER, patch).await;
    let objects = (0..OBJECTS).map(|n| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("thing-{n}")}}).to_string()
    });
    life.world.apply(&objects.collect::<Vec<_>>().join("\n---\n")).await;
    tells(&life, OBJECTS).await;
    life
}

/// Waits until so many events were told of each subscription.
async fn tells(life: &Life, count: usize) {
    let all = || async {
        let (events, others) = (life.tally().events(), life.world.receiver.requests(&format!("/{OTHER}")).len());
        if events >= count && others >= count { Ok(()) } else { Err(format!("{events} and {others} of {count}")) }
    };
    if let Err(error) = eventually(LATER, all).await {
        panic!("{error}\n{}", life.log_tail());
    }
}

async fn of_role(ledger: &Ledger, role: &str) -> Vec<Stored> {
    let mut list = ledger.list().await.expect("the ledger can be listed");
    list.retain(|one| one.role() == role);
    list
}

fn names(list: &[Stored]) -> BTreeSet<String> {
    list.iter().map(|one| one.name().to_owned()).collect()
}

/// Waits until everything is in shards, other ones than `before`.
async fn folded(life: &Life, before: &BTreeSet<String>) -> BTreeSet<String> {
    let ledger = life.ledger().await;
    let look = || async {
        let (shards, segments) = (names(&of_role(&ledger, "Shard").await), of_role(&ledger, "Segment").await);
        if shards.len() == 2 && shards.is_disjoint(before) && segments.is_empty() {
            Ok(shards)
        } else {
            Err(format!("{} segments, {shards:?}", segments.len()))
        }
    };
    match eventually(LATER, look).await {
        Ok(shards) => shards,
        Err(error) => panic!("not folded: {error}\n{}", life.log_tail()),
    }
}

/// Damages all of a role, one for each subscription.
async fn damage(ledger: &Ledger, role: &str, how: &str) {
    let parts = of_role(ledger, role).await;
    let [one, other] = parts.as_slice() else { panic!("{} of {role}", parts.len()) };
    let swapped = [other.data().expect("a blob"), one.data().expect("a blob")];
    for (part, others) in parts.iter().zip(swapped) {
        let done = match how {
            "deleted" => ledger.delete(part.name()).await,
            "flipped" => ledger.put(&part.clone().with_bit_flipped(-20).expect("it is long enough")).await,
            "swapped" => ledger.put(&part.clone().with_data(others).expect("it is a blob")).await,
            how => panic!("{how}?"),
        };
        done.unwrap_or_else(|error| panic!("{role} {how}: {error:?}"));
    }
}

const DAMAGES: [(&str, &str); 6] = [
    ("Shard", "flipped"),
    ("Shard", "deleted"),
    ("Shard", "swapped"),
    ("Index", "flipped"),
    ("Index", "deleted"),
    ("Index", "swapped"),
];

async fn says_lost(life: &Life, history: &History, what: &str) {
    for name in [NAME, OTHER] {
        let said = || async {
            let said = history.of_condition(name, "LedgerIntact");
            if said.iter().any(|said| said == "False(LedgerLost)") { Ok(()) } else { Err(format!("{said:?}")) }
        };
        if let Err(error) = eventually(LATER, said).await {
            panic!("{what}: {name} does not say that it is lost: {error}\n{}", life.log_tail());
        }
    }
}

#[tokio::test]
async fn folded_records_that_are_damaged_are_missed_and_everything_is_told_again() {
    let mut life = folding(1, json!({})).await;
    let (mut told, mut shards) = (OBJECTS, BTreeSet::new());
    for (role, how) in DAMAGES {
        let what = format!("{role} {how}");
        shards = folded(&life, &shards).await;
        life.settled().await;
        let history = History::of(&life.world).await;
        life.stop().await;
        damage(&life.ledger().await, role, how).await;
        life.world.config_map("thing-0", json!({"n": what})).await;
        life.start().await;
        says_lost(&life, &history, &what).await;
        told += OBJECTS;
        tells(&life, told).await;
        life.same_as_the_cluster().await;
        life.settled().await;
        let tally = life.tally();
        assert_eq!((tally.events(), tally.contradictions()), (told, vec![]), "{what}");
    }
}

#[tokio::test]
async fn where_loss_means_adoption_damaged_folds_tell_nothing_and_what_changes_afterwards_is_told() {
    let mut life = folding(1, json!({"onLedgerLoss": "Adopt"})).await;
    let (mut told, mut shards) = (OBJECTS, BTreeSet::new());
    for (role, how) in DAMAGES {
        let what = format!("{role} {how}");
        shards = folded(&life, &shards).await;
        life.settled().await;
        let history = History::of(&life.world).await;
        life.stop().await;
        damage(&life.ledger().await, role, how).await;
        life.start().await;
        says_lost(&life, &history, &what).await;
        life.world.ready(NAME).await;
        life.world.config_map("thing-0", json!({"n": what})).await;
        told += 1;
        tells(&life, told).await;
        life.settled().await;
        assert_eq!(life.tally().events(), told, "{what}");
        life.same_as_the_cluster().await;
    }
    life.is_sound();
}

/// Long enough for all objects to be told and to rest before the first fold begins.
const RARELY: u32 = 25;

/// An operator whose first fold has written its first form, and is held before the second.
async fn in_the_middle_of_a_fold() -> (Life, StopPoint) {
    let life = folding(RARELY, json!({})).await;
    life.settled().await;
    let ledger = life.ledger().await;
    assert!(of_role(&ledger, "Shard").await.is_empty(), "it folds later");
    // at rest, whatever is created is a fold's
    let held = life.proxy.stop_at(Matcher::writes("deliveryledgers").method("POST"), 2, Moment::Before);
    held.reached(LATER).await.expect("it folds");
    assert_eq!(of_role(&ledger, "Shard").await.len(), 1, "the first form is there");
    (life, held)
}

/// Waits until nothing of a fold is there.
async fn is_swept(life: &Life) {
    let ledger = life.ledger().await;
    let look = || async {
        let left = [of_role(&ledger, "Shard").await, of_role(&ledger, "Index").await].concat();
        if left.is_empty() { Ok(()) } else { Err(format!("{:?}", names(&left))) }
    };
    if let Err(error) = eventually(LATER, look).await {
        panic!("{error}\n{}", life.log_tail());
    }
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_fold_loses_nothing_and_what_it_left_is_swept() {
    let (mut life, held) = in_the_middle_of_a_fold().await;
    life.kill().await;
    held.release();
    life.start().await;
    is_swept(&life).await;
    life.marker("marker").await;
    assert_eq!(life.tally().0.len(), OBJECTS + 1, "nothing is told twice");
    life.is_sound();
    // and the next fold is a whole one
    folded(&life, &BTreeSet::new()).await;
    life.settled().await;
    life.kill().await;
    life.start().await;
    life.marker("after-the-fold").await;
    assert_eq!(life.tally().0.len(), OBJECTS + 2, "nothing is told twice");
}

#[tokio::test]
async fn a_leader_that_sleeps_in_the_middle_of_a_fold_wakes_up_to_end_and_its_fold_is_swept() {
    let (mut life, held) = in_the_middle_of_a_fold().await;
    let sleeper = Arc::clone(life.world.operator.as_ref().expect("it runs"));
    sleeper.pause().await.expect("it stands still");
    // the second replica, once the Lease has run out
    life.start_unready().await;
    life.marker("told-by-the-second").await;
    life.world.config_map("thing-0", json!({"n": "2"})).await;
    sleeper.resume();
    // what it was about to write arrives all the same
    held.release();
    let ended = sleeper.wait(LATER).await.expect("it ends");
    assert!(!ended.success() && sleeper.log().contains("another replica may lead by now"), "{}", sleeper.log());
    life.same_as_the_cluster().await;
    life.settled().await;
    assert_eq!(life.tally().0.len(), OBJECTS + 2, "nothing is told twice");
    life.kill().await;
    life.start().await;
    is_swept(&life).await;
    life.marker("marker").await;
    assert_eq!(life.tally().0.len(), OBJECTS + 3, "nothing is told twice");
    life.is_sound();
}
