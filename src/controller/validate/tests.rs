//! What the table in `tests/crds.rs` does not show: the parts that come out, and rules that only the code has.

use changehook_core::plan::{Existing, OnExhausted, OnLoss, Requests, Scope};
use serde_json::{Value, json};

use super::*;
use crate::api::RESYNC_ANNOTATION;

fn subscription(spec: &Value) -> WebhookSubscription {
    serde_json::from_value(json!({
        "apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription", "metadata": {"name": "a"}, "spec": spec,
    }))
    .unwrap()
}

fn check(spec: &Value) -> Result<Valid, Vec<Problem>> {
    validate(&subscription(spec), |text| text.parse().map_err(|_| "cannot be parsed".to_owned()))
}

fn spec() -> Value {
    json!({
        "resources": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
        "endpoint": {"url": "https://hooks.example/T0/s3cret?token=s3cret"},
    })
}

fn paths(found: &[Problem]) -> Vec<&str> {
    found.iter().map(|problem| problem.path.as_str()).collect()
}

#[test]
fn the_smallest_spec_gives_the_contracts_defaults() {
    let valid = check(&spec()).unwrap();
    assert!(!valid.suspended);
    assert_eq!(valid.changes, ChangeTypes::ALL);
    assert_eq!(valid.signing, None);
    assert_eq!(valid.resources[0].gvk, Gvk::new("apps/v1", "Deployment"));
    assert_eq!((valid.endpoint.method, valid.endpoint.timeout), (http::Method::POST, Duration::from_secs(10)));
    assert_eq!((valid.retry.max_retries, valid.retry.initial_delay), (3, Duration::from_secs(2)));
    assert_eq!((valid.max_bytes, valid.endpoint.max_in_flight), (262_144, 16));
    assert_eq!(valid.policy, Policy::default());
}

#[test]
fn every_part_of_the_spec_comes_out_checked() {
    let mut spec = spec();
    spec["suspend"] = true.into();
    spec["changeTypes"] = json!(["Removed"]);
    spec["signing"] = json!({"secretRef": {"name": "hook"}, "previousSecretRef": {"name": "hook", "key": "before"}});
    spec["endpoint"]["method"] = "PATCH".into();
    spec["endpoint"]["headers"] = json!([
        {"name": "X-Literal", "value": "v"},
        {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "hook", "key": "token"}}},
    ]);
    spec["retryPolicy"] = json!({"retryStatusCodes": [429]});
    spec["resources"] = json!([{"apiVersion": "v1", "kind": "Pod", "names": ["b", "a"], "labelSelector": {
        "matchLabels": {"app": "x"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["1"]}]}}]);
    let valid = check(&spec).unwrap();
    assert!(valid.suspended);
    assert_eq!(valid.changes, ChangeTypes { new: false, updated: false, removed: true });
    let key = |key: &str| SecretKey { name: "hook".to_owned(), key: key.to_owned() };
    assert_eq!(valid.signing, Some(ValidSigning { present: key("secret"), previous: Some(key("before")) }));
    let used: Vec<_> = valid.secrets().into_iter().map(|used| (used.field, used.key.clone(), used.role)).collect();
    let header = "spec.endpoint.headers[1].valueFrom.secretKeyRef".to_owned();
    let signing = "spec.signing.secretRef".to_owned();
    let previous = "spec.signing.previousSecretRef".to_owned();
    assert_eq!(
        used,
        [
            (signing, key("secret"), SecretRole::Signs),
            (previous, key("before"), SecretRole::SignsBesides),
            (header, key("token"), SecretRole::Header)
        ]
    );
    assert_eq!(valid.endpoint.headers[0].name, "x-literal");
    assert_eq!(valid.endpoint.headers[1].value, ValidHeaderValue::Secret(key("token")));
    assert_eq!(valid.retry.retry_statuses, BTreeSet::from([429]));
    let pod = &valid.resources[0];
    assert_eq!(pod.names, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(pod.labels.match_labels["app"], "x");
    assert_eq!(pod.labels.expressions[0].operator, LabelOperator::In);
}

#[test]
fn a_url_from_a_secret_is_among_the_secrets_and_is_not_judged_before_it_is_read() {
    let mut spec = spec();
    spec["endpoint"] = json!({"urlFrom": {"secretKeyRef": {"name": "hook", "key": "url"}}});
    let valid = check(&spec).unwrap();
    let key = SecretKey { name: "hook".to_owned(), key: "url".to_owned() };
    assert_eq!(valid.endpoint.target, ValidTarget::Secret(key.clone()));
    let field = "spec.endpoint.urlFrom.secretKeyRef".to_owned();
    assert!(valid.secrets().contains(&SecretUse { field, key: &key, role: SecretRole::Url }));
}

#[test]
fn every_choice_and_request_comes_out_of_the_spec_and_the_annotation() {
    let mut spec = spec();
    spec["initialSync"] = "Notify".into();
    spec["selectionChange"] = "Notify".into();
    spec["onLedgerLoss"] = "Adopt".into();
    spec["retryPolicy"] = json!({"onExhausted": "Discard"});
    spec["resync"] = json!({"requestID": "1", "scope": "All"});
    let mut subscription = subscription(&spec);
    let mut annotate = |text: &str| {
        subscription.metadata.annotations = Some([(RESYNC_ANNOTATION.to_owned(), text.to_owned())].into());
        let valid = validate(&subscription, |text| text.parse().map_err(|_| "cannot be parsed".to_owned()));
        valid.unwrap().policy
    };
    let expected = Policy {
        initial_sync: Existing::Notify,
        selection_change: Existing::Notify,
        on_loss: OnLoss::Adopt,
        on_exhausted: OnExhausted::Discard,
        resync: Requests { request_id: Some("1".into()), requested_at: Some("monday".into()) },
        resync_scope: Scope::All,
    };
    assert_eq!(annotate("monday"), expected);
    assert_eq!(annotate("").resync.requested_at, None);
    // As much of it as the status can repeat.
    let long = annotate(&"é".repeat(200)).resync.requested_at.unwrap();
    assert_eq!(*long, *"é".repeat(128));
}

#[test]
fn all_problems_are_found_at_once_and_only_an_edit_helps() {
    let mut spec = spec();
    spec["endpoint"] = json!({"timeoutSeconds": 0, "headers": [{"name": "host", "value": "v"}]});
    spec["changeTypes"] = json!([]);
    let found = check(&spec).unwrap_err();
    let expected =
        ["spec.changeTypes", "spec.endpoint", "spec.endpoint.headers[0].name", "spec.endpoint.timeoutSeconds"];
    assert_eq!(paths(&found), expected);
    assert!(found.iter().all(|problem| problem.terminal));
}

#[test]
fn labels_are_checked_as_the_api_server_checks_labels() {
    let label = |labels: Value| {
        let mut spec = spec();
        spec["resources"][0]["labelSelector"] = labels;
        check(&spec).err().map(|found| paths(&found).join(" "))
    };
    let place = "spec.resources[0].labelSelector";
    for good in ["a", "A.b_c-d", "example.com/a", "a.b.example/0"] {
        assert_eq!(label(json!({"matchLabels": {good: "v"}})), None, "{good}");
    }
    let long = "a".repeat(64);
    for bad in ["", "-a", "a-", "a b", "/a", "Example.com/a", "a/b/c", "a/", long.as_str()] {
        assert_eq!(label(json!({"matchLabels": {bad: "v"}})), Some(format!("{place}.matchLabels")), "{bad}");
    }
    for bad in ["-", "a b", "ä", long.as_str()] {
        assert_eq!(label(json!({"matchLabels": {"a": bad}})), Some(format!("{place}.matchLabels")), "{bad}");
        let wanted = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": [bad]}]});
        assert_eq!(label(wanted), Some(format!("{place}.matchExpressions[0].values")), "{bad}");
    }
    let wanted = json!({"matchExpressions": [{"key": "a b", "operator": "Exists"}]});
    assert_eq!(label(wanted), Some(format!("{place}.matchExpressions[0].key")));
}

#[test]
fn the_reason_tells_loops_refused_addresses_and_missing_features_apart() {
    let reason = |patch: &dyn Fn(&mut Value)| {
        let mut spec = spec();
        patch(&mut spec);
        check(&spec).unwrap_err()[0].reason
    };
    assert_eq!(reason(&|spec| spec["filter"] = json!({"expression": "true"})), Reason::NotSupported);
    assert_eq!(reason(&|spec| spec["endpoint"]["maxInFlight"] = 0.into()), Reason::InvalidSpec);
    let lease = json!([{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}]);
    assert_eq!(reason(&|spec| spec["resources"] = lease.clone()), Reason::FeedbackLoop);
    assert_eq!(reason(&|spec| spec["endpoint"]["url"] = "https://a.example:99999/".into()), Reason::InvalidSpec);
    let refused = validate(&subscription(&spec()), |_| Err("is not allowed".to_owned())).unwrap_err();
    assert_eq!(refused[0].reason, Reason::AddressRefused);
    assert_eq!(refused[0].to_string(), "spec.endpoint.url: is not allowed");
}

#[test]
fn the_address_policy_never_sees_a_url_that_a_parser_would_change() {
    for bad in ["https://a.example\\@b.example/", "https://a.example/\n", "https:a.example", "https://a@b.example/"] {
        let mut spec = spec();
        spec["endpoint"]["url"] = bad.into();
        let found = validate(&subscription(&spec), |_| panic!("asked about {bad:?}")).unwrap_err();
        assert_eq!(paths(&found), ["spec.endpoint.url"]);
    }
}

#[test]
fn neither_debug_output_nor_a_problem_shows_the_url_or_a_header_value() {
    let mut spec = spec();
    spec["endpoint"]["headers"] = json!([{"name": "authorization", "value": "Bearer s3cret"}]);
    let shown = format!("{:?}", check(&spec).unwrap());
    assert!(!shown.contains("s3cret") && shown.contains("hooks.example"), "{shown}");
    spec["endpoint"]["headers"][0]["value"] = "s3cret\n".into();
    spec["endpoint"]["url"] = "https://hooks.example/s3cret#".into();
    let found = check(&spec).unwrap_err();
    assert_eq!(found.len(), 2);
    assert!(!format!("{found:?}").contains("s3cret"), "{found:?}");
}

#[test]
fn every_header_that_would_be_left_out_of_a_request_is_refused_and_no_other() {
    use crate::api::rules::RESERVED_HEADERS;
    use crate::delivery::endpoint::RESERVED;
    let refused = |name: &str| RESERVED_HEADERS.contains(&name) || name.starts_with("proxy-");
    assert!(RESERVED.iter().all(|name| refused(name)), "{RESERVED:?}");
    assert!(RESERVED_HEADERS.iter().all(|name| RESERVED.contains(name)), "{RESERVED_HEADERS:?}");
}

#[test]
fn debug_shows_nothing_hidden_of_a_subscription_of_what_it_comes_to_or_of_what_is_wrong_with_it() {
    let mut spec = spec();
    spec["endpoint"]["url"] = concat!("https://hooks.example/?token=", testbed::planted!("")).into();
    spec["endpoint"]["headers"] = json!([{"name": "X-Key", "value": testbed::marks::MARK}]);
    let mut broken = spec.clone();
    broken["endpoint"]["headers"][0]["name"] = "Host".into();
    broken["endpoint"]["url"] = concat!("ftp://hooks.example/", testbed::planted!("")).into();
    for shown in [
        format!("{:?}", subscription(&spec)),
        format!("{:?}", check(&spec).unwrap()),
        format!("{:?}", check(&broken).unwrap_err()),
    ] {
        testbed::marks::assert_none("Debug", &shown);
    }
}
