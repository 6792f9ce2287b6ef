use std::sync::Arc;

use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::plan::{ChangeTypes, Interest, LabelSelector, Namespaces, Selector};
use changehook_core::select::Seen;

use crate::rig::{Rig, S, config_map, interest, named_interest, no_connection, ok, status, widget};

fn narrow(rig: &mut Rig) {
    rig.edit(S, |plan| plan.interests = vec![named_interest(config_map(), "other")]);
}

fn widen(rig: &mut Rig) {
    rig.edit(S, |plan| plan.interests = vec![interest(config_map())]);
}

fn deselected_by_edit(rig: &mut Rig, uid: &str) {
    let row = rig.row(&config_map(), uid, uid, 0);
    rig.see_after_edit(S, &config_map(), uid, Seen::Deselected(row));
}

#[test]
fn suspend_stops_at_once_lets_what_is_under_way_finish_and_resume_tells_one_merged_change_per_object() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.edit(S, |plan| plan.suspended = true);
    for content in 1..6 {
        rig.show("b", content);
    }
    rig.show("a", 2);
    rig.answer("a", ok());
    rig.run_for(60_000);
    assert_eq!((rig.sent.len(), rig.view().pending, rig.view().in_flight), (1, 2, 0));
    rig.script(|_| Some(ok()));
    rig.edit(S, |plan| plan.suspended = false);
    rig.run_for(1_000);
    assert_eq!((rig.told("a"), rig.told("b")), (vec![(New, Some(1)), (Updated, Some(2))], vec![(New, Some(5))]));
}

#[test]
fn a_held_subscription_keeps_its_slots_and_goes_on_by_itself() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.held = true);
    rig.show("a", 1);
    rig.run_for(60_000);
    assert_eq!((rig.sent.len(), rig.view().pending), (0, 1));
    rig.edit(S, |plan| plan.held = false);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}

#[test]
fn a_retry_that_falls_due_while_suspended_goes_when_resumed() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", no_connection());
    rig.edit(S, |plan| plan.suspended = true);
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 1);
    rig.edit(S, |plan| plan.suspended = false);
    assert_eq!((rig.sent.len(), rig.sent[1].number), (2, 2));
}

#[test]
fn what_an_edit_takes_out_of_the_selection_is_forgotten_silently() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    narrow(&mut rig);
    deselected_by_edit(&mut rig, "a");
    rig.synced(S, &config_map());
    rig.run_for(60_000);
    rig.gone("a");
    assert_eq!((rig.sent.len(), rig.view().entries), (1, 0));
}

#[test]
fn what_had_left_the_selection_before_the_edit_is_still_told() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.edit(S, |plan| plan.held = true);
    rig.deselect("a");
    narrow(&mut rig);
    deselected_by_edit(&mut rig, "a");
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    rig.edit(S, |plan| plan.held = false);
    assert_eq!(rig.told("a")[1..], [(Removed, None)]);
}

#[test]
fn what_is_gone_is_told_even_if_an_edit_took_it_out_while_its_request_was_under_way() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    narrow(&mut rig);
    deselected_by_edit(&mut rig, "a");
    rig.synced(S, &config_map());
    rig.gone("a");
    rig.run_for(2_000);
    rig.answer("a", ok());
    assert_eq!(rig.told("a")[1..], [(Removed, None)]);
}

#[test]
fn what_an_edit_takes_out_and_in_again_while_its_request_is_under_way_is_compared_and_not_adopted() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    narrow(&mut rig);
    deselected_by_edit(&mut rig, "a");
    widen(&mut rig);
    let row = rig.row(&config_map(), "a", "a", 2);
    rig.see_after_edit(S, &config_map(), "a", Seen::Selected(row));
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    rig.answer("a", no_connection());
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (New, Some(2))]);
}

#[test]
fn what_an_edit_newly_selects_is_adopted() {
    let mut rig = Rig::new();
    narrow(&mut rig);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    widen(&mut rig);
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see_after_edit(S, &config_map(), "a", Seen::Selected(row));
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!((rig.sent.len(), rig.view().entries, rig.view().live), (0, 1, true));
    rig.show("a", 2);
    assert_eq!(rig.told("a"), [(Updated, Some(2))]);
}

#[test]
fn what_an_edit_newly_selects_is_adopted_even_if_the_leader_changes_before_its_list() {
    let mut rig = Rig::new();
    narrow(&mut rig);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    widen(&mut rig);
    rig.run_for(2_000);
    rig.take_over();
    rig.show("a", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!((rig.sent.len(), rig.view().entries, rig.view().live), (0, 1, true));
}

/// An object was created and could not be told; then the selection is edited, and selects it still.
fn owed_through_an_edit(rig: &mut Rig) {
    rig.edit(S, |plan| plan.held = true);
    rig.show("a", 1);
    rig.edit(S, |plan| plan.interests = vec![named_interest(config_map(), "a")]);
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see_after_edit(S, &config_map(), "a", Seen::Selected(row));
    rig.synced(S, &config_map());
    rig.run_for(2_000);
}

#[test]
fn what_was_owed_as_new_before_an_edit_is_not_adopted_by_it() {
    let mut rig = Rig::new();
    owed_through_an_edit(&mut rig);
    rig.edit(S, |plan| plan.held = false);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}

#[test]
fn not_even_if_the_leader_changes_after_the_edit() {
    let mut rig = Rig::new();
    owed_through_an_edit(&mut rig);
    rig.edit(S, |plan| plan.held = false);
    rig.sent.clear();
    rig.take_over();
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(row));
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}

#[test]
fn nor_if_the_leader_changes_in_the_middle_of_the_edit() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.held = true);
    rig.show("a", 1);
    rig.edit(S, |plan| plan.interests = vec![named_interest(config_map(), "a")]);
    rig.run_for(2_000);
    rig.plans.get_mut(S).unwrap().held = false;
    rig.take_over();
    rig.show("a", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}

#[test]
fn what_was_owed_as_new_before_an_edit_and_goes_leaves_nothing_behind() {
    let mut rig = Rig::new();
    owed_through_an_edit(&mut rig);
    rig.gone("a");
    rig.run_for(2_000);
    rig.edit(S, |plan| plan.held = false);
    assert_eq!((rig.sent.len(), rig.view().entries), (0, 0));
    assert!(rig.durable.books.values().all(|book| book.entries.is_empty()));
}

#[test]
fn an_edit_before_a_new_leader_has_seen_a_list_swallows_nothing() {
    let mut rig = Rig::new();
    rig.take_over();
    rig.edit(S, |plan| plan.interests = vec![named_interest(config_map(), "a")]);
    rig.show("a", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}

fn two_kinds() -> Rig {
    let mut rig = Rig::new();
    let mut plan = rig.plans[S].clone();
    plan.interests.push(interest(widget()));
    rig.subscribe(plan);
    for uid in ["w", "gone"] {
        let row = rig.row(&widget(), uid, uid, 1);
        rig.see(S, &widget(), uid, Seen::Selected(row));
    }
    rig.answer_all(&ok());
    rig
}

fn leave_widgets(rig: &mut Rig) {
    rig.edit(S, |plan| {
        plan.interests.pop();
    });
}

#[test]
fn a_kind_that_leaves_the_plan_is_forgotten_silently_but_an_end_that_was_noticed_is_told() {
    let mut rig = two_kinds();
    rig.edit(S, |plan| plan.held = true);
    rig.rv += 1;
    let rv = rig.rv;
    rig.see(S, &widget(), "gone", Seen::Gone { rv });
    leave_widgets(&mut rig);
    rig.edit(S, |plan| plan.held = false);
    assert_eq!(rig.told("gone"), [(New, Some(1)), (Removed, None)]);
    rig.answer("gone", ok());
    assert_eq!((rig.told("w").len(), rig.view().entries, rig.view().pending), (1, 0, 0));
}

#[test]
fn what_could_not_be_read_when_its_kind_left_the_plan_is_forgotten_too() {
    let mut rig = two_kinds();
    rig.see(S, &widget(), "w", Seen::Unknown);
    leave_widgets(&mut rig);
    rig.run_for(2_000);
    assert_eq!((rig.sent.len(), rig.view().entries), (2, 0));
    assert!(rig.durable.books.values().all(|book| book.entries.is_empty()));
}

#[test]
fn a_kind_that_left_the_plan_has_a_baseline_again_when_it_is_back_even_after_a_takeover() {
    let mut rig = two_kinds();
    leave_widgets(&mut rig);
    rig.run_for(2_000);
    rig.plans.get_mut(S).unwrap().interests.push(interest(widget()));
    rig.take_over();
    let row = rig.row(&widget(), "w", "w", 1);
    rig.see(S, &widget(), "w", Seen::Selected(row));
    rig.synced(S, &widget());
    rig.run_for(2_000);
    assert_eq!(rig.told("w").len(), 1);
}

#[test]
fn changes_that_are_not_subscribed_are_absorbed() {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    let told = |rig: &Rig, uid: &str| rig.told(uid).into_iter().map(|(change, _)| change).collect::<Vec<_>>();
    for (n, changes) in
        (0..8).map(|bits| (bits, ChangeTypes { new: bits & 1 != 0, updated: bits & 2 != 0, removed: bits & 4 != 0 }))
    {
        rig.edit(S, |plan| plan.changes = changes);
        let uid = format!("o{n}");
        rig.show(&uid, 1);
        rig.show(&uid, 2);
        rig.gone(&uid);
        let expected = [(changes.new, New), (changes.updated, Updated), (changes.removed, Removed)];
        let expected: Vec<_> = expected.into_iter().filter(|(told, _)| *told).map(|(_, change)| change).collect();
        assert_eq!(told(&rig, &uid), expected, "{changes:?}");
        assert_eq!((rig.view().entries, rig.view().pending), (0, 0));
    }
}

#[test]
fn a_change_type_that_is_added_tells_nothing_of_the_past_and_everything_that_follows() {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    rig.edit(S, |plan| plan.changes = ChangeTypes { new: true, updated: false, removed: false });
    rig.show("a", 1);
    rig.show("a", 2);
    rig.show("b", 1);
    rig.edit(S, |plan| plan.changes = ChangeTypes::ALL);
    rig.run_for(2_000);
    assert_eq!(rig.sent.len(), 2);
    rig.show("a", 3);
    rig.gone("b");
    assert_eq!(rig.told("a")[1..], [(Updated, Some(3))]);
    assert_eq!(rig.told("b")[1..], [(Removed, None)]);
}

#[test]
fn what_was_owed_when_updated_was_added_is_still_told() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.show("a", 2);
    rig.answer("a", status(503));
    rig.edit(S, |plan| plan.changes.removed = false);
    rig.run_for(2_000);
    assert_eq!(rig.told("a")[1..], [(Updated, Some(2)), (Updated, Some(2))]);
}

#[test]
fn an_edit_of_the_endpoint_sends_what_waits_for_a_retry_at_once_and_from_the_first_attempt() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", no_connection());
    rig.run_for(2_000);
    rig.answer("a", no_connection());
    let since = rig.now.mono;
    rig.script(|_| Some(no_connection()));
    rig.edit(S, |plan| plan.config_hash = 1);
    rig.run_for(14_000);
    assert_eq!(rig.times("a", 0)[2..].iter().map(|at| at - since).collect::<Vec<_>>(), [0, 2_000, 6_000, 14_000]);
    assert_eq!(rig.sent[2..].iter().map(|sent| sent.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(rig.sent.iter().all(|sent| sent.sequence == rig.sent[0].sequence), "it is the same event");
}

#[test]
fn what_is_back_while_its_end_is_being_told_is_not_adopted_by_an_edit_not_even_after_a_takeover() {
    for takeover in [false, true] {
        let mut rig = Rig::new();
        rig.show("a", 1);
        rig.answer("a", ok());
        rig.deselect("a");
        let row = rig.row(&config_map(), "a", "a", 1);
        rig.see(S, &config_map(), "a", Seen::Selected(row.clone()));
        rig.edit(S, |plan| plan.interests = vec![named_interest(config_map(), "a")]);
        rig.see_after_edit(S, &config_map(), "a", Seen::Selected(row.clone()));
        if takeover {
            // The edit's list is still to come.
            rig.answer("a", ok());
            rig.run_for(2_000);
            rig.take_over();
            rig.see(S, &config_map(), "a", Seen::Selected(row));
            rig.synced(S, &config_map());
        } else {
            rig.synced(S, &config_map());
            rig.answer("a", ok());
        }
        rig.run_for(2_000);
        assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None), (New, Some(1))], "{takeover}");
    }
}

fn in_namespaces(chosen_by: &LabelSelector, names: &[&str]) -> Vec<Interest> {
    let names = Arc::new(names.iter().map(ToString::to_string).collect());
    let namespaces = Some(Namespaces { chosen_by: chosen_by.clone(), names });
    let selector = Selector { namespaces, ..Selector::default() };
    vec![Interest { namespace: None, selector, ..interest(config_map()) }]
}

#[test]
fn what_a_relabelled_namespace_takes_out_of_the_selection_is_removed_and_what_it_brings_back_is_new() {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    let labels = LabelSelector::default();
    rig.edit(S, |plan| plan.interests = in_namespaces(&labels, &["team"]));
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    rig.show("a", 1);
    rig.edit(S, |plan| plan.interests = in_namespaces(&labels, &[]));
    deselected_by_edit(&mut rig, "a");
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None)]);
    rig.edit(S, |plan| plan.interests = in_namespaces(&labels, &["team"]));
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see_after_edit(S, &config_map(), "a", Seen::Selected(row));
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None), (New, Some(1))]);
}

#[test]
fn another_choice_of_namespaces_is_an_edit_and_silent_like_others() {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    rig.edit(S, |plan| plan.interests = in_namespaces(&LabelSelector::default(), &["team"]));
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    rig.show("a", 1);
    let other = LabelSelector { match_labels: [("tier".to_owned(), "1".to_owned())].into(), expressions: Vec::new() };
    rig.edit(S, |plan| plan.interests = in_namespaces(&other, &[]));
    deselected_by_edit(&mut rig, "a");
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}
