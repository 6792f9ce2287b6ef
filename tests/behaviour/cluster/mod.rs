//! ClusterWebhookSubscriptions: what is in any namespace or in none, on behalf of an account of the operator's namespace.
//!
//! What is of the whole cluster is of all tests, so each names what is its own after its namespace.

mod denied;
mod namespaces;
mod reach;

use serde_json::{Value, json};
use testbed::eventually;
use testbed::operator::NAMESPACE;
use testbed::receiver::Request;

use crate::world::{KEY, SOON, World, condition, told};

/// A world with an account and a Secret of its own in the operator's namespace.
struct Wide {
    world: World,
}

impl Wide {
    /// With an account that may read what the tests watch, everywhere.
    async fn shared() -> Self {
        let wide = Self::poor(World::shared().await).await;
        let rules = json!([
            {"apiGroups": [""], "resources": ["configmaps", "namespaces", "nodes"], "verbs": ["list", "watch"]},
        ]);
        wide.allow(rules).await;
        wide
    }

    /// With an account that may read its Secret and nothing else.
    async fn poor(world: World) -> Self {
        let wide = Self { world };
        let name = wide.own();
        wide.world
            .plane()
            .apply_yaml(
                &json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE}})
                .to_string(),
                NAMESPACE,
            )
            .await
            .expect("it can be there already");
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"secret": KEY}});
        let rbac = "rbac.authorization.k8s.io";
        let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}]);
        let role = json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": name},
            "rules": rules});
        let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]});
        for object in [account, secret, role, binding] {
            wide.world.plane().apply_yaml(&object.to_string(), NAMESPACE).await.expect("it is accepted");
        }
        wide
    }

    /// The name of what belongs to this test where all tests are.
    fn own(&self) -> &str {
        &self.world.namespace
    }

    /// Lets the account do so in the whole cluster.
    async fn allow(&self, rules: Value) {
        let (name, rbac) = (self.own(), "rbac.authorization.k8s.io");
        let role = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": name},
            "rules": rules});
        let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": name}, "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]});
        for object in [role, binding] {
            self.world.apply(&object.to_string()).await;
        }
    }

    /// A subscription to ConfigMaps with the label `of: OWN`, signed, to the receiver's `/NAME`.
    fn manifest(&self, name: &str, patch: Value) -> Value {
        let mut manifest = self.world.subscription(name, json!({
            "serviceAccountName": self.own(),
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap", "labelSelector": {"matchLabels": {"of": self.own()}}}],
            "signing": {"secretRef": {"name": self.own()}},
        }));
        crate::world::merge(&mut manifest["spec"], patch);
        manifest["kind"] = "ClusterWebhookSubscription".into();
        manifest["metadata"] = json!({"name": self.named(name)});
        manifest
    }

    fn named(&self, name: &str) -> String {
        format!("{}-{name}", self.own())
    }

    async fn apply(&self, name: &str, patch: Value) {
        self.world.apply(&self.manifest(name, patch).to_string()).await;
    }

    async fn subscribe(&self, name: &str, patch: Value) -> Value {
        self.apply(name, patch).await;
        self.ready(name).await
    }

    async fn get(&self, name: &str) -> Value {
        let path = format!("/apis/changehook.dev/v1alpha1/clusterwebhooksubscriptions/{}", self.named(name));
        let text = self.world.plane().kubectl_ok(&["get", "--raw", &path]).await.expect("it is there");
        serde_json::from_str(&text).expect("the API server speaks JSON")
    }

    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = || async {
            let object = self.get(name).await;
            if wanted(&object) { Ok(object) } else { Err(format!("{what}; its status is {:#}", object["status"])) }
        };
        match eventually(SOON, look).await {
            Ok(object) => object,
            Err(error) => panic!("{error}"),
        }
    }

    async fn ready(&self, name: &str) -> Value {
        self.until(name, "not Ready", |object| {
            condition(object, "Ready").is_some_and(|ready| {
                ready["status"] == "True" && ready["observedGeneration"] == object["metadata"]["generation"]
            })
        })
        .await
    }

    async fn message(&self, name: &str, type_: &str, reason: &str) -> String {
        let is = |object: &Value| condition(object, type_).is_some_and(|found| found["reason"] == reason);
        let object = self.until(name, &format!("{type_} is not for {reason}"), is).await;
        condition(&object, type_).expect("it was just there")["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Another namespace, with these labels.
    async fn namespace(&self, name: &str, labels: Value) -> String {
        let name = self.named(name);
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.world.apply(&manifest.to_string()).await;
        name
    }

    /// Gives a namespace a label, or takes it away with `KEY-`.
    async fn label(&self, namespace: &str, label: &str) {
        self.world
            .plane()
            .kubectl_ok(&["label", "--overwrite", "namespace", namespace, label])
            .await
            .expect("labelled");
    }

    async fn config_map(&self, namespace: &str, name: &str, value: &str) {
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "labels": {"of": self.own()}}, "data": {"k": value}});
        self.world.apply(&manifest.to_string()).await;
    }

    async fn requests(&self, name: &str, count: usize) -> Vec<Request> {
        self.world.requests(name, count).await
    }

    /// What was told so far, sorted.
    async fn told(&self, name: &str, count: usize) -> Vec<(String, String)> {
        let mut told: Vec<_> = self.requests(name, count).await.iter().map(told).collect();
        told.sort();
        told
    }
}
