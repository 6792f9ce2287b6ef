//! Subscriptions that go, come back under the same name, or linger on their way out.

use std::time::Duration;

use serde_json::json;
use testbed::fault_proxy::{Fault, Matcher, Times};
use testbed::{Reply, eventually};

use crate::conditions::proxied;
use crate::history::{History, said};
use crate::world::{SOON, World};

#[tokio::test]
async fn a_name_that_is_deleted_and_re_created_again_and_again_ends_with_one_working_subscription() {
    let world = World::shared().await;
    let history = History::of(&world).await;
    world.subscribe("churn", json!({})).await;
    for n in 0..8 {
        world.kubectl(&["delete", "whsub", "churn"]).await;
        let url = world.receiver.url(&format!("/churn{n}"));
        world.apply(&world.subscription("churn", json!({"endpoint": {"url": url}})).to_string()).await;
    }
    let object = world.ready("churn").await;
    world.config_map("a", json!({})).await;
    world.requests("churn7", 1).await;
    let delivered = |object: &serde_json::Value| object["status"]["totals"]["delivered"] == 1;
    world.until("churn", "not counted", delivered).await;
    assert_eq!(world.receiver.all_requests().len(), 1, "an earlier namesake was served as well");
    let uid = &object["metadata"]["uid"];
    assert!(history.versions("churn").iter().all(|version| version["metadata"]["uid"] == *uid || !delivered(version)));
}

#[tokio::test]
async fn a_subscription_that_somebody_elses_finalizer_keeps_sends_nothing_from_its_deletion_on() {
    let world = World::shared().await;
    world.subscribe("kept", json!({})).await;
    world.subscribe("other", json!({})).await;
    world.patch("kept", &json!({"metadata": {"finalizers": ["example.com/keep"]}})).await;
    world.config_map("a", json!({"n": "1"})).await;
    world.requests("kept", 1).await;
    world.requests("other", 1).await;
    world.kubectl(&["delete", "whsub", "kept", "--wait=false"]).await;
    // The deletion is heard of before a subscription that is created after it is Ready.
    world.apply(&world.subscription("later", json!({})).to_string()).await;
    world.ready("later").await;
    world.config_map("a", json!({"n": "2"})).await;
    world.requests("other", 2).await;
    world.requests("later", 1).await;
    world.kubectl(&["label", "whsub", "kept", "touched=yes"]).await;
    world.config_map("a", json!({"n": "3"})).await;
    world.requests("other", 3).await;
    assert_eq!(world.receiver.requests("/kept").len(), 1);
    world.patch("kept", &json!({"metadata": {"finalizers": null}})).await;
    world.subscribe("kept", json!({})).await;
    world.config_map("a", json!({"n": "4"})).await;
    world.requests("kept", 2).await;
}

#[tokio::test]
async fn deleting_a_subscription_with_requests_under_way_frees_its_share_of_the_host_for_others() {
    // All that one subscription gets of a host; the rest is kept for newcomers.
    const SHARE: usize = 24;
    let world = World::shared().await;
    world.receiver.set_default(Reply::Hang);
    let slow = |seconds: u32| json!({"endpoint": {"timeoutSeconds": seconds, "maxInFlight": 64}});
    world.subscribe("hangs", slow(15)).await;
    let maps = |data: &str| {
        let map = |n: usize| {
            let name = format!("m{n}");
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": data}})
                .to_string()
        };
        (0..SHARE).map(map).collect::<Vec<_>>().join("\n---\n")
    };
    world.apply(&maps("1")).await;
    world.requests("hangs", SHARE).await;
    world.kubectl(&["delete", "whsub", "hangs"]).await;
    // As many under way at once are more than newcomers are kept: the others come back when the requests are over.
    world.subscribe("after", slow(30)).await;
    world.apply(&maps("2")).await;
    world.requests("after", SHARE).await;
}

#[tokio::test]
async fn a_status_that_arrives_late_is_not_written_to_a_namesake() {
    let (world, proxy) = proxied().await;
    let history = History::of(&world).await;
    world.receiver.set_default(Reply::Status(500));
    world.subscribe("late", json!({})).await;
    let first = world.get("late").await["metadata"]["uid"].clone();
    let patches = Matcher::any().method("PATCH").containing("/late/status");
    let late = proxy.inject(patches, Fault::Delay(Duration::from_secs(3)), Times::Once);
    world.config_map("a", json!({})).await;
    let on_its_way = || async { (late.hits() == 1).then_some(()) };
    eventually(SOON, on_its_way).await.expect("a status is on its way");
    world.kubectl(&["delete", "whsub", "late"]).await;
    let other = json!({"resources": [{"apiVersion": "v1", "kind": "Service"}]});
    world.apply(&world.subscription("late", other).to_string()).await;
    world.ready("late").await;
    // The late patch has been answered: its uid is not that of the object it came to.
    let refused = || async {
        let gone = world.operator().metric(r#"changehook_status_writes_total{outcome="Gone"}"#).await.expect("metrics");
        (gone == Some(1.0)).then_some(())
    };
    eventually(SOON, refused).await.expect("the late patch is refused");
    let of_the_second: Vec<_> =
        history.versions("late").into_iter().filter(|object| object["metadata"]["uid"] != first).collect();
    assert!(!of_the_second.is_empty());
    assert!(of_the_second.iter().all(|object| !said(object, "EndpointHealthy").starts_with("False")));
}
