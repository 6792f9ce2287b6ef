//! The control plane dies under load, or one of its API servers is frozen in the past.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use testbed::eventually;
use testbed::fault_proxy::{Fault, Handle, Matcher, Times};
use testbed::unrest::Unrest;

use super::{LATER, Life};

#[tokio::test]
async fn etcd_and_the_api_server_die_under_load_and_nothing_is_lost_or_made_up() {
    let mut life = Life::subscribed(json!({})).await;
    let client = life.world.plane().client().await.expect("a client");
    let unrest = Unrest::new(client, &life.world.namespace, 30);
    let busy = unrest.begin(2, 2, Duration::from_millis(20));
    for death in ["etcd", "API server", "both", "operator and etcd"] {
        let before = life.tally().0.len();
        let told = || async { (life.tally().0.len() > before + 20).then_some(()) };
        eventually(LATER, told).await.expect("there is load");
        let plane = life.world.plane();
        match death {
            "etcd" => {
                plane.stop_etcd().await.expect("etcd ends");
                plane.start_etcd().await.expect("etcd starts");
            }
            "API server" => plane.restart_api_server().await.expect("the API server restarts"),
            "both" => {
                plane.stop_etcd().await.expect("etcd ends");
                plane.stop_api_server().await.expect("the API server ends");
                plane.start_etcd().await.expect("etcd starts");
                plane.start_api_server().await.expect("the API server starts");
            }
            _ => {
                plane.stop_etcd().await.expect("etcd ends");
                life.kill().await;
                life.world.plane().start_etcd().await.expect("etcd starts");
                life.start_unready().await;
            }
        }
        life.restart_if_it_ended().await;
    }
    let taken = busy.end().await;
    assert!(taken > 100, "{taken} writes");
    life.same_as_the_cluster().await;
    life.is_sound();
}

/// From now on ConfigMaps are read somewhere else, and streams that are open end.
fn read_at(life: &Life, address: SocketAddr) -> [Handle; 2] {
    let elsewhere = [Matcher::watches("configmaps"), Matcher::lists("configmaps")];
    let handles = elsewhere.map(|matcher| life.proxy.inject(matcher, Fault::Elsewhere(address), Times::Always));
    life.proxy.cut_open_watches(&Matcher::watches("configmaps"));
    handles
}

async fn watching(life: &Life) {
    let open = || async { (life.proxy.open_watches(&Matcher::watches("configmaps")) > 0).then_some(()) };
    eventually(LATER, open).await.expect("ConfigMaps are watched");
}

#[tokio::test]
async fn an_api_server_that_is_frozen_in_the_past_makes_nobody_tell_the_past() {
    let mut life = Life::subscribed(json!({})).await;
    let second = life.world.plane().second_api_server().await.expect("a second API server starts");
    let elsewhere = read_at(&life, second.address());
    watching(&life).await;
    for name in ["edited", "deleted", "kept"] {
        life.marker(name).await;
    }
    second.freeze();
    // the operator hears nothing of it and says nothing
    life.world.config_map("edited", json!({"n": "2"})).await;
    life.world.kubectl(&["delete", "configmap", "deleted"]).await;
    life.world.config_map("created", json!({})).await;
    life.settled().await;
    // with another API server it learns it all
    life.kill().await;
    elsewhere.iter().for_each(Handle::clear);
    life.start().await;
    let told = ["new created", "new deleted", "new edited", "new kept", "removed deleted", "updated edited"];
    life.told_exactly(&told).await;
    // and back at the frozen one, whose past it knows to be the past
    life.settled().await;
    life.kill().await;
    let elsewhere = read_at(&life, second.address());
    life.start_unready().await;
    let asked = || async { elsewhere.iter().any(|handle| handle.hits() > 0).then_some(()) };
    eventually(LATER, asked).await.expect("it asks the frozen one");
    life.world.config_map("kept", json!({"n": "2"})).await;
    life.settled().await;
    assert_eq!(life.told(), told);
    second.thaw();
    life.told_exactly(&[&told[..], &["updated kept"]].concat()).await;
    life.marker("marker").await;
    assert_eq!(life.tally().events(), told.len() + 2);
    life.is_sound();
}
