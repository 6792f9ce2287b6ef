//! What the charts render, whatever is switched on or off, as the API server sees it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::{ControlPlane, helm};

use crate::site::documents;

const NAMESPACE: &str = "rendered";

async fn render(values: &Value) -> Vec<Value> {
    let text = helm::template("changehook", "changehook", NAMESPACE, values).await.expect("it can be rendered");
    documents(&text)
}

/// `Kind name`, with the namespace in front where there is one.
fn names(objects: &[Value]) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |object: &Value| {
        let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        format!("{namespace}/{} {name}", text(&object["kind"]))
    };
    objects.iter().map(name).collect()
}

/// The fields that we use, as the Prometheus operator's definition has them.
fn pod_monitors() -> Value {
    let text = json!({"type": "string"});
    let labels = json!({"type": "object", "additionalProperties": text});
    let endpoint = json!({"type": "object", "properties": {"port": text, "path": text, "interval": text}});
    let selector = json!({"type": "object", "properties": {"matchLabels": labels}});
    let spec = json!({"type": "object", "required": ["selector"],
        "properties": {"selector": selector, "podMetricsEndpoints": {"type": "array", "items": endpoint}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "podmonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {"kind": "PodMonitor", "plural": "podmonitors"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}],
        },
    })
}

/// Every switch, on and off, alone and with all others.
fn switches() -> Vec<Value> {
    let mut all = vec![
        json!({"image": {"repository": "registry.example/c", "tag": "1", "digest": format!("sha256:{}", "0".repeat(64))}}),
        json!({"imagePullSecrets": [{"name": "pull"}], "priorityClassName": "system-cluster-critical"}),
        json!({"nameOverride": "hooks", "fullnameOverride": "outgoing"}),
        json!({"replicas": 3, "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}}]}),
        json!({"watch": {"rules": []}}),
        json!({"watch": {"rules": [{"apiGroups": ["*"], "resources": ["*"]}]}}),
        json!({"secrets": {"namespaces": ["rendered", "default"]}}),
        json!({"secrets": {"clusterWide": true}}),
        json!({"operator": {"allowCIDRs": ["10.0.0.0/8", "fd00::/8"], "denyCIDRs": ["10.9.0.0/16"],
            "allowHosts": ["*.example.com", "[fd00::1]"], "denyHosts": ["old.example.com"],
            "allowHTTP": true, "logFormat": "text",
            "logFilter": "warn,changehook=debug", "maxInFlight": 10000, "relistIntervalSeconds": 86400,
            "lease": {"durationSeconds": 60, "renewDeadlineSeconds": 40, "retryPeriodSeconds": 8}}}),
        json!({"adminHost": "[::]", "adminPort": 9090}),
        json!({"serviceAccount": {"create": false, "name": "other"}}),
        json!({"serviceAccount": {"name": "named", "annotations": {"a": "b"}}}),
        json!({"rbac": {"create": false}}),
        json!({"authorization": "Operator"}),
        json!({"admission": {"accountUse": false}}),
        json!({"rbac": {"aggregateToUserRoles": false}}),
        json!({"podDisruptionBudget": {"enabled": true, "maxUnavailable": "50%"}}),
        json!({"networkPolicy": {"enabled": true, "metricsFrom": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}}),
        json!({"networkPolicy": {"enabled": true, "egress": []}}),
        json!({"podMonitor": {"enabled": true, "labels": {"release": "prometheus"}}}),
        json!({"runAsUser": null, "runAsGroup": null, "resources": {"limits": null, "requests": null}}),
        json!({"podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
                [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}}),
        json!({"extraEnv": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}],
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "volumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": true}]}),
    ];
    let mut everything = json!({});
    for values in &all {
        for (key, value) in values.as_object().unwrap() {
            everything[key] = value.clone();
        }
    }
    let mut in_namespaces = everything.clone();
    in_namespaces["watchNamespaces"] = json!(["rendered", "default"]);
    in_namespaces["secrets"] = json!({"namespaces": ["default"]});
    all.extend([json!({}), everything, in_namespaces, json!({"watchNamespaces": ["default"]})]);
    all
}

#[tokio::test]
async fn the_api_server_accepts_every_switch_on_and_off_without_a_warning() {
    let plane = ControlPlane::shared().await;
    plane.kubectl_ok(&["create", "namespace", NAMESPACE]).await.unwrap();
    plane.apply_crd_yaml(&pod_monitors().to_string()).await.unwrap();
    for values in switches() {
        let objects = render(&values).await;
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        for how in [["--server-side", "--validate=strict"], ["--server-side=false", "--validate=strict"]] {
            let args = [&["apply", "--dry-run=server", "-f", "-"], &how[..]].concat();
            let applied = plane.kubectl_as(plane.kubeconfig_path(), &args, &list).await.unwrap();
            assert!(applied.status.success(), "{values}: {}", applied.stderr);
            assert_eq!(applied.stderr, "", "{values}: the API server warns");
            assert_eq!(applied.stdout.lines().count(), objects.len(), "{values}: {}", applied.stdout);
        }
    }
}

#[tokio::test]
async fn a_switch_adds_its_objects_and_nothing_else() {
    let usual = names(&render(&json!({})).await);
    for (values, adds) in [
        (json!({"podDisruptionBudget": {"enabled": true}}), vec!["rendered/PodDisruptionBudget changehook"]),
        (json!({"networkPolicy": {"enabled": true}}), vec!["rendered/NetworkPolicy changehook"]),
        (json!({"podMonitor": {"enabled": true}}), vec!["rendered/PodMonitor changehook"]),
        (json!({"secrets": {"clusterWide": true}}), vec!["/ClusterRoleBinding changehook-secret-reader"]),
        (
            json!({"secrets": {"namespaces": ["a", "b"]}}),
            vec!["a/RoleBinding changehook-secret-reader", "b/RoleBinding changehook-secret-reader"],
        ),
    ] {
        let now = names(&render(&values).await);
        let added: BTreeSet<String> = now.difference(&usual).cloned().collect();
        assert_eq!(added, adds.into_iter().map(str::to_owned).collect(), "{values}");
        assert!(now.is_superset(&usual), "{values}");
    }
    let without = names(
        &render(&json!({"rbac": {"create": false}, "serviceAccount": {"create": false, "name": "o"},
            "admission": {"accountUse": false}}))
        .await,
    );
    assert_eq!(without, BTreeSet::from(["rendered/Deployment changehook".to_owned()]));
}

#[tokio::test]
async fn the_pod_is_admitted_where_only_restricted_pods_are() {
    let plane = ControlPlane::shared().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "restricted",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}});
    plane.apply_yaml(&namespace.to_string(), "").await.unwrap();
    let admitted = async |change: &dyn Fn(&mut Value), values: &Value| {
        let objects = render(values).await;
        let deployment = objects.into_iter().find(|object| object["kind"] == "Deployment").unwrap();
        let mut pod = deployment["spec"]["template"].clone();
        (pod["apiVersion"], pod["kind"]) = (json!("v1"), json!("Pod"));
        pod["metadata"]["name"] = json!("pod");
        change(&mut pod);
        let args = ["create", "--dry-run=server", "--namespace=restricted", "-f", "-"];
        plane.kubectl_as(plane.kubeconfig_path(), &args, &pod.to_string()).await.unwrap()
    };
    for values in [json!({}), json!({"runAsUser": null, "runAsGroup": null})] {
        let answer = admitted(&|_| {}, &values).await;
        assert!(answer.status.success() && answer.stderr.is_empty(), "{}", answer.stderr);
    }
    // each part of it is needed
    let parts: [&dyn Fn(&mut Value); 3] = [
        &|pod| drop(pod["spec"]["securityContext"].as_object_mut().unwrap().remove("seccompProfile")),
        &|pod| drop(pod["spec"]["containers"][0]["securityContext"].as_object_mut().unwrap().remove("capabilities")),
        &|pod| pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true),
    ];
    for part in parts {
        let answer = admitted(part, &json!({})).await;
        assert!(answer.stderr.contains("violates PodSecurity \"restricted"), "{}", answer.stderr);
    }
}

#[tokio::test]
async fn the_container_cannot_write_knows_its_place_and_is_probed() {
    let objects = render(&json!({})).await;
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(
        pod["securityContext"],
        json!({"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"}})
    );
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "admin"}));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "admin"}));
    assert_eq!(container["ports"][0]["name"], "admin");
    assert!(container["resources"]["requests"]["memory"].is_string(), "{container}");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > 25, "longer than the shutdown grace");
    let from: Vec<&Value> = container["env"].as_array().unwrap().iter().map(|env| &env["valueFrom"]).collect();
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let paths = ["metadata.namespace", "metadata.name", "status.podIP"].map(field);
    assert_eq!(from, paths.iter().collect::<Vec<_>>());
}
