//! Kinds that appear, disappear and come back.

use serde_json::{Value, json};
use testbed::fault_proxy::Fault;

use super::{Faulty, LATER, custom_kind, custom_kind_of, of_widgets, put, widget};
use crate::world::{World, condition};
use testbed::eventually;

async fn uninstall(world: &World) {
    world.kubectl(&["delete", "crd", "widgets.example.com", "--timeout=60s"]).await;
}

/// Waits longer than [`World::condition`]: a kind is looked for every few seconds only.
async fn until_ready(world: &World, name: &str, status: &str, reason: &str) -> Value {
    let look = || async {
        let object = world.get(name).await;
        let ready = condition(&object, "Ready").cloned().unwrap_or_default();
        if ready["status"] == status && ready["reason"] == reason { Ok(ready) } else { Err(ready.to_string()) }
    };
    eventually(LATER, look).await.expect("the condition comes")
}

#[tokio::test]
async fn a_kind_that_is_not_installed_yet_holds_up_nothing_and_is_watched_as_soon_as_it_is() {
    let mut world = World::private().await;
    world.start_operator().await;
    world.secret().await;
    let resources =
        json!([{"apiVersion": "v1", "kind": "ConfigMap"}, {"apiVersion": "example.com/v1", "kind": "Widget"}]);
    world.apply(&world.subscription("later", json!({"resources": resources})).to_string()).await;
    let ready = world.condition("later", "Ready", "False", "KindNotInstalled").await;
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("the API server does not serve example.com/v1 Widget"), "{message}");
    world.condition("later", "Reconciling", "True", "ProgressingWithRetry").await;
    // the other kind is delivered meanwhile
    world.config_map("meanwhile", json!({})).await;
    world.told_exactly("later", &["new meanwhile"]).await;
    // once it is certain that there is no such kind, none of its objects existed already: they are all new, also those
    // that are there before the operator has noticed their kind
    let certain = || async { world.operator().log().contains("the kind is not served").then_some(()) };
    eventually(LATER, certain).await.expect("absence is proven");
    world.widgets().await;
    world.widget("first", json!({})).await;
    until_ready(&world, "later", "True", "Watching").await;
    world.widget("second", json!({})).await;
    world.told_exactly("later", &["new meanwhile", "new first", "new second"]).await;
}

#[tokio::test]
async fn a_kind_that_goes_takes_its_objects_along_once_and_what_comes_back_is_new() {
    let mut world = World::private().await;
    world.start_operator().await;
    world.widgets().await;
    world.subscribe("gone", of_widgets()).await;
    world.widget("a", json!({})).await;
    world.widget("b", json!({})).await;
    world.told_exactly("gone", &["new a", "new b"]).await;
    uninstall(&world).await;
    world.told_exactly("gone", &["new a", "new b", "removed a", "removed b"]).await;
    until_ready(&world, "gone", "False", "KindNotInstalled").await;

    // with another scope it is nothing that a namespaced subscription could watch
    world.custom(custom_kind_of("widgets", "Widget", "Cluster", &["v1"])).await;
    let ready = until_ready(&world, "gone", "False", "KindNotSupported").await;
    assert!(ready["message"].as_str().is_some_and(|text| text.contains("do not belong to a namespace")), "{ready}");
    world.condition("gone", "Stalled", "True", "KindNotSupported").await;
    world.apply(&widget("everywhere", json!({})).to_string()).await;
    uninstall(&world).await;

    world.widgets().await;
    world.widget("a", json!({"life": 2})).await;
    until_ready(&world, "gone", "True", "Watching").await;
    assert!(condition(&world.get("gone").await, "Stalled").is_none_or(|stalled| stalled["status"] == "False"));
    let told = world.told_exactly("gone", &["new a", "new b", "removed a", "removed b", "new a"]).await;
    assert_ne!(told.iter().rfind(|one| one.name == "a").map(|one| &one.uid), Some(&told[0].uid));
}

#[tokio::test]
async fn a_kind_that_went_and_came_back_unseen_leaves_no_object_of_its_former_life() {
    let Faulty { world, proxy } = &Faulty::start().await;
    world.subscribe("unseen", of_widgets()).await;
    for name in ["same", "lost"] {
        world.widget(name, json!({})).await;
    }
    world.told_exactly("unseen", &["new same", "new lost"]).await;
    let faulty = proxy.inject(
        testbed::fault_proxy::Matcher::any().path_prefix("/apis/example.com"),
        Fault::Close,
        testbed::fault_proxy::Times::Always,
    );
    proxy.cut_open_watches(&testbed::fault_proxy::Matcher::watches("widgets"));
    uninstall(world).await;
    world.widgets().await;
    world.widget("same", json!({})).await;
    faulty.clear();
    let told =
        world.told_exactly("unseen", &["new same", "new lost", "removed same", "removed lost", "new same"]).await;
    let of_same: Vec<&str> = told.iter().filter(|one| one.name == "same").map(|one| one.change.as_str()).collect();
    assert_eq!(of_same, ["new", "removed", "new"]);
}

#[tokio::test]
async fn a_kind_whose_end_nobody_saw_is_found_gone_once_discovery_says_so_for_long_enough() {
    let faulty = Faulty::start().await;
    let world = &faulty.world;
    world.subscribe("blind", of_widgets()).await;
    for name in ["a", "b"] {
        world.widget(name, json!({})).await;
    }
    world.told_exactly("blind", &["new a", "new b"]).await;
    let blind = faulty.blind(&Fault::Status(503));
    uninstall(world).await;
    world.config_map("other", json!({})).await;
    blind.iter().for_each(testbed::fault_proxy::Handle::clear);
    let told = world.told_exactly("blind", &["new a", "new b", "removed a", "removed b"]).await;
    assert!(told[2..].iter().all(|one| one.body["change"]["observed_by"] == "relist"));
    until_ready(world, "blind", "False", "KindNotInstalled").await;
    // back again, empty: nothing more to say
    world.widgets().await;
    until_ready(world, "blind", "True", "Watching").await;
    world.widget("c", json!({})).await;
    world.told_exactly("blind", &["new a", "new b", "removed a", "removed b", "new c"]).await;
}

#[tokio::test]
async fn a_version_that_is_served_no_longer_is_told_with_the_one_that_is_and_removes_nothing() {
    let mut world = World::private().await;
    world.start_operator().await;
    world.widgets().await;
    world.subscribe("version", of_widgets()).await;
    world.widget("a", json!({})).await;
    world.told_exactly("version", &["new a"]).await;
    world.custom(custom_kind_of("widgets", "Widget", "Namespaced", &["v2"])).await;
    let ready = until_ready(&world, "version", "False", "KindNotInstalled").await;
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("but serves Widget as example.com/v2"), "{message}");
    // an edit to the version that is served goes on with what the endpoint knows
    world
        .apply(
            &world
                .subscription("version", json!({"resources": [{"apiVersion": "example.com/v2", "kind": "Widget"}]}))
                .to_string(),
        )
        .await;
    until_ready(&world, "version", "True", "Watching").await;
    let api = world.objects("example.com/v2", "Widget", "widgets").await;
    super::delete(&api, "a").await;
    put(&api, &json!({"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "b"}})).await;
    let told = world.until_told("version", "both", |told| {
        ["removed a", "new b"].iter().all(|words| told.iter().any(|one| one.words() == *words))
    });
    let told = told.await;
    assert_eq!(told.iter().filter(|one| one.change == "removed").count(), 1, "{told:#?}");
    assert_eq!(told.iter().filter(|one| one.change == "new").count(), 2, "{told:#?}");
    // and v1, back beside v2, disturbs nobody
    world.custom(custom_kind("widgets", "Widget")).await;
}
