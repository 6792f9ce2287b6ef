//! What a behaviour needs: a control plane with the CRDs, the operator under its ServiceAccount, a receiver, a namespace
//! of its own.
//!
//! One operator serves all tests of the process; tests that break something start a world of their own with
//! [`World::private`]. Waiting has a deadline and says what it waited for.

#[path = "shown.rs"]
pub mod shown;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::marks::MARK;
use testbed::receiver::Request;
use testbed::{ControlPlane, Operator, OperatorOptions, Receiver, eventually, planted};
use tokio::sync::OnceCell;

/// How long anything may take that should take a moment: the machine may be busy with other tests.
pub const SOON: Duration = Duration::from_secs(30);
/// The signing key of [`World::secret`].
pub const KEY: &str = planted!("-key");

enum Plane {
    Shared(&'static ControlPlane),
    Private(Arc<ControlPlane>),
}

/// See the module's head.
pub struct World {
    plane: Plane,
    pub operator: Option<Arc<Operator>>,
    pub receiver: Receiver,
    pub namespace: String,
    client: kube::Client,
}

/// The operator's program.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_changehook"))
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl World {
    /// A namespace of one's own on the shared control plane, served by the shared operator.
    pub async fn shared() -> Self {
        static OPERATOR: OnceCell<Arc<Operator>> = OnceCell::const_new();
        let control_plane = ControlPlane::shared().await;
        let start = || async {
            control_plane.apply_crds(&root().join("crds")).await.expect("the CRDs can be applied");
            let mut options = OperatorOptions::new(binary(), control_plane);
            // a machine that stands still under all these tests takes none of them their operator
            for (name, seconds) in [("lease-duration-seconds", "90"), ("lease-renew-deadline-seconds", "60")] {
                options.settings.insert(name, seconds.to_owned());
            }
            let operator = Operator::start(options).await;
            Arc::new(operator.expect("the operator gets ready"))
        };
        let operator = Arc::clone(OPERATOR.get_or_init(start).await);
        Self::with(Plane::Shared(control_plane), Some(operator)).await
    }

    /// A control plane of one's own, with the CRDs and without an operator: see [`Self::start_operator`].
    pub async fn private() -> Self {
        let control_plane = ControlPlane::start().await.expect("a control plane starts");
        control_plane.apply_crds(&root().join("crds")).await.expect("the CRDs can be applied");
        Self::with(Plane::Private(Arc::new(control_plane)), None).await
    }

    /// Another namespace, and another receiver, on the same control plane, without an operator.
    pub async fn beside(&self) -> Self {
        let plane = match &self.plane {
            Plane::Shared(control_plane) => Plane::Shared(control_plane),
            Plane::Private(control_plane) => Plane::Private(Arc::clone(control_plane)),
        };
        Self::with(plane, None).await
    }

    async fn with(plane: Plane, operator: Option<Arc<Operator>>) -> Self {
        let receiver = Receiver::start().await.expect("a receiver starts");
        let control_plane = match &plane {
            Plane::Shared(control_plane) => control_plane,
            Plane::Private(control_plane) => &**control_plane,
        };
        let namespace = control_plane.namespace("test").await.expect("a namespace can be created");
        let client = control_plane.client().await.expect("a client can be made");
        Self { plane, operator, receiver, namespace, client }
    }

    pub fn plane(&self) -> &ControlPlane {
        match &self.plane {
            Plane::Shared(control_plane) => control_plane,
            Plane::Private(control_plane) => control_plane,
        }
    }

    /// The options for an operator of this world, to be changed before it is started.
    pub fn operator_options(&self) -> OperatorOptions<'_> {
        OperatorOptions::new(binary(), self.plane())
    }

    /// Starts an operator with the usual options.
    pub async fn start_operator(&mut self) {
        let operator = Operator::start(self.operator_options()).await.expect("the operator gets ready");
        self.operator = Some(Arc::new(operator));
    }

    pub fn operator(&self) -> &Operator {
        self.operator.as_deref().expect("this world has an operator")
    }

    /// Applies YAML or JSON manifests as the admin, in this world's namespace unless they name another.
    pub async fn apply(&self, manifest: &str) {
        self.plane().apply_yaml(manifest, &self.namespace).await.expect("the manifest is accepted");
    }

    pub async fn kubectl(&self, args: &[&str]) -> String {
        let args = [&["--namespace", self.namespace.as_str()], args].concat();
        self.plane().kubectl_ok(&args).await.expect("kubectl succeeds")
    }

    /// A ConfigMap in this world's namespace.
    pub async fn config_map(&self, name: &str, data: Value) {
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        self.apply(&manifest.to_string()).await;
    }

    /// The Secret `signing` with [`KEY`].
    pub async fn secret(&self) {
        let manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"},
            "stringData": {"secret": KEY}});
        self.apply(&manifest.to_string()).await;
    }

    /// A subscription to ConfigMaps, signed with `signing`, to the receiver's `/NAME` with a token in the query; `patch`
    /// is merged into the spec.
    pub fn subscription(&self, name: &str, patch: Value) -> Value {
        let mut spec = json!({
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap"}],
            "endpoint": {"url": self.receiver.url(&format!("/{name}?token={MARK}"))},
            "signing": {"secretRef": {"name": "signing"}},
        });
        merge(&mut spec, patch);
        json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription", "metadata": {"name": name},
            "spec": spec})
    }

    /// The Secret and a subscription, applied and Ready.
    pub async fn subscribe(&self, name: &str, patch: Value) {
        self.secret().await;
        self.apply(&self.subscription(name, patch).to_string()).await;
        self.ready(name).await;
    }

    /// The subscription as the API server has it. Not through kubectl: whoever waits asks forty times a second.
    pub async fn get(&self, name: &str) -> Value {
        let address =
            format!("/apis/changehook.dev/v1alpha1/namespaces/{}/webhooksubscriptions/{name}", self.namespace);
        let request = http::Request::get(address).body(Vec::new()).expect("names need no escaping");
        self.client.request(request).await.expect("the subscription is there")
    }

    /// Waits until the subscription is as `wanted` says, and gives it.
    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = || async {
            let object = self.get(name).await;
            if wanted(&object) { Ok(object) } else { Err(format!("{what}; its status is {:#}", object["status"])) }
        };
        match eventually(SOON, look).await {
            Ok(object) => object,
            Err(error) => panic!("{error}\nthe operator's log:\n{}", self.log_tail()),
        }
    }

    /// Waits until the subscription is Ready for its present generation.
    pub async fn ready(&self, name: &str) -> Value {
        self.until(name, "not Ready", |object| {
            condition(object, "Ready").is_some_and(|ready| {
                ready["status"] == "True" && ready["observedGeneration"] == object["metadata"]["generation"]
            })
        })
        .await
    }

    /// Waits until a condition has this status and reason, and gives the condition.
    pub async fn condition(&self, name: &str, type_: &str, status: &str, reason: &str) -> Value {
        let what = format!("{type_} is not {status} ({reason})");
        let object = self
            .until(name, &what, |object| {
                condition(object, type_).is_some_and(|found| found["status"] == status && found["reason"] == reason)
            })
            .await;
        condition(&object, type_).expect("it was just there").clone()
    }

    /// Waits for this many requests to `/NAME` and gives them.
    pub async fn requests(&self, name: &str, count: usize) -> Vec<Request> {
        match self.receiver.wait_for(&format!("/{name}"), count, SOON).await {
            Ok(requests) => requests,
            Err(error) => panic!("{error}\nthe operator's log:\n{}", self.log_tail()),
        }
    }

    /// Since when the status counts, which is when the operator of that status started to keep it.
    pub async fn since(&self, name: &str) -> String {
        let since =
            self.get(name).await["status"]["totals"]["since"].as_str().expect("the status has totals").to_owned();
        // It is told in whole seconds: an operator that starts within this one could not be told from the one before.
        let over = async || (jiff::Timestamp::now().strftime("%FT%TZ").to_string() > since).then_some(());
        eventually(SOON, over).await.expect("time goes by");
        since
    }

    /// Waits until an operator that was started after the status told of `since` has compared the objects that exist with
    /// what it knows, which are `entries` then.
    pub async fn caught_up(&self, name: &str, entries: u64, since: &str) {
        let what = format!("it has not caught up with {entries} objects");
        self.until(name, &what, |object| {
            let status = &object["status"];
            status["ledger"]["entries"] == entries
                && status["totals"]["since"].as_str().is_some_and(|now| now != since)
                && condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
        })
        .await;
    }

    /// Patches a subscription (JSON merge patch).
    pub async fn patch(&self, name: &str, patch: &Value) {
        self.kubectl(&["patch", "whsub", name, "--type=merge", "--patch", &patch.to_string()]).await;
    }

    /// A subscription as [`Self::subscribe`] makes them, but its requests are not signed.
    pub async fn subscribe_unsigned(&self, name: &str) {
        let mut subscription = self.subscription(name, json!({}));
        if let Some(spec) = subscription["spec"].as_object_mut() {
            spec.remove("signing");
        }
        self.apply(&subscription.to_string()).await;
        self.ready(name).await;
    }

    /// Applies a manifest that the API server refuses, and gives what it says.
    pub async fn refused(&self, manifest: &Value) -> String {
        let applied = self.plane().apply_yaml(&manifest.to_string(), &self.namespace).await;
        format!("{:?}", applied.expect_err("the manifest is refused"))
    }

    fn log_tail(&self) -> String {
        let log = self.operator.as_ref().map(|operator| operator.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for World {
    /// Whatever a test does, nothing hidden is shown by it.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            shown::search(self.plane(), self.operator.as_deref());
        }
    }
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// The request's body, its signature checked.
pub fn verified(request: &Request) -> Value {
    testbed::receiver::verify(request, KEY.as_bytes()).expect("the signature fits the bytes")
}

/// `{change_type, name}` of a request's body.
pub fn told(request: &Request) -> (String, String) {
    let body = verified(request);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&body["change"]["change_type"]), text(&body["change"]["resource"]["name"]))
}

/// What [`told`] gives of a request.
pub fn pair(change: &str, name: &str) -> (String, String) {
    (change.to_owned(), name.to_owned())
}

/// What was sent to `/NAME` after the first `from` requests, sorted.
pub fn told_since(world: &World, name: &str, from: usize) -> Vec<(String, String)> {
    let mut all: Vec<_> = world.receiver.requests(&format!("/{name}")).iter().skip(from).map(told).collect();
    all.sort();
    all
}

pub fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}
