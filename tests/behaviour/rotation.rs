//! A signing key is replaced while receivers change over one by one.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use testbed::receiver::{Request, verify, verify_header};
use testbed::{Reply, planted};

use crate::world::{SOON, World, condition};

const OLD: &str = planted!("-old-key");
const NEW: &str = planted!("-new-key");
const PREVIOUS: &str = "x-signature-256-previous";

async fn keys(world: &World, keys: Value) {
    let manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"}, "stringData": keys});
    world.apply(&manifest.to_string()).await;
}

fn signed_with(request: &Request, key: &str) -> bool {
    verify(request, key.as_bytes()).is_ok() || verify_header(request, PREVIOUS, key.as_bytes()).is_ok()
}

/// Changes an object, and gives the request that tells of it.
async fn sent(world: &World, name: &str, change: &str) -> Request {
    let before = world.receiver.requests(&format!("/{name}")).len();
    world.config_map("thing", json!({"change": change})).await;
    world.requests(name, before + 1).await.remove(before)
}

/// In the order of docs/operations.md.
#[tokio::test]
async fn a_receiver_that_knows_one_key_changes_over_when_it_likes_and_refuses_nothing_on_the_way() {
    let world = World::shared().await;
    let known = Arc::new(Mutex::new(OLD));
    let accepts = Arc::clone(&known);
    world.receiver.rule(move |request| {
        let key = *accepts.lock().expect("nobody panics with it");
        Some(Reply::Status(if signed_with(request, key) { 200 } else { 401 }))
    });
    keys(&world, json!({"secret": OLD})).await;
    world.apply(&world.subscription("rotated", json!({})).to_string()).await;
    world.ready("rotated").await;
    let plain = sent(&world, "rotated", "before").await;
    assert!(verify(&plain, OLD.as_bytes()).is_ok() && plain.header(PREVIOUS).is_none());

    keys(&world, json!({"secret": OLD, "previous": OLD})).await;
    let previous = json!({"name": "signing", "key": "previous"});
    world.patch("rotated", &json!({"spec": {"signing": {"previousSecretRef": previous}}})).await;
    world.ready("rotated").await;
    keys(&world, json!({"secret": NEW, "previous": OLD})).await;
    // within the five seconds that a value may be old
    let mut changes = 0;
    let both = loop {
        changes += 1;
        let request = sent(&world, "rotated", &changes.to_string()).await;
        if verify(&request, NEW.as_bytes()).is_ok() {
            break request;
        }
    };
    assert!(verify_header(&both, PREVIOUS, OLD.as_bytes()).is_ok(), "the old key signs besides");
    *known.lock().expect("nobody panics with it") = NEW;
    assert!(verify(&sent(&world, "rotated", "changed over").await, NEW.as_bytes()).is_ok());

    world.patch("rotated", &json!({"spec": {"signing": {"previousSecretRef": null}}})).await;
    world.ready("rotated").await;
    let after = sent(&world, "rotated", "after").await;
    assert!(verify(&after, NEW.as_bytes()).is_ok() && after.header(PREVIOUS).is_none());
    let requests = world.receiver.requests("/rotated");
    assert!(requests.iter().all(|request| request.status == Some(200)), "one was refused");
}

#[tokio::test]
async fn while_the_previous_key_is_missing_nothing_is_sent_and_the_message_names_both_ways_out() {
    let world = World::shared().await;
    world.subscribe("barrier", json!({})).await;
    let previous = json!({"signing": {"previousSecretRef": {"name": "before"}}});
    world.apply(&world.subscription("missing", previous).to_string()).await;
    let ready = world.condition("missing", "Ready", "False", "SecretNotFound").await;
    let message = ready["message"].as_str().unwrap_or_default();
    let named = format!("spec.signing.previousSecretRef: Secret {}/before not found", world.namespace);
    assert!(message.starts_with(&named) && message.contains("or remove the reference"), "{message}");
    world.config_map("thing", json!({})).await;
    world.requests("barrier", 1).await;
    assert_eq!(world.receiver.requests("/missing").len(), 0);

    world.patch("missing", &json!({"spec": {"signing": {"previousSecretRef": null}}})).await;
    world.receiver.wait_for("/missing", 1, SOON).await.expect("what was held is sent");
    let object = world.ready("missing").await;
    assert!(condition(&object, "Reconciling").is_none(), "{object}");
}
