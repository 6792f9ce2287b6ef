//! The commands of docs/install.md, in their order, on real clusters.

use serde_json::Value;

use crate::site::{OWN, Site, documents, read};

/// The commands of a section's console blocks, one a line, that need no image and no kubelet.
fn commands(text: &str, heading: &str) -> Vec<String> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("\n```console\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let lines: Vec<String> =
        blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let runs =
        |line: &String| !["docker ", "kubectl rollout ", "kubectl logs "].iter().any(|other| line.starts_with(other));
    lines.into_iter().filter(runs).collect()
}

impl Site {
    async fn run_section(&self, heading: &str) {
        let lines = commands(&read("docs/install.md"), heading);
        assert!(!lines.is_empty(), "{heading} has no commands");
        for line in lines {
            // what a shell would take away
            let words: Vec<String> = line.split_whitespace().map(|word| word.replace('"', "")).collect();
            let args: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            let output = match words[0].as_str() {
                "helm" => self.plane.helm(&args, &Value::Null).await.unwrap(),
                "kubectl" => self.plane.kubectl(&args).await.unwrap(),
                other => panic!("{heading}: nobody knows {other}"),
            };
            assert!(output.status.success(), "{line}: {}", output.stderr);
            let warned = output.stderr.lines().any(|line| line.to_lowercase().starts_with("warning"));
            assert!(!warned, "{line}: {}", output.stderr);
        }
    }

    async fn deployed(&self) -> Value {
        self.get(OWN, "deployment", "changehook").await["spec"]["template"]["spec"]["containers"][0].take()
    }
}

#[tokio::test]
async fn the_documented_helm_commands_install_open_secrets_upgrade_and_remove() {
    let site = Site::new().await;
    site.run_section("With helm").await;
    assert_eq!(site.deployed().await["image"], "REGISTRY/changehook:0.1.0");
    site.run_section("Secrets").await;
    site.get("shop", "rolebinding", "changehook-secrets").await;
    site.run_section("Upgrading").await;
    let left = site.kubectl(&["get", "crds,clusterroles", "--output=name"]).await;
    assert!(!left.contains("changehook"), "{left}");
}

#[tokio::test]
async fn the_documented_kubectl_commands_install_and_change_nothing_the_second_time() {
    let site = Site::new().await;
    site.run_section("With kubectl").await;
    assert_eq!(site.deployed().await["image"], "REGISTRY/changehook:0.1.0");
    site.run_section("With kustomize").await;
    assert_eq!(site.deployed().await["image"], "changehook/changehook:0.1.0");
}

#[tokio::test]
async fn the_documented_commands_for_some_namespaces_grant_roles_there() {
    let site = Site::with_crds().await;
    for namespace in ["billing", OWN] {
        site.kubectl(&["create", "namespace", namespace]).await;
    }
    site.run_section("Some namespaces only").await;
    for (namespace, role) in
        [("shop", "changehook-operator"), ("billing", "changehook-operator"), ("shop", "changehook-secret-reader")]
    {
        site.get(namespace, "role", role).await;
    }
}

#[test]
fn the_readme_and_the_charts_show_commands_that_the_guide_has() {
    let guide = read("docs/install.md");
    for file in ["README.md", "charts/changehook/README.md"] {
        let text = read(file);
        let installs: Vec<&str> =
            text.lines().filter(|line| line.starts_with("helm ") || line.contains("rolebinding")).collect();
        assert!(installs.len() >= 2, "{file}");
        for line in installs {
            assert!(guide.lines().any(|known| known == line), "{file}: {line}");
        }
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
