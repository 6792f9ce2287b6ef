//! The design's table of states, row by row, and every field of the status.

use std::sync::Arc;

use changehook_core::engine::{EndpointView, LastDelivery as Delivered, Totals as Counts};
use changehook_core::ledger::Named;
use changehook_core::object::Gvk;
use changehook_core::outcome::Failure;
use changehook_core::plan::SubscriptionId;
use serde_json::{Value, json};

use super::*;

#[path = "compose_tests_ledger.rs"]
mod ledger;

const GENERATION: i64 = 7;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn verdict(standing: Standing) -> Verdict {
    Verdict {
        subscription: SubscriptionId { uid: "u".into() },
        kind: crate::api::SubscriptionKind::Namespaced,
        namespace: "shop".to_owned(),
        name: "hook".to_owned(),
        generation: GENERATION,
        before: SubscriptionStatus::default(),
        standing,
        suspended: false,
        silent: false,
        granted: None,
        host: Some("hooks.example".to_owned()),
        remarks: Vec::new(),
    }
}

fn waiting(reason: Reason) -> Standing {
    Standing::Waiting { reason, message: "why".to_owned() }
}

fn stalled() -> Standing {
    Standing::Stalled { reason: Reason::AddressRefused, message: "why".to_owned() }
}

pub(in crate::status) fn view() -> View {
    View {
        generation: GENERATION,
        entries: 3,
        sequence: 42,
        last_commit: Some(5_999),
        baseline_at: Some(4_000),
        live: true,
        pending: 0,
        in_flight: 0,
        retrying: 0,
        parked: 0,
        oldest_pending: None,
        since: 1_000,
        totals: Counts::default(),
        last_delivery: None,
        endpoint: EndpointView {
            breaker: Breaker::Closed,
            answered: false,
            consecutive_failures: 0,
            attempt: None,
            next_attempt: None,
            last_error: None,
        },
        unsent: None,
        retries: Vec::new(),
        parked_samples: Vec::new(),
        requests: None,
        loss: None,
        last_loss: None,
        refused: None,
        caught_up: true,
        commits_stalled: false,
        crowd: None,
    }
}

fn failed() -> Failed {
    let failure = Failure {
        class: Class::Endpoint,
        reason: FailureReason::ServerError,
        http_status: Some(503),
        message: "the endpoint answered 503".to_owned(),
        retry_after: None,
    };
    Failed { failure, at: 9_999 }
}

fn sample(name: &str, next_attempt: Option<i64>) -> RetryView {
    RetryView {
        event_id: Some("chg_1".to_owned()),
        change: Some(Change::Updated),
        named: Named {
            gvk: Arc::new(Gvk::new("apps/v1", "Deployment")),
            namespace: Some("shop".into()),
            name: name.into(),
        },
        uid: "uid-1".into(),
        attempt: 2,
        next_attempt,
        last_error: Some(failed()),
    }
}

fn down() -> View {
    let mut view = View { pending: 1, retrying: 1, retries: vec![sample("api", Some(12_345))], ..view() };
    view.endpoint = EndpointView {
        breaker: Breaker::Open { next_probe: 1, probing: false },
        answered: true,
        consecutive_failures: 4,
        attempt: Some(3),
        next_attempt: Some(13_999),
        last_error: Some(failed()),
    };
    view
}

fn now_at(verdict: &Verdict, view: Option<&View>) -> SubscriptionStatus {
    compose(&SubscriptionStatus::default(), verdict, view, at(100))
}

/// `Type=Status(Reason)` of each condition; all of them are about the verdict's generation. An intact ledger is not
/// repeated everywhere.
fn told(status: &SubscriptionStatus) -> Vec<String> {
    assert_eq!(status.observed_generation, Some(GENERATION));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(GENERATION)));
    let all = status.conditions.iter().map(|c| format!("{}={}({})", c.type_, c.status, c.reason));
    all.filter(|told| told != "LedgerIntact=True(Intact)").collect()
}

const UNKNOWN: &str = "EndpointHealthy=Unknown(NoDeliveryYet)";

#[test]
fn while_lists_are_read_it_is_reconciling() {
    let progressing = verdict(Standing::Progressing { message: "reading".to_owned() });
    let expected = ["Ready=False(Progressing)", "Reconciling=True(Progressing)", UNKNOWN];
    assert_eq!(told(&now_at(&progressing, None)), expected);
    assert_eq!(told(&now_at(&progressing, Some(&view()))), expected);
}

#[test]
fn it_is_ready_when_the_plan_of_this_generation_is_in_force_and_its_baseline_closed() {
    let sound = verdict(Standing::Sound);
    let not_yet = ["Ready=False(Progressing)", "Reconciling=True(Progressing)", UNKNOWN];
    assert_eq!(told(&now_at(&sound, None)), not_yet);
    assert_eq!(told(&now_at(&sound, Some(&View { live: false, ..view() }))), not_yet);
    assert_eq!(told(&now_at(&sound, Some(&View { generation: GENERATION - 1, ..view() }))), not_yet);
    assert_eq!(told(&now_at(&sound, Some(&view()))), ["Ready=True(Watching)", UNKNOWN]);
}

#[test]
fn what_something_else_can_heal_is_reconciling_and_a_missing_right_is_told_apart() {
    let told_of = |reason| told(&now_at(&verdict(waiting(reason)), Some(&view())));
    for (reason, name) in [
        (Reason::SecretNotFound, "SecretNotFound"),
        (Reason::SecretKeyNotFound, "SecretKeyNotFound"),
        (Reason::SecretInvalid, "SecretInvalid"),
        (Reason::KindNotInstalled, "KindNotInstalled"),
        (Reason::WatchFailed, "WatchFailed"),
        (Reason::SourceStale, "SourceStale"),
    ] {
        let ready = format!("Ready=False({name})");
        assert_eq!(told_of(reason), [ready.as_str(), "Reconciling=True(ProgressingWithRetry)", UNKNOWN]);
    }
    let expected = [
        "Ready=False(NotAuthorized)",
        "Reconciling=True(ProgressingWithRetry)",
        "Authorized=False(NotAuthorized)",
        UNKNOWN,
    ];
    assert_eq!(told_of(Reason::NotAuthorized), expected);
    assert!(told_of(Reason::ServiceAccountNotFound).contains(&"Authorized=False(ServiceAccountNotFound)".to_owned()));
    assert!(told_of(Reason::AccessReviewFailed).contains(&"Authorized=Unknown(AccessReviewFailed)".to_owned()));
}

#[test]
fn what_only_an_edit_can_heal_is_stalled() {
    let expected = ["Ready=False(AddressRefused)", "Stalled=True(AddressRefused)", UNKNOWN];
    assert_eq!(told(&now_at(&verdict(stalled()), None)), expected);
}

#[test]
fn a_dead_endpoint_leaves_it_ready() {
    let status = now_at(&verdict(Standing::Sound), Some(&down()));
    assert_eq!(told(&status), ["Ready=True(Watching)", "EndpointHealthy=False(ServerError)"]);
    assert_eq!(status.conditions[1].message, "the endpoint answered 503");
}

#[test]
fn one_object_that_is_parked_while_others_arrive_makes_the_endpoint_unhealthy() {
    let mut parked = View { parked: 1, parked_samples: vec![sample("api", None)], ..view() };
    parked.endpoint.answered = true;
    let status = now_at(&verdict(Standing::Sound), Some(&parked));
    assert_eq!(told(&status), ["Ready=True(Watching)", "EndpointHealthy=False(ServerError)"]);
}

#[test]
fn an_endpoint_that_answers_is_healthy_and_which_status_it_was_is_no_flip() {
    let delivered = |http_status| {
        let mut view = view();
        view.endpoint.answered = true;
        view.last_delivery = Some(Delivered { at: 8_000, event_id: "chg_2".to_owned(), http_status });
        view
    };
    let first = now_at(&verdict(Standing::Sound), Some(&delivered(200)));
    assert_eq!(told(&first), ["Ready=True(Watching)", "EndpointHealthy=True(Delivering)"]);
    let second = compose(&first, &verdict(Standing::Sound), Some(&delivered(204)), at(200));
    assert_eq!(first.conditions, second.conditions);
}

#[test]
fn a_new_configuration_has_no_health_yet_though_the_last_delivery_is_still_told() {
    let mut edited = view();
    edited.last_delivery = Some(Delivered { at: 8_000, event_id: "chg_2".to_owned(), http_status: 200 });
    let status = now_at(&verdict(Standing::Sound), Some(&edited));
    assert_eq!(told(&status), ["Ready=True(Watching)", UNKNOWN]);
    assert!(status.last_delivery.is_some());
}

#[test]
fn suspended_is_ready_and_plans_no_attempt() {
    let suspended = Verdict { suspended: true, silent: true, ..verdict(Standing::Sound) };
    let status = now_at(&suspended, Some(&down()));
    assert_eq!(
        told(&status),
        ["Ready=True(Suspended)", "EndpointHealthy=False(ServerError)", "Suspended=True(Suspended)"]
    );
    assert_eq!(status.endpoint.as_ref().unwrap().next_attempt_time, None);
    assert_eq!(status.retries[0].next_attempt_time, None);
    assert_eq!(status.retries[0].attempt, 2);
    let resumed = compose(&status, &verdict(Standing::Sound), Some(&down()), at(200));
    assert_eq!(told(&resumed), ["Ready=True(Watching)", "EndpointHealthy=False(ServerError)"]);
    assert!(resumed.retries[0].next_attempt_time.is_some());
}

#[test]
fn from_every_state_to_every_other_nothing_of_the_first_is_left() {
    let suspended = Verdict { suspended: true, silent: true, ..verdict(Standing::Sound) };
    let states = [
        (verdict(Standing::Progressing { message: "reading".to_owned() }), None),
        (verdict(waiting(Reason::NotAuthorized)), Some(view())),
        (verdict(waiting(Reason::SecretNotFound)), Some(view())),
        (verdict(stalled()), Some(view())),
        (verdict(Standing::Sound), Some(view())),
        (verdict(Standing::Sound), Some(down())),
        (suspended, Some(view())),
    ];
    for (first, first_view) in &states {
        let before = now_at(first, first_view.as_ref());
        for (second, second_view) in &states {
            let after = compose(&before, second, second_view.as_ref(), at(200));
            assert_eq!(told(&after), told(&now_at(second, second_view.as_ref())));
        }
    }
}

#[test]
fn a_condition_that_nobody_keeps_up_is_dropped() {
    let mut before = SubscriptionStatus::default();
    conditions::set(&mut before.conditions, Type::Ready, Status::True, Reason::Watching, "", 3, at(1));
    before.conditions[0].type_ = "FromTheFuture".to_owned();
    let status = compose(&before, &verdict(Standing::Sound), Some(&view()), at(100));
    assert_eq!(told(&status), ["Ready=True(Watching)", UNKNOWN]);
}

#[test]
fn a_transition_time_stays_while_only_the_words_change() {
    let first = now_at(&verdict(waiting(Reason::SecretNotFound)), None);
    let second = compose(&first, &verdict(waiting(Reason::SecretKeyNotFound)), None, at(200));
    assert_eq!(second.conditions[0].last_transition_time, Time(at(100)));
    let third = compose(&second, &verdict(Standing::Sound), Some(&view()), at(300));
    assert_eq!(third.conditions[0].last_transition_time, Time(at(300)));
}

#[test]
fn a_remark_is_told_with_ready() {
    let remarked = Verdict { remarks: vec!["mind the line break".to_owned()], ..verdict(Standing::Sound) };
    let status = now_at(&remarked, Some(&view()));
    assert!(status.conditions[0].message.ends_with("; mind the line break"), "{}", status.conditions[0].message);
}

#[test]
fn every_field_says_what_the_view_says() {
    let view = View {
        pending: 5,
        in_flight: 1,
        retrying: 3,
        parked: 2,
        oldest_pending: Some(7_000),
        totals: Counts { delivered: 10, failed_attempts: 4, merged: 6, discarded: 7 },
        last_delivery: Some(Delivered { at: 8_000, event_id: "chg_2".to_owned(), http_status: 204 }),
        parked_samples: vec![sample("web", None)],
        ..down()
    };
    let status = serde_json::to_value(now_at(&verdict(Standing::Sound), Some(&view))).unwrap();
    let error = json!({
        "class": "Endpoint", "reason": "ServerError", "httpStatus": 503, "message": "the endpoint answered 503",
        "time": "1970-01-01T00:00:09Z",
    });
    let of = |name: &str, next: Option<&str>| {
        let mut expected = json!({
            "eventID": "chg_1", "changeType": "Updated", "attempt": 2, "lastError": error,
            "objectRef":
                {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": name, "uid": "uid-1"},
        });
        if let Some(next) = next {
            expected["nextAttemptTime"] = next.into();
        }
        expected
    };
    let expected = json!({
        "observedGeneration": GENERATION,
        "conditions": status["conditions"],
        "ledger": {
            "entries": 3, "baselineTime": "1970-01-01T00:00:04Z", "lastCommitTime": "1970-01-01T00:00:05Z",
            "sequence": 42,
        },
        "delivery": {
            "pending": 5, "inFlight": 1, "retrying": 3, "parked": 2, "oldestPendingTime": "1970-01-01T00:00:07Z",
        },
        "totals": {"since": "1970-01-01T00:00:01Z", "delivered": 10, "failedAttempts": 4, "merged": 6, "discarded": 7},
        "lastDelivery": {"time": "1970-01-01T00:00:08Z", "eventID": "chg_2", "httpStatus": 204},
        "endpoint": {
            "host": "hooks.example", "breaker": "Open", "consecutiveFailures": 4, "attempt": 3,
            "nextAttemptTime": "1970-01-01T00:00:13Z", "lastError": error,
        },
        "retries": [of("api", Some("1970-01-01T00:00:12Z"))],
        "parkedSamples": [of("web", None)],
        "omitted": {"retries": 2, "parked": 1},
    });
    assert_eq!(status, expected);
}

#[test]
fn what_an_earlier_process_delivered_last_is_still_told() {
    let before: SubscriptionStatus = serde_json::from_value(json!({
        "lastDelivery": {"time": "2026-01-05T10:30:00Z", "eventID": "chg_3", "httpStatus": 200},
    }))
    .unwrap();
    let status = compose(&before, &verdict(Standing::Sound), Some(&view()), at(100));
    assert_eq!(status.last_delivery, before.last_delivery);
}

#[test]
fn long_names_and_errors_leave_a_status_of_twenty_kibibytes_and_the_rest_is_counted() {
    let name = "n".repeat(253);
    let mut error = failed();
    error.failure.message = "é".repeat(400);
    let samples: Vec<RetryView> =
        (0..16).map(|_| RetryView { last_error: Some(error.clone()), ..sample(&name, Some(1)) }).collect();
    let mut view = View { retrying: 40, parked: 50, retries: samples.clone(), parked_samples: samples, ..down() };
    view.endpoint.last_error = Some(error);
    let message = "m".repeat(2_000);
    let standing = Standing::Waiting { reason: Reason::NotAuthorized, message };
    let status = now_at(&verdict(standing), Some(&view));
    let json = serde_json::to_vec(&status).unwrap();
    assert!(json.len() <= 20 * 1024, "{}", json.len());
    assert!(json.len() > 16 * 1024, "more than needed was left out: {}", json.len());
    let omitted = status.omitted.unwrap();
    assert_eq!(omitted.retries, 40 - i32::try_from(status.retries.len()).unwrap());
    assert_eq!(omitted.parked, 50 - i32::try_from(status.parked_samples.len()).unwrap());
    let shown: Value = serde_json::from_slice(&json).unwrap();
    let shown = shown["retries"][0]["lastError"]["message"].as_str().unwrap().len();
    assert_eq!(shown, MAX_ERROR_MESSAGE);
}
