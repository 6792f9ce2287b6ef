//! TLS settings of an endpoint: whom to trust, who one is, and under which name, also while they change.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::world::{SOON, World, condition};

/// What is read is looked at again every 30 s.
const A_LOOK: Duration = Duration::from_secs(90);

const METRIC: &str = "changehook_subscriptions_with_expiring_certificates ";

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// A certificate and its key, in PEM.
fn issued(ca: &Ca, name: &str, days: i64) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    let end = jiff::Timestamp::now().as_second() + days * 86_400;
    let date = jiff::Timestamp::from_second(end).expect("a time").to_zoned(jiff::tz::TimeZone::UTC).date();
    params.not_after =
        rcgen::date_time_ymd(date.year().into(), date.month().cast_unsigned(), date.day().cast_unsigned());
    let certificate = params.signed_by(&key, ca).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn config(ca: &Ca, name: &str, clients: Option<&Ca>) -> Arc<ServerConfig> {
    config_of(issued(ca, name, 90), clients)
}

fn config_of((chain, key): (String, String), clients: Option<&Ca>) -> Arc<ServerConfig> {
    let chain = rustls::pki_types::CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.expect("TLS versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    Arc::new(builder.with_single_cert(vec![chain], key).expect("a certificate"))
}

/// Takes TLS off what it is sent and passes it on to the world's receiver.
struct Terminator {
    address: SocketAddr,
    config: watch::Sender<Arc<ServerConfig>>,
}

impl Terminator {
    async fn start(world: &World, config: Arc<ServerConfig>) -> Self {
        Self::start_at(world, config, Ipv4Addr::LOCALHOST).await
    }

    async fn start_at(world: &World, config: Arc<ServerConfig>, address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (config, present) = watch::channel(config);
        let receiver = world.receiver.address();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut present = present.clone();
                let acceptor = TlsAcceptor::from(present.borrow_and_update().clone());
                tokio::spawn(async move {
                    let (Ok(mut near), Ok(mut far)) =
                        (acceptor.accept(stream).await, TcpStream::connect(receiver).await)
                    else {
                        return;
                    };
                    tokio::select! {
                        _ended = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _switched = present.changed() => {}
                    }
                });
            }
        });
        Self { address, config }
    }

    /// From now on it is another server; what is connected to the former one is cut off.
    fn switch(&self, config: Arc<ServerConfig>) {
        self.config.send_replace(config);
    }

    fn url(&self, name: &str) -> String {
        format!("https://{}/{name}", self.address)
    }
}

async fn authorities(world: &World, pem: &str) {
    world.config_map("authorities", json!({"ca.crt": pem})).await;
}

async fn client(world: &World, (chain, key): (String, String)) {
    let manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "client"},
        "type": "kubernetes.io/tls", "stringData": {"tls.crt": chain, "tls.key": key}});
    world.apply(&manifest.to_string()).await;
}

/// A subscription to the ConfigMap `thing`, with these settings.
async fn subscribe(world: &World, name: &str, url: &str, tls: Value) {
    let resources = json!([{"apiVersion": "v1", "kind": "ConfigMap", "names": ["thing"]}]);
    let endpoint = json!({"url": url, "tls": tls});
    world.secret().await;
    let subscription = world.subscription(name, json!({"resources": resources, "endpoint": endpoint}));
    world.apply(&subscription.to_string()).await;
}

fn trusting() -> Value {
    json!({"caRef": {"kind": "ConfigMap", "name": "authorities"}})
}

async fn fails(world: &World, name: &str, says: &str) {
    let failed = |object: &Value| {
        let error = &object["status"]["endpoint"]["lastError"];
        error["reason"] == "TlsFailed" && error["message"].as_str().is_some_and(|message| message.contains(says))
    };
    world.until(name, &format!("no failure that says {says:?}"), failed).await;
}

async fn waits(world: &World, name: &str, reason: &str, says: &str) {
    let told = |object: &Value| {
        condition(object, "Ready").is_some_and(|ready| {
            ready["reason"] == reason && ready["message"].as_str().is_some_and(|message| message.contains(says))
        })
    };
    let object = world.until(name, &format!("no {reason} that says {says:?}"), told).await;
    assert_eq!(condition(&object, "Reconciling").map(|found| &found["status"]), Some(&json!("True")), "{object:#}");
    assert!(!object["status"].to_string().contains("PRIVATE"), "a key is shown");
}

#[tokio::test]
async fn only_the_authorities_that_are_named_are_trusted_and_new_ones_without_a_restart() {
    let world = World::shared().await;
    let (first, second) = (ca(), ca());
    let terminator = Terminator::start(&world, config(&first, "127.0.0.1", None)).await;
    subscribe(&world, "trust", &terminator.url("trust"), trusting()).await;
    waits(&world, "trust", "ConfigMapNotFound", "spec.endpoint.tls.caRef: ConfigMap").await;
    authorities(&world, "no certificate").await;
    waits(&world, "trust", "CertificateInvalid", "holds no certificates in PEM").await;
    authorities(&world, &first.pem()).await;
    world.until("trust", "not Ready", |object| condition(object, "Ready").is_some_and(|r| r["status"] == "True")).await;
    world.config_map("thing", json!({"a": "1"})).await;
    world.requests("trust", 1).await;
    terminator.switch(config(&second, "127.0.0.1", None));
    authorities(&world, &second.pem()).await;
    // what was read before may be used for a moment, and the connection is kept for as long
    let anew = async || {
        world.config_map("thing", json!({"a": jiff::Timestamp::now().to_string()})).await;
        (world.receiver.requests("/trust").len() >= 4).then_some(())
    };
    testbed::eventually(A_LOOK, anew).await.expect("it is sent on");
    // the first one is not trusted any more
    terminator.switch(config(&first, "127.0.0.1", None));
    world.config_map("thing", json!({"a": "refused"})).await;
    let refused = async || {
        world.config_map("thing", json!({"a": jiff::Timestamp::now().to_string()})).await;
        let error = world.get("trust").await["status"]["endpoint"]["lastError"]["message"].clone();
        (error == "the endpoint's TLS certificate is signed by an unknown authority").then_some(())
    };
    testbed::eventually(A_LOOK, refused).await.expect("it is refused once the old connection is gone");
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused_unless_the_name_is_what_is_wanted() {
    let world = World::shared().await;
    let ca = ca();
    authorities(&world, &ca.pem()).await;
    let terminator = Terminator::start(&world, config(&ca, "hooks.example", None)).await;
    subscribe(&world, "other-name", &terminator.url("other-name"), trusting()).await;
    let named = json!({"caRef": {"kind": "ConfigMap", "name": "authorities"}, "serverName": "hooks.example"});
    subscribe(&world, "named", &terminator.url("named"), named).await;
    for name in ["other-name", "named"] {
        world.ready(name).await;
    }
    world.config_map("thing", json!({})).await;
    let requests = world.requests("named", 1).await;
    assert_eq!(requests[0].header("host"), Some(&*terminator.address.to_string()));
    assert_eq!(world.get("named").await["status"]["endpoint"]["host"], json!(terminator.address.to_string()));
    fails(&world, "other-name", "is for another name").await;
    assert!(world.receiver.requests("/other-name").is_empty());
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_demanded_and_has_to_fit_its_key() {
    let world = World::shared().await;
    let (servers, clients, others) = (ca(), ca(), ca());
    authorities(&world, &servers.pem()).await;
    let terminator = Terminator::start(&world, config(&servers, "127.0.0.1", Some(&clients))).await;
    let shown = json!({"caRef": {"kind": "ConfigMap", "name": "authorities"},
        "clientCertificateSecretRef": {"name": "client"}});
    subscribe(&world, "anonymous", &terminator.url("anonymous"), trusting()).await;
    subscribe(&world, "known", &terminator.url("known"), shown).await;
    waits(&world, "known", "SecretNotFound", "spec.endpoint.tls.clientCertificateSecretRef: Secret").await;
    let (good, other) = (issued(&clients, "changehook", 90), issued(&others, "changehook", 90));
    client(&world, (good.0.clone(), other.1.clone())).await;
    waits(&world, "known", "CertificateInvalid", "is not the one of the certificate in tls.crt").await;
    client(&world, other).await;
    world.until("known", "not Ready", |object| condition(object, "Ready").is_some_and(|r| r["status"] == "True")).await;
    world.config_map("thing", json!({})).await;
    for name in ["anonymous", "known"] {
        world
            .until(name, "not refused", |object| object["status"]["totals"]["failedAttempts"].as_u64() >= Some(1))
            .await;
    }
    // the right one, without a restart, and it ends soon
    client(&world, issued(&clients, "changehook", 10)).await;
    world.receiver.wait_for("/known", 1, A_LOOK).await.expect("it is taken now");
    let told = |object: &Value| {
        condition(object, "Ready").is_some_and(|ready| {
            let message = ready["message"].as_str().unwrap_or_default();
            ready["status"] == "True"
                && message.contains("a certificate under the key tls.crt of Secret")
                && message.contains(" expires at ")
                && message.contains("renew it")
        })
    };
    world.until("known", "does not tell of the certificate's end", told).await;
    let metrics = async || {
        let metrics = world.operator().metrics().await.unwrap_or_default();
        let counted =
            |line: &str| line.strip_prefix(METRIC).is_some_and(|count| count.trim().parse::<u64>().unwrap_or(0) > 0);
        metrics.lines().any(counted).then_some(())
    };
    testbed::eventually(SOON, metrics).await.expect("the metric tells of it");
    assert!(world.receiver.requests("/anonymous").is_empty());
    assert!(!world.operator().log().contains("PRIVATE"));
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused_and_that_is_said() {
    let world = World::shared().await;
    let ca = ca();
    authorities(&world, &ca.pem()).await;
    let terminator = Terminator::start(&world, config_of(issued(&ca, "127.0.0.1", -2), None)).await;
    subscribe(&world, "expired", &terminator.url("expired"), trusting()).await;
    world.ready("expired").await;
    world.config_map("thing", json!({})).await;
    fails(&world, "expired", "has expired").await;
    assert!(world.receiver.requests("/expired").is_empty());
    // renewed on the other side, it is sent by itself
    terminator.switch(config(&ca, "127.0.0.1", None));
    world.receiver.wait_for("/expired", 1, A_LOOK).await.expect("it is taken now");
}

#[tokio::test]
async fn a_service_is_trusted_by_an_authority_in_a_secret_under_its_name_in_the_cluster() {
    let world = World::shared().await;
    let ca = ca();
    let name = format!("inside.{}.svc", world.namespace);
    let terminator = Terminator::start_at(&world, config(&ca, &name, None), crate::service::an_address()).await;
    let (address, port) = (terminator.address.ip(), terminator.address.port());
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "inside"},
        "spec": {"clusterIP": address, "selector": {"app": "inside"}, "ports": [{"name": "https", "port": port}]}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca"},
        "stringData": {"ca.crt": ca.pem()}});
    for object in [service, secret] {
        world.apply(&object.to_string()).await;
    }
    let service = json!({"name": "inside", "port": "https", "scheme": "HTTPS", "path": "/inside"});
    let endpoint = json!({"url": null, "service": service, "tls": {"caRef": {"kind": "Secret", "name": "ca"}}});
    let resources = json!([{"apiVersion": "v1", "kind": "ConfigMap", "names": ["thing"]}]);
    world.secret().await;
    let mut subscription = world.subscription("inside", json!({"resources": resources, "endpoint": endpoint}));
    subscription["spec"]["endpoint"].as_object_mut().expect("an object").remove("url");
    world.apply(&subscription.to_string()).await;
    world.ready("inside").await;
    world.config_map("thing", json!({})).await;
    let requests = world.requests("inside", 1).await;
    assert_eq!(requests[0].header("host"), Some(&*format!("{name}:{port}")));
}

#[tokio::test]
async fn a_url_from_a_secret_that_is_not_https_is_refused_with_what_to_do_about_it() {
    let world = World::shared().await;
    let url = |url: String| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "url"}, "stringData": {"url": url}});
    world.apply(&url(world.receiver.url("/plain")).to_string()).await;
    let tls = json!({"serverName": "hooks.example"});
    let mut subscription = world.subscription("plain", json!({"endpoint": {"tls": tls}}));
    let endpoint = subscription["spec"]["endpoint"].as_object_mut().expect("an object");
    endpoint.remove("url");
    endpoint.insert("urlFrom".to_owned(), json!({"secretKeyRef": {"name": "url", "key": "url"}}));
    world.secret().await;
    world.apply(&subscription.to_string()).await;
    waits(&world, "plain", "SecretInvalid", "spec.endpoint.tls: the URL is not https").await;
    world.config_map("thing", json!({})).await;
    world.apply(&url("https://127.0.0.1:9/x".to_owned()).to_string()).await;
    world.until("plain", "not Ready", |object| condition(object, "Ready").is_some_and(|r| r["status"] == "True")).await;
    assert!(world.receiver.requests("/plain").is_empty());
}

#[tokio::test]
async fn the_account_has_to_be_allowed_to_read_what_is_trusted_and_shown() {
    let world = World::shared().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "poor"}});
    world.apply(&account.to_string()).await;
    let url = "https://127.0.0.1:9/poor";
    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "authorities"},
        "clientCertificateSecretRef": {"name": "client"}});
    let mut subscription =
        world.subscription("poor", json!({"serviceAccountName": "poor", "endpoint": {"url": url, "tls": tls}}));
    subscription["spec"].as_object_mut().expect("an object").remove("signing");
    world.apply(&subscription.to_string()).await;
    let authorized = world.condition("poor", "Authorized", "False", "NotAuthorized").await;
    let message = authorized["message"].as_str().unwrap_or_default();
    for wanted in [
        "get ConfigMap authorities",
        "get Secret client",
        "--resource=configmaps --resource-name=authorities",
        "--resource=secrets --resource-name=client",
    ] {
        assert!(message.contains(wanted), "{message}");
    }
}
