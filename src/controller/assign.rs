//! From checked parts to an assignment.
//!
//! Touches nothing. Invariant: the checked parts are taken apart whole, so that a new field cannot be forgotten.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use changehook_core::object::SourceId;
use changehook_core::plan::{Claims, Interest, Plan, Requests, SubscriptionId, Witness};
use changehook_core::plan::{LabelSelector, Namespaces, Operator, Requirement, Selector};
use changehook_core::retry::RetryPolicy;

use super::validate::{
    LabelOperator, LabelRequirement, SecretKey, Valid, ValidEndpoint, ValidHeader, ValidHeaderValue, ValidLabels,
    ValidResource, ValidRetry, ValidSigning, ValidTarget,
};
use crate::api::SubscriptionStatus;
use crate::delivery::driver::Assignment;
use crate::delivery::endpoint::{self, Endpoint, HeaderEntry, HeaderSource, Method, SigningKeys, Target};
use crate::delivery::tls::Fingerprint;

/// What a subscription can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// What is in its own namespace.
    Namespace(Arc<str>),
    /// What is in these namespaces, or in any, and what is in none.
    Cluster(Option<Namespaces>),
}

/// What was found outside of the spec.
pub(super) struct Found {
    /// One for each resource.
    pub sources: Vec<SourceId>,
    /// Those of them that nobody could be asked about.
    pub unasked: Vec<SourceId>,
    /// Of everything that was read, Services included.
    pub secrets_hash: u64,
    /// Of the TLS settings.
    pub tls_content: Option<Fingerprint>,
    /// Where requests go, as it may be shown.
    pub host: Option<String>,
    /// Nothing may be sent.
    pub held: bool,
}

/// `home` is the namespace of what it refers to.
pub(super) fn assign(
    id: &SubscriptionId,
    generation: i64,
    home: &str,
    reach: &Reach,
    valid: Valid,
    found: Found,
) -> Assignment {
    let Found { sources, unasked, secrets_hash, tls_content, host, held } = found;
    let Valid { suspended, service_account: _, resources, changes, endpoint, signing, retry, max_bytes, policy } =
        valid;
    let ValidEndpoint { target, tls, method, headers, timeout, max_in_flight } = endpoint;
    let ValidRetry { max_retries, initial_delay, max_delay, jitter_percent, retry_statuses, outage_max_delay } = retry;
    let retry_status_codes: Vec<u16> = retry_statuses.into_iter().collect();
    let shown = host.as_deref().unwrap_or_default().into();
    let endpoint = Endpoint {
        target: match target {
            ValidTarget::Url(url) => Target::Url(url),
            ValidTarget::Secret(key) => Target::Secret { key: secret_key(key), host },
            ValidTarget::Service(service) => Target::Service { service, host },
        },
        tls,
        tls_content,
        method: if method == http::Method::PUT {
            Method::Put
        } else if method == http::Method::PATCH {
            Method::Patch
        } else {
            Method::Post
        },
        headers: headers.into_iter().map(header).collect(),
        timeout,
        signing: signing.map(|ValidSigning { present, previous }| SigningKeys {
            present: secret_key(present),
            previous: previous.map(secret_key),
        }),
        namespace: home.to_owned(),
        max_bytes,
        retry_status_codes: retry_status_codes.clone(),
    };
    let plan = Plan {
        id: id.clone(),
        generation,
        namespace: home.into(),
        interests: resources.into_iter().map(|resource| interest(resource, reach)).collect(),
        changes,
        suspended,
        held,
        retry: RetryPolicy {
            max_retries,
            initial_delay_ms: millis(initial_delay),
            max_delay_ms: millis(max_delay),
            jitter_percent,
            retry_status_codes,
            outage_max_delay_ms: millis(outage_max_delay),
        },
        max_in_flight,
        host: shown,
        config_hash: config_hash(&endpoint, secrets_hash),
        policy,
        // Whoever looks at the status sets them.
        claims: Claims::default(),
    };
    Assignment { plan, endpoint: Arc::new(endpoint), sources, unasked }
}

/// The former assignment with the namespaces that the same choices choose now, if those are others: what joins and leaves by
/// its labels has to be told before an edit takes it for its own.
pub(super) fn relabelled(former: &Assignment, next: &Assignment) -> Option<Assignment> {
    let mut moved = former.clone();
    let now: Vec<&Namespaces> = next.plan.interests.iter().flat_map(|interest| &interest.selector.namespaces).collect();
    for namespaces in moved.plan.interests.iter_mut().flat_map(|interest| &mut interest.selector.namespaces) {
        if let Some(now) = now.iter().find(|now| now.chosen_by == namespaces.chosen_by) {
            namespaces.names = Arc::clone(&now.names);
        }
    }
    (moved != *former && moved != *next).then_some(moved)
}

/// What a status says of what this operator, or one before it, did for the subscription.
pub(super) fn claims(status: &SubscriptionStatus) -> Claims {
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    let requests = status.resync.as_ref().map_or_else(Requests::default, |seen| Requests {
        request_id: text(&seen.observed_request_id),
        requested_at: text(&seen.observed_requested_at),
    });
    // Before there is a baseline there is nothing that could be lost.
    let ledger = status.ledger.as_ref().filter(|ledger| ledger.baseline_time.is_some());
    let witness = ledger.map(|ledger| Witness { sequence: u64::try_from(ledger.sequence).unwrap_or_default() });
    Claims { requests, witness }
}

fn interest(resource: ValidResource, reach: &Reach) -> Interest {
    let ValidResource { gvk, labels, names } = resource;
    let mut labels = label_selector(labels);
    let (namespace, namespaces) = match reach {
        Reach::Namespace(namespace) => (Some(Arc::clone(namespace)), None),
        Reach::Cluster(Some(namespaces)) if gvk.group.is_empty() && gvk.kind == "Namespace" => {
            // Its own labels, as of the very version that is told.
            labels.expressions.extend(requirements(&namespaces.chosen_by));
            (None, None)
        }
        Reach::Cluster(namespaces) => (None, namespaces.clone()),
    };
    Interest { gvk, namespace, selector: Selector { labels, names, namespaces } }
}

fn requirements(LabelSelector { match_labels, expressions }: &LabelSelector) -> impl Iterator<Item = Requirement> {
    let equal = match_labels.iter().map(|(key, value)| Requirement {
        key: key.clone(),
        operator: Operator::In,
        values: vec![value.clone()],
    });
    equal.chain(expressions.iter().cloned())
}

pub(super) fn label_selector(ValidLabels { match_labels, expressions }: ValidLabels) -> LabelSelector {
    let expressions = expressions
        .into_iter()
        .map(|LabelRequirement { key, operator, values }| Requirement {
            key,
            operator: match operator {
                LabelOperator::In => Operator::In,
                LabelOperator::NotIn => Operator::NotIn,
                LabelOperator::Exists => Operator::Exists,
                LabelOperator::DoesNotExist => Operator::DoesNotExist,
            },
            values: values.into_iter().collect(),
        })
        .collect();
    LabelSelector { match_labels, expressions }
}

fn header(ValidHeader { name, value }: ValidHeader) -> HeaderEntry {
    let value = match value {
        ValidHeaderValue::Literal(value) => HeaderSource::Literal(value),
        ValidHeaderValue::Secret(key) => HeaderSource::Secret(secret_key(key)),
    };
    HeaderEntry { name, value }
}

pub(super) fn secret_key(SecretKey { name, key }: SecretKey) -> endpoint::SecretKey {
    endpoint::SecretKey { name, key }
}

/// Changes when anything does that could make a refused request succeed. That the hasher may change with the compiler
/// costs one release of what is parked, no more.
fn config_hash(endpoint: &Endpoint, secrets_hash: u64) -> u64 {
    // What the TLS settings hold is in the hash of the Secrets.
    let Endpoint {
        target,
        tls,
        tls_content: _,
        method,
        headers,
        timeout,
        signing,
        namespace,
        max_bytes,
        retry_status_codes,
    } = endpoint;
    let mut hasher = DefaultHasher::new();
    match target {
        Target::Url(url) => url.as_str().hash(&mut hasher),
        // What it holds is in the hash of the Secrets.
        Target::Secret { key, host: _ } => key.hash(&mut hasher),
        // So is where it is.
        Target::Service { service, host: _ } => service.hash(&mut hasher),
    }
    (tls, method, timeout, signing, namespace, max_bytes, retry_status_codes).hash(&mut hasher);
    for HeaderEntry { name, value } in headers {
        name.hash(&mut hasher);
        match value {
            HeaderSource::Literal(value) => value.as_bytes().hash(&mut hasher),
            HeaderSource::Secret(key) => key.hash(&mut hasher),
        }
    }
    secrets_hash.hash(&mut hasher);
    hasher.finish()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use changehook_core::object::Gvk;
    use serde_json::{Value, json};

    use super::*;

    fn of(status: Value) -> Claims {
        claims(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn a_status_claims_a_ledger_once_there_was_a_baseline_and_the_requests_it_repeats() {
        assert_eq!(of(json!({"observedGeneration": -1})), Claims::default());
        let listing = json!({"ledger": {"entries": 0, "sequence": 7}});
        assert_eq!(of(listing), Claims::default());
        let time = "2026-01-05T10:30:00Z";
        let live = json!({
            "ledger": {"entries": 3, "sequence": 7, "baselineTime": time},
            "resync": {"observedRequestID": "1", "observedRequestedAt": time},
        });
        let requests = Requests { request_id: Some("1".into()), requested_at: Some(time.into()) };
        assert_eq!(of(live), Claims { requests, witness: Some(Witness { sequence: 7 }) });
    }

    #[test]
    fn chosen_namespaces_bound_everything_but_namespaces_which_are_judged_by_their_own_labels() {
        let chosen_by = LabelSelector {
            match_labels: [("team".to_owned(), "shop".to_owned())].into(),
            expressions: vec![Requirement { key: "x".to_owned(), operator: Operator::Exists, values: Vec::new() }],
        };
        let namespaces = Namespaces { chosen_by, names: Arc::new(["a".to_owned()].into()) };
        let of = |gvk: Gvk, reach: &Reach| {
            interest(ValidResource { gvk, labels: ValidLabels::default(), names: [].into() }, reach)
        };
        let reach = Reach::Cluster(Some(namespaces.clone()));
        let found = of(Gvk::new("v1", "ConfigMap"), &reach);
        assert_eq!((found.namespace, found.selector.namespaces), (None, Some(namespaces)));
        let found = of(Gvk::new("v1", "Namespace"), &reach);
        assert_eq!((found.namespace, found.selector.namespaces), (None, None));
        let labels = |team: &str| [("team".into(), team.into()), ("x".into(), "".into())].into();
        assert!(found.selector.labels.matches(&labels("shop")) && !found.selector.labels.matches(&labels("bank")));
        let other = of(Gvk::new("example.io/v1", "Namespace"), &reach);
        assert!(other.selector.namespaces.is_some(), "only by its name is it one");
        let own = of(Gvk::new("v1", "ConfigMap"), &Reach::Namespace("a".into()));
        assert_eq!((own.namespace.as_deref(), own.selector), (Some("a"), Selector::default()));
    }

    #[test]
    fn what_joins_or_leaves_by_its_labels_is_told_before_an_edit_that_comes_with_it() {
        let choice = |team: &str, names: &[&str]| Namespaces {
            chosen_by: LabelSelector {
                match_labels: [("team".to_owned(), team.to_owned())].into(),
                expressions: vec![],
            },
            names: Arc::new(names.iter().map(ToString::to_string).collect()),
        };
        let of = |namespaces: Namespaces, generation: i64| {
            let object = json!({
                "apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription", "metadata": {"name": "a"},
                "spec": {"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}], "endpoint": {"url": "https://a.example/"}},
            });
            let subscription = serde_json::from_value(object).unwrap();
            let valid = super::super::validate::validate(&subscription, |url| url.parse().map_err(|_| String::new()));
            let found =
                Found { sources: vec![], unasked: vec![], secrets_hash: 0, tls_content: None, host: None, held: false };
            let id = SubscriptionId { uid: "u".into() };
            assign(&id, generation, "shop", &Reach::Cluster(Some(namespaces)), valid.unwrap(), found)
        };
        let former = of(choice("a", &["x"]), 1);
        let moved = relabelled(&former, &of(choice("a", &["y"]), 2)).unwrap();
        assert_eq!(moved, of(choice("a", &["y"]), 1));
        assert_eq!(relabelled(&former, &of(choice("a", &["y"]), 1)), None, "it is the same without an edit");
        assert_eq!(relabelled(&former, &of(choice("a", &["x"]), 2)), None, "nothing has moved");
        assert_eq!(relabelled(&former, &of(choice("b", &["y"]), 2)), None, "another choice is an edit");
    }
}
