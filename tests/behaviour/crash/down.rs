//! What happens, or does not, while no operator runs.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::Reply;

use super::{LATER, Life, NAME};
use crate::world::World;

/// Waits longer than [`World::condition`]: what is looked for may take a claim and a few retries.
async fn until(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) {
    let look = || async {
        let object = world.get(NAME).await;
        if wanted(&object) { Ok(()) } else { Err(format!("{what}; its status is {:#}", object["status"])) }
    };
    if let Err(error) = testbed::eventually(LATER, look).await {
        panic!("{error}\n{}", world.operator().log());
    }
}

#[tokio::test]
async fn a_restart_with_nothing_changed_sends_nothing_whether_it_stopped_or_was_killed() {
    let mut life = Life::subscribed(json!({})).await;
    for name in ["a", "b", "c"] {
        life.world.config_map(name, json!({"n": "1"})).await;
    }
    life.world.kubectl(&["delete", "configmap", "b"]).await;
    life.same_as_the_cluster().await;
    let told = life.tally();
    // stopped while answers are young: they are written before it ends
    life.stop().await;
    life.start().await;
    life.marker("after-the-stop").await;
    assert_eq!(life.tally().0.len(), told.0.len() + 1, "{:?}", life.told());

    life.settled().await;
    life.kill().await;
    life.start().await;
    life.marker("after-the-kill").await;
    assert_eq!(life.tally().0.len(), told.0.len() + 2, "{:?}", life.told());
    // and again without having been sent anything at all meanwhile
    life.settled().await;
    life.kill().await;
    life.start().await;
    life.kill().await;
    life.start().await;
    life.marker("after-two-kills").await;
    assert_eq!(life.tally().0.len(), told.0.len() + 3, "{:?}", life.told());
    life.is_sound();
}

#[tokio::test]
async fn what_happened_while_it_was_down_is_told_once() {
    let selector = json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap",
        "labelSelector": {"matchExpressions": [{"key": "hidden", "operator": "DoesNotExist"}]}}]});
    let mut life = Life::subscribed(selector).await;
    let names = ["kept", "edited", "deleted", "replaced", "hidden"];
    let mut expected = Vec::new();
    for round in ["stopped", "killed"] {
        for name in names {
            life.world.config_map(&format!("{name}-{round}"), json!({"n": "1"})).await;
            expected.push(format!("new {name}-{round}"));
        }
        life.told_exactly(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        life.settled().await;
        if round == "stopped" {
            life.stop().await;
        } else {
            life.kill().await;
        }
        let world = &life.world;
        for n in ["2", "3"] {
            world.config_map(&format!("edited-{round}"), json!({"n": n})).await;
        }
        world.kubectl(&["delete", "configmap", &format!("deleted-{round}"), &format!("replaced-{round}")]).await;
        world.config_map(&format!("replaced-{round}"), json!({"n": "1"})).await;
        world.kubectl(&["label", "configmap", &format!("hidden-{round}"), "hidden=yes"]).await;
        world.config_map(&format!("created-{round}"), json!({})).await;
        world.config_map("brief", json!({})).await;
        world.kubectl(&["delete", "configmap", "brief"]).await;
        life.start().await;
        for word in
            ["updated edited", "removed deleted", "removed replaced", "new replaced", "removed hidden", "new created"]
        {
            expected.push(format!("{word}-{round}"));
        }
        life.told_exactly(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    life.marker("marker").await;
    expected.push("new marker".to_owned());
    life.told_exactly(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(life.tally().repeats(), 0);
    life.is_sound();
}

#[tokio::test]
async fn a_kind_that_was_removed_while_it_was_down_takes_its_objects_along_once_its_absence_is_certain() {
    let mut life = Life::begin().await;
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let widget =
        |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}).to_string();
    life.world.plane().apply_crd_yaml(&crd.to_string()).await.expect("the CRD is accepted");
    let resources =
        json!([{"apiVersion": "example.com/v1", "kind": "Widget"}, {"apiVersion": "v1", "kind": "ConfigMap"}]);
    life.world.subscribe(NAME, json!({"resources": resources})).await;
    for name in ["a", "b"] {
        life.world.apply(&widget(name)).await;
    }
    life.told_exactly(&["new a", "new b"]).await;
    life.settled().await;
    life.kill().await;
    life.world.kubectl(&["delete", "crd", "widgets.example.com", "--timeout=60s"]).await;
    life.start().await;
    life.told_exactly(&["new a", "new b", "removed a", "removed b"]).await;
    // a restart in the middle of that knowledge does not tell it again
    life.settled().await;
    life.kill().await;
    life.start().await;
    life.marker("marker").await;
    life.world.plane().apply_crd_yaml(&crd.to_string()).await.expect("the CRD is accepted");
    life.world.apply(&widget("a")).await;
    life.told_exactly(&["new a", "new a", "new b", "new marker", "removed a", "removed b"]).await;
    life.is_sound();
}

#[tokio::test]
async fn after_an_outage_with_restarts_in_it_everything_arrives_without_a_human() {
    let policy = json!({"maxRetries": 1, "initialDelaySeconds": 1, "maxDelaySeconds": 1, "outageMaxDelaySeconds": 2});
    let mut life = Life::subscribed(json!({"retryPolicy": policy})).await;
    life.marker("deleted").await;
    life.marker("edited").await;
    life.settled().await;
    life.world.receiver.go_down().await.expect("it goes down");
    for n in 0..30 {
        life.world.config_map(&format!("thing-{n}"), json!({"n": "1"})).await;
    }
    life.world.kubectl(&["delete", "configmap", "deleted"]).await;
    let parked = |object: &Value| {
        object["status"]["endpoint"]["breaker"] == "Open" && object["status"]["delivery"]["parked"].as_u64() >= Some(3)
    };
    until(&life.world, "nothing is parked", parked).await;
    life.kill().await;
    life.world.config_map("edited", json!({"n": "2"})).await;
    life.world.config_map("thing-0", json!({"n": "2"})).await;
    life.start().await;
    // what was parked is still known to be owed, and the endpoint is still known to be down
    until(&life.world, "the outage is forgotten", |object| {
        let delivery = &object["status"]["delivery"];
        let owed = [&delivery["pending"], &delivery["parked"]].map(|count| count.as_u64().unwrap_or_default());
        owed.iter().sum::<u64>() == 32 && object["status"]["endpoint"]["breaker"] == "Open"
    })
    .await;
    life.stop().await;
    life.world.config_map("thing-1", json!({"n": "2"})).await;
    life.world.kubectl(&["delete", "configmap", "thing-2"]).await;
    life.start().await;
    until(&life.world, "the outage is forgotten", |object| object["status"]["endpoint"]["breaker"] == "Open").await;
    assert_eq!(life.tally().0.len(), 2, "nothing has arrived");
    life.world.receiver.come_up().await.expect("it comes up");
    life.same_as_the_cluster().await;
    let well = |object: &Value| {
        let delivery = &object["status"]["delivery"];
        object["status"]["endpoint"]["breaker"] == "Closed" && delivery["pending"] == 0 && delivery["parked"] == 0
    };
    until(&life.world, "not well", well).await;
    // each is told in its newest state, once: what merged during the outage was never a request
    let mut expected: Vec<String> = (0..30).filter(|n| *n != 2).map(|n| format!("new thing-{n}")).collect();
    expected.extend(["new deleted", "new edited", "removed deleted", "updated edited"].map(str::to_owned));
    expected.sort();
    let mut told = life.told();
    // nobody knows any more that no request about it ever got through
    told.retain(|word| word != "removed thing-2");
    assert_eq!(told, expected);
    life.is_sound();
}

#[tokio::test]
async fn what_was_under_way_at_the_crash_is_told_again_with_the_same_id_only_while_it_is_still_so() {
    let mut life = Life::subscribed(json!({})).await;
    let path = format!("/{NAME}");
    let hangs = |life: &Life| life.world.receiver.script_forever(&path, vec![Reply::Hang]);
    let answers = |life: &Life| life.world.receiver.script(&path, vec![]);
    let names = ["same", "edited", "deleted"];
    hangs(&life);
    for name in names {
        life.world.config_map(name, json!({"n": "1"})).await;
    }
    life.world.requests(NAME, 3).await;
    life.kill().await;
    life.world.config_map("edited", json!({"n": "2"})).await;
    life.world.kubectl(&["delete", "configmap", "deleted"]).await;
    answers(&life);
    life.start().await;
    life.same_as_the_cluster().await;
    life.told_exactly(&["new deleted", "new edited", "new edited", "new same", "removed deleted"]).await;
    let tally = life.tally();
    let ids = |name: &str| tally.0.iter().filter(|it| it.name == name).map(|it| it.id.as_str()).collect::<Vec<_>>();
    assert_eq!(ids("same").len(), 2);
    assert_eq!((tally.repeats(), ids("same")[0]), (1, ids("same")[1]), "{:?}", life.told());

    // the same for what was removed
    hangs(&life);
    life.world.kubectl(&["delete", "configmap", "same", "edited"]).await;
    life.world.requests(NAME, 8).await;
    life.kill().await;
    life.world.config_map("edited", json!({"n": "3"})).await;
    answers(&life);
    life.start().await;
    life.same_as_the_cluster().await;
    let removed = |name: &str| {
        let tally = life.tally();
        let ids = tally.0.iter().filter(|it| it.name == name && it.change == "removed").map(|it| it.id.clone());
        ids.collect::<Vec<_>>()
    };
    let look = || async { (removed("same").len() == 2 && removed("edited").len() == 2).then_some(()) };
    testbed::eventually(Duration::from_secs(30), look).await.expect("both are told again");
    assert!(removed("same")[0] == removed("same")[1] && removed("edited")[0] == removed("edited")[1]);
    life.is_sound();
}
