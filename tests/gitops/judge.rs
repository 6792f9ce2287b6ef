//! Asks the judge of the test bed what the tools of GitOps think of objects, with the scripts and expressions of the examples.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};
use testbed::process;

use crate::world::root;

/// What Argo CD shows, or kstatus.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Health {
    pub status: String,
    pub message: String,
}

/// What all of them think of one object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Kubernetes' own library.
    pub kstatus: Health,
    /// Its fork, which Flux and Helm 4 have.
    pub flux_kstatus: Health,
    /// What Flux's linter of conditions objects to.
    pub flux_fails: Vec<String>,
    /// What it would have otherwise.
    pub flux_warns: Vec<String>,
    /// Argo CD's by the example's health script.
    #[serde(rename = "scripts")]
    argo: BTreeMap<String, Health>,
    #[serde(rename = "expressions")]
    flux: BTreeMap<String, String>,
    actions: BTreeMap<String, Value>,
}

impl Verdict {
    /// In Argo CD.
    pub fn argo(&self) -> &Health {
        &self.argo["plain"]
    }

    /// In Argo CD with the strict script.
    pub fn argo_strict(&self) -> &Health {
        &self.argo["strict"]
    }

    /// In Flux with the strict expressions.
    pub fn flux_strict(&self) -> &str {
        &self.flux["strict"]
    }

    /// What an Argo CD action makes of the object.
    pub fn action(&self, name: &str) -> &Value {
        &self.actions[name]
    }
}

/// The example's folder.
pub fn folder() -> PathBuf {
    root().join("examples/gitops")
}

/// A file of the example's folder.
pub fn read(path: &str) -> String {
    let path = folder().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is laid out as Argo CD's own repository has it.
pub const CUSTOMIZATION: &str = "argocd/resource_customizations/changehook.dev/WebhookSubscription";

/// The verdicts, in the order of the objects.
pub async fn judge(objects: &[&Value]) -> Vec<Verdict> {
    let strict: Value = serde_saphyr::from_str(&read("flux/strict.yaml")).expect("it is YAML");
    let mut expressions = strict["spec"]["healthCheckExprs"][0].clone();
    let of = expressions.as_object_mut().expect("it is a map");
    of.remove("apiVersion");
    of.remove("kind");
    ask(&json!({
        "objects": objects,
        "scripts": {
            "plain": read(&format!("{CUSTOMIZATION}/health.lua")),
            "strict": read("argocd/strict/health.lua"),
        },
        "actions": {
            "discovery": read(&format!("{CUSTOMIZATION}/actions/discovery.lua")),
            "resync": read(&format!("{CUSTOMIZATION}/actions/resync/action.lua")),
        },
        "expressions": {"strict": expressions},
    }))
    .await
    .expect("the judge judges")
}

/// Any question, answered, or why it is not.
pub async fn ask(question: &Value) -> Result<Vec<Verdict>, String> {
    let program = tokio::task::spawn_blocking(testbed::tools::judge).await.expect("it does not panic");
    let program = program.expect("the judge is built");
    let output = process::run(Command::new(program), question.to_string().into_bytes()).await.expect("the judge runs");
    if !output.status.success() {
        return Err(output.stderr);
    }
    Ok(serde_json::from_str(&output.stdout).expect("the judge answers in JSON"))
}
