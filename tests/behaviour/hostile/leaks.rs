//! What hours of this would come to: every fault many times over, and what the operator holds on to afterwards.

use std::time::Duration;

use serde_json::json;
use testbed::eventually;

use super::{broken, oversized, slow, tell_all};
use crate::world::World;

/// Endpoints that are down are tried less and less often, and so many requests take their time.
const PATIENCE: Duration = Duration::from_mins(3);

/// Descriptors that the operator has open.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the operator runs").count()
}

#[tokio::test]
async fn after_every_fault_many_times_the_operator_holds_no_more_descriptors_and_little_more_memory() {
    let mut world = World::private().await;
    world.start_operator().await;
    let cases = [broken::cases(), oversized::cases(), slow::cases()].concat();
    tell_all(&world, &cases).await;
    let requests = || world.receiver.all_requests().len();
    let more = |than: usize| move |now: usize| now >= than + 150;
    let grown = async |enough: &dyn Fn(usize) -> bool| {
        eventually(PATIENCE, || async { enough(requests()).then_some(()) }).await.expect("requests go on");
    };
    for number in 0..10 {
        world.config_map(&format!("warm-{number}"), json!({})).await;
    }
    grown(&more(0)).await;
    let (pid, before) = (world.operator().pid(), world.operator().rss_kib().expect("the operator runs"));
    let seen = requests();
    for number in 0..20 {
        world.config_map(&format!("more-{number}"), json!({})).await;
    }
    grown(&more(seen)).await;
    // connections to the API server, its own sockets and the files of the runtime; none for any of the endpoints
    for (name, ..) in &cases {
        world.kubectl(&["delete", "whsub", name]).await;
    }
    let few = || async { if descriptors(pid) < 64 { Ok(()) } else { Err(descriptors(pid)) } };
    eventually(PATIENCE, few).await.unwrap_or_else(|error| panic!("descriptors are left: {error}"));
    let after = world.operator().rss_kib().expect("the operator runs");
    assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
    world.config_map("last", json!({})).await;
    world.requests("good", 32).await;
}
