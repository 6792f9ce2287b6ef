//! Endpoints whose TLS is not as it should be. What the system trusts is process-wide, so this is tried in a child.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;

use super::super::super::testing::{RawServer, child, endpoint, event, install_tls_provider, run_child};
use super::*;

/// What each endpoint is like, and what is said of it. The first is sound.
const CASES: [(&str, &str); 7] = [
    ("sound", ""),
    ("expired", "the endpoint's TLS certificate has expired"),
    ("not valid yet", "the endpoint's TLS certificate is not valid yet"),
    // the platform's verifier does not say that it is the purpose
    ("for clients", "the endpoint's TLS certificate is not valid"),
    ("for another name", "the endpoint's TLS certificate is for another name"),
    ("wants a client's certificate", "the endpoint refused the TLS handshake"),
    ("speaks an old version", "the endpoint refused the TLS handshake"),
];

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    roots: Arc<RootCertStore>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let pem = certificate.pem();
        Self { issuer: Issuer::new(params, key), pem, roots: Arc::new(roots) }
    }

    fn server(&self, case: &str) -> rustls::ServerConfig {
        let name = if case == "for another name" { "other.test" } else { "localhost" };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        match case {
            "expired" => params.not_after = date_time_ymd(2020, 1, 1),
            "not valid yet" => params.not_before = date_time_ymd(2200, 1, 1),
            "for clients" => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            _ => {}
        }
        if case == "not valid yet" {
            params.not_after = date_time_ymd(2300, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let builder = rustls::ServerConfig::builder();
        let builder = if case == "wants a client's certificate" {
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::clone(&self.roots)).build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap()
    }
}

/// A server that is like the case says, and answers 204 to whoever gets that far.
async fn server(authority: &Authority, case: &'static str) -> RawServer {
    if case == "speaks an old version" {
        // what a server of TLS 1.0 answers to a client that does not offer it: alert 70, protocol_version
        return RawServer::start(|mut peer| async move {
            let mut hello = [0; 16];
            let _read = tokio::io::AsyncReadExt::read(&mut peer.stream, &mut hello).await;
            let _gone = peer.send(b"\x15\x03\x01\x00\x02\x02\x46").await;
            peer.hang().await;
        })
        .await;
    }
    RawServer::tls(Arc::new(authority.server(case))).await
}

#[tokio::test]
async fn every_fault_of_a_certificate_or_a_handshake_is_named_and_nothing_is_sent() {
    install_tls_provider();
    if let Some(ports) = child() {
        let lookup = ScriptedLookup::new("localhost", &[&["127.0.0.1"]]);
        let courier = courier_with(loopback(), lookup, None);
        for ((case, message), port) in CASES.iter().zip(ports.split(',')) {
            let outcome = courier.attempt(&endpoint(&format!("https://localhost:{port}/hush")), &event()).await.outcome;
            if message.is_empty() {
                assert_eq!(outcome, Outcome::Delivered { status: 204 }, "{case}");
            } else {
                let failure = failure(outcome);
                assert_eq!((failure.reason, failure.message.as_str()), (Reason::TlsFailed, *message), "{case}");
            }
        }
        return;
    }
    let authority = Authority::new();
    let mut servers = Vec::new();
    for (case, _) in CASES {
        servers.push(server(&authority, case).await);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let ports: Vec<String> = servers.iter().map(|server| server.address.port().to_string()).collect();
    let name = concat!(module_path!(), "::every_fault_of_a_certificate_or_a_handshake_is_named_and_nothing_is_sent");
    run_child(name, &ports.join(","), vec![("SSL_CERT_FILE", file.display().to_string())]).await;
    for (server, (case, _)) in servers.iter().zip(CASES) {
        assert_eq!(server.requests().len(), usize::from(case == "sound"), "{case}");
        assert!(server.connections() >= 1, "{case}");
    }
}
