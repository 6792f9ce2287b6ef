use changehook_core::engine::BreakerState;
use changehook_core::ledger::{Acked, Fact};
use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::plan::{Plan, Scope};

use crate::rig::{Rig, S, config_map, no_connection, ok, plan, status};

fn ask(request: &str, scope: Scope) -> impl FnOnce(&mut Plan) {
    let request = request.into();
    move |plan| {
        plan.policy.resync.request_id = Some(request);
        plan.policy.resync_scope = scope;
    }
}

fn annotate(text: &str) -> impl FnOnce(&mut Plan) {
    let text = text.into();
    move |plan| plan.policy.resync.requested_at = Some(text)
}

/// Three objects, acknowledged and durable.
fn told_three() -> Rig {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.run_for(2_000);
    rig
}

fn show_again(rig: &mut Rig) {
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.synced(S, &config_map());
    rig.run_for(2_000);
}

#[test]
fn a_request_for_all_tells_every_object_again_once_as_an_update_with_a_sequence_of_its_own() {
    let mut rig = told_three();
    rig.edit(S, ask("1", Scope::All));
    rig.run_for(2_000);
    for uid in ["a", "b", "c"] {
        assert_eq!(rig.told(uid), [(New, Some(1)), (Updated, Some(1))]);
    }
    assert!(rig.sent[3..].iter().all(|again| rig.sent[..3].iter().all(|first| first.sequence < again.sequence)));
    rig.edit(S, |plan| plan.generation += 1);
    rig.edit(S, |plan| plan.policy.resync.request_id = None);
    rig.edit(S, ask("1", Scope::All));
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 6, "a request is done once, even if it is taken away and put back");
    assert_eq!(rig.view().requests.unwrap().request_id.as_deref(), Some("1"));
}

#[test]
fn an_annotation_always_asks_for_all_and_any_new_text_is_a_new_request() {
    let mut rig = told_three();
    rig.edit(S, annotate("monday"));
    rig.edit(S, annotate("tuesday"));
    rig.edit(S, annotate("tuesday"));
    rig.run_for(2_000);
    assert_eq!(rig.sent.len(), 9);
    assert_eq!(rig.view().requests.unwrap().requested_at.as_deref(), Some("tuesday"));
}

#[test]
fn a_request_is_shown_as_seen_only_once_it_is_durable() {
    let mut rig = told_three();
    rig.commits_at_once = false;
    rig.edit(S, ask("1", Scope::All));
    assert_eq!(rig.view().requests, None);
    rig.commit();
    rig.poll();
    assert!(rig.view().requests.is_some());
}

#[test]
fn a_request_is_shown_as_done_although_nothing_can_be_told_for_it() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.edit(S, annotate("monday"));
    rig.run_for(2_000);
    rig.changed();
    rig.commit();
    assert!(rig.changed(), "nobody would look");
    assert!(rig.view().requests.is_some());
}

#[test]
fn a_request_for_what_is_parked_releases_that_and_nothing_else() {
    let mut rig = told_three();
    rig.script(|_| Some(status(422)));
    rig.show("a", 2);
    rig.gone("b");
    assert_eq!(rig.view().parked, 2);
    rig.script(|_| Some(ok()));
    rig.edit(S, ask("1", Scope::Parked));
    rig.run_for(2_000);
    assert_eq!((rig.view().parked, rig.view().pending, rig.sent.len()), (0, 0, 7));
    assert_eq!(rig.told("a").last(), Some(&(Updated, Some(2))));
    assert_eq!(rig.told("b").last(), Some(&(Removed, None)));
    assert_eq!(rig.told("c").len(), 1);
}

#[test]
fn what_is_released_in_an_outage_is_probed_at_once_and_waits_for_its_end() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.run_for(600_000);
    let before = rig.sent.len();
    rig.edit(S, ask("1", Scope::Parked));
    assert_eq!(rig.sent.len(), before + 1);
    assert!(matches!(rig.view().endpoint.breaker, BreakerState::Open { .. }));
    rig.script(|_| Some(ok()));
    rig.run_for(300_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
}

#[test]
fn a_crash_in_the_middle_of_a_resync_tells_the_rest_and_only_the_rest() {
    let mut rig = told_three();
    rig.script(|sent| (sent.uid == "a").then(ok));
    rig.edit(S, ask("1", Scope::All));
    rig.run_for(2_000);
    rig.script(|_| Some(ok()));
    rig.take_over();
    show_again(&mut rig);
    assert_eq!((rig.told("a").len(), rig.told("b").len(), rig.told("c").len()), (2, 3, 3));
    let sequences: Vec<u64> = rig.sent.iter().filter(|sent| sent.uid == "b").map(|sent| sent.sequence).collect();
    assert_eq!(sequences[1], sequences[2], "it is the same event");
    rig.take_over();
    show_again(&mut rig);
    assert_eq!(rig.sent.len(), 8);
}

#[test]
fn a_request_that_was_not_durable_is_done_by_the_next_leader() {
    let mut rig = told_three();
    rig.commits_at_once = false;
    rig.edit(S, ask("1", Scope::All));
    rig.take_over();
    rig.commits_at_once = true;
    show_again(&mut rig);
    assert_eq!(rig.sent.len(), 6);
}

#[test]
fn a_request_made_while_nobody_led_is_done_by_the_next_leader() {
    let mut rig = told_three();
    ask("1", Scope::All)(rig.plans.get_mut(S).unwrap());
    rig.take_over();
    show_again(&mut rig);
    assert_eq!(rig.sent.len(), 6);
}

#[test]
fn an_answer_to_what_was_sent_before_the_request_does_not_count() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.edit(S, ask("1", Scope::All));
    rig.answer("a", ok());
    rig.answer("a", ok());
    rig.run_for(60_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(1))]);
}

#[test]
fn what_waits_for_a_retry_when_everything_is_asked_for_is_told_once_more_and_not_twice() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", no_connection());
    rig.script(|_| Some(ok()));
    rig.edit(S, ask("1", Scope::All));
    rig.run_for(60_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (New, Some(1))]);
    assert!(rig.sent[0].sequence < rig.sent[1].sequence);
}

#[test]
fn the_first_plan_ever_takes_note_of_its_request_and_does_nothing() {
    let mut rig = Rig::empty(changehook_core::engine::Settings::default());
    rig.script(|_| Some(ok()));
    let mut first = plan(S);
    ask("1", Scope::All)(&mut first);
    annotate("monday")(&mut first);
    rig.assign(first);
    rig.show("a", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!(rig.sent, []);
    rig.take_over();
    rig.show("a", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!(rig.sent, []);
    rig.edit(S, ask("2", Scope::All));
    assert_eq!(rig.told("a"), [(Updated, Some(1))]);
}

#[test]
fn without_updated_what_is_told_again_is_told_as_new_and_once() {
    let mut rig = told_three();
    rig.edit(S, |plan| plan.changes.updated = false);
    rig.script(|sent| Some(if sent.number == 1 { status(503) } else { ok() }));
    rig.edit(S, ask("1", Scope::All));
    rig.run_for(60_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (New, Some(1)), (New, Some(1))]);
    assert_eq!((rig.view().pending, rig.view().parked), (0, 0));
    let sequences: Vec<u64> = rig.sent.iter().filter(|sent| sent.uid == "a").map(|sent| sent.sequence).collect();
    assert_eq!(sequences[1], sequences[2]);
}

#[test]
fn releases_are_durable_before_the_request_that_asked_for_them() {
    let mut rig = Rig::new();
    rig.script(|_| Some(status(422)));
    rig.show("a", 1);
    rig.run_for(2_000);
    rig.commits_at_once = false;
    rig.edit(S, ask("1", Scope::Parked));
    rig.run_for(2_000);
    let facts: Vec<&Fact> = rig.batches[0].records.iter().map(|record| &record.fact).collect();
    assert!(matches!(facts[..2], [Fact::Release { .. }, Fact::Resync { all: false, .. }]), "{facts:?}");
}

#[test]
fn what_an_edit_adopts_after_a_resync_is_not_told_for_it() {
    let mut rig = told_three();
    rig.edit(S, ask("1", Scope::All));
    rig.run_for(2_000);
    let acked = |rig: &Rig, uid: &str| -> Option<Acked> {
        let book = rig.durable.books.values().next()?;
        book.entries.iter().find(|(key, _)| &*key.uid == uid)?.1.acked
    };
    let resync = rig.durable.books.values().next().unwrap().resync;
    assert!(resync > 0 && ["a", "b", "c"].iter().all(|uid| acked(&rig, uid).unwrap().seq > resync));
}
