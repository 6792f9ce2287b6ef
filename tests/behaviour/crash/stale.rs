//! API servers that show the past: frozen, behind, or having lost an event.

use serde_json::json;
use std::time::Duration;
use testbed::eventually;
use testbed::fault_proxy::{Fault, Handle, Matcher, Times};

use super::{LATER, Life, NAME};
use crate::world::condition;

/// From now on ConfigMaps are read somewhere else, and streams that are open end.
fn read_at(life: &Life, address: std::net::SocketAddr) -> [Handle; 2] {
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

#[tokio::test]
async fn an_old_list_under_the_name_of_a_new_one_is_refused_and_said_so_after_a_restart_as_well() {
    let mut life = Life::begin().await;
    // lists by pages only: those can be remembered
    let streaming = Matcher::watches("configmaps").containing("sendInitialEvents=true");
    life.proxy.inject(streaming, Fault::Status(422), Times::Always);
    life.world.subscribe(NAME, json!({})).await;
    life.marker("deleted").await;
    life.marker("edited").await;
    watching(&life).await;
    // a list of now, to be the past later
    life.proxy.error_in_open_watches(&Matcher::watches("configmaps"), 410);
    life.marker("between").await;
    watching(&life).await;
    life.world.kubectl(&["delete", "configmap", "deleted"]).await;
    life.world.config_map("edited", json!({"n": "2"})).await;
    let told = ["new between", "new deleted", "new edited", "removed deleted", "updated edited"];
    life.told_exactly(&told).await;
    life.settled().await;
    life.kill().await;
    let past = life.proxy.inject(Matcher::lists("configmaps"), Fault::Stale, Times::Always);
    life.start_unready().await;
    let asked = || async { (past.hits() > 0).then_some(()) };
    eventually(LATER, asked).await.expect("it lists");
    life.settled().await;
    assert_eq!(life.told(), told);
    let stale = || async {
        let object = life.world.get(NAME).await;
        let ready = condition(&object, "Ready").cloned().unwrap_or_default();
        if ready["reason"] == "SourceStale" { Ok(()) } else { Err(ready.to_string()) }
    };
    eventually(LATER, stale).await.expect("it says that the list is stale");
    life.world.config_map("edited", json!({"n": "3"})).await;
    life.settled().await;
    assert_eq!(life.told(), told);
    past.clear();
    life.told_exactly(&[&told[..], &["updated edited"]].concat()).await;
    life.is_sound();
}

#[tokio::test]
async fn one_deletion_that_the_watch_loses_is_found_within_the_interval_of_the_comparison() {
    let life = Life::subscribed(json!({})).await;
    for name in ["lost", "kept"] {
        life.marker(name).await;
    }
    let lost = life.proxy.inject(Matcher::watches("configmaps"), Fault::drop_event("DELETED", "lost"), Times::Once);
    life.world.kubectl(&["delete", "configmap", "lost"]).await;
    life.marker("marker").await;
    assert_eq!((lost.hits(), life.told().contains(&"removed lost".to_owned())), (1, false));
    let told = || async { life.told().contains(&"removed lost".to_owned()).then_some(()) };
    eventually(LATER.saturating_add(Duration::from_mins(1)), told).await.expect("it is found");
    assert_eq!(life.told(), ["new kept", "new lost", "new marker", "removed lost"]);
    life.is_sound();
}
