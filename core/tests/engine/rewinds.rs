use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::plan::Existing;
use changehook_core::select::Seen;

use crate::rig::{Rig, S, config_map, no_connection, ok, source};

/// Two objects that the endpoint has, at versions that the cluster, restored from a backup, is far from.
fn set_back() -> Rig {
    let mut rig = Rig::new();
    rig.rv = 1_000_000;
    rig.script(|_| Some(ok()));
    rig.show("a", 1);
    rig.show("b", 1);
    rig.run_for(2_000);
    rig.engine.source_at(&source(), 1_000_000);
    rig.rv = 500;
    rig
}

fn rewind(rig: &mut Rig) {
    rig.engine.rewind(rig.now);
    rig.poll();
}

fn listed(rig: &mut Rig) {
    rig.show("a", 1);
    rig.show("b", 2);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
}

#[test]
fn without_a_rewind_older_versions_are_held() {
    let mut rig = set_back();
    listed(&mut rig);
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn after_a_rewind_only_content_decides_and_absence_is_believed() {
    let mut rig = set_back();
    rig.show("c", 1);
    rig.run_for(2_000);
    rewind(&mut rig);
    assert_eq!(rig.engine.highest_version(&source()), None);
    listed(&mut rig);
    rig.gone("c");
    assert_eq!((rig.told("a").len(), rig.told("b")), (1, vec![(New, Some(1)), (Updated, Some(2))]));
    assert_eq!(rig.told("c"), [(New, Some(1)), (Removed, None)]);
    rig.show("a", 2);
    assert_eq!(rig.told("a").last(), Some(&(Updated, Some(2))));
}

#[test]
fn the_next_leader_honours_a_rewind() {
    let mut rig = set_back();
    rewind(&mut rig);
    rig.take_over();
    listed(&mut rig);
    assert_eq!((rig.told("a").len(), rig.told("b").len()), (1, 2));
}

#[test]
fn a_rewind_holds_for_books_whose_plan_is_still_to_come() {
    let mut rig = set_back();
    let plan = rig.plans.remove(S).unwrap();
    rig.take_over();
    rewind(&mut rig);
    rig.assign(plan);
    listed(&mut rig);
    assert_eq!((rig.told("a").len(), rig.told("b").len()), (1, 2));
}

#[test]
fn a_request_that_was_under_way_is_acknowledged_without_a_version() {
    let mut rig = Rig::new();
    rig.rv = 1_000_000;
    rig.show("a", 1);
    rewind(&mut rig);
    rig.answer("a", ok());
    rig.rv = 500;
    rig.show("a", 2);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(2))]);
    rig.answer("a", ok());
    rig.run_for(2_000);
    rig.take_over();
    rig.show("a", 2);
    rig.synced(S, &config_map());
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn what_is_declared_from_a_row_of_before_the_rewind_has_no_version_either() {
    let mut rig = Rig::new();
    rig.rv = 1_000_000;
    rig.edit(S, |plan| plan.held = true);
    rig.show("a", 1);
    rewind(&mut rig);
    rig.script(|_| Some(ok()));
    rig.edit(S, |plan| plan.held = false);
    rig.rv = 500;
    rig.show("a", 2);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(2))]);
}

#[test]
fn what_is_retried_after_a_rewind_is_the_same_event_while_its_content_is() {
    let mut rig = Rig::new();
    rig.rv = 1_000_000;
    rig.show("a", 1);
    rig.answer("a", no_connection());
    rewind(&mut rig);
    rig.rv = 500;
    rig.show("a", 1);
    rig.run_for(2_000);
    assert_eq!((rig.sent.len(), rig.sent[0].sequence), (2, rig.sent[1].sequence));
    rig.answer("a", ok());
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(row));
    rig.run_for(2_000);
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn an_open_baseline_adopts_nothing_after_a_rewind() {
    let mut rig = Rig::empty(changehook_core::engine::Settings::default());
    rig.script(|_| Some(ok()));
    rig.assign(crate::rig::plan(S));
    rig.run_for(2_000);
    rig.commits_at_once = false;
    rig.synced(S, &config_map());
    rewind(&mut rig);
    rig.rv = 50;
    rig.show("a", 1);
    rig.commits_at_once = true;
    rig.commit();
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}

#[test]
fn what_was_owed_when_the_cluster_was_set_back_is_told_although_no_version_says_so() {
    let mut rig = Rig::new();
    rig.rv = 1_000_000;
    rig.script(|_| Some(ok()));
    rig.show("a", 1);
    rig.edit(S, |plan| plan.held = true);
    rig.show("a", 2);
    rewind(&mut rig);
    rig.edit(S, |plan| plan.held = false);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(2))]);
}

#[test]
fn a_baseline_that_tells_what_exists_tells_it_after_a_rewind_too() {
    let mut rig = Rig::empty(changehook_core::engine::Settings::default());
    rig.script(|_| Some(ok()));
    let mut notifying = crate::rig::plan(S);
    notifying.policy.initial_sync = Existing::Notify;
    rig.assign(notifying);
    rig.run_for(2_000);
    rig.commits_at_once = false;
    rig.show("a", 1);
    rig.synced(S, &config_map());
    rewind(&mut rig);
    rig.commits_at_once = true;
    rig.commit();
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}
