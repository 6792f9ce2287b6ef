//! Watching: whatever the API server does, each change of a selected object is told, and nothing that did not happen.
//!
//! Here is what these tests share: custom kinds, objects of any kind, what was told so far.

mod access;
mod extremes;
mod faults;
mod healing;
mod kinds;
mod lists;
mod relist;
mod selection;

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Handle, Matcher, Times};
use testbed::receiver::Request;
use testbed::{FaultProxy, Operator, eventually};

use crate::world::{World, verified};

/// How long may take what has to wait for several retries of the operator.
const LATER: Duration = Duration::from_secs(90);

/// One request, as its receiver understands it.
#[derive(Clone, Debug)]
struct Telling {
    change: String,
    kind: String,
    name: String,
    namespace: String,
    uid: String,
    sequence: u64,
    body: Value,
}

impl Telling {
    fn read(request: &Request) -> Self {
        let body = verified(request);
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            change: text("/change/change_type"),
            kind: text("/change/resource/kind"),
            name: text("/change/resource/name"),
            namespace: text("/change/resource/namespace"),
            uid: text("/change/resource/uid"),
            sequence: body["change"]["sequence"].as_u64().expect("every event has a sequence"),
            body,
        }
    }

    /// `new a`
    fn words(&self) -> String {
        format!("{} {}", self.change, self.name)
    }
}

/// What was told, as sorted words: the order across objects is nobody's promise.
fn sorted(told: &[Telling]) -> Vec<String> {
    let mut words: Vec<String> = told.iter().map(Telling::words).collect();
    words.sort();
    words
}

fn custom_kind(plural: &str, kind: &str) -> Value {
    custom_kind_of(plural, kind, "Namespaced", &["v1"])
}

/// A CRD in example.com that keeps whatever its objects hold.
fn custom_kind_of(plural: &str, kind: &str, scope: &str, served: &[&str]) -> Value {
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": served.contains(&name), "storage": storage, "schema": {"openAPIV3Schema":
            {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {"group": "example.com", "scope": scope, "names": {"plural": plural, "kind": kind},
            "versions": [version("v1", true), version("v2", false)]}})
}

#[expect(clippy::needless_pass_by_value, reason = "each caller makes the value for this call")]
fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// Streaming lists, which no API server before 1.34 serves by default.
fn streaming() -> Matcher {
    Matcher::watches("widgets").containing("sendInitialEvents=true")
}

/// The patch of a subscription that watches Widgets.
fn of_widgets() -> Value {
    json!({"resources": [{"apiVersion": "example.com/v1", "kind": "Widget"}]})
}

impl World {
    async fn custom(&self, crd: Value) {
        self.plane().apply_crd_yaml(&crd.to_string()).await.expect("the CRD is accepted");
    }

    pub async fn widgets(&self) {
        self.custom(custom_kind("widgets", "Widget")).await;
    }

    /// For many objects at once, and for those that kubectl would not take.
    async fn objects(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let client = self.plane().client().await.expect("a client");
        Api::namespaced_with(client, &self.namespace, &resource)
    }

    async fn widget_api(&self) -> Api<DynamicObject> {
        self.objects("example.com/v1", "Widget", "widgets").await
    }

    pub async fn widget(&self, name: &str, spec: Value) {
        put(&self.widget_api().await, &widget(name, spec)).await;
    }

    async fn delete_widget(&self, name: &str) {
        delete(&self.widget_api().await, name).await;
    }

    fn told(&self, name: &str) -> Vec<Telling> {
        self.receiver.requests(&format!("/{name}")).iter().map(Telling::read).collect()
    }

    /// Waits until what was told to `/NAME` is as `wanted` says, and gives it.
    async fn until_told(&self, name: &str, what: &str, wanted: impl Fn(&[Telling]) -> bool) -> Vec<Telling> {
        self.until_told_within(name, what, LATER, wanted).await
    }

    async fn until_told_within(
        &self,
        name: &str,
        what: &str,
        within: Duration,
        wanted: impl Fn(&[Telling]) -> bool,
    ) -> Vec<Telling> {
        let path = format!("/{name}");
        let enough = |all: &[Request]| {
            let told: Vec<Telling> = all.iter().filter(|request| request.path() == path).map(Telling::read).collect();
            wanted(&told)
        };
        let reached = self.receiver.wait_until(enough, within).await;
        let told = self.told(name);
        if let Err(error) = reached {
            let words: Vec<String> = told.iter().map(Telling::words).collect();
            let log = self.operator.as_ref().map(|operator| operator.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            panic!("{what}: {error}\ntold: {words:?}\nthe operator's log:\n{tail}");
        }
        told
    }

    /// Waits until these words were told, in whatever order, and fails if others were told as well.
    async fn told_exactly(&self, name: &str, words: &[&str]) -> Vec<Telling> {
        let mut expected: Vec<String> = words.iter().map(ToString::to_string).collect();
        expected.sort();
        let told = self.until_told(name, &format!("not told {expected:?}"), |told| told.len() >= expected.len()).await;
        assert_eq!(sorted(&told), expected);
        told
    }

    async fn metric(&self, series: &str) -> u64 {
        self.operator().metric(series).await.expect("the operator answers").unwrap_or(0.0) as u64
    }
}

async fn put(api: &Api<DynamicObject>, object: &Value) {
    let name = object["metadata"]["name"].as_str().expect("a name");
    let params = PatchParams::apply("test").force();
    api.patch(name, &params, &Patch::Apply(object)).await.expect("the object is accepted");
}

async fn delete(api: &Api<DynamicObject>, name: &str) {
    api.delete(name, &DeleteParams::default()).await.expect("the object can be deleted");
}

/// A world of one's own whose operator reaches the API server through a proxy that fails on request. Tests do not.
struct Faulty {
    world: World,
    proxy: FaultProxy,
}

impl Faulty {
    /// With the kind Widget installed.
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with other settings than the usual ones.
    async fn start_with(settings: &[(&'static str, &str)]) -> Self {
        let mut world = World::private().await;
        world.widgets().await;
        let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
        let mut options = world.operator_options();
        options.server_override = Some(proxy.url());
        options.settings.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        options.ready_within = LATER;
        let operator = Operator::start(options).await.expect("the operator gets ready");
        world.operator = Some(Arc::new(operator));
        Self { world, proxy }
    }

    /// Stops the operator in order.
    async fn stop(&self) {
        let ended = self.world.operator().stop().await.expect("it stops");
        assert!(ended.success(), "{}", self.world.operator().log());
    }

    /// Another life of the operator that was stopped.
    async fn start_again(&mut self) {
        let operator = self.world.operator().again().await.expect("the operator gets ready again");
        self.world.operator = Some(Arc::new(operator));
    }

    /// All ways to Widgets fail so from now on, and what is open breaks.
    fn blind(&self, fault: &Fault) -> [Handle; 2] {
        let handles = [Matcher::watches("widgets"), Matcher::lists("widgets")]
            .map(|matcher| self.proxy.inject(matcher, fault.clone(), Times::Always));
        self.proxy.cut_open_watches(&Matcher::watches("widgets"));
        handles
    }

    /// Waits until Widgets are watched through the proxy.
    async fn watching(&self) {
        let watches = || async { (self.proxy.open_watches(&Matcher::watches("widgets")) > 0).then_some(()) };
        eventually(LATER, watches).await.expect("the widgets are watched");
    }

    /// Makes the operator list Widgets anew.
    async fn relist(&self) {
        self.watching().await;
        let ended = self.proxy.error_in_open_watches(&Matcher::watches("widgets"), 410);
        assert!(ended > 0, "a watch was open");
    }

    /// A new Widget, told: whatever was noticed before it has been told by now.
    async fn barrier(&self, subscription: &str, name: &str) -> Vec<Telling> {
        self.world.widget(name, json!({})).await;
        self.world.until_told(subscription, name, |told| told.iter().any(|one| one.name == name)).await
    }
}
