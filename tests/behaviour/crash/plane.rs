//! The control plane dies: etcd, the API server, both, again and again under load.

use std::time::Duration;

use serde_json::json;
use testbed::eventually;
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
