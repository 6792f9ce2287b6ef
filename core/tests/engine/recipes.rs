use changehook_core::ledger::Recipe;
use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::select::Seen;

use crate::rig::{Rig, S, config_map, ok};

fn told() -> Rig {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    rig.show("a", 1);
    rig.show("b", 1);
    rig.run_for(2_000);
    rig
}

fn updated(rig: &mut Rig, wanted: bool) {
    rig.plans.get_mut(S).unwrap().changes.updated = wanted;
}

fn taken_over(rig: &mut Rig, a: u8, b: u8) {
    rig.take_over();
    rig.show("a", a);
    rig.show("b", b);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
}

#[test]
fn the_first_plan_records_its_recipe_and_the_same_one_is_not_recorded_again() {
    let mut rig = told();
    taken_over(&mut rig, 1, 1);
    rig.edit(S, |plan| plan.generation = 2);
    rig.run_for(2_000);
    let recipes = &rig.durable.books.values().next().unwrap().recipes;
    assert_eq!(recipes.iter().map(|(_, recipe)| recipe.constant).collect::<Vec<_>>(), [false]);
}

#[test]
fn updated_that_is_added_while_nobody_led_tells_nothing_of_the_past_and_everything_that_follows() {
    let mut rig = told();
    rig.edit(S, |plan| plan.changes.updated = false);
    rig.show("a", 2);
    rig.run_for(2_000);
    updated(&mut rig, true);
    taken_over(&mut rig, 2, 3);
    assert_eq!(rig.sent.len(), 2);
    rig.show("a", 3);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(3))]);
    // What was rewritten is durable.
    rig.run_for(2_000);
    taken_over(&mut rig, 3, 3);
    assert_eq!(rig.sent.len(), 3);
}

#[test]
fn a_recipe_that_comes_and_goes_while_nobody_led_leaves_what_was_made_by_it_as_it_is() {
    let mut rig = told();
    updated(&mut rig, false);
    rig.take_over();
    rig.run_for(2_000);
    updated(&mut rig, true);
    taken_over(&mut rig, 1, 2);
    assert_eq!((rig.told("a").len(), rig.told("b")), (1, vec![(New, Some(1)), (Updated, Some(2))]));
}

#[test]
fn what_was_unanswered_when_the_recipe_changed_is_told() {
    let mut rig = told();
    rig.script(|_| None);
    rig.show("a", 2);
    rig.run_for(2_000);
    rig.script(|_| Some(ok()));
    updated(&mut rig, false);
    rig.plans.get_mut(S).unwrap().changes.new = true;
    rig.take_over();
    updated(&mut rig, true);
    taken_over(&mut rig, 2, 1);
    assert_eq!(rig.told("a")[1..], [(Updated, Some(2)), (Updated, Some(2))]);
}

#[test]
fn an_unanswered_removal_is_not_forgotten_because_the_object_is_back_when_the_recipe_changes() {
    let mut rig = Rig::new();
    rig.script(|sent| (sent.change == New).then(ok));
    rig.edit(S, |plan| plan.changes.updated = false);
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(row.clone()));
    rig.see(S, &config_map(), "a", Seen::Deselected(row.clone()));
    rig.run_for(2_000);
    updated(&mut rig, true);
    rig.plans.get_mut(S).unwrap().held = true;
    rig.take_over();
    rig.see(S, &config_map(), "a", Seen::Selected(row.clone()));
    rig.run_for(2_000);
    rig.plans.get_mut(S).unwrap().held = false;
    rig.take_over();
    rig.see(S, &config_map(), "a", Seen::Selected(row));
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None), (New, Some(1))]);
}

/// As an operator with another way of normalising left it.
fn made_by_another_scheme(rig: &mut Rig) {
    for book in rig.durable.books.values_mut() {
        for (_, recipe) in &mut book.recipes {
            *recipe = Recipe { scheme: 0, constant: false };
        }
        for entry in book.entries.values_mut() {
            entry.acked.as_mut().unwrap().fp.0 ^= 1 << 40;
        }
    }
}

#[test]
fn entries_of_a_scheme_that_is_not_known_any_more_are_told_unless_the_version_is_the_same() {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(row.clone()));
    rig.show("b", 1);
    rig.run_for(2_000);
    made_by_another_scheme(&mut rig);
    rig.take_over();
    rig.see(S, &config_map(), "a", Seen::Selected(row));
    rig.show("b", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!((rig.told("a").len(), rig.told("b").len()), (1, 2));
    // What has the same version has the new fingerprint now: another version with the same content is no change.
    rig.show("a", 1);
    rig.run_for(2_000);
    assert_eq!(rig.told("a").len(), 1);
    let recipes = &rig.durable.books.values().next().unwrap().recipes;
    assert_eq!(recipes.iter().map(|(_, recipe)| recipe.scheme).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_stale_row_is_not_taken_for_proof_that_nothing_changed() {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    rig.edit(S, |plan| plan.changes.updated = false);
    let stale = rig.row(&config_map(), "a", "a", 1);
    rig.show("a", 2);
    rig.run_for(2_000);
    updated(&mut rig, true);
    rig.take_over();
    rig.see(S, &config_map(), "a", Seen::Selected(stale));
    rig.run_for(2_000);
    let entry = rig.durable.books.values().next().unwrap().entries.values().next().unwrap().clone();
    rig.show("a", 2);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!(rig.sent.len(), 1);
    let rewritten = rig.durable.books.values().next().unwrap().entries.values().next().unwrap().clone();
    assert_eq!(entry.acked.unwrap().fp.0, 1, "the stale row changed nothing");
    assert!(rewritten.acked.unwrap().fp.0 > 1);
}

#[test]
fn what_is_owed_again_by_a_resync_is_not_rewritten_silently() {
    let mut rig = told();
    rig.edit(S, |plan| plan.held = true);
    rig.edit(S, |plan| plan.policy.resync.requested_at = Some("now".into()));
    rig.run_for(2_000);
    rig.plans.get_mut(S).unwrap().held = false;
    updated(&mut rig, false);
    taken_over(&mut rig, 1, 1);
    assert_eq!(rig.told("a"), [(New, Some(1)), (New, Some(1))]);
}
