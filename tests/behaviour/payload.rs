//! What a body says: the contract's fields and ours.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testbed::receiver::Request;

use crate::world::{World, told, verified};

/// A kind of any shape, for this file.
const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: sprockets.example.com
spec:
  group: example.com
  names: {kind: Sprocket, plural: sprockets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

/// Subscribed to Sprockets.
pub async fn world_of_sprockets(name: &str, patch: Value) -> World {
    let world = World::shared().await;
    world.plane().apply_crd_yaml(CRD).await.expect("the CRD is accepted");
    let mut all = json!({"resources": [{"apiVersion": "example.com/v1", "kind": "Sprocket"}]});
    all.as_object_mut().expect("it is one").extend(patch.as_object().cloned().unwrap_or_default());
    world.subscribe(name, all).await;
    world
}

pub fn sprocket(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Sprocket", "metadata": {"name": name}, "spec": spec})
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys
}

fn time(value: &Value) -> Timestamp {
    let text = value.as_str().expect("a time is text");
    assert!(text.ends_with('Z') && text.contains('T'), "{text}");
    let time: Timestamp = text.parse().expect("a time is RFC 3339");
    assert!(time.duration_until(Timestamp::now()).abs() < SignedDuration::from_mins(5), "{text}");
    time
}

/// What all three kinds of change have in common; gives `change`.
fn envelope(world: &World, request: &Request, uid: &Value) -> Value {
    let mut body = verified(request);
    assert_eq!(keys(&body), ["change", "event", "subscription_id", "timestamp"]);
    assert_eq!(body["event"], "change.detected");
    assert!(body["subscription_id"].as_str().is_some_and(|id| id.starts_with("sub_") && id.len() > 10), "{body}");
    let change = body["change"].take();
    assert!(change["id"].as_str().is_some_and(|id| id.starts_with("chg_") && id.len() == 36), "{change}");
    assert_eq!(change["id"].as_str(), request.header("webhook-id"));
    assert_eq!(change["server_name"], "awesome-database-tool");
    assert_eq!(change["observed_by"], "watch");
    assert!(change["sequence"].as_u64().is_some_and(|sequence| sequence < 1 << 53), "{change}");
    assert!(time(&change["detected_at"]) <= time(&body["timestamp"]));
    let resource = &change["resource"];
    assert_eq!(keys(resource), ["apiVersion", "kind", "name", "namespace", "resourceVersion", "uid"]);
    assert_eq!((&resource["apiVersion"], &resource["kind"]), (&json!("example.com/v1"), &json!("Sprocket")));
    assert_eq!((&resource["namespace"], &resource["uid"]), (&json!(world.namespace), uid));
    assert!(resource["resourceVersion"].is_string());
    change
}

#[tokio::test]
async fn new_updated_and_removed_have_the_contracts_fields_and_ours() {
    let world = world_of_sprockets("fields", json!({})).await;
    let spec = |version: &str| {
        json!({
            "description": "A database integration for AI assistants",
            "repository": {"url": "https://github.com/example/awesome-database-tool", "branch": "main"},
            "version_detail": {"version": version, "released": "2026-01-05"},
        })
    };
    let server = |version: &str| {
        json!({
            "name": "awesome-database-tool",
            "description": "A database integration for AI assistants",
            "repository": {"url": "https://github.com/example/awesome-database-tool"},
            "version_detail": {"version": version},
        })
    };
    let name = "awesome-database-tool";
    world.apply(&sprocket(name, &spec("1.1.0")).to_string()).await;
    world.requests("fields", 1).await;
    let object: Value =
        serde_json::from_str(&world.kubectl(&["get", "sprocket", name, "-o", "json"]).await).expect("it is JSON");
    let uid = &object["metadata"]["uid"];
    world.apply(&sprocket(name, &spec("1.2.0")).to_string()).await;
    world.requests("fields", 2).await;
    world.kubectl(&["delete", "sprocket", name]).await;
    let requests = world.requests("fields", 3).await;
    let [new, updated, removed] = [0, 1, 2].map(|at| envelope(&world, &requests[at], uid));
    let common = ["change_type", "detected_at", "id", "observed_by", "resource", "sequence", "server", "server_name"];
    let and = |more: &[&'static str]| {
        let mut all = [&common[..], more].concat();
        all.sort_unstable();
        all
    };

    assert_eq!(keys(&new), and(&["new_version", "object"]));
    assert_eq!((&new["change_type"], &new["new_version"]), (&json!("new"), &json!("1.1.0")));
    assert_eq!(new["server"], server("1.1.0"));
    assert_eq!((&new["object"]["spec"], &new["object"]["kind"]), (&spec("1.1.0"), &json!("Sprocket")));
    assert_eq!(new["object"]["metadata"]["creationTimestamp"], object["metadata"]["creationTimestamp"]);

    assert_eq!(keys(&updated), and(&["new_version", "object", "previous_version"]));
    assert_eq!((&updated["change_type"], &updated["previous_version"]), (&json!("updated"), &json!("1.1.0")));
    assert_eq!((&updated["new_version"], &updated["server"]), (&json!("1.2.0"), &server("1.2.0")));
    assert_eq!(updated["object"]["spec"], spec("1.2.0"));
    assert_eq!(updated["object"]["metadata"]["resourceVersion"], updated["resource"]["resourceVersion"]);

    assert_eq!(keys(&removed), and(&["previous_version"]));
    assert_eq!((&removed["change_type"], &removed["previous_version"]), (&json!("removed"), &json!("1.2.0")));
    assert_eq!(removed["server"], json!({"name": name}));
    assert!(new["sequence"].as_u64() < updated["sequence"].as_u64());
    assert!(updated["sequence"].as_u64() < removed["sequence"].as_u64());
}

#[tokio::test]
async fn what_the_server_is_called_is_looked_for_in_annotations_and_labels_where_the_spec_is_silent() {
    let world = world_of_sprockets("fallbacks", json!({})).await;
    let mut noted = sprocket("noted", &json!({"version": 7}));
    noted["metadata"]["annotations"] = json!({"kubernetes.io/description": "noted ✓",
        "org.opencontainers.image.source": "https://noted.example/x?y"});
    noted["metadata"]["labels"] = json!({"app.kubernetes.io/version": "not-this"});
    let mut labelled = sprocket("labelled", &json!({"description": "", "repository": "no object", "version": null}));
    labelled["metadata"]["labels"] = json!({"app.kubernetes.io/version": "v9"});
    let bare = sprocket("bare", &json!({}));
    for (at, object) in [noted, labelled, bare].iter().enumerate() {
        world.apply(&object.to_string()).await;
        world.requests("fallbacks", at + 1).await;
    }
    let requests = world.requests("fallbacks", 3).await;
    let changes: Vec<_> = requests.iter().map(|request| verified(request)["change"].take()).collect();
    let noted = json!({"name": "noted", "description": "noted ✓", "repository": {"url": "https://noted.example/x?y"},
        "version_detail": {"version": "7"}});
    assert_eq!((&changes[0]["server"], &changes[0]["new_version"]), (&noted, &json!("7")));
    assert_eq!(changes[1]["server"], json!({"name": "labelled", "version_detail": {"version": "v9"}}));
    // What is not known is absent, never null.
    assert_eq!((&changes[2]["server"], changes[2].get("new_version")), (&json!({"name": "bare"}), None));
}

#[tokio::test]
async fn bookkeeping_is_neither_sent_nor_a_change() {
    let world = World::shared().await;
    world.subscribe("clean", json!({})).await;
    let manifest = |annotations: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
            "metadata": {"name": "thing", "namespace": world.namespace, "annotations": annotations}})
    };
    // as users do it: kubectl repeats the whole object in an annotation
    let output = world.plane().kubectl_apply(&manifest(json!({"note": "kept"})).to_string()).await;
    assert!(output.expect("kubectl runs").status.success());
    let requests = world.requests("clean", 1).await;
    let object = verified(&requests[0])["change"]["object"].take();
    assert_eq!(object["metadata"]["annotations"], json!({"note": "kept"}));
    assert_eq!(object["metadata"].get("managedFields"), None);
    assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("v1"), &json!("ConfigMap")));
    // another manager says the same: a new resourceVersion, the same content
    let version = || world.kubectl(&["get", "configmap", "thing", "-o", "jsonpath={.metadata.resourceVersion}"]);
    let before = version().await;
    world.config_map("thing", json!({"a": "1"})).await;
    assert_ne!(before, version().await);
    world.config_map("marker", json!({})).await;
    let requests = world.requests("clean", 2).await;
    assert_eq!(told(&requests[1]).1, "marker");
}

#[tokio::test]
async fn an_object_too_large_for_the_subscription_is_left_out_and_said_so() {
    let world = World::shared().await;
    world.subscribe("small", json!({"payload": {"maxBytes": 4096}})).await;
    world.config_map("large", json!({"text": "x".repeat(5_000)})).await;
    world.requests("small", 1).await;
    // shorter as text than as bytes
    world.config_map("wide", json!({"text": "é".repeat(2_500)})).await;
    world.requests("small", 2).await;
    world.config_map("fits", json!({"text": "x".repeat(1_000)})).await;
    let requests = world.requests("small", 3).await;
    for (at, truncated) in [(0, true), (1, true), (2, false)] {
        let body = verified(&requests[at]);
        assert!(requests[at].body.len() <= 4096);
        assert_eq!(body["change"].get("object").is_none(), truncated);
        assert_eq!(body["change"].get("truncated"), truncated.then_some(&Value::Bool(true)));
        assert_eq!(body["change"]["server_name"], told(&requests[at]).1);
    }
}

#[tokio::test]
async fn an_event_too_large_even_without_its_object_is_parked_unsent_until_it_shrinks() {
    let world = world_of_sprockets("book", json!({"payload": {"maxBytes": 4096}})).await;
    world.apply(&sprocket("book", &json!({"description": "x".repeat(5_000)})).to_string()).await;
    let parked = |object: &Value| object["status"]["delivery"]["parked"] == 1;
    let object = world.until("book", "not parked", parked).await;
    let error = &object["status"]["parkedSamples"][0]["lastError"];
    assert_eq!((&error["class"], &error["reason"]), (&json!("Event"), &json!("Oversize")));
    world.apply(&sprocket("book", &json!({"description": "short"})).to_string()).await;
    let requests = world.requests("book", 1).await;
    assert_eq!((requests.len(), &verified(&requests[0])["change"]["server"]["description"]), (1, &json!("short")));
}
