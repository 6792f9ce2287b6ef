use changehook_core::plan::Change::{New, Updated};

use crate::rig::{Rig, S, ok};

#[test]
fn nothing_is_sent_before_its_record_is_durable() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.show("a", 1);
    rig.run_for(60_000);
    assert_eq!(rig.sent, []);
    assert_eq!(rig.batches.len(), 1);
    rig.commit();
    rig.poll();
    assert_eq!(rig.told("a"), [(New, Some(1))]);
}

#[test]
fn many_declarations_share_a_commit_and_the_next_one_waits_for_it() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.edit(S, |plan| plan.max_in_flight = 64);
    for n in 0..20 {
        rig.show(&format!("o{n}"), 1);
    }
    assert_eq!(rig.batches.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), [1]);
    rig.commit();
    rig.poll();
    assert_eq!(rig.batches.iter().map(|batch| batch.records.len()).collect::<Vec<_>>(), [19]);
    assert_eq!(rig.sent.len(), 1);
    rig.commit();
    rig.poll();
    assert_eq!(rig.sent.len(), 20);
    assert_eq!(rig.batches.len(), 0);
}

#[test]
fn batches_are_numbered_and_another_number_makes_nothing_durable() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.show("a", 1);
    let number = rig.batches[0].number;
    rig.engine.committed(rig.now, number + 1);
    rig.engine.committed(rig.now, number - 1);
    rig.poll();
    assert_eq!(rig.sent, []);
    rig.commit();
    rig.poll();
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn an_acknowledgement_waits_for_company_but_never_two_seconds() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    let commits = rig.committed.len();
    rig.answer("a", ok());
    assert_eq!(rig.committed.len(), commits);
    let since = rig.now.mono;
    rig.run_for(2_000);
    assert_eq!(rig.committed.len(), commits + 1);
    assert!(rig.committed[commits].0 - since < 2_000);
    assert_eq!(rig.durable.books.values().next().unwrap().entries.values().next().unwrap().sending, None);
}

#[test]
fn an_acknowledgement_rides_along_with_the_next_declaration() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    let commits = rig.committed.len();
    rig.show("a", 2);
    assert_eq!(rig.committed[commits..].iter().map(|(_, records)| *records).collect::<Vec<_>>(), [2]);
    assert_eq!(rig.told("a")[1..], [(Updated, Some(2))]);
}

#[test]
fn an_idle_engine_asks_for_nothing() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.run_for(2_000);
    assert_eq!(rig.engine.wake_at(), None);
}

#[test]
fn what_was_suspended_before_it_was_durable_is_sent_after_resume_without_another_declaration() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.show("a", 1);
    rig.edit(S, |plan| plan.suspended = true);
    rig.commit();
    rig.run_for(60_000);
    assert_eq!(rig.sent, []);
    assert_eq!(rig.view().in_flight, 0);
    let commits = rig.committed.len();
    rig.edit(S, |plan| plan.suspended = false);
    assert_eq!(rig.told("a"), [(New, Some(1))]);
    assert_eq!(rig.committed.len(), commits);
}

#[test]
fn a_suspension_stops_even_what_is_durable_and_not_fetched_yet() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.show("a", 1);
    rig.commit();
    rig.edit(S, |plan| plan.suspended = true);
    assert_eq!(rig.sent, []);
}

#[test]
fn what_was_declared_is_what_is_sent_even_if_the_watch_is_further() {
    let mut rig = Rig::new();
    rig.commits_at_once = false;
    rig.show("a", 1);
    rig.show("a", 2);
    rig.commits_at_once = true;
    rig.commit();
    rig.poll();
    assert_eq!(rig.told("a"), [(New, Some(1))]);
    rig.answer("a", ok());
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(2))]);
    assert_eq!(rig.view().totals.merged, 0);
}

#[test]
fn sequences_go_on_past_everything_durable_even_if_the_clock_is_behind() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.run_for(2_000);
    let before = rig.sent[0].sequence;
    rig.now.wall -= 1_000_000_000;
    rig.take_over();
    rig.show("a", 2);
    assert!(rig.sent[1].sequence > before);
}
