//! A kind that comes before anybody was asked about it.

use super::bench::Bench;
use super::*;

#[tokio::test]
async fn of_a_kind_that_nobody_was_asked_about_nothing_is_told_until_the_controller_has_looked() {
    let mut asked = Bench::start(false).await;
    asked.sees_one(7);
    assert!(asked.sends());

    let mut unasked = Bench::start(true).await;
    unasked.sees_one(7);
    assert!(!unasked.sends());
    assert!(unasked.rechecks.try_recv().is_ok(), "the controller is told to look");
    unasked.assign(true);
    assert!(!unasked.sends(), "it has not been asked about yet");
    unasked.assign(false);
    assert!(unasked.sends());
}

#[tokio::test]
async fn a_kind_that_goes_again_holds_nothing_up() {
    let mut bench = Bench::start(true).await;
    bench.sees_one(7);
    bench.sees(SourceEvent::KindAbsent);
    let plan = bench.driver.bounded(bench.driver.endpoints.values().next().unwrap());
    assert!(!plan.held);
    // and when it comes back it holds everything up once more
    bench.sees_one(9);
    assert!(!bench.sends());
}
