//! SIGTERM and SIGINT while requests are under way.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use testbed::process::Signal;
use testbed::{Operator, Reply, eventually};

use crate::world::{SOON, World, told};

/// Waits until the operator says that it is stopping.
async fn is_stopping(operator: &Operator) {
    let look = || async {
        let (status, body) = operator.readyz().await.map_err(|error| error.to_string())?;
        let stopping = status == StatusCode::SERVICE_UNAVAILABLE && body == "stopping\n";
        if stopping { Ok(()) } else { Err(format!("/readyz says {status}: {body}")) }
    };
    eventually(SOON, look).await.expect("it says that it is stopping");
}

async fn has_pending(operator: &Operator, count: f64) {
    let look = || async {
        let pending = operator.metric("changehook_pending").await.map_err(|error| error.to_string())?;
        if pending == Some(count) { Ok(()) } else { Err(format!("{pending:?} pending")) }
    };
    eventually(SOON, look).await.expect("it knows what is pending");
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_records_it_and_sends_nothing_new() {
    let mut world = World::private().await;
    world.start_operator().await;
    world.subscribe("drain", json!({"endpoint": {"maxInFlight": 1}})).await;
    world.receiver.script("/drain", vec![Reply::Delay(Duration::from_secs(3), Box::new(Reply::Status(202)))]);
    world.config_map("under-way", json!({})).await;
    world.requests("drain", 1).await;
    world.config_map("waits", json!({})).await;
    has_pending(world.operator(), 2.0).await;

    world.operator().signal(Signal::Terminate);
    is_stopping(world.operator()).await;
    // too late: seen by nobody, or seen and not sent
    world.config_map("too-late", json!({})).await;
    let status = world.operator().wait(SOON).await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", world.operator().log());

    let requests = world.receiver.all_requests();
    let names: Vec<_> = requests.iter().map(told).collect();
    assert_eq!(names, [("new".to_owned(), "under-way".to_owned())], "and nothing new");
    assert!(requests[0].finished.is_some());
    let status = &world.get("drain").await["status"];
    assert_eq!(status["lastDelivery"]["httpStatus"], 202, "{status:#}");
    assert_eq!(status["totals"]["delivered"], 1, "{status:#}");
    assert_eq!(status["delivery"]["inFlight"], 0, "{status:#}");
    assert!(status["delivery"]["pending"].as_u64() >= Some(1), "{status:#}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_the_grace_period_ends_it_in_any_case() {
    let mut world = World::private().await;
    world.receiver.set_default(Reply::Hang);
    let hanging = json!({"endpoint": {"timeoutSeconds": 30}});

    // long enough to fail the test if it were waited for
    let mut options = world.operator_options();
    options.args = vec!["--shutdown-grace-seconds=600".to_owned()];
    world.operator = Some(Operator::start(options).await.expect("the operator gets ready").into());
    world.subscribe("stuck", hanging).await;
    world.config_map("one", json!({})).await;
    world.requests("stuck", 1).await;
    world.operator().signal(Signal::Terminate);
    is_stopping(world.operator()).await;
    assert_eq!(world.operator().readyz().await.expect("it still answers").1, "stopping\n");
    let asked = Instant::now();
    world.operator().signal(Signal::Interrupt);
    let status = world.operator().wait(SOON).await.expect("it ends");
    assert_eq!(status.code(), Some(130), "{}", world.operator().log());
    assert!(asked.elapsed() < Duration::from_secs(15), "the request would have timed out after 30 s");
    assert!(
        world.operator().log().contains("stopped at once by a second signal, SIGINT"),
        "{}",
        world.operator().log()
    );

    let since = world.since("stuck").await;
    let mut options = world.operator_options();
    options.args = vec!["--shutdown-grace-seconds=1".to_owned()];
    world.operator = Some(Operator::start(options).await.expect("the operator gets ready").into());
    world.caught_up("stuck", 1, &since).await;
    // What was not answered is sent again, as the same event.
    let requests = world.requests("stuck", 2).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    let asked = Instant::now();
    world.operator().signal(Signal::Terminate);
    let status = world.operator().wait(SOON).await.expect("it ends");
    assert_eq!(status.code(), Some(1));
    let took = asked.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(15), "{took:?}");
    let log = world.operator().log();
    assert!(log.contains("failed to stop within 1 s; left behind: driver"), "{log}");
}
