use changehook_core::object::Unreadable;
use changehook_core::plan::Change::{New, Removed};
use changehook_core::select::Seen;

use crate::rig::{Rig, S, config_map, no_connection, ok, status};

/// `old` was delivered as `x`, is gone, and `new` has its name.
fn replaced() -> Rig {
    let mut rig = Rig::new();
    rig.show_named(S, "old", "x", 1);
    rig.answer("old", ok());
    rig.gone("old");
    rig.show_named(S, "new", "x", 2);
    rig
}

#[test]
fn a_name_is_told_as_removed_before_its_next_bearer_is_told_as_new() {
    let mut rig = replaced();
    assert_eq!(rig.under_way(), ["old"]);
    rig.answer("old", no_connection());
    rig.run_for(2_000);
    assert_eq!(rig.under_way(), ["old"]);
    rig.answer("old", ok());
    assert_eq!((rig.told("old").last(), rig.told("new")), (Some(&(Removed, None)), vec![(New, Some(2))]));
}

#[test]
fn a_request_of_the_old_bearer_that_is_under_way_is_waited_for() {
    let mut rig = Rig::new();
    rig.show_named(S, "old", "x", 1);
    rig.gone("old");
    rig.show_named(S, "new", "x", 2);
    assert_eq!(rig.under_way(), ["old"]);
    rig.answer("old", no_connection());
    rig.run_for(2_000);
    assert_eq!(rig.told("old"), [(New, Some(1)), (Removed, None)]);
    rig.answer("old", ok());
    assert_eq!(rig.under_way(), ["new"]);
}

#[test]
fn a_parked_removal_blocks_nobody_and_is_dropped_once_the_new_bearer_is_known() {
    let mut rig = replaced();
    rig.answer("old", status(422));
    assert_eq!(rig.under_way(), ["new"]);
    assert_eq!(rig.view().parked, 1);
    rig.answer("new", ok());
    assert_eq!((rig.view().parked, rig.view().entries), (0, 1));
    rig.edit(S, |plan| plan.config_hash = 1);
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 3);
}

#[test]
fn a_removal_that_is_released_does_not_overtake_the_new_bearer_that_was_tried_meanwhile() {
    let mut rig = replaced();
    rig.answer("old", status(422));
    assert_eq!(rig.under_way(), ["new"]);
    rig.edit(S, |plan| plan.config_hash = 1);
    assert_eq!(rig.under_way(), ["new"]);
    rig.answer("new", no_connection());
    rig.run_for(1_999);
    assert_eq!(rig.under_way(), [] as [&str; 0], "Removed now could wipe out what the lost request told");
    rig.run_for(1);
    assert_eq!(rig.under_way(), ["new"]);
    rig.answer("new", ok());
    rig.run_for(10_000);
    assert_eq!(rig.told("old"), [(New, Some(1)), (Removed, None)]);
    assert_eq!((rig.view().pending, rig.view().parked, rig.view().entries), (0, 0, 1));
}

#[test]
fn a_released_removal_goes_on_once_the_new_bearer_is_given_up_or_gone() {
    for given_up in [true, false] {
        let mut rig = replaced();
        rig.answer("old", status(422));
        rig.edit(S, |plan| plan.config_hash = 1);
        if given_up {
            rig.answer("new", no_connection());
            rig.run_for(2_000);
            rig.answer("new", status(422));
        } else {
            rig.answer("new", no_connection());
            rig.gone("new");
        }
        assert_eq!(rig.under_way(), ["old"]);
    }
}

#[test]
fn a_probe_of_a_parked_removal_does_not_run_beside_the_new_bearer() {
    let mut rig = replaced();
    rig.edit(S, |plan| plan.retry.max_retries = 0);
    rig.answer("old", no_connection());
    for uid in ["a", "b"] {
        rig.show(uid, 1);
    }
    rig.run_for(2_000);
    let mut met = 0;
    for _ in 0..40 {
        let under_way = rig.under_way();
        assert!(!(under_way.contains(&"old".to_owned()) && under_way.contains(&"new".to_owned())));
        met += usize::from(under_way.contains(&"old".to_owned()));
        rig.answer_all(&no_connection());
        rig.run_for(8_000);
    }
    assert!(met > 0);
}

#[test]
fn a_new_bearer_that_is_released_with_the_old_one_waits_for_its_probe() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.retry.max_retries = 0);
    rig.show_named(S, "old", "x", 1);
    rig.answer("old", ok());
    for uid in ["slow1", "slow2"] {
        rig.show(uid, 1);
    }
    rig.gone("old");
    rig.show_named(S, "new", "x", 2);
    rig.answer("old", no_connection());
    // Both are parked by the outage; then the old one is its probe.
    rig.script(|sent| (sent.uid == "new").then(no_connection));
    while rig.under_way() == ["slow1", "slow2"] {
        rig.run_for(1_000);
    }
    if rig.view().parked < 2 {
        rig.answer("old", no_connection());
        rig.run_for(30_000);
    }
    assert_eq!((rig.under_way(), rig.view().parked), (vec!["slow1".to_owned(), "slow2".into(), "old".into()], 2));
    rig.script(|_| None);
    rig.answer("slow1", ok());
    rig.answer("slow2", ok());
    assert_eq!(rig.under_way(), ["old"], "although two may be under way");
    rig.answer("old", ok());
    assert_eq!(rig.under_way(), ["new"]);
}

#[test]
fn after_a_takeover_a_name_with_another_uid_proves_that_the_former_one_is_gone() {
    let mut rig = Rig::new();
    rig.show_named(S, "old", "x", 1);
    rig.answer("old", ok());
    rig.run_for(2_000);
    rig.take_over();
    rig.show_named(S, "new", "x", 2);
    assert_eq!(rig.under_way(), ["old"]);
    assert_eq!(rig.told("old").last(), Some(&(Removed, None)));
    // Even if the list cannot prove it.
    let rv = rig.rv;
    let id = rig.plans[S].id.clone();
    rig.engine.synced(rig.now, &id, &config_map().group_kind(), rv, &Unreadable::Unknown);
    rig.poll();
    rig.answer("old", ok());
    assert_eq!(rig.under_way(), ["new"]);
}

#[test]
fn a_new_bearer_that_was_adopted_waits_for_the_removal_too_even_after_a_takeover() {
    let mut rig = Rig::new();
    rig.show_named(S, "old", "x", 1);
    rig.answer("old", ok());
    rig.edit(S, |plan| {
        plan.held = true;
        plan.changes.new = false;
    });
    rig.gone("old");
    rig.show_named(S, "new", "x", 2);
    rig.run_for(2_000);
    rig.plans.get_mut(S).unwrap().held = false;
    rig.take_over();
    rig.show_named(S, "new", "x", 3);
    assert_eq!(rig.under_way(), ["old"]);
    rig.answer("old", ok());
    assert_eq!(rig.under_way(), ["new"]);
}

#[test]
fn a_bearer_that_is_not_selected_proves_it_too() {
    let mut rig = Rig::new();
    rig.show_named(S, "old", "x", 1);
    rig.answer("old", ok());
    rig.run_for(2_000);
    rig.take_over();
    let row = rig.row(&config_map(), "new", "x", 2);
    rig.see(S, &config_map(), "new", Seen::Deselected(row));
    assert_eq!(rig.told("old").last(), Some(&(Removed, None)));
    assert_eq!(rig.told("new"), []);
}

#[test]
fn without_removed_the_next_bearer_waits_for_nobody() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.changes.removed = false);
    rig.show_named(S, "old", "x", 1);
    rig.answer("old", ok());
    rig.gone("old");
    rig.show_named(S, "new", "x", 2);
    assert_eq!(rig.under_way(), ["new"]);
    assert_eq!(rig.view().entries, 1);
}

#[test]
fn objects_of_one_name_in_two_kinds_have_nothing_to_do_with_each_other() {
    let mut rig = Rig::new();
    let mut plan = rig.plans[S].clone();
    plan.interests.push(crate::rig::interest(crate::rig::widget()));
    rig.subscribe(plan);
    rig.show_named(S, "old", "x", 1);
    rig.answer("old", ok());
    rig.gone("old");
    let row = rig.row(&crate::rig::widget(), "widget", "x", 1);
    rig.see(S, &crate::rig::widget(), "widget", Seen::Selected(row));
    assert_eq!(rig.under_way(), ["old", "widget"]);
}

#[test]
fn what_is_gone_does_not_come_back_as_it_was_before_because_a_source_is_behind() {
    let mut rig = Rig::new();
    let old = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(old.clone()));
    rig.answer("a", ok());
    rig.gone("a");
    rig.answer("a", ok());
    rig.see(S, &config_map(), "a", Seen::Selected(old));
    rig.run_for(10_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None)]);
    rig.show("a", 2);
    assert_eq!(rig.told("a").last(), Some(&(New, Some(2))), "a later version is another matter");
}

#[test]
fn what_was_taken_for_gone_is_told_again_once_a_list_that_is_no_older_shows_it() {
    let mut rig = Rig::new();
    let there = rig.row(&config_map(), "a", "a", 1);
    let shown = Seen::Selected(there);
    rig.see(S, &config_map(), "a", shown.clone());
    rig.answer("a", ok());
    // A list of version 5_000 leaves it out.
    rig.see(S, &config_map(), "a", Seen::Gone { rv: 5_000 });
    rig.answer("a", ok());
    rig.see(S, &config_map(), "a", shown.clone());
    rig.synced_at(S, &config_map(), 4_999);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None)], "that list may be of a source that is behind");
    rig.synced_at(S, &config_map(), 5_000);
    assert_eq!(rig.told("a").last(), Some(&(New, Some(1))));
    rig.answer("a", ok());
    rig.see(S, &config_map(), "a", Seen::Gone { rv: 6_000 });
    assert_eq!(rig.told("a").last(), Some(&(Removed, None)));
}

#[test]
fn an_end_that_was_declared_in_error_holds_nothing_up_once_a_list_shows_the_object_even_after_a_takeover() {
    for takeover in [false, true] {
        let mut rig = Rig::new();
        let there = Seen::Selected(rig.row(&config_map(), "a", "a", 1));
        rig.see(S, &config_map(), "a", there.clone());
        rig.answer("a", ok());
        rig.see(S, &config_map(), "a", Seen::Gone { rv: 5_000 });
        assert_eq!(rig.told("a").last(), Some(&(Removed, None)));
        if takeover {
            rig.take_over();
        } else {
            rig.answer("a", status(500));
        }
        rig.see(S, &config_map(), "a", there);
        rig.synced_at(S, &config_map(), 5_000);
        rig.run_for(10_000);
        assert_eq!(rig.told("a").last(), Some(&(New, Some(1))), "after a takeover: {takeover}");
    }
}

#[test]
fn what_is_gone_after_all_is_not_told_again() {
    let mut rig = Rig::new();
    let old = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(old.clone()));
    rig.answer("a", ok());
    rig.see(S, &config_map(), "a", Seen::Gone { rv: 5_000 });
    rig.see(S, &config_map(), "a", Seen::Selected(old));
    rig.see(S, &config_map(), "a", Seen::Gone { rv: 5_000 });
    rig.answer("a", ok());
    rig.synced_at(S, &config_map(), 6_000);
    rig.run_for(10_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None)]);
}

#[test]
fn who_had_a_name_before_is_not_told_because_a_source_is_behind() {
    let mut rig = Rig::new();
    let old = rig.row(&config_map(), "old", "x", 1);
    rig.show_named(S, "new", "x", 2);
    rig.answer("new", ok());
    rig.see(S, &config_map(), "old", Seen::Selected(old));
    rig.run_for(10_000);
    assert_eq!(rig.told("old"), []);
}

#[test]
fn the_end_of_what_was_shown_is_told_before_its_name_is_told_again_although_nobody_said_that_it_is_gone() {
    let mut rig = Rig::new();
    rig.show_named(S, "old", "x", 1);
    rig.answer("old", ok());
    rig.show_named(S, "new", "x", 2);
    assert_eq!(rig.under_way(), ["old"]);
    rig.answer("old", ok());
    assert_eq!((rig.told("old").last(), rig.told("new")), (Some(&(Removed, None)), vec![(New, Some(2))]));
}
