//! kubectl by hand: `kubectl wait` after edits, and a resync that leaves no trace in what Git has.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Matcher, Times};
use testbed::{FaultProxy, Operator, eventually};

use crate::history::said;
use crate::judge::judge;
use crate::world::{SOON, World, condition};

const NAME: &str = "orders";
const ANNOTATION: &str = "changehook.dev/resync-requested-at";

/// A private world whose operator tells everything a while after it is so: whoever asks at once asks too early.
async fn slow_to_tell() -> (World, FaultProxy) {
    let mut world = World::private().await;
    let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
    let statuses = Matcher::any().method("PATCH").containing("/status?");
    proxy.inject(statuses, Fault::Delay(Duration::from_millis(700)), Times::Always);
    let mut options = world.operator_options();
    options.server_override = Some(proxy.url());
    let operator = Operator::start(options).await.expect("the operator gets ready");
    world.operator = Some(std::sync::Arc::new(operator));
    (world, proxy)
}

/// Edits the spec and gives the generation that this made.
async fn edit(world: &World, spec: Value) -> i64 {
    let patch = json!({"spec": spec}).to_string();
    let patched = world.kubectl(&["patch", "whsub", NAME, "--type=merge", "--patch", &patch, "-o", "json"]).await;
    let patched: Value = serde_json::from_str(&patched).expect("it is JSON");
    patched["metadata"]["generation"].as_i64().expect("a generation")
}

#[tokio::test]
async fn kubectl_wait_after_an_edit_never_returns_on_the_old_generation() {
    let (world, _proxy) = slow_to_tell().await;
    world.subscribe(NAME, json!({})).await;
    let wait = ["wait", "--for=condition=Ready", "whsub", NAME, "--timeout=30s", "-o", "json"];
    for round in 0..20 {
        let generation = edit(&world, json!({"endpoint": {"timeoutSeconds": 5 + round % 20}})).await;
        let met: Value = serde_json::from_str(&world.kubectl(&wait).await).expect("it is JSON");
        let ready = condition(&met, "Ready").expect("it is Ready");
        assert_eq!(
            (&ready["status"], &ready["observedGeneration"], &met["status"]["observedGeneration"]),
            (&json!("True"), &json!(generation), &json!(generation)),
            "round {round}: {:#}",
            met["status"]
        );
    }
}

#[tokio::test]
async fn kubectl_wait_after_an_edit_that_breaks_it_does_not_take_the_ready_of_before() {
    let (world, _proxy) = slow_to_tell().await;
    world.subscribe(NAME, json!({})).await;
    for round in 0..3 {
        let good = world.receiver.url(&format!("/{NAME}"));
        edit(&world, json!({"endpoint": {"url": "https://169.254.169.254/"}})).await;
        let args = ["--namespace", &world.namespace, "wait", "--for=condition=Ready", "whsub", NAME, "--timeout=3s"];
        let output = world.plane().kubectl(&args).await.expect("kubectl runs");
        assert!(!output.status.success(), "round {round}: {}", output.stdout);
        assert!(output.stderr.contains("timed out waiting for the condition"), "{}", output.stderr);
        // what a script would wait for beside it
        world.kubectl(&["wait", "--for=condition=Stalled", "whsub", NAME, "--timeout=30s"]).await;
        edit(&world, json!({"endpoint": {"url": good}})).await;
        world.kubectl(&["wait", "--for=condition=Ready", "whsub", NAME, "--timeout=30s"]).await;
    }
}

#[tokio::test]
async fn a_resync_by_annotation_is_no_drift_and_no_rollout() {
    let world = World::shared().await;
    world.secret().await;
    let manifest = world.subscription(NAME, json!({})).to_string();
    let apply = async || {
        let config = world.plane().kubeconfig_path();
        let args = ["--namespace", &world.namespace, "apply", "-f", "-"];
        world.plane().kubectl_as(config, &args, &manifest).await.expect("kubectl runs").stdout
    };
    apply().await;
    world.ready(NAME).await;
    world.config_map("a", json!({})).await;
    world.requests(NAME, 1).await;
    let delivered = |o: &Value| o["status"]["totals"]["delivered"] == 1;
    let before = world.until(NAME, "not delivered", delivered).await;

    world.kubectl(&["annotate", "whsub", NAME, &format!("{ANNOTATION}=monday")]).await;
    // while it is under way the object is as healthy as it was
    let now = world.get(NAME).await;
    let verdicts = judge(&[&now]).await;
    assert_eq!((&*verdicts[0].kstatus.status, &*verdicts[0].argo().status), ("Current", "Healthy"));
    world.requests(NAME, 2).await;
    let echoed = |o: &Value| o["status"]["resync"]["observedRequestedAt"] == "monday";
    let after = world.until(NAME, "not told", echoed).await;
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(said(&after, "Ready"), "True(Watching)");

    // what is in Git is applied again, and nothing has to be put right
    let applied = apply().await;
    assert!(applied.contains("unchanged"), "{applied}");
    // a controller that takes back what it does not know is not asked for another one
    world.kubectl(&["annotate", "whsub", NAME, &format!("{ANNOTATION}-")]).await;
    world.config_map("marker", json!({})).await;
    let requests = world.requests(NAME, 3).await;
    assert_eq!(crate::world::told(&requests[2]), ("new".to_owned(), "marker".to_owned()));
    let still = || async { echoed(&world.get(NAME).await).then_some(()) };
    eventually(SOON, still).await.expect("what was asked stays on record");
}
