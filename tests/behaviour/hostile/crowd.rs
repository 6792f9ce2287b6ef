//! Tenants that ask for more than their share. How much of it others feel at full load is measured by `cargo noise`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use testbed::Reply;
use testbed::receiver::{Request, max_in_flight};

use crate::world::{SOON, World, told, verified};

/// What a quiet neighbour's change may take at most, on a busy machine. The noisy one's requests take longer.
const PROMPT: Duration = Duration::from_secs(5);

/// Changes of a neighbour, each of which has to arrive promptly.
async fn is_served(quiet: &World, name: &str, changes: usize) {
    let mut latencies = Vec::new();
    for number in 0..changes {
        quiet.config_map(&format!("thing-{number}"), json!({})).await;
        let made = Instant::now();
        let requests = quiet.requests(name, number + 1).await;
        latencies.push(requests[number].arrived.saturating_duration_since(made));
    }
    latencies.sort_unstable();
    assert!(latencies[changes - 1] < PROMPT, "{latencies:?}");
}

#[tokio::test]
async fn a_hundred_and_fifty_subscriptions_to_a_host_that_hangs_get_a_hosts_share_and_delay_nobody() {
    const MANY: usize = 150;
    let world = World::shared().await;
    let quiet = world.beside().await;
    quiet.subscribe("quiet", json!({})).await;
    world.receiver.set_default(Reply::Hang);
    world.secret().await;
    world.config_map("thing", json!({})).await;
    let patch = json!({"initialSync": "Notify", "endpoint": {"timeoutSeconds": 30}});
    let all: Vec<String> =
        (0..MANY).map(|n| world.subscription(&format!("dead-{n}"), patch.clone()).to_string()).collect();
    world.apply(&all.join("\n---\n")).await;
    // all that one host may have, the places of newcomers included
    world.receiver.wait_until(|all| all.len() >= 24, SOON).await.expect("they begin");
    is_served(&quiet, "quiet", 20).await;
    let most = max_in_flight(&world.receiver.all_requests(), |_| Some(()))[&()];
    assert!((24..=32).contains(&most), "{most} at once");
}

#[tokio::test]
async fn of_objects_that_change_without_a_pause_a_slow_endpoint_gets_the_newest_states_and_neighbours_are_served() {
    const OBJECTS: usize = 10;
    let world = World::shared().await;
    let quiet = world.beside().await;
    quiet.subscribe("quiet", json!({})).await;
    world.receiver.script_forever("/noisy", vec![Reply::Status(200).after(Duration::from_millis(500))]);
    world.subscribe("noisy", json!({})).await;
    let client = world.plane().client().await.expect("a client");
    let change = |object: usize, state: usize| {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("thing-{object}")},
            "data": {"state": state.to_string()}});
        let path =
            format!("/api/v1/namespaces/{}/configmaps/thing-{object}?fieldManager=test&force=true", world.namespace);
        let request = http::Request::patch(path).header("Content-Type", "application/apply-patch+yaml");
        let request = request.body(body.to_string().into_bytes()).expect("names need no escaping");
        let client = client.clone();
        async move { client.request::<Value>(request).await.expect("it can be changed") }
    };
    let mut states = 0;
    let noise = async {
        loop {
            states += 1;
            join_all((0..OBJECTS).map(|object| change(object, states))).await;
        }
    };
    tokio::select! {
        () = is_served(&quiet, "quiet", 20) => {}
        () = noise => {}
    }
    states += 1;
    join_all((0..OBJECTS).map(|object| change(object, states))).await;
    let newest = |all: &[Request]| {
        let on_path = all.iter().filter(|request| request.path() == "/noisy");
        let last: BTreeMap<String, Value> = on_path
            .map(|request| (told(request).1, verified(request)["change"]["object"]["data"]["state"].clone()))
            .collect();
        last.len() == OBJECTS && last.values().all(|state| state.as_str() == Some(&*states.to_string()))
    };
    let all = world.receiver.wait_until(newest, SOON).await.expect("the newest states arrive");
    let sent = all.iter().filter(|request| request.path() == "/noisy").count();
    assert!(states >= 20 && sent < states * OBJECTS / 2, "{sent} requests for {states} states of {OBJECTS} objects");
    assert_eq!(max_in_flight(&all, |request| Some(told(request).1)).into_values().max(), Some(1));
}
