//! The examples for Flux and Argo CD are what they claim to be, and name what exists.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::judge::{CUSTOMIZATION, ask, folder, read};
use crate::world::{World, root};

/// Every manifest by its file below `examples/gitops`, test data left aside.
fn manifests() -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder()];
    while let Some(here) = folders.pop() {
        for entry in std::fs::read_dir(here).expect("the folder can be read") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() && !path.ends_with("resource_customizations") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let name = path.strip_prefix(folder()).expect("it is below").display().to_string();
                let documents = serde_saphyr::from_multiple(&read(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
                found.insert(name, documents);
            }
        }
    }
    found
}

fn kind(manifest: &Value) -> String {
    let word = |field: &str| manifest[field].as_str().unwrap_or_default().to_owned();
    format!("{} {}", word("apiVersion"), word("kind"))
}

/// A manifest of the example by its kind and name.
fn the(file: &str, wanted: &str, name: &str) -> Value {
    let documents = manifests().remove(file).unwrap_or_else(|| panic!("no {file}"));
    let found = documents.into_iter().find(|one| kind(one).ends_with(wanted) && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {wanted} {name} in {file}"))
}

#[tokio::test]
async fn every_manifest_is_of_a_kind_that_its_tool_reads() {
    let mut flux = Vec::new();
    let mut seen = Vec::new();
    for (file, documents) in manifests() {
        for manifest in documents {
            let kind = kind(&manifest);
            match kind.as_str() {
                "source.toolkit.fluxcd.io/v1 GitRepository"
                | "helm.toolkit.fluxcd.io/v2 HelmRelease"
                | "kustomize.toolkit.fluxcd.io/v1 Kustomization" => flux.push(manifest),
                "argoproj.io/v1alpha1 Application" => application(&manifest),
                // these are applied below
                "changehook.dev/v1alpha1 WebhookSubscription" | "v1 ConfigMap" => {}
                other => panic!("{file}: this test does not know {other}"),
            }
            seen.push(kind);
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6, "{seen:?}");
    ask(&json!({"manifests": flux})).await.expect("Flux knows every field");
    // so that this can fail
    flux[0]["spec"]["healthChekcs"] = json!([]);
    let error = ask(&json!({"manifests": flux})).await.expect_err("Flux does not know this field");
    assert!(error.contains("healthChekcs"), "{error}");
}

/// Argo CD's own types are too much to build for two manifests.
fn application(manifest: &Value) {
    let spec = &manifest["spec"];
    let sources: Vec<_> = spec["sources"].as_array().into_iter().flatten().chain(spec.get("source")).collect();
    assert!(!sources.is_empty() && (spec["source"].is_null() || spec["sources"].is_null()), "{manifest}");
    for source in sources {
        let known = source
            .as_object()
            .expect("a map")
            .keys()
            .all(|key| ["repoURL", "targetRevision", "path"].contains(&&**key));
        assert!(known && source["repoURL"].as_str().is_some_and(|url| url.starts_with("https://")), "{source}");
        if source["repoURL"] == repository() {
            chart(&source["path"]);
        } else {
            exists(&source["path"]);
        }
    }
    assert!(spec["project"].is_string() && spec["destination"]["server"].is_string(), "{manifest}");
    assert!(spec["destination"]["namespace"].is_string(), "{manifest}");
}

fn repository() -> &'static str {
    env!("CARGO_PKG_REPOSITORY")
}

/// A folder of the example's repository.
fn exists(path: &Value) {
    let path = folder().join(path.as_str().expect("a path"));
    assert!(path.is_dir(), "{} is not there", path.display());
}

/// A chart of ours.
fn chart(path: &Value) {
    let path = root().join(path.as_str().expect("a path").trim_start_matches("./"));
    assert!(path.join("Chart.yaml").is_file(), "{} is no chart", path.display());
}

#[test]
fn the_steps_of_flux_name_what_there_is() {
    let subscription = the("webhooks/subscription.yaml", "WebhookSubscription", "deployments");
    let webhooks = the("flux/cluster.yaml", "Kustomization", "webhooks");
    let checked = &webhooks["spec"]["healthChecks"][0];
    for field in ["apiVersion", "kind"] {
        assert_eq!(checked[field], subscription[field]);
    }
    for field in ["name", "namespace"] {
        assert_eq!(checked[field], subscription["metadata"][field]);
    }
    let strict = the("flux/strict.yaml", "Kustomization", "webhooks");
    let operator = the("flux/cluster.yaml", "Kustomization", "changehook");
    for step in [&webhooks, &strict, &operator] {
        exists(&step["spec"]["path"]);
    }
    for step in [&webhooks, &strict] {
        assert_eq!(step["spec"]["dependsOn"][0]["name"], operator["metadata"]["name"]);
    }
    assert!(webhooks["spec"]["wait"].is_null(), "Flux ignores healthChecks beside wait");
    // the release has the same gate as the Kustomization
    let release = the("flux/release-strict.yaml", "HelmRelease", "shop");
    assert_eq!(release["spec"]["healthCheckExprs"], strict["spec"]["healthCheckExprs"]);
    let source = the("flux/operator/source.yaml", "GitRepository", "changehook");
    assert_eq!(source["spec"]["url"], repository());
    for name in ["changehook-crds", "changehook"] {
        let release = the("flux/operator/release.yaml", "HelmRelease", name);
        chart(&release["spec"]["chart"]["spec"]["chart"]);
        assert_eq!(release["spec"]["chart"]["spec"]["sourceRef"]["name"], source["metadata"]["name"]);
    }
}

#[test]
fn the_config_maps_of_argo_cd_have_the_scripts_word_for_word() {
    let plain = format!("{CUSTOMIZATION}/health.lua");
    let of_the_cluster_kind = plain.replace("/WebhookSubscription/", "/ClusterWebhookSubscription/");
    assert_eq!(read(&of_the_cluster_kind), read(&plain));
    for (file, script) in
        [("argocd/argocd-cm.yaml", &*plain), ("argocd/strict/argocd-cm.yaml", "argocd/strict/health.lua")]
    {
        let data = the(file, "ConfigMap", "argocd-cm")["data"].take();
        assert_eq!(data.as_object().map(serde_json::Map::len), Some(4));
        for kind in ["WebhookSubscription", "ClusterWebhookSubscription"] {
            assert_eq!(data[format!("resource.customizations.health.changehook.dev_{kind}")], read(script));
            let actions = data[format!("resource.customizations.actions.changehook.dev_{kind}")].as_str();
            let actions: Value = serde_saphyr::from_str(actions.expect("a text")).expect("it is YAML");
            let expected = json!({
                "discovery.lua": read(&format!("{CUSTOMIZATION}/actions/discovery.lua")),
                "definitions": [{
                    "name": "resync",
                    "action.lua": read(&format!("{CUSTOMIZATION}/actions/resync/action.lua")),
                }],
            });
            assert_eq!(actions, expected, "{file}");
        }
    }
}

#[tokio::test]
async fn the_config_map_is_patched_into_the_one_that_argo_cd_has_as_its_head_says() {
    let world = World::shared().await;
    world.kubectl(&["create", "namespace", "argocd"]).await;
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": "argocd"},
        "data": {"url": "https://argocd.example.com"}});
    world.apply(&theirs.to_string()).await;
    for file in ["argocd/argocd-cm.yaml", "argocd/strict/argocd-cm.yaml"] {
        let command = "kubectl patch configmap argocd-cm -n argocd --patch-file argocd-cm.yaml";
        assert!(read(file).contains(&format!("\n# {command}\n")), "{file}");
        let path = folder().join(file).display().to_string();
        let command = command.replace("argocd-cm.yaml", &path);
        let args: Vec<&str> = command.split(' ').skip(1).collect();
        world.plane().kubectl_ok(&args).await.expect("it is patched");
        let args = ["get", "configmap", "argocd-cm", "-n", "argocd", "-o", "json"];
        let patched: Value =
            serde_json::from_str(&world.plane().kubectl_ok(&args).await.expect("it is there")).expect("JSON");
        assert_eq!(patched["data"]["url"], "https://argocd.example.com");
        assert_eq!(patched["data"].as_object().map(serde_json::Map::len), Some(5));
    }
}

#[tokio::test]
async fn the_subscription_in_git_waits_for_its_secret_and_is_ready_then() {
    let mut world = World::shared().await;
    world.kubectl(&["create", "namespace", "shop"]).await;
    world.plane().tenant("shop").await.expect("its account may read");
    world.namespace = "shop".to_owned();
    let applied = world.plane().kubectl_apply(&read("webhooks/subscription.yaml")).await.expect("kubectl runs");
    assert!(applied.status.success() && applied.stderr.is_empty(), "{}", applied.stderr);
    world.condition("deployments", "Ready", "False", "SecretNotFound").await;
    world.kubectl(&["create", "secret", "generic", "changehook-signing", "--from-literal=secret=s3cr3t"]).await;
    world.ready("deployments").await;
}
