//! What a reader of the documentation has: a checkout, a shell with kubectl and changehook, a cluster, an endpoint.
//!
//! All of it is real but for three things. The checkout is a copy in which the addresses that nobody can reach from here
//! are replaced by others ([`Stage::rewritten`]). What a node does, [`crate::node`] does. And of the blocks that
//! [`crate::exceptions`] lists none is run.

use std::fs::Permissions;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use testbed::process::{self, Output};
use testbed::scratch::Scratch;
use testbed::{ControlPlane, Receiver, eventually, tools};

use crate::blocks::{self, Block, Shown, What};
use crate::exceptions::is_excepted;
use crate::node::Node;

/// How long what is shown may take to come true.
pub const WITHIN: Duration = Duration::from_mins(1);
/// How long a script may take. A definition is deleted in steps of five seconds, on a machine that is busy in many.
const ENDS_WITHIN: Duration = Duration::from_mins(3);

/// What the checkout's copy has: all that commands in the documentation name.
const COPIED: [&str; 4] = ["charts", "crds", "deploy", "examples"];

/// The namespaces of an empty cluster's people.
const PEOPLE: [&str; 2] = ["billing", "shop"];

/// With the rights that a reader needs who tries one example after the other.
const INSTALLED: &str = "
helm install changehook-crds charts/changehook-crds --namespace changehook-system --create-namespace
helm install changehook charts/changehook --namespace changehook-system --wait --set secrets.clusterWide=true \\
  --set operator.allowHTTP=true --set 'operator.allowCIDRs={127.0.0.0/8}'
";

/// `kubectl logs` would ask a node; everything else is kubectl's own.
const KUBECTL: &str = r#"#!/bin/bash
if [ "${1-}" != logs ]; then exec KUBECTL "$@"; fi
name= count=+1
for word in "$@"; do
    case "$word" in
        deployment/*) name="${word#deployment/}" ;;
        --tail=*) count="${word#--tail=}" ;;
    esac
done
exec tail -n "$count" "LOGS/$name.log"
"#;

/// See the module's head.
pub struct Stage {
    pub receiver: Receiver,
    /// Free ones, of the cluster's receiver and of `kubectl proxy`.
    ports: [u16; 2],
    node: Option<Node>,
    // last: the logs go after what writes them
    home: Scratch,
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Stage {
    /// In the namespace `default` of an empty cluster, where Deployments come up.
    pub async fn set_in_an_empty_cluster() -> Self {
        let plane = Arc::new(ControlPlane::start().await.unwrap());
        let mut stage = Self::set_up(&plane).await;
        let [receiver, _] = stage.ports;
        let ports = [("receiver", receiver), ("changehook", free_port())].map(|(name, port)| (name.to_owned(), port));
        stage.node = Some(Node::start(plane, stage.logs(), ports.into()).await);
        for namespace in PEOPLE {
            stage.succeeds(&format!("kubectl create namespace {namespace}")).await;
        }
        for namespace in ["default"].iter().chain(&PEOPLE) {
            stage.account(namespace).await;
        }
        stage
    }

    /// In a cluster where the charts are installed, as the README tells.
    pub async fn set() -> Self {
        let stage = Self::set_in_an_empty_cluster().await;
        stage.succeeds(INSTALLED).await;
        for namespace in ["default"].iter().chain(&PEOPLE) {
            stage.may_read(namespace).await;
        }
        stage
    }

    async fn set_up(plane: &ControlPlane) -> Self {
        let receiver = Receiver::start().await.unwrap();
        let ports = [free_port(), free_port()];
        let stage = Self { receiver, ports, home: Scratch::new().unwrap(), node: None };
        for folder in COPIED {
            stage.copy(&root().join(folder), &stage.checkout().join(folder));
        }
        let programs = stage.home.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        let helm = tokio::task::spawn_blocking(tools::helm).await.unwrap().unwrap();
        for (name, program) in [
            ("changehook", Path::new(env!("CARGO_BIN_EXE_changehook"))),
            ("kubectl-changehook", Path::new(env!("CARGO_BIN_EXE_kubectl-changehook"))),
            ("helm", &helm),
        ] {
            std::os::unix::fs::symlink(program, programs.join(name)).unwrap();
        }
        let kubectl = KUBECTL.replace("LOGS", &stage.logs().display().to_string());
        let kubectl = kubectl.replace("KUBECTL", &plane.kubectl_program().display().to_string());
        std::fs::write(programs.join("kubectl"), kubectl).unwrap();
        std::fs::set_permissions(programs.join("kubectl"), Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(plane.kubeconfig_path(), stage.home.path().join("kubeconfig")).unwrap();
        stage
    }

    /// What a controller does in every namespace.
    pub async fn account(&self, namespace: &str) {
        self.succeeds(&format!("kubectl create serviceaccount default --namespace {namespace}")).await;
    }

    /// What the people of a namespace do for its subscriptions, as the README tells: their account may read.
    pub async fn may_read(&self, namespace: &str) {
        let account = format!("--clusterrole=cluster-admin --serviceaccount={namespace}:default");
        self.succeeds(&format!("kubectl create rolebinding reads {account} --namespace {namespace}")).await;
    }

    fn checkout(&self) -> PathBuf {
        self.home.path().join("checkout")
    }

    fn logs(&self) -> PathBuf {
        self.home.path().join("logs")
    }

    fn copy(&self, from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
            if path.is_dir() {
                self.copy(&path, &to.join(name));
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = if path.starts_with(root().join("examples")) { self.rewritten(&text) } else { text };
                std::fs::write(to.join(name), text).unwrap();
            }
        }
    }

    /// Endpoints are where this test has them, and `kubectl proxy` where there is room; nothing else is changed.
    pub fn rewritten(&self, text: &str) -> String {
        let url = self.receiver.url("/webhook");
        let [in_cluster, proxy] = self.ports;
        [
            ("https://your-server.example/webhook", url.as_str()),
            ("https://your-server.com/webhook", &url),
            ("https://hooks.example.com/changehook", &url),
            ("http://receiver.default.svc.cluster.local/", &format!("http://127.0.0.1:{in_cluster}/")),
            ("operator.allowCIDRs={10.0.0.0/8}", "operator.allowCIDRs={127.0.0.0/8}"),
            ("--port=8001", &format!("--port={proxy}")),
            ("localhost:8001/", &format!("localhost:{proxy}/")),
        ]
        .iter()
        .fold(text.to_owned(), |text, (shown, here)| text.replace(shown, here))
    }

    /// Runs a script in the checkout, as somebody would in a terminal. No command in the documentation may make the API
    /// server warn.
    pub async fn run(&self, script: &str) -> Output {
        let mut command = Command::new("bash");
        let programs = std::env::var_os("PATH").unwrap_or_default();
        let programs = [self.home.path().join("bin")].into_iter().chain(std::env::split_paths(&programs));
        command
            .current_dir(self.checkout())
            .env_clear()
            .env("PATH", std::env::join_paths(programs).unwrap())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .args(["-euo", "pipefail", "-c", script]);
        assert!(self.node.as_ref().is_none_or(Node::works), "the node has failed: see above");
        let output = process::run_within(command, ENDS_WITHIN).await.unwrap();
        assert!(output.status.code().is_some(), "this takes too long:\n{script}\n{}{}", output.stdout, output.stderr);
        assert!(!output.stderr.contains("Warning:"), "{script}\n{}", output.stderr);
        output
    }

    /// Runs a script that has to end well, and gives what it printed.
    pub async fn succeeds(&self, script: &str) -> String {
        let output = self.run(script).await;
        assert!(output.status.success(), "{script}\n{}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Runs a command until it prints what is shown. One that changes something is run once.
    async fn shows(&self, shown: &Shown) {
        let command = self.rewritten(&shown.command);
        let reads = ["get", "describe", "logs", "changehook status"];
        let reads = reads.iter().any(|verb| command.starts_with(&format!("kubectl {verb} ")));
        if !reads {
            let output = self.succeeds(&command).await;
            blocks::is_as_shown(&shown.output, &output).unwrap_or_else(|error| panic!("{command}: {error}"));
            return;
        }
        let look = async || blocks::is_as_shown(&shown.output, &self.succeeds(&command).await);
        eventually(WITHIN, look).await.unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    /// Does what a block says.
    async fn does(&mut self, block: &Block) {
        match &block.what {
            What::Manifest(text) => {
                self.file("block.yaml", text);
                self.succeeds("kubectl apply -f block.yaml").await;
            }
            What::Fragment(text) => {
                self.file("block.yaml", text);
                self.succeeds("kubectl patch whsub my-integration --type merge --patch-file block.yaml").await;
            }
            What::Values(text) => {
                self.file("block.yaml", text);
                let upgrade = "helm upgrade changehook charts/changehook --namespace changehook-system --reuse-values";
                self.succeeds(&format!("{upgrade} --values block.yaml")).await;
            }
            What::Script(text) => {
                self.succeeds(&self.rewritten(text)).await;
            }
            What::Instead => {
                self.succeeds("kubectl delete whsub,secret --all").await;
            }
            What::EmptyCluster => *self = Self::set_in_an_empty_cluster().await,
            What::Session(all) => {
                for shown in all {
                    self.shows(shown).await;
                }
            }
        }
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.checkout().join(name), self.rewritten(text)).unwrap();
    }

    /// Runs a page's blocks in order, as one story, but for those that are excepted.
    pub async fn plays(&mut self, page: &str) {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for block in blocks::of(&text).iter().filter(|block| !is_excepted(page, block)) {
            eprintln!("{page}:{}", block.line);
            self.does(block).await;
        }
    }
}
