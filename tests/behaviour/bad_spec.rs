//! Specs that break a rule: refused at admission, and by the operator where an older CRD let them in.

use serde_json::{Value, json};

use crate::bad_input::{kind, others_go_on};
use crate::history::{lint, said};
use crate::world::{World, condition, told};

#[tokio::test]
async fn what_admission_can_tell_is_told_at_once_with_the_field_and_the_remedy() {
    let world = World::shared().await;
    let url = |url: &str| json!({"endpoint": {"url": url}});
    let headers = |headers: Value| json!({"endpoint": {"headers": headers}});
    let cases = [
        (url("ftp://a.example/"), "spec.endpoint.url", "must start with https://"),
        (url("hooks.example/in"), "spec.endpoint.url", "must start with https://"),
        (url("https://"), "spec.endpoint.url", "name a host"),
        (url("https://user:pass@a.example/"), "spec.endpoint.url", "put credentials into endpoint.headers"),
        (url("https://a.example/#part"), "spec.endpoint.url", "remove # and what follows"),
        (url("https://a.example/\r\nX-Evil: 1"), "spec.endpoint.url", "percent-encode"),
        (headers(json!([{"name": "Host", "value": "a"}])), "spec.endpoint.headers[0].name", "remove it"),
        (
            headers(json!([{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}])),
            "spec.endpoint.headers",
            "remove the duplicate",
        ),
        (
            headers(json!([{"name": "X-A", "value": "1\r\nX-Evil: 1"}])),
            "spec.endpoint.headers[0].value",
            "without line breaks",
        ),
        (headers(json!([{"name": "X A", "value": "1"}])), "spec.endpoint.headers[0].name", "must be a header name"),
        (kind("changehook.dev/v1alpha1", "WebhookSubscription"), "spec.resources[0].apiVersion", "feedback loop"),
        (kind("coordination.k8s.io/v1", "Lease"), "spec.resources[0].kind", "feedback loop"),
        (kind("v1", "Config Map"), "spec.resources[0].kind", "must be a kind's name"),
        (json!({"changeTypes": ["Everything"]}), "spec.changeTypes[0]", "supported values"),
        (json!({"endpoint": {"timeoutSeconds": 0}}), "spec.endpoint.timeoutSeconds", "greater than or equal to 1"),
        (json!({"filter": {"expression": "true"}}), "spec.filter", "not supported yet"),
    ];
    for (patch, field, remedy) in cases {
        let said = world.refused(&world.subscription("bad", patch.clone())).await;
        assert!(said.contains(field) && said.contains(remedy), "{patch}: {said}");
    }
}

#[tokio::test]
async fn what_an_older_crd_lets_in_is_refused_by_the_operator_and_heals_when_it_is_mended() {
    let mut world = World::private().await;
    let text = std::fs::read_to_string(crate::world::root().join("crds/webhooksubscriptions.yaml")).unwrap();
    let mut crd: Value = serde_saphyr::from_str(&text).unwrap();
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = open.clone();
    let status = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    *status = open;
    crd["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    world.plane().apply_crd_yaml(&crd.to_string()).await.unwrap();
    let headers = |headers: Value| json!({"endpoint": {"headers": headers}});
    let url = |url: &str| json!({"endpoint": {"url": url}});
    let cases = [
        (json!({"endpoint": {"method": "zq9-planted"}}), "spec.endpoint.method: must be one of"),
        (json!({"endpoint": "https://a.example/?zq9-planted"}), "spec.endpoint: must be an object"),
        (json!({"changeTypes": ["New", "zq9-planted"]}), "spec.changeTypes[1]: must be one of"),
        (json!({"resources": "zq9-planted"}), "spec.resources: must be a list"),
        (json!({"suspend": "zq9-planted"}), "spec.suspend: must be true or false"),
        (json!({"payload": {"format": "zq9-planted"}}), "spec.payload.format: must be one of"),
        (json!({"endpoint": {"timeoutSeconds": 1e12}}), "spec.endpoint.timeoutSeconds: must be"),
        (json!({"endpoint": {"timeoutSeconds": -5}}), "spec.endpoint.timeoutSeconds: must be from 1 to 30"),
        (json!({"resources": []}), "spec.resources: must have 1 to 8 entries"),
        (kind("coordination.k8s.io/v1", "Lease"), "spec.resources[0].kind: must not be Lease"),
        (
            kind("changehook.dev/v1alpha1", "DeliveryLedger"),
            "spec.resources[0].apiVersion: must not be of changehook.dev",
        ),
        (kind("../v1", "Secret"), "spec.resources[0].apiVersion: must be"),
        (url("javascript:zq9-planted"), "spec.endpoint.url: must start with https://"),
        (url("https://zq9-planted@a.example/"), "spec.endpoint.url: must not have user information"),
        (url("https://a.example/#zq9-planted"), "spec.endpoint.url: must not have a fragment"),
        (url("https://a.example/\r\nzq9-planted: 1"), "spec.endpoint.url: must be printable ASCII"),
        (headers(json!([{"name": "Host", "value": "zq9-planted"}])), "spec.endpoint.headers[0].name: is reserved"),
        (
            headers(json!([{"name": "X", "value": "a\r\nzq9-planted"}])),
            "spec.endpoint.headers[0].value: must be printable",
        ),
        (
            headers(json!([{"name": "X", "value": "zq9-planted"}, {"name": "x", "value": "b"}])),
            "spec.endpoint.headers[1].name: must",
        ),
        (json!({"filter": {"expression": "zq9-planted"}}), "spec.filter: "),
        (json!({"signing": {"secretRef": {"name": "../zq9-planted"}}}), "spec.signing.secretRef.name: must be"),
    ];
    let mut all: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(n, (patch, _))| world.subscription(&format!("bad{n}"), patch.clone()).to_string())
        .collect();
    world.secret().await;
    all.push(world.subscription("good", json!({})).to_string());
    world.apply(&all.join("\n---\n")).await;
    // Somebody has written a status that is none, which must not count as the spec's fault.
    let nonsense = json!({"status": {"lastDelivery": "zq9-planted", "observedGeneration": 1}}).to_string();
    world.kubectl(&["patch", "whsub", "good", "--subresource=status", "--type=merge", "-p", &nonsense]).await;
    world.start_operator().await;
    world.ready("good").await;
    for (n, (patch, start)) in cases.iter().enumerate() {
        let name = format!("bad{n}");
        let object = world.until(&name, "not Stalled", |object| said(object, "Stalled") != "-").await;
        lint(&object);
        let message = condition(&object, "Ready").unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(start), "{patch}: {message}");
        assert!(!object["status"].to_string().contains("zq9-planted"), "{object:#}");
    }
    others_go_on(&world, "a").await;
    assert_eq!(world.receiver.all_requests().len(), 1);

    // Broken while it runs: what is in force is held, and goes on from there.
    let bad = json!({"spec": {"endpoint": {"method": "zq9-planted"}}});
    world.patch("good", &bad).await;
    world.condition("good", "Stalled", "True", "InvalidSpec").await;
    world.config_map("b", json!({})).await;
    world.patch("bad0", &json!({"spec": {"endpoint": {"method": "PUT"}}})).await;
    world.ready("bad0").await;
    assert!(world.receiver.requests("/good").len() == 1, "sent although it is held");
    world.patch("good", &json!({"spec": {"endpoint": {"method": "POST"}}})).await;
    world.ready("good").await;
    let requests = world.requests("good", 2).await;
    assert_eq!(told(&requests[1]), ("new".to_owned(), "b".to_owned()));
    world.kubectl(&["delete", "whsub", "bad1", "bad2"]).await;
    world.apply(&world.subscription("bad1", json!({})).to_string()).await;
    world.ready("bad1").await;
    let log = world.operator().log();
    assert!(!log.contains("zq9-planted"), "the log repeats what it was given");
}
