use changehook_core::engine::BreakerState;
use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::plan::OnExhausted;

use crate::rig::{Rig, S, config_map, no_connection, ok, status};

fn discarding() -> Rig {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.policy.on_exhausted = OnExhausted::Discard);
    rig
}

#[test]
fn what_is_refused_is_discarded_and_counted_and_its_next_change_is_told() {
    let mut rig = discarding();
    rig.script(|_| Some(status(422)));
    rig.show("a", 1);
    rig.run_for(60_000);
    let view = rig.view();
    assert_eq!((view.parked, view.pending, view.totals.discarded, view.totals.delivered), (0, 0, 1, 0));
    assert_eq!((rig.engine.ends().discarded, rig.engine.ends().parked_event), (1, 0));
    assert_eq!(rig.sent.len(), 1);
    rig.script(|_| Some(ok()));
    rig.show("a", 2);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(2))]);
}

#[test]
fn what_an_outage_exhausts_is_discarded_and_the_breaker_opens_all_the_same() {
    let mut rig = discarding();
    rig.script(|_| Some(no_connection()));
    rig.show("a", 1);
    rig.run_for(14_000);
    assert_eq!((rig.sent.len(), rig.view().totals.discarded, rig.view().parked), (4, 1, 0));
    assert!(matches!(rig.view().endpoint.breaker, BreakerState::Open { .. }));
    rig.script(|_| Some(ok()));
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 4);
    rig.show("a", 2);
    rig.run_for(60_000);
    assert_eq!(rig.told("a").last(), Some(&(Updated, Some(2))));
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
}

#[test]
fn a_poison_object_is_discarded_and_the_breaker_stays_closed() {
    let mut rig = discarding();
    rig.script(|sent| Some(if sent.uid == "poison" { status(500) } else { ok() }));
    rig.show("poison", 1);
    rig.run_for(1_000);
    rig.show("good", 1);
    rig.run_for(60_000);
    assert_eq!((rig.view().totals.discarded, rig.view().endpoint.breaker), (1, BreakerState::Closed));
}

#[test]
fn a_refusal_that_is_common_opens_the_breaker_and_leaves_nothing_parked() {
    let mut rig = discarding();
    rig.script(|_| Some(status(401)));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.run_for(2_000);
    assert!(matches!(rig.view().endpoint.breaker, BreakerState::Open { .. }));
    assert_eq!((rig.view().totals.discarded, rig.view().parked), (3, 0));
}

#[test]
fn a_removal_that_is_refused_is_forgotten() {
    let mut rig = discarding();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.script(|_| Some(status(422)));
    rig.gone("a");
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None)]);
    assert_eq!((rig.view().entries, rig.view().totals.discarded), (0, 1));
    assert!(rig.durable.books.values().all(|book| book.entries.is_empty()));
}

#[test]
fn what_was_discarded_and_goes_is_still_told_as_removed() {
    let mut rig = discarding();
    rig.show("a", 1);
    rig.answer("a", status(422));
    rig.gone("a");
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None)]);
}

#[test]
fn what_changed_while_the_last_attempt_was_under_way_is_told() {
    let mut rig = discarding();
    rig.show("a", 1);
    rig.show("a", 2);
    rig.answer("a", status(422));
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(2))]);
}

#[test]
fn the_next_leader_does_not_tell_what_was_discarded() {
    let mut rig = discarding();
    rig.script(|_| Some(status(422)));
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", changehook_core::select::Seen::Selected(row.clone()));
    rig.run_for(2_000);
    rig.take_over();
    rig.see(S, &config_map(), "a", changehook_core::select::Seen::Selected(row));
    rig.synced(S, &config_map());
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 1);
}
