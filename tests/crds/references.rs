//! No reference leads into another namespace: every place of the spec that names an object, and every way to name one
//! elsewhere. The places are read from the schema, so that a new one is not forgotten.

use changehook::api::unsupported::UNSUPPORTED;
use http::Request;
use serde_json::{Value, json};

use super::{NAMESPACE, cases, check, client, subscription};

/// What is meant to reach an object of the namespace `other`.
const NAMES: [&str; 8] = [
    "other/name",
    "../other/name",
    "other:name",
    "other%2Fname",
    "..",
    "other\\name",
    "system:serviceaccount:other:name",
    "name?namespace=other",
];

/// A place that names an object: its path, and a spec's change that puts this there.
struct Reference {
    path: &'static str,
    put: fn(Value) -> Value,
}

const REFERENCES: [Reference; 8] = [
    Reference { path: "serviceAccountName", put: |name| json!({"serviceAccountName": name["name"]}) },
    Reference { path: "signing.secretRef", put: |secret| json!({"signing": {"secretRef": secret}}) },
    Reference {
        path: "signing.previousSecretRef",
        put: |secret| json!({"signing": {"secretRef": {"name": "present"}, "previousSecretRef": secret}}),
    },
    Reference {
        path: "endpoint.urlFrom.secretKeyRef",
        put: |mut secret| {
            secret["key"] = json!("key");
            json!({"endpoint": {"url": null, "urlFrom": {"secretKeyRef": secret}}})
        },
    },
    Reference {
        path: "endpoint.tls.caRef",
        put: |mut named| {
            named["kind"] = json!("ConfigMap");
            json!({"endpoint": {"tls": {"caRef": named}}})
        },
    },
    Reference {
        path: "endpoint.tls.clientCertificateSecretRef",
        put: |secret| json!({"endpoint": {"tls": {"clientCertificateSecretRef": secret}}}),
    },
    Reference {
        path: "endpoint.service",
        put: |mut service| {
            service["port"] = json!(80);
            json!({"endpoint": {"url": null, "service": service}})
        },
    },
    Reference {
        path: "endpoint.headers[].valueFrom.secretKeyRef",
        put: |mut secret| {
            secret["key"] = json!("key");
            json!({"endpoint": {"headers": [{"name": "x", "valueFrom": {"secretKeyRef": secret}}]}})
        },
    },
];

/// The places of the schema that name an object, but for what is refused whatever it says.
fn places(schema: &Value, path: &str, found: &mut Vec<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        assert!(!name.to_lowercase().contains("namespace"), "{path}.{name} could name another namespace");
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if UNSUPPORTED.iter().any(|entry| entry.field == below && entry.supported.is_none()) {
            continue;
        }
        if name.ends_with("Ref") || name.ends_with("AccountName") || name == "service" {
            found.push(below.clone());
        }
        places(member, &below, found);
    }
    if !schema["items"].is_null() {
        places(&schema["items"], &format!("{path}[]"), found);
    }
}

#[test]
fn every_place_that_names_an_object_is_known_and_none_can_name_a_namespace() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/crds/webhooksubscriptions.yaml")).unwrap();
    let crd: Value = serde_saphyr::from_str(&text).unwrap();
    let mut found = Vec::new();
    places(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], "", &mut found);
    let mut known: Vec<_> = REFERENCES.iter().map(|reference| reference.path.to_owned()).collect();
    found.sort();
    known.sort();
    assert_eq!(known, found);
}

#[tokio::test]
async fn every_reference_into_another_namespace_is_refused_by_admission_and_by_the_operator() {
    let client = client().await;
    let path = format!(
        "/apis/changehook.dev/v1alpha1/namespaces/{NAMESPACE}/webhooksubscriptions?dryRun=All&fieldValidation=Strict"
    );
    let admit = async |spec: &Value| {
        let body = subscription(spec).to_string().into_bytes();
        let request = Request::post(&path).header("content-type", "application/json").body(body).unwrap();
        let answer = client.send(request.map(kube::client::Body::from)).await.unwrap();
        let bytes = answer.into_body().collect_bytes().await.unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    for Reference { path: place, put } in &REFERENCES {
        let fine = cases::patched(&put(json!({"name": "name"})));
        assert_eq!(admit(&fine).await["kind"], "WebhookSubscription", "{place}");
        for name in NAMES {
            let spec = cases::patched(&put(json!({"name": name})));
            let answer = admit(&spec).await;
            assert_eq!((&answer["kind"], &answer["code"]), (&json!("Status"), &json!(422)), "{place} {name}: {answer}");
            assert!(matches!(check(&spec), Some(Err(_))), "{place} {name}: the operator takes it");
        }
        if place.ends_with("Ref") || *place == "endpoint.service" {
            let answer = admit(&cases::patched(&put(json!({"name": "name", "namespace": "other"})))).await;
            let message = answer["message"].as_str().unwrap_or_default();
            assert!(message.contains("unknown field") && message.contains("namespace"), "{place}: {answer}");
        }
    }
}
