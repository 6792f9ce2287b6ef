//! What waits is taken in as it was reported, but for what is newer and whose turn it is.

use std::collections::BTreeMap;

use super::*;
use crate::object::{Body, Digest, Gvk, ObjectKey, ObjectName, ObservedBy, Row, Unreadable};
use crate::plan::SubscriptionId;
use crate::select::Seen;

fn source() -> Arc<SourceId> {
    Arc::new(SourceId { gvk: Gvk::new("v1", "ConfigMap"), namespace: None })
}

fn row(namespace: &str, uid: &str, rv: u64) -> SourceEvent {
    SourceEvent::Upsert(Arc::new(Row {
        gvk: Arc::new(Gvk::new("v1", "ConfigMap")),
        uid: uid.into(),
        namespace: Some(namespace.into()),
        name: "x".into(),
        labels: BTreeMap::new(),
        rv,
        digest: Digest([0; 16]),
        version: None,
        body: Body::Whole(vec![0; 10].into()),
    }))
}

fn gone(namespace: &str, uid: &str, rv: u64) -> SourceEvent {
    SourceEvent::Deleted { namespace: Some(namespace.into()), uid: uid.into(), rv }
}

fn unreadable(namespace: &str) -> SourceEvent {
    SourceEvent::Unreadable(ObjectName { namespace: Some(namespace.to_owned()), name: "x".to_owned() })
}

fn ended(rv: u64) -> SourceEvent {
    SourceEvent::ListEnded { rv, unreadable: Unreadable::Named(Vec::new()) }
}

fn backlog(events: impl IntoIterator<Item = SourceEvent>) -> Backlog {
    let mut backlog = Backlog::new(2);
    for event in events {
        backlog.push(&source(), Sighted::Event(event));
    }
    backlog
}

/// What comes out, and up to where the source is complete with it, in a form short enough to compare.
fn rest(backlog: &mut Backlog) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(next) = backlog.pop(true) {
        let (seen, reached) = match next {
            Next::Report { source: _, seen, reached } => (seen, reached),
            Next::Rest(part) => {
                all.push(part.iter().map(|one| &*one.subscription.uid).collect::<Vec<_>>().join("+"));
                continue;
            }
        };
        let what = match seen {
            Sighted::Event(SourceEvent::Upsert(row)) => format!("{} {}", row.uid, row.rv),
            Sighted::Event(SourceEvent::Deleted { uid, rv, .. }) => format!("-{uid} {rv}"),
            Sighted::Event(SourceEvent::ListStarted) => "list".to_owned(),
            Sighted::Event(SourceEvent::ListEnded { rv, .. }) => format!("listed {rv}"),
            Sighted::Event(SourceEvent::Unreadable(_)) => "unreadable".to_owned(),
            Sighted::Event(SourceEvent::KindAbsent) => "absent".to_owned(),
            Sighted::Rewound => "rewound".to_owned(),
            Sighted::Stopped => "stopped".to_owned(),
        };
        all.push(reached.map_or(what.clone(), |reached| format!("{what} ={reached}")));
    }
    assert!(backlog.is_empty() && backlog.turns.is_empty() && backlog.rests.is_empty());
    assert_eq!(backlog.rests.len(), 0);
    assert_eq!((backlog.len(), backlog.bytes(), backlog.sources.len(), backlog.namespaces.len()), (0, 0, 0, 0));
    all
}

#[test]
fn of_an_object_only_the_newest_row_waits() {
    let mut backlog = backlog((1..=500).map(|rv| row("a", "u", rv)));
    assert_eq!((backlog.len(), backlog.bytes(), backlog.merged()), (1, 10, 499));
    assert_eq!(rest(&mut backlog), ["u 500 =500"]);
}

#[test]
fn an_older_row_never_takes_the_place_of_a_newer_one() {
    assert_eq!(rest(&mut backlog([row("a", "u", 7), row("a", "u", 5)])), ["u 7 =7"]);
}

#[test]
fn a_quiet_namespace_waits_for_one_row_of_each_noisy_one() {
    let noise = (0..100).map(|n| row("noisy", &format!("n{n}"), n + 1));
    let mut backlog = backlog(noise.chain([row("quiet", "q", 200)]));
    let order: Vec<String> = rest(&mut backlog);
    assert_eq!(order[..3], ["n0 1 =1", "q 200", "n1 2 =2"]);
}

#[test]
fn an_object_that_ends_and_one_of_its_name_that_comes_after_it_stay_two() {
    let events = [row("a", "u", 1), row("a", "u", 2), gone("a", "u", 3), row("a", "v", 4), row("a", "v", 5)];
    assert_eq!(rest(&mut backlog(events)), ["u 2 =2", "-u 3 =3", "v 5 =5"]);
    let back = [row("a", "u", 1), gone("a", "u", 2), row("a", "u", 3)];
    assert_eq!(rest(&mut backlog(back)), ["u 1 =1", "-u 2 =2", "u 3 =3"]);
}

#[test]
fn what_could_not_be_read_in_between_stays_in_between() {
    let events = [row("a", "u", 1), unreadable("a"), row("a", "u", 2)];
    assert_eq!(rest(&mut backlog(events)), ["u 1 =1", "unreadable =0", "u 2 =2"]);
}

#[test]
fn a_list_is_taken_in_between_what_was_reported_before_and_after_it() {
    let mut backlog = backlog([
        row("a", "u", 1),
        row("b", "v", 2),
        SourceEvent::ListStarted,
        row("b", "v", 3),
        row("a", "u", 4),
        ended(5),
        row("a", "u", 6),
    ]);
    let order = rest(&mut backlog);
    let place = |what: &str| order.iter().position(|other| other.starts_with(what)).unwrap();
    assert_eq!((place("list"), place("listed 5")), (2, 5), "{order:?}");
    assert_eq!(order[6], "u 6 =6");
}

#[test]
fn nothing_is_complete_before_the_oldest_that_waits_is_taken_in() {
    let mut backlog = backlog([row("a", "u", 1), row("a", "v", 2), row("b", "w", 3), row("a", "u", 4)]);
    // with u it is complete only up to 1, with v up to the last that was reported
    assert_eq!(rest(&mut backlog), ["u 4 =1", "w 3", "v 2 =4"]);
}

#[test]
fn another_source_does_not_wait_for_what_a_source_has_to_end() {
    let other = Arc::new(SourceId { gvk: Gvk::new("v1", "Secret"), namespace: None });
    let mut backlog = backlog([row("a", "u", 1), ended(2), row("a", "u", 3)]);
    backlog.push(&other, Sighted::Event(row("b", "v", 9)));
    backlog.push(&other, Sighted::Stopped);
    assert_eq!(rest(&mut backlog), ["u 1 =1", "listed 2 =2", "v 9 =9", "stopped", "u 3 =3"]);
}

/// What came of one report to so many subscriptions, s0 on.
fn fan(subscriptions: usize) -> Vec<Observation> {
    let object = ObjectKey { kind: Arc::new(Gvk::new("v1", "ConfigMap").group_kind()), uid: "n".into() };
    let one = |n| Observation {
        subscription: SubscriptionId { uid: format!("s{n}").into() },
        object: object.clone(),
        seen: Seen::Unknown,
        by: ObservedBy::Watch,
    };
    (0..subscriptions).map(one).collect()
}

/// Takes in the first that waits, which comes to so many subscriptions; gives how many of them were shown it at once.
fn take(backlog: &mut Backlog, subscriptions: usize) -> usize {
    assert!(matches!(backlog.pop(false), Some(Next::Report { .. })));
    let mut came_of_it = fan(subscriptions);
    backlog.keep(&mut came_of_it);
    came_of_it.len()
}

#[test]
fn a_quiet_namespace_waits_for_a_part_of_those_who_are_shown_a_noisy_ones_row() {
    let mut backlog = backlog([row("noisy", "n", 1)]);
    assert_eq!(take(&mut backlog, 7), 2);
    assert_eq!((backlog.len(), backlog.partly_shown(), backlog.is_empty()), (0, 1, false));
    backlog.push(&source(), Sighted::Event(row("noisy", "n", 2)));
    backlog.push(&source(), Sighted::Event(row("quiet", "q", 3)));
    backlog.push(&source(), Sighted::Event(row("quiet", "r", 4)));
    assert_eq!(rest(&mut backlog), ["s2+s3", "q 3", "s4+s5", "r 4", "s6", "n 2 =4"]);
}

#[test]
fn where_rests_may_not_be_shown_only_what_has_to_come_after_them_waits() {
    let mut backlog = backlog([row("noisy", "n", 1)]);
    take(&mut backlog, 5);
    for event in [row("noisy", "n", 2), row("quiet", "q", 3), ended(4)] {
        backlog.push(&source(), Sighted::Event(event));
    }
    assert!(backlog.is_ready());
    assert_eq!(take(&mut backlog, 1), 1, "q");
    assert!(!backlog.is_ready() && backlog.pop(false).is_none());
    assert_eq!(rest(&mut backlog), ["s2+s3", "s4", "n 2 =3", "listed 4 =4"]);
}

#[test]
fn who_has_something_left_to_be_shown_takes_turns_however_many_have_not() {
    let rows = (0..50).map(|n| row(&format!("n{n}"), "u", n + 1));
    let mut backlog = backlog(rows);
    assert_eq!((take(&mut backlog, 5), take(&mut backlog, 5)), (2, 2));
    assert_eq!(rest(&mut backlog)[..8], ["s2+s3", "u 3 =3", "s2+s3", "u 4 =4", "s4", "u 5 =5", "s4", "u 6 =6"]);
}

#[test]
fn what_concerns_all_of_a_source_waits_for_all_that_came_of_its_objects() {
    let mut backlog = backlog([row("a", "u", 1), row("b", "v", 2)]);
    assert_eq!((take(&mut backlog, 5), take(&mut backlog, 3)), (2, 2));
    for event in [ended(3), row("a", "u", 4)] {
        backlog.push(&source(), Sighted::Event(event));
    }
    assert_eq!(rest(&mut backlog), ["s2+s3", "s2", "s4", "listed 3 =3", "u 4 =4"]);
}

#[test]
fn what_comes_of_a_list_as_a_whole_is_shown_at_once() {
    let mut backlog = backlog([row("a", "u", 1), ended(2)]);
    assert!(backlog.pop(true).is_some());
    assert_eq!(take(&mut backlog, 5), 5);
    assert!(backlog.is_empty());
}

#[test]
fn a_list_of_another_source_does_not_wait_for_what_came_of_objects_and_nothing_waits_for_the_list() {
    let other = Arc::new(SourceId { gvk: Gvk::new("v1", "Secret"), namespace: None });
    let mut backlog = backlog([row("a", "u", 1)]);
    take(&mut backlog, 5);
    backlog.push(&other, Sighted::Event(SourceEvent::ListStarted));
    backlog.push(&source(), Sighted::Event(SourceEvent::ListStarted));
    backlog.push(&source(), Sighted::Event(row("b", "v", 3)));
    assert_eq!(rest(&mut backlog), ["list", "s2+s3", "s4", "list", "v 3 =3"]);
}

#[test]
fn versions_that_count_anew_wait_for_all_that_came_of_objects() {
    let other = Arc::new(SourceId { gvk: Gvk::new("v1", "Secret"), namespace: None });
    let mut backlog = backlog([row("a", "u", 1), row("b", "v", 2)]);
    take(&mut backlog, 5);
    backlog.push(&other, Sighted::Rewound);
    assert!(backlog.is_ready() && matches!(backlog.pop(false), Some(Next::Rest(_))), "everybody waits for it");
    assert_eq!(rest(&mut backlog), ["s4", "rewound", "v 2 =2"]);
}

#[test]
fn before_a_plan_comes_what_came_of_reports_to_its_subscription_can_be_shown() {
    let mut backlog = backlog([row("a", "u", 1), row("b", "v", 2), row("b", "v", 3)]);
    take(&mut backlog, 4);
    take(&mut backlog, 3);
    let uids = |taken: Vec<Observation>| taken.iter().map(|one| one.subscription.uid.to_string()).collect::<Vec<_>>();
    let mut of = |uid: &str| uids(backlog.take_of(&SubscriptionId { uid: uid.into() }));
    assert_eq!([of("s2"), of("s0")], [vec!["s2"; 2], vec![]]);
    assert_eq!(rest(&mut backlog), ["s3"]);
}

#[test]
fn what_is_kept_is_bounded() {
    let namespaces = 9;
    let rows = (0..namespaces).map(|n| row(&format!("n{n}"), &format!("u{n}"), n + 1));
    let mut backlog = backlog(rows);
    let mut most = 0;
    while let Some(next) = backlog.pop(true) {
        if let Next::Report { .. } = next {
            backlog.keep(&mut fan(MOST_KEPT / 2));
        }
        most = most.max(backlog.rests.len());
    }
    assert!((MOST_KEPT - 4..MOST_KEPT * 3 / 2).contains(&most), "{most}");
}
