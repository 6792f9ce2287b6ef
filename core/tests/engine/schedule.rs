use changehook_core::object::{Digest, Row};
use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::select::Seen;

use crate::rig::{Rig, S, config_map, no_connection, ok, retry_after, status};

#[test]
fn a_failing_delivery_is_tried_after_2_4_and_8_seconds_and_then_parked() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.retry.outage_max_delay_ms = 1_000_000);
    rig.script(|sent| if sent.number <= 4 { Some(no_connection()) } else { None });
    let since = rig.now.mono;
    rig.show("a", 1);
    rig.run_for(14_500);
    assert_eq!(rig.times("a", since), [0, 2_000, 6_000, 14_000]);
    assert_eq!(rig.sent.iter().map(|sent| sent.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(rig.sent.iter().all(|sent| sent.sequence == rig.sent[0].sequence));
    assert_eq!((rig.view().parked, rig.view().pending, rig.view().retrying), (1, 0, 0));
}

#[test]
fn jitter_only_adds() {
    let mut rig = Rig::new();
    rig.jitter = u32::MAX;
    rig.script(|sent| if sent.number <= 4 { Some(status(503)) } else { None });
    let since = rig.now.mono;
    rig.show("a", 1);
    rig.run_for(16_000);
    assert_eq!(rig.times("a", since), [0, 2_200, 6_600, 15_400]);
}

#[test]
fn retry_after_raises_the_wait_and_never_lowers_it() {
    let mut rig = Rig::new();
    rig.script(|sent| Some(retry_after(if sent.number == 1 { 30 } else { 1 })));
    let since = rig.now.mono;
    rig.show("a", 1);
    rig.run_for(36_000);
    assert_eq!(rig.times("a", since), [0, 30_000, 34_000]);
}

#[test]
fn a_change_while_a_retry_waits_keeps_the_deadline_and_tells_the_newest_state_with_a_fresh_count() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    let since = rig.now.mono;
    rig.show("a", 1);
    rig.run_for(3_000);
    assert_eq!(rig.times("a", since), [0, 2_000]);
    for content in 2..9 {
        rig.show("a", content);
    }
    rig.run_for(2_999);
    assert_eq!(rig.sent.len(), 2);
    rig.run_for(1);
    assert_eq!(rig.times("a", since), [0, 2_000, 6_000]);
    let last = rig.sent.last().unwrap().clone();
    assert_eq!((last.content, last.number), (Some(8), 1));
    assert!(last.sequence > rig.sent[0].sequence);
    assert_eq!(rig.view().totals.merged, 7);
    rig.edit(S, |plan| plan.retry.outage_max_delay_ms = 1_000_000);
    rig.run_for(14_500);
    assert_eq!(rig.times("a", since), [0, 2_000, 6_000, 8_000, 12_000, 20_000]);
}

#[test]
fn what_changed_while_the_failing_request_was_under_way_waits_for_the_retrys_time_too() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.show("a", 2);
    let since = rig.now.mono;
    rig.answer("a", no_connection());
    rig.run_for(5_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (New, Some(2))]);
    assert_eq!(rig.times("a", since), [0, 2_000]);
    assert_eq!(rig.sent[1].number, 1);
}

#[test]
fn a_touch_without_a_change_is_the_same_event_and_counts_on() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    rig.show("a", 1);
    rig.run_for(1_000);
    rig.show("a", 1);
    rig.run_for(1_000);
    assert_eq!(rig.sent.len(), 2);
    assert_eq!((rig.sent[1].number, rig.sent[1].sequence), (2, rig.sent[0].sequence));
    assert_eq!(rig.view().totals.merged, 0);
}

#[test]
fn the_same_version_with_another_content_is_no_change() {
    let mut rig = Rig::new();
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(row.clone()));
    rig.answer("a", ok());
    // A list and a watch may default differently, and a conversion may change.
    let other = Row { digest: Digest([2; 16]), ..Row::clone(&row) };
    rig.see(S, &config_map(), "a", Seen::Selected(other.into()));
    rig.run_for(60_000);
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn what_changes_while_its_request_is_under_way_is_told_next_and_once() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    for content in 2..5 {
        rig.show("a", content);
    }
    assert_eq!(rig.told("a"), [(New, Some(1))]);
    rig.answer("a", ok());
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(4))]);
    rig.gone("a");
    rig.answer("a", ok());
    assert_eq!(rig.told("a")[2..], [(Removed, None)]);
    rig.answer("a", ok());
    assert_eq!(rig.view().entries, 0);
    assert_eq!(rig.view().totals.merged, 2);
}

#[test]
fn a_state_that_was_left_and_is_back_is_told_again_because_its_request_may_have_been_lost() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.show("a", 2);
    rig.answer("a", no_connection());
    rig.show("a", 1);
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(2)), (Updated, Some(1))]);
}

#[test]
fn what_came_back_after_a_removal_is_new() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.deselect("a");
    rig.show("a", 1);
    rig.answer("a", ok());
    assert_eq!(rig.told("a"), [(New, Some(1)), (Removed, None), (New, Some(1))]);
    rig.answer("a", ok());
    rig.deselect("a");
    rig.answer("a", no_connection());
    rig.show("a", 1);
    rig.run_for(2_000);
    assert_eq!(rig.told("a")[3..], [(Removed, None), (New, Some(1))]);
}

#[test]
fn an_object_that_nobody_was_told_of_goes_without_a_word() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.show("a", 1);
    rig.gone("a");
    rig.commits_at_once = true;
    rig.commit();
    rig.run_for(5_000);
    assert_eq!(rig.sent, []);
    assert_eq!(rig.view().entries, 0);
    assert!(rig.durable.books.values().all(|book| book.entries.is_empty()));
}

#[test]
fn max_in_flight_is_never_exceeded_and_always_used() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.max_in_flight = 3);
    for n in 0..10 {
        rig.show(&format!("o{n}"), 1);
    }
    assert_eq!(rig.requests.len(), 3);
    rig.answer("o1", ok());
    assert_eq!(rig.requests.len(), 3);
    assert_eq!(rig.view().in_flight, 3);
    assert_eq!(rig.view().pending, 9);
}

#[test]
fn drained_means_that_what_was_under_way_is_answered_and_committed_and_nothing_was_started() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.max_in_flight = 2);
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    rig.engine.drain();
    rig.poll();
    assert!(!rig.engine.is_drained());
    rig.answer("a", ok());
    rig.answer("b", no_connection());
    rig.run_for(10_000);
    assert!(rig.engine.is_drained());
    assert_eq!(rig.sent.len(), 2);
    assert_eq!(rig.durable.books.values().next().unwrap().entries.len(), 2);
    rig.show("d", 1);
    rig.run_for(10_000);
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn what_was_declared_before_the_drain_does_not_leave_after_it() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.show("a", 1);
    rig.engine.drain();
    rig.commit();
    rig.poll();
    assert_eq!(rig.sent, []);
    assert!(rig.engine.is_drained());
}
