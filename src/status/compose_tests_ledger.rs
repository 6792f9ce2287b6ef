//! What the status says of the ledger.

use changehook_core::engine::{CrowdView, Limit, LossView};
use changehook_core::ledger::Loss;
use changehook_core::plan::{OnLoss, Requests};
use serde_json::json;

use super::*;

/// The same of the ledger alone.
fn told_of_ledger(status: &SubscriptionStatus) -> Option<String> {
    conditions::get(&status.conditions, Type::LedgerIntact).map(|c| format!("{}({})", c.status, c.reason))
}

fn lost() -> View {
    let loss = LossView { loss: Loss::Outdated, since: 3_000, policy: OnLoss::Replay };
    View { loss: Some(loss), caught_up: false, baseline_at: None, ..view() }
}

#[test]
fn a_lost_ledger_leaves_it_ready_and_says_what_is_done_and_what_is_not_known() {
    let status = now_at(&verdict(Standing::Sound), Some(&lost()));
    assert_eq!(told(&status), ["Ready=True(Watching)", UNKNOWN, "LedgerIntact=False(LedgerLost)"]);
    let message = &conditions::get(&status.conditions, Type::LedgerIntact).unwrap().message;
    for part in ["older than this status", "sent again", "onLedgerLoss", "not told as Removed"] {
        assert!(message.contains(part), "{message}");
    }
    let adopting = LossView { policy: OnLoss::Adopt, ..lost().loss.unwrap() };
    let status = now_at(&verdict(Standing::Sound), Some(&View { loss: Some(adopting), ..view() }));
    let message = &conditions::get(&status.conditions, Type::LedgerIntact).unwrap().message;
    assert!(message.contains("taken as known"), "{message}");
}

#[test]
fn a_loss_that_an_earlier_process_noticed_is_told_until_what_there_was_is_told_again() {
    let sound = verdict(Standing::Sound);
    let before = now_at(&sound, Some(&lost()));
    let unseen = compose(&before, &sound, None, at(150));
    let of_ledger = |status: &SubscriptionStatus| conditions::get(&status.conditions, Type::LedgerIntact).cloned();
    assert_eq!(of_ledger(&unseen), of_ledger(&before));
    let behind = View { caught_up: false, ..view() };
    let going_on = compose(&unseen, &sound, Some(&behind), at(200));
    assert_eq!(of_ledger(&going_on), of_ledger(&before));
    assert_eq!(told_of_ledger(&going_on).as_deref(), Some("False(LedgerLost)"));
    let over = compose(&going_on, &sound, Some(&view()), at(300));
    assert_eq!(told_of_ledger(&over).as_deref(), Some("True(Intact)"));
    let busy = compose(&over, &sound, Some(&behind), at(400));
    assert_eq!(told_of_ledger(&busy).as_deref(), Some("True(Intact)"), "who has lost nothing may be behind");
}

#[test]
fn a_ledger_that_cannot_be_written_is_told_and_nothing_is_said_before_anything_is_known() {
    let sound = verdict(Standing::Sound);
    let stalled = now_at(&sound, Some(&View { commits_stalled: true, ..lost() }));
    assert_eq!(told_of_ledger(&stalled).as_deref(), Some("Unknown(LedgerUnavailable)"));
    assert_eq!(told_of_ledger(&compose(&stalled, &sound, None, at(200))), told_of_ledger(&stalled));
    assert_eq!(told_of_ledger(&now_at(&sound, None)), None);
}

#[test]
fn what_is_refused_for_good_is_told_by_the_next_process_too_until_something_was_committed() {
    let sound = verdict(Standing::Sound);
    let refused = View { refused: Some("failed to write head for good: 413".into()), ..view() };
    let before = now_at(&sound, Some(&refused));
    assert_eq!(told_of_ledger(&before).as_deref(), Some("Unknown(LedgerRefused)"));
    let message = |status: &SubscriptionStatus| {
        conditions::get(&status.conditions, Type::LedgerIntact).map(|told| told.message.clone())
    };
    assert!(message(&before).unwrap().contains("413"));
    let next = compose(&before, &sound, Some(&View { last_commit: None, ..view() }), at(200));
    assert_eq!(message(&next), message(&before));
    assert_eq!(message(&compose(&next, &sound, None, at(250))), message(&before));
    let over = compose(&next, &sound, Some(&view()), at(300));
    assert_eq!(told_of_ledger(&over).as_deref(), Some("True(Intact)"));
}

#[test]
fn more_than_the_ledger_may_hold_is_stalled_with_the_numbers_and_what_would_help() {
    for (limit, remedy) in [(Limit::Subscription(10_000), "several subscriptions"), (Limit::All(10_000), "or others")] {
        let crowd = Some(CrowdView { held: 17, limit });
        let status = now_at(&verdict(Standing::Sound), Some(&View { crowd, ..view() }));
        let expected = ["Ready=False(LedgerCapacityExceeded)", "Stalled=True(LedgerCapacityExceeded)", UNKNOWN];
        assert_eq!(told(&status), expected);
        let message = &status.conditions[0].message;
        assert!(message.contains("17 ") && message.contains("10000") && message.contains(remedy), "{message}");
        let healed = compose(&status, &verdict(Standing::Sound), Some(&view()), at(200));
        assert_eq!(told(&healed), ["Ready=True(Watching)", UNKNOWN]);
    }
}

#[test]
fn what_an_earlier_process_saw_of_the_ledger_is_kept_until_this_one_has_seen_more() {
    let sound = verdict(Standing::Sound);
    let before = now_at(&sound, Some(&view()));
    assert_eq!(compose(&before, &sound, None, at(200)).ledger, before.ledger);
    let fresh = View { baseline_at: None, last_commit: None, sequence: 43, ..view() };
    let ledger = compose(&before, &sound, Some(&fresh), at(200)).ledger.unwrap();
    let known = before.ledger.unwrap();
    assert_eq!((ledger.baseline_time, ledger.last_commit_time), (known.baseline_time, known.last_commit_time));
    assert_eq!(ledger.sequence, 43);
    // Whoever clears a status does not clear the proof for long.
    assert_eq!(now_at(&sound, Some(&fresh)).ledger.unwrap().baseline_time, Some(time(1_000)));
    let not_yet = View { live: false, ..fresh };
    assert_eq!(now_at(&sound, Some(&not_yet)).ledger.unwrap().baseline_time, None);
}

#[test]
fn requests_to_send_again_are_repeated_once_they_are_seen_and_from_then_on() {
    let sound = verdict(Standing::Sound);
    let requests = Requests { request_id: Some("1".into()), requested_at: Some("monday".into()) };
    let seen = now_at(&sound, Some(&View { requests: Some(requests), ..view() }));
    let echo = serde_json::to_value(&seen.resync).unwrap();
    assert_eq!(echo, json!({"observedRequestID": "1", "observedRequestedAt": "monday"}));
    assert_eq!(compose(&seen, &sound, Some(&view()), at(200)).resync, seen.resync, "not durable yet");
    let none = View { requests: Some(Requests::default()), ..view() };
    assert_eq!(now_at(&sound, Some(&none)).resync, None);
}
