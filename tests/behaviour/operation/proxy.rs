//! A proxy in the environment: for the API server, as kubectl takes it, and for nothing else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use testbed::{FaultProxy, Operator};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

/// Leads every tunnel to one address, whatever name it is asked for, and keeps what it was asked.
struct Tunnels {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnels {
    async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let address = listener.local_addr().expect("it listens");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                tokio::spawn(serve(peer, target, Arc::clone(&all)));
            }
        });
        Self { address, asked }
    }

    /// As a user of the environment's variables would set it.
    fn environment(&self) -> Vec<(String, String)> {
        let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        names.map(|name| (name.to_owned(), format!("http://{}", self.address))).to_vec()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut peer: TcpStream, target: SocketAddr, asked: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(peer.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    let mut upstream = TcpStream::connect(target).await?;
    peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut peer, &mut upstream).await.map(drop)
}

#[tokio::test]
async fn an_api_server_behind_the_environments_proxy_is_reached_through_it_and_webhooks_do_not_go_there() {
    let mut world = World::private().await;
    let api = FaultProxy::start(world.plane()).await.expect("a way to the API server");
    let target = api.url().trim_start_matches("http://").parse().expect("an address");
    let tunnels = Tunnels::start(target).await;
    let mut options = world.operator_options();
    // a name that only the proxy knows
    options.server_override = Some("http://api.corp.invalid:6443".to_owned());
    options.env.extend(tunnels.environment());
    let operator = Operator::start(options).await.expect("the operator gets ready");
    world.operator = Some(operator.into());
    world.subscribe("direct", json!({})).await;
    world.config_map("first", json!({})).await;
    world.requests("direct", 1).await;
    let asked = tunnels.asked();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|line| line == "CONNECT api.corp.invalid:6443 HTTP/1.1"), "{asked:?}");
}

#[tokio::test]
async fn an_api_server_on_this_machine_is_reached_without_the_environments_proxy() {
    let mut world = World::private().await;
    let tunnels = Tunnels::start(world.plane().address()).await;
    let mut options = world.operator_options();
    options.env.extend(tunnels.environment());
    world.operator = Some(Operator::start(options).await.expect("the operator gets ready").into());
    world.subscribe("direct", json!({})).await;
    assert_eq!(tunnels.asked(), Vec::<String>::new());
}
