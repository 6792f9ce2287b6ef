//! What records add up to, in whatever order they were folded.

use super::*;

fn object(uid: &str) -> ObjectKey {
    ObjectKey { kind: Arc::new(Gvk::new("v1", "ConfigMap").group_kind()), uid: uid.into() }
}

fn named() -> Named {
    Named { gvk: Arc::new(Gvk::new("v1", "ConfigMap")), namespace: Some("team".into()), name: "x".into() }
}

fn sending(change: Change, rv: u64) -> Fact {
    Fact::Sending { object: object("x"), named: named(), change, rv, fp: Fingerprint(rv) }
}

fn park(of: u64) -> Fact {
    Fact::Park { object: object("x"), of, class: Class::Event, config_hash: 7 }
}

/// The entry of `x` after these facts, whose sequences are 1, 2, 3…
fn after(facts: &[Fact]) -> Option<Entry> {
    let mut entries = Entries::default();
    for (seq, fact) in (1..).zip(facts) {
        let subscription = SubscriptionId { uid: "s".into() };
        entries.apply(&Record { seq, subscription, fact: fact.clone() });
        assert_eq!(entries.seq, seq);
    }
    entries.books.into_values().next()?.entries.remove(&object("x"))
}

fn ack(of: u64, rv: u64) -> Fact {
    Fact::Ack { object: object("x"), of, rv }
}

fn dropped(of: u64) -> Fact {
    Fact::Drop { object: object("x"), of }
}

#[test]
fn an_acknowledgement_has_the_events_sequence_and_content_and_the_version_that_was_sent() {
    let entry = after(&[sending(Change::New, 10), ack(1, 12)]).unwrap();
    assert_eq!(entry.acked, Some(Acked { seq: 1, rv: 12, fp: Fingerprint(10) }));
    assert_eq!((entry.sending, entry.parked), (None, None));
}

#[test]
fn an_acknowledgement_a_drop_or_a_park_of_an_older_event_clears_nothing_newer() {
    let newer = Some(Sending { seq: 2, change: Change::Updated, rv: 11, fp: Fingerprint(11) });
    for older in [ack(1, 10), dropped(1), park(1)] {
        let entry = after(&[sending(Change::New, 10), sending(Change::Updated, 11), older]).unwrap();
        assert_eq!((entry.acked, entry.sending, entry.parked), (None, newer, None));
    }
}

#[test]
fn a_drop_of_an_older_event_takes_what_was_acknowledged_with_it() {
    let facts =
        [sending(Change::New, 10), ack(1, 10), sending(Change::Removed, 11), sending(Change::New, 12), dropped(3)];
    let entry = after(&facts).unwrap();
    assert_eq!((entry.acked, entry.sending.map(|sending| sending.seq)), (None, Some(4)));
}

#[test]
fn a_drop_of_the_last_event_forgets_the_object() {
    assert_eq!(after(&[sending(Change::New, 10), ack(1, 10), sending(Change::Removed, 11), dropped(3)]), None);
    assert_eq!(after(&[sending(Change::New, 10), ack(1, 10), dropped(1)]), None);
    let owe = Fact::Owe { object: object("x"), named: named() };
    assert_eq!(after(&[owe, dropped(0)]), None);
}

#[test]
fn a_park_keeps_what_is_sent_and_a_release_or_a_newer_event_ends_it() {
    let parked = after(&[sending(Change::New, 10), park(1)]).unwrap();
    assert_eq!(parked.parked, Some(Parked { of: 1, class: Class::Event, config_hash: 7 }));
    assert_eq!(parked.sending.map(|sending| sending.seq), Some(1));
    for end in [Fact::Release { object: object("x") }, sending(Change::Updated, 11)] {
        let entry = after(&[sending(Change::New, 10), park(1), end]).unwrap();
        assert_eq!((entry.parked, entry.sending.is_some()), (None, true));
    }
}

#[test]
fn what_is_adopted_is_clean_and_has_the_records_own_sequence() {
    let adopt = Fact::Adopt { object: object("x"), named: named(), rv: 20, fp: Fingerprint(20) };
    let entry = after(&[sending(Change::New, 10), park(1), adopt]).unwrap();
    assert_eq!(entry.acked, Some(Acked { seq: 3, rv: 20, fp: Fingerprint(20) }));
    assert_eq!((entry.sending, entry.parked), (None, None));
}

#[test]
fn what_is_owed_as_new_is_an_entry_without_anything_and_changes_no_other() {
    let owe = || Fact::Owe { object: object("x"), named: named() };
    let entry = after(&[owe()]).unwrap();
    assert_eq!((entry.acked, entry.sending, entry.parked), (None, None, None));
    assert!(after(&[sending(Change::New, 10), ack(1, 10), owe()]).unwrap().acked.is_some());
}

#[test]
fn a_mark_is_set_closed_and_taken_away_and_forget_takes_everything() {
    let (mut entries, kind) = (Entries::default(), object("x").kind);
    let subscription = SubscriptionId { uid: "s".into() };
    let mut apply = |seq, fact| {
        entries.apply(&Record { seq, subscription: subscription.clone(), fact });
        entries.books.get(&subscription).map(|book| book.marks.get(&kind).copied())
    };
    let mark = |open| Fact::Mark { kind: Arc::clone(&kind), rv: 9, open };
    assert_eq!(apply(1, mark(true)), Some(Some(Mark { rv: 9, open: true })));
    assert_eq!(apply(2, mark(false)), Some(Some(Mark { rv: 9, open: false })));
    assert_eq!(apply(3, Fact::Unmark { kind: Arc::clone(&kind) }), Some(None));
    assert_eq!(apply(4, Fact::Forget), None);
    assert_eq!(entries.seq, 4);
}

#[test]
fn a_new_leader_starts_past_everything_durable_and_past_its_clock() {
    assert_eq!(claim_seq(0, 1), 1 << 11);
    assert!(
        claim_seq(0, 1_800_000_000_001) > claim_seq(0, 1_800_000_000_000),
        "two lives within a second are told apart"
    );
    assert_eq!(claim_seq(1 << 30, 1), (1 << 30) + 1);
    assert!(claim_seq(0, 4_000_000_000_000) < 1 << 53, "a sequence is a JavaScript number until the year 2096");
}
