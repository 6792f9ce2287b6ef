use changehook_core::engine::{Engine, LossView, Settings};
use changehook_core::ledger::{Entries, Loss};
use changehook_core::plan::Change::{New, Removed, Updated};
use changehook_core::plan::{Existing, OnLoss, Witness};

use crate::rig::{Rig, S, config_map, ok, plan, status};

/// Two objects that the endpoint has, and a status that says so.
fn told(on_loss: OnLoss) -> Rig {
    let mut rig = Rig::new();
    rig.script(|_| Some(ok()));
    rig.edit(S, |plan| plan.policy.on_loss = on_loss);
    rig.show("a", 1);
    rig.show("b", 1);
    rig.run_for(2_000);
    witness(&mut rig);
    rig
}

/// The controller reads what the status was last told.
fn witness(rig: &mut Rig) {
    let sequence = rig.view().sequence;
    rig.plans.get_mut(S).unwrap().claims.witness = Some(Witness { sequence });
}

fn listed(rig: &mut Rig, contents: [u8; 2]) {
    rig.show("a", contents[0]);
    rig.show("b", contents[1]);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
}

fn loss(rig: &Rig) -> Option<Loss> {
    rig.view().loss.map(|LossView { loss, .. }| loss)
}

#[test]
fn the_sequence_that_is_shown_is_never_ahead_of_the_ledger() {
    let mut rig = Rig::empty(Settings::default());
    rig.commits_at_once = false;
    rig.assign(plan(S));
    assert_eq!(rig.view().sequence, 0);
    rig.run_for(2_000);
    assert_eq!(rig.view().sequence, 0);
    rig.commit();
    assert_eq!(rig.view().sequence, rig.durable.seq);
    rig.take_over();
    assert_eq!(rig.view().sequence, rig.durable.seq);
}

#[test]
fn a_ledger_that_is_gone_although_a_status_saw_it_is_lost_and_everything_is_told_again() {
    let mut rig = told(OnLoss::Replay);
    rig.durable = Entries::default();
    rig.take_over();
    assert_eq!(loss(&rig), Some(Loss::Missing));
    listed(&mut rig, [1, 2]);
    assert_eq!((rig.told("a"), rig.told("b")), (vec![(New, Some(1)); 2], vec![(New, Some(1)), (New, Some(2))]));
    assert_eq!((loss(&rig), rig.view().caught_up), (None, true));
}

#[test]
fn a_ledger_that_is_gone_is_a_new_silent_baseline_if_that_is_asked_for() {
    let mut rig = told(OnLoss::Adopt);
    rig.durable = Entries::default();
    rig.take_over();
    rig.run_for(2_000);
    rig.take_over();
    assert_eq!(loss(&rig), None, "it was noticed by the leader before");
    listed(&mut rig, [1, 2]);
    assert_eq!((rig.sent.len(), rig.view().entries, rig.view().live), (2, 2, true));
    rig.show("b", 3);
    assert_eq!(rig.told("b").last(), Some(&(Updated, Some(3))));
}

#[test]
fn without_a_witness_a_missing_ledger_is_a_first_install() {
    let mut rig = told(OnLoss::Replay);
    rig.plans.get_mut(S).unwrap().claims.witness = None;
    rig.durable = Entries { loss: Some(Loss::Corrupt), ..Entries::default() };
    rig.take_over();
    assert_eq!(loss(&rig), None);
    listed(&mut rig, [1, 1]);
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn a_ledger_from_a_backup_is_outdated_and_what_it_holds_is_told_again() {
    let mut rig = told(OnLoss::Replay);
    let backup = rig.durable.clone();
    rig.show("b", 2);
    rig.show("c", 1);
    rig.run_for(2_000);
    witness(&mut rig);
    rig.durable = backup;
    rig.take_over();
    assert_eq!(loss(&rig), Some(Loss::Outdated));
    rig.show("c", 1);
    listed(&mut rig, [1, 2]);
    assert_eq!(rig.told("a"), [(New, Some(1)), (Updated, Some(1))]);
    assert_eq!(rig.told("b")[2..], [(Updated, Some(2))]);
    assert_eq!(rig.told("c")[1..], [(New, Some(1))]);
    assert_eq!(loss(&rig), None);
}

#[test]
fn an_outdated_ledger_is_compared_with_what_exists_if_that_is_asked_for() {
    let mut rig = told(OnLoss::Adopt);
    let backup = rig.durable.clone();
    rig.show("c", 1);
    rig.gone("a");
    rig.run_for(2_000);
    witness(&mut rig);
    rig.durable = backup;
    rig.take_over();
    rig.show("b", 2);
    rig.show("c", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    assert_eq!(rig.told("c").len(), 1, "of what is not in the ledger the present state is taken as known");
    assert_eq!(rig.told("b").last(), Some(&(Updated, Some(2))));
    assert_eq!(rig.told("a").last(), Some(&(Removed, None)));
}

#[test]
fn a_part_that_is_lost_concerns_its_subscription_alone() {
    let mut rig = told(OnLoss::Replay);
    rig.subscribe(plan("other"));
    rig.show_to("other", "a", 1);
    rig.run_for(2_000);
    for (id, book) in &mut rig.durable.books {
        if &*id.uid == S {
            book.entries.retain(|key, _| &*key.uid == "a");
            book.loss = Some(Loss::Corrupt);
        }
    }
    rig.take_over();
    assert_eq!((loss(&rig), rig.view_of("other").loss), (Some(Loss::Corrupt), None));
    listed(&mut rig, [1, 1]);
    rig.show_to("other", "a", 1);
    rig.synced("other", &config_map());
    rig.run_for(2_000);
    assert_eq!(rig.told("a"), [(New, Some(1)), (New, Some(1)), (Updated, Some(1))]);
    assert_eq!(rig.told("b"), [(New, Some(1)), (New, Some(1))]);
    assert_eq!(rig.sent.iter().filter(|sent| sent.subscription == "other").count(), 1);
}

#[test]
fn a_crash_in_the_middle_of_a_replay_goes_on_and_does_not_begin_anew() {
    for whole in [false, true] {
        let mut rig = told(OnLoss::Replay);
        if whole {
            rig.durable = Entries::default();
        } else {
            rig.durable.loss = Some(Loss::Foreign);
        }
        rig.take_over();
        rig.durable.loss = None;
        rig.script(|sent| (sent.uid == "a").then(ok));
        listed(&mut rig, [1, 1]);
        assert!(rig.view().loss.is_some() && !rig.view().caught_up);
        rig.script(|_| Some(ok()));
        witness(&mut rig);
        rig.take_over();
        assert!(!rig.view().caught_up);
        listed(&mut rig, [1, 1]);
        assert_eq!((rig.told("a").len(), rig.told("b").len()), (2, 3), "{whole}");
        assert!(rig.view().caught_up);
    }
}

#[test]
fn a_crash_before_the_list_of_a_replay_adopts_nothing() {
    let mut rig = told(OnLoss::Replay);
    rig.durable = Entries::default();
    rig.take_over();
    rig.run_for(2_000);
    witness(&mut rig);
    rig.take_over();
    listed(&mut rig, [1, 1]);
    assert_eq!(rig.sent.len(), 4);
}

#[test]
fn a_loss_is_over_when_what_existed_is_told_or_given_up_whatever_changes_meanwhile() {
    let mut rig = told(OnLoss::Replay);
    rig.durable = Entries::default();
    rig.take_over();
    rig.script(|sent| (sent.uid == "b").then(|| status(422)));
    rig.show("a", 1);
    rig.show("b", 1);
    rig.synced(S, &config_map());
    rig.run_for(2_000);
    rig.show("busy", 1);
    assert!(loss(&rig).is_some() && !rig.view().caught_up);
    rig.answer("a", ok());
    assert_eq!((loss(&rig), rig.view().pending, rig.view().parked), (None, 1, 1));
}

#[test]
fn a_replay_releases_what_was_parked() {
    let mut rig = told(OnLoss::Replay);
    rig.script(|_| Some(status(422)));
    rig.show("a", 2);
    rig.run_for(2_000);
    rig.durable.loss = Some(Loss::Foreign);
    rig.take_over();
    rig.script(|_| Some(ok()));
    listed(&mut rig, [2, 1]);
    assert_eq!((rig.told("a").len(), rig.view().parked, rig.view().pending), (3, 0, 0));
}

#[test]
fn a_request_that_was_seen_before_the_loss_is_not_done_for_it() {
    let mut rig = told(OnLoss::Adopt);
    for plan in rig.plans.values_mut() {
        plan.policy.resync.requested_at = Some("monday".into());
        plan.claims.requests = plan.policy.resync.clone();
        plan.policy.initial_sync = Existing::Notify;
    }
    rig.durable = Entries::default();
    rig.take_over();
    listed(&mut rig, [1, 1]);
    rig.take_over();
    listed(&mut rig, [1, 1]);
    assert_eq!(rig.sent.len(), 2);
    rig.edit(S, |plan| plan.policy.resync.requested_at = Some("tuesday".into()));
    rig.run_for(2_000);
    assert_eq!(rig.sent.len(), 4);
}

#[test]
fn nor_is_one_that_was_lost_with_a_part_of_the_ledger() {
    let mut rig = told(OnLoss::Adopt);
    for plan in rig.plans.values_mut() {
        plan.policy.resync.requested_at = Some("monday".into());
        plan.claims.requests = plan.policy.resync.clone();
    }
    rig.take_over();
    listed(&mut rig, [1, 1]);
    assert_eq!(rig.sent.len(), 2);
}

#[test]
fn a_subscription_that_comes_after_a_loss_has_lost_nothing() {
    let mut rig = Rig::empty(Settings::default());
    rig.engine =
        Engine::claim(Settings::default(), Entries { loss: Some(Loss::Missing), ..Entries::default() }, rig.now);
    rig.assign(plan(S));
    assert_eq!(loss(&rig), None);
}

/// Two subscriptions with an object each; only the first one's plan is there when the next leader takes over.
fn half_planned(lose: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = told(OnLoss::Replay);
    rig.subscribe(plan("late"));
    rig.show_to("late", "c", 1);
    rig.run_for(2_000);
    let late = rig.plans.remove("late").unwrap();
    lose(&mut rig);
    rig.take_over();
    rig.run_for(2_000);
    // What the keeper does with the first commit.
    rig.durable.loss = None;
    rig.plans.insert("late".to_owned(), late);
    rig.take_over();
    rig.show_to("late", "c", 1);
    rig.synced("late", &config_map());
    rig.run_for(2_000);
    rig
}

#[test]
fn what_is_lost_for_all_is_made_up_for_by_each_even_if_leaders_change_before_its_plan_comes() {
    let rig = half_planned(|rig| rig.durable.loss = Some(Loss::Missing));
    assert_eq!(rig.told("c"), [(New, Some(1)), (Updated, Some(1))]);
    assert!(rig.durable.books.values().all(|book| book.loss.is_none()), "and is made up for once");
}

#[test]
fn a_ledger_that_one_status_shows_to_be_outdated_is_so_for_all() {
    let rig = half_planned(|rig| {
        let ahead = Witness { sequence: rig.durable.seq + 1 };
        rig.plans.get_mut(S).unwrap().claims.witness = Some(ahead);
    });
    assert_eq!(rig.told("c"), [(New, Some(1)), (Updated, Some(1))]);
}
