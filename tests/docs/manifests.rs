//! Manifests in the documentation and the examples are what they claim to be. Needs no cluster: tests/tour applies them.

use std::path::PathBuf;

use changehook::api::WebhookSubscription;
use changehook::controller::validate::{validate, validate_namespaces};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::texts::{blocks, files, read};

/// Every manifest in the documentation and the examples, with where it is.
fn manifests() -> Vec<(String, Value)> {
    // what is laid out as Argo CD wants it is read by tests/gitops
    let argo = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "resource_customizations");
    let whole = files("yaml").into_iter().filter(|path| !argo(path)).map(|path| (path.clone(), read(path)));
    let blocks = files("md").into_iter().flat_map(|path| {
        // a fragment of a spec is none: tests/tour merges it into a subscription
        let found = blocks(&read(&path), "yaml").into_iter().filter(|block| !block.starts_with("spec:"));
        found.map(move |block| (path.clone(), block))
    });
    let mut all = Vec::new();
    for (path, text) in whole.chain(blocks) {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!documents.is_empty(), "{} has an empty manifest", path.display());
        all.extend(documents.into_iter().map(|document| (path.display().to_string(), document)));
    }
    all
}

/// Whether all that `part` says is in `whole`.
pub fn is_in(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|whole| is_in(value, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_in(part, whole))
        }
        _ => part == whole,
    }
}

fn subscription(document: &Value) -> WebhookSubscription {
    let typed: WebhookSubscription =
        serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{error}: {document}"));
    assert!(is_in(document, &serde_json::to_value(&typed).unwrap()), "a field is not known: {document}");
    typed
}

#[test]
fn every_manifest_in_the_documentation_and_the_examples_is_what_it_claims_to_be() {
    let mut subscriptions = 0;
    for (place, document) in manifests() {
        let of = |field: &str| document[field].as_str().unwrap_or_else(|| panic!("{place}: no {field}")).to_owned();
        match (of("apiVersion").as_str(), of("kind").as_str()) {
            ("changehook.dev/v1alpha1", kind @ ("WebhookSubscription" | "ClusterWebhookSubscription")) => {
                let mut document = document.clone();
                if kind == "ClusterWebhookSubscription" {
                    let selector = document["spec"].as_object_mut().unwrap().remove("namespaceSelector");
                    let selector = selector.map(|selector| serde_json::from_value(selector).unwrap());
                    assert!(selector.is_none_or(|selector| validate_namespaces(&selector).is_ok()), "{place}");
                    document["kind"] = "WebhookSubscription".into();
                }
                let checked = validate(&subscription(&document), |url| url.parse().map_err(|_| "no URL".to_owned()));
                assert!(checked.is_ok(), "{place}: {:?}", checked.err());
                // but for the one that stays within the cluster
                let endpoint = &document["spec"]["endpoint"];
                let url = endpoint["url"].as_str();
                let proper = url.is_some_and(|url| url.starts_with("https://") || url.contains(".svc.cluster.local/"));
                let elsewhere = endpoint["urlFrom"].is_object() || endpoint["service"].is_object();
                assert!(proper || elsewhere, "{place}");
                subscriptions += 1;
            }
            ("v1", "Secret") => {
                let secret: Secret = serde_json::from_value(document.clone()).unwrap();
                let data = secret.string_data.unwrap_or_default();
                assert!(!data.is_empty(), "{place}: an empty Secret");
                assert!(data.values().all(|value| !value.ends_with('\n')), "{place}: a value ends with a line break");
            }
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
                let typed: CustomResourceDefinition = serde_json::from_value(document.clone()).unwrap();
                assert!(is_in(&document, &serde_json::to_value(&typed).unwrap()), "{place}: a field is not known");
            }
            ("rbac.authorization.k8s.io/v1", "ClusterRole") => {
                let typed: ClusterRole = serde_json::from_value(document.clone()).unwrap();
                assert!(is_in(&document, &serde_json::to_value(&typed).unwrap()), "{place}: a field is not known");
            }
            // what is not ours is looked at by tests/gitops
            ("mcp.example.com/v1alpha1", "MCPServer")
            | ("v1", "ConfigMap" | "Service" | "ServiceAccount")
            | ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding" | "Role" | "RoleBinding")
            | ("apps/v1", "Deployment")
            | ("argoproj.io/v1alpha1", "Application")
            | ("source.toolkit.fluxcd.io/v1", "GitRepository")
            | ("helm.toolkit.fluxcd.io/v2", "HelmRelease")
            | ("kustomize.config.k8s.io/v1beta1" | "kustomize.toolkit.fluxcd.io/v1", "Kustomization") => {}
            other => panic!("{place}: this test does not know {other:?}"),
        }
    }
    assert!(subscriptions >= 7, "{subscriptions}");
}

#[test]
fn the_readmes_manifests_are_the_example_files() {
    let of = |text: &str| -> Vec<Value> { serde_saphyr::from_multiple(text).unwrap() };
    let shown = blocks(&read("README.md"), "yaml");
    let files = ["examples/tour.yaml", "examples/quickstart.yaml"];
    assert_eq!(shown.len(), files.len());
    for (shown, file) in shown.iter().zip(files) {
        let (shown, there) = (of(shown), of(&read(file)));
        assert_eq!(shown.len(), there.len(), "{file}");
        for (shown, there) in shown.iter().zip(&there) {
            // a comment in the file may spell out a default
            assert!(is_in(shown, there), "{file}: {shown}");
            if shown["kind"] == "WebhookSubscription" {
                assert_eq!(subscription(shown), subscription(there), "{file}");
            }
        }
    }
}
