//! Endpoints that take their time.

use std::time::Duration;

use testbed::Reply;

use super::{Case, DELIVERED, tell_all, told_as_expected};
use crate::world::World;

pub fn cases() -> Vec<Case> {
    let tick = Duration::from_millis(100);
    vec![
        ("hangs", Reply::Hang, "Timeout"),
        ("drips-its-head", Reply::DripHead(tick), "Timeout"),
        ("drips-its-body", Reply::DripBody(tick), DELIVERED),
        ("comes-late", Reply::Status(200).after(Duration::from_secs(3)), "Timeout"),
        ("hints-for-ever", Reply::InformationalFlood(usize::MAX), "Timeout"),
    ]
}

#[tokio::test]
async fn an_endpoint_that_takes_its_time_is_given_up_in_time_and_delays_nobody() {
    let world = World::shared().await;
    tell_all(&world, &cases()).await;
    // what is tried again is the same event with the same bytes, whatever may have become of the first; as long as there is
    // no newer state, so before that is made
    let requests = world.requests("comes-late", 2).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[0].body, requests[1].body);
    told_as_expected(&world, &cases()).await;
}
