//! Addresses that nobody should be sent to, at the real operator, with a listener that must not hear of it.

use std::net::TcpListener;
use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};
use testbed::spellings::{of_v4, of_v6};
use testbed::{Operator, Receiver, eventually};

use crate::world::{SOON, World, condition};

/// Every so many of the spellings become subscriptions: statuses are written ten a second.
const EVERY: usize = 16;

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_leads_the_operator_anywhere() {
    let mut world = World::private().await;
    let mut options = world.operator_options();
    options.reach = ["--allow-http", "--allow-cidr", "10.0.0.0/8"].map(str::to_owned).to_vec();
    world.operator = Some(Arc::new(Operator::start(options).await.expect("the operator gets ready")));
    let port = world.receiver.address().port();
    let v6 = TcpListener::bind(("::1", port)).ok();
    let v4 =
        ["127.0.0.1", "0.0.0.0", "169.254.169.254", "100.100.100.200"].map(|ip| of_v4(ip.parse().expect("an address")));
    let others = ["::1", "::", "fe80::1", "fd00:ec2::254"].map(|ip| of_v6(ip.parse().expect("an address")));
    let hosts: Vec<String> = v4.into_iter().chain(others).flatten().step_by(EVERY).collect();
    assert!(hosts.len() >= 40, "{}", hosts.len());
    world.secret().await;
    world.config_map("thing", json!({})).await;
    let apply = |(number, host): (usize, String)| {
        let name = format!("host-{number}");
        let url = format!("http://{host}:{port}/forbidden");
        let manifest =
            world.subscription(&name, json!({"endpoint": {"url": url}, "initialSync": "Notify"})).to_string();
        let (plane, namespace) = (world.plane(), &world.namespace);
        async move { plane.apply_yaml(&manifest, namespace).await.is_ok().then_some((name, host)) }
    };
    let accepted: Vec<_> = join_all(hosts.iter().cloned().enumerate().map(apply)).await.into_iter().flatten().collect();
    // admission sees the text, not where it leads
    assert!(accepted.len() >= 20, "{} of {}", accepted.len(), hosts.len());
    for (name, host) in &accepted {
        let object = world.until(name, "not refused", |object| condition(object, "Stalled").is_some()).await;
        let ready = condition(&object, "Ready").expect("a condition");
        assert_eq!(ready["status"], "False", "{host}: {ready}");
        let reason = ready["reason"].as_str();
        assert!(matches!(reason, Some("AddressRefused" | "InvalidSpec")), "{host}: {ready}");
    }
    assert_eq!(world.receiver.connections(), 0);
    if let Some(v6) = v6 {
        v6.set_nonblocking(true).expect("a socket");
        assert!(v6.accept().is_err(), "somebody came");
    }
}

/// The operator of this world, with what it may reach and its environment, instead of the one before.
async fn restarted(world: &mut World, reach: &[&str], env: Vec<(String, String)>) {
    if let Some(before) = world.operator.take() {
        before.stop().await.expect("it stops");
    }
    let mut options = world.operator_options();
    options.reach = reach.iter().map(|text| (*text).to_owned()).collect();
    options.env = env;
    world.operator = Some(Arc::new(Operator::start(options).await.expect("the operator gets ready")));
}

#[tokio::test]
async fn proxies_in_the_environment_are_ignored_and_the_api_server_hosts_and_ranges_that_are_excluded_get_nothing() {
    let mut world = World::private().await;
    let proxy = Receiver::start().await.expect("a receiver starts");
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let mut env: Vec<_> = names.iter().map(|name| ((*name).to_owned(), proxy.url(""))).collect();
    let open = ["--allow-http", "--allow-cidr", "127.0.0.0/8"];
    restarted(&mut world, &open, env.clone()).await;
    world.subscribe("direct", json!({})).await;
    world.config_map("thing", json!({"n": "1"})).await;
    world.requests("direct", 1).await;
    let refused = async |world: &World, remedy: &str| {
        let refused = |object: &Value| {
            condition(object, "Ready").is_some_and(|ready| {
                ready["reason"] == "AddressRefused"
                    && ready["message"].as_str().is_some_and(|text| text.contains(remedy))
            })
        };
        world.until("direct", &format!("not refused for {remedy}"), refused).await;
    };

    // each as in a pod of a stricter installation, while an idle connection is there
    env.push(("KUBERNETES_SERVICE_HOST".to_owned(), "127.0.0.1".to_owned()));
    restarted(&mut world, &open, env.clone()).await;
    refused(&world, "API server").await;
    env.pop();
    let port = world.receiver.address().port();
    for (flags, remedy) in [
        (["--deny-cidr", "127.0.0.0/24"], "--deny-cidr"),
        (["--deny-host", "127.0.0.1"], "--deny-host"),
        (["--allow-host", "*.example.com"], "--allow-host"),
    ] {
        restarted(&mut world, &[&open[..], &flags].concat(), env.clone()).await;
        refused(&world, remedy).await;
    }
    world.config_map("thing", json!({"n": "2"})).await;
    assert_eq!(world.requests("direct", 1).await.len(), 1);
    // and once it is allowed by name, what was owed is told
    restarted(&mut world, &[&open[..], &["--allow-host", "*.example.com,127.0.0.1"]].concat(), env).await;
    let told = eventually(SOON, || async { (world.receiver.requests("/direct").len() == 2).then_some(()) }).await;
    told.unwrap_or_else(|error| panic!("{error} at {port}"));
    assert_eq!(proxy.connections(), 0);
    let object: Value = world.get("direct").await;
    assert!(condition(&object, "Ready").is_some());
}
