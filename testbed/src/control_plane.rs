//! etcd and kube-apiserver on loopback: a real API server with RBAC, and no other controllers.
//!
//! No controller creates ServiceAccounts, collects garbage or schedules; a namespace that is deleted stays in Terminating.
//! Both programs are children ([`crate::process`]); their data is in a [`Scratch`] folder, without fsync. May be used
//! from several async runtimes (each test has its own): clients are made anew for each caller.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use rustls::pki_types::CertificateDer;
use tokio::{net::TcpStream, sync::OnceCell};

use crate::{
    audit::{self, AuditEntry},
    error::{Context, Error, Result},
    eventually, http1, kubeconfig,
    pki::{Pki, random_token},
    process::{self, Child, Output, Signal},
    scratch::Scratch,
    tools::Tools,
};

/// How long a program may take to get ready; 3 s when idle, far more when a test run uses all cores.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Beside the admin, plain users without any rights, for RBAC tests.
const USERS: [&str; 2] = ["alice", "bob"];

/// A running control plane. Ends, with its data, on drop and with the process.
#[derive(Debug)]
pub struct ControlPlane {
    tools: Tools,
    port: u16,
    etcd_port: u16,
    pki: Pki,
    admin_token: String,
    user_tokens: Vec<(&'static str, String)>,
    kubeconfig: PathBuf,
    files: AtomicU64,
    api_server: Mutex<Option<Child>>,
    etcd: Mutex<Option<Child>>,
    // last: the folder goes after the children
    scratch: Scratch,
}

impl ControlPlane {
    /// Starts one and waits until it is ready. Finds or builds the programs first ([`Tools::locate`]).
    pub async fn start() -> Result<Self> {
        crate::init();
        let tools = tokio::task::spawn_blocking(Tools::locate).await.context("failed to look for the programs")??;
        let mut attempts = 1;
        loop {
            // ports are free when they are picked, and may be taken a moment later: then all starts anew
            let started = Self::start_on(tools.clone(), free_port()?, free_port()?).await;
            match started {
                Err(error) if attempts < 5 && error.to_string().contains("address already in use") => attempts += 1,
                result => return result,
            }
        }
    }

    /// The one control plane of this process, for tests that keep to a namespace of their own ([`Self::namespace`]).
    ///
    /// # Panics
    /// If it cannot be started: every test that asks for it fails with the same reason.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
        let started = SHARED.get_or_init(|| async { Self::start().await.map_err(|error| format!("{error:?}")) }).await;
        match started {
            Ok(control_plane) => control_plane,
            Err(reason) => panic!("failed to start the shared control plane: {reason}"),
        }
    }

    async fn start_on(tools: Tools, port: u16, etcd_port: u16) -> Result<Self> {
        let scratch = Scratch::new()?;
        let pki = Pki::new()?;
        scratch.write("server.crt", format!("{}{}", pki.server_cert_pem, pki.ca_pem))?;
        scratch.write("server.key", &pki.server_key_pem)?;
        scratch.write("service-account.key", &pki.service_account_key_pem)?;
        scratch.write("service-account.pub", &pki.service_account_public_pem)?;
        scratch.write("audit-policy.yaml", audit::POLICY)?;
        let admin_token = random_token()?;
        let mut user_tokens = Vec::new();
        let mut token_file = format!("{admin_token},admin,admin,system:masters\n");
        for user in USERS {
            let token = random_token()?;
            token_file.extend([&token, ",", user, ",", user, "\n"]);
            user_tokens.push((user, token));
        }
        scratch.write("tokens.csv", token_file)?;
        let url = format!("https://127.0.0.1:{port}");
        let admin = kubeconfig::render(&url, Some(&pki.ca_pem), &admin_token);
        let kubeconfig = scratch.write("admin.kubeconfig", admin)?;
        let control_plane = Self {
            tools,
            port,
            etcd_port,
            pki,
            admin_token,
            user_tokens,
            kubeconfig,
            files: AtomicU64::new(0),
            api_server: Mutex::new(None),
            etcd: Mutex::new(None),
            scratch,
        };
        control_plane.start_etcd().await?;
        control_plane.start_api_server().await?;
        Ok(control_plane)
    }

    /// `https://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    pub(crate) fn ca(&self) -> CertificateDer<'static> {
        self.pki.ca_der.clone()
    }

    /// A client with all rights, bound to the caller's runtime. It does not retry: an answer is what the server said.
    pub async fn client(&self) -> Result<Client> {
        self.client_for_token(&self.admin_token).await
    }

    /// The same for another user.
    pub async fn client_for_token(&self, token: &str) -> Result<Client> {
        self.client_of(&self.url(), token).await
    }

    /// The same for another API server with the same keys.
    pub(crate) async fn client_of(&self, url: &str, token: &str) -> Result<Client> {
        let text = kubeconfig::render(url, Some(&self.pki.ca_pem), token);
        let parsed = Kubeconfig::from_yaml(&text).context("failed to read a kubeconfig")?;
        let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
            .await
            .context("failed to use a kubeconfig")?;
        config.default_retry = false;
        Client::try_from(config).context("failed to build a client")
    }

    /// The admin's kubeconfig; gone with the control plane.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig for a token; with `server_override`, one that goes through a proxy (a plain `http` one gets no CA).
    pub fn kubeconfig_for_token(&self, token: &str, server_override: Option<&str>) -> Result<PathBuf> {
        let server = server_override.map_or_else(|| self.url(), str::to_owned);
        let ca = server.starts_with("https:").then_some(self.pki.ca_pem.as_str());
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.scratch.write(&format!("user-{number}.kubeconfig"), kubeconfig::render(&server, ca, token))
    }

    /// The admin's token, for requests by hand.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The token of a plain user without rights: `alice` or `bob`.
    pub fn user_token(&self, user: &str) -> Option<&str> {
        self.user_tokens.iter().find(|(name, _)| *name == user).map(|(_, token)| token.as_str())
    }

    /// A token of a ServiceAccount, which must exist, by TokenRequest.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(86_400), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let what = format!("failed to get a token of ServiceAccount {namespace}/{name}");
        let answer =
            accounts.create_token_request(name, &PostParams::default(), &request).await.context(what.clone())?;
        answer.status.and_then(|status| status.token).ok_or_else(|| Error::new(what))
    }

    /// Creates a namespace with a name that is used once, and what a tenant has in it ([`Self::tenant`]).
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let namespaces: Api<Namespace> = Api::all(self.client().await?);
        let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let created =
            namespaces.create(&PostParams::default(), &namespace).await.context("failed to create a namespace")?;
        let name = created.metadata.name;
        let name = name.ok_or_else(|| Error::new("failed to create a namespace: the server gave it no name"))?;
        self.tenant(&name).await?;
        Ok(name)
    }

    /// The program kubectl.
    pub fn kubectl_program(&self) -> &Path {
        &self.tools.kubectl
    }

    /// Runs kubectl as admin.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.kubectl_as(&self.kubeconfig, args, "").await
    }

    /// Runs kubectl as admin and gives its standard output; an error if it fails.
    pub async fn kubectl_ok(&self, args: &[&str]) -> Result<String> {
        Self::only_success(args, self.kubectl(args).await?)
    }

    /// `kubectl apply -f -`, as admin; gives its whole output, warnings included.
    pub async fn kubectl_apply(&self, yaml: &str) -> Result<Output> {
        self.kubectl_as(&self.kubeconfig, &["apply", "-f", "-"], yaml).await
    }

    /// Runs kubectl with any kubeconfig and standard input. Its cache is in the control plane's own folder.
    pub async fn kubectl_as(&self, kubeconfig: &Path, args: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new(&self.tools.kubectl);
        command
            .env("HOME", self.scratch.path())
            .env("KUBECACHEDIR", self.scratch.path().join("kubectl-cache"))
            .env("KUBECONFIG", kubeconfig)
            .args(args);
        process::run(command, input.as_bytes().to_vec()).await
    }

    fn only_success(args: &[&str], output: Output) -> Result<String> {
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Error::new(format!("failed to kubectl {}: {}", args.join(" "), output.stderr.trim())))
    }

    /// What the API server has been asked so far, by all users.
    pub fn audit_log(&self) -> Result<Vec<AuditEntry>> {
        let log = std::fs::read(self.scratch.path().join("audit.log")).context("failed to read the audit log")?;
        audit::parse(&String::from_utf8_lossy(&log))
    }

    /// Kills the API server; connections break, new ones are refused.
    pub async fn stop_api_server(&self) -> Result<()> {
        stop(&self.api_server).await
    }

    /// Kills the API server and starts it again on the same port and data.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.stop_api_server().await?;
        self.start_api_server().await
    }

    /// Kills etcd; the API server stays up and answers with errors.
    pub async fn stop_etcd(&self) -> Result<()> {
        stop(&self.etcd).await
    }

    /// Starts etcd on its port and data.
    pub async fn start_etcd(&self) -> Result<()> {
        let url = format!("http://{}", loopback(self.etcd_port));
        let mut command = Command::new(&self.tools.etcd);
        command
            .arg("--data-dir")
            .arg(self.storage())
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            // there are no peers; port 0 is any free one
            .args(["--listen-peer-urls", "http://127.0.0.1:0"])
            .args(["--unsafe-no-fsync", "--log-level", "warn"]);
        let child = Child::spawn("etcd", command, &self.scratch.path().join("etcd.log"))?;
        ready(&child, || async {
            let (status, body) = http1::get(loopback(self.etcd_port), "/health").await?;
            if status.is_success() { Ok(()) } else { Err(Error::new(format!("etcd is not healthy: {body}"))) }
        })
        .await?;
        *self.etcd.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(())
    }

    /// Starts the API server on its port, with etcd's data.
    pub async fn start_api_server(&self) -> Result<()> {
        let child = self.run_api_server("kube-apiserver", self.port, self.etcd_address()).await?;
        *self.api_server.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(())
    }

    /// Where etcd's data is.
    pub(crate) fn storage(&self) -> PathBuf {
        self.scratch.path().join("etcd")
    }

    /// Where etcd listens.
    pub(crate) fn etcd_address(&self) -> SocketAddr {
        loopback(self.etcd_port)
    }

    /// An API server of this name, ready.
    pub(crate) async fn run_api_server(&self, name: &str, port: u16, etcd: SocketAddr) -> Result<Child> {
        let dir = self.scratch.path();
        let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
        // the first one's log is the one that is looked at
        let audit_log = if port == self.port { "audit.log".to_owned() } else { format!("{name}-audit.log") };
        let mut command = Command::new(&self.tools.kube_apiserver);
        // Services' addresses are this machine's, so that a receiver can listen where a Service is: no kube-proxy runs
        command
            .arg(format!("--etcd-servers=http://{etcd}"))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .arg(format!("--secure-port={port}"))
            .args([file("cert-dir", "certs"), file("tls-cert-file", "server.crt")])
            .arg(file("tls-private-key-file", "server.key"))
            .args([
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=127.0.96.0/20,fd96:9696::/112",
            ])
            .arg(file("service-account-signing-key-file", "service-account.key"))
            .arg(file("service-account-key-file", "service-account.pub"))
            .args(["--authorization-mode=RBAC", &file("token-auth-file", "tokens.csv")])
            // without controllers no ServiceAccount "default" would ever exist, so Pods could not be created
            .arg("--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,Priority,RuntimeClass")
            .args(["--endpoint-reconciler-type=none", "--enable-priority-and-fairness=false", "--profiling=false"])
            .args(["--event-ttl=10m", "--allow-privileged=true", "--shutdown-delay-duration=0s"])
            .args([file("audit-policy-file", "audit-policy.yaml"), file("audit-log-path", &audit_log)])
            .args(["--audit-log-mode=blocking", "--audit-log-maxsize=0"]);
        let child = Child::spawn(name, command, &dir.join(format!("{name}.log")))?;
        // a client would only be a slow way to see that nobody listens yet
        ready(&child, || async { TcpStream::connect(loopback(port)).await.context("nobody listens") }).await?;
        let client = self.client_of(&format!("https://{}", loopback(port)), &self.admin_token).await?;
        ready(&child, || async {
            let request = http::Request::get("/readyz").body(Vec::new()).context("failed to build a request")?;
            client.request_text(request).await.context("the API server is not ready")?;
            // created after /readyz turns good; tests and kubectl use it
            Api::<Namespace>::all(client.clone()).get("default").await.context("no namespace default yet")
        })
        .await?;
        Ok(child)
    }

    /// The process ids of API server and etcd, as far as they run.
    pub fn pids(&self) -> Vec<u32> {
        let pid = |child: &Mutex<Option<Child>>| {
            child.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Child::pid)
        };
        [&self.api_server, &self.etcd].into_iter().filter_map(pid).collect()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let children = [&mut self.api_server, &mut self.etcd].map(|slot| {
            let child = slot.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            child.inspect(|child| child.signal(Signal::Kill))
        });
        // gone before their folder is removed, else they would write into it meanwhile
        for child in children.into_iter().flatten() {
            let _ = child.wait_blocking(Duration::from_secs(10));
        }
    }
}

/// Waits until the probe succeeds; a child that ends before that is an error at once, with its log's tail.
async fn ready<T, F: Future<Output = Result<T>>>(child: &Child, mut probe: impl FnMut() -> F) -> Result<()> {
    let ended = async {
        // bounded by the other branch, so no deadline of its own
        let _ = child.wait(READY_WITHIN * 2).await;
        child.error("ended before it was ready")
    };
    tokio::select! {
        error = ended => Err(error),
        result = eventually(READY_WITHIN, &mut probe) => match result {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::caused(child.error("did not get ready").to_string(), error)),
        },
    }
}

async fn stop(slot: &Mutex<Option<Child>>) -> Result<()> {
    let child = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(child) = child {
        child.kill().await?;
    }
    Ok(())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(loopback(0)).context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to find a free port")?.port())
}
