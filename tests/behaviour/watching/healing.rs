//! What nobody says aloud: events that get lost, lists that lack what is there, versions that go back.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Matcher, Times};

use super::{Faulty, LATER, of_widgets, put, sorted, streaming, widget};

/// The first page of a list, whichever page of whichever list it is.
fn pages() -> Matcher {
    Matcher::lists("widgets").containing("limit=500")
}

/// Changes a list as JSON.
fn edit(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Fault {
    Fault::EditBody(Arc::new(move |body| {
        let Ok(mut list) = serde_json::from_slice(&body) else { return body };
        change(&mut list);
        list.to_string().into_bytes()
    }))
}

fn items(list: &mut Value) -> &mut Vec<Value> {
    list["items"].as_array_mut().expect("a list has items")
}

fn name(item: &Value) -> &str {
    item["metadata"]["name"].as_str().unwrap_or_default()
}

/// Forty Widgets, told.
async fn forty(faulty: &Faulty, subscription: &str) {
    let api = faulty.world.widget_api().await;
    join_all((0..40).map(|n| {
        let api = api.clone();
        async move { put(&api, &widget(&format!("w-{n:02}"), json!({}))).await }
    }))
    .await;
    faulty.world.until_told(subscription, "forty arrivals", |told| told.len() == 40).await;
}

#[tokio::test]
async fn a_watch_that_loses_exactly_one_deletion_is_healed_by_the_next_comparison() {
    let faulty = Faulty::start_with(&[("relist-interval-seconds", "5")]).await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("lost", of_widgets()).await;
    for name in ["kept", "lost"] {
        world.widget(name, json!({})).await;
    }
    world.told_exactly("lost", &["new kept", "new lost"]).await;
    faulty.watching().await;
    let dropped = proxy.inject(Matcher::watches("widgets"), Fault::drop_event("DELETED", "lost"), Times::Once);
    world.delete_widget("lost").await;
    // the watch goes on as if nothing had been
    faulty.barrier("lost", "after").await;
    // it has to pass the version of the list that the comparison read, and an idle one moves once a minute
    let heard = |told: &[super::Telling]| told.iter().any(|one| one.change == "removed");
    let mut n = 0;
    while !heard(&world.told("lost")) {
        n += 1;
        assert!(n < 200, "never healed:\n{}", world.operator().log());
        world.widget("after", json!({"n": n})).await;
        let reached = world.receiver.wait_for("/lost", 3 + n, Duration::from_secs(10)).await;
        reached.expect("the watch goes on");
    }
    assert_eq!(dropped.hits(), 1);
    assert_eq!(world.metric("changehook_watch_divergence_total").await, 1);
    assert_eq!(world.metric("changehook_watch_restarts_total{reason=\"Diverged\"}").await, 1);
    let told = world.told("lost");
    let removed: Vec<&super::Telling> = told.iter().filter(|one| one.change == "removed").collect();
    assert_eq!((removed.len(), removed[0].name.as_str()), (1, "lost"));
    assert_eq!(removed[0].body["change"]["observed_by"], "relist");
}

#[tokio::test]
async fn a_list_that_shows_less_than_half_of_what_was_there_removes_nothing() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    proxy.inject(streaming(), Fault::Status(422), Times::Always);
    world.subscribe("half", of_widgets()).await;
    forty(&faulty, "half").await;
    faulty.watching().await;
    let half = proxy.inject(pages(), edit(|list| items(list).truncate(15)), Times::Once);
    faulty.relist().await;
    faulty.barrier("half", "marker").await;
    assert_eq!(half.hits(), 1);
    assert_eq!(world.metric("changehook_watch_restarts_total{reason=\"Vanished\"}").await, 1);
    assert_eq!(world.told("half").len(), 41);
    // and if they are really gone, that is told
    let blind = faulty.blind(&Fault::Close);
    let api = world.widget_api().await;
    join_all((0..40).map(|n| {
        let api = api.clone();
        async move { super::delete(&api, &format!("w-{n:02}")).await }
    }))
    .await;
    let gone = proxy.inject(Matcher::watches("widgets"), Fault::Status(410), Times::Once);
    blind.iter().for_each(testbed::fault_proxy::Handle::clear);
    let told = world.until_told("half", "forty removals", |told| told.len() >= 81).await;
    assert_eq!(gone.hits(), 1);
    let expected: Vec<String> = (0..40).map(|n| format!("removed w-{n:02}")).collect();
    assert_eq!(sorted(&told[41..]), expected);
}

#[tokio::test]
async fn after_a_restart_a_list_that_shows_less_than_half_of_what_the_ledger_knows_removes_nothing() {
    let mut faulty = Faulty::start().await;
    faulty.proxy.inject(streaming(), Fault::Status(422), Times::Always);
    faulty.world.subscribe("half", of_widgets()).await;
    forty(&faulty, "half").await;
    faulty.stop().await;
    faulty.world.delete_widget("w-39").await;
    let half = faulty.proxy.inject(pages(), edit(|list| items(list).truncate(15)), Times::Once);
    faulty.start_again().await;
    let Faulty { world, .. } = &faulty;
    let told = world.until_told("half", "the one that is gone", |told| told.len() > 40).await;
    assert_eq!((told.len(), told[40].words().as_str(), half.hits()), (41, "removed w-39", 1));
    faulty.barrier("half", "marker").await;
    assert_eq!(world.told("half").len(), 42);
}

#[tokio::test]
async fn after_a_restart_a_list_older_than_what_was_seen_before_is_refused_and_told() {
    let mut faulty = Faulty::start().await;
    faulty.proxy.inject(streaming(), Fault::Status(422), Times::Always);
    faulty.world.widget("a", json!({})).await;
    faulty.world.subscribe("stale", of_widgets()).await;
    faulty.world.widget("b", json!({})).await;
    faulty.world.delete_widget("a").await;
    faulty.world.told_exactly("stale", &["new b", "removed a"]).await;
    faulty.stop().await;
    // the list of back then shows a and does not show b
    let stale = faulty.proxy.inject(pages(), Fault::Stale, Times::Always);
    faulty.start_again().await;
    let Faulty { world, .. } = &faulty;
    world.condition("stale", "Ready", "False", "SourceStale").await;
    assert!(stale.hits() > 0);
    stale.clear();
    world.ready("stale").await;
    faulty.barrier("stale", "marker").await;
    world.told_exactly("stale", &["new b", "removed a", "new marker"]).await;
}

/// Every list is as of long ago, by whatever connection: the storage was set back. One object is as it was before its
/// last change, one is not there yet, and one is as it was.
#[tokio::test]
async fn when_a_storage_was_set_back_for_good_its_content_decides_and_the_difference_is_told() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    proxy.inject(streaming(), Fault::Status(422), Times::Always);
    world.subscribe("back", of_widgets()).await;
    for name in ["same", "edited", "lost"] {
        world.widget(name, json!({})).await;
    }
    world.told_exactly("back", &["new edited", "new lost", "new same"]).await;
    faulty.watching().await;
    let set_back = edit(|list| {
        list["metadata"]["resourceVersion"] = "9".into();
        items(list).retain(|item| name(item) != "lost");
        for (n, item) in items(list).iter_mut().enumerate() {
            item["metadata"]["resourceVersion"] = (n + 2).to_string().into();
            if name(item) == "edited" {
                item["spec"] = json!({"before": true});
            }
        }
    });
    let set_back = proxy.inject(Matcher::lists("widgets"), set_back, Times::Always);
    faulty.relist().await;
    world.condition("back", "Ready", "False", "SourceStale").await;
    let told = world.until_told_within("back", "the difference", 2 * LATER, |told| told.len() >= 5).await;
    assert_eq!(sorted(&told[3..]), ["removed lost", "updated edited"]);
    assert!(world.metric("changehook_watch_rewinds_total").await >= 1);
    assert!(set_back.hits() > 3);
    // and forward again
    set_back.clear();
    let told = world.until_told("back", "the way back", |told| told.len() >= 7).await;
    assert_eq!(sorted(&told[5..]), ["new lost", "updated edited"]);
    faulty.barrier("back", "marker").await;
    assert_eq!(world.told("back").len(), 8);
}

/// `levels` objects, one in the other.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({"a": inner}))
}

#[tokio::test]
async fn items_without_metadata_too_large_or_too_deep_cost_the_others_of_their_list_nothing() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    proxy.inject(streaming(), Fault::Status(422), Times::Always);
    world.subscribe("odd", of_widgets()).await;
    for name in ["deep", "large", "edited", "lost"] {
        world.widget(name, json!({})).await;
    }
    world.told_exactly("odd", &["new deep", "new edited", "new large", "new lost"]).await;
    faulty.watching().await;
    let blind = faulty.blind(&Fault::Close);
    for name in ["deep", "large", "edited"] {
        world.widget(name, json!({"n": 2})).await;
    }
    world.delete_widget("lost").await;
    let gone = proxy.inject(Matcher::watches("widgets"), Fault::Status(410), Times::Once);
    let odd = edit(|list| {
        for item in items(list) {
            match name(item) {
                "deep" => item["spec"] = nested(200),
                "large" => item["spec"] = json!({"text": "x".repeat(3 << 20)}),
                _ => {}
            }
        }
        items(list).push(json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": null}));
    });
    let odd = proxy.inject(pages(), odd, Times::Once);
    blind.iter().for_each(testbed::fault_proxy::Handle::clear);
    // the deletion by the list that follows, as this one has something without a name
    let told = world.until_told("odd", "what was missed", |told| told.iter().any(|one| one.change == "removed")).await;
    assert_eq!((odd.hits(), gone.hits()), (1, 1));
    let changes: Vec<String> = sorted(&told[4..]);
    for words in ["removed lost", "updated deep", "updated edited", "updated large"] {
        assert!(changes.contains(&words.to_owned()), "{words} is not among {changes:?}");
    }
    assert_eq!(changes.iter().filter(|words| words.starts_with("removed")).count(), 1);
    assert_eq!(world.metric("changehook_watch_undecodable_total").await, 1);
}
