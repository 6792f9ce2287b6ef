//! etcd is restored from a copy: the cluster and the ledger in it are what they were.

use serde_json::json;
use testbed::eventually;

use super::{LATER, Life, NAME, SETTLED};

#[tokio::test]
async fn after_a_restore_of_etcd_the_endpoint_ends_at_the_clusters_state_and_sequences_only_grow() {
    for running in [true, false] {
        let mut life = Life::subscribed(json!({})).await;
        for name in ["kept", "edited", "deleted"] {
            life.marker(name).await;
        }
        life.settled().await;
        let backup = life.world.plane().back_up_storage().await.expect("etcd's data can be copied");
        life.restart_if_it_ended().await;
        life.world.config_map("edited", json!({"n": "2"})).await;
        life.world.kubectl(&["delete", "configmap", "deleted"]).await;
        life.marker("created").await;
        let told = ["new created", "new deleted", "new edited", "new kept", "removed deleted", "updated edited"];
        life.told_exactly(&told).await;
        life.settled().await;
        let before = life.tally().0.iter().map(|telling| telling.sequence).max().expect("events were told");
        if !running {
            life.stop().await;
        }
        life.world.plane().restore_storage(&backup).await.expect("etcd's data can be restored");
        if running {
            // its Lease is how it notices
            let ended = life.operator().wait(LATER).await;
            let log = life.operator().log();
            let ended = ended.unwrap_or_else(|error| panic!("it ends: {error}\n{log}"));
            let noticed = log.contains("the cluster is older than what was written to it");
            assert!(!ended.success() && noticed, "{log}");
            life.free_lease().await;
        }
        life.start().await;
        life.world.config_map("afterwards", json!({})).await;
        // the runbook's last step
        let now = format!("changehook.dev/resync-requested-at=running-{running}");
        life.world.kubectl(&["annotate", "whsub", NAME, "--overwrite", &now]).await;
        // what the endpoint has and the cluster does not nobody can tell
        let names = ["kept", "edited", "deleted", "afterwards"];
        let all = || async {
            let tally = life.tally();
            let told = |name: &&str| tally.0.iter().any(|one| one.name == **name && one.sequence > before);
            let missing: Vec<&str> = names.iter().filter(|name| !told(name)).copied().collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
        };
        if let Err(error) = eventually(LATER, all).await {
            panic!("running: {running}: not told again: {error}\n{}", life.log_tail());
        }
        // the loss and the request are each told, one after the other
        let rests = || async { life.world.receiver.stays_quiet(SETTLED).await };
        eventually(LATER, rests).await.expect("it comes to rest");
        let tally = life.tally();
        assert!(tally.contradictions().is_empty(), "{:#?}", tally.contradictions());
        let newest = |name: &str| tally.0.iter().filter(|one| one.name == name).max_by_key(|one| one.sequence).cloned();
        let edited = newest("edited").expect("it was told");
        assert_eq!(edited.object["data"], serde_json::Value::Null, "the state that was restored");
        assert_ne!(newest("deleted").expect("it was told").change, "removed", "it is there again");
    }
}
