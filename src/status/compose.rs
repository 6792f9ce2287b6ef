//! From the controller's verdict and the engine's view to one status.
//!
//! Touches nothing; the time comes in. Invariants: the conditions follow the design's table of states, every one with
//! the verdict's generation; a dead endpoint leaves Ready as it is; nothing of an endpoint's answer gets in.

mod ledger;

use changehook_core::engine::{BreakerState as Breaker, LastError as Failed, RetryView, View};
use changehook_core::outcome::{Class, Reason as FailureReason};
use changehook_core::plan::Change;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::{Standing, Verdict};
use crate::api::conditions::{self, Reason, Status, Type, truncated};
use crate::api::status::{
    BreakerState, DeliveryStatus, EndpointStatus, ErrorClass, LastDelivery, LastError, MAX_ERROR_MESSAGE, ObjectRef,
    Omitted, PendingDelivery, SubscriptionStatus, Totals,
};
use crate::api::subscription::ChangeType;
use ledger::{crowded, intact, ledger, resync};

/// The largest status as JSON, a little left for what the API server adds to none of it.
const MAX_STATUS: usize = 19 * 1024;

/// The conditions that are kept up; what an earlier or later version left besides would only get out of date.
const KEPT: [Type; 7] = [
    Type::Ready,
    Type::Reconciling,
    Type::Stalled,
    Type::Authorized,
    Type::EndpointHealthy,
    Type::LedgerIntact,
    Type::Suspended,
];

/// The status as of now. `before` is the one last written.
pub fn compose(
    before: &SubscriptionStatus,
    verdict: &Verdict,
    view: Option<&View>,
    now: Timestamp,
) -> SubscriptionStatus {
    let samples = |from: &[RetryView]| from.iter().filter_map(|retry| pending(retry, verdict.silent)).collect();
    let mut status = SubscriptionStatus {
        observed_generation: Some(verdict.generation),
        conditions: conditions(&before.conditions, verdict, view, now),
        // What an earlier process saw of the ledger is proof of what has to be in it.
        ledger: view.map(|view| ledger(before.ledger.as_ref(), view)).or_else(|| before.ledger.clone()),
        delivery: view.map(delivery),
        totals: view.map(totals),
        last_delivery: view
            .and_then(|view| view.last_delivery.as_ref())
            .map(|last| LastDelivery {
                time: time(last.at),
                event_id: last.event_id.clone(),
                http_status: last.http_status.into(),
            })
            // What an earlier process delivered is still the last delivery.
            .or_else(|| before.last_delivery.clone()),
        endpoint: endpoint(verdict, view),
        retries: view.map_or_else(Vec::new, |view| samples(&view.retries)),
        parked_samples: view.map_or_else(Vec::new, |view| samples(&view.parked_samples)),
        omitted: None,
        resync: view.and_then(|view| view.requests.as_ref()).map_or_else(|| before.resync.clone(), resync),
    };
    fit(&mut status, MAX_STATUS);
    status.omitted = view.and_then(|view| omitted(view, &status));
    status
}

fn conditions(before: &[Condition], verdict: &Verdict, view: Option<&View>, now: Timestamp) -> Vec<Condition> {
    let generation = verdict.generation;
    let kept = |condition: &&Condition| KEPT.iter().any(|kept| kept.as_str() == condition.type_);
    let mut all: Vec<Condition> = before.iter().filter(kept).cloned().collect();
    let mut set = |type_, status, reason, message: &str| {
        conditions::set(&mut all, type_, status, reason, message, generation, now);
    };
    let live = view.is_some_and(|view| view.live && view.generation == generation);
    match &verdict.standing {
        Standing::Stalled { reason, message } => {
            set(Type::Ready, Status::False, *reason, message);
            set(Type::Stalled, Status::True, *reason, message);
        }
        Standing::Waiting { reason, message } => {
            set(Type::Ready, Status::False, *reason, message);
            set(Type::Reconciling, Status::True, Reason::ProgressingWithRetry, message);
        }
        Standing::Progressing { message } => {
            set(Type::Ready, Status::False, Reason::Progressing, message);
            set(Type::Reconciling, Status::True, Reason::Progressing, message);
        }
        Standing::Sound if !live => {
            let message = "taking note of the objects that exist";
            set(Type::Ready, Status::False, Reason::Progressing, message);
            set(Type::Reconciling, Status::True, Reason::Progressing, message);
        }
        Standing::Sound if let Some(crowd) = view.and_then(|view| view.crowd) => {
            let message = crowded(crowd);
            set(Type::Ready, Status::False, Reason::LedgerCapacityExceeded, &message);
            set(Type::Stalled, Status::True, Reason::LedgerCapacityExceeded, &message);
        }
        Standing::Sound => {
            let (reason, message) = if verdict.suspended {
                (Reason::Suspended, "sending is suspended; changes are watched and will be sent once it is resumed")
            } else {
                (Reason::Watching, "changes are watched and sent")
            };
            let message = [&[message.to_owned()], &*verdict.remarks].concat().join("; ");
            set(Type::Ready, Status::True, reason, &message);
            set(Type::Reconciling, Status::False, reason, "");
            set(Type::Stalled, Status::False, reason, "");
        }
    }
    let (status, reason, message) = health(view);
    set(Type::EndpointHealthy, status, reason, &message);
    if let Some((status, reason, message)) = intact(before, view) {
        set(Type::LedgerIntact, status, reason, &message);
    }
    if verdict.suspended {
        set(Type::Suspended, Status::True, Reason::Suspended, "spec.suspend is set");
    } else {
        conditions::remove(&mut all, Type::Suspended);
    }
    match access(verdict) {
        Some((status, reason, message)) => {
            conditions::set(&mut all, Type::Authorized, status, reason, &message, generation, now);
        }
        None => conditions::remove(&mut all, Type::Authorized),
    }
    all
}

fn access(verdict: &Verdict) -> Option<(Status, Reason, String)> {
    match &verdict.standing {
        Standing::Waiting { reason: reason @ (Reason::NotAuthorized | Reason::ServiceAccountNotFound), message } => {
            Some((Status::False, *reason, message.clone()))
        }
        Standing::Waiting { reason: reason @ Reason::AccessReviewFailed, message } => {
            Some((Status::Unknown, *reason, message.clone()))
        }
        Standing::Waiting { .. } | Standing::Stalled { .. } | Standing::Progressing { .. } | Standing::Sound => {
            let who = verdict.granted.as_ref()?;
            Some((Status::True, Reason::Granted, format!("{who} may read everything that is named")))
        }
    }
}

fn health(view: Option<&View>) -> (Status, Reason, String) {
    let unknown = || {
        let message = "nothing was sent yet with this configuration since the operator started";
        (Status::Unknown, Reason::NoDeliveryYet, message.to_owned())
    };
    let Some(view) = view else { return unknown() };
    let waiting = || view.retries.iter().chain(&view.parked_samples).find_map(|sample| sample.last_error.as_ref());
    if let Some(failed) = view.endpoint.last_error.as_ref().or_else(waiting) {
        return (Status::False, reason_of(failed.failure.reason), failed.failure.message.clone());
    }
    if view.endpoint.answered {
        // Which of the good statuses it was is in lastDelivery; here it would make every other delivery a flip.
        return (Status::True, Reason::Delivering, "the endpoint takes what it is sent".to_owned());
    }
    unknown()
}

fn reason_of(reason: FailureReason) -> Reason {
    match reason {
        FailureReason::DnsFailed => Reason::DnsFailed,
        FailureReason::AddressRefused => Reason::AddressRefused,
        FailureReason::ConnectFailed => Reason::ConnectFailed,
        FailureReason::TlsFailed => Reason::TlsFailed,
        FailureReason::ConnectionLost => Reason::ConnectionLost,
        FailureReason::Timeout => Reason::Timeout,
        FailureReason::ServerError => Reason::ServerError,
        FailureReason::ClientError => Reason::ClientError,
        FailureReason::Redirected => Reason::Redirected,
        FailureReason::Oversize => Reason::Oversize,
        FailureReason::RenderFailed => Reason::RenderFailed,
    }
}

fn delivery(view: &View) -> DeliveryStatus {
    DeliveryStatus {
        pending: count(view.pending),
        in_flight: count(view.in_flight.into()),
        retrying: count(view.retrying),
        parked: count(view.parked),
        oldest_pending_time: view.oldest_pending.map(time),
    }
}

fn totals(view: &View) -> Totals {
    Totals {
        since: Some(time(view.since)),
        delivered: wide(view.totals.delivered),
        failed_attempts: wide(view.totals.failed_attempts),
        merged: wide(view.totals.merged),
        discarded: wide(view.totals.discarded),
    }
}

fn endpoint(verdict: &Verdict, view: Option<&View>) -> Option<EndpointStatus> {
    let host = verdict.host.clone();
    let Some(view) = view else {
        return host.map(|host| EndpointStatus { host: Some(host), ..EndpointStatus::default() });
    };
    let breaker = match view.endpoint.breaker {
        Breaker::Closed => BreakerState::Closed,
        Breaker::Open { .. } => BreakerState::Open,
        Breaker::HalfOpen { .. } => BreakerState::HalfOpen,
    };
    Some(EndpointStatus {
        host,
        breaker: Some(breaker),
        consecutive_failures: count(view.endpoint.consecutive_failures.into()),
        attempt: view.endpoint.attempt.map(|attempt| count(attempt.into())),
        next_attempt_time: view.endpoint.next_attempt.filter(|_| !verdict.silent).map(time),
        last_error: view.endpoint.last_error.as_ref().map(last_error),
    })
}

fn pending(retry: &RetryView, silent: bool) -> Option<PendingDelivery> {
    let change_type = match retry.change? {
        Change::New => ChangeType::New,
        Change::Updated => ChangeType::Updated,
        Change::Removed => ChangeType::Removed,
    };
    Some(PendingDelivery {
        event_id: retry.event_id.clone()?,
        change_type,
        object_ref: ObjectRef {
            api_version: retry.named.gvk.api_version(),
            kind: retry.named.gvk.kind.clone(),
            namespace: retry.named.namespace.as_deref().map(str::to_owned),
            name: retry.named.name.to_string(),
            uid: retry.uid.to_string(),
        },
        attempt: count(retry.attempt.into()),
        // While nothing is sent, none is planned.
        next_attempt_time: retry.next_attempt.filter(|_| !silent).map(time),
        last_error: retry.last_error.as_ref().map(last_error),
    })
}

/// Drops samples, the last of the longer list first, until the status is no larger than `max` bytes as JSON.
fn fit(status: &mut SubscriptionStatus, max: usize) {
    let bytes = |status: &SubscriptionStatus| serde_json::to_vec(status).map_or(0, |json| json.len());
    // A handful always fits: every text is bounded.
    while status.retries.len() + status.parked_samples.len() > 4 && bytes(status) > max {
        if status.retries.len() > status.parked_samples.len() {
            status.retries.pop();
        } else {
            status.parked_samples.pop();
        }
    }
}

fn omitted(view: &View, status: &SubscriptionStatus) -> Option<Omitted> {
    let left_out = |all: u64, shown: usize| count(all.saturating_sub(shown as u64));
    let retries = left_out(view.retrying, status.retries.len());
    let parked = left_out(view.parked, status.parked_samples.len());
    (retries > 0 || parked > 0).then_some(Omitted { retries, parked })
}

fn last_error(error: &Failed) -> LastError {
    let Failed { failure, at } = error;
    LastError {
        class: match failure.class {
            Class::Endpoint => ErrorClass::Endpoint,
            Class::Event => ErrorClass::Event,
        },
        reason: failure.reason.as_str().to_owned(),
        http_status: failure.http_status.map(i32::from).filter(|status| (100..=999).contains(status)),
        message: truncated(&failure.message, MAX_ERROR_MESSAGE).to_owned(),
        time: time(*at),
    }
}

/// Whole seconds, as the API's own times have.
fn time(wall: i64) -> Time {
    Time(Timestamp::from_second(wall.div_euclid(1000)).unwrap_or_default())
}

fn count(n: u64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn wide(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "compose_tests.rs"]
pub(super) mod tests;
