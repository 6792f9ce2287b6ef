use changehook_core::object::{ObjectName, Unreadable};
use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::select::Seen;

use crate::rig::{Rig, S, config_map, interest, no_connection, ok, plan, widget};

fn started() -> Rig {
    let mut rig = Rig::empty(changehook_core::engine::Settings::default());
    rig.assign(plan(S));
    rig
}

#[test]
fn what_exists_already_is_adopted_silently_and_its_next_change_is_an_update() {
    let mut rig = started();
    rig.show("a", 1);
    rig.show("b", 1);
    rig.run_for(60_000);
    assert!(!rig.view().live);
    rig.synced(S, &config_map());
    rig.run_for(60_000);
    assert_eq!(rig.sent, []);
    assert!(rig.view().live && rig.view().baseline_at.is_some());
    assert_eq!((rig.view().entries, rig.view().pending), (2, 0));
    rig.show("a", 2);
    rig.gone("b");
    assert_eq!(rig.told("a"), [(Updated, Some(2))]);
    assert_eq!(rig.told("b"), [(Removed, None)]);
}

#[test]
fn nothing_is_sent_while_the_baseline_is_not_durable_and_what_came_meanwhile_is_told_after_it() {
    let mut rig = started();
    rig.commits_at_once = false;
    rig.show("old", 1);
    rig.synced(S, &config_map());
    rig.show("created", 1);
    rig.show("old", 2);
    rig.run_for(10_000);
    assert_eq!((rig.sent.len(), rig.view().live), (0, false));
    rig.commits_at_once = true;
    rig.commit();
    rig.poll();
    assert!(rig.view().live);
    assert_eq!(rig.told("created"), [(New, Some(1))]);
    assert_eq!(rig.told("old"), [(Updated, Some(2))]);
}

#[test]
fn while_a_second_kinds_baseline_is_open_even_a_retry_waits() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", no_connection());
    rig.edit(S, |plan| plan.interests.push(interest(widget())));
    rig.commits_at_once = false;
    rig.synced(S, &widget());
    rig.run_for(10_000);
    assert_eq!(rig.sent.len(), 1);
    rig.commits_at_once = true;
    rig.commit();
    rig.poll();
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn what_the_watch_showed_after_the_list_but_before_the_baseline_belongs_to_it() {
    let mut rig = started();
    rig.show("a", 1);
    rig.synced_at(S, &config_map(), 5);
    rig.run_for(2_000);
    assert_eq!((rig.sent.len(), rig.view().entries), (0, 1));
}

#[test]
fn a_baseline_closes_only_when_every_adopted_entry_is_durable() {
    let mut rig = started();
    rig.commits_at_once = false;
    rig.see(S, &config_map(), "late", Seen::Unknown);
    let row = rig.row(&config_map(), "late", "late", 1);
    rig.show("other", 1);
    rig.synced(S, &config_map());
    // It could not be read when the list was complete; it belongs to the baseline all the same.
    rig.see(S, &config_map(), "late", Seen::Selected(row));
    rig.commit();
    rig.poll();
    assert!(!rig.view().live);
    rig.run_for(2_000);
    rig.commit();
    rig.poll();
    assert!(rig.view().live);
    assert_eq!(rig.sent, []);
}

#[test]
fn an_object_that_returns_untouched_after_the_baseline_is_new() {
    let mut rig = started();
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(row.clone()));
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    // Its Namespace's label goes and comes back: the object's version stays.
    rig.see(S, &config_map(), "a", Seen::Deselected(row.clone()));
    rig.answer("a", ok());
    rig.see(S, &config_map(), "a", Seen::Selected(row));
    assert_eq!(rig.told("a"), [(Removed, None), (New, Some(1))]);
}

#[test]
fn a_kind_that_appears_later_has_a_baseline_of_its_own_and_does_not_hold_up_the_others() {
    let mut rig = started();
    let mut both = rig.plans[S].clone();
    both.interests.push(interest(widget()));
    rig.assign(both);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert!(!rig.view().live);
    rig.show("a", 1);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
    let row = rig.row(&widget(), "w", "w", 1);
    rig.see(S, &widget(), "w", Seen::Selected(row));
    rig.run_for(10_000);
    rig.synced(S, &widget());
    rig.run_for(2_000);
    assert!(rig.view().live);
    assert_eq!(rig.told("w"), []);
    let row = rig.row(&widget(), "w2", "w2", 1);
    rig.see(S, &widget(), "w2", Seen::Selected(row));
    assert_eq!(rig.told("w2"), [(New, Some(1))]);
}

#[test]
fn objects_of_a_kind_that_is_not_served_any_more_are_gone_and_new_when_it_is_back() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.gone("a");
    let id = rig.plans[S].id.clone();
    rig.engine.kind_absent(rig.now, &id, &config_map().group_kind());
    rig.poll();
    rig.answer("a", ok());
    rig.show("again", 1);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None)]);
    assert_eq!(rig.told("again"), [(New, Some(1))]);
}

#[test]
fn a_kind_that_went_while_nobody_watched_is_gone_whatever_its_versions_were() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.run_for(2_000);
    rig.take_over();
    rig.run_for(60_000);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
    let id = rig.plans[S].id.clone();
    rig.engine.kind_absent(rig.now, &id, &config_map().group_kind());
    rig.poll();
    assert_eq!(rig.told("a")[1..], [(Removed, None)]);
}

#[test]
fn what_cannot_be_read_is_held_and_told_once_it_can() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.see(S, &config_map(), "a", Seen::Unknown);
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 1);
    rig.show("a", 2);
    assert_eq!(rig.told("a")[1..], [(Updated, Some(2))]);
    // Also when it was about to be told.
    rig.edit(S, |plan| plan.suspended = true);
    rig.answer("a", ok());
    rig.show("a", 3);
    rig.see(S, &config_map(), "a", Seen::Unknown);
    rig.edit(S, |plan| plan.suspended = false);
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 2);
    rig.show("a", 3);
    assert_eq!(rig.told("a")[2..], [(Updated, Some(3))]);
}

#[test]
fn what_cannot_be_read_is_not_gone_because_an_edit_asks_for_the_list_again() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.see(S, &config_map(), "a", Seen::Unknown);
    rig.edit(S, |plan| plan.generation = 2);
    rig.see_after_edit(S, &config_map(), "a", Seen::Unknown);
    rig.synced(S, &config_map());
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_stale_row_and_a_stale_absence_are_not_believed() {
    let mut rig = Rig::new();
    let stale = rig.row(&config_map(), "a", "a", 1);
    rig.show("a", 2);
    rig.answer("a", ok());
    rig.see(S, &config_map(), "a", Seen::Selected(stale.clone()));
    rig.see(S, &config_map(), "a", Seen::Deselected(stale.clone()));
    rig.see(S, &config_map(), "a", Seen::Gone { rv: stale.rv });
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn an_absence_that_was_too_old_to_be_believed_is_believed_of_the_next_list() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.run_for(2_000);
    rig.take_over();
    rig.synced_at(S, &config_map(), 5);
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 1);
    rig.synced(S, &config_map());
    assert_eq!(rig.told("a")[1..], [(Removed, None)]);
}

#[test]
fn what_a_list_could_not_read_is_not_gone() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.show("b", 1);
    rig.answer_all(&ok());
    rig.run_for(2_000);
    rig.take_over();
    let (id, kind, rv) = (rig.plans[S].id.clone(), config_map().group_kind(), rig.rv);
    rig.engine.synced(rig.now, &id, &kind, rv, &Unreadable::Unknown);
    rig.poll();
    assert_eq!(rig.sent.len(), 2);
    let name = ObjectName { namespace: Some("team".to_owned()), name: "a".to_owned() };
    rig.engine.synced(rig.now, &id, &kind, rv, &Unreadable::Named(vec![name]));
    rig.poll();
    assert_eq!((rig.told("a").len(), rig.told("b").last()), (1, Some(&(Removed, None))));
}

#[test]
fn a_crash_while_the_baseline_is_open_does_not_swallow_what_came_after_it() {
    let mut rig = started();
    rig.commits_at_once = false;
    rig.show("old", 1);
    rig.synced(S, &config_map());
    rig.commit();
    // The mark and the entry are durable, that it is closed is not.
    rig.take_over();
    rig.commits_at_once = true;
    rig.show("old", 1);
    rig.show("created", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert!(rig.view().live);
    assert_eq!((rig.told("old"), rig.told("created")), (vec![], vec![(New, Some(1))]));
}
