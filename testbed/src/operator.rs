//! The operator as a child process, under a real ServiceAccount token with the chart's RBAC: never as cluster admin.
//!
//! Takes the program's path (a test of the root package has it from Cargo) and knows of it only the command line and
//! the log line `admin server listening` with the field `address`. One operator watches all namespaces, so two with
//! namespaces of their own both deliver; two in one namespace are replicas of each other.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    ControlPlane,
    error::{Context, Error, Result},
    eventually, helm, http1, manifests, marks,
    process::{self, Child, Signal},
    scratch::Scratch,
    usage,
};

/// Its namespace, unless a test gives it another.
pub const NAMESPACE: &str = "changehook-system";

/// How it is configured unless a test says otherwise, beside its kubeconfig, its namespace and its reach.
const SETTINGS: [(&str, &str); 2] = [("admin-address", "127.0.0.1:0"), ("log-format", "text")];

/// Its ServiceAccount, in its namespace.
pub const SERVICE_ACCOUNT: &str = "changehook";

/// How the operator is started.
#[derive(Clone, Debug)]
pub struct OperatorOptions<'a> {
    /// The program `changehook`.
    pub binary: PathBuf,
    /// Whose API server it works with. The CRDs are applied by the test ([`ControlPlane::apply_crds`]).
    pub control_plane: &'a ControlPlane,
    /// Another way there, such as [`crate::FaultProxy::url`].
    pub server_override: Option<String>,
    /// Its own namespace, created if need be.
    pub namespace: String,
    /// Settings by the names of their flags without dashes.
    pub settings: BTreeMap<&'static str, String>,
    /// The settings go by their environment names, none by a flag; `reach` and `args` stay what they are.
    pub by_environment: bool,
    /// Where it may send: loopback and plain http, unless a test says otherwise.
    pub reach: Vec<String>,
    /// More arguments, after the usual ones.
    pub args: Vec<String>,
    /// Its environment, beside PATH; nothing else is passed on from the test's.
    pub env: Vec<(String, String)>,
    /// How long it may take until /readyz answers 200.
    pub ready_within: Duration,
}

impl<'a> OperatorOptions<'a> {
    /// The usual ones.
    pub fn new(binary: impl Into<PathBuf>, control_plane: &'a ControlPlane) -> Self {
        Self {
            binary: binary.into(),
            control_plane,
            server_override: None,
            namespace: NAMESPACE.to_owned(),
            settings: SETTINGS.map(|(name, value)| (name, value.to_owned())).into(),
            by_environment: false,
            reach: ["--allow-cidr", "127.0.0.0/8", "--allow-http"].map(str::to_owned).to_vec(),
            args: Vec::new(),
            env: Vec::new(),
            ready_within: Duration::from_secs(30),
        }
    }

    /// Creates namespace, ServiceAccount and RBAC, and gives a kubeconfig with the ServiceAccount's token.
    pub async fn prepare(&self) -> Result<PathBuf> {
        let manifest = rights().await?.replace(NAMESPACE, &self.namespace);
        self.control_plane
            .apply_yaml(&manifest, &self.namespace)
            .await
            .context("failed to set up the operator's rights")?;
        let token = self.control_plane.service_account_token(&self.namespace, SERVICE_ACCOUNT).await?;
        self.control_plane.kubeconfig_for_token(&token, self.server_override.as_deref())
    }

    fn launch(&self, kubeconfig: &Path) -> Launch {
        let own = [("kubeconfig", kubeconfig.display().to_string()), ("namespace", self.namespace.clone())];
        let others = self.settings.iter().map(|(name, value)| (*name, value.clone()));
        let (mut args, mut env) = (vec!["operator".to_owned()], self.env.clone());
        for (name, value) in own.into_iter().chain(others) {
            if self.by_environment {
                env.push((format!("CHANGEHOOK_{}", name.replace('-', "_").to_uppercase()), value));
            } else {
                args.extend([format!("--{name}"), value]);
            }
        }
        args.extend(self.reach.iter().chain(&self.args).cloned());
        Launch { binary: self.binary.clone(), args, env, ready_within: self.ready_within }
    }
}

/// What the chart grants, for the kinds that tests watch; rendered once. All names in it begin with [`NAMESPACE`], but for
/// the ServiceAccount's.
async fn rights() -> Result<&'static str> {
    static RENDERED: OnceCell<String> = OnceCell::const_new();
    let render = || async {
        let values = json!({
            "serviceAccount": {"name": SERVICE_ACCOUNT},
            // because each test has a namespace of its own
            "secrets": {"clusterWide": true},
            // by name; Secrets are not among them
            "watch": {"rules": [
                {"apiGroups": [""], "resources": ["configmaps", "pods", "services", "namespaces", "nodes"]},
                {"apiGroups": ["apps"], "resources": ["deployments"]},
                {"apiGroups": ["mcp.example.com"], "resources": ["mcpservers"]},
                {"apiGroups": ["example.com"], "resources": ["widgets", "gadgets", "sprockets"]},
            ]},
        });
        let rendered = helm::template("changehook", NAMESPACE, NAMESPACE, &values).await?;
        let mut granted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}).to_string();
        for object in manifests::parse(&rendered)? {
            let kind = object.types.as_ref().map_or("", |types| &types.kind);
            if kind == "ServiceAccount" || kind.contains("Role") {
                let text = serde_json::to_string(&object).context("failed to write a manifest")?;
                granted.extend(["\n---\n", &text]);
            }
        }
        Ok(granted)
    };
    RENDERED.get_or_try_init(render).await.map(String::as_str)
}

/// All that is needed to start it once more.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) ready_within: Duration,
}

/// A running operator. Killed on drop, which panics if its log shows what [`marks`] says must stay hidden.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    launch: Launch,
    admin: SocketAddr,
    /// So much of its log was searched by [`Self::search_log`].
    searched: Mutex<usize>,
    // last: the log goes after the child
    _scratch: Scratch,
}

impl Operator {
    /// Starts it and waits until it is ready.
    pub async fn start(options: OperatorOptions<'_>) -> Result<Self> {
        Self::start_unready(options).await?.ready().await
    }

    /// Starts it and waits only until its admin server listens: for tests in which it cannot get ready.
    pub async fn start_unready(options: OperatorOptions<'_>) -> Result<Self> {
        let kubeconfig = options.prepare().await?;
        Self::spawn(options.launch(&kubeconfig)).await
    }

    /// Starts one with the same program, namespace, account, token and settings, and waits until it is ready: the same
    /// one restarted if this one has ended, else a replica.
    pub async fn again(&self) -> Result<Self> {
        self.again_unready().await?.ready().await
    }

    /// The same, but waits only until its admin server listens.
    pub async fn again_unready(&self) -> Result<Self> {
        Self::spawn(self.launch.clone()).await
    }

    pub(crate) async fn ready(self) -> Result<Self> {
        let ready = eventually(self.launch.ready_within, || async {
            if self.child.ended().is_some() {
                return Ok(Err("it ended".to_owned()));
            }
            let (status, body) = self.readyz().await.map_err(|error| format!("{error:?}"))?;
            if status == StatusCode::OK { Ok(Ok(())) } else { Err(format!("/readyz said {status}: {}", body.trim())) }
        })
        .await;
        match ready {
            Ok(Ok(())) => Ok(self),
            Ok(Err(reason)) => Err(self.child.error(&format!("did not get ready: {reason}"))),
            Err(error) => Err(self.child.error(&format!("did not get ready: {error}"))),
        }
    }

    pub(crate) async fn spawn(launch: Launch) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut command = Command::new(&launch.binary);
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "LLVM_PROFILE_FILE"))
            .env("RUST_BACKTRACE", "1")
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .args(&launch.args);
        let child = Child::spawn("changehook operator", command, &scratch.path().join("operator.log"))?;
        let listening = eventually(launch.ready_within, || async {
            // its end is looked at before its log, so that a last line is not missed
            let ended = child.ended().is_some();
            match admin_address(&child.log()) {
                None if ended => Some(None),
                None => None,
                found => Some(found),
            }
        })
        .await;
        match listening {
            Ok(Some(admin)) => Ok(Self { child, launch, admin, searched: Mutex::default(), _scratch: scratch }),
            Ok(None) | Err(_) => Err(child.error("did not say where its admin server listens")),
        }
    }

    /// SIGTERM, then waits for its end.
    pub async fn stop(&self) -> Result<ExitStatus> {
        self.child.signal(Signal::Terminate);
        self.child.wait(Duration::from_mins(1)).await
    }

    /// SIGKILL, then waits until it is gone.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.child.kill().await
    }

    /// SIGSTOP, then waits until it stands still: it holds its connections, and knows of nothing.
    pub async fn pause(&self) -> Result<()> {
        self.child.signal(Signal::Stop);
        let stands_still = || async { process::is_stopped(self.pid()).then_some(()) };
        let still = eventually(Duration::from_secs(10), stands_still).await;
        still.map_err(|error| self.child.error(&format!("did not stand still: {error}")))
    }

    /// SIGCONT: it goes on where [`Self::pause`] stopped it.
    pub fn resume(&self) {
        self.child.signal(Signal::Continue);
    }

    /// Any signal, without waiting.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Waits for its end, which somebody else caused.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus> {
        self.child.wait(within).await
    }

    /// All that it logged so far.
    pub fn log(&self) -> String {
        self.child.log()
    }

    /// Searches what it has logged and printed since the last search for what must stay hidden.
    ///
    /// # Panics
    /// If something is found.
    pub fn search_log(&self) {
        let log = self.log();
        // a line that is still being written is searched next time
        let end = log.rfind('\n').map_or(0, |at| at + 1);
        let mut searched = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
        let new = log.get(std::mem::replace(&mut *searched, end)..end).unwrap_or_default();
        drop(searched);
        marks::assert_none("the operator's log", new);
    }

    /// Where its admin server listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The text of /metrics.
    pub async fn metrics(&self) -> Result<String> {
        match http1::get(self.admin, "/metrics").await? {
            (StatusCode::OK, text) => Ok(text),
            (status, text) => Err(Error::new(format!("failed to get the metrics: {status}: {text}"))),
        }
    }

    /// The value of one metric, its labels written exactly as in the text: `name` or `name{a="b"}`.
    pub async fn metric(&self, series: &str) -> Result<Option<f64>> {
        let text = self.metrics().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.trim().parse().context(format!("failed to read the metric {series}"))).transpose()
    }

    /// Status and body of /readyz.
    pub async fn readyz(&self) -> Result<(StatusCode, String)> {
        self.ask("/readyz").await
    }

    /// Status and body of anything that its admin server has.
    pub async fn ask(&self, path: &str) -> Result<(StatusCode, String)> {
        http1::get(self.admin, path).await
    }

    /// Its resident memory (Linux).
    pub fn rss_kib(&self) -> Result<u64> {
        Ok(usage::of(self.pid())?.rss_kib)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }
}

impl Drop for Operator {
    /// What it said last, perhaps while it panicked, is searched when it is gone.
    fn drop(&mut self) {
        self.child.signal(Signal::Kill);
        if !std::thread::panicking() {
            self.child.wait_blocking(Duration::from_secs(10));
            self.search_log();
        }
    }
}

/// From the line `admin server listening`, in either log format, coloured or not.
fn admin_address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("admin server listening"))?;
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain += before;
        // a colour is ESC [ … m
        rest = after.split_once('m')?.1;
    }
    plain += rest;
    let value = plain.split("address").nth(1)?.trim_start_matches(['=', '"', ':']);
    let end = value.find(|letter: char| !(letter.is_ascii_digit() || letter == '.' || letter == ':'));
    value[..end.unwrap_or(value.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_address_is_found_in_both_log_formats_and_under_colours() {
        let expected = Some("127.0.0.1:41234".parse().unwrap());
        for line in [
            "2026-01-05T10:30:00Z  INFO changehook: admin server listening address=127.0.0.1:41234",
            "INFO \u{1b}[2mchangehook\u{1b}[0m: admin server listening \u{1b}[3maddress\u{1b}[0m\u{1b}[2m=\u{1b}[0m127.0.0.1:41234",
            r#"{"level":"INFO","fields":{"message":"admin server listening","address":"127.0.0.1:41234"},"target":"x"}"#,
        ] {
            assert_eq!(admin_address(&format!("first\n{line}\nlast\n")), expected, "{line}");
        }
        assert_eq!(admin_address("nothing yet"), None);
    }
}
