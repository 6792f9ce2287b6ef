//! The programs that the test bed does not have from Cargo, each built once with Go from a module in `testbed/tools/`
//! if it is nowhere else: the control plane (etcd, kube-apiserver, kubectl), helm, and the judge of GitOps health.
//!
//! A module is a folder there with a go.mod, and a line here. Blocks: call it from a blocking task.

use std::path::PathBuf;

use crate::error::{Error, Result};

mod build;

use build::{Module, Search};

const CONTROL_PLANE: Module = Module {
    name: "control-plane",
    files: &[
        ("go.mod", include_str!("../tools/control-plane/go.mod")),
        ("go.sum", include_str!("../tools/control-plane/go.sum")),
    ],
    // quickest first
    programs: &[
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ],
    on_path: true,
    ways_out: "install Go 1.26 or newer, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl, or \
               put these three on PATH",
};

/// Not looked up on PATH: the helm there is often of another major version.
const HELM: Module = Module {
    name: "helm",
    files: &[("go.mod", include_str!("../tools/helm/go.mod")), ("go.sum", include_str!("../tools/helm/go.sum"))],
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    on_path: false,
    ways_out: "install Go 1.26 or newer, or put helm 4 into the folder that KUBEBUILDER_ASSETS names",
};

const GITOPS: Module = Module {
    name: "gitops",
    files: &[
        ("go.mod", include_str!("../tools/gitops/go.mod")),
        ("go.sum", include_str!("../tools/gitops/go.sum")),
        ("main.go", include_str!("../tools/gitops/main.go")),
    ],
    programs: &[("judge", ".")],
    on_path: false,
    ways_out: "install Go 1.26 or newer",
};

/// Where the control plane's programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// etcd 3.6 or newer (older ones serve no streaming lists).
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
}

impl Tools {
    /// Finds the programs or builds them; the first build takes about ten minutes on two cores and says so on stderr.
    pub fn locate() -> Result<Self> {
        let mut found = Search::of_this_process().locate(&CONTROL_PLANE)?;
        let mut take = |program| found.remove(program).ok_or_else(|| not_in_its_module(program));
        Ok(Self { etcd: take("etcd")?, kube_apiserver: take("kube-apiserver")?, kubectl: take("kubectl")? })
    }
}

/// Finds helm or builds it; the first build takes about four minutes on two cores and says so on stderr.
pub fn helm() -> Result<PathBuf> {
    only(&HELM)
}

/// Builds the judge of GitOps health; takes about a minute on two cores, once, and says so on stderr.
pub fn judge() -> Result<PathBuf> {
    only(&GITOPS)
}

/// Of a module with one program.
fn only(module: &Module) -> Result<PathBuf> {
    let mut found = Search::of_this_process().locate(module)?;
    found.pop_first().map(|(_, path)| path).ok_or_else(|| not_in_its_module(module.name))
}

fn not_in_its_module(program: &str) -> Error {
    Error::new(format!("failed to find {program}; this is a fault here"))
}
