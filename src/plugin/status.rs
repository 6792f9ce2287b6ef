//! `kubectl changehook status`: how a subscription stands, on one screen.
//!
//! Touches the API server and standard output. Invariants: the screen is a pure function of what was read and the time;
//! nothing of the endpoint but its host is shown; no reference that cannot be read keeps the rest from being shown.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::cli::StatusArgs;
use super::cluster::Cluster;
use super::manifest::object_name;
use super::references::{Place, Reference, State, look_up};
use super::subscribe::{cluster_collection, collection};
use super::{Error, print};
use crate::api::conditions::{Type, get};
use crate::api::status::{LastError, PendingDelivery};
use crate::api::{SubscriptionKind, SubscriptionStatus, WebhookSubscription};

/// Runs the command.
pub async fn run(arguments: &StatusArgs) -> Result<(), Error> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    let name = object_name(&arguments.name).map_err(Error::Input)?;
    let place = Place::of(arguments, &cluster);
    let (title, short, path) = match place.kind {
        SubscriptionKind::Namespaced => {
            let namespace = &place.home;
            (format!("{namespace}/{name}"), format!("whsub {name} -n {namespace}"), collection(namespace))
        }
        SubscriptionKind::Cluster => (name.clone(), format!("cwhsub {name}"), cluster_collection()),
    };
    let what = format!("read {} {title}", place.kind.kind());
    let path = format!("{path}/{name}");
    let object = cluster.get(&what, &path, "application/json").await?;
    let subscription: WebhookSubscription = serde_json::from_value(object).map_err(|_| {
        Error::NotReady(format!("{title} cannot be read by this version; kubectl describe {short} shows it"))
    })?;
    let references = look_up(&cluster, &place, &subscription.spec).await;
    match arguments.output {
        Some(form) => print(&form.write(&for_scripts(&subscription, &references))),
        None => print(&screen(&subscription, &references, Timestamp::now())),
    }
}

/// The same for scripts. Without the spec: a URL and a header's value may be credentials.
fn for_scripts(subscription: &WebhookSubscription, references: &[Reference]) -> Value {
    json!({
        "name": subscription.metadata.name,
        "namespace": subscription.metadata.namespace,
        "generation": subscription.metadata.generation,
        "suspended": subscription.spec.suspend,
        "status": subscription.status,
        "references": references,
    })
}

/// The whole screen.
fn screen(subscription: &WebhookSubscription, references: &[Reference], now: Timestamp) -> String {
    let metadata = &subscription.metadata;
    let status = subscription.status.clone().unwrap_or_default();
    let mut lines = Lines::default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let title = metadata.namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
    let ready = get(&status.conditions, Type::Ready);
    let ready = ready.map_or_else(|| "Unknown".to_owned(), |ready| format!("{} ({})", ready.status, ready.reason));
    let suspended = if subscription.spec.suspend { "yes" } else { "no" };
    lines.add("Subscription", &format!("{title}   Ready: {ready}   suspended: {suspended}"));
    if status.observed_generation.is_none_or(|seen| seen < metadata.generation.unwrap_or_default()) {
        lines.add("", "no operator has looked at this spec yet; is changehook running?");
    }
    for condition in &status.conditions {
        let text = format!("{}={} {}", condition.type_, condition.status, condition.reason);
        let since = ago(&condition.last_transition_time, now);
        let message = if condition.message.is_empty() { String::new() } else { format!(": {}", condition.message) };
        lines.add("Conditions", &format!("{text}, since {since}{message}"));
    }
    for reference in references {
        let Reference { field, kind, name, state, message } = reference;
        let label = if field.starts_with("spec.resources") {
            "Watches"
        } else if field == "spec.serviceAccountName" {
            "Account"
        } else if kind == "ConfigMap" {
            "Authorities"
        } else {
            "Secrets"
        };
        let mark = match state {
            State::Found => "",
            State::Missing => "MISSING ",
            State::Forbidden => "FORBIDDEN ",
            State::Unusable => "UNUSABLE ",
            State::Unknown => "UNKNOWN ",
        };
        lines.add(label, &format!("{kind} {name}: {mark}{message}"));
    }
    if subscription.spec.signing.is_none() {
        lines.add("Signing", "none; the endpoint cannot tell who sent a request");
    }
    endpoint(&mut lines, &status, now);
    delivery(&mut lines, &status, now);
    for (label, samples) in [("Retrying", &status.retries), ("Parked", &status.parked_samples)] {
        for sample in samples {
            lines.add(label, &sample_line(sample, now));
        }
    }
    if let Some(omitted) = &status.omitted {
        lines.add("", &format!("and {} more retrying, {} more parked", omitted.retries, omitted.parked));
    }
    lines.text
}

fn endpoint(lines: &mut Lines, status: &SubscriptionStatus, now: Timestamp) {
    let Some(endpoint) = &status.endpoint else { return lines.add("Endpoint", "nothing known yet") };
    let mut text = endpoint.host.clone().unwrap_or_default();
    if let Some(breaker) = endpoint.breaker {
        let _ = write!(text, "   breaker {breaker:?}");
    }
    if endpoint.consecutive_failures > 0 {
        let _ = write!(text, ", {} failures in a row", endpoint.consecutive_failures);
    }
    if let Some(error) = &endpoint.last_error {
        let _ = write!(text, ", last {}: {}", ago(&error.time, now), error_text(error));
    }
    if let Some(next) = &endpoint.next_attempt_time {
        let _ = write!(text, "; next try {}", until(next, now));
    }
    lines.add("Endpoint", &text);
}

fn delivery(lines: &mut Lines, status: &SubscriptionStatus, now: Timestamp) {
    let delivery = status.delivery.clone().unwrap_or_default();
    let oldest = delivery.oldest_pending_time.as_ref().map(|time| format!(" (oldest {})", ago(time, now)));
    lines.add(
        "Delivery",
        &format!(
            "{} pending{}, {} in flight, {} retrying, {} parked",
            delivery.pending,
            oldest.unwrap_or_default(),
            delivery.in_flight,
            delivery.retrying,
            delivery.parked
        ),
    );
    if let Some(totals) = &status.totals {
        let since = totals.since.as_ref().map(|time| format!(" since {}", ago(time, now)));
        lines.add(
            "Delivery",
            &format!(
                "{} delivered, {} failed attempts, {} merged, {} discarded{}",
                totals.delivered,
                totals.failed_attempts,
                totals.merged,
                totals.discarded,
                since.unwrap_or_default()
            ),
        );
    }
    let last = status.last_delivery.as_ref().map_or_else(
        || "nothing delivered yet".to_owned(),
        |last| format!("last delivery {}: HTTP {}, {}", ago(&last.time, now), last.http_status, last.event_id),
    );
    lines.add("Delivery", &last);
}

fn sample_line(sample: &PendingDelivery, now: Timestamp) -> String {
    let object = &sample.object_ref;
    let mut text = format!("{}/{} {:?}, attempt {}", object.kind, object.name, sample.change_type, sample.attempt);
    if let Some(error) = &sample.last_error {
        let _ = write!(text, ", {}", error_text(error));
    }
    if let Some(next) = &sample.next_attempt_time {
        let _ = write!(text, "; next try {}", until(next, now));
    }
    text
}

fn error_text(error: &LastError) -> String {
    let code = error.http_status.map(|code| format!(" HTTP {code}")).unwrap_or_default();
    format!("{}{code}, {}", error.reason, error.message)
}

/// Labelled lines; a label that is that of the line before is not written again.
#[derive(Default)]
struct Lines {
    text: String,
    label: String,
}

impl Lines {
    fn add(&mut self, label: &str, text: &str) {
        let shown = if label == self.label { "" } else { label };
        let _ = writeln!(self.text, "{shown:<13}{text}");
        label.clone_into(&mut self.label);
    }
}

fn ago(time: &Time, now: Timestamp) -> String {
    format!("{} ago", span(now.as_second() - time.0.as_second()))
}

fn until(time: &Time, now: Timestamp) -> String {
    match time.0.as_second() - now.as_second() {
        seconds if seconds > 0 => format!("in {}", span(seconds)),
        _ => "now".to_owned(),
    }
}

/// Seconds as kubectl writes an age.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..=119 => format!("{seconds}s"),
        seconds @ 120..=7199 => format!("{}m", seconds / 60),
        seconds @ 7200..=172_799 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_tells_what_is_wrong_in_its_place_and_shows_no_url() {
        let subscription: WebhookSubscription = serde_json::from_value(json!({
            "apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
            "metadata": {"name": "partner", "namespace": "shop", "generation": 1},
            "spec": {"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}],
                "endpoint": {"url": "https://hooks.example/s3cret"}},
            "status": {"observedGeneration": 1,
                "conditions": [{"type": "Ready", "status": "True", "reason": "Watching", "message": "",
                    "lastTransitionTime": "2026-01-05T10:00:00Z"}],
                "endpoint": {"host": "hooks.example", "breaker": "Open", "consecutiveFailures": 9,
                    "nextAttemptTime": "2026-01-05T10:30:40Z"},
                "delivery": {"pending": 41, "retrying": 3, "parked": 1, "oldestPendingTime": "2026-01-05T10:17:00Z"},
                "retries": [{"eventID": "chg_1", "changeType": "Updated", "attempt": 4, "objectRef":
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "prices", "uid": "u"}, "lastError":
                    {"class": "Endpoint", "reason": "ServerError", "httpStatus": 503, "message": "m",
                        "time": "2026-01-05T10:29:00Z"}}]},
        }))
        .unwrap();
        let references = [Reference {
            field: "spec.signing.secretRef".to_owned(),
            kind: "Secret".to_owned(),
            name: "key".to_owned(),
            state: State::Missing,
            message: "not found; create it".to_owned(),
        }];
        let text = screen(&subscription, &references, "2026-01-05T10:30:00Z".parse().unwrap());
        for line in [
            "Subscription shop/partner   Ready: True (Watching)   suspended: no\n",
            "Conditions   Ready=True Watching, since 30m ago\n",
            "Secrets      Secret key: MISSING not found; create it\n",
            "Endpoint     hooks.example   breaker Open, 9 failures in a row; next try in 40s\n",
            "Delivery     41 pending (oldest 13m ago), 0 in flight, 3 retrying, 1 parked\n",
            "             nothing delivered yet\n",
            "Retrying     ConfigMap/prices Updated, attempt 4, ServerError HTTP 503, m\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let scripts = for_scripts(&subscription, &references).to_string();
        assert!(!text.contains("s3cret") && !scripts.contains("s3cret"), "{text}{scripts}");
        assert!(scripts.contains(r#""state":"Missing""#), "{scripts}");
    }
}
