//! A running operator and the example receivers: what is sent over a real connection verifies in each of them.

use std::path::Path;

use serde_json::json;
use testbed::{ControlPlane, Operator, OperatorOptions};

use crate::program::{ALL, Receiver, SECRET};

#[tokio::test]
async fn every_receiver_verifies_the_life_of_an_object_as_a_running_operator_tells_it() {
    let plane = ControlPlane::shared().await;
    plane.apply_crds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")).await.unwrap();
    let namespace = plane.namespace("receivers").await.unwrap();
    let operator = OperatorOptions::new(env!("CARGO_BIN_EXE_changehook"), plane);
    let _operator = Operator::start(operator).await.unwrap();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
        "stringData": {"secret": SECRET}});
    plane.apply_yaml(&secret.to_string(), &namespace).await.unwrap();
    let mut receivers = Vec::new();
    for language in ALL {
        let receiver = Receiver::start(language).await;
        let name = format!("{language:?}").to_lowercase();
        let subscription = json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
        "metadata": {"name": name}, "spec": {
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap"}],
            "endpoint": {"url": receiver.url},
            "signing": {"secretRef": {"name": "key"}},
        }});
        plane.apply_yaml(&subscription.to_string(), &namespace).await.unwrap();
        receivers.push(receiver);
    }
    let kubectl = async |args: &[&str]| {
        let args = [&["--namespace", namespace.as_str()], args].concat();
        plane.kubectl_ok(&args).await.unwrap();
    };
    kubectl(&["wait", "--for=condition=Ready", "--timeout=30s", "whsub", "--all"]).await;
    // each is told before the next is done, because what waits is merged
    for (args, change) in [
        (&["create", "configmap", "hello", "--from-literal=.env=Grüße, 😀"][..], "new"),
        (&["patch", "configmap", "hello", "--patch", r#"{"data":{"10":"a","9":"b"}}"#], "updated"),
        (&["delete", "configmap", "hello"], "removed"),
    ] {
        kubectl(args).await;
        for receiver in &receivers {
            receiver.prints(&format!("verified {change} ConfigMap {namespace}/hello sequence=")).await;
        }
    }
    for receiver in receivers {
        assert_eq!(receiver.child.log().lines().count(), 4, "{:?}: {}", receiver.language, receiver.child.log());
    }
}
