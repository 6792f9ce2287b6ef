//! Many objects at once: order for each, limits for all, the right state in the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::Reply;
use testbed::receiver::{Request, max_in_flight};

use crate::delivery::uid;
use crate::world::{World, told, verified};

/// For hundreds of objects on a busy machine.
const LONG: Duration = Duration::from_mins(3);

async fn config_maps(world: &World) -> Api<ConfigMap> {
    Api::namespaced(world.plane().client().await.expect("a client"), &world.namespace)
}

fn config_map(name: &str, state: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"state": state}})).expect("it is one")
}

/// Sets `state` of many objects, some at a time.
async fn set_all(api: &Api<ConfigMap>, names: &[String], state: &str) {
    let patches = names.iter().map(|name| async {
        let patch = json!({"data": {"state": state}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("it can be changed");
    });
    futures::stream::iter(patches).buffer_unordered(8).collect::<Vec<()>>().await;
}

async fn create_all(api: &Api<ConfigMap>, names: &[String], state: &str) {
    let params = PostParams::default();
    let creations = names.iter().map(|name| {
        let (params, object) = (&params, config_map(name, state));
        async move { api.create(params, &object).await.expect("it can be created") }
    });
    futures::stream::iter(creations).buffer_unordered(8).collect::<Vec<_>>().await;
}

/// What a receiver holds that keeps, for each uid, what came with the highest sequence: the recipe of the promises.
fn mirror(requests: &[Request]) -> BTreeMap<String, Value> {
    let mut latest: HashMap<String, (u64, Option<Value>)> = HashMap::new();
    for request in requests {
        let body = verified(request);
        let change = &body["change"];
        let sequence = change["sequence"].as_u64().expect("there is a sequence");
        let object = (change["change_type"] != "removed").then(|| change["object"]["data"].clone());
        let entry = latest.entry(uid(request).expect("there is a uid")).or_default();
        if sequence > entry.0 {
            *entry = (sequence, object);
        }
    }
    latest.into_iter().filter_map(|(uid, (_, object))| Some((uid, object?))).collect()
}

async fn cluster(api: &Api<ConfigMap>) -> BTreeMap<String, Value> {
    let list = api.list(&ListParams::default()).await.expect("they can be listed");
    let object = |object: ConfigMap| (object.metadata.uid.unwrap_or_default(), json!(object.data));
    list.items.into_iter().map(object).collect()
}

fn never_two_at_once(requests: &[Request]) {
    let most = max_in_flight(requests, uid).into_values().max();
    assert_eq!(most, Some(1), "requests of one object under way at once");
}

/// One id, one state; of a later request the sequence is not lower, and higher where the event is another.
fn ids_and_sequences_hold(requests: &[Request]) {
    let mut states: HashMap<String, Value> = HashMap::new();
    let mut last: HashMap<String, (u64, String)> = HashMap::new();
    for request in requests {
        let change = verified(request)["change"].take();
        let (id, sequence) = (change["id"].as_str().unwrap_or_default().to_owned(), change["sequence"].as_u64());
        assert_eq!(request.header("webhook-id"), Some(id.as_str()));
        let told =
            json!([change["change_type"], change["object"]["data"], change["sequence"], change["resource"]["uid"]]);
        assert_eq!(states.entry(id.clone()).or_insert_with(|| told.clone()), &told, "{id}");
        let sequence = sequence.expect("there is a sequence");
        let (before, event) = last.entry(uid(request).expect("there is a uid")).or_default();
        assert!(sequence > *before || (sequence == *before && *event == id), "{id}: {sequence} after {before}");
        (*before, *event) = (sequence, id);
    }
    let sequences: HashSet<_> = states.values().map(|told| told[2].to_string()).collect();
    assert_eq!(sequences.len(), states.len(), "a sequence is an event's own");
}

#[tokio::test]
async fn five_hundred_objects_changed_three_times_end_in_the_right_state_at_a_flaky_endpoint() {
    let world = World::shared().await;
    // Three of ten requests fail, one of thirty by a reset: by a count, so that no object is always unlucky.
    let count = Mutex::new(0_u32);
    world.receiver.rule(move |_| {
        let mut count = count.lock().ok()?;
        *count = count.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        match *count >> 16 & 1023 {
            0..307 => Some(Reply::Status(500)),
            307..341 => Some(Reply::Reset),
            _ => None,
        }
    });
    world
        .subscribe("flaky", json!({"retryPolicy": {"maxRetries": 20, "initialDelaySeconds": 1, "maxDelaySeconds": 2}}))
        .await;
    let api = config_maps(&world).await;
    let names: Vec<String> = (0..500).map(|number| format!("thing-{number}")).collect();
    create_all(&api, &names, "0").await;
    set_all(&api, &names, "1").await;
    set_all(&api, &names, "2").await;
    for name in &names[..50] {
        api.delete(name, &DeleteParams::default()).await.expect("it can be deleted");
    }
    let wanted = cluster(&api).await;
    assert_eq!(wanted.len(), 450);
    let settled = |object: &Value| {
        let delivery = &object["status"]["delivery"];
        delivery["pending"] == 0 && delivery["parked"] == 0 && delivery["inFlight"] == 0
    };
    let done = testbed::eventually(LONG, || async {
        let object = world.get("flaky").await;
        if settled(&object) && mirror(&world.receiver.requests("/flaky")) == wanted {
            return Ok(());
        }
        Err(object["status"]["delivery"].to_string())
    })
    .await;
    done.expect("everything arrives");
    let requests = world.receiver.requests("/flaky");
    never_two_at_once(&requests);
    ids_and_sequences_hold(&requests);
}

#[tokio::test]
async fn of_an_object_that_changes_while_its_request_hangs_only_the_newest_state_follows() {
    let world = World::shared().await;
    let slow = Reply::Status(200).after(Duration::from_secs(4));
    world.receiver.script("/slow", vec![slow]);
    world.subscribe("slow", json!({})).await;
    world.config_map("thing", json!({"state": "0"})).await;
    world.requests("slow", 1).await;
    let api = config_maps(&world).await;
    for state in 1..=10 {
        set_all(&api, &["thing".to_owned()], &state.to_string()).await;
    }
    world.config_map("other", json!({"state": "x"})).await;
    let requests = world.requests("slow", 3).await;
    // The other object did not wait for the one that hangs.
    let names: Vec<_> = requests.iter().map(|request| told(request).1).collect();
    assert_eq!(names, ["thing", "other", "thing"]);
    assert_eq!(verified(&requests[2])["change"]["object"]["data"]["state"], "10");
    assert_eq!(told(&requests[2]).0, "updated");
    assert!(requests[2].arrived >= requests[0].finished.expect("it was answered"));
    never_two_at_once(&requests);
    ids_and_sequences_hold(&requests);
    world.config_map("marker", json!({})).await;
    assert_eq!(world.requests("slow", 4).await.len(), 4);
}

#[tokio::test]
async fn an_object_that_changes_and_changes_back_while_its_request_hangs_is_not_told_again() {
    let world = World::shared().await;
    world.receiver.script("/back", vec![Reply::Status(200).after(Duration::from_secs(3))]);
    world.subscribe("back", json!({})).await;
    world.config_map("thing", json!({"state": "0"})).await;
    world.requests("back", 1).await;
    let api = config_maps(&world).await;
    for state in ["1", "0"] {
        set_all(&api, &["thing".to_owned()], state).await;
    }
    world.until("back", "not delivered", |object| object["status"]["totals"]["delivered"] == 1).await;
    world.config_map("marker", json!({})).await;
    let requests = world.requests("back", 2).await;
    assert_eq!(requests.iter().map(|request| told(request).1).collect::<Vec<_>>(), ["thing", "marker"]);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_the_subscription_allows() {
    let world = World::shared().await;
    let limits = [("one", 1_usize), ("four", 4), ("sixteen", 16)];
    for (name, limit) in limits {
        let slow = Reply::Status(200).after(Duration::from_millis(100));
        world.receiver.script_forever(&format!("/{name}"), vec![slow]);
        world.subscribe(name, json!({"endpoint": {"maxInFlight": limit}})).await;
    }
    let api = config_maps(&world).await;
    let names: Vec<String> = (0..60).map(|number| format!("thing-{number}")).collect();
    create_all(&api, &names, "0").await;
    for (name, limit) in limits {
        let requests = world.requests(name, 60).await;
        let most = max_in_flight(&requests, |_| Some(()))[&()];
        assert!(most <= limit, "{most} at once of {limit}");
        // It is a limit, not a queue of one.
        assert!(most >= limit.min(4), "{most} at once of {limit}");
        never_two_at_once(&requests);
    }
}

#[tokio::test]
async fn an_object_re_created_under_its_name_is_told_as_removed_first_and_as_new_then() {
    let world = World::shared().await;
    world.subscribe("again", json!({})).await;
    let api = config_maps(&world).await;
    for round in 0..5 {
        api.create(&PostParams::default(), &config_map("thing", &round.to_string())).await.expect("it is created");
        world.requests("again", 2 * round + 1).await;
        api.delete("thing", &DeleteParams::default()).await.expect("it is deleted");
    }
    let requests = world.requests("again", 10).await;
    let changes: Vec<_> = requests.iter().map(|request| told(request).0).collect();
    assert_eq!(changes, ["new", "removed"].repeat(5));
    let uids: HashSet<_> = requests.iter().map(uid).collect();
    assert_eq!(uids.len(), 5);
    ids_and_sequences_hold(&requests);
}
