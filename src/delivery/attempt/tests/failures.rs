//! What happens when there is no answer.

use std::io;
use std::net::IpAddr;
use std::time::Instant;

use changehook_core::outcome::Class;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_rustls::TlsAcceptor;

use super::super::super::testing::{RawServer, endpoint, event, install_tls_provider};
use super::*;

/// One failure of the endpoint's, whose message shows nothing it should not.
async fn endpoint_failure(courier: &Courier, endpoint: &Endpoint) -> (Reason, String) {
    let failure = failure(courier.attempt(endpoint, &event()).await.outcome);
    assert_eq!((failure.class, failure.http_status, failure.retry_after), (Class::Endpoint, None, None));
    assert!(!failure.message.contains("hush"), "{}", failure.message);
    (failure.reason, failure.message)
}

/// The server's URL, with parts that nobody must see.
fn with_query(server: &RawServer) -> Endpoint {
    endpoint(&format!("{}/hush?token=hush", server.url()))
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_connect_failed() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = endpoint(&format!("http://{address}/hush?hush"));
    let (reason, message) = endpoint_failure(&courier(), &endpoint).await;
    assert_eq!((reason, &message[..]), (Reason::ConnectFailed, "no connection to the endpoint: connection refused"));
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_lost() {
    let server = RawServer::start(|mut peer| async move {
        peer.request().await;
    })
    .await;
    let (reason, message) = endpoint_failure(&courier(), &with_query(&server)).await;
    assert_eq!(
        (reason, &message[..]),
        (Reason::ConnectionLost, "the endpoint closed the connection before its answer")
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_connection_reset_before_or_within_the_head_is_lost() {
    for begun in ["", "HTTP/1.1 200 hush\r\nx-hu"] {
        let server = RawServer::start(move |mut peer| async move {
            peer.request().await;
            let _gone = peer.send(begun).await;
            peer.stream.set_zero_linger().unwrap();
        })
        .await;
        let (reason, _) = endpoint_failure(&courier(), &with_query(&server)).await;
        assert_eq!(reason, Reason::ConnectionLost, "{begun}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_lost() {
    let garbage: [&[u8]; 4] = [
        b"SSH-2.0-hush\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46hush\r\n\r\n",
        b"HTTP/1.1 2x0 hush\r\n\r\n",
        b"\0\0\r\n\r\n",
    ];
    for garbage in garbage {
        let server = RawServer::answering(garbage).await;
        let (reason, message) = endpoint_failure(&courier(), &with_query(&server)).await;
        let wanted = "the endpoint's answer was not HTTP/1.1, or its head was too large";
        assert_eq!((reason, &message[..]), (Reason::ConnectionLost, wanted));
    }
}

#[tokio::test]
async fn a_request_that_the_peer_read_is_not_sent_again_behind_our_back() {
    // On a fresh connection, and on one that was used before.
    for answered in [0, 1] {
        let server = RawServer::start(move |mut peer| async move {
            for _ in 0..answered {
                peer.request().await;
                let _gone = peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
            peer.request().await;
        })
        .await;
        let courier = courier();
        for _ in 0..answered {
            assert_eq!(
                courier.attempt(&with_query(&server), &event()).await.outcome,
                Outcome::Delivered { status: 200 }
            );
        }
        let (reason, _) = endpoint_failure(&courier, &with_query(&server)).await;
        assert_eq!(reason, Reason::ConnectionLost);
        assert_eq!((server.connections(), server.requests().len()), (1, answered + 1));
    }
}

#[tokio::test]
async fn no_answer_in_time_is_a_timeout_whatever_trickles_in() {
    for begun in ["", "HTTP/1.1 200 hush\r\nx-hush: ", "HTTP/1.1 103 hush\r\n\r\n"] {
        let server = RawServer::start(move |mut peer| async move {
            peer.request().await;
            let _gone = peer.send(begun).await;
            peer.hang().await;
        })
        .await;
        let mut endpoint = with_query(&server);
        endpoint.timeout = Duration::from_millis(250);
        let began = Instant::now();
        let (reason, message) = endpoint_failure(&courier(), &endpoint).await;
        assert_eq!((reason, &message[..]), (Reason::Timeout, "no answer within 0.25 s"));
        assert!(
            began.elapsed() >= endpoint.timeout && began.elapsed() < endpoint.timeout * 12,
            "{:?}",
            began.elapsed()
        );
    }
}

/// A resolver that never answers.
struct Silence;

impl Lookup for Silence {
    fn lookup(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        std::future::pending().boxed()
    }
}

#[tokio::test]
async fn a_name_that_hangs_is_a_timeout() {
    let mut endpoint = endpoint("http://a.test/hush");
    endpoint.timeout = Duration::from_millis(250);
    let (reason, _) = endpoint_failure(&courier_with(loopback(), Silence, None), &endpoint).await;
    assert_eq!(reason, Reason::Timeout);
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_a_timeout_long_before_the_attempts_is_over() {
    install_tls_provider();
    let mute = RawServer::start(|mut peer| async move { peer.hang().await }).await;
    for url in ["https://a.test/hush".to_owned(), format!("https://{}/hush", mute.address)] {
        let client = client::build_with(loopback(), Arc::new(Silence), Duration::from_millis(250)).unwrap();
        let courier = Courier { clients: Clients::new(client, everybodys(&loopback())), ..courier() };
        let (reason, message) = endpoint_failure(&courier, &endpoint(&url)).await;
        assert_eq!((reason, &message[..]), (Reason::Timeout, "no connection to the endpoint in time"));
    }
}

#[tokio::test]
async fn a_port_that_swallows_every_connection_is_a_timeout() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    // its queue takes a connection or two, and then nobody is answered any more
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(250), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(stream);
        assert!(queued.len() < 100, "a port that takes all");
    }
    let mut endpoint = endpoint(&format!("http://{address}/hush?hush"));
    endpoint.timeout = Duration::from_millis(250);
    let (reason, _) = endpoint_failure(&courier(), &endpoint).await;
    assert_eq!(reason, Reason::Timeout);
}

#[tokio::test]
async fn a_name_that_nobody_knows_or_that_has_no_address_is_dns_failed() {
    let lookup = ScriptedLookup::new("empty.test", &[&[]]);
    let courier = courier_with(loopback(), lookup, None);
    for host in ["unknown.test", "empty.test"] {
        let (reason, message) = endpoint_failure(&courier, &endpoint(&format!("http://{host}/hush"))).await;
        assert_eq!(reason, Reason::DnsFailed, "{message}");
    }
}

#[tokio::test]
async fn a_name_with_a_good_and_a_bad_address_is_refused_without_a_connection() {
    let server = RawServer::status(200).await;
    let lookup = ScriptedLookup::new("a.test", &[&["127.0.0.1", "169.254.169.254"]]);
    let courier = courier_with(loopback(), lookup, None);
    let (reason, message) = endpoint_failure(&courier, &endpoint(&server.named("a.test"))).await;
    assert_eq!(reason, Reason::AddressRefused);
    assert!(!message.contains("169.254") && !message.contains("127.0"), "{message}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_refused_name_is_told_what_refused_it_and_what_would_open_it_but_no_address() {
    let policy = AddressPolicy {
        deny: vec!["127.0.0.3".parse().unwrap()],
        deny_ranges: vec!["127.0.9.0/24".parse().unwrap()],
        ..AddressPolicy::clone(&loopback())
    };
    let policy = Arc::new(policy);
    for (address, says, not) in [
        ("10.1.2.3", "private address; whoever runs changehook can open its range with --allow-cidr", "--deny-cidr"),
        ("169.254.169.254", "only an --allow-cidr of changehook within that very block", "--deny-cidr"),
        ("127.0.0.3", "API server or to changehook itself", "--deny-cidr"),
        ("127.0.9.1", "a --deny-cidr of changehook excludes, and no --allow-cidr opens it", "open its range"),
    ] {
        let lookup = ScriptedLookup::new("a.test", &[&[address]]);
        let courier = courier_with(Arc::clone(&policy), lookup, None);
        let (reason, message) = endpoint_failure(&courier, &endpoint("http://a.test/")).await;
        assert_eq!(reason, Reason::AddressRefused);
        assert!(message.contains(says) && !message.contains(not), "{address}: {message}");
        assert!(!message.contains(address) && !message.contains("127.0."), "{message}");
    }
}

#[tokio::test]
async fn a_name_that_changes_to_a_bad_address_between_attempts_is_refused() {
    let server = RawServer::start(|mut peer| async move {
        peer.request().await;
        let _gone = peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    })
    .await;
    let lookup = ScriptedLookup::new("a.test", &[&["127.0.0.1"], &["169.254.169.254"]]);
    let courier = courier_with(loopback(), lookup, None);
    let endpoint = endpoint(&server.named("a.test"));
    assert_eq!(courier.attempt(&endpoint, &event()).await.outcome, Outcome::Delivered { status: 200 });
    let (reason, _) = endpoint_failure(&courier, &endpoint).await;
    assert_eq!(reason, Reason::AddressRefused);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_port_is_the_urls_whatever_the_resolver_says() {
    let server = RawServer::status(200).await;
    let lookup = ScriptedLookup::new("a.test", &[&["127.0.0.1"]]);
    let courier = courier_with(loopback(), lookup.clone(), None);
    let outcome = courier.attempt(&endpoint(&server.named("a.test")), &event()).await.outcome;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    assert_eq!(lookup.asked(), ["a.test"]);
}

#[tokio::test]
async fn plain_http_is_refused_where_the_policy_wants_https() {
    let server = RawServer::status(200).await;
    let policy = AddressPolicy { allow_http: false, ..AddressPolicy::clone(&loopback()) };
    let courier = courier_with(Arc::new(policy), ScriptedLookup::default(), None);
    let (reason, _) = endpoint_failure(&courier, &with_query(&server)).await;
    assert_eq!(reason, Reason::AddressRefused);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn https_to_a_port_without_tls_is_tls_failed() {
    let server = RawServer::start(|mut peer| async move {
        let _gone = peer.send("HTTP/1.1 400 hush\r\ncontent-length: 0\r\n\r\n").await;
        peer.hang().await;
    })
    .await;
    let endpoint = endpoint(&format!("https://{}/hush", server.address));
    let (reason, message) = endpoint_failure(&courier(), &endpoint).await;
    assert_eq!((reason, &message[..]), (Reason::TlsFailed, "the endpoint does not speak TLS on this port"));
}

#[tokio::test]
async fn a_peer_that_hangs_up_in_the_handshake_is_tls_failed() {
    for reset in [false, true] {
        let server = RawServer::start(move |mut peer| async move {
            let mut hello = [0; 16];
            let _read = tokio::io::AsyncReadExt::read(&mut peer.stream, &mut hello).await;
            if reset {
                peer.stream.set_zero_linger().unwrap();
            }
        })
        .await;
        let endpoint = endpoint(&format!("https://{}/hush", server.address));
        let (reason, message) = endpoint_failure(&courier(), &endpoint).await;
        assert_eq!(reason, Reason::TlsFailed, "{message}");
    }
}

#[tokio::test]
async fn a_peer_that_is_silent_in_the_handshake_is_a_timeout() {
    let server = RawServer::start(|mut peer| async move { peer.hang().await }).await;
    let mut endpoint = endpoint(&format!("https://{}/hush", server.address));
    endpoint.timeout = Duration::from_millis(250);
    let (reason, _) = endpoint_failure(&courier(), &endpoint).await;
    assert_eq!(reason, Reason::Timeout);
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_tls_failed_and_nothing_is_sent() {
    install_tls_provider();
    let acceptor = TlsAcceptor::from(child::server_config().0);
    let server = RawServer::start(move |peer| {
        let acceptor = acceptor.clone();
        async move {
            let (stream, peer) = peer.split();
            if let Ok(stream) = acceptor.accept(stream).await {
                peer.on(stream).request().await;
            }
        }
    })
    .await;
    let endpoint = endpoint(&format!("https://{}/hush", server.address));
    let (reason, message) = endpoint_failure(&courier(), &endpoint).await;
    let wanted = "the endpoint's TLS certificate is signed by an unknown authority";
    assert_eq!((reason, &message[..]), (Reason::TlsFailed, wanted));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn dropping_an_attempt_drops_its_request_and_its_connection() {
    let server = RawServer::start(|mut peer| async move {
        peer.request().await;
        peer.hang().await;
    })
    .await;
    let (courier, endpoint, event) = (courier(), with_query(&server), event());
    for requests in 1..=2 {
        let attempt = courier.attempt(&endpoint, &event);
        tokio::pin!(attempt);
        while server.requests().len() < requests {
            assert!(futures::poll!(attempt.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(server.connections(), 2);
}
