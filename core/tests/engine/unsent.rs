use changehook_core::engine::BreakerState;
use changehook_core::plan::Change::New;

use crate::rig::{Rig, no_connection, ok, status, unsent};

#[test]
fn an_attempt_that_was_not_made_costs_nobody_an_attempt_and_does_not_spin() {
    let mut rig = Rig::new();
    rig.script(|_| Some(unsent()));
    rig.show("a", 1);
    rig.run_for(60_000);
    assert!(rig.sent.len() <= 61, "{} attempts in a minute", rig.sent.len());
    assert!(rig.sent.iter().all(|sent| sent.number == 1));
    let view = rig.view();
    assert_eq!(view.unsent.as_deref(), Some("the Secret hook is missing"));
    assert_eq!((view.pending, view.retrying, view.parked, view.totals.failed_attempts), (1, 0, 0, 0));
    rig.script(|_| Some(ok()));
    rig.run_for(1_000);
    assert_eq!((rig.view().pending, rig.view().unsent), (0, None));
}

#[test]
fn a_plan_that_brings_what_was_missing_ends_the_pause() {
    let mut rig = Rig::new();
    rig.script(|_| Some(unsent()));
    rig.show("a", 1);
    rig.script(|_| Some(ok()));
    rig.edit(crate::rig::S, |plan| plan.config_hash = 1);
    assert_eq!(rig.view().pending, 0);
}

#[test]
fn a_retry_that_was_not_made_keeps_its_count() {
    let mut rig = Rig::new();
    rig.script(|sent| Some(if sent.number == 2 && sent.at < 1_010_000 { unsent() } else { no_connection() }));
    rig.show("a", 1);
    rig.run_for(8_500);
    let numbers: Vec<u32> = rig.sent.iter().map(|sent| sent.number).collect();
    assert_eq!(numbers[..3], [1, 2, 2]);
    rig.run_for(60_000);
    assert_eq!(rig.sent.iter().filter(|sent| sent.at >= 1_010_000 && sent.number <= 4).count(), 3);
}

#[test]
fn an_object_whose_only_attempt_was_not_made_goes_without_a_word() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", unsent());
    rig.gone("a");
    rig.run_for(5_000);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
    assert_eq!((rig.view().entries, rig.view().pending), (0, 0));
}

#[test]
fn a_probe_that_was_not_made_is_made_later_and_the_outage_still_ends() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.run_for(60_000);
    rig.script(|_| Some(unsent()));
    let before = rig.sent.len();
    rig.run_for(20_000);
    assert!(rig.sent.len() - before <= 20);
    assert!(matches!(rig.view().endpoint.breaker, BreakerState::Open { .. }));
    rig.script(|_| Some(ok()));
    rig.run_for(10_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
}

#[test]
fn once_a_request_is_made_nothing_is_missing_any_more() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", unsent());
    rig.run_for(1_000);
    rig.answer("a", status(503));
    assert_eq!(rig.view().unsent, None);
}
