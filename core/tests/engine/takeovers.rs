use changehook_core::engine::BreakerState;
use changehook_core::plan::Change::{New, Removed, Updated};

use crate::rig::{Rig, S, config_map, no_connection, ok, status};

fn listed(rig: &mut Rig) {
    rig.synced(S, &config_map());
    rig.run_for(10_000);
}

#[test]
fn a_takeover_with_nothing_changed_sends_nothing() {
    let mut rig = Rig::new();
    rig.script(|sent| Some(if sent.uid == "refused" { status(422) } else { ok() }));
    let rows = ["a", "b", "refused"].map(|uid| rig.row(&config_map(), uid, uid, 1));
    for row in &rows {
        rig.see(S, &config_map(), &row.uid, changehook_core::select::Seen::Selected(row.clone()));
    }
    rig.run_for(2_000);
    rig.take_over();
    for row in rows {
        let uid = row.uid.clone();
        rig.see(S, &config_map(), &uid, changehook_core::select::Seen::Selected(row));
    }
    listed(&mut rig);
    assert_eq!(rig.sent.len(), 3);
    assert_eq!((rig.view().entries, rig.view().parked, rig.view().pending), (3, 1, 0));
}

#[test]
fn what_was_unanswered_is_told_again_with_the_same_sequence_as_long_as_it_is_the_same_state() {
    let mut rig = Rig::new();
    rig.show("same", 1);
    rig.show("other", 1);
    rig.show("gone", 1);
    rig.take_over();
    rig.show("same", 1);
    rig.show("other", 2);
    listed(&mut rig);
    let of = |uid: &str| rig.sent.iter().filter(|sent| sent.uid == uid).collect::<Vec<_>>();
    assert_eq!(of("same")[0].sequence, of("same")[1].sequence);
    assert!(of("other")[1].sequence > of("other")[0].sequence);
    assert_eq!(rig.told("other"), [(New, Some(1)), (New, Some(2))]);
    assert_eq!(rig.told("gone"), [(New, Some(1)), (Removed, None)]);
    assert_eq!(rig.view().oldest_pending, Some(rig.now.wall - 10_000));
}

#[test]
fn what_an_outage_parked_is_tried_again_after_a_takeover_and_released_by_the_first_good_answer() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.run_for(300_000);
    assert_eq!(rig.view().parked, 3);
    rig.take_over();
    assert!(matches!(rig.view().endpoint.breaker, BreakerState::Open { .. }));
    rig.script(|_| Some(ok()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    listed(&mut rig);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
}

#[test]
fn what_was_refused_is_not_tried_again_for_a_takeover() {
    let mut rig = Rig::new();
    rig.script(|_| Some(status(422)));
    rig.show("a", 1);
    rig.run_for(2_000);
    rig.take_over();
    rig.show("a", 1);
    listed(&mut rig);
    assert_eq!((rig.sent.len(), rig.view().parked), (1, 1));
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
}

#[test]
fn what_was_parked_under_another_configuration_is_released_by_a_takeover() {
    let mut rig = Rig::new();
    rig.script(|_| Some(status(422)));
    rig.show("a", 1);
    rig.run_for(2_000);
    rig.script(|_| Some(ok()));
    rig.plans.get_mut(S).unwrap().config_hash = 9;
    rig.take_over();
    rig.show("a", 1);
    listed(&mut rig);
    assert_eq!((rig.sent.len(), rig.view().parked, rig.view().pending), (2, 0, 0));
}

#[test]
fn an_outage_that_ended_is_over_for_the_next_leader_too() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.run_for(300_000);
    assert_eq!(rig.view().parked, 3);
    // The first good answer releases the others, and they are still on their way.
    rig.script(|_| None);
    rig.run_for(60_000);
    let probe = rig.under_way().remove(0);
    rig.answer(&probe, ok());
    rig.run_for(2_000);
    rig.take_over();
    assert_eq!(rig.view().parked, 0);
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
}

#[test]
fn what_a_change_released_is_told_by_the_next_leader_even_if_the_change_was_taken_back() {
    let mut rig = Rig::new();
    rig.script(|_| Some(status(422)));
    rig.show("a", 1);
    rig.edit(S, |plan| plan.held = true);
    rig.show("a", 2);
    rig.run_for(2_000);
    rig.plans.get_mut(S).unwrap().held = false;
    rig.script(|_| Some(ok()));
    rig.take_over();
    rig.show("a", 1);
    listed(&mut rig);
    assert_eq!(rig.told("a").len(), 2);
    assert_eq!(rig.view().parked, 0);
}

#[test]
fn an_adopted_object_that_changed_meanwhile_is_an_update_and_one_that_came_is_new() {
    let mut rig = Rig::empty(changehook_core::engine::Settings::default());
    rig.assign(crate::rig::plan(S));
    rig.show("a", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    rig.take_over();
    rig.show("a", 2);
    rig.show("b", 1);
    listed(&mut rig);
    assert_eq!((rig.told("a"), rig.told("b")), (vec![(Updated, Some(2))], vec![(New, Some(1))]));
}

#[test]
fn a_subscription_that_went_while_nobody_led_is_forgotten_when_it_is_removed() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.run_for(2_000);
    let id = rig.plans.remove(S).unwrap().id;
    rig.take_over();
    rig.engine.remove(rig.now, &id);
    rig.run_for(2_000);
    assert!(rig.durable.books.is_empty());
}

#[test]
fn right_after_a_takeover_the_view_shows_what_is_owed_and_what_is_parked_with_their_events() {
    let mut rig = Rig::new();
    rig.show("unanswered", 1);
    rig.show("retried", 1);
    rig.answer("retried", no_connection());
    rig.show("parked", 1);
    rig.answer("parked", status(422));
    rig.run_for(1_999);
    rig.take_over();
    let view = rig.view();
    assert_eq!((view.pending, view.retrying, view.parked, view.entries), (2, 2, 1, 3));
    let id = |uid: &str| {
        let sent = rig.sent.iter().find(|sent| sent.uid == uid).unwrap();
        Some(changehook_core::event::event_id(S, uid, sent.sequence))
    };
    let shown = |samples: &[changehook_core::engine::RetryView]| -> Vec<_> {
        samples.iter().map(|sample| (sample.event_id.clone(), sample.attempt, sample.next_attempt)).collect()
    };
    assert_eq!(shown(&view.retries), [(id("retried"), 0, None), (id("unanswered"), 0, None)]);
    assert_eq!(shown(&view.parked_samples), [(id("parked"), 0, None)]);
    // Whatever is told, or turns out to be gone unheard, is not shown any more.
    rig.script(|_| Some(ok()));
    rig.show("unanswered", 1);
    assert_eq!((rig.view().retrying, rig.view().pending), (1, 1));
    listed(&mut rig);
    assert_eq!((rig.view().retrying, rig.view().pending, rig.view().retries.len()), (0, 0, 0));
}

#[test]
fn a_kind_that_went_while_nobody_led_is_told_for_what_was_owed_and_for_what_was_parked() {
    let mut rig = Rig::new();
    rig.show("unanswered", 1);
    rig.show("parked", 1);
    rig.answer("parked", status(422));
    rig.run_for(2_000);
    rig.take_over();
    rig.script(|_| Some(status(404)));
    let id = rig.plans[S].id.clone();
    rig.engine.kind_absent(rig.now, &id, &config_map().group_kind());
    rig.poll();
    rig.run_for(2_000);
    assert_eq!(rig.told("unanswered"), [(New, Some(1)), (Removed, None)]);
    assert_eq!(rig.told("parked"), [(New, Some(1)), (Removed, None)]);
    assert_eq!((rig.view().entries, rig.view().pending, rig.view().parked), (0, 0, 0));
}

#[test]
fn what_was_unanswered_and_need_not_be_told_any_more_is_not_shown_any_more() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.plans.get_mut(S).unwrap().changes.removed = false;
    rig.take_over();
    assert_eq!(rig.view().retrying, 1);
    listed(&mut rig);
    assert_eq!((rig.view().retrying, rig.view().pending, rig.view().entries), (0, 0, 0));
}

#[test]
fn a_subscription_that_is_created_again_waits_for_the_requests_of_the_one_before() {
    let mut rig = Rig::new();
    rig.script(|sent| (sent.subscription != S).then(ok));
    rig.show("a", 1);
    let id = |uid: &str| changehook_core::plan::SubscriptionId { uid: uid.into() };
    rig.engine.remove(rig.now, &id(S));
    rig.plans.clear();
    rig.subscribe(crate::rig::plan("again"));
    rig.subscribe(changehook_core::plan::Plan { host: "elsewhere".into(), ..crate::rig::plan("other") });
    for subscription in ["again", "other"] {
        rig.show_to(subscription, "a", 2);
    }
    let to = |rig: &Rig, id: &str| rig.sent.iter().filter(|sent| sent.subscription == id).count();
    assert_eq!((to(&rig, "again"), to(&rig, "other")), (0, 1), "one at another host is another one");
    rig.answer("a", ok());
    assert_eq!(to(&rig, "again"), 1);
}
