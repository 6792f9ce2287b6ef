//! The search for what must stay hidden finds it wherever something can be shown.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::json;
use testbed::Operator;
use testbed::marks::{self, MARK};

use crate::world::shown::{everything, search};
use crate::world::{SOON, World};

/// In which of all that is shown the mark is found.
async fn found(world: &World) -> Vec<&'static str> {
    let shown = everything(world.plane(), world.operator.as_deref()).await;
    let mut found: Vec<_> =
        shown.into_iter().filter(|(_, text)| !marks::found(text).is_empty()).map(|(what, _)| what).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[tokio::test]
async fn a_mark_where_it_may_be_shown_is_found_in_everything_and_takes_the_test_down() {
    let mut world = World::private().await;
    let mut options = world.operator_options();
    // at which it tells what it asks the API server, names and all
    options.args = ["--log-filter", "trace"].map(str::to_owned).to_vec();
    world.operator = Some(Arc::new(Operator::start(options).await.expect("the operator gets ready")));
    assert_eq!(found(&world).await, Vec::<&str>::new());
    // names and hosts are no secrets
    let name = format!("{MARK}-name");
    let url = format!("http://{MARK}.invalid/");
    world.subscribe(&name, json!({"endpoint": {"url": url}, "retryPolicy": {"maxRetries": 0}})).await;
    world.config_map(&format!("{MARK}-thing"), json!({})).await;
    world.until(&name, "nothing is parked", |object| object["status"]["delivery"]["parked"] == 1).await;
    // labels are closed sets, so no name gets into the metrics; they are looked at all the same
    let everywhere = ["a ledger object", "a status", "an Event", "the ledger"];
    let shown = everything(world.plane(), world.operator.as_deref()).await;
    assert!(shown.iter().any(|(what, text)| *what == "/metrics" && text.contains("changehook_")));
    let all = async || {
        let found = found(&world).await;
        if found == everywhere { Ok(()) } else { Err(format!("only in {found:?}")) }
    };
    testbed::eventually(SOON, all).await.expect("it is found in everything");
    let log = world.operator().log();
    assert!(!marks::found(&log).is_empty());

    let message = |fallen: std::thread::Result<()>| {
        let fallen = fallen.expect_err("it panics");
        fallen.downcast_ref::<String>().cloned().unwrap_or_default()
    };
    let searched = catch_unwind(AssertUnwindSafe(|| search(world.plane(), None)));
    assert!(message(searched).contains("shows what is hidden"));
    let operator = Arc::into_inner(world.operator.take().expect("there is one")).expect("nobody else has it");
    let dropped = message(catch_unwind(AssertUnwindSafe(|| drop(operator))));
    assert!(dropped.starts_with("the operator's log shows what is hidden") && dropped.contains(MARK), "{dropped}");
    assert!(message(catch_unwind(AssertUnwindSafe(|| drop(world)))).contains("shows what is hidden"));
}
