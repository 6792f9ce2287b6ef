use changehook_core::engine::BreakerState;
use changehook_core::plan::Change::{New, Removed, Updated};

use crate::rig::{Rig, no_connection, ok, status};

#[test]
fn a_4xx_is_parked_at_once_after_one_request_and_the_breaker_stays_closed() {
    let mut rig = Rig::new();
    rig.script(|_| Some(status(422)));
    for n in 0..5 {
        rig.show(&format!("o{n}"), 1);
    }
    rig.run_for(600_000);
    assert_eq!(rig.sent.len(), 5);
    assert_eq!((rig.view().parked, rig.view().pending), (5, 0));
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
    assert_eq!(rig.view().endpoint.consecutive_failures, 5);
}

#[test]
fn a_parked_change_is_released_by_the_next_one_and_told_in_its_newest_state() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.show("a", 2);
    rig.answer("a", status(422));
    rig.show("a", 2);
    assert_eq!(rig.sent.len(), 2, "a touch is no change");
    rig.show("a", 3);
    rig.answer("a", ok());
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(2)), (Updated, Some(3))]);
    assert_eq!(rig.sent[2].number, 1);
}

#[test]
fn a_parked_change_that_is_taken_back_is_told_because_the_endpoint_may_hold_it() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.show("a", 2);
    rig.answer("a", status(422));
    rig.show("a", 1);
    assert_eq!(rig.told("a")[2..], [(Updated, Some(1))]);
}

#[test]
fn a_parked_object_that_goes_is_told_as_removed() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", status(422));
    rig.gone("a");
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None)]);
}

#[test]
fn removed_that_is_answered_404_or_410_is_done() {
    for code in [404, 410] {
        let mut rig = Rig::new();
        rig.show("a", 1);
        rig.answer("a", ok());
        rig.gone("a");
        rig.answer("a", status(code));
        assert_eq!((rig.view().entries, rig.view().parked, rig.view().pending), (0, 0, 0));
        assert_eq!(rig.view().last_delivery.map(|last| last.http_status), Some(code));
    }
}

#[test]
fn one_or_two_objects_with_a_401_are_their_own_trouble() {
    let mut rig = Rig::new();
    rig.script(|sent| Some(if sent.uid.starts_with("bad") { status(401) } else { ok() }));
    rig.show("bad1", 1);
    rig.show("bad2", 1);
    rig.run_for(1_000);
    rig.show("good", 1);
    rig.run_for(100_000);
    assert_eq!((rig.sent.len(), rig.view().parked), (3, 2));
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
}

#[test]
fn three_objects_with_a_401_are_an_outage_that_heals_the_earlier_ones_too() {
    let mut rig = Rig::new();
    rig.script(|_| Some(status(401)));
    for uid in ["a", "b", "c", "d"] {
        rig.show(uid, 1);
    }
    assert!(matches!(rig.view().endpoint.breaker, BreakerState::Open { .. }));
    assert_eq!((rig.sent.len(), rig.view().parked), (3, 3));
    rig.run_for(30_000);
    rig.script(|_| Some(ok()));
    rig.run_for(30_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
}

#[test]
fn an_outage_of_refusals_is_probed_no_more_often_than_any_other() {
    let mut rig = Rig::new();
    rig.script(|_| Some(status(401)));
    for n in 0..100 {
        rig.show(&format!("o{n}"), 1);
    }
    let since = rig.now.mono;
    rig.run_for(30_500);
    let times: Vec<u64> = rig.sent[3..].iter().map(|sent| sent.at - since).collect();
    assert_eq!(times, [2_000, 6_000, 14_000, 22_000, 30_000]);
}

#[test]
fn an_outage_that_turns_into_refusals_is_probed_no_more_often_either() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.script(|_| Some(status(403)));
    rig.run_for(14_500);
    assert_eq!(rig.sent.len(), 6);
}

#[test]
fn who_was_refused_before_a_last_success_heals_with_the_others() {
    let mut rig = Rig::new();
    for uid in ["early", "straggler"] {
        rig.show(uid, 1);
    }
    rig.answer("early", status(401));
    rig.answer("straggler", ok());
    rig.script(|_| Some(status(401)));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    assert_eq!(rig.view().parked, 4);
    rig.script(|_| Some(ok()));
    rig.run_for(30_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
}

#[test]
fn removed_that_is_answered_404_does_not_end_an_outage_of_404s() {
    let mut rig = Rig::new();
    rig.show("old", 1);
    rig.answer("old", ok());
    rig.script(|_| Some(status(404)));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.gone("old");
    rig.run_for(60_000);
    assert_eq!(rig.told("old").len(), 2);
    assert!(matches!(rig.view().endpoint.breaker, BreakerState::Open { .. }));
    assert_eq!(rig.view().parked, 3);
}

#[test]
fn a_refusal_that_is_not_common_ends_an_outage_because_the_endpoint_answers() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.script(|sent| Some(if sent.uid == "a" { status(422) } else { ok() }));
    rig.run_for(30_000);
    assert_eq!((rig.view().parked, rig.view().pending), (1, 0));
}
