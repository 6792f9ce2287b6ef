//! What an earlier life knew of subscriptions that were deleted while nobody was looking.

use changehook_core::plan::SubscriptionId;

use crate::rig::{Rig, S, plan};

#[test]
fn records_of_a_subscription_that_is_gone_are_dropped_and_those_of_one_that_cannot_be_planned_now_are_kept() {
    let mut rig = Rig::new();
    for uid in ["gone", "broken"] {
        rig.subscribe(plan(uid));
        rig.show_to(uid, "object", 1);
    }
    rig.run_for(2_000);
    rig.plans.retain(|id, _| id == S);
    rig.take_over();
    let id = |uid: &str| SubscriptionId { uid: uid.into() };
    assert!(rig.durable.books.contains_key(&id("gone")));
    rig.engine.sweep(rig.now, &[id(S), id("broken")].into());
    rig.run_for(2_000);
    let left: Vec<&str> = rig.durable.books.keys().map(|id| &*id.uid).collect();
    assert_eq!(left, ["broken", S]);
}
