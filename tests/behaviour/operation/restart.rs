//! Stopped or killed, and started again.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::eventually;

use crate::world::{World, told, verified};

/// The process ids of the children of a process (Linux).
fn children(parent: u32) -> Vec<u32> {
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let is_child = |pid: &u32| {
        let stat = stat(*pid).unwrap_or_default();
        // the parent is the second word after the name in parentheses
        let word = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        word.and_then(|word| word.parse().ok()) == Some(parent)
    };
    let entries = std::fs::read_dir("/proc").expect("there are processes").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

#[tokio::test]
async fn a_restart_with_nothing_changed_sends_nothing_and_what_changed_meanwhile_is_told_once() {
    let mut world = World::private().await;
    world.start_operator().await;
    world.subscribe("restart", json!({})).await;
    for name in ["kept", "edited", "deleted"] {
        world.config_map(name, json!({"n": "1"})).await;
    }
    world.requests("restart", 3).await;

    // nothing changes
    assert!(world.operator().stop().await.expect("it ends").success());
    let since = world.since("restart").await;
    world.start_operator().await;
    world.caught_up("restart", 3, &since).await;
    // a marker: whatever the restart sent would be here before it
    world.config_map("first-marker", json!({})).await;
    let requests = world.requests("restart", 4).await;
    assert_eq!(told(&requests[3]), ("new".to_owned(), "first-marker".to_owned()));

    // everything changes
    assert!(world.operator().stop().await.expect("it ends").success());
    world.config_map("edited", json!({"n": "2"})).await;
    world.config_map("created", json!({})).await;
    world.kubectl(&["delete", "configmap", "deleted"]).await;
    let since = world.since("restart").await;
    world.start_operator().await;
    world.caught_up("restart", 4, &since).await;
    world.config_map("second-marker", json!({})).await;
    let requests = world.requests("restart", 8).await;
    let mut news: Vec<_> = requests[4..].iter().map(told).collect();
    news.sort();
    let expected = [("new", "created"), ("new", "second-marker"), ("removed", "deleted"), ("updated", "edited")];
    assert_eq!(news, expected.map(|(change, name)| (change.to_owned(), name.to_owned())));

    let sequence = |value: &Value| value["change"]["sequence"].as_u64().expect("each request has one");
    let sequences: Vec<_> = requests.iter().map(|request| sequence(&verified(request))).collect();
    let (before, after) = sequences.split_at(4);
    assert!(before[2] < before[3] && after.iter().all(|later| *later > before[3]), "they grow: {sequences:?}");
}

#[tokio::test]
async fn a_killed_operator_leaves_no_child_and_the_next_one_goes_on() {
    let mut world = World::private().await;
    world.start_operator().await;
    world.subscribe("killed", json!({})).await;
    world.config_map("before", json!({})).await;
    world.requests("killed", 1).await;
    assert!(children(world.operator().pid()).is_empty(), "it starts no processes, so none can be left");
    assert!(!children(std::process::id()).is_empty(), "the look finds children where there are some");
    world
        .until("killed", "its first delivery is not in the ledger", |object| {
            object["status"]["delivery"]["pending"] == 0
        })
        .await;
    world.operator().kill().await.expect("it ends");
    world.plane().free_lease(testbed::operator::NAMESPACE).await.expect("nobody holds it any more");

    world.start_operator().await;
    world.config_map("after", json!({})).await;
    let told_of_it = async || {
        let requests = world.requests("killed", 2).await;
        requests.iter().any(|request| told(request).1 == "after").then_some(requests)
    };
    let requests = eventually(Duration::from_secs(30), told_of_it).await.expect("what changed is told");
    // What was answered in the last two seconds may come again, as the same event.
    let (news, repeated): (Vec<_>, Vec<_>) = requests.iter().partition(|request| told(request).1 == "after");
    assert_eq!(news.iter().map(|request| told(request).0).collect::<Vec<_>>(), ["new"]);
    assert!(repeated.iter().all(|request| request.header("webhook-id") == requests[0].header("webhook-id")));
}
