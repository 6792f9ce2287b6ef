//! Lists that are refused, fail, lie, or hold what cannot be read.

use futures::future::join_all;
use serde_json::json;
use testbed::fault_proxy::{Fault, Matcher, Times};

use super::{Faulty, LATER, of_widgets, put, sorted, streaming, widget};
use crate::world::condition;
use testbed::eventually;

#[tokio::test]
async fn where_streaming_lists_are_refused_all_pages_of_a_long_list_are_read() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    proxy.inject(streaming(), Fault::Status(422), Times::Always);
    let api = world.widget_api().await;
    for hundred in 0..12 {
        let created = (0..100).map(|n| {
            let api = api.clone();
            async move { put(&api, &widget(&format!("w-{:04}", hundred * 100 + n), json!({}))).await }
        });
        join_all(created).await;
    }
    world.subscribe("pages", of_widgets()).await;
    // three pages of at most 500, of one consistent version
    let pages = proxy.seen(&Matcher::lists("widgets").containing("limit=500"));
    assert_eq!(pages.len(), 3, "{pages:#?}");
    assert!(pages.iter().all(|page| !page.query.contains("resourceVersion")), "{pages:#?}");
    assert_eq!(world.metric("changehook_objects_held").await, 1200);
    // the last of each page is watched, and the adopted are not told
    let samples = ["w-0000", "w-0499", "w-0500", "w-0999", "w-1000", "w-1199"];
    for name in samples {
        world.widget(name, json!({"n": 2})).await;
    }
    let told = world.until_told("pages", "six changes", |told| told.len() >= samples.len()).await;
    assert_eq!(sorted(&told), samples.map(|name| format!("updated {name}")));
    // and a relist by pages finds what was deleted in the middle of one
    let blind = faulty.blind(&Fault::Status(503));
    world.delete_widget("w-0750").await;
    let gone = proxy.inject(Matcher::watches("widgets"), Fault::Status(410), Times::Once);
    blind.iter().for_each(testbed::fault_proxy::Handle::clear);
    let told = world.until_told("pages", "the deletion", |told| told.len() > samples.len()).await;
    assert_eq!((told[6].words().as_str(), told.len(), gone.hits()), ("removed w-0750", 7, 1));
}

/// A list that fails for a while means nothing but that it fails.
async fn nothing_is_removed_while_lists_fail(code: u16, reason: &str) {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("failing", of_widgets()).await;
    world.subscribe("other", json!({})).await;
    for name in ["a", "b", "c"] {
        world.widget(name, json!({})).await;
    }
    world.told_exactly("failing", &["new a", "new b", "new c"]).await;
    faulty.watching().await;
    let failing = [Matcher::lists("widgets"), Matcher::watches("widgets")]
        .map(|matcher| proxy.inject(matcher, Fault::Status(code), Times::Always));
    proxy.error_in_open_watches(&Matcher::watches("widgets"), 410);
    world.condition("failing", "Ready", "False", reason).await;
    world.delete_widget("a").await;
    world.widget("b", json!({"n": 2})).await;
    // other kinds are not concerned
    world.config_map("marker", json!({})).await;
    world.told_exactly("other", &["new marker"]).await;
    world.told_exactly("failing", &["new a", "new b", "new c"]).await;
    failing.iter().for_each(testbed::fault_proxy::Handle::clear);
    let all = ["new a", "new b", "new c", "removed a", "updated b"];
    world.told_exactly("failing", &all).await;
    world.ready("failing").await;
    faulty.barrier("failing", "d").await;
    world.told_exactly("failing", &[&all[..], &["new d"]].concat()).await;
}

#[tokio::test]
async fn while_lists_answer_503_nothing_is_removed_and_afterwards_it_heals() {
    nothing_is_removed_while_lists_fail(503, "WatchFailed").await;
}

#[tokio::test]
async fn while_lists_answer_403_nothing_is_removed_and_afterwards_it_heals() {
    nothing_is_removed_while_lists_fail(403, "NotAuthorized").await;
}

#[tokio::test]
async fn while_lists_answer_404_although_the_kind_is_served_nothing_is_removed_and_afterwards_it_heals() {
    nothing_is_removed_while_lists_fail(404, "WatchFailed").await;
}

#[tokio::test]
async fn a_list_older_than_what_was_seen_is_refused_and_told() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    proxy.inject(streaming(), Fault::Status(422), Times::Always);
    world.widget("a", json!({})).await;
    world.subscribe("stale", of_widgets()).await;
    world.widget("b", json!({})).await;
    world.delete_widget("a").await;
    world.told_exactly("stale", &["new b", "removed a"]).await;
    // the list of back then shows a and does not show b
    let stale = proxy.inject(Matcher::lists("widgets"), Fault::Stale, Times::Always);
    faulty.relist().await;
    world.condition("stale", "Ready", "False", "SourceStale").await;
    assert!(stale.hits() > 0);
    stale.clear();
    world.ready("stale").await;
    faulty.barrier("stale", "marker").await;
    world.told_exactly("stale", &["new b", "removed a", "new marker"]).await;
}

/// One item of the lists has this instead of its uid, and perhaps of its name; what was deleted meanwhile is told by
/// the first list that can prove it.
#[tokio::test]
async fn an_item_that_cannot_be_read_is_neither_there_nor_gone_and_costs_no_other_item_anything() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    proxy.inject(streaming(), Fault::Status(422), Times::Always);
    world.subscribe("items", of_widgets()).await;
    for name in ["victim", "edited", "lost"] {
        world.widget(name, json!({})).await;
    }
    let told = world.told_exactly("items", &["new victim", "new edited", "new lost"]).await;
    let uid = &told.iter().find(|one| one.name == "victim").expect("told").uid;
    faulty.watching().await;
    let odd = Fault::replace_text(&format!("\"uid\":\"{uid}\""), "\"uid\":7");
    let blind = faulty.blind(&Fault::Close);
    let odd = proxy.inject(Matcher::lists("widgets"), odd, Times::Always);
    let gone = proxy.inject(Matcher::watches("widgets"), Fault::Status(410), Times::Once);
    world.delete_widget("lost").await;
    world.widget("edited", json!({"n": 2})).await;
    blind.iter().for_each(testbed::fault_proxy::Handle::clear);
    let all = ["new victim", "new edited", "new lost", "updated edited", "removed lost"];
    world.told_exactly("items", &all).await;
    assert!(gone.hits() == 1 && odd.hits() >= 1);
    assert_eq!(world.metric("changehook_watch_undecodable_total").await, 1);
    assert!(world.operator().log().contains("victim"), "the log names it");
    // and when it can be read again, it is as it was
    odd.clear();
    faulty.relist().await;
    faulty.barrier("items", "marker").await;
    world.widget("victim", json!({"n": 2})).await;
    world.told_exactly("items", &[&all[..], &["new marker", "updated victim"]].concat()).await;
}

#[tokio::test]
async fn a_list_with_an_item_without_even_a_name_proves_nothing_gone_until_the_next_one_does() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    proxy.inject(streaming(), Fault::Status(422), Times::Always);
    world.subscribe("nameless", of_widgets()).await;
    for name in ["victim", "lost"] {
        world.widget(name, json!({})).await;
    }
    world.told_exactly("nameless", &["new victim", "new lost"]).await;
    faulty.watching().await;
    let blind = faulty.blind(&Fault::Close);
    proxy.inject(Matcher::lists("widgets"), Fault::replace_text("\"name\":\"victim\"", "\"name\":[]"), Times::Once);
    proxy.inject(Matcher::watches("widgets"), Fault::Status(410), Times::Once);
    world.delete_widget("lost").await;
    blind.iter().for_each(testbed::fault_proxy::Handle::clear);
    // changes are told as ever, the deletion by the list that follows in time
    faulty.barrier("nameless", "meanwhile").await;
    world.told_exactly("nameless", &["new victim", "new lost", "new meanwhile", "removed lost"]).await;
    let restarts = || async {
        let count = world.metric("changehook_watch_restarts_total{reason=\"Unreadable\"}").await;
        (count >= 1).then_some(())
    };
    eventually(LATER, restarts).await.expect("a list followed");
    assert!(condition(&world.get("nameless").await, "Ready").is_some_and(|ready| ready["status"] == "True"));
}
