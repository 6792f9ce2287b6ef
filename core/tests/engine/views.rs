use changehook_core::engine::BreakerState;
use changehook_core::event::event_id;
use changehook_core::outcome::{Class, Reason};
use changehook_core::plan::{Change, SubscriptionId};

use crate::rig::{Rig, S, no_connection, ok, status};

#[test]
fn the_view_is_true_after_every_attempt() {
    let mut rig = Rig::new();
    rig.changed();
    let noticed = rig.now.wall;
    rig.show("a", 1);
    for (number, wait) in [(1, 2_000), (2, 4_000), (3, 8_000)] {
        assert!(rig.changed());
        let under_way = rig.view();
        assert_eq!((under_way.in_flight, under_way.pending), (1, 1));
        if let Some(retry) = under_way.retries.first() {
            assert_eq!((retry.attempt, retry.next_attempt), (number, None));
        }
        rig.answer("a", status(500 + number as u16));
        assert!(rig.changed());
        let view = rig.view();
        assert_eq!((view.pending, view.retrying, view.parked, view.in_flight), (1, 1, 0, 0));
        assert_eq!(view.oldest_pending, Some(noticed));
        assert_eq!(view.totals.failed_attempts, u64::from(number));
        let retry = &view.retries[0];
        let id = &rig.plans[S].id;
        assert_eq!(retry.event_id, Some(event_id(&id.uid, "a", rig.sent[0].sequence)));
        assert_eq!((retry.change, &*retry.named.name, &*retry.uid), (Some(Change::New), "a", "a"));
        assert_eq!((retry.attempt, retry.next_attempt), (number, Some(rig.now.wall + wait)));
        let error = retry.last_error.as_ref().unwrap();
        assert_eq!(
            (error.at, error.failure.class, error.failure.reason),
            (rig.now.wall, Class::Endpoint, Reason::ServerError)
        );
        assert_eq!(error.failure.http_status, Some(500 + number as u16));
        let endpoint = &view.endpoint;
        assert_eq!((endpoint.breaker, endpoint.consecutive_failures), (BreakerState::Closed, number));
        assert_eq!((endpoint.attempt, endpoint.next_attempt), (Some(number), Some(rig.now.wall + wait)));
        assert_eq!(endpoint.last_error.as_ref(), Some(error));
        rig.run_for(wait as u64);
    }
    rig.answer("a", ok());
    let view = rig.view();
    assert_eq!((view.pending, view.retrying, view.oldest_pending), (0, 0, None));
    assert_eq!((view.endpoint.consecutive_failures, view.endpoint.last_error), (0, None));
    assert_eq!((view.endpoint.attempt, view.endpoint.next_attempt), (None, None));
    assert_eq!(view.last_delivery.map(|last| (last.at, last.http_status)), Some((rig.now.wall, 200)));
    assert_eq!(view.totals.delivered, 1);
    assert_eq!(view.retries, []);
}

#[test]
fn a_parked_event_is_shown_with_what_failed_and_no_next_attempt() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", status(422));
    let view = rig.view();
    assert_eq!((view.parked, view.pending, view.oldest_pending), (1, 0, None));
    let sample = &view.parked_samples[0];
    assert_eq!((sample.attempt, sample.next_attempt), (1, None));
    assert_eq!(sample.last_error.as_ref().unwrap().failure.http_status, Some(422));
    assert_eq!(view.endpoint.last_error.unwrap().failure.http_status, Some(422));
}

#[test]
fn the_sixteen_soonest_retries_are_shown_and_all_are_counted() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.max_in_flight = 64);
    // With a success in between, the breaker stays closed.
    for n in 0..20 {
        rig.show(&format!("o{n:02}"), 1);
        rig.answer(&format!("o{n:02}"), no_connection());
        rig.show("good", n);
        rig.answer("good", ok());
        rig.run_for(10);
    }
    let view = rig.view();
    assert_eq!((view.retrying, view.retries.len()), (20, 16));
    let names: Vec<&str> = view.retries.iter().map(|retry| &*retry.named.name).collect();
    assert_eq!(names, (0..16).map(|n| format!("o{n:02}")).collect::<Vec<_>>());
}

#[test]
fn the_oldest_pending_is_the_one_that_waits_longest() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.held = true);
    let first = rig.now.wall;
    rig.show("a", 1);
    rig.run_for(1_000);
    rig.show("b", 1);
    rig.run_for(1_000);
    rig.show("a", 2);
    assert_eq!(rig.view().oldest_pending, Some(first));
    rig.gone("a");
    assert_eq!(rig.view().oldest_pending, Some(first + 1_000));
}

#[test]
fn an_open_breaker_says_when_it_is_probed_next() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    let view = rig.view();
    assert_eq!(view.endpoint.next_attempt, Some(rig.now.wall + 2_000));
    assert_eq!(view.retries.len(), 3);
    rig.run_for(6_000);
    assert_eq!(rig.view().endpoint.attempt, Some(3));
    assert_eq!(rig.view().endpoint.next_attempt, Some(rig.now.wall + 8_000));
}

#[test]
fn gauges_are_the_sum_of_the_views() {
    let mut rig = Rig::new();
    rig.subscribe(crate::rig::plan("other"));
    rig.show("a", 1);
    rig.show_to("other", "a", 1);
    rig.show_to("other", "b", 1);
    rig.answer_to("other", "a", status(422));
    rig.answer_to("other", "b", no_connection());
    let gauges = rig.engine.gauges();
    assert_eq!((gauges.pending, gauges.retrying, gauges.parked, gauges.in_flight), (2, 1, 1, 1));
    let parked: Vec<&SubscriptionId> = rig.engine.with_parked().collect();
    assert_eq!(parked.iter().map(|id| &*id.uid).collect::<Vec<_>>(), ["other"]);
    let ends = rig.engine.ends();
    assert_eq!((ends.delivered, ends.parked_event, ends.parked_endpoint), (0, 1, 0));
}

#[test]
fn nobody_has_a_view_of_what_is_not_there() {
    let rig = Rig::new();
    assert_eq!(rig.engine.view(rig.now, &SubscriptionId { uid: "nobody".into() }), None);
}
