//! namespaceSelector: labels of Namespaces bring objects into the selection and take them out.

use serde_json::json;
use testbed::fault_proxy::{Fault, Matcher, Times};
use testbed::{FaultProxy, Operator, eventually};

use super::Wide;
use crate::world::{SOON, World, condition, pair};

fn of_team(team: &str) -> serde_json::Value {
    json!({"namespaceSelector": {"matchLabels": {"team": team}}})
}

#[tokio::test]
async fn a_namespace_that_gets_the_labels_brings_its_objects_in_as_new_and_one_that_loses_them_takes_them_out_as_removed()
 {
    let wide = Wide::shared().await;
    let team = wide.own();
    let (inside, outside) = (wide.namespace("in", json!({"team": team})).await, wide.namespace("out", json!({})).await);
    wide.subscribe("labels", of_team(team)).await;
    wide.config_map(&outside, "outer", "1").await;
    wide.config_map(&inside, "inner", "1").await;
    assert_eq!(wide.told("labels", 1).await, [pair("new", "inner")]);
    wide.label(&outside, &format!("team={team}")).await;
    assert_eq!(wide.told("labels", 2).await, [pair("new", "inner"), pair("new", "outer")]);
    wide.label(&inside, "team-").await;
    let three = [pair("new", "inner"), pair("new", "outer"), pair("removed", "inner")];
    assert_eq!(wide.told("labels", 3).await, three);
    wide.config_map(&inside, "inner", "2").await;
    wide.config_map(&outside, "outer", "2").await;
    let last = wide.requests("labels", 4).await.pop().expect("there are four");
    assert_eq!(crate::world::told(&last), pair("updated", "outer"));
    // and once more: another event, though the object is as it was
    wide.label(&inside, &format!("team={team}")).await;
    let last = wide.requests("labels", 5).await.pop().expect("there are five");
    assert_eq!(crate::world::told(&last), pair("new", "inner"));
    let ids: std::collections::BTreeSet<_> = wide
        .requests("labels", 5)
        .await
        .iter()
        .map(|request| crate::world::verified(request)["change"]["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 5, "each is an event of its own");
}

#[tokio::test]
async fn a_namespace_that_is_made_with_the_labels_is_in_the_selection() {
    let wide = Wide::shared().await;
    let team = wide.own();
    let object = wide.subscribe("made", of_team(team)).await;
    let ready = condition(&object, "Ready").expect("it is ready");
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("spec.namespaceSelector matches no namespace"), "{ready}");
    let made = wide.namespace("made", json!({"team": team})).await;
    wide.config_map(&made, "thing", "1").await;
    assert_eq!(wide.told("made", 1).await, [pair("new", "thing")]);
    wide.until("made", "it says that nothing matches", |object| {
        condition(object, "Ready")
            .is_some_and(|ready| !ready["message"].as_str().unwrap_or_default().contains("matches no"))
    })
    .await;
}

#[tokio::test]
async fn an_edit_of_the_selector_is_silent_unless_it_is_to_be_told() {
    let wide = Wide::shared().await;
    let (a, b) = (format!("{}-a", wide.own()), format!("{}-b", wide.own()));
    for (name, team) in [("in-a", &a), ("in-b", &b)] {
        let namespace = wide.namespace(name, json!({"team": team})).await;
        wide.config_map(&namespace, name, "1").await;
    }
    let mut told = of_team(&a);
    told["selectionChange"] = "Notify".into();
    wide.subscribe("silent", of_team(&a)).await;
    wide.subscribe("told", told.clone()).await;
    told["namespaceSelector"] = of_team(&b)["namespaceSelector"].take();
    wide.subscribe("silent", of_team(&b)).await;
    wide.subscribe("told", told).await;
    assert_eq!(wide.told("told", 2).await, [pair("new", "in-b"), pair("removed", "in-a")]);
    let namespace = wide.named("in-b");
    wide.config_map(&namespace, "in-b", "2").await;
    assert_eq!(wide.told("silent", 1).await, [pair("updated", "in-b")]);
}

#[tokio::test]
async fn a_namespace_itself_is_judged_by_its_own_labels() {
    let wide = Wide::shared().await;
    let team = wide.own();
    let mut spec = of_team(team);
    spec["resources"] = json!([{"apiVersion": "v1", "kind": "Namespace"}]);
    wide.subscribe("spaces", spec).await;
    let name = wide.namespace("space", json!({"team": team})).await;
    wide.requests("spaces", 1).await;
    wide.label(&name, "team=other").await;
    assert_eq!(wide.told("spaces", 2).await, [pair("new", &name), pair("removed", &name)]);
}

#[tokio::test]
async fn what_happened_to_labels_while_no_operator_ran_is_told_and_nothing_else() {
    let wide = Wide::poor(World::private().await).await;
    let operator = Operator::start(wide.world.operator_options()).await.expect("it gets ready");
    wide.allow(json!([{"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["list", "watch"]}]))
        .await;
    let stays = wide.namespace("stays", json!({"team": "t"})).await;
    let leaves = wide.namespace("leaves", json!({"team": "t"})).await;
    let comes = wide.namespace("comes", json!({})).await;
    wide.subscribe("down", of_team("t")).await;
    for (namespace, name) in [(&stays, "stays"), (&leaves, "leaves"), (&comes, "comes")] {
        wide.config_map(namespace, name, "1").await;
    }
    assert_eq!(wide.told("down", 2).await, [pair("new", "leaves"), pair("new", "stays")]);
    wide.until("down", "not all is recorded", |object| object["status"]["ledger"]["entries"] == 2).await;
    operator.stop().await.expect("it ends");
    wide.label(&leaves, "team-").await;
    wide.label(&comes, "team=t").await;
    let _again = operator.again().await.expect("it gets ready again");
    let told = wide.told("down", 4).await;
    assert_eq!(told, [pair("new", "comes"), pair("new", "leaves"), pair("new", "stays"), pair("removed", "leaves")]);
}

#[tokio::test]
async fn namespaces_that_cannot_be_listed_are_told_and_nothing_is_taken_for_not_selected() {
    let wide = Wide::poor(World::private().await).await;
    let proxy = FaultProxy::start(wide.world.plane()).await.expect("a proxy starts");
    let mut options = wide.world.operator_options();
    options.server_override = Some(proxy.url());
    let operator = Operator::start(options).await.expect("it gets ready");
    wide.allow(json!([{"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["list", "watch"]}]))
        .await;
    let namespace = wide.namespace("in", json!({"team": "t"})).await;
    wide.subscribe("blind", of_team("t")).await;
    wide.config_map(&namespace, "thing", "1").await;
    wide.requests("blind", 1).await;
    operator.stop().await.expect("it ends");
    let refused = proxy.inject(Matcher::lists("namespaces"), Fault::Status(403), Times::Always);
    let _again = operator.again().await.expect("it gets ready again");
    let message = wide.message("blind", "Ready", "NotAuthorized").await;
    assert!(message.contains("spec.namespaceSelector: changehook may not list and watch namespaces"), "{message}");
    wide.config_map(&namespace, "thing", "2").await;
    refused.clear();
    let ready = || async {
        let object = wide.get("blind").await;
        condition(&object, "Ready").is_some_and(|ready| ready["status"] == "True").then_some(())
    };
    eventually(3 * SOON, ready).await.expect("it gets ready by itself");
    assert_eq!(wide.told("blind", 2).await, [pair("new", "thing"), pair("updated", "thing")]);
}
