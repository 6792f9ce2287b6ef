//! Two API servers on one etcd, and what the second one serves while it is cut off.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams},
};
use testbed::ControlPlane;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn config_map(name: &str) -> ConfigMap {
    ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() }
}

#[tokio::test]
async fn a_frozen_api_server_knows_only_the_past_until_it_is_thawed() {
    let control_plane = ControlPlane::start().await.unwrap();
    let second = control_plane.second_api_server().await.unwrap();
    let first: Api<ConfigMap> = Api::namespaced(control_plane.client().await.unwrap(), "default");
    let other: Api<ConfigMap> = Api::namespaced(second.client(), "default");
    first.create(&PostParams::default(), &config_map("before")).await.unwrap();
    let version = other.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut watch = other.watch(&WatchParams::default(), &version).await.unwrap().boxed();

    second.freeze();
    first.create(&PostParams::default(), &config_map("after")).await.unwrap();
    let cached = ListParams::default().match_any();
    let stale = timeout(SOON, other.list(&cached)).await.unwrap().unwrap();
    let names: Vec<_> = stale.items.into_iter().map(|map| map.metadata.name.unwrap()).collect();
    assert_eq!(names, ["before"]);
    timeout(Duration::from_millis(500), watch.next()).await.expect_err("nothing is known of it");
    let (refused, params) = (config_map("refused"), PostParams::default());
    timeout(Duration::from_millis(500), other.create(&params, &refused)).await.expect_err("it cannot be stored");

    second.thaw();
    let event = timeout(SOON, watch.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("after")));
}
