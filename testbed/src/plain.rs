//! What is committed and comes from the charts: the CRDs in their chart, `deploy/install.yaml`, `deploy/kustomize/`.
//!
//! `cargo manifests` writes these files; a test fails while they are stale. Reads `crds/` and runs helm.

use serde_json::json;

use crate::{
    error::{Context, Result},
    helm,
    operator::NAMESPACE,
    program::checkout,
};

/// The release that plain manifests pretend to be.
pub const RELEASE: &str = "changehook";

const HEAD: &str = "# Made from charts/ by `cargo manifests`; change these instead.\n";

/// The CRDs in the chart, byte for byte: path from the checkout, and text.
pub fn chart_crds() -> Result<Vec<(String, String)>> {
    let folder = checkout().join("crds");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).context(format!("failed to read {}", folder.display()))? {
        let path = entry.context(format!("failed to read {}", folder.display()))?.path();
        let text = std::fs::read_to_string(&path).context(format!("failed to read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.push((format!("charts/changehook-crds/files/{name}"), text));
    }
    files.sort();
    Ok(files)
}

/// The plain manifests, from the charts as they are: path from the checkout, and text.
pub async fn manifests() -> Result<Vec<(String, String)>> {
    let nothing = json!({});
    let crds = rendered(&helm::template("changehook-crds", "changehook-crds", NAMESPACE, &nothing).await?);
    let operator = rendered(&helm::template("changehook", RELEASE, NAMESPACE, &nothing).await?);
    let namespace = format!(
        "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n"
    );
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  \
                         - namespace.yaml\n  - crds.yaml\n  - operator.yaml\n";
    Ok([
        ("install.yaml", [&namespace, crds.as_str(), &operator].concat()),
        ("kustomize/crds.yaml", crds),
        ("kustomize/kustomization.yaml", kustomization.to_owned()),
        ("kustomize/namespace.yaml", namespace),
        ("kustomize/operator.yaml", operator),
    ]
    .map(|(name, text)| (format!("deploy/{name}"), [HEAD, &text].concat()))
    .into())
}

/// Without the names of templates, which say nothing where there is no chart, and the blank lines around them.
fn rendered(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("# Source: ") && !line.trim().is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}
