//! Lines that lie or cannot be read, and an API server that does now this and now that.

use serde_json::json;
use testbed::fault_proxy::{Fault, Matcher, Times};

use super::{Faulty, of_widgets};

#[tokio::test]
async fn a_garbled_line_delays_nobody_else_and_what_it_hid_is_told_in_time() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("garbled", of_widgets()).await;
    world.widget("victim", json!({})).await;
    world.told_exactly("garbled", &["new victim"]).await;
    for garbage in [
        &b"{\"type\":\"MODIFIED\",\"object\":{\"kind\""[..],
        b"\xff\xfe\x00",
        b"[]",
        b"{\"type\":\"WHAT\",\"object\":{}}",
    ] {
        proxy.inject(Matcher::watches("widgets"), Fault::replace_line("\"name\":\"victim\"", garbage), Times::Once);
    }
    for n in 0..4 {
        world.widget("victim", json!({"n": n})).await;
        world.widget(&format!("other-{n}"), json!({})).await;
    }
    let others = ["new victim", "new other-0", "new other-1", "new other-2", "new other-3"];
    let told = world.told_exactly("garbled", &[&others[..], &["updated victim"]].concat()).await;
    let last = told.iter().rfind(|one| one.name == "victim").expect("told");
    assert_eq!(last.body["change"]["object"]["spec"]["n"], 3);
    assert_eq!(last.body["change"]["observed_by"], "relist");
    assert_eq!(world.metric("changehook_watch_undecodable_total").await, 4.0);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_held_until_it_can_and_delays_nobody() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("odd", of_widgets()).await;
    for name in ["victim", "doomed"] {
        world.widget(name, json!({})).await;
    }
    world.told_exactly("odd", &["new victim", "new doomed"]).await;
    let odd = |name: &str| {
        let line = json!({"type": "MODIFIED", "object": {"metadata":
            {"name": name, "namespace": world.namespace, "uid": {"a": []}, "resourceVersion": "1"}}});
        Fault::replace_line(&format!("\"name\":\"{name}\""), line.to_string())
    };
    for name in ["victim", "doomed"] {
        proxy.inject(Matcher::watches("widgets"), odd(name), Times::Once);
        world.widget(name, json!({"n": 1})).await;
    }
    faulty.barrier("odd", "marker").await;
    // nothing is known of both; then one shows itself again, and the other goes, which needs no more than its uid
    world.told_exactly("odd", &["new victim", "new doomed", "new marker"]).await;
    world.widget("victim", json!({"n": 2})).await;
    world.delete_widget("doomed").await;
    world.told_exactly("odd", &["new victim", "new doomed", "new marker", "updated victim", "removed doomed"]).await;
    assert_eq!(world.metric("changehook_watch_undecodable_total").await, 2.0);
}

#[tokio::test]
async fn a_stream_that_breaks_in_the_middle_of_its_first_list_is_listed_by_pages() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    for n in 0..5 {
        world.widget(&format!("w-{n}"), json!({})).await;
    }
    let cut = proxy.inject(Matcher::watches("widgets"), Fault::CutAfterLines(3), Times::Once);
    world.subscribe("broken", of_widgets()).await;
    assert_eq!(cut.hits(), 1);
    assert_eq!(world.metric("changehook_watch_lists_total{kind=\"Paged\"}").await, 1.0);
    world.widget("w-4", json!({"n": 2})).await;
    world.delete_widget("w-0").await;
    world.told_exactly("broken", &["updated w-4", "removed w-0"]).await;
}

#[tokio::test]
async fn an_error_event_of_any_code_ends_in_the_truth() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    world.subscribe("errors", of_widgets()).await;
    let mut expected = Vec::new();
    for (n, code) in [500, 504, 429, 403, 404, 0].into_iter().enumerate() {
        faulty.watching().await;
        proxy.error_in_open_watches(&Matcher::watches("widgets"), code);
        let name = format!("after-{n}");
        world.widget(&name, json!({})).await;
        expected.push(format!("new {name}"));
        let words: Vec<&str> = expected.iter().map(String::as_str).collect();
        world.told_exactly("errors", &words).await;
    }
}
