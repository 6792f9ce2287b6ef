//! What may be said in the values, and what is told of a mistake.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testbed::helm;

use crate::site::{chart, documents, read};

async fn refusal(values: &Value) -> String {
    let rendered = helm::template("changehook", "changehook", "changehook-system", values).await;
    format!("{:?}", rendered.expect_err("the values are refused"))
}

#[tokio::test]
async fn both_charts_pass_helm_lint_at_its_strictest() {
    let linted = helm::offline(&["lint", "--strict", &chart("changehook"), &chart("changehook-crds")]).await.unwrap();
    assert!(linted.status.success(), "{}{}", linted.stdout, linted.stderr);
    assert!(!linted.stdout.contains("[WARNING]"), "{}", linted.stdout);
}

#[tokio::test]
async fn a_mistyped_value_is_refused_with_its_path() {
    for (values, path, problem) in [
        (json!({"replica": 2}), "", "'replica' not allowed"),
        (json!({"replicas": "two"}), "/replicas", "got string, want integer"),
        (json!({"image": {"repo": "a"}}), "/image", "'repo' not allowed"),
        (json!({"image": {"digest": "sha256:abc"}}), "/image/digest", "does not match pattern"),
        (json!({"operator": {"allowCidrs": []}}), "/operator", "'allowCidrs' not allowed"),
        (json!({"operator": {"allowCIDRs": ["10.0.0.0"]}}), "/operator/allowCIDRs/0", "does not match pattern"),
        (json!({"operator": {"denyHosts": ["https://a.example"]}}), "/operator/denyHosts/0", "does not match pattern"),
        (json!({"operator": {"lease": {"durationSeconds": 1}}}), "/operator/lease/durationSeconds", "minimum"),
        (json!({"operator": {"logFormat": "xml"}}), "/operator/logFormat", "must be one of"),
        (json!({"watch": {"rules": [{"apiGroups": ["apps"]}]}}), "/watch/rules/0", "missing property 'resources'"),
        (
            json!({"watch": {"rules": [{"apiGroups": ["a"], "resources": ["b"], "verbs": ["get"]}]}}),
            "/watch/rules/0",
            "'verbs'",
        ),
        (json!({"secrets": {"namespaces": ["Shop"]}}), "/secrets/namespaces/0", "does not match pattern"),
        (json!({"secrets": {"clusterwide": true}}), "/secrets", "'clusterwide' not allowed"),
        (json!({"watchNamespaces": "shop"}), "/watchNamespaces", "got string, want array"),
        (json!({"podMonitor": {"interval": "often"}}), "/podMonitor/interval", "does not match pattern"),
        (json!({"runAsUser": 0}), "/runAsUser", "minimum"),
        (json!({"adminPort": 80}), "/adminPort", "minimum"),
    ] {
        let said = refusal(&values).await;
        let place = format!("at '{path}'");
        assert!(said.contains(&place) && said.contains(problem), "{values}: {said}");
    }
}

#[tokio::test]
async fn values_that_contradict_each_other_are_refused_with_both_names() {
    for (values, says) in [
        (
            json!({"operator": {"lease": {"durationSeconds": 10}}}),
            ["operator.lease.renewDeadlineSeconds is 10", "less than operator.lease.durationSeconds, which is 10"],
        ),
        (
            json!({"operator": {"lease": {"retryPeriodSeconds": 11}}}),
            ["operator.lease.retryPeriodSeconds is 11", "less than operator.lease.renewDeadlineSeconds, which is 10"],
        ),
        (json!({"serviceAccount": {"create": false}}), ["serviceAccount.name must", "serviceAccount.create is false"]),
        (
            json!({"watchNamespaces": ["shop"], "secrets": {"clusterWide": true}}),
            ["secrets.clusterWide cannot be granted by Roles", "secrets.namespaces"],
        ),
        (
            json!({"watchNamespaces": ["shop"], "secrets": {"namespaces": ["other"]}}),
            ["secrets.namespaces has \"other\"", "not among watchNamespaces"],
        ),
    ] {
        let said = refusal(&values).await;
        assert!(says.iter().all(|part| said.contains(part)), "{values}: {said}");
    }
}

#[tokio::test]
async fn as_a_part_of_another_chart_with_global_values_both_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let dependencies = ["changehook", "changehook-crds"].map(|name| {
        json!({"name": name, "version": ">=0", "repository": format!("file://{}", chart(name)),
            "condition": format!("{name}.enabled")})
    });
    let text =
        json!({"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": dependencies}).to_string();
    std::fs::write(folder.path().join("Chart.yaml"), text).unwrap();
    let values = json!({"global": {"a": 1}, "changehook": {"enabled": true}, "changehook-crds": {"enabled": true}});
    std::fs::write(folder.path().join("values.yaml"), values.to_string()).unwrap();
    let folder = folder.path().display().to_string();
    let built = helm::offline(&["dependency", "build", &folder]).await.unwrap();
    assert!(built.status.success(), "{}", built.stderr);
    let rendered = helm::offline(&["template", "all", &folder]).await.unwrap();
    assert!(rendered.status.success(), "{}", rendered.stderr);
    let kinds: Vec<Value> = documents(&rendered.stdout).into_iter().map(|mut object| object["kind"].take()).collect();
    assert!(kinds.contains(&json!("Deployment")) && kinds.contains(&json!("CustomResourceDefinition")), "{kinds:?}");
}

#[tokio::test]
async fn a_cluster_that_is_too_old_is_told_what_it_takes() {
    let render = async |version: &str| {
        let version = format!("--kube-version={version}");
        helm::offline(&["template", "changehook", &chart("changehook"), &version]).await.unwrap()
    };
    let old = render("1.30.14").await;
    assert!(old.stderr.contains("changehook needs Kubernetes 1.31 or newer; this is v1.30.14"), "{}", old.stderr);
    for version in ["1.31.0", "v1.36.3", "v1.33.1-eks-0123abc"] {
        let recent = render(version).await;
        assert!(recent.status.success(), "{version}: {}", recent.stderr);
    }
}

/// Every value that has no values below it, as a path and its default.
fn leaves(values: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    match values.as_object() {
        Some(members) if !members.is_empty() => {
            for (name, value) in members {
                leaves(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        _ => drop(found.insert(path.to_owned(), values.to_string())),
    }
}

#[test]
fn every_value_is_documented_with_its_default_and_no_other_is() {
    let mut expected = BTreeMap::new();
    leaves(&documents(&read("charts/changehook/values.yaml"))[0], "", &mut expected);
    let text = read("docs/install.md");
    let (_, section) = text.split_once("\n## Values\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let mut documented = BTreeMap::new();
    for row in rows {
        let mut code = row.split('`').skip(1).step_by(2);
        let (path, default) = (code.next().unwrap().to_owned(), code.next().unwrap());
        let default: Value = serde_saphyr::from_str(default).unwrap();
        documented.insert(path, default.to_string());
    }
    // too long for a table
    let egress = expected.insert("networkPolicy.egress".to_owned(), "\"see below\"".to_owned());
    assert!(egress.is_some());
    assert_eq!(documented, expected);
}

#[test]
fn the_schema_knows_every_value_and_no_object_of_it_is_open_by_mistake() {
    fn compare(values: &Value, schema: &Value, path: &str) {
        let Some(members) = values.as_object().filter(|members| !members.is_empty()) else { return };
        if schema["properties"].is_null() {
            // free maps of the pod, such as quantities by name
            assert!(schema["additionalProperties"].is_object(), "{path} is open");
            return;
        }
        assert_eq!(schema["additionalProperties"], false, "{path} is open");
        for (name, value) in members {
            compare(value, &schema["properties"][name], &format!("{path}/{name}"));
        }
        let helms = ["global", "enabled"];
        let more = schema["properties"].as_object().unwrap().keys();
        let more: Vec<_> =
            more.filter(|name| !members.contains_key(*name) && !helms.contains(&name.as_str())).collect();
        assert!(more.is_empty(), "values.yaml lacks {path}/{more:?}");
    }
    let schema: Value = serde_json::from_str(&read("charts/changehook/values.schema.json")).unwrap();
    compare(&documents(&read("charts/changehook/values.yaml"))[0], &schema, "");
}

#[test]
fn the_charts_are_of_the_programs_version() {
    for name in ["changehook", "changehook-crds"] {
        let chart = &documents(&read(&format!("charts/{name}/Chart.yaml")))[0];
        assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(env!("CARGO_PKG_VERSION")), &chart["version"]));
    }
}

#[test]
fn the_chart_shows_commands_that_the_guide_has() {
    let (guide, text) = (read("docs/install.md"), read("charts/changehook/README.md"));
    let installs: Vec<&str> = text.lines().filter(|line| line.starts_with("helm ")).collect();
    assert_eq!(installs.len(), 2);
    for line in installs {
        assert!(guide.lines().any(|known| known == line), "{line}");
    }
}

#[test]
fn the_documented_network_policy_is_the_default() {
    let text = read("docs/install.md");
    let (_, block) = text.split_once("```yaml values\n").unwrap();
    let shown = &documents(block.split("```").next().unwrap())[0];
    let values = &documents(&read("charts/changehook/values.yaml"))[0];
    assert_eq!(shown["networkPolicy"]["egress"], values["networkPolicy"]["egress"]);
}
