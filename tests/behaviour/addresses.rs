//! Where an operator may send to at all: what it was started with decides, at every look and every request.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;

use serde_json::{Value, json};
use testbed::Operator;

use crate::world::{World, condition};

/// Starts an operator that may send as these arguments say, instead of the one before.
async fn operator(world: &mut World, reach: &[&str]) {
    if let Some(before) = world.operator.take() {
        // may have been stopped already
        before.stop().await.expect("it stops");
    }
    let mut options = world.operator_options();
    options.reach = reach.iter().map(|text| (*text).to_owned()).collect();
    let operator = Operator::start(options).await.expect("the operator gets ready");
    world.operator = Some(Arc::new(operator));
}

async fn refused(world: &World, name: &str, remedy: &str) {
    let ready = world.condition(name, "Ready", "False", "AddressRefused").await;
    assert!(ready["message"].as_str().is_some_and(|message| message.contains(remedy)), "{name}: {ready}");
    let object = world.get(name).await;
    assert_eq!(condition(&object, "Stalled").map(|found| &found["status"]), Some(&json!("True")), "{name}");
    assert_eq!(condition(&object, "Reconciling"), None, "{name}");
}

#[tokio::test]
async fn no_connection_is_made_to_an_address_that_the_operator_was_not_started_for() {
    let mut world = World::private().await;
    let port = world.receiver.address().port();
    world.secret().await;

    operator(&mut world, &["--allow-http"]).await;
    let hosts = [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "%31%32%37.0.0.1",
    ];
    for (number, host) in hosts.iter().enumerate() {
        let url = format!("http://{host}:{port}/forbidden");
        let subscription = world.subscription(&format!("host-{number}"), json!({"endpoint": {"url": url}}));
        world.apply(&subscription.to_string()).await;
    }
    world.config_map("thing", json!({})).await;
    for number in 0..hosts.len() {
        refused(&world, &format!("host-{number}"), "allow-cidr").await;
    }
    assert_eq!(world.receiver.connections(), 0);

    // Allowed by another operator's flags, the very same subscription delivers.
    operator(&mut world, &["--allow-http", "--allow-cidr", "127.0.0.0/8"]).await;
    world.ready("host-0").await;
    world.config_map("thing", json!({"state": "allowed"})).await;
    world.requests("forbidden", 1).await;
    world.operator().stop().await.expect("it stops");
    let before = world.receiver.connections();

    // And refused again once plain http is not allowed any more, though it was Ready.
    operator(&mut world, &["--allow-cidr", "127.0.0.0/8"]).await;
    refused(&world, "host-0", "allow-http").await;
    let https = format!("https://127.0.0.1:{port}/tls");
    world.apply(&world.subscription("tls", json!({"endpoint": {"url": https, "timeoutSeconds": 1}})).to_string()).await;
    world.ready("tls").await;
    assert_eq!(world.receiver.connections(), before);
    world.config_map("thing", json!({"state": "refused"})).await;
    // The receiver waits for HTTP and hears a handshake.
    let failed = |object: &Value| object["status"]["retries"][0]["lastError"]["reason"] == "Timeout";
    world.until("tls", "not tried over TLS", failed).await;
    assert!(world.receiver.connections() > before);
    assert!(world.receiver.all_requests().iter().all(|request| request.path() == "/forbidden"));
}

#[tokio::test]
async fn a_name_is_dialled_only_if_all_its_addresses_may_be() {
    let mut world = World::private().await;
    world.secret().await;
    let name = this_machine();
    let reason = if (name.as_str(), 0).to_socket_addrs().is_ok() { "AddressRefused" } else { "DnsFailed" };
    let url = format!("http://{name}:{}/name", world.receiver.address().port());
    operator(&mut world, &["--allow-http"]).await;
    world.apply(&world.subscription("name", json!({"endpoint": {"url": url}})).to_string()).await;
    // What a name resolves to is not known before it is dialled.
    world.ready("name").await;
    world.config_map("thing", json!({})).await;
    let failed = |object: &Value| object["status"]["totals"]["failedAttempts"].as_u64() >= Some(1);
    let object = world.until("name", "not refused", failed).await;
    let error = &object["status"]["endpoint"]["lastError"];
    assert_eq!((&error["class"], &error["reason"]), (&json!("Endpoint"), &json!(reason)));
    assert_eq!(world.receiver.connections(), 0);
}

/// A name that resolves to this machine, if anything, and is not called localhost.
fn this_machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux names the machine").trim().to_owned()
}

#[tokio::test]
async fn what_is_said_of_one_namespace_opens_nothing_to_another() {
    let mut world = World::private().await;
    let other = world.beside().await;
    let own = format!("{}=127.0.0.0/8", world.namespace);
    operator(&mut world, &["--allow-http", "--allow-cidr", &own]).await;
    let named = format!("http://localhost:{}/named", world.receiver.address().port());
    world.subscribe("own", json!({})).await;
    other.secret().await;
    other.apply(&other.subscription("other", json!({})).to_string()).await;
    other.apply(&other.subscription("named", json!({"endpoint": {"url": named}})).to_string()).await;
    for name in ["other", "named"] {
        refused(&other, name, "allow-cidr").await;
    }
    for world in [&world, &other] {
        world.config_map("thing", json!({})).await;
    }
    world.requests("own", 1).await;
    assert_eq!((other.receiver.connections(), world.receiver.requests("/named").len()), (0, 0));
}
