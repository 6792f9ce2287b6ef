//! One watch for all who want a kind; a namespace's own where only that is allowed; Secrets without their content.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Handle, Matcher, Times};
use testbed::operator::SERVICE_ACCOUNT;
use testbed::{audit::AuditEntry, eventually, marks, planted};

use super::{Faulty, LATER, custom_kind, of_widgets};
use crate::world::World;

const PASSWORD: &str = planted!("-password");
const OPERATOR: &str = "system:serviceaccount:changehook-system:changehook";

/// The watches of a resource that the operator began, as the API server saw them. It refuses those of a kind that it
/// has not set up yet, and those that are forbidden.
fn watches(world: &World, plural: &str) -> Vec<AuditEntry> {
    let log = world.plane().audit_log().expect("the audit log can be read");
    let served = |entry: &AuditEntry| entry.response_status.as_ref().is_some_and(|status| status.code == 200);
    log.into_iter().filter(|entry| entry.begins_watch(OPERATOR, plural) && served(entry)).collect()
}

/// A Role in the world's namespace, bound to the operator.
async fn allow(world: &World, group: &str, plural: &str) {
    let name = format!("watch-{plural}");
    let subject = json!({"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": "changehook-system"});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
        "rules": [{"apiGroups": [group], "resources": [plural], "verbs": ["list", "watch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name}, "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}});
    world.apply(&role.to_string()).await;
    world.apply(&binding.to_string()).await;
}

#[tokio::test]
async fn two_subscriptions_on_one_kind_in_two_namespaces_share_one_watch() {
    let world = World::shared().await;
    let other = World::shared().await;
    // no other test watches this kind
    world.custom(custom_kind("gadgets", "Gadget")).await;
    let gadgets = json!({"resources": [{"apiVersion": "example.com/v1", "kind": "Gadget"}]});
    for world in [&world, &other] {
        world.subscribe("shared", gadgets.clone()).await;
        world.subscribe("again", gadgets.clone()).await;
    }
    for world in [&world, &other] {
        let gadget = json!({"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}});
        world.apply(&gadget.to_string()).await;
        for name in ["shared", "again"] {
            let told = world.told_exactly(name, &["new g"]).await;
            assert_eq!(told[0].namespace, world.namespace);
        }
    }
    let watches = watches(&world, "gadgets");
    assert_eq!(watches.len(), 1, "{watches:#?}");
    assert_eq!(watches[0].object_ref.as_ref().map(|object| object.namespace.as_str()), Some(""));
}

#[tokio::test]
async fn a_kind_that_only_its_namespace_allows_is_watched_there_as_soon_as_it_is_allowed() {
    let world = World::shared().await;
    world.secret().await;
    let resources = json!([{"apiVersion": "v1", "kind": "LimitRange"}]);
    world.apply(&world.subscription("narrow", json!({"resources": resources})).to_string()).await;
    let ready = world.condition("narrow", "Ready", "False", "NotAuthorized").await;
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("limitranges") && message.contains(&world.namespace), "{message}");
    assert!(message.contains(r#"apiGroups: [""], resources: ["limitranges"], verbs: ["list", "watch"]"#), "{message}");
    world.condition("narrow", "Authorized", "False", "NotAuthorized").await;
    allow(&world, "", "limitranges").await;
    let healed = || async {
        let object = world.get("narrow").await;
        let ready = crate::world::condition(&object, "Ready").cloned().unwrap_or_default();
        if ready["status"] == "True" { Ok(object) } else { Err(ready.to_string()) }
    };
    let object = eventually(LATER, healed).await.expect("it heals by itself");
    assert!(crate::world::condition(&object, "Authorized").is_none_or(|authorized| authorized["status"] == "True"));
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"},
        "spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}});
    world.apply(&range.to_string()).await;
    world.told_exactly("narrow", &["new l"]).await;
    let watched: BTreeSet<String> = watches(&world, "limitranges")
        .into_iter()
        .filter_map(|entry| entry.object_ref.map(|object| object.namespace))
        .collect();
    assert_eq!(watched, BTreeSet::from([world.namespace.clone()]));
}

#[tokio::test]
async fn secrets_are_watched_by_their_metadata_and_their_content_is_never_read_for_it() {
    let world = World::shared().await;
    allow(&world, "", "secrets").await;
    let secret = |value: &str, labels: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "watched", "labels": labels},
            "stringData": {"password": value}})
        .to_string()
    };
    let resources = json!([{"apiVersion": "v1", "kind": "Secret", "names": ["watched"]}]);
    world.subscribe("secrets", json!({"resources": resources})).await;
    world.apply(&secret(PASSWORD, json!({}))).await;
    world.until_told("secrets", "the Secret", |told| told.len() == 1).await;
    world.apply(&secret(PASSWORD, json!({"rotated": "yes"}))).await;
    world.until_told("secrets", "its label", |told| told.len() == 2).await;
    world.kubectl(&["delete", "secret", "watched"]).await;
    let told = world.told_exactly("secrets", &["new watched", "updated watched", "removed watched"]).await;
    for one in &told[..2] {
        let object = &one.body["change"]["object"];
        assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("v1"), &json!("Secret")));
        assert_eq!(object["metadata"]["name"], "watched");
        let members: Vec<&String> = object.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["apiVersion", "kind", "metadata"]);
    }
    let bodies: String = told.iter().map(|one| one.body.to_string()).collect();
    marks::assert_none("a request about a Secret", &bodies);
}

#[tokio::test]
async fn secrets_are_listed_and_watched_only_if_somebody_wants_them_and_only_as_their_metadata() {
    let Faulty { world, proxy } = &Faulty::start().await;
    let bulk = [Matcher::lists("secrets"), Matcher::watches("secrets")];
    let asked = || bulk.iter().flat_map(|matcher| proxy.seen(matcher)).collect::<Vec<_>>();
    world.subscribe("maps", json!({})).await;
    world.config_map("thing", json!({})).await;
    world.requests("maps", 1).await;
    let by_name = proxy.seen(&Matcher::any().containing("/secrets/signing"));
    assert!(!by_name.is_empty(), "the proxy sees what is asked of Secrets");
    assert!(by_name.iter().all(|seen| seen.method == "GET" && !seen.is_watch()), "{by_name:?}");
    assert!(asked().is_empty(), "{:?}", asked());

    // by streaming lists and, where those are refused, by pages
    let streaming = bulk[1].clone().containing("sendInitialEvents=true");
    proxy.inject(streaming, Fault::Status(422), Times::Always);
    allow(world, "", "secrets").await;
    let resources = json!([{"apiVersion": "v1", "kind": "Secret", "names": ["watched"]}]);
    world.subscribe("secrets", json!({"resources": resources})).await;
    let watched = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "watched"},
        "stringData": {"password": PASSWORD}});
    world.apply(&watched.to_string()).await;
    world.told_exactly("secrets", &["new watched"]).await;
    proxy.cut_open_watches(&bulk[1]);
    let before = proxy.seen(&bulk[1]).len();
    proxy.wait_for(&bulk[1], before + 1, LATER).await.expect("it watches again");
    world.kubectl(&["delete", "secret", "watched"]).await;
    world.told_exactly("secrets", &["new watched", "removed watched"]).await;
    let asked = asked();
    assert!(
        asked.iter().any(|seen| !seen.is_watch()) && asked.iter().any(testbed::fault_proxy::Seen::is_watch),
        "{asked:#?}"
    );
    for seen in &asked {
        let metadata = |accepted: &str| accepted.contains("as=PartialObjectMetadata");
        assert!(!seen.accept.is_empty() && seen.accept.split(',').all(metadata), "{seen:?}");
    }
    let by_name = proxy.seen(&Matcher::any().containing("/secrets/watched"));
    assert!(by_name.is_empty(), "{by_name:?}");
}

#[tokio::test]
async fn a_list_that_is_complete_before_the_subscriptions_secret_was_read_is_not_overlooked() {
    let Faulty { world, proxy } = &Faulty::start().await;
    let secret = Matcher::any().containing("/secrets/signing?");
    let late = proxy.inject(secret, Fault::Delay(Duration::from_secs(3)), Times::Once);
    world.subscribe("overlooked", of_widgets()).await;
    assert_eq!(late.hits(), 1);
    world.widget("a", json!({})).await;
    world.told_exactly("overlooked", &["new a"]).await;
}

/// The paths of the shared watch of Widgets; those of a namespace's own begin otherwise.
fn shared_watch(watch: bool) -> Matcher {
    let matcher = if watch { Matcher::watches("widgets") } else { Matcher::lists("widgets") };
    matcher.path_prefix("/apis/example.com/v1/widgets")
}

fn refuse_shared(faulty: &Faulty, fault: &Fault) -> [Handle; 2] {
    let handles = [true, false].map(|watch| faulty.proxy.inject(shared_watch(watch), fault.clone(), Times::Always));
    faulty.proxy.cut_open_watches(&shared_watch(true));
    handles
}

#[tokio::test]
async fn moving_between_the_shared_watch_and_a_namespaces_own_loses_and_repeats_nothing() {
    let faulty = Faulty::start().await;
    let Faulty { world, proxy } = &faulty;
    let own = Matcher::watches("widgets").path_prefix(&format!("/apis/example.com/v1/namespaces/{}/", world.namespace));
    world.subscribe("moving", of_widgets()).await;
    for name in ["a", "b", "c"] {
        world.widget(name, json!({})).await;
    }
    let mut all = vec!["new a", "new b", "new c"];
    world.told_exactly("moving", &all).await;
    assert_eq!(proxy.seen(&own).len(), 0);

    // the right is taken away, and an object goes before anything else is watched
    let refused = refuse_shared(&faulty, &Fault::Status(403));
    world.delete_widget("a").await;
    proxy.wait_for(&own, 1, LATER).await.expect("the namespace's own watch");
    world.widget("d", json!({})).await;
    all.extend(["removed a", "new d"]);
    world.told_exactly("moving", &all).await;

    // that the shared watch fails otherwise now is no reason to wait for it
    let failing = refuse_shared(&faulty, &Fault::Status(503));
    let before = proxy.seen(&shared_watch(true)).len();
    refused.iter().for_each(Handle::clear);
    proxy.wait_for(&shared_watch(true), before + 1, LATER).await.expect("it is tried again");
    world.widget("e", json!({})).await;
    all.push("new e");
    world.told_exactly("moving", &all).await;
    world.ready("moving").await;

    // the right comes back
    failing.iter().for_each(Handle::clear);
    let back = || async { (proxy.open_watches(&shared_watch(true)) > 0).then_some(()) };
    eventually(LATER, back).await.expect("the shared watch");
    world.widget("b", json!({"n": 2})).await;
    world.delete_widget("c").await;
    all.extend(["updated b", "removed c"]);
    world.told_exactly("moving", &all).await;
    faulty.barrier("moving", "marker").await;
    all.push("new marker");
    world.told_exactly("moving", &all).await;
    world.ready("moving").await;
}
