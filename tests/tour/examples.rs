//! Every manifest in examples/ is one that the API server takes without a warning, and every subscription among them one
//! that a running operator makes Ready.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::stage::{Stage, root};

/// The manifests in a folder, without what is below it in a folder of a tool's own.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // examples/gitops is for Flux and Argo CD, whose kinds are not here: tests/gitops reads it
        if path.is_dir() && !path.ends_with("gitops") {
            found.extend(manifests(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    // a definition comes before its objects, as in examples/mcp
    found.sort();
    found
}

#[tokio::test]
async fn every_manifest_is_taken_without_a_warning_and_every_subscription_gets_ready() {
    let stage = Stage::set().await;
    let (mut files, mut subscriptions) = (0, 0);
    for path in manifests(&root().join("examples")) {
        let path = path.strip_prefix(root()).unwrap().display().to_string();
        // a namespace for each: one example's names are not another's
        let namespace = format!("example-{files}");
        stage.succeeds(&format!("kubectl create namespace {namespace}")).await;
        stage.account(&namespace).await;
        stage.may_read(&namespace).await;
        stage.succeeds(&format!("kubectl config set-context --current --namespace {namespace}")).await;
        if path.ends_with("kustomization.yaml") {
            stage.succeeds(&format!("kubectl apply -k {}", path.trim_end_matches("/kustomization.yaml"))).await;
        } else {
            stage.succeeds(&format!("kubectl apply -f {path}")).await;
        }
        let mut listed: Vec<Value> = Vec::new();
        for kind in ["whsub", "cwhsub"] {
            let answer = stage.succeeds(&format!("kubectl get {kind} -o json")).await;
            let mut answer: Value = serde_json::from_str(&answer).unwrap();
            listed.append(answer["items"].as_array_mut().unwrap());
        }
        for object in &listed {
            let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
            // two of them leave their Secret to the reader, and say so
            let secret = match name {
                "deployments" => Some("deployments"),
                "tour" => Some("receiver"),
                _ => None,
            };
            if let Some(secret) = secret {
                stage.succeeds(&format!("kubectl create secret generic {secret} --from-literal=secret=s3cr3t")).await;
            }
            stage.succeeds(&format!("kubectl wait --for=condition=Ready --timeout=50s {kind}/{name}")).await;
            subscriptions += 1;
        }
        files += 1;
    }
    assert!(files >= 10 && subscriptions >= 5, "{files} files with {subscriptions} subscriptions");
}
