//! One source: versions, deletions, mark and sweep, what cannot be read, namesakes.

use super::*;

#[test]
fn a_watch_event_is_told_to_those_who_see_the_namespace_selected_or_not() {
    let mut bench = Bench::new();
    let source = bench.source.clone();
    bench.plan("all", &[(&source, None, app(None))]);
    bench.plan("web", &[(&source, Some("a"), app(Some("web")))]);
    bench.plan("other", &[(&source, Some("b"), app(None))]);
    assert_eq!(bench.upsert_app("a", "u", 5, "web"), ["all u selected 5 watch", "web u selected 5 watch"]);
    assert_eq!(bench.upsert_app("a", "u", 6, "db"), ["all u selected 6 watch", "web u deselected 6 watch"]);
    assert_eq!(bench.upsert_app("c", "v", 7, "web"), ["all v selected 7 watch"]);
    assert_eq!(bench.upsert("", "cluster", "w", 8), ["all w selected 8 watch"]);
    assert_eq!(bench.tell(deleted("a", "u", 9)), ["all u gone 9 watch", "web u gone 9 watch"]);
    assert_eq!(bench.tell(deleted("", "w", 10)), ["all w gone 10 watch"]);
}

#[test]
fn one_source_says_nothing_to_those_who_read_another() {
    let mut bench = Bench::with_namespace_a();
    let secret = source("Secret", None);
    let event = SourceEvent::Upsert(Arc::new(row("a", "x", "u", 5, &[])));
    assert_eq!(bench.tell_from(&secret, event), NOTHING);
    assert_eq!((bench.selection.rows(), bench.selection.rows_of(&secret)), (1, 1));
    assert_eq!(bench.selection.rows_of(&bench.source), 0);
}

#[test]
fn unchanged_and_older_versions_say_nothing() {
    let mut bench = Bench::with_namespace_a();
    assert_eq!(bench.upsert("a", "x", "u", 5), ["s u selected 5 watch"]);
    assert_eq!(bench.upsert("a", "x", "u", 5), NOTHING);
    assert_eq!(bench.upsert("a", "x", "u", 4), NOTHING);
    assert_eq!(bench.upsert("a", "x", "u", 6), ["s u selected 6 watch"]);
}

#[test]
fn a_deletion_is_told_once_and_an_older_one_than_the_row_never() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "u", 5);
    assert_eq!(bench.tell(deleted("a", "u", 4)), NOTHING);
    assert_eq!(bench.tell(deleted("b", "u", 9)), NOTHING);
    assert_eq!(bench.selection.rows(), 1);
    assert_eq!(bench.tell(deleted("a", "u", 5)), ["s u gone 5 watch"]);
    assert_eq!(bench.tell(deleted("a", "u", 5)), NOTHING);
    assert_eq!(bench.tell(deleted("a", "never", 7)), NOTHING);
    assert_eq!(bench.selection.rows(), 0);
}

#[test]
fn a_relist_finds_what_changed_and_each_deletion_exactly_once() {
    let mut bench = Bench::with_namespace_a();
    for (uid, rv) in [("changed", 1), ("deleted", 2), ("same", 3)] {
        bench.upsert("a", uid, uid, rv);
    }
    bench.upsert("b", "elsewhere", "elsewhere", 4);
    let told = bench.list(20, &[("a", "changed", 10), ("a", "new", 11), ("a", "same", 3)]);
    assert_eq!(told, ["s changed selected 10 relist", "s new selected 11 relist", "s deleted gone 20 relist"]);
    assert_eq!(bench.selection.rows(), 3);
    assert_eq!(bench.list(30, &[("a", "changed", 10), ("a", "new", 11), ("a", "same", 3)]), NOTHING);
}

#[test]
fn rows_newer_than_the_list_are_not_swept() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "older", 19);
    bench.upsert("a", "y", "equal", 20);
    bench.upsert("a", "z", "newer", 21);
    assert_eq!(bench.list(20, &[]), ["s equal gone 20 relist", "s older gone 20 relist"]);
    assert_eq!(bench.selection.rows(), 1);
}

#[test]
fn an_older_version_in_a_list_counts_as_shown() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "u", "u", 15);
    assert_eq!(bench.list(20, &[("a", "u", 12)]), NOTHING);
    assert_eq!(bench.selection.rows(), 1);
}

#[test]
fn a_list_that_breaks_off_sweeps_nothing_and_what_only_it_showed_must_be_shown_again() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "u", "u", 1);
    bench.upsert("a", "v", "v", 2);
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(bench.upsert("a", "u", "u", 1), NOTHING);
    assert_eq!(bench.list(20, &[("a", "v", 2)]), ["s u gone 20 relist"]);
}

#[test]
fn after_the_list_changes_come_from_the_watch_again() {
    let mut bench = Bench::with_namespace_a();
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(bench.upsert("a", "x", "u", 5), ["s u selected 5 relist"]);
    assert_eq!(bench.tell(deleted("a", "u", 6)), ["s u gone 6 watch"]);
    bench.tell(complete(7));
    assert_eq!(bench.upsert("a", "x", "v", 8), ["s v selected 8 watch"]);
}

#[test]
fn synced_tells_the_last_complete_list() {
    let mut bench = Bench::with_namespace_a();
    let (source, mut out) = (bench.source.clone(), Vec::new());
    assert_eq!(bench.selection.synced(&source), None);
    assert_eq!(bench.selection.apply(&source, SourceEvent::ListStarted, &mut out), None);
    bench.upsert("a", "x", "u", 5);
    assert_eq!(bench.selection.synced(&source), None);
    assert_eq!(bench.selection.apply(&source, complete(7), &mut out), Some(Synced { rv: 7 }));
    assert_eq!(bench.selection.synced(&source), Some(7));
    assert_eq!(bench.selection.apply(&source, SourceEvent::ListStarted, &mut out), None);
    assert_eq!(bench.selection.synced(&source), Some(7));
    bench.selection.drop_source(&source);
    assert_eq!(bench.selection.synced(&source), None);
}

#[test]
fn an_unreadable_object_is_unknown_until_it_is_read_again_in_whatever_version() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "u", 5);
    assert_eq!(bench.tell(SourceEvent::Unreadable(named("a", "x"))), ["s u unknown watch"]);
    assert_eq!(bench.tell(SourceEvent::Unreadable(named("a", "x"))), NOTHING);
    assert_eq!(bench.tell(SourceEvent::Unreadable(named("a", "never"))), NOTHING);
    assert_eq!(bench.tell(SourceEvent::Unreadable(named("b", "x"))), NOTHING);
    assert_eq!(bench.upsert("a", "x", "u", 4), NOTHING);
    assert_eq!(bench.upsert("a", "x", "u", 5), ["s u selected 5 watch"]);
    bench.tell(SourceEvent::Unreadable(named("a", "x")));
    assert_eq!(bench.upsert("a", "x", "u", 6), ["s u selected 6 watch"]);
    bench.tell(SourceEvent::Unreadable(named("a", "x")));
    assert_eq!(bench.tell(deleted("a", "u", 7)), ["s u gone 7 watch"]);
}

#[test]
fn what_a_list_could_not_read_is_unknown_and_the_rest_is_swept() {
    let mut bench = Bench::with_namespace_a();
    for (uid, rv) in [("bad", 1), ("gone", 2), ("good", 3)] {
        bench.upsert("a", uid, uid, rv);
    }
    let unreadable = || Unreadable::Named(vec![named("a", "bad"), named("a", "good"), named("a", "never")]);
    bench.tell(SourceEvent::ListStarted);
    bench.upsert("a", "good", "good", 3);
    let told = bench.tell(SourceEvent::ListEnded { rv: 20, unreadable: unreadable() });
    assert_eq!(told, ["s bad unknown relist", "s gone gone 20 relist"]);
    // and when it is still so in the next list, nothing is new
    bench.tell(SourceEvent::ListStarted);
    bench.upsert("a", "good", "good", 3);
    assert_eq!(bench.tell(SourceEvent::ListEnded { rv: 21, unreadable: unreadable() }), NOTHING);
    assert_eq!(bench.list(22, &[("a", "good", 3)]), ["s bad gone 22 relist"]);
}

#[test]
fn what_was_unreadable_during_a_list_is_not_swept_by_it() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "u", 5);
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(bench.tell(SourceEvent::Unreadable(named("a", "x"))), ["s u unknown relist"]);
    assert_eq!(bench.tell(complete(20)), NOTHING);
    assert_eq!(bench.selection.rows(), 1);
}

#[test]
fn a_list_with_a_nameless_unreadable_object_proves_nothing_absent() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "u", 5);
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(bench.upsert("a", "y", "v", 6), ["s v selected 6 relist"]);
    assert_eq!(bench.tell(SourceEvent::ListEnded { rv: 20, unreadable: Unreadable::Unknown }), NOTHING);
    assert_eq!((bench.selection.rows(), bench.selection.synced(&bench.source)), (2, Some(20)));
}

#[test]
fn an_absent_kind_takes_every_object_with_it() {
    let mut bench = Bench::with_namespace_a();
    let (source, mut out) = (bench.source.clone(), Vec::new());
    bench.upsert("a", "x", "u", 5);
    bench.upsert("b", "x", "v", 9);
    assert_eq!(bench.selection.apply(&source, SourceEvent::KindAbsent, &mut out), Some(Synced { rv: 9 }));
    assert_eq!(out.iter().map(text).collect::<Vec<_>>(), ["s u gone 9 relist"]);
    assert_eq!((bench.selection.rows(), bench.selection.synced(&source)), (0, Some(9)));
    assert_eq!(bench.tell(SourceEvent::KindAbsent), NOTHING);
    assert_eq!(bench.list(30, &[("a", "u2", 25)]), ["s u2 selected 25 relist"]);
}

#[test]
fn a_kind_that_was_never_there_is_synced_at_nothing() {
    let mut bench = Bench::with_namespace_a();
    assert_eq!(bench.tell(SourceEvent::KindAbsent), NOTHING);
    assert_eq!(bench.selection.synced(&bench.source), Some(0));
}

#[test]
fn a_namesake_with_another_uid_proves_the_former_one_gone_first() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "old", 5);
    assert_eq!(bench.upsert("a", "x", "new", 9), ["s old gone 9 watch", "s new selected 9 watch"]);
    assert_eq!(bench.tell(deleted("a", "old", 8)), NOTHING);
    assert_eq!(bench.selection.rows(), 1);
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(bench.upsert("a", "x", "newer", 12), ["s new gone 12 relist", "s newer selected 12 relist"]);
    assert_eq!(bench.tell(complete(13)), NOTHING);
    // the index of names follows
    assert_eq!(bench.tell(SourceEvent::Unreadable(named("a", "x"))), ["s newer unknown watch"]);
}

#[test]
fn a_stale_namesake_is_ignored() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "new", 9);
    assert_eq!(bench.upsert("a", "x", "old", 5), NOTHING);
    assert_eq!(bench.selection.rows(), 1);
}

#[test]
fn the_same_name_in_another_namespace_is_no_namesake() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "u", 5);
    assert_eq!(bench.upsert("b", "x", "v", 9), NOTHING);
    assert_eq!(bench.selection.rows(), 2);
}

#[test]
fn an_object_that_an_api_renames_keeps_one_row_and_one_name() {
    let mut bench = Bench::with_namespace_a();
    bench.upsert("a", "x", "u", 5);
    assert_eq!(bench.upsert("a", "y", "u", 6), ["s u selected 6 watch"]);
    assert_eq!(bench.upsert("a", "x", "v", 7), ["s v selected 7 watch"]);
    assert_eq!(bench.upsert("a", "y", "v", 8), ["s u gone 8 watch", "s v selected 8 watch"]);
    assert_eq!(bench.selection.rows(), 1);
}
