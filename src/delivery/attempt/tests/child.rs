//! What depends on the process's environment, and is tried in a child of its own.

use super::super::super::testing::{RawServer, child, endpoint, event, install_tls_provider, run_child};
use super::*;

/// A server's TLS settings with a fresh certificate for `localhost`, and that certificate as PEM.
pub(super) fn server_config() -> (Arc<rustls::ServerConfig>, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    (Arc::new(config), certified.cert.pem())
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_ignored() {
    if child().is_some() {
        let server = RawServer::status(204).await;
        let lookup = ScriptedLookup::new("a.test", &[&["127.0.0.1"]]);
        let courier = courier_with(loopback(), lookup.clone(), None);
        for url in [server.url(), server.named("a.test")] {
            assert_eq!(courier.attempt(&endpoint(&url), &event()).await.outcome, Outcome::Delivered { status: 204 });
        }
        assert_eq!(lookup.asked(), ["a.test"]);
        return;
    }
    let proxy = RawServer::status(200).await;
    let url = format!("http://{}", proxy.address);
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let variables = names.into_iter().map(|name| (name, url.clone())).collect();
    run_child(concat!(module_path!(), "::a_proxy_in_the_environment_is_ignored"), "1", variables).await;
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn an_endpoint_whose_certificate_the_system_trusts_is_delivered_to_and_its_name_is_checked() {
    install_tls_provider();
    let lookup = || {
        let lookup = ScriptedLookup::new("localhost", &[&["127.0.0.1"]]);
        lookup.add("other.test", &[&["127.0.0.1"]]);
        lookup
    };
    if let Some(port) = child() {
        let courier = courier_with(loopback(), lookup(), None);
        for _ in 0..2 {
            let endpoint = endpoint(&format!("https://localhost:{port}/"));
            assert_eq!(courier.attempt(&endpoint, &event()).await.outcome, Outcome::Delivered { status: 204 });
        }
        let endpoint = endpoint(&format!("https://other.test:{port}/"));
        let failure = failure(courier.attempt(&endpoint, &event()).await.outcome);
        let wanted = "the endpoint's TLS certificate is for another name";
        assert_eq!((failure.reason, &failure.message[..]), (Reason::TlsFailed, wanted));
        return;
    }
    let (config, pem) = server_config();
    let server = RawServer::tls(config).await;
    let file = std::env::temp_dir().join(format!("changehook-test-{}.pem", std::process::id()));
    std::fs::write(&file, pem).unwrap();
    let trusted = vec![("SSL_CERT_FILE", file.display().to_string())];
    let name = concat!(
        module_path!(),
        "::an_endpoint_whose_certificate_the_system_trusts_is_delivered_to_and_its_name_is_checked"
    );
    run_child(name, &server.address.port().to_string(), trusted).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!((server.requests().len(), server.connections()), (2, 2));
}
