//! One source, three forms: the charts, `deploy/install.yaml`, `deploy/kustomize/`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testbed::{ControlPlane, Operator, helm, plain};

use crate::site::{OWN, Site, binary, documents, read};

const STALE: &str = "run `cargo manifests` and commit the result";

/// What a text describes, whatever its order.
fn objects(yaml: &str) -> BTreeMap<String, Value> {
    let documents = documents(yaml);
    let count = documents.len();
    let key = |object: &Value| {
        let metadata = &object["metadata"];
        format!("{} {} {} {}", object["apiVersion"], object["kind"], metadata["namespace"], metadata["name"])
    };
    let all: BTreeMap<_, _> = documents.into_iter().map(|object| (key(&object), object)).collect();
    assert_eq!(all.len(), count, "an object is described twice");
    all
}

#[tokio::test]
async fn what_is_committed_is_what_the_charts_and_the_definitions_say() {
    for (path, text) in plain::chart_crds().unwrap().into_iter().chain(plain::manifests().await.unwrap()) {
        assert!(read(&path) == text, "{path} is stale: {STALE}");
    }
    for (folder, files) in [("charts/changehook-crds/files", 3), ("deploy", 2), ("deploy/kustomize", 4)] {
        let there = std::fs::read_dir(testbed::program::checkout().join(folder)).unwrap().count();
        assert_eq!(there, files, "{folder} holds files of its own");
    }
}

#[tokio::test]
async fn helm_the_file_and_kustomize_describe_the_same_objects() {
    let plane = ControlPlane::shared().await;
    let base = testbed::program::checkout().join("deploy/kustomize").display().to_string();
    let kustomized = objects(&plane.kubectl_ok(&["kustomize", &base]).await.unwrap());
    let file = objects(&read("deploy/install.yaml"));
    let mut rendered = BTreeMap::new();
    for (chart, release) in [("changehook-crds", "changehook-crds"), ("changehook", plain::RELEASE)] {
        rendered.extend(objects(&helm::template(chart, release, OWN, &json!({})).await.unwrap()));
    }
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&file), names(&kustomized));
    for (key, object) in &file {
        assert_eq!(Some(object), kustomized.get(key), "{key}");
        // helm is told to create it
        if object["kind"] != "Namespace" {
            assert_eq!(Some(object), rendered.get(key), "{key}");
        }
    }
    assert_eq!(rendered.len() + 1, file.len());
}

#[tokio::test]
async fn kubectl_apply_of_the_one_file_warns_of_nothing_and_the_operator_gets_ready() {
    let site = Site::new().await;
    // the port may be taken on a machine that runs other things
    let manifest = read("deploy/install.yaml").replace("--admin-address=0.0.0.0:8080", "--admin-address=127.0.0.1:0");
    let applied = site.plane.kubectl_apply(&manifest).await.unwrap();
    assert!(applied.status.success(), "{}", applied.stderr);
    assert_eq!(applied.stderr, "");
    let again = site.plane.kubectl_apply(&manifest).await.unwrap();
    assert!(again.stdout.lines().all(|line| line.ends_with(" unchanged")), "{}", again.stdout);
    assert_eq!(again.stdout.lines().count(), objects(&manifest).len());
    let operator = Operator::of_deployment(&binary(), &site.plane, OWN, "changehook").await.unwrap();
    assert!(operator.stop().await.unwrap().success());
}

#[tokio::test]
async fn with_another_namespace_kustomize_moves_everything_that_has_to_move() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    std::fs::create_dir(&base).unwrap();
    for (path, text) in plain::manifests().await.unwrap() {
        if let Some(name) = path.strip_prefix("deploy/kustomize/") {
            std::fs::write(base.join(name), text.replace("0.0.0.0:8080", "127.0.0.1:0")).unwrap();
        }
    }
    let overlay = json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "hooks",
        "resources": ["base"], "replicas": [{"name": "changehook", "count": 2}]});
    std::fs::write(folder.path().join("kustomization.yaml"), overlay.to_string()).unwrap();
    site.kubectl(&["apply", "-k", &folder.path().display().to_string()]).await;
    let operator = Operator::of_deployment(&binary(), &site.plane, "hooks", "changehook").await.unwrap();
    let lease = site.get("hooks", "lease", "changehook").await;
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("changehook-0"), "{lease}");
    assert!(operator.stop().await.unwrap().success());
}
