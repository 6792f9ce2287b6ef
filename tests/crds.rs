//! The CRDs: the committed files, and what a real API server makes of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

#[path = "crds/cases.rs"]
mod cases;
#[path = "crds/references.rs"]
mod references;

use std::path::Path;

use changehook::api::{WebhookSubscription, conditions, yaml};
use changehook::controller::validate::validate;
use changehook_core::outcome;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const NAMESPACE: &str = "default";

#[test]
fn the_committed_files_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let regenerate = "run `cargo run -- crds --dir crds` and commit the result";
    let files = yaml::crd_files();
    for (name, text) in &files {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(&committed == text, "crds/{name} is stale: {regenerate}");
    }
    let there = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(there, files.len(), "crds/ holds files of its own: {regenerate}");
}

#[test]
fn the_printed_stream_holds_every_crd_and_can_be_read_back() {
    let stream = yaml::crds_yaml();
    let documents: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(&stream).unwrap();
    assert_eq!(documents, changehook::api::crds());
}

#[test]
fn every_failure_of_an_attempt_has_a_condition_reason_of_its_name() {
    let known: Vec<_> = conditions::Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    for reason in outcome::Reason::ALL {
        assert!(known.contains(&reason.as_str()), "{}", reason.as_str());
    }
}

fn subscription(spec: &Value) -> Value {
    json!({
        "apiVersion": "changehook.dev/v1alpha1",
        "kind": "WebhookSubscription",
        "metadata": {"name": "case", "namespace": NAMESPACE},
        "spec": spec,
    })
}

/// The operator's own check, with a policy that lets every address pass.
fn check(spec: &Value) -> Option<Result<(), Vec<String>>> {
    let parsed: WebhookSubscription = serde_json::from_value(subscription(spec)).ok()?;
    let checked = validate(&parsed, |text| text.parse().map_err(|_| "no URL".to_owned()));
    Some(checked.map(drop).map_err(|found| found.iter().map(ToString::to_string).collect()))
}

#[test]
fn the_operator_refuses_by_itself_what_admission_refuses() {
    for case in cases::refused().into_iter().chain(cases::unsupported()) {
        let found = check(&cases::patched(&case.patch));
        match (found, case.untyped) {
            (None, true) => {}
            (None, false) => panic!("{} cannot be parsed", case.patch),
            (Some(Ok(())), _) => panic!("{} passed", case.patch),
            (Some(Err(found)), _) => {
                assert!(found.iter().any(|problem| problem.starts_with(&case.field)), "{}: {found:?}", case.patch);
            }
        }
    }
}

#[test]
fn the_operator_accepts_what_admission_accepts() {
    for patch in cases::accepted() {
        assert_eq!(check(&cases::patched(&patch)), Some(Ok(())), "{patch}");
    }
}

/// What the API server answers to a raw request: warnings and body.
async fn raw(client: &Client, request: http::Request<Vec<u8>>) -> (Vec<String>, Value) {
    let answer = client.send(request.map(kube::client::Body::from)).await.unwrap();
    let warnings = answer.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
    let (status, body) = (answer.status(), answer.into_body().collect_bytes().await.unwrap());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(status.is_success(), "{status}: {body}");
    (warnings, body)
}

fn apply(path: &str, manifest: String) -> http::Request<Vec<u8>> {
    http::Request::patch(format!("{path}?fieldManager=crds-test&force=true&fieldValidation=Strict"))
        .header("content-type", "application/apply-patch+yaml")
        .body(manifest.into_bytes())
        .unwrap()
}

/// Applies the committed CRDs, once; answers with the warnings and each CRD as stored.
async fn install(client: &Client) -> &'static (Vec<String>, Vec<Value>) {
    static DONE: OnceCell<(Vec<String>, Vec<Value>)> = OnceCell::const_new();
    DONE.get_or_init(|| async {
        let mut all = (Vec::new(), Vec::new());
        for (crd, (_, text)) in changehook::api::crds().iter().zip(yaml::crd_files()) {
            let name = crd.name_any();
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            let (warnings, stored) = raw(client, apply(&path, text)).await;
            all.0.extend(warnings);
            all.1.push(stored);
            let crds = Api::<CustomResourceDefinition>::all(client.clone());
            let served = kube::runtime::conditions::is_crd_established();
            let wait = kube::runtime::wait::await_condition(crds, &name, served);
            tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.unwrap().unwrap();
        }
        all
    })
    .await
}

async fn client() -> Client {
    let client = testbed::ControlPlane::shared().await.client().await.unwrap();
    install(&client).await;
    client
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("changehook.dev", "v1alpha1", kind));
    match kind {
        "ClusterWebhookSubscription" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), NAMESPACE, &resource),
    }
}

/// Admission's verdict on a manifest; nothing is stored.
async fn admit(client: &Client, manifest: Value) -> Result<(), String> {
    let object: DynamicObject = serde_json::from_value(manifest).unwrap();
    let kind = object.types.as_ref().unwrap().kind.clone();
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api(client, &kind).create(&params, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn applying_the_crds_prints_no_warning_and_applying_them_again_changes_nothing() {
    let client = client().await;
    let (warnings, stored) = install(&client).await;
    assert_eq!(warnings, &Vec::<String>::new());
    for (before, (_, text)) in stored.iter().zip(yaml::crd_files()) {
        let path = format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}",
            before["metadata"]["name"].as_str().unwrap()
        );
        let (warnings, after) = raw(&client, apply(&path, text)).await;
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(before["metadata"]["generation"], after["metadata"]["generation"], "{path}");
        assert_eq!(before["spec"], after["spec"], "{path}");
    }
}

#[tokio::test]
async fn admission_refuses_bad_specs_naming_the_field_and_what_to_do() {
    let client = client().await;
    let mut answers = String::new();
    for case in cases::refused() {
        let Err(answer) = admit(&client, subscription(&cases::patched(&case.patch))).await else {
            panic!("{} was admitted", case.patch);
        };
        assert!(answer.contains(&case.field) && answer.contains(&case.says), "{}: {answer}", case.patch);
        answers.push_str(&answer);
    }
    // a rule without a case would not be missed
    for rule in changehook::api::rules::rules() {
        assert!(answers.contains(rule.message), "no case shows the rule {:?}: {}", rule.at, rule.message);
    }
}

#[tokio::test]
async fn admission_refuses_what_this_version_does_not_support_and_says_so() {
    let client = client().await;
    for case in cases::unsupported() {
        let Err(answer) = admit(&client, subscription(&cases::patched(&case.patch))).await else {
            panic!("{} was admitted", case.patch);
        };
        assert!(answer.contains(&format!("{}: Forbidden: {}", case.field, case.says)), "{}: {answer}", case.patch);
        assert!(answer.contains("not supported yet in this version"), "{answer}");
    }
}

#[tokio::test]
async fn admission_of_the_cluster_kind_is_that_of_the_other_with_a_namespace_selector() {
    let client = client().await;
    let cluster = |spec: &Value| {
        let mut cluster = subscription(spec);
        cluster["kind"] = "ClusterWebhookSubscription".into();
        cluster["metadata"] = json!({"name": "case"});
        cluster
    };
    for patch in cases::accepted() {
        assert_eq!(admit(&client, cluster(&cases::patched(&patch))).await, Ok(()), "{patch}");
    }
    let selector = |selector: Value| {
        let mut spec = cases::good();
        spec["namespaceSelector"] = selector;
        cluster(&spec)
    };
    let good = json!({"matchLabels": {"team": "shop"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]});
    for good in [good.clone(), json!({})] {
        assert_eq!(admit(&client, selector(good)).await, Ok(()));
    }
    let answer = admit(&client, selector(json!({"matchExpressions": [{"key": "x", "operator": "In"}]}))).await;
    let message =
        "spec.namespaceSelector.matchExpressions[0].values: Invalid value: values must have at least one value";
    assert!(answer.as_ref().is_err_and(|answer| answer.contains(message)), "{answer:?}");
    let mut unsupported = cluster(&cases::good());
    unsupported["spec"]["filter"] = json!({"expression": "object.spec.replicas > 0"});
    let answer = admit(&client, unsupported).await;
    assert!(answer.as_ref().is_err_and(|answer| answer.contains("spec.filter: Forbidden")), "{answer:?}");
}

#[tokio::test]
async fn admission_accepts_good_specs() {
    let client = client().await;
    for patch in cases::accepted() {
        assert_eq!(admit(&client, subscription(&cases::patched(&patch))).await, Ok(()), "{patch}");
    }
}

#[tokio::test]
async fn a_new_subscription_has_every_default_and_an_unobserved_status() {
    let client = client().await;
    let api = api(&client, "WebhookSubscription");
    let mut manifest = subscription(&cases::good());
    manifest["metadata"]["name"] = "defaults".into();
    let params = PatchParams::apply("crds-test").force();
    api.patch("defaults", &params, &Patch::Apply(&manifest)).await.unwrap();
    let stored = api.get("defaults").await.unwrap().data;
    assert_eq!(stored["status"], json!({"observedGeneration": -1}));
    let mut expected = json!({
        "suspend": false,
        "serviceAccountName": "default",
        "changeTypes": ["New", "Updated", "Removed"],
        "initialSync": "Adopt",
        "selectionChange": "Adopt",
        "onLedgerLoss": "Replay",
        "payload": {"maxBytes": 262_144},
        "retryPolicy": {"maxRetries": 3, "initialDelaySeconds": 2, "maxDelaySeconds": 60, "jitterPercent": 10,
            "retryStatusCodes": [], "outageMaxDelaySeconds": 300, "onExhausted": "Park"},
    });
    expected["resources"] = cases::good()["resources"].clone();
    expected["endpoint"] = json!({"url": cases::good()["endpoint"]["url"], "method": "POST", "timeoutSeconds": 10,
        "maxInFlight": 16});
    assert_eq!(stored["spec"], expected);
    let typed: WebhookSubscription = serde_json::from_value(subscription(&cases::good())).unwrap();
    assert_eq!(serde_json::to_value(typed.spec).unwrap(), expected, "the types have the server's defaults");
    api.delete("defaults", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_subscription_can_be_selected_by_spec_suspend() {
    let client = client().await;
    let api = api(&client, "WebhookSubscription");
    let params = PatchParams::apply("crds-test").force();
    let mut manifest = subscription(&cases::patched(&json!({"suspend": true})));
    manifest["metadata"]["name"] = "suspended".into();
    api.patch("suspended", &params, &Patch::Apply(&manifest)).await.unwrap();
    let names = |suspend: &str| {
        let (api, params) = (api.clone(), ListParams::default().fields(&format!("spec.suspend={suspend}")));
        async move { api.list(&params).await.unwrap().iter().map(ResourceExt::name_any).collect::<Vec<_>>() }
    };
    assert!(names("true").await.contains(&"suspended".to_owned()));
    assert!(!names("false").await.contains(&"suspended".to_owned()));
    api.delete("suspended", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn kubectl_get_shows_the_columns() {
    let client = client().await;
    let request =
        http::Request::get(format!("/apis/changehook.dev/v1alpha1/namespaces/{NAMESPACE}/webhooksubscriptions"))
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())
            .unwrap();
    let (_, table) = raw(&client, request).await;
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| (column["name"].as_str().unwrap(), column["priority"].as_i64().unwrap()))
        .collect();
    let expected = [
        ("Name", 0),
        ("Ready", 0),
        ("Endpoint", 0),
        ("Pending", 0),
        ("Retrying", 0),
        ("Parked", 0),
        ("Last Delivery", 0),
        ("Age", 0),
        ("Host", 1),
        ("Reason", 1),
        ("Message", 1),
    ];
    assert_eq!(columns, expected);
}

#[tokio::test]
async fn a_full_status_is_accepted_as_the_types_write_it() {
    let client = client().await;
    let api = api(&client, "WebhookSubscription");
    let mut manifest = subscription(&cases::good());
    manifest["metadata"]["name"] = "status".into();
    let params = PatchParams::apply("crds-test").force();
    api.patch("status", &params, &Patch::Apply(&manifest)).await.unwrap();
    let status = full_status();
    let typed: changehook::api::SubscriptionStatus = serde_json::from_value(status.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), status, "no field is lost on the way");
    let patch = json!({"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "status": typed});
    let strict = PatchParams { field_validation: Some(kube::api::ValidationDirective::Strict), ..params };
    let stored = api.patch_status("status", &strict, &Patch::Apply(&patch)).await.unwrap();
    assert_eq!(stored.data["status"], status);
    api.delete("status", &DeleteParams::default()).await.unwrap();
}

fn full_status() -> Value {
    let time = "2026-01-05T10:30:00Z";
    let error = json!({"class": "Endpoint", "reason": "ServerError", "httpStatus": 503, "message": "m", "time": time});
    let waiting = json!({
        "eventID": "chg_0123456789abcdef0123456789abcdef", "changeType": "Updated", "attempt": 2,
        "objectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "api", "uid": "u"},
        "nextAttemptTime": time, "lastError": error,
    });
    let mut all = Vec::new();
    for type_ in conditions::Type::ALL.iter().filter(|type_| **type_ != conditions::Type::Stalled) {
        let (status, reason) = (conditions::Status::True, conditions::Reason::Watching);
        conditions::set(&mut all, *type_, status, reason, "m", 7, time.parse().unwrap());
    }
    json!({
        "observedGeneration": 7,
        "conditions": all,
        "ledger": {"entries": 3, "baselineTime": time, "lastCommitTime": time, "sequence": 9_007_199_254_740_991_i64},
        "delivery": {"pending": 1, "inFlight": 1, "retrying": 1, "parked": 1, "oldestPendingTime": time},
        "totals": {"since": time, "delivered": 1, "failedAttempts": 2, "merged": 3, "discarded": 4},
        "lastDelivery": {"time": time, "eventID": "chg_1", "httpStatus": 204},
        "endpoint": {"host": "hooks.example:8443", "breaker": "HalfOpen", "consecutiveFailures": 2, "attempt": 1,
            "nextAttemptTime": time, "lastError": error},
        "retries": [waiting],
        "parkedSamples": [waiting],
        "omitted": {"retries": 0, "parked": 4},
        "resync": {"observedRequestID": "1", "observedRequestedAt": time},
    })
}
