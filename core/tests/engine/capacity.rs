use changehook_core::engine::{CrowdView, Limit, Limits, Settings};
use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::plan::Existing;

use crate::rig::{Rig, S, config_map, ok, plan};

fn limited(limits: Limits) -> Rig {
    let mut rig = Rig::empty(Settings { limits, ..Settings::default() });
    rig.script(|_| Some(ok()));
    rig.subscribe(plan(S));
    rig
}

fn two() -> Limits {
    Limits { namespaced: 2, cluster_wide: 3, all: 100 }
}

#[test]
fn beyond_the_limit_what_is_new_is_held_and_not_recorded_and_what_is_there_goes_on() {
    let mut rig = limited(two());
    for uid in ["a", "b", "c", "d"] {
        rig.show(uid, 1);
    }
    rig.show("a", 2);
    rig.run_for(60_000);
    let view = rig.view();
    assert_eq!(view.crowd, Some(CrowdView { held: 2, limit: Limit::Subscription(2) }));
    assert_eq!((view.entries, view.pending), (2, 0));
    assert_eq!((rig.told("a"), rig.told("c")), (vec![(New, Some(1)), (Updated, Some(2))], vec![]));
    assert_eq!(rig.durable.books.values().next().unwrap().entries.len(), 2);
}

#[test]
fn it_heals_by_itself_when_entries_go_away() {
    let mut rig = limited(two());
    for uid in ["a", "b", "c", "d"] {
        rig.show(uid, 1);
    }
    rig.gone("a");
    assert_eq!((rig.told("a").last(), rig.told("c")), (Some(&(Removed, None)), vec![(New, Some(1))]));
    assert_eq!(rig.view().crowd, Some(CrowdView { held: 1, limit: Limit::Subscription(2) }));
    rig.gone("d");
    assert_eq!((rig.view().crowd, rig.told("d")), (None, vec![]));
}

#[test]
fn a_baseline_adopts_as_many_as_there_is_room_for_and_closes() {
    let mut rig = Rig::empty(Settings { limits: two(), ..Settings::default() });
    rig.script(|_| Some(ok()));
    rig.assign(plan(S));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert!(rig.view().live);
    assert_eq!((rig.sent.len(), rig.view().entries, rig.view().crowd.map(|crowd| crowd.held)), (0, 2, Some(1)));
}

#[test]
fn the_limit_of_all_is_shared_and_whoever_makes_room_makes_it_for_others() {
    let mut rig = limited(Limits { namespaced: 10, cluster_wide: 10, all: 2 });
    rig.subscribe(plan("other"));
    rig.show("a", 1);
    rig.show("b", 1);
    rig.show_to("other", "c", 1);
    assert_eq!(rig.view_of("other").crowd, Some(CrowdView { held: 1, limit: Limit::All(2) }));
    assert_eq!(rig.view().crowd, None);
    rig.gone("a");
    assert_eq!((rig.told("c"), rig.view_of("other").crowd), (vec![(New, Some(1))], None));
    rig.show_to("other", "d", 1);
    let id = rig.plans.remove(S).unwrap().id;
    rig.engine.remove(rig.now, &id);
    rig.poll();
    assert_eq!(rig.told("d"), [(New, Some(1))]);
}

#[test]
fn a_subscription_to_all_namespaces_has_the_larger_limit() {
    let mut rig = Rig::empty(Settings { limits: two(), ..Settings::default() });
    rig.script(|_| Some(ok()));
    let mut wide = plan(S);
    wide.interests[0].namespace = None;
    wide.policy.initial_sync = Existing::Notify;
    rig.subscribe(wide);
    for uid in ["a", "b", "c", "d"] {
        rig.show(uid, 1);
    }
    assert_eq!(rig.sent.len(), 3);
}

#[test]
fn what_is_in_the_ledger_goes_on_after_a_takeover_even_if_it_is_more_than_allowed() {
    let mut rig = limited(Limits::default());
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.run_for(2_000);
    rig.limit(two());
    rig.take_over();
    for uid in ["a", "b", "c"] {
        rig.show(uid, 2);
    }
    rig.show("d", 1);
    rig.synced(S, &config_map());
    assert_eq!((rig.told("c").last(), rig.told("d")), (Some(&(Updated, Some(2))), vec![]));
    rig.gone("a");
    assert_eq!(rig.told("d"), [], "there are still as many as allowed");
    rig.gone("b");
    assert_eq!(rig.told("d"), [(New, Some(1))]);
}

#[test]
fn a_namesake_that_is_held_keeps_nobody_waiting() {
    let mut rig = limited(two());
    rig.show("a", 1);
    rig.show("b", 1);
    rig.show_named(S, "c", "a", 1);
    rig.show("b", 2);
    rig.gone("a");
    assert_eq!(rig.told("c"), [(New, Some(1))]);
    assert_eq!(rig.told("b").len(), 2);
}
