//! Endpoints that failed, and an operator that is restarted while a retry waits.

use std::sync::Arc;

use serde_json::json;
use testbed::Reply;

use crate::world::{World, verified};

#[tokio::test]
async fn a_retry_that_waits_at_a_restart_is_made_once_by_the_next_operator_with_the_same_id() {
    let mut world = World::private().await;
    world.start_operator().await;
    for killed in [false, true] {
        let name = if killed { "killed" } else { "stopped" };
        world.receiver.script(&format!("/{name}"), vec![Reply::Status(503)]);
        let patch = json!({"retryPolicy": {"initialDelaySeconds": 8, "jitterPercent": 0},
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap", "names": [name]}]});
        world.subscribe(name, patch).await;
        world.config_map(name, json!({})).await;
        let before = world.requests(name, 1).await.remove(0);
        world.until(name, "no retry waits", |object| object["status"]["retries"][0]["attempt"] == 1).await;
        if killed {
            world.operator().kill().await.expect("it ends");
            world.plane().free_lease("changehook-system").await.expect("nobody has it");
        } else {
            assert!(world.operator().stop().await.expect("it ends").success());
        }
        world.operator = Some(Arc::new(world.operator().again().await.expect("it gets ready again")));
        let after = world.requests(name, 2).await.remove(1);
        let bodies = [&before, &after].map(verified);
        assert_eq!(before.header("webhook-id"), after.header("webhook-id"));
        assert_eq!(bodies[0]["change"]["sequence"], bodies[1]["change"]["sequence"]);
        world.until(name, "not delivered", |object| object["status"]["delivery"]["pending"] == 0).await;
        world.config_map(name, json!({"marker": "1"})).await;
        let all = world.requests(name, 3).await;
        assert_eq!(all.len(), 3, "it was made once");
    }
}
