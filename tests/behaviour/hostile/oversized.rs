//! Endpoints that send more than anybody wants.

use testbed::Reply;

use super::{Case, DELIVERED, MARK, tell_all, told_as_expected};
use crate::world::World;

pub fn cases() -> Vec<Case> {
    let megabyte = MARK.repeat((1 << 20) / MARK.len());
    let header = |name: &str| vec![(name.to_owned(), megabyte.clone())];
    vec![
        ("body-without-end", Reply::EndlessBody, DELIVERED),
        ("head-without-end", Reply::EndlessHead, "ConnectionLost"),
        ("many-headers", Reply::ManyHeaders(150), DELIVERED),
        ("thousands-of-headers", Reply::ManyHeaders(5000), "ConnectionLost"),
        ("long-reason", Reply::Garbage(format!("HTTP/1.1 500 {megabyte}\r\n\r\n").into_bytes()), "ConnectionLost"),
        ("long-retry-after", Reply::StatusWithHeaders(503, header("retry-after")), "ConnectionLost"),
        ("long-location", Reply::StatusWithHeaders(302, header("location")), "ConnectionLost"),
        ("long-body", Reply::Body(500, megabyte.clone().into_bytes()), "ServerError"),
    ]
}

#[tokio::test]
async fn an_endpoint_that_sends_too_much_costs_a_connection_and_is_not_shown() {
    let world = World::shared().await;
    tell_all(&world, &cases()).await;
    told_as_expected(&world, &cases()).await;
}
