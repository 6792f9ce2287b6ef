//! A subscription reads what its ServiceAccount may read, and nothing besides: refused, granted, taken away, unknown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Matcher, Times};
use testbed::tenant::READER;
use testbed::{FaultProxy, Operator, eventually};

use crate::world::{SOON, World, condition, told};

/// Who has lacked something for a minute is looked at after a quarter of that time, and the looks may wait for each other.
const A_LOOK: Duration = Duration::from_secs(90);

/// A ServiceAccount that may do what the rules say, if there are any.
async fn account(world: &World, name: &str, rules: &Value) {
    let rbac = "rbac.authorization.k8s.io";
    let namespace = &world.namespace;
    let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    let version = format!("{rbac}/v1");
    for object in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
        json!({"apiVersion": version, "kind": "Role", "metadata": {"name": name}, "rules": rules}),
        json!({"apiVersion": version, "kind": "RoleBinding", "metadata": {"name": name}, "subjects": [subject],
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name}}),
    ] {
        world.apply(&object.to_string()).await;
    }
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
}

fn reads_all() -> Value {
    json!([rule("", "configmaps", &["list", "watch"]), rule("", "secrets", &["get"])])
}

/// Waits until the API server sees the account's rights so.
async fn until_may(world: &World, who: &str, verb: &str, resource: &str, expected: bool) {
    let user = format!("--as=system:serviceaccount:{}:{who}", world.namespace);
    let look = || async {
        let args = ["auth", "can-i", verb, resource, &user, "--namespace", &world.namespace];
        let answer = world.plane().kubectl(&args).await.expect("kubectl runs").stdout;
        ((answer.trim() == "yes") == expected).then_some(())
    };
    eventually(SOON, look).await.expect("the API server notices");
}

async fn unbind(world: &World, binding: &str) {
    world.kubectl(&["delete", "rolebinding", binding]).await;
}

/// Edits the subscription again and again: for a new spec, what was allowed a few seconds ago does not do.
async fn edited_until(world: &World, name: &str, wanted: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    for seconds in (1..=30).cycle() {
        world.patch(name, &json!({"spec": {"endpoint": {"timeoutSeconds": seconds}}})).await;
        let seen = |object: &Value| object["status"]["observedGeneration"] == object["metadata"]["generation"];
        if wanted(&world.until(name, "its edit is not seen", seen).await) {
            return;
        }
        assert!(began.elapsed() < A_LOOK, "edits change nothing");
    }
}

/// A subscription of another account, which shows when a change was there to be sent.
async fn barrier(world: &World) {
    account(world, "trusted", &reads_all()).await;
    let patch = json!({"serviceAccountName": "trusted"});
    world.subscribe("barrier", patch).await;
}

fn message(condition: &Value) -> &str {
    condition["message"].as_str().unwrap_or_default()
}

async fn ready_later(world: &World, name: &str) -> Value {
    let look = || async {
        let object = world.get(name).await;
        let ready = condition(&object, "Ready").cloned().unwrap_or_default();
        if ready["status"] == "True" { Ok(object) } else { Err(ready.to_string()) }
    };
    eventually(A_LOOK, look).await.expect("it gets ready by itself")
}

#[tokio::test]
async fn an_account_that_lacks_a_right_sends_nothing_and_the_commands_in_the_message_grant_it() {
    let world = World::shared().await;
    barrier(&world).await;
    unbind(&world, READER).await;
    until_may(&world, "default", "list", "configmaps", false).await;
    world.apply(&world.subscription("denied", json!({"initialSync": "Notify"})).to_string()).await;
    let ready = world.condition("denied", "Ready", "False", "NotAuthorized").await;
    world.condition("denied", "Reconciling", "True", "ProgressingWithRetry").await;
    let authorized = world.condition("denied", "Authorized", "False", "NotAuthorized").await;
    assert_eq!(message(&ready), message(&authorized));
    let (what, commands) = message(&ready).split_once("; to allow it: ").expect("there are commands");
    let namespace = &world.namespace;
    assert_eq!(
        what,
        format!("ServiceAccount {namespace}/default may not get Secret signing, list configmaps, watch configmaps")
    );
    world.config_map("early", json!({})).await;
    world.requests("barrier", 1).await;
    assert_eq!(world.receiver.requests("/denied").len(), 0);

    for command in commands.split(" && ") {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        world.plane().kubectl_ok(&words).await.expect("the command works as it is");
    }
    let object = ready_later(&world, "denied").await;
    let authorized = condition(&object, "Authorized").expect("it says who may read");
    assert_eq!((&authorized["status"], &authorized["reason"]), (&json!("True"), &json!("Granted")));
    let requests = world.receiver.wait_for("/denied", 1, A_LOOK).await.expect("what exists is told");
    assert_eq!(told(&requests[0]), ("new".to_owned(), "early".to_owned()));
}

#[tokio::test]
async fn what_an_account_may_not_get_is_not_even_found_missing() {
    let world = World::shared().await;
    account(&world, "lister", &json!([rule("", "configmaps", &["list", "watch"])])).await;
    let patch = json!({"serviceAccountName": "lister", "signing": {"secretRef": {"name": "not-there"}}});
    world.apply(&world.subscription("oracle", patch).to_string()).await;
    let ready = world.condition("oracle", "Ready", "False", "NotAuthorized").await;
    assert!(message(&ready).contains("may not get Secret not-there; to allow it"), "{ready}");
}

#[tokio::test]
async fn a_right_that_a_group_of_the_account_has_counts() {
    let world = World::shared().await;
    account(&world, "member", &json!([])).await;
    account(&world, "others", &reads_all()).await;
    let namespace = &world.namespace;
    let group = format!("--group=system:serviceaccounts:{namespace}");
    world.kubectl(&["create", "rolebinding", "everybody", "--role=others", &group]).await;
    until_may(&world, "others", "list", "configmaps", true).await;
    world.subscribe("member", json!({"serviceAccountName": "member"})).await;
    world.config_map("thing", json!({})).await;
    world.requests("member", 1).await;
}

#[tokio::test]
async fn an_account_that_does_not_exist_or_no_longer_does_is_named_and_looked_for() {
    let world = World::shared().await;
    account(&world, "later", &reads_all()).await;
    world.kubectl(&["delete", "serviceaccount", "later"]).await;
    world.secret().await;
    world.apply(&world.subscription("lost", json!({"serviceAccountName": "later"})).to_string()).await;
    // its rights are bound still
    let ready = world.condition("lost", "Ready", "False", "ServiceAccountNotFound").await;
    world.condition("lost", "Authorized", "False", "ServiceAccountNotFound").await;
    let remedy = format!("kubectl create serviceaccount later --namespace {}", world.namespace);
    assert!(message(&ready).ends_with(&remedy), "{ready}");
    let words: Vec<&str> = remedy.split(' ').skip(1).collect();
    world.plane().kubectl_ok(&words).await.expect("the command works as it is");
    ready_later(&world, "lost").await;
}

#[tokio::test]
async fn rights_taken_away_under_load_stop_it_and_given_back_bring_all_that_is_owed() {
    let world = World::shared().await;
    barrier(&world).await;
    account(&world, "fickle", &reads_all()).await;
    world.subscribe("fickle", json!({"serviceAccountName": "fickle"})).await;
    let objects = 12;
    let change = async |round: &str| {
        for n in 0..objects {
            world.config_map(&format!("thing-{n}"), json!({"round": round})).await;
        }
    };
    change("first").await;
    world.requests("fickle", objects).await;
    unbind(&world, "fickle").await;
    until_may(&world, "fickle", "list", "configmaps", false).await;
    let load = async {
        for round in 0_u32.. {
            change(&round.to_string()).await;
        }
    };
    let taken = async {
        let denied = |object: &Value| condition(object, "Authorized").is_some_and(|found| found["status"] == "False");
        edited_until(&world, "fickle", denied).await;
        Instant::now()
    };
    let known = tokio::select! {
        known = taken => known,
        () = load => panic!("there is always more"),
    };
    change("last").await;
    // all of it went past the subscription that may read it
    world.receiver.wait_until(|all| last_rounds(all, "/barrier", objects, "last"), A_LOOK).await.expect("the barrier");
    let late = world.receiver.requests("/fickle").iter().filter(|request| request.arrived > known).count();
    assert_eq!(late, 0, "requests began after the operator knew");
    assert!(!last_rounds(&world.receiver.all_requests(), "/fickle", objects, "last"), "there is something owed");

    account(&world, "fickle", &reads_all()).await;
    world.receiver.wait_until(|all| last_rounds(all, "/fickle", objects, "last"), A_LOOK).await.expect("what is owed");
    ready_later(&world, "fickle").await;
}

/// Whether every object's newest state has reached the path.
fn last_rounds(all: &[testbed::receiver::Request], path: &str, objects: usize, round: &str) -> bool {
    let on_path = all.iter().filter(|request| request.path() == path).filter_map(|request| request.json().ok());
    let newest = on_path.filter(|body| body["change"]["object"]["data"]["round"] == round);
    let names: std::collections::BTreeSet<String> =
        newest.map(|body| body["change"]["server_name"].to_string()).collect();
    names.len() == objects
}

#[tokio::test]
async fn while_nobody_answers_nothing_new_begins_and_what_was_allowed_goes_on() {
    let mut world = World::private().await;
    let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
    let mut options = world.operator_options();
    options.server_override = Some(proxy.url());
    world.operator = Some(Arc::new(Operator::start(options).await.expect("the operator gets ready")));
    world.subscribe("known", json!({})).await;
    let reviews = || Matcher::any().containing("/localsubjectaccessreviews");
    let down = proxy.inject(reviews(), Fault::Status(503), Times::Always);
    // another account: what is known of one says nothing of another
    account(&world, "stranger", &reads_all()).await;
    world.apply(&world.subscription("unknown", json!({"serviceAccountName": "stranger"})).to_string()).await;
    let ready = world.condition("unknown", "Ready", "False", "AccessReviewFailed").await;
    assert!(message(&ready).contains("the API server answered 503"), "{ready}");
    world.condition("unknown", "Authorized", "Unknown", "AccessReviewFailed").await;
    world.condition("unknown", "Reconciling", "True", "ProgressingWithRetry").await;
    world.config_map("thing", json!({})).await;
    world.requests("known", 1).await;
    // an edit asks anew, and gets no answer: the last one counts
    let asked = down.hits();
    edited_until(&world, "known", |_| down.hits() > asked + 20).await;
    world.ready("known").await;
    world.config_map("other", json!({})).await;
    world.requests("known", 2).await;
    assert_eq!(world.receiver.requests("/unknown").len(), 0);
    down.clear();
    ready_later(&world, "unknown").await;
    // a restart forgets what was known, so what cannot be asked about is held
    let down = proxy.inject(reviews(), Fault::Status(403), Times::Always);
    world.operator().stop().await.expect("it stops");
    world.operator = Some(Arc::new(world.operator().again().await.expect("it gets ready again")));
    let ready = world.condition("known", "Ready", "False", "AccessReviewFailed").await;
    assert!(message(&ready).contains("changehook may not create localsubjectaccessreviews"), "{ready}");
    world.config_map("owed", json!({})).await;
    down.clear();
    let owed = world.receiver.wait_for("/known", 3, A_LOOK).await.expect("what is owed");
    assert_eq!(told(&owed[2]), ("new".to_owned(), "owed".to_owned()));
}

#[tokio::test]
async fn a_kind_that_is_installed_later_is_not_told_before_its_account_may_read_it() {
    let mut world = World::private().await;
    world.start_operator().await;
    unbind(&world, READER).await;
    account(&world, "narrow", &reads_all()).await;
    world.secret().await;
    let resources =
        json!([{"apiVersion": "v1", "kind": "ConfigMap"}, {"apiVersion": "example.com/v1", "kind": "Widget"}]);
    let patch = json!({"serviceAccountName": "narrow", "resources": resources});
    world.apply(&world.subscription("later", patch).to_string()).await;
    world.condition("later", "Ready", "False", "KindNotInstalled").await;
    world.config_map("meanwhile", json!({})).await;
    world.requests("later", 1).await;
    // once it is certain that there is no such kind, all of its objects are new
    let certain = || async { world.operator().log().contains("the kind is not served").then_some(()) };
    eventually(A_LOOK, certain).await.expect("absence is proven");
    world.widgets().await;
    for n in 0..20 {
        world.widget(&format!("secret-{n}"), json!({})).await;
    }
    let look = || async {
        let object = world.get("later").await;
        let ready = condition(&object, "Ready").cloned().unwrap_or_default();
        if ready["reason"] == "NotAuthorized" { Ok(ready) } else { Err(ready.to_string()) }
    };
    let ready = eventually(A_LOOK, look).await.expect("it is asked about");
    assert!(message(&ready).contains("may not list widgets.example.com, watch widgets.example.com"), "{ready}");
    assert_eq!(world.receiver.requests("/later").len(), 1, "no Widget was told");
    let widgets = rule("example.com", "widgets", &["list", "watch"]);
    let mut rules = reads_all();
    rules.as_array_mut().expect("a list").push(widgets);
    account(&world, "narrow", &rules).await;
    world.receiver.wait_for("/later", 21, A_LOOK).await.expect("all of them are told now");
}

#[tokio::test]
async fn an_operator_that_is_to_answer_for_all_asks_about_no_account() {
    let mut world = World::private().await;
    unbind(&world, READER).await;
    let mut options = world.operator_options();
    options.settings.insert("authorization", "Operator".to_owned());
    world.operator = Some(Arc::new(Operator::start(options).await.expect("the operator gets ready")));
    world.subscribe("trusting", json!({"serviceAccountName": "nobody"})).await;
    assert!(condition(&world.get("trusting").await, "Authorized").is_none());
    world.config_map("thing", json!({})).await;
    world.requests("trusting", 1).await;
    let asked = world.operator().metric("changehook_access_reviews_total{outcome=\"Allowed\"}").await;
    assert_eq!(asked.expect("there are metrics"), Some(0.0));
}
