//! What a watch missed is found by a list, each change once.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Line, Matcher, Times};

use super::{Faulty, LATER, Telling, delete, of_widgets, put, sorted, widget};

/// Deletions, a change and a creation while nothing can be watched, and then 410 in one of its two forms.
async fn missed_changes_are_told_once(gone: Fault) {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("relist", of_widgets()).await;
    let names = ["kept-1", "kept-2", "edited", "lost-1", "lost-2", "lost-3"];
    for name in names {
        world.widget(name, json!({})).await;
    }
    world.until_told("relist", "six arrivals", |told| told.len() == names.len()).await;
    faulty.watching().await;
    let blind = faulty.blind(&Fault::Close);
    // comes second, so it meets the first watch after the blindness
    let gone = proxy.inject(Matcher::watches("widgets").containing("resourceVersion="), gone, Times::Once);
    for name in ["lost-1", "lost-2", "lost-3"] {
        world.delete_widget(name).await;
    }
    world.widget("edited", json!({"n": 2})).await;
    world.widget("born", json!({})).await;
    blind.iter().for_each(testbed::fault_proxy::Handle::clear);
    let missed = ["new born", "removed lost-1", "removed lost-2", "removed lost-3", "updated edited"];
    world.until_told("relist", "what was missed", |told| told.len() >= names.len() + missed.len()).await;
    assert_eq!((gone.hits(), world.metric("changehook_watch_restarts_total{reason=\"Gone\"}").await), (1, 1.0));

    // two more lists with nothing changed say nothing
    for name in ["marker-1", "marker-2"] {
        faulty.relist().await;
        faulty.barrier("relist", name).await;
    }
    let told = world.told("relist");
    let later = &told[names.len()..];
    let expected = [&["new born", "new marker-1", "new marker-2"], &missed[1..]].concat();
    assert_eq!(sorted(later), expected);
    assert!(
        later
            .iter()
            .filter(|one| !one.name.starts_with("marker"))
            .all(|one| one.body["change"]["observed_by"] == "relist")
    );
}

#[tokio::test]
async fn after_410_as_an_http_status_a_list_finds_each_missed_change_once() {
    missed_changes_are_told_once(Fault::Status(410)).await;
}

#[tokio::test]
async fn after_410_as_an_error_event_a_list_finds_each_missed_change_once() {
    missed_changes_are_told_once(Fault::WatchError(410)).await;
}

/// A bookmark instead of the line about the Widget `hidden`, with that line's version.
fn bookmark_for_hidden(line: &[u8]) -> Line {
    let Ok(event) = serde_json::from_slice::<Value>(line) else { return Line::Keep };
    if event["object"]["metadata"]["name"] != "hidden" {
        return Line::Keep;
    }
    let version = &event["object"]["metadata"]["resourceVersion"];
    let object = json!({"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"resourceVersion": version}});
    Line::Replace(json!({"type": "BOOKMARK", "object": object}).to_string().into_bytes())
}

#[tokio::test]
async fn a_watch_resumes_from_its_last_bookmark_and_lists_nothing_again() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("bookmark", of_widgets()).await;
    world.widget("a", json!({})).await;
    world.told_exactly("bookmark", &["new a"]).await;
    faulty.watching().await;
    let watches = Matcher::watches("widgets");
    proxy.inject(watches.clone(), Fault::EndAfterLines(1), Times::Once);
    let hidden = proxy.inject(watches.clone(), Fault::Lines(Arc::new(bookmark_for_hidden)), Times::Once);
    let before = proxy.seen(&watches).len();
    proxy.cut_open_watches(&watches);
    proxy.wait_for(&watches, before + 1, LATER).await.expect("the watch is resumed");
    // all that the operator hears of it is the bookmark; resumed any earlier, the watch would show it
    world.widget("hidden", json!({})).await;
    proxy.wait_for(&watches, before + 2, LATER).await.expect("the watch is resumed again");
    assert_eq!(hidden.hits(), 1);
    faulty.barrier("bookmark", "b").await;
    world.told_exactly("bookmark", &["new a", "new b"]).await;
    assert_eq!(proxy.seen(&Matcher::lists("widgets")).len(), 0);
    let listed = proxy.seen(&watches.containing("sendInitialEvents=true"));
    assert_eq!(listed.iter().filter(|list| list.status == Some(200)).count(), 1);
}

/// What is known of each Widget, from beginning to end, agrees with what there is, whatever breaks in between.
#[tokio::test]
async fn a_watch_that_breaks_all_the_time_tells_every_object_truly_to_its_end() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("breaking", of_widgets()).await;
    let cuts = proxy.inject(Matcher::watches("widgets"), Fault::CutAfterLines(7), Times::Always);
    proxy.cut_open_watches(&Matcher::watches("widgets"));
    let api = world.widget_api().await;
    join_all((0..40).map(|n| {
        let api = api.clone();
        async move {
            let name = format!("w-{n:02}");
            for round in 1..4 {
                put(&api, &widget(&name, json!({"round": round}))).await;
            }
            if n % 4 == 0 {
                delete(&api, &name).await;
            }
        }
    }))
    .await;
    cuts.clear();
    let last = |told: &[Telling], name: &str| told.iter().rfind(|one| one.name == name).cloned();
    let true_to_the_end = |told: &[Telling]| {
        (0..40).all(|n| match last(told, &format!("w-{n:02}")) {
            // what came and went unseen need not be told
            None => n % 4 == 0,
            Some(one) if n % 4 == 0 => one.change == "removed",
            Some(one) => one.body["change"]["object"]["spec"]["round"] == 3,
        })
    };
    world.until_told("breaking", "the truth", true_to_the_end).await;
    let told = faulty.barrier("breaking", "marker").await;
    assert!(true_to_the_end(&told), "{told:#?}");
    for n in 0..40 {
        let of_one: Vec<&Telling> = told.iter().filter(|one| one.name == format!("w-{n:02}")).collect();
        assert!(of_one.is_sorted_by(|a, b| a.sequence < b.sequence), "{of_one:#?}");
        let contents: Vec<_> = of_one.iter().map(|one| (&one.change, &one.body["change"]["object"]["spec"])).collect();
        assert!(contents.windows(2).all(|pair| pair[0] != pair[1]), "nothing is told twice: {contents:?}");
    }
    assert!(cuts.hits() > 2);
}

#[tokio::test]
async fn an_api_server_that_is_killed_and_started_again_costs_nothing_and_repeats_nothing() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("restart", of_widgets()).await;
    for name in ["kept", "edited", "lost"] {
        world.widget(name, json!({})).await;
    }
    world.until_told("restart", "three arrivals", |told| told.len() == 3).await;
    world.plane().restart_api_server().await.expect("the API server starts again");
    // before the operator is let through again
    let closed = proxy.inject(Matcher::any(), Fault::Close, Times::Always);
    world.widget("edited", json!({"n": 2})).await;
    world.delete_widget("lost").await;
    world.widget("born", json!({})).await;
    closed.clear();
    let all = ["new kept", "new edited", "new lost", "updated edited", "removed lost", "new born"];
    world.told_exactly("restart", &all).await;
    // everything else goes on as well: the subscriptions' own watch, Secrets, status
    world.subscribe("second", json!({})).await;
    world.config_map("marker", json!({})).await;
    world.told_exactly("second", &["new marker"]).await;
    world.plane().restart_api_server().await.expect("the API server starts again");
    faulty.barrier("restart", "marker").await;
    world.told_exactly("restart", &[&all[..], &["new marker"]].concat()).await;
}
