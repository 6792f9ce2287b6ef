//! What the ledger may cost, what a commit that hangs means, and when the journal is folded.

use changehook_core::Now;
use changehook_core::engine::{Caps, Settings};
use changehook_core::ledger::Usage;
use changehook_core::ledger::budget::Allowance;
use changehook_core::plan::{Plan, SubscriptionId};

use crate::rig::{Rig, S, config_map, ok, plan, status};

/// One commit a second is all there is.
fn poor(bytes: u64) -> Rig {
    let allowance = Allowance { rate: 1_000, burst: 1_000 };
    let mut rig = Rig::empty(Settings { allowance, ..Settings::default() });
    rig.usage = Usage { bytes, ..Usage::default() };
    rig.subscribe(plan(S));
    rig.run_for(10_000);
    rig
}

/// All of a burst is left.
fn rich() -> Rig {
    let allowance = Allowance { rate: 1_000, burst: 100_000 };
    let mut rig = Rig::empty(Settings { allowance, ..Settings::default() });
    rig.subscribe(plan(S));
    rig.run_for(10_000);
    rig
}

#[test]
fn declarations_wait_until_there_is_something_left_to_write_and_what_is_declared_goes_on() {
    let mut rig = poor(4_000);
    rig.script(|sent| (sent.uid == "a" && sent.number < 2).then(|| status(503)));
    let since = rig.now.mono;
    rig.show("a", 1);
    rig.show("b", 1);
    rig.run_for(20_000);
    // Its retry needs no record.
    assert_eq!(rig.times("a", since), [0, 2_000]);
    // 3,000 bytes are overdrawn, at 1,000 a second; of a share of 500 that earns 500 as many, and three quarters are asked.
    assert_eq!(rig.times("b", since), [1_668]);
}

#[test]
fn acknowledgements_never_wait_for_the_budget() {
    let mut rig = poor(0);
    rig.usage.bytes = 60_000;
    rig.show("a", 1);
    rig.answer("a", ok());
    rig.show("b", 1);
    let commits = rig.committed.len();
    rig.run_for(2_000);
    assert_eq!(rig.committed.len(), commits + 1);
    assert_eq!(rig.told("b"), [], "it is two minutes before anything else may be declared");
    rig.run_for(112_000);
    assert_eq!(rig.told("b"), []);
    rig.run_for(6_000);
    assert_eq!(rig.told("b").len(), 1);
}

/// A namespace with many subscriptions has used up what there is, and half as much again.
fn used_up() -> Rig {
    let allowance = Allowance { rate: 1_000, burst: 100_000 };
    let mut rig = Rig::empty(Settings { allowance, ..Settings::default() });
    for (namespace, id) in [("noisy", "noisy"), ("noisy", "second"), ("quiet", "quiet"), ("other", "other")] {
        rig.subscribe(Plan { namespace: namespace.into(), host: id.into(), ..plan(id) });
    }
    rig.run_for(10_000);
    rig.usage.bytes = 150_000;
    rig.show_to("noisy", "first", 1);
    rig.usage.bytes = 100;
    rig
}

#[test]
fn whoever_used_up_what_may_be_written_waits_and_others_neither_wait_nor_keep_a_distance() {
    let mut rig = used_up();
    let since = rig.now.mono;
    for (id, uid) in [("noisy", "a"), ("second", "b"), ("quiet", "c"), ("other", "d")] {
        rig.show_to(id, uid, 1);
    }
    rig.run_for(10);
    rig.show_to("quiet", "e", 1);
    rig.run_for(100_000);
    let told = |uid: &str| rig.times(uid, since);
    assert_eq!((told("c"), told("d"), told("e")), (vec![0], vec![0], vec![10]));
    // 50,000 bytes at 1,000 a second, and the few that the others wrote
    for uid in ["a", "b"] {
        assert!(matches!(told(uid)[..], [50_000..51_000]), "{uid} at {:?}", told(uid));
    }
}

#[test]
fn a_subscription_that_is_deleted_while_it_waits_for_the_budget_is_forgotten() {
    let mut rig = used_up();
    rig.show_to("noisy", "a", 1);
    rig.engine.remove(rig.now, &SubscriptionId { uid: "noisy".into() });
    rig.run_for(100_000);
    assert_eq!(rig.told("a"), []);
}

#[test]
fn whoever_waits_for_a_commit_that_uses_up_what_is_left_keeps_its_distance_all_the_same() {
    let mut rig = rich();
    let commits = rig.committed.len();
    rig.commits_at_once = false;
    rig.show("a", 1);
    rig.show("b", 1);
    rig.usage.bytes = 99_000;
    rig.commits_at_once = true;
    rig.commit();
    rig.run_for(3_000);
    let times: Vec<u64> = rig.committed[commits..].iter().map(|(at, _)| *at).collect();
    assert!(times.len() == 2 && (900..=1_000).contains(&(times[1] - times[0])), "{times:?}");
}

#[test]
fn what_exists_for_new_subscriptions_is_taken_note_of_at_once_and_makes_no_other_namespace_wait() {
    let mut rig = used_up();
    let since = rig.now.mono;
    rig.usage.bytes = 1_000_000;
    rig.assign(Plan { namespace: "noisy".into(), host: "new".into(), ..plan("new") });
    for n in 0..20 {
        rig.show_to("new", &format!("old-{n}"), 1);
    }
    rig.synced("new", &config_map());
    rig.run_for(10_000);
    assert!(rig.view_of("new").live);
    rig.usage.bytes = 100;
    rig.show_to("quiet", "a", 1);
    assert_eq!(rig.times("a", since), [10_000]);
}

#[test]
fn a_retry_of_what_has_changed_meanwhile_waits_like_everything_that_was_not_declared_yet() {
    let mut rig = used_up();
    let since = rig.now.mono;
    rig.answer_to("noisy", "first", status(503));
    rig.show_to("noisy", "first", 2);
    rig.run_for(40_000);
    assert_eq!(rig.times("first", since), [0]);
    rig.run_for(20_000);
    assert!(matches!(rig.times("first", since)[1..], [50_000..51_000]), "{:?}", rig.times("first", since));
}

#[test]
fn while_others_have_all_permits_for_retries_what_is_new_is_declared_as_soon_as_it_may_be_written() {
    let allowance = Allowance { rate: 1_000, burst: 100_000 };
    let caps = Caps { per_host: 4, ..Caps::default() };
    let mut rig = Rig::empty(Settings { allowance, caps, ..Settings::default() });
    for (namespace, id) in [("noisy", "noisy"), ("slow", "slow")] {
        rig.subscribe(Plan { namespace: namespace.into(), ..plan(id) });
    }
    rig.run_for(10_000);
    // its retry hangs
    rig.script(|sent| (sent.number < 2).then(|| status(503)));
    rig.show_to("slow", "slow", 1);
    rig.run_for(5_000);
    rig.usage.bytes = 150_000;
    rig.show_to("noisy", "failing", 1);
    rig.usage.bytes = 100;
    let since = rig.now.mono;
    rig.run_for(5_000);
    rig.show_to("noisy", "new", 1);
    rig.run_for(60_000);
    assert_eq!(rig.times("failing", since), [0], "it has no permit");
    assert!(matches!(rig.times("new", since)[..], [50_000..51_000, ..]), "{:?}", rig.times("new", since));
}

#[test]
fn beyond_a_debt_nobody_declares_anything() {
    let mut rig = used_up();
    rig.usage.bytes = 151_000;
    rig.show_to("quiet", "a", 1);
    rig.usage.bytes = 100;
    let since = rig.now.mono;
    rig.show_to("other", "b", 1);
    rig.run_for(5_000);
    // 201,000 bytes are overdrawn, no more than 200,000 may be, and the whole share is asked for then
    assert_eq!(rig.times("b", since).len(), 1);
    assert!(rig.times("b", since)[0] > 1_000);
}

#[test]
fn a_commit_that_ends_when_there_is_something_left_again_leaves_nobody_waiting() {
    let mut rig = poor(0);
    rig.usage.bytes = 4_000;
    rig.show("a", 1);
    rig.show("b", 1);
    let later = Now { mono: rig.now.mono + 60_000, wall: rig.now.wall + 60_000 };
    rig.now = later;
    rig.engine.stored(later, Usage { bytes: 10, ..Usage::default() });
    rig.run_for(0);
    assert_eq!(rig.told("b").len(), 1);
}

#[test]
fn with_little_left_commits_keep_their_distance_and_take_along_what_came_meanwhile() {
    let mut rig = rich();
    rig.usage.bytes = 60_000;
    let (since, commits) = (rig.now.mono, rig.committed.len());
    rig.show("a", 1);
    for uid in ["b", "c", "d"] {
        rig.show(uid, 1);
        rig.run_for(10);
    }
    rig.usage.bytes = 0;
    rig.run_for(1_000);
    let times: Vec<u64> = rig.committed[commits..].iter().map(|(at, _)| at - since).collect();
    let records: Vec<usize> = rig.committed[commits..].iter().map(|(_, records)| *records).collect();
    assert_eq!((times, records), (vec![0, 70], vec![1, 3]));
}

#[test]
fn nothing_is_sent_while_a_commit_hangs_and_everything_is_once_it_is_durable() {
    let mut rig = Rig::new();
    rig.script(|_| Some(status(503)));
    rig.show("failing", 1);
    rig.run_for(1_900);
    rig.commits_at_once = false;
    rig.show("a", 1);
    let sent = rig.sent.len();
    rig.run_for(60_000);
    // The retries after two and six seconds are made: nobody knows yet that the commit hangs. Later ones are not.
    assert_eq!(rig.sent.len(), sent + 2);
    rig.script(|_| Some(ok()));
    rig.commits_at_once = true;
    rig.commit();
    rig.run_for(20_000);
    assert_eq!((rig.view().pending, rig.view().parked), (0, 0));
}

#[test]
fn the_journal_is_folded_after_ten_minutes_or_when_it_is_long_and_one_fold_at_a_time() {
    let mut rig = Rig::new();
    let since = rig.now.mono;
    rig.run_for(3_600_000);
    assert_eq!(rig.folds, [] as [u64; 0], "there is nothing to fold");
    rig.usage = Usage { bytes: 100, segments: 3, segment_bytes: 9_000 };
    rig.show("a", 1);
    rig.run_for(3_600_000);
    assert_eq!(rig.folds.len(), 1);
    assert_eq!(rig.folds[0] - since, 4_200_000);
    rig.usage.segments = 128;
    rig.engine.folded(rig.now, false, rig.usage);
    rig.show("more", 1);
    rig.run_for(29_999);
    assert_eq!(rig.folds.len(), 1, "one that failed is not tried at once, however much there is");
    rig.run_for(1);
    assert_eq!(rig.folds.len(), 2, "one that failed is tried again");
    rig.engine.folded(rig.now, true, Usage::default());
    rig.usage = Usage { bytes: 100, segments: 128, segment_bytes: 9_000 };
    rig.show("b", 1);
    assert_eq!(rig.folds.len(), 3, "so many segments are folded at once");
    rig.engine.folded(rig.now, true, Usage::default());
    rig.usage = Usage { bytes: 100, segments: 2, segment_bytes: 4 << 20 };
    rig.show("c", 1);
    assert_eq!(rig.folds.len(), 4, "so many bytes are folded at once");
}

#[test]
fn a_fold_waits_until_it_can_be_afforded_unless_there_are_too_many_segments() {
    let mut rig = poor(4_000);
    rig.usage = Usage { bytes: 4_000, segments: 2, segment_bytes: 4 << 20 };
    rig.show("a", 1);
    assert_eq!(rig.folds.len(), 0);
    rig.run_for(31_000);
    assert_eq!(rig.folds.len(), 1);
    rig.engine.folded(rig.now, true, Usage::default());
    rig.run_for(10_000);
    rig.usage.segments = 128;
    rig.show("b", 1);
    assert_eq!(rig.folds.len(), 2);
}

#[test]
fn an_overdrawn_budget_wakes_nobody_for_nothing_not_even_while_permits_are_out_or_it_drains() {
    let caps = Caps { global: 1, ..Default::default() };
    let allowance = Allowance { rate: 1_000, burst: 1_000 };
    let mut rig = Rig::empty(Settings { allowance, caps, ..Settings::default() });
    rig.subscribe(plan(S));
    rig.run_for(10_000);
    rig.usage = Usage { bytes: 4_000, segments: 200, segment_bytes: 1 };
    rig.show("hangs", 1);
    rig.show("waits", 1);
    // `run_for` fails if it is woken without time going by.
    rig.run_for(20_000);
    rig.engine.drain();
    rig.run_for(20_000);
    assert_eq!(rig.under_way(), ["hangs"]);
}
