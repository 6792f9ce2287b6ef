//! A kill around every single API write of a scripted life: before the API server has it; after it is done and before the
//! operator knows; and before, with the write arriving when its writer is dead and another one has taken over.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use serde_json::json;
use testbed::fault_proxy::{Matcher, Moment, StopPoint};
use testbed::tally::{Kill, Telling};
use testbed::{Operator, eventually};

use super::{LATER, Life, NAME, SETTLED};
use crate::world::World;

/// What becomes of the write around which its writer is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Lost,
    Done,
    Late,
}

/// So many are taken as known that it takes a segment.
const KNOWN: usize = 120;

/// From the first claim to the last acknowledgement: objects that are taken as known, one that comes, changes and goes.
async fn story(life: &Life) {
    let world = &life.world;
    let client = world.plane().client().await.expect("a client");
    let maps: Api<ConfigMap> = Api::namespaced(client, &world.namespace);
    let known = (0..KNOWN).map(|n| {
        let (metadata, maps) = (ObjectMeta { name: Some(format!("known-{n}")), ..ObjectMeta::default() }, maps.clone());
        async move { maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await }
    });
    try_join_all(known).await.expect("they can be made");
    world.secret().await;
    world.apply(&world.subscription(NAME, json!({})).to_string()).await;
    world.ready(NAME).await;
    let told = async |n: &str| {
        let look = || async { states_told(life).iter().any(|state| state == n).then_some(()) };
        eventually(LATER, look).await.unwrap_or_else(|error| panic!("state {n} is not told: {error}"));
    };
    world.config_map("thing", json!({"n": "1"})).await;
    told("1").await;
    world.config_map("thing", json!({"n": "2"})).await;
    told("2").await;
    world.kubectl(&["delete", "configmap", "thing"]).await;
    told("gone").await;
}

/// What the endpoint was told of, event by event: `data.n` of each, `gone` for what was removed, nothing for the marker.
fn states_told(life: &Life) -> Vec<String> {
    let mut events: Vec<_> = life.tally().0;
    events.sort_by_key(|telling| telling.sequence);
    events.dedup_by(|one, other| one.id == other.id);
    let state = |telling: &Telling| match telling.change.as_str() {
        "removed" => "gone".to_owned(),
        _ => telling.object["data"]["n"].as_str().unwrap_or_default().to_owned(),
    };
    events.iter().map(state).collect()
}

/// Waits until the write is held, kills its writer, and starts another one.
async fn kill_at(
    life: &Life,
    victim: &Operator,
    stop: StopPoint,
    fate: Fate,
    reached: &Cell<bool>,
) -> (Kill, Operator) {
    stop.reached(LATER * 2).await.expect("the story takes no longer");
    reached.set(true);
    let begun = Instant::now();
    victim.kill().await.expect("it ends");
    let kill = Kill { begun, over: Instant::now() };
    if fate != Fate::Late {
        drop(stop);
        life.free_lease().await;
        return (kill, victim.again().await.expect("the operator gets ready again"));
    }
    life.free_lease().await;
    let again = victim.again().await.expect("the operator gets ready again");
    stop.release();
    (kill, again)
}

/// Kills the operator at the `nth` write that fits; false if there are not so many.
async fn killed_at(base: &World, number: usize, writes: &Matcher, nth: usize, fate: Fate) -> bool {
    let mut life = Life::of(base.beside().await, number).await;
    let moment = if fate == Fate::Done { Moment::After } else { Moment::Before };
    let stop = life.proxy.stop_at(writes.clone(), nth, moment);
    let operator = Operator::start_unready(life.options()).await.expect("the operator starts");
    let over = async {
        story(&life).await;
        // its last writes may be to come
        life.world.receiver.stays_quiet(SETTLED).await.is_ok()
    };
    let reached = Cell::new(false);
    let killed = {
        let mut killing = pin!(kill_at(&life, &operator, stop, fate, &reached));
        let mut over = pin!(over);
        tokio::select! {
            killed = &mut killing => {
                over.await;
                Some(killed)
            }
            quiet = &mut over => {
                assert!(quiet || reached.get(), "nothing is sent at rest");
                if reached.get() { Some(killing.await) } else { None }
            }
        }
    };
    if let Some((kill, again)) = killed {
        life.kills.push(kill);
        life.world.operator = Some(Arc::new(again));
        life.marker("marker").await;
        assert_eq!(states_told(&life), ["1", "2", "gone", ""], "killed at write {nth}, which was {fate:?}");
        life.is_sound();
    } else {
        life.world.operator = Some(Arc::new(operator));
    }
    life.kill().await;
    life.world.kubectl(&["delete", "whsub", NAME]).await;
    reached.get()
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
    killed_around(&super::commits(), Fate::Lost, 5, usize::MAX).await;
}

#[tokio::test]
async fn a_kill_between_any_commit_and_its_answer_loses_nothing_and_makes_nothing_up() {
    killed_around(&super::commits(), Fate::Done, 5, usize::MAX).await;
}

#[tokio::test]
async fn a_commit_that_arrives_after_its_writers_death_changes_nothing() {
    killed_around(&super::commits(), Fate::Late, 5, usize::MAX).await;
}

#[tokio::test]
async fn a_kill_around_any_write_of_the_status_loses_nothing_and_makes_nothing_up() {
    killed_around(&Matcher::writes("webhooksubscriptions"), Fate::Lost, 2, 4).await;
    killed_around(&Matcher::writes("webhooksubscriptions"), Fate::Done, 2, 4).await;
}
