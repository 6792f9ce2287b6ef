//! Kubernetes Events: one for each flip of a condition, never one for a delivery.
//!
//! Touches the API server through the Recorder. Invariants: publishing never holds up a status; what does not fit the
//! queue is counted and left out, for the status says the same.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Verdict;
use super::metrics::{Metrics, Told};
use crate::api::conditions::{Reason, Type, get, truncated};
use crate::api::{GROUP, VERSION};

/// Notes over 1024 bytes are refused by the API server.
const MAX_NOTE: usize = 1024;
const QUEUE: usize = 256;

/// The queue of Events to publish.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<(Event, ObjectReference)>,
    metrics: Metrics,
}

/// The task that publishes.
#[derive(Debug)]
pub struct Publisher {
    queue: mpsc::Receiver<(Event, ObjectReference)>,
    metrics: Metrics,
}

/// A queue and the task that drains it.
pub fn channel(metrics: Metrics) -> (Events, Publisher) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Events { queue: sender, metrics: metrics.clone() }, Publisher { queue: receiver, metrics })
}

impl Events {
    /// Queues an Event for every condition that flipped.
    pub(super) fn flips(&self, verdict: &Verdict, before: &[Condition], after: &[Condition]) {
        for event in flips(before, after) {
            let reference = ObjectReference {
                api_version: Some(format!("{GROUP}/{VERSION}")),
                kind: Some(verdict.kind.kind().to_owned()),
                namespace: Some(verdict.namespace.clone()).filter(|namespace| !namespace.is_empty()),
                name: Some(verdict.name.clone()),
                uid: Some(verdict.subscription.uid.to_string()),
                ..ObjectReference::default()
            };
            if self.queue.try_send((event, reference)).is_err() {
                self.metrics.told(Told::Overflow);
            }
        }
    }
}

impl Publisher {
    /// Publishes until stopped or nobody can queue any more.
    pub async fn run(mut self, client: Client, stop: CancellationToken) {
        let reporter = Reporter { controller: "changehook".to_owned(), instance: None };
        let recorder = Recorder::new(client, reporter);
        loop {
            let next = tokio::select! {
                next = self.queue.recv() => next,
                () = stop.cancelled() => return,
            };
            let Some((event, reference)) = next else {
                stop.cancelled().await;
                return;
            };
            let published =
                tokio::time::timeout(std::time::Duration::from_secs(10), recorder.publish(&event, &reference));
            match published.await {
                Ok(Ok(())) => self.metrics.told(Told::Published),
                Ok(Err(error)) => {
                    self.metrics.told(Told::Failed);
                    tracing::debug!(error = %error, "failed to publish an Event");
                }
                Err(_) => self.metrics.told(Told::Failed),
            }
        }
    }
}

/// Ready, Stalled, EndpointHealthy, LedgerIntact and Suspended are worth an Event when they flip; Unknown is where things
/// begin, but for a ledger that cannot be written.
fn flips(before: &[Condition], after: &[Condition]) -> Vec<Event> {
    let mut events = Vec::new();
    for type_ in [Type::Ready, Type::Stalled, Type::EndpointHealthy, Type::LedgerIntact, Type::Suspended] {
        let (old, new) = (get(before, type_), get(after, type_));
        if type_ == Type::Suspended && old.is_some() && new.is_none() {
            events.push(Event {
                type_: EventType::Normal,
                reason: "Resumed".to_owned(),
                note: Some("sending is no longer suspended".to_owned()),
                action: type_.as_str().to_owned(),
                secondary: None,
            });
        }
        // That Stalled is gone is told by what Ready says instead.
        let Some(new) = new else { continue };
        let begins = new.status == "Unknown" && type_ != Type::LedgerIntact;
        if old.is_some_and(|old| old.status == new.status) || begins {
            continue;
        }
        // The first word on a subscription is that it is being looked at and that nothing is lost: no news.
        let looks = type_ == Type::Ready && new.reason == Reason::Progressing.as_str();
        let intact = type_ == Type::LedgerIntact && new.status == "True";
        if old.is_none() && (looks || intact) {
            continue;
        }
        let bad = match type_ {
            Type::Stalled => true,
            Type::Suspended => false,
            Type::LedgerIntact => new.status != "True",
            _ => new.status == "False" && new.reason != Reason::Progressing.as_str(),
        };
        events.push(Event {
            type_: if bad { EventType::Warning } else { EventType::Normal },
            reason: new.reason.clone(),
            note: Some(truncated(&new.message, MAX_NOTE).to_owned()).filter(|note| !note.is_empty()),
            action: type_.as_str().to_owned(),
            secondary: None,
        });
    }
    events
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::api::conditions::{Status, set};

    fn one(type_: Type, status: Status, reason: Reason) -> Vec<Condition> {
        let mut all = Vec::new();
        set(&mut all, type_, status, reason, "why", 1, Timestamp::UNIX_EPOCH);
        all
    }

    fn told(before: &[Condition], after: &[Condition]) -> Vec<(String, bool)> {
        flips(before, after).into_iter().map(|e| (e.reason, matches!(e.type_, EventType::Warning))).collect()
    }

    #[test]
    fn a_flip_is_told_once_and_a_repetition_is_not() {
        let down = one(Type::EndpointHealthy, Status::False, Reason::Timeout);
        let up = one(Type::EndpointHealthy, Status::True, Reason::Delivering);
        assert_eq!(told(&[], &down), [("Timeout".to_owned(), true)]);
        assert_eq!(told(&down, &down), []);
        assert_eq!(told(&down, &up), [("Delivering".to_owned(), false)]);
    }

    #[test]
    fn stalled_is_a_warning_and_suspended_is_not() {
        let stalled = one(Type::Stalled, Status::True, Reason::InvalidSpec);
        let suspended = one(Type::Suspended, Status::True, Reason::Suspended);
        assert_eq!(told(&[], &stalled), [("InvalidSpec".to_owned(), true)]);
        assert_eq!(told(&[], &suspended), [("Suspended".to_owned(), false)]);
    }

    #[test]
    fn the_end_of_a_suspension_is_told_and_the_end_of_a_stall_is_left_to_ready() {
        let suspended = one(Type::Suspended, Status::True, Reason::Suspended);
        let stalled = one(Type::Stalled, Status::True, Reason::InvalidSpec);
        assert_eq!(told(&suspended, &[]), [("Resumed".to_owned(), false)]);
        assert_eq!(told(&stalled, &one(Type::Ready, Status::True, Reason::Watching)), [("Watching".to_owned(), false)]);
        assert_eq!(told(&[], &[]), []);
    }

    #[test]
    fn a_new_look_at_an_edited_subscription_is_no_warning() {
        let watching = one(Type::Ready, Status::True, Reason::Watching);
        let progressing = one(Type::Ready, Status::False, Reason::Progressing);
        assert_eq!(told(&watching, &progressing), [("Progressing".to_owned(), false)]);
    }

    #[test]
    fn a_ledger_that_is_lost_or_cannot_be_written_is_a_warning_and_one_that_is_whole_again_is_not() {
        let intact = one(Type::LedgerIntact, Status::True, Reason::Intact);
        let lost = one(Type::LedgerIntact, Status::False, Reason::LedgerLost);
        let unwritable = one(Type::LedgerIntact, Status::Unknown, Reason::LedgerUnavailable);
        assert_eq!(told(&[], &intact), []);
        assert_eq!(told(&intact, &lost), [("LedgerLost".to_owned(), true)]);
        assert_eq!(told(&intact, &unwritable), [("LedgerUnavailable".to_owned(), true)]);
        assert_eq!(told(&lost, &intact), [("Intact".to_owned(), false)]);
    }

    #[test]
    fn where_things_begin_is_no_news() {
        assert_eq!(told(&[], &one(Type::EndpointHealthy, Status::Unknown, Reason::NoDeliveryYet)), []);
        assert_eq!(told(&[], &one(Type::Ready, Status::False, Reason::Progressing)), []);
    }
}
