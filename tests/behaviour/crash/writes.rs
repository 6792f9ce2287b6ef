//! A kill around every single API write of a scripted life: before the API server has it, after it is done and before the
//! operator knows, and before, with the write arriving when its writer is long dead and another one has taken over.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use testbed::fault_proxy::{Matcher, Moment};
use testbed::tally::Kill;
use testbed::{Operator, eventually};
use tokio_util::sync::CancellationToken;

use super::{LATER, Life, NAME, SETTLED};
use crate::world::World;

/// What becomes of the write around which its writer is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Lost,
    Done,
    Late,
}

/// From the first claim to the last acknowledgement: an object that is taken as known, one that is New, Updated, Removed.
async fn story(life: &Life) {
    let world = &life.world;
    world.config_map("known", json!({"n": "1"})).await;
    world.secret().await;
    world.apply(&world.subscription(NAME, json!({})).to_string()).await;
    world.ready(NAME).await;
    let told = async |words: &str| {
        let look = || async { life.told().contains(&words.to_owned()).then_some(()) };
        eventually(LATER, look).await.unwrap_or_else(|error| panic!("{words} is not told: {error}"));
    };
    world.config_map("thing", json!({"n": "1"})).await;
    told("new thing").await;
    world.config_map("thing", json!({"n": "2"})).await;
    told("updated thing").await;
    world.kubectl(&["delete", "configmap", "thing"]).await;
    told("removed thing").await;
}

/// Kills the operator at the `nth` write that fits; false if there are not so many.
async fn killed_at(base: &World, number: usize, writes: &Matcher, nth: usize, fate: Fate) -> bool {
    let mut life = Life::of(base.beside().await, number).await;
    let moment = if fate == Fate::Done { Moment::After } else { Moment::Before };
    let stop = life.proxy.stop_at(writes.clone(), nth, moment);
    let operator = Arc::new(Operator::start_unready(life.options()).await.expect("the operator starts"));
    let over = CancellationToken::new();
    let (victim, told_over) = (Arc::clone(&operator), over.clone());
    let killer = tokio::spawn(async move {
        tokio::select! {
            held = stop.reached(LATER * 2) => drop(held.expect("the story takes no longer")),
            () = told_over.cancelled() => return None,
        }
        let begun = Instant::now();
        victim.kill().await.expect("it ends");
        let kill = Kill { begun, over: Instant::now() };
        if fate == Fate::Late {
            let again = victim.again().await;
            stop.release();
            return Some((kill, again));
        }
        drop(stop);
        Some((kill, victim.again().await))
    });
    story(&life).await;
    // its last writes may be to come
    let quiet = life.world.receiver.stays_quiet(SETTLED).await;
    over.cancel();
    let killed = killer.await.expect("the killer does not panic");
    let reached = killed.is_some();
    if let Some((kill, again)) = killed {
        life.kills.push(kill);
        life.world.operator = Some(Arc::new(again.expect("the operator gets ready again")));
        life.marker("marker").await;
        let mut expected = vec!["new marker", "new thing", "removed thing", "updated thing"];
        let told = life.told();
        // a Removed in flight at the kill is told again before the marker, as the same event
        expected.retain(|word| !word.is_empty());
        assert_eq!(told, expected, "killed at write {nth}, which was {fate:?}");
        life.is_sound();
    } else {
        quiet.expect("nothing is sent at rest");
        life.world.operator = Some(operator);
    }
    life.kill().await;
    life.world.kubectl(&["delete", "whsub", NAME]).await;
    reached
}

/// Around each of the writes that fit, of which there are at least so many.
async fn killed_around(writes: &Matcher, fate: Fate, at_least: usize, at_most: usize) {
    let base = World::private().await;
    let mut nth = 1;
    while nth <= at_most && killed_at(&base, nth, writes, nth, fate).await {
        nth += 1;
    }
    assert!(nth > at_least, "only {} writes", nth - 1);
    println!("killed around {} writes, each {fate:?}", nth - 1);
}

#[tokio::test]
async fn a_kill_before_any_commit_loses_nothing_and_makes_nothing_up() {
    killed_around(&super::commits(), Fate::Lost, 8, usize::MAX).await;
}

#[tokio::test]
async fn a_kill_between_any_commit_and_its_answer_loses_nothing_and_makes_nothing_up() {
    killed_around(&super::commits(), Fate::Done, 8, usize::MAX).await;
}

#[tokio::test]
async fn a_commit_that_arrives_after_its_writers_death_changes_nothing() {
    killed_around(&super::commits(), Fate::Late, 8, usize::MAX).await;
}

#[tokio::test]
async fn a_kill_around_any_write_of_the_status_loses_nothing_and_makes_nothing_up() {
    killed_around(&Matcher::writes("webhooksubscriptions"), Fate::Lost, 2, 4).await;
    killed_around(&Matcher::writes("webhooksubscriptions"), Fate::Done, 2, 4).await;
}
