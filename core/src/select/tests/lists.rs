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
    assert_eq!(bench.selection.apply(&source, complete(7), &mut out), Some(listed(7, &[])));
    assert_eq!(bench.selection.synced(&source), Some(listed(7, &[])));
    assert_eq!(bench.selection.apply(&source, SourceEvent::ListStarted, &mut out), None);
    let nothing_gone = Synced::Listed { rv: 7, unreadable: Unreadable::Unknown };
    assert_eq!(bench.selection.synced(&source), Some(nothing_gone));
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
    let synced = Synced::Listed { rv: 20, unreadable: Unreadable::Unknown };
    assert_eq!((bench.selection.rows(), bench.selection.synced(&bench.source)), (2, Some(synced)));
}

#[test]
fn an_absent_kind_takes_every_object_with_it() {
    let mut bench = Bench::with_namespace_a();
    let (source, mut out) = (bench.source.clone(), Vec::new());
    bench.upsert("a", "x", "u", 5);
    bench.upsert("b", "x", "v", 9);
    assert_eq!(bench.selection.apply(&source, SourceEvent::KindAbsent, &mut out), Some(Synced::Absent));
    assert_eq!(out.iter().map(text).collect::<Vec<_>>(), ["s u gone 9 relist"]);
    assert_eq!((bench.selection.rows(), bench.selection.synced(&source)), (0, Some(Synced::Absent)));
    assert_eq!(bench.tell(SourceEvent::KindAbsent), NOTHING);
    assert_eq!(bench.list(30, &[("a", "u2", 25)]), ["s u2 selected 25 relist"]);
}

#[test]
fn a_kind_that_was_never_there_is_known_to_be_absent_until_a_list_begins() {
    let mut bench = Bench::with_namespace_a();
    assert_eq!(bench.tell(SourceEvent::KindAbsent), NOTHING);
    assert_eq!(bench.selection.synced(&bench.source), Some(Synced::Absent));
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(bench.selection.synced(&bench.source), None);
    bench.tell(complete(7));
    assert_eq!(bench.selection.synced(&bench.source), Some(listed(7, &[])));
}

#[test]
fn what_could_not_be_read_is_handed_to_whoever_comes_later_until_it_can_be_read_or_is_gone() {
    let mut bench = Bench::with_namespace_a();
    let synced = |bench: &Bench| bench.selection.synced(&bench.source);
    let unreadable = |names: &[&str]| Unreadable::Named(names.iter().map(|name| named("a", name)).collect());
    bench.tell(SourceEvent::ListStarted);
    bench.tell(SourceEvent::ListEnded { rv: 20, unreadable: unreadable(&["x", "y"]) });
    bench.upsert("a", "z", "z", 21);
    bench.tell(SourceEvent::Unreadable(named("a", "z")));
    assert_eq!(synced(&bench), Some(listed(20, &["x", "y", "z"])));
    bench.upsert("a", "y", "y", 22);
    bench.tell(deleted("a", "z", 23));
    assert_eq!(synced(&bench), Some(listed(20, &["x"])));
    // a list that has begun has not named it yet
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(synced(&bench), Some(Synced::Listed { rv: 20, unreadable: Unreadable::Unknown }));
    bench.upsert("a", "y", "y", 22);
    bench.tell(SourceEvent::ListEnded { rv: 30, unreadable: unreadable(&["w"]) });
    assert_eq!(synced(&bench), Some(listed(30, &["w"])));
}

#[test]
fn the_deletion_of_what_was_never_read_is_told_to_those_who_see_its_namespace() {
    let mut bench = Bench::with_namespace_a();
    let source = bench.source.clone();
    bench.plan("t", &[(&source, Some("b"), app(None))]);
    bench.list(10, &[]);
    assert_eq!(bench.tell(deleted("a", "odd", 11)), NOTHING);
    bench.tell(SourceEvent::ListStarted);
    bench.tell(SourceEvent::ListEnded { rv: 20, unreadable: Unreadable::Named(vec![named("a", "odd")]) });
    assert_eq!(bench.tell(deleted("a", "odd", 21)), ["s odd gone 21 watch"]);
    bench.tell(SourceEvent::ListStarted);
    bench.tell(SourceEvent::ListEnded { rv: 30, unreadable: Unreadable::Unknown });
    assert_eq!(bench.tell(deleted("b", "nameless", 31)), ["t nameless gone 31 watch"]);
}

#[test]
fn when_versions_count_anew_lower_ones_are_newer_and_what_the_next_list_does_not_show_is_gone() {
    let mut bench = Bench::with_namespace_a();
    let source = bench.source.clone();
    bench.list(500, &[("a", "kept", 400), ("a", "lost", 410), ("a", "odd", 420)]);
    bench.selection.rewind(&source);
    assert_eq!(bench.selection.synced(&source), None);
    bench.tell(SourceEvent::ListStarted);
    assert_eq!(bench.upsert("a", "kept", "kept", 40), ["s kept selected 40 relist"]);
    assert_eq!(bench.upsert("a", "kept", "kept", 39), NOTHING);
    assert_eq!(bench.upsert("a", "odd", "other", 41), ["s odd gone 41 relist", "s other selected 41 relist"]);
    assert_eq!(bench.tell(complete(50)), ["s lost gone 50 relist"]);
    assert_eq!(bench.tell(deleted("a", "kept", 51)), ["s kept gone 51 watch"]);
}

#[test]
fn when_versions_count_anew_the_same_version_is_told_again() {
    let mut bench = Bench::with_namespace_a();
    let source = bench.source.clone();
    bench.list(500, &[("a", "same", 40)]);
    bench.selection.rewind(&source);
    assert_eq!(bench.list(50, &[("a", "same", 40)]), ["s same selected 40 relist"]);
    assert_eq!(bench.list(51, &[("a", "same", 40)]), NOTHING);
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
