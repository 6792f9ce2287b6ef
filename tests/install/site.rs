//! A cluster that something is installed into: charts, the operator of a Deployment, subscriptions in a namespace.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::process::Output;
use testbed::program::checkout;
use testbed::receiver::Request;
use testbed::{ControlPlane, Operator, Receiver, eventually};

/// How long anything may take that should take a moment: the machine may be busy with other tests.
pub const SOON: Duration = Duration::from_mins(1);
/// Where the operator is installed.
pub const OWN: &str = "changehook-system";
/// The signing key of [`Site::subscribe`].
const KEY: &str = "s3cr3t";

/// See the module's head.
pub struct Site {
    pub plane: ControlPlane,
    pub receiver: Receiver,
}

/// A chart's folder.
pub fn chart(name: &str) -> String {
    checkout().join("charts").join(name).display().to_string()
}

/// A file of the checkout.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML text.
pub fn documents(yaml: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"));
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// Values under which the operator reaches the receiver and finds a port of its own.
pub fn values(more: &Value) -> Value {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut values = json!({
        "adminHost": "127.0.0.1", "adminPort": port,
        "operator": {"allowCIDRs": ["127.0.0.0/8"], "allowHTTP": true},
    });
    for (key, value) in more.as_object().unwrap() {
        values[key] = value.clone();
    }
    values
}

impl Site {
    /// An empty cluster with the namespace `shop`.
    pub async fn new() -> Self {
        let plane = ControlPlane::start().await.expect("a control plane starts");
        let receiver = Receiver::start().await.expect("a receiver starts");
        let site = Self { plane, receiver };
        site.kubectl(&["create", "namespace", "shop"]).await;
        for namespace in ["default", "shop"] {
            site.plane.tenant(namespace).await.expect("the account default may read");
        }
        site
    }

    /// The same, with the CRDs' chart installed.
    pub async fn with_crds() -> Self {
        let site = Self::new().await;
        site.install_crds().await;
        site
    }

    pub async fn install_crds(&self) {
        let args = ["install", "changehook-crds", &chart("changehook-crds"), "--namespace", "default", "--wait"];
        self.plane.helm_ok(&args, &Value::Null).await.expect("the CRDs' chart can be installed");
    }

    /// `helm install`, or `helm upgrade`, of the operator's chart; its output.
    pub async fn helm(&self, verb: &str, values: &Value) -> Output {
        let mut args = vec![verb, "changehook"];
        let chart = chart("changehook");
        args.extend([&*chart, "--namespace", OWN, "--values", "-"]);
        if verb == "install" {
            args.push("--create-namespace");
        }
        self.plane.helm(&args, values).await.expect("helm runs")
    }

    pub async fn helm_ok(&self, verb: &str, values: &Value) -> String {
        let output = self.helm(verb, values).await;
        assert!(output.status.success(), "helm {verb}: {}", output.stderr);
        output.stdout
    }

    pub async fn helm_fails(&self, verb: &str, values: &Value) -> String {
        let output = self.helm(verb, values).await;
        assert!(!output.status.success(), "helm {verb} succeeds: {}", output.stdout);
        output.stderr
    }

    /// The operator as its Deployment says.
    pub async fn operator(&self) -> Operator {
        let started = Operator::of_deployment(&binary(), &self.plane, OWN, "changehook").await;
        started.expect("the operator gets ready")
    }

    pub async fn kubectl(&self, args: &[&str]) -> String {
        self.plane.kubectl_ok(args).await.expect("kubectl succeeds")
    }

    /// An object as the API server has it.
    pub async fn get(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", kind, name, "--namespace", namespace, "--output", "json"]).await;
        serde_json::from_str(&text).unwrap()
    }

    pub async fn apply(&self, namespace: &str, manifest: &Value) {
        self.plane.apply_yaml(&manifest.to_string(), namespace).await.expect("the manifest is accepted");
    }

    pub async fn config_map(&self, name: &str, text: &str) {
        let manifest =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": text}});
        self.apply("shop", &manifest).await;
    }

    /// A signed subscription to a kind, to the receiver's `/NAME`.
    pub async fn subscribe(&self, namespace: &str, name: &str, (api_version, kind): (&str, &str)) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"},
            "stringData": {"secret": KEY}});
        self.apply(namespace, &secret).await;
        let subscription = json!({
            "apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription", "metadata": {"name": name},
            "spec": {
                "resources": [{"apiVersion": api_version, "kind": kind}],
                "endpoint": {"url": self.receiver.url(&format!("/{name}"))},
                "signing": {"secretRef": {"name": "signing"}},
            },
        });
        self.apply(namespace, &subscription).await;
    }

    /// Waits until the condition Ready has this status and reason, and gives its message.
    pub async fn ready(&self, namespace: &str, name: &str, status: &str, reason: &str) -> String {
        let look = || async {
            let object = self.get(namespace, "whsub", name).await;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default();
            let fits = ready["status"] == status
                && ready["reason"] == reason
                && ready["observedGeneration"] == object["metadata"]["generation"];
            if fits { Ok(ready["message"].as_str().unwrap_or_default().to_owned()) } else { Err(ready.to_string()) }
        };
        eventually(SOON, look).await.unwrap_or_else(|error| panic!("{namespace}/{name} is not {reason}: {error}"))
    }

    /// Waits for this many requests to `/NAME`, all signed, and gives what they tell: `new a`.
    pub async fn told(&self, name: &str, count: usize) -> Vec<String> {
        let requests = self.receiver.wait_for(&format!("/{name}"), count, SOON).await;
        requests.expect("they come").iter().map(told).collect()
    }
}

fn told(request: &Request) -> String {
    let body = testbed::receiver::verify(request, KEY.as_bytes()).expect("the signature fits the bytes");
    let change = &body["change"];
    format!("{} {}", change["change_type"].as_str().unwrap(), change["resource"]["name"].as_str().unwrap())
}

/// The operator's program.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_changehook"))
}
