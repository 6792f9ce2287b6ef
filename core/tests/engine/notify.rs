use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::plan::{Existing, Plan};
use changehook_core::select::Seen;

use crate::rig::{Rig, S, config_map, interest, named_interest, ok, plan, widget};

fn empty() -> Rig {
    let mut rig = Rig::empty(changehook_core::engine::Settings::default());
    rig.script(|_| Some(ok()));
    rig
}

fn notifying() -> Plan {
    let mut plan = plan(S);
    plan.policy.initial_sync = Existing::Notify;
    plan
}

fn listed(rig: &mut Rig) {
    rig.synced(S, &config_map());
    rig.run_for(2_000);
}

#[test]
fn what_exists_already_is_told_as_new_once_the_list_is_complete() {
    let mut rig = empty();
    rig.assign(notifying());
    rig.show("a", 1);
    rig.show("b", 1);
    rig.run_for(60_000);
    assert_eq!(rig.sent, []);
    listed(&mut rig);
    assert_eq!((rig.told("a"), rig.told("b")), (vec![(New, Some(1))], vec![(New, Some(1))]));
    assert!(rig.view().live);
}

#[test]
fn a_crash_before_the_list_is_complete_or_in_the_middle_of_telling_swallows_nothing() {
    for told_before_the_crash in [false, true] {
        let mut rig = empty();
        rig.assign(notifying());
        rig.run_for(2_000);
        rig.script(|sent| (sent.uid == "a").then(ok));
        if told_before_the_crash {
            rig.show("a", 1);
            rig.show("b", 1);
            listed(&mut rig);
        }
        // Even if it was edited meanwhile, what had begun goes on.
        rig.plans.get_mut(S).unwrap().policy.initial_sync = Existing::Adopt;
        rig.take_over();
        rig.script(|_| Some(ok()));
        rig.show("a", 1);
        rig.show("b", 1);
        listed(&mut rig);
        assert!(rig.told("b").iter().all(|told| *told == (New, Some(1))) && !rig.told("b").is_empty());
        assert_eq!(rig.told("a"), [(New, Some(1))]);
    }
}

#[test]
fn an_adopted_baseline_that_a_crash_cut_off_before_its_list_still_adopts_whatever_edits_do() {
    let mut rig = empty();
    let mut adopting = plan(S);
    adopting.policy.selection_change = Existing::Notify;
    adopting.interests.push(interest(widget()));
    rig.assign(adopting);
    rig.show("a", 1);
    listed(&mut rig);
    // One kind is listed, the other is not yet.
    rig.take_over();
    rig.show("a", 1);
    let row = rig.row(&widget(), "w", "w", 1);
    rig.see(S, &widget(), "w", Seen::Selected(row));
    rig.synced(S, &config_map());
    rig.synced(S, &widget());
    rig.run_for(2_000);
    assert_eq!((rig.sent.len(), rig.view().entries), (0, 2));
}

fn selection_change(existing: Existing) -> Rig {
    let mut rig = empty();
    let mut narrow = plan(S);
    narrow.interests = vec![named_interest(config_map(), "in")];
    narrow.policy.selection_change = existing;
    rig.subscribe(narrow);
    rig.show("in", 1);
    rig
}

fn widen(rig: &mut Rig) {
    rig.edit(S, |plan| plan.interests = vec![interest(config_map())]);
    for uid in ["in", "out"] {
        let row = rig.row(&config_map(), uid, uid, 1);
        rig.see_after_edit(S, &config_map(), uid, Seen::Selected(row));
    }
    listed(rig);
}

fn narrow(rig: &mut Rig) {
    rig.edit(S, |plan| plan.interests = vec![named_interest(config_map(), "in")]);
    let row = rig.row(&config_map(), "out", "out", 1);
    rig.see_after_edit(S, &config_map(), "out", Seen::Deselected(row));
    listed(rig);
}

#[test]
fn an_edit_that_widens_and_one_that_narrows_tell_new_and_removed_if_asked_to() {
    let mut rig = selection_change(Existing::Notify);
    widen(&mut rig);
    assert_eq!(rig.told("out"), [(New, Some(1))]);
    narrow(&mut rig);
    assert_eq!(rig.told("out"), [(New, Some(1)), (Removed, None)]);
    assert_eq!(rig.told("in").len(), 1);
}

#[test]
fn they_tell_nothing_if_not_asked_to() {
    let mut rig = selection_change(Existing::Adopt);
    widen(&mut rig);
    narrow(&mut rig);
    assert_eq!((rig.told("out"), rig.told("in").len()), (vec![], 1));
}

#[test]
fn a_gone_object_is_always_removed_whatever_an_edit_does_with_those_that_exist() {
    for existing in [Existing::Adopt, Existing::Notify] {
        let mut rig = selection_change(existing);
        rig.edit(S, |plan| plan.held = true);
        rig.gone("in");
        rig.edit(S, |plan| {
            plan.interests = vec![named_interest(config_map(), "other")];
            plan.held = false;
        });
        listed(&mut rig);
        assert_eq!(rig.told("in"), [(New, Some(1)), (Removed, None)]);
    }
}

#[test]
fn a_widening_that_a_crash_cuts_off_is_told_by_the_next_leader() {
    let mut rig = selection_change(Existing::Notify);
    rig.run_for(2_000);
    rig.edit(S, |plan| plan.interests = vec![interest(config_map())]);
    rig.take_over();
    rig.show("in", 1);
    rig.show("out", 1);
    listed(&mut rig);
    assert_eq!((rig.told("in").len(), rig.told("out")), (1, vec![(New, Some(1))]));
}

#[test]
fn a_widening_while_a_baseline_is_open_is_told_all_the_same() {
    let mut rig = empty();
    let mut adopting = plan(S);
    adopting.interests = vec![named_interest(config_map(), "in")];
    adopting.policy.selection_change = Existing::Notify;
    rig.assign(adopting);
    rig.run_for(2_000);
    let early = rig.row(&config_map(), "out", "out", 1);
    rig.show("in", 1);
    rig.commits_at_once = false;
    rig.synced(S, &config_map());
    rig.edit(S, |plan| plan.interests = vec![interest(config_map())]);
    rig.see_after_edit(S, &config_map(), "out", Seen::Selected(early));
    rig.commits_at_once = true;
    rig.commit();
    rig.run_for(2_000);
    assert_eq!((rig.told("in"), rig.told("out")), (vec![], vec![(New, Some(1))]));
}

#[test]
fn a_kind_that_an_edit_adds_or_takes_away_is_told_if_asked_to_even_if_nobody_led_meanwhile() {
    for existing in [Existing::Adopt, Existing::Notify] {
        for nobody_led in [false, true] {
            let mut rig = selection_change(existing);
            rig.run_for(2_000);
            let mut plan = rig.plans[S].clone();
            plan.interests = vec![interest(widget())];
            if nobody_led {
                rig.plans.insert(S.to_owned(), plan);
                rig.take_over();
            } else {
                rig.assign(plan);
            }
            let row = rig.row(&widget(), "w", "w", 1);
            rig.see(S, &widget(), "w", Seen::Selected(row));
            rig.synced(S, &widget());
            rig.run_for(2_000);
            let expected = match existing {
                Existing::Adopt => (vec![(New, Some(1))], vec![]),
                Existing::Notify => (vec![(New, Some(1)), (Removed, None)], vec![(New, Some(1))]),
            };
            assert_eq!((rig.told("in"), rig.told("w")), expected, "{existing:?} {nobody_led}");
        }
    }
}

#[test]
fn without_new_what_exists_is_taken_as_known() {
    let mut rig = empty();
    let mut updates = notifying();
    updates.changes.new = false;
    rig.assign(updates);
    rig.show("a", 1);
    listed(&mut rig);
    assert_eq!(rig.sent, []);
    rig.show("a", 2);
    assert_eq!(rig.told("a"), [(Updated, Some(2))]);
}
