//! What delivery's tests share: raw servers on real sockets that can misbehave at will, and a courier that reaches them.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use changehook_core::address::{AddressPolicy, Policies};
use changehook_core::event::{Event, Identity, Subject};
use changehook_core::object::Gvk;
use changehook_core::object::ObservedBy;
use changehook_core::plan::{Change, SubscriptionId};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::client;
use super::endpoint::{Endpoint, Method, Target};
use super::resolver::Lookup;

/// `main` does this in the operator.
pub(crate) fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("nobody else installs one in this process");
    });
}

/// One request as a server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The only value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..]);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} came twice");
        value
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

#[derive(Debug, Default)]
struct Log {
    connections: usize,
    requests: Vec<Received>,
}

/// One connection, in the hands of a server's script.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    log: Arc<Mutex<Log>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Reads one request to its end; `None` when the client hung up instead.
    pub(crate) async fn request(&mut self) -> Option<Received> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|l| l.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut received = Received { line, headers, body: Vec::new() };
        let length = received.header("content-length").map_or(0, |length| length.parse().unwrap());
        received.body.resize(length, 0);
        self.stream.read_exact(&mut received.body).await.ok()?;
        self.log.lock().unwrap().requests.push(received.clone());
        Some(received)
    }

    /// Writes and flushes; an error means that the client has gone.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Waits until the client hangs up.
    pub(crate) async fn hang(&mut self) {
        let mut sink = [0; 1024];
        while self.stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    }

    /// Takes the stream out, to put another on it.
    pub(crate) fn split(self) -> (S, Peer<()>) {
        (self.stream, Peer { stream: (), log: self.log })
    }
}

impl Peer<()> {
    /// The same connection through another stream.
    pub(crate) fn on<T>(self, stream: T) -> Peer<T> {
        Peer { stream, log: self.log }
    }
}

/// A server on a loopback port whose script gets every connection.
pub(crate) struct RawServer {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    accepting: JoinHandle<()>,
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl RawServer {
    /// Speaks TLS, and answers 204 to whoever gets that far.
    pub(crate) async fn tls(config: Arc<rustls::ServerConfig>) -> Self {
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
        Self::start(move |peer| {
            let acceptor = acceptor.clone();
            async move {
                let (stream, peer) = peer.split();
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut peer = peer.on(stream);
                while peer.request().await.is_some() {
                    let _gone = peer.send("HTTP/1.1 204 X\r\n\r\n").await;
                }
            }
        })
        .await
    }

    pub(crate) async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(Peer) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let seen = log.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.lock().unwrap().connections += 1;
                tokio::spawn(script(Peer { stream, log: seen.clone() }));
            }
        });
        Self { address, log, accepting }
    }

    /// Answers every request on every connection with the same bytes.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut peer| {
            let answer = answer.clone();
            async move {
                while peer.request().await.is_some() {
                    if peer.send(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Answers every request with a status and an empty body.
    pub(crate) async fn status(status: u16) -> Self {
        Self::answering(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.log.lock().unwrap().requests.clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The server under a name, for tests in which the resolver has a part.
    pub(crate) fn named(&self, host: &str) -> String {
        format!("http://{host}:{}/hook", self.address.port())
    }
}

/// Set in a child process only.
const CHILD: &str = "CHANGEHOOK_TEST_CHILD";

/// What the parent told this process, if it is a child of [`run_child`].
pub(crate) fn child() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs one test of this binary in a process of its own, for what is process-wide: environment variables, the log.
/// `test` is its path, with the crate's name.
pub(crate) async fn run_child(test: &str, told: &str, variables: Vec<(&'static str, String)>) {
    let (_crate, test) = test.split_once("::").unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, told).envs(variables);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come about within 10 s");
        tokio::task::yield_now().await;
    }
}

/// Loopback, which is where the test servers are, and plain HTTP.
/// The policy for all namespaces alike.
pub(crate) fn everybodys(policy: &AddressPolicy) -> Arc<Policies> {
    Arc::new(Policies::from(policy.clone()))
}

pub(crate) fn loopback() -> Arc<AddressPolicy> {
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    Arc::new(AddressPolicy { allow, allow_http: true, ..AddressPolicy::default() })
}

/// Answers look-ups one after the other from a script, the last one for ever; counts them.
#[derive(Clone, Default)]
pub(crate) struct ScriptedLookup {
    answers: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ScriptedLookup {
    pub(crate) fn new(host: &str, answers: &[&[&str]]) -> Self {
        let lookup = Self::default();
        lookup.add(host, answers);
        lookup
    }

    pub(crate) fn add(&self, host: &str, answers: &[&[&str]]) {
        let answers = answers.iter().map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        self.answers.lock().unwrap().insert(host.to_owned(), answers);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Lookup for ScriptedLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(host.clone());
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.get_mut(&host) {
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        async move { answer }.boxed()
    }
}

/// A client that looks names up in `lookup` and may go to loopback.
pub(crate) fn http_client(policy: Arc<AddressPolicy>, lookup: impl Lookup) -> reqwest::Client {
    install_tls_provider();
    client::build_with(policy, Arc::new(lookup), Duration::from_secs(10)).unwrap()
}

/// A kube client without retries for an API server at `address`.
pub(crate) fn kube_client(address: SocketAddr) -> kube::Client {
    install_tls_provider();
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

/// A plain, unsigned endpoint.
pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        target: Target::Url(url.parse().unwrap()),
        tls: None,
        tls_content: None,
        method: Method::Post,
        headers: Vec::new(),
        timeout: Duration::from_secs(10),
        signing: None,
        namespace: "shop".into(),
        max_bytes: 262_144,
        retry_status_codes: Vec::new(),
    }
}

/// The removal of `shop/api`.
pub(crate) fn event() -> Event {
    let gvk = Arc::new(Gvk::new("apps/v1", "Deployment"));
    Event {
        subscription: SubscriptionId { uid: "2f1b3c9e-7a44-4a0e-9a43-2a0c1c0c8f11".into() },
        sequence: 3_731_590_134_923_271,
        change: Change::Removed,
        subject: Subject::Absent(Identity {
            gvk,
            uid: "7d6d2c1e-93ab-4f2b-8d54-8f6f1a5a1b22".into(),
            namespace: Some("shop".into()),
            name: "api".into(),
            rv: 41,
        }),
        previous_version: None,
        observed_by: ObservedBy::Watch,
        detected_at: 1_767_609_000_000,
        declared_at: 1_767_609_000_100,
    }
}

/// An API server that knows Secrets, and counts the requests for them.
#[derive(Clone)]
pub(crate) struct SecretApi {
    answers: Arc<Mutex<HashMap<String, String>>>,
    server: Arc<RawServer>,
}

impl SecretApi {
    pub(crate) async fn start() -> Self {
        let answers: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let known = answers.clone();
        let server = RawServer::start(move |mut peer| {
            let known = known.clone();
            async move {
                while let Some(request) = peer.request().await {
                    let answer = known.lock().unwrap().get(request.path()).cloned();
                    let answer = answer.unwrap_or_else(|| Self::http(404, r#"{"kind":"Status","code":404}"#));
                    if answer == "hang" {
                        return peer.hang().await;
                    }
                    if peer.send(answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        Self { answers, server: Arc::new(server) }
    }

    fn http(status: u16, body: &str) -> String {
        format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    /// What a GET of `shop/name` answers from now on.
    pub(crate) fn answer(&self, name: &str, status: u16, body: &str) {
        let path = format!("/api/v1/namespaces/shop/secrets/{name}");
        self.answers.lock().unwrap().insert(path, Self::http(status, body));
    }

    /// Like [`Self::answer`], but never.
    pub(crate) fn hang(&self, name: &str) {
        let path = format!("/api/v1/namespaces/shop/secrets/{name}");
        self.answers.lock().unwrap().insert(path, "hang".into());
    }

    /// Creates or replaces `shop/name`.
    pub(crate) fn put(&self, name: &str, data: &[(&str, &[u8])]) {
        let data: HashMap<_, _> =
            data.iter().map(|(key, value)| (*key, k8s_openapi::ByteString(value.to_vec()))).collect();
        let body = serde_json::json!({"kind": "Secret", "metadata": {"name": name}, "data": data});
        self.answer(name, 200, &body.to_string());
    }

    pub(crate) fn reads(&self) -> usize {
        self.server.requests().len()
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.server.requests()
    }

    pub(crate) fn client(&self) -> kube::Client {
        kube_client(self.server.address)
    }
}
