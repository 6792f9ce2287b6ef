//! What is missed and what is not: lists that lack too much, watches that lost something.

use std::sync::Arc;

use changehook_core::event;
use changehook_core::object::Gvk;

use super::*;

fn row(name: &str, rv: u64) -> Row {
    let gvk = Arc::new(Gvk::new("v1", "ConfigMap"));
    let text =
        format!(r#"{{"metadata":{{"namespace":"ns","name":"{name}","uid":"{name}","resourceVersion":"{rv}"}}}}"#);
    event::row(&gvk, &text).unwrap()
}

fn name(name: &str) -> ObjectName {
    ObjectName { namespace: Some("ns".into()), name: name.into() }
}

fn nothing_unreadable() -> Unreadable {
    Unreadable::Named(Vec::new())
}

fn listing(rv: u64, objects: &[(&str, u64)]) -> Listing {
    Listing::new(rv, objects.iter().map(|(uid, rv)| Glimpse::new(uid, &name(uid), *rv)).collect())
}

/// A census after a complete list of these at version 100.
fn of(names: &[&str]) -> Census {
    let mut census = Census::default();
    list(&mut census, names, 100);
    census
}

fn list(census: &mut Census, names: &[&str], rv: u64) {
    census.list_started();
    for name in names {
        census.shown(&row(name, 1));
    }
    census.list_ended(rv, &nothing_unreadable());
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("w-{n}")).collect()
}

/// What a list says that shows so many of so many.
fn vanished(known: usize, shown: usize, unreadable: usize) -> Option<usize> {
    let names = many(known);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut census = of(&names);
    census.list_started();
    names[..shown].iter().for_each(|name| census.shown(&row(name, 1)));
    census.vanished(200, &Unreadable::Named(names[shown..shown + unreadable].iter().map(|n| name(n)).collect()))
}

#[test]
fn more_than_half_and_more_than_twenty_is_too_many_to_vanish_at_once() {
    assert_eq!(vanished(21, 0, 0), Some(21));
    assert_eq!(vanished(20, 0, 0), None);
    assert_eq!(vanished(60, 29, 0), Some(31));
    assert_eq!(vanished(60, 30, 0), None);
    assert_eq!(vanished(60, 29, 1), None, "what cannot be read has not vanished");
}

#[test]
fn what_is_newer_than_the_list_or_was_deleted_before_it_does_not_vanish() {
    let names = many(60);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut census = of(&names);
    names[..25].iter().for_each(|name| census.deleted(name, 150));
    names[25..50].iter().for_each(|name| census.shown(&row(name, 300)));
    census.list_started();
    assert_eq!(census.vanished(200, &nothing_unreadable()), None);
    assert_eq!(census.vanished(300, &Unreadable::Unknown), None);
    assert_eq!(census.vanished(300, &nothing_unreadable()), Some(35));
}

#[test]
fn a_first_list_is_measured_by_what_an_earlier_life_knew() {
    let names = many(30);
    let mut census = Census::default();
    census.expect(names.iter().map(|name| uid_hash(name)));
    census.list_started();
    census.shown(&row("another", 1));
    assert_eq!(census.vanished(100, &nothing_unreadable()), Some(30));
    // and the second one by the same
    census.list_started();
    census.shown(&row("another", 1));
    assert_eq!(census.vanished(100, &nothing_unreadable()), Some(30));
    census.list_ended(100, &nothing_unreadable());
    assert!(census.suspect(&listing(100, &[("another", 1)])).is_empty());
}

#[test]
fn a_list_that_agrees_is_no_suspicion() {
    let mut census = of(&["a", "b"]);
    census.shown(&row("a", 120));
    census.shown(&row("c", 130));
    // older than the watch in a and c, which is as it should be
    assert!(census.suspect(&listing(110, &[("a", 1), ("b", 1)])).is_empty());
}

#[test]
fn a_lost_deletion_addition_or_update_is_suspected_and_lasts() {
    let census = of(&["same", "lost", "edited"]);
    let second = listing(150, &[("same", 1), ("edited", 120), ("born", 110)]);
    let suspicion = census.suspect(&listing(140, &[("same", 1), ("edited", 120), ("born", 110)]));
    assert_eq!((suspicion.rv(), census.lasting(&suspicion, &second)), (140, 3));
}

#[test]
fn what_the_watch_tells_after_all_does_not_last() {
    let mut census = of(&["same", "late", "edited"]);
    let suspicion = census.suspect(&listing(140, &[("same", 1), ("edited", 120), ("born", 110)]));
    assert_eq!(suspicion.differences.len(), 3);
    census.deleted("late", 130);
    census.shown(&row("edited", 120));
    census.shown(&row("born", 110));
    // the watch lags behind the second list too, but it has made up for what was suspected
    let second = listing(200, &[("same", 1), ("edited", 190), ("born", 195)]);
    assert_eq!(census.lasting(&suspicion, &second), 0);
}

#[test]
fn what_was_deleted_since_the_first_list_or_came_back_does_not_last() {
    let mut census = of(&["back"]);
    let suspicion = census.suspect(&listing(140, &[("brief", 110)]));
    assert_eq!(suspicion.differences.len(), 2);
    census.shown(&row("back", 145));
    assert_eq!(census.lasting(&suspicion, &listing(150, &[("back", 145)])), 0);
}

#[test]
fn what_cannot_be_read_is_not_compared() {
    let mut census = of(&["odd", "fine"]);
    census.unreadable(&name("odd"));
    assert!(census.suspect(&listing(140, &[("odd", 120), ("fine", 1)])).is_empty());
    census.shown(&row("odd", 120));
    let later = listing(160, &[("odd", 150), ("fine", 1)]);
    let suspicion = census.suspect(&later);
    assert_eq!(census.lasting(&suspicion, &later), 1);
    census.unreadable(&name("odd"));
    assert_eq!(census.lasting(&suspicion, &later), 0);
}

#[test]
fn after_a_list_only_what_it_showed_is_known_and_what_it_named_unreadable_is_left_out() {
    let mut census = of(&["gone", "odd", "kept"]);
    census.list_started();
    census.shown(&row("kept", 1));
    census.list_ended(200, &Unreadable::Named(vec![name("odd")]));
    assert!(census.suspect(&listing(210, &[("kept", 1), ("odd", 120)])).is_empty());
}

#[test]
fn when_versions_count_anew_an_older_list_takes_away_what_it_does_not_show() {
    let mut census = of(&["a"]);
    census.shown(&row("b", 500));
    census.rewind();
    list(&mut census, &["a"], 50);
    assert!(census.suspect(&listing(50, &[("a", 1)])).is_empty());
}

#[test]
fn a_kind_that_is_not_served_has_nothing_to_miss() {
    let names = many(60);
    let mut census = of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    census.clear();
    census.list_started();
    assert_eq!(census.vanished(200, &nothing_unreadable()), None);
}
