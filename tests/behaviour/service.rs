//! An endpoint that is a Service of the same namespace: its ClusterIP is dialled, and nothing that a Service could be
//! besides. The control plane gives Services addresses of this machine, so a receiver can listen where a Service is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Operator, Receiver, eventually};

use crate::world::{SOON, World, condition, told, verified};

/// What is missing is looked for again within 30 s.
const A_LOOK: Duration = Duration::from_secs(90);

/// An address of the Services' range that no other test of this process has, in the part of it from which the API server
/// gives none to Services that ask for any.
pub fn an_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(100);
    Ipv4Addr::new(127, 0, 96, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A receiver where a Service can be.
async fn receiver() -> (Ipv4Addr, Receiver) {
    let address = an_address();
    (address, Receiver::start_at(address).await.expect("a receiver starts"))
}

/// The Service `NAME` at the receiver's address, with its port called `http`.
fn service(name: &str, receiver: &Receiver) -> Value {
    let address = receiver.address();
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
        "clusterIP": address.ip(), "selector": {"app": name},
        "ports": [{"name": "http", "port": address.port()}]}})
}

async fn apply(world: &World, manifest: &Value) {
    world.apply(&manifest.to_string()).await;
}

/// A subscription to ConfigMaps that sends to a Service.
async fn subscribe(world: &World, name: &str, service: Value) {
    let mut subscription = world.subscription(name, json!({}));
    subscription["spec"]["endpoint"] = json!({"service": service});
    world.secret().await;
    apply(world, &subscription).await;
}

/// Waits until what exists is taken note of, so that what changes from here on is told.
async fn has_a_baseline(world: &World, name: &str) {
    world.until(name, "no baseline", |object| object["status"]["ledger"]["baselineTime"].is_string()).await;
}

/// Waits until the subscription waits for this reason with this message, and gives the message.
async fn waiting(world: &World, name: &str, reason: &str, field: &str, says: &str) -> String {
    let message = |object: &Value| {
        let ready = condition(object, "Ready")?;
        let message = ready["message"].as_str()?;
        (ready["reason"] == reason && message.contains(says)).then(|| message.to_owned())
    };
    let object =
        world.until(name, &format!("no {reason} that says {says:?}"), |object| message(object).is_some()).await;
    assert_eq!(condition(&object, "Reconciling").map(|found| &found["status"]), Some(&json!("True")), "{object:#}");
    assert_eq!(condition(&object, "Stalled"), None);
    let message = message(&object).unwrap_or_default();
    assert!(message.starts_with(&format!("{field}: Service {}/", world.namespace)), "{message}");
    message
}

#[tokio::test]
async fn requests_go_to_the_services_address_with_its_name_within_the_cluster_as_their_host() {
    let world = World::shared().await;
    let (_, receiver) = receiver().await;
    let port = receiver.address().port();
    apply(&world, &service("receiver", &receiver)).await;
    subscribe(&world, "by-number", json!({"name": "receiver", "port": port, "path": "/number?a=hush"})).await;
    subscribe(&world, "by-name", json!({"name": "receiver", "port": "http"})).await;
    let host = format!("receiver.{}.svc:{port}", world.namespace);
    for name in ["by-number", "by-name"] {
        let object = world.ready(name).await;
        assert_eq!(object["status"]["endpoint"]["host"], json!(host));
    }
    world.config_map("thing", json!({})).await;
    for path in ["/number", "/"] {
        let requests = receiver.wait_for(path, 1, SOON).await.expect("it is sent");
        assert_eq!(requests[0].header("host"), Some(&*host));
        assert_eq!(verified(&requests[0])["change"]["resource"]["name"], "thing");
    }
    assert_eq!(receiver.requests("/number")[0].target, "/number?a=hush");
    assert!(
        !world.operator().log().contains("hush")
            && !world.get("by-number").await["status"].to_string().contains("hush")
    );
}

#[tokio::test]
async fn a_service_that_is_missing_is_waited_for() {
    let world = World::shared().await;
    let (_, receiver) = receiver().await;
    subscribe(&world, "missing", json!({"name": "receiver", "port": "http", "path": "/missing"})).await;
    let field = "spec.endpoint.service.name";
    waiting(&world, "missing", "ServiceNotFound", field, "not found; create it and delivery starts by itself").await;
    has_a_baseline(&world, "missing").await;
    world.config_map("held", json!({})).await;
    apply(&world, &service("receiver", &receiver)).await;
    let requests = receiver.wait_for("/missing", 1, A_LOOK).await.expect("it starts by itself");
    assert_eq!(verified(&requests[0])["change"]["resource"]["name"], "held");
    world.ready("missing").await;
}

#[tokio::test]
async fn a_service_that_leads_anywhere_or_nowhere_gets_nothing_and_the_message_says_what_to_do() {
    let world = World::shared().await;
    let (address, receiver) = receiver().await;
    let port = receiver.address().port();
    let ports = json!([{"name": "http", "port": port}]);
    let services = [
        ("external", json!({"type": "ExternalName", "externalName": "localhost", "ports": ports})),
        ("external-bare", json!({"type": "ExternalName", "externalName": "169.254.169.254"})),
        ("bare", json!({"clusterIP": address, "ports": ports})),
        ("headless", json!({"clusterIP": "None", "selector": {"app": "a"}, "ports": ports})),
        ("portless", json!({"clusterIP": "None", "selector": {"app": "a"}})),
        ("udp", json!({"selector": {"app": "a"}, "ports": [{"name": "http", "port": port, "protocol": "UDP"}]})),
        ("other-port", json!({"selector": {"app": "a"}, "ports": [{"name": "web", "port": 81}]})),
    ];
    for (name, spec) in services {
        apply(&world, &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})).await;
        subscribe(&world, name, json!({"name": name, "port": "http", "path": "/never"})).await;
    }
    // an address of one's own choice, as by CVE-2021-25740
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "bare", "labels": {"kubernetes.io/service-name": "bare"}},
        "ports": [{"name": "http", "port": port}], "endpoints": [{"addresses": ["10.9.8.7"]}]});
    apply(&world, &slice).await;
    has_a_baseline(&world, "bare").await;
    world.config_map("thing", json!({})).await;
    let (name, at) = ("spec.endpoint.service.name", "spec.endpoint.service.port");
    for (subscription, field, says) in [
        ("external", name, "has the type ExternalName, which may lead anywhere; name a Service of the type ClusterIP"),
        ("external-bare", name, "has the type ExternalName"),
        ("bare", name, "has no selector, so its endpoints may lead anywhere; give it spec.selector"),
        ("headless", name, "is headless (spec.clusterIP is None)"),
        ("portless", name, "is headless"),
        ("udp", at, &format!("has no TCP port \"http\"; it has http ({port} UDP); correct endpoint.service.port")),
        ("other-port", at, "has no TCP port \"http\"; it has web (81)"),
    ] {
        waiting(&world, subscription, "ServiceInvalid", field, says).await;
    }
    // corrected, it is used
    let corrected = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bare"},
        "spec": {"selector": {"app": "a"}, "ports": ports}});
    apply(&world, &corrected).await;
    receiver.wait_for("/never", 1, A_LOOK).await.expect("it starts by itself");
    assert_eq!(receiver.all_requests().len(), 1);
}

#[tokio::test]
async fn a_service_that_is_made_anew_elsewhere_is_followed_within_seconds_though_a_connection_is_open() {
    let world = World::shared().await;
    let ((_, before), (_, after)) = (receiver().await, receiver().await);
    apply(&world, &service("receiver", &before)).await;
    subscribe(&world, "moving", json!({"name": "receiver", "port": "http", "path": "/moving"})).await;
    world.ready("moving").await;
    world.config_map("thing", json!({})).await;
    before.wait_for("/moving", 1, SOON).await.expect("it is sent");
    world.kubectl(&["delete", "service", "receiver"]).await;
    apply(&world, &service("receiver", &after)).await;
    let moved = std::time::Instant::now();
    let mut sent = 1;
    while after.requests("/moving").is_empty() {
        sent += 1;
        world.config_map("thing", json!({"sent": sent.to_string()})).await;
        let arrived = async || {
            let all = before.requests("/moving").len() + after.requests("/moving").len();
            (all >= sent).then_some(())
        };
        eventually(SOON, arrived).await.expect("it is sent to one of them");
    }
    let last = before.requests("/moving").iter().map(|request| request.arrived).max().expect("there was one");
    assert!(last.saturating_duration_since(moved) < Duration::from_secs(7), "the old address was still used");
    let host = format!("receiver.{}.svc:{}", world.namespace, after.address().port());
    world.until("moving", "not the new port", |object| object["status"]["endpoint"]["host"] == json!(host)).await;
}

#[tokio::test]
async fn a_service_that_loses_its_selector_or_is_deleted_gets_no_more() {
    let world = World::shared().await;
    let (_, receiver) = receiver().await;
    apply(&world, &service("receiver", &receiver)).await;
    subscribe(&world, "ending", json!({"name": "receiver", "port": "http", "path": "/ending"})).await;
    world.ready("ending").await;
    world.config_map("thing", json!({})).await;
    receiver.wait_for("/ending", 1, SOON).await.expect("it is sent");
    let remove = r#"[{"op": "remove", "path": "/spec/selector"}]"#;
    world.kubectl(&["patch", "service", "receiver", "--type=json", "--patch", remove]).await;
    // what was read before may be used for a moment
    let name = "spec.endpoint.service.name";
    let changed = async || {
        world.config_map("thing", json!({"at": jiff::Timestamp::now().to_string()})).await;
        let object = world.get("ending").await;
        condition(&object, "Ready").is_some_and(|ready| ready["reason"] == "ServiceInvalid").then_some(())
    };
    eventually(SOON, changed).await.expect("it is found out by the next request");
    waiting(&world, "ending", "ServiceInvalid", name, "has no selector").await;
    let heard = receiver.all_requests().len();
    world.config_map("later", json!({})).await;
    world
        .until("ending", "nothing is owed", |object| object["status"]["delivery"]["pending"].as_u64() >= Some(1))
        .await;
    world.kubectl(&["delete", "service", "receiver"]).await;
    world.patch("ending", &json!({"spec": {"endpoint": {"timeoutSeconds": 9}}})).await;
    waiting(&world, "ending", "ServiceNotFound", name, "create it").await;
    assert!(!receiver.all_requests()[heard..].iter().any(|request| told(request).1 == "later"));
}

#[tokio::test]
async fn an_address_that_is_forbidden_is_not_dialled_because_a_service_has_it_and_the_api_servers_is_forbidden() {
    let mut world = World::private().await;
    let (_, receiver) = receiver().await;
    apply(&world, &service("receiver", &receiver)).await;
    let mut options = world.operator_options();
    // loopback stays forbidden, whoever's address it is
    options.reach = vec!["--allow-cidr".to_owned(), "10.0.0.0/8".to_owned()];
    world.operator = Some(Arc::new(Operator::start(options).await.expect("the operator gets ready")));
    subscribe(&world, "loopback", json!({"name": "receiver", "port": "http"})).await;
    world.config_map("thing", json!({})).await;
    waiting(&world, "loopback", "AddressRefused", "spec.endpoint.service", "is a loopback address").await;
    assert_eq!(receiver.connections(), 0);
    world.operator().stop().await.expect("it stops");

    // The address by which pods reach the API server, as Kubernetes tells them.
    let mut options = world.operator_options();
    let address = receiver.address().ip().to_string();
    options.env = vec![("KUBERNETES_SERVICE_HOST".to_owned(), address.clone())];
    world.operator = Some(Arc::new(Operator::start(options).await.expect("the operator gets ready")));
    waiting(&world, "loopback", "AddressRefused", "spec.endpoint.service", "is the cluster's API server").await;
    assert_eq!(receiver.connections(), 0);

    // The Service of the API server has no selector, wherever the operator runs.
    world.plane().tenant("default").await.expect("its account may read");
    let mut subscription = world.subscription("to-the-api-server", json!({}));
    subscription["metadata"]["namespace"] = json!("default");
    subscription["spec"] = json!({"resources": subscription["spec"]["resources"],
        "endpoint": {"service": {"name": "kubernetes", "port": "https", "scheme": "HTTPS"}}});
    apply(&world, &subscription).await;
    let refused = async || {
        let args = ["get", "whsub", "to-the-api-server", "--namespace", "default", "-o", "json"];
        let object = world.plane().kubectl_ok(&args).await.expect("it is there");
        let object: Value = serde_json::from_str(&object).expect("kubectl prints JSON");
        let ready = condition(&object, "Ready").cloned().unwrap_or_default();
        if ready["reason"] == "ServiceInvalid" { Ok(ready) } else { Err(ready.to_string()) }
    };
    let ready = eventually(SOON, refused).await.expect("it is refused");
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("Service default/kubernetes has no selector"), "{message}");
}

/// An address that this machine has in a network of its own, if it has one; nothing is sent to find it.
fn a_private_address() -> Option<IpAddr> {
    let own = |any: &str, outside: &str| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(outside).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let all = [own("0.0.0.0:0", "192.0.2.1:9"), own("[::]:0", "[2001:db8::1]:9")];
    all.into_iter().flatten().find(|address| match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    })
}

#[tokio::test]
async fn a_private_address_is_dialled_without_an_allowed_range_because_a_service_has_it_and_not_because_a_url_names_it()
{
    let Some(address) = a_private_address() else {
        println!("this machine has no private address that a Service could have");
        return;
    };
    let mut world = World::private().await;
    let receiver = Receiver::start_at(address).await.expect("a receiver starts");
    let (family, range) = match address {
        IpAddr::V4(address) => ("IPv4", format!("{}/24", Ipv4Addr::from(address.to_bits() & !0xff))),
        IpAddr::V6(address) => ("IPv6", format!("{}/112", Ipv6Addr::from(address.to_bits() & !0xffff))),
    };
    let cidr = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "own"},
        "spec": {"cidrs": [range]}});
    apply(&world, &cidr).await;
    let mut manifest = service("receiver", &receiver);
    manifest["spec"]["ipFamilies"] = json!([family]);
    let accepted = async || world.plane().apply_yaml(&manifest.to_string(), &world.namespace).await;
    eventually(SOON, accepted).await.expect("its address is one of the new range");
    let mut options = world.operator_options();
    options.reach = vec!["--allow-http".to_owned()];
    world.operator = Some(Arc::new(Operator::start(options).await.expect("the operator gets ready")));
    subscribe(&world, "by-service", json!({"name": "receiver", "port": "http", "path": "/by-service"})).await;
    world.ready("by-service").await;
    let by_url = world.subscription("by-url", json!({"endpoint": {"url": receiver.url("/by-url")}}));
    apply(&world, &by_url).await;
    let refused = world.condition("by-url", "Stalled", "True", "AddressRefused").await;
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.contains("private address") && message.contains("--allow-cidr"), "{message}");
    world.config_map("thing", json!({})).await;
    let requests = receiver.wait_for("/by-service", 1, SOON).await.expect("it is sent");
    assert_eq!(verified(&requests[0])["change"]["resource"]["name"], "thing");
    assert_eq!(receiver.all_requests().len(), 1);
}

#[tokio::test]
async fn a_service_of_another_namespace_cannot_be_named() {
    let world = World::shared().await;
    let (_, receiver) = receiver().await;
    let other = world.beside().await;
    apply(&other, &service("receiver", &receiver)).await;
    subscribe(&world, "other", json!({"name": "receiver", "port": "http"})).await;
    waiting(&world, "other", "ServiceNotFound", "spec.endpoint.service.name", "create it").await;
    for (name, says) in
        [(format!("receiver.{}", other.namespace), "must be the name of a Service"), ("../a".to_owned(), "must be")]
    {
        let mut subscription = world.subscription("dotted", json!({}));
        subscription["spec"]["endpoint"] = json!({"service": {"name": name, "port": "http"}});
        let refused = world.refused(&subscription).await;
        assert!(refused.contains("spec.endpoint.service.name") && refused.contains(says), "{refused}");
    }
    assert_eq!(receiver.connections(), 0);
}
