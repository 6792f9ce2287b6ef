//! The ledger's head is overwritten at the worst moment of a claim.

use serde_json::json;
use testbed::fault_proxy::{Matcher, Moment};

use super::{LATER, Life};

#[tokio::test]
async fn a_head_that_is_overwritten_between_its_claim_and_the_list_ends_the_claim_and_the_next_one_succeeds() {
    let mut life = Life::subscribed(json!({})).await;
    life.marker("thing").await;
    life.settled().await;
    life.stop().await;
    let ledger = life.ledger().await;
    // the whole objects, not the names, which are listed before the claim
    let whole = Matcher::lists("deliveryledgers").containing("limit=100");
    let listing = life.proxy.stop_at(whole, 1, Moment::Before);
    life.start_unready().await;
    listing.reached(LATER).await.expect("it lists what it has claimed");
    let head = ledger.the("Head").await.expect("it is claimed");
    ledger.put(&head.with_bit_flipped(30).expect("it is long enough")).await.expect("it can be overwritten");
    life.world.config_map("thing", json!({"n": "2"})).await;
    listing.release();
    let ended = life.operator().wait(LATER).await.expect("it ends");
    let log = life.operator().log();
    assert!(!ended.success() && log.contains("the ledger's head was written by somebody else"), "{log}");
    assert_eq!(life.tally().events(), 1, "nothing is told without a claim");
    // it has set its Lease free, so nobody waits for that
    life.start().await;
    life.same_as_the_cluster().await;
    assert!(life.tally().contradictions().is_empty());
}
