//! Plans that come, change and go.

use super::*;

/// A bench with three rows: a/web (app=web), a/db (app=db), b/web (app=web).
fn stocked() -> (Bench, SourceId) {
    let mut bench = Bench::new();
    bench.upsert_app("a", "a-web", 1, "web");
    bench.upsert_app("a", "a-db", 2, "db");
    bench.upsert_app("b", "b-web", 3, "web");
    let source = bench.source.clone();
    (bench, source)
}

#[test]
fn a_new_plan_sees_every_cached_row_of_its_namespace_and_no_other() {
    let (mut bench, source) = stocked();
    let told = bench.plan("s", &[(&source, Some("a"), app(Some("web")))]);
    assert_eq!(told, ["s a-db deselected 2 relist", "s a-web selected 1 relist"]);
    let told = bench.plan("t", &[(&source, None, app(Some("web")))]);
    assert_eq!(told, ["t a-db deselected 2 relist", "t a-web selected 1 relist", "t b-web selected 3 relist"]);
    assert_eq!(bench.plan("u", &[(&source, Some("c"), app(None))]), NOTHING);
}

#[test]
fn an_unreadable_row_is_unknown_to_a_new_plan_too() {
    let (mut bench, source) = stocked();
    bench.tell(SourceEvent::Unreadable(named("b", "b-web")));
    assert_eq!(bench.plan("s", &[(&source, Some("b"), app(None))]), ["s b-web unknown relist"]);
}

#[test]
fn an_edited_selector_is_applied_to_every_cached_row_and_to_what_comes() {
    let (mut bench, source) = stocked();
    bench.plan("s", &[(&source, Some("a"), app(Some("web")))]);
    let told = bench.plan("s", &[(&source, Some("a"), app(Some("db")))]);
    assert_eq!(told, ["s a-db selected 2 relist", "s a-web deselected 1 relist"]);
    assert_eq!(bench.upsert_app("a", "a-web", 4, "web"), ["s a-web deselected 4 watch"]);
}

#[test]
fn a_kind_that_left_the_plan_is_deselected_and_not_seen_any_more() {
    let (mut bench, source) = stocked();
    let secrets = super::source("Secret", None);
    bench.plan("s", &[(&source, Some("a"), app(Some("web"))), (&secrets, Some("a"), app(None))]);
    let told = bench.plan("s", &[(&secrets, Some("a"), app(None))]);
    assert_eq!(told, ["s a-db deselected 2 relist", "s a-web deselected 1 relist"]);
    assert_eq!(bench.upsert_app("a", "a-web", 4, "web"), NOTHING);
    assert_eq!(bench.plan("s", &[]), NOTHING);
}

#[test]
fn rows_outside_a_narrowed_namespace_are_deselected() {
    let (mut bench, source) = stocked();
    bench.plan("s", &[(&source, None, app(Some("web")))]);
    let told = bench.plan("s", &[(&source, Some("b"), app(Some("web")))]);
    assert_eq!(told, ["s a-db deselected 2 relist", "s a-web deselected 1 relist", "s b-web selected 3 relist"]);
    assert_eq!(bench.upsert_app("a", "a-web", 4, "web"), NOTHING);
    assert_eq!(bench.upsert_app("b", "b-web", 5, "web"), ["s b-web selected 5 watch"]);
}

#[test]
fn a_removed_plan_sees_nothing_more() {
    let (mut bench, source) = stocked();
    bench.plan("s", &[(&source, None, app(None))]);
    bench.plan("t", &[(&source, None, app(None))]);
    bench.selection.remove(&id("s"));
    assert_eq!(bench.upsert_app("a", "a-web", 4, "web"), ["t a-web selected 4 watch"]);
}

#[test]
fn a_dropped_source_forgets_its_rows_and_tells_nothing() {
    let (mut bench, source) = stocked();
    bench.plan("s", &[(&source, Some("a"), app(None))]);
    bench.selection.drop_source(&source);
    assert_eq!((bench.selection.rows(), bench.selection.rows_of(&source)), (0, 0));
    assert_eq!(bench.list(20, &[("a", "new", 11)]), ["s new selected 11 relist"]);
    bench.selection.remove(&id("s"));
    bench.selection.drop_source(&source);
    assert_eq!(bench.selection.synced(&source), None);
}

// --- a plan that moves to another source of the same kind -----------------------------------------------------------

/// `s` has read a/a-web and a/a-db from the cluster-wide source and moves to the namespace's own.
fn moved() -> (Bench, SourceId) {
    let (mut bench, source) = stocked();
    bench.plan("s", &[(&source, Some("a"), app(None))]);
    let own = super::source("ConfigMap", Some("a"));
    assert_eq!(bench.plan("s", &[(&own, Some("a"), app(None))]), NOTHING);
    bench.selection.drop_source(&source);
    bench.source = own.clone();
    (bench, own)
}

#[test]
fn moving_to_another_source_deselects_nothing_and_finds_what_was_deleted_meanwhile() {
    let (mut bench, _) = moved();
    let told = bench.list(20, &[("a", "a-web", 1)]);
    assert_eq!(told, ["s a-web selected 1 relist", "s a-db gone 20 relist"]);
    assert_eq!(bench.list(21, &[("a", "a-web", 1)]), NOTHING);
}

#[test]
fn after_a_move_nothing_is_gone_that_the_list_could_not_read_or_could_not_know() {
    let (mut bench, _) = moved();
    bench.tell(SourceEvent::ListStarted);
    let unreadable = Unreadable::Named(vec![named("a", "a-db")]);
    assert_eq!(bench.tell(SourceEvent::ListEnded { rv: 20, unreadable }), ["s a-web gone 20 relist"]);
    assert_eq!(bench.list(21, &[]), ["s a-db gone 21 relist"]);

    let (mut bench, _) = moved();
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(bench.tell(SourceEvent::ListEnded { rv: 20, unreadable: Unreadable::Unknown }), NOTHING);
    // which may be the nameless one; of the others it proves nothing
    assert_eq!(bench.tell(deleted("a", "other", 30)), ["s other gone 30 watch"]);
    bench.tell(SourceEvent::ListStarted);
    bench.tell(SourceEvent::Unreadable(named("a", "a-web")));
    assert_eq!(bench.tell(complete(31)), ["s a-db gone 31 relist"]);
    assert_eq!(bench.upsert("a", "a-web", "a-web", 32), ["s a-web selected 32 watch"]);

    let (mut bench, _) = moved();
    assert_eq!(
        bench.list(1, &[]),
        ["s a-web gone 1 relist"],
        "a list from before a-db was there proves nothing about it"
    );
    assert_eq!(bench.tell(deleted("a", "other", 2)), ["s a-db gone 2 relist"]);
}

#[test]
fn after_a_move_a_watched_deletion_and_an_absent_kind_are_told() {
    let (mut bench, _) = moved();
    assert_eq!(bench.tell(deleted("a", "a-db", 1)), NOTHING);
    assert_eq!(bench.tell(deleted("a", "a-db", 8)), ["s a-db gone 8 watch"]);
    assert_eq!(bench.tell(SourceEvent::KindAbsent), ["s a-web gone 8 relist"]);
    let (mut bench, _) = moved();
    assert_eq!(bench.tell(SourceEvent::KindAbsent), ["s a-db gone 2 relist", "s a-web gone 1 relist"]);
}

#[test]
fn a_move_to_a_source_that_is_complete_already_finds_at_once_what_is_gone() {
    let (mut bench, source) = stocked();
    bench.plan("s", &[(&source, Some("a"), app(None))]);
    let own = super::source("ConfigMap", Some("a"));
    bench.source = own.clone();
    bench.list(20, &[("a", "a-web", 1)]);
    let told = bench.plan("s", &[(&own, Some("a"), app(None))]);
    assert_eq!(told, ["s a-web selected 1 relist", "s a-db gone 20 relist"]);
    assert_eq!(bench.upsert("a", "new", "new", 25), ["s new selected 25 watch"]);
}

#[test]
fn what_a_move_left_open_is_deselected_when_the_plan_gives_it_up_and_kept_when_it_moves_on() {
    let (mut bench, own) = moved();
    // an edit that stays with the source keeps what is open
    assert_eq!(bench.plan("s", &[(&own, Some("a"), app(Some("web")))]), NOTHING);
    assert_eq!(bench.plan("s", &[]), ["s a-db deselected 2 relist", "s a-web deselected 1 relist"]);
    assert_eq!(bench.list(20, &[]), NOTHING);

    let (mut bench, _) = moved();
    let back = source("ConfigMap", None);
    assert_eq!(bench.plan("s", &[(&back, Some("a"), app(None))]), NOTHING);
    bench.source = back;
    assert_eq!(bench.list(20, &[("b", "b-web", 3)]), ["s a-db gone 20 relist", "s a-web gone 20 relist"]);

    let (mut bench, _) = moved();
    bench.selection.remove(&id("s"));
    assert_eq!(bench.list(20, &[]), NOTHING);
}

#[test]
fn a_plan_that_cannot_see_a_row_from_its_new_source_deselects_it() {
    let (mut bench, source) = stocked();
    bench.plan("s", &[(&source, None, app(None))]);
    let own = super::source("ConfigMap", Some("b"));
    let told = bench.plan("s", &[(&own, None, app(None))]);
    assert_eq!(told, ["s a-db deselected 2 relist", "s a-web deselected 1 relist"]);
    bench.source = own;
    assert_eq!(bench.list(20, &[]), ["s b-web gone 20 relist"]);
}

#[test]
fn what_a_move_left_open_is_settled_by_the_next_list_when_versions_count_anew() {
    let (mut bench, own) = moved();
    bench.selection.rewind(&own);
    assert_eq!(bench.list(1, &[("a", "a-web", 1)]), ["s a-web selected 1 relist", "s a-db gone 1 relist"]);
}
