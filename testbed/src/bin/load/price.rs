//! What the durable ledger costs: how long after the API server took a change its request is at the endpoint, at an even
//! pace, with the ledger in the cluster (a record is written before each first request) and with one in memory.

use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{
    ControlPlane, Operator, OperatorOptions, Result,
    program::{self, Profile},
};

use super::{
    NAMESPACE, PATIENCE,
    arrivals::Endpoint,
    percentile, say,
    writes::{self, Kind},
};

const OBJECTS: usize = 200;
/// Changes a second, and how many in all.
const PACES: [(u32, usize); 3] = [(10, 150), (50, 750), (1000, 5000)];

/// Prints a table.
pub async fn run() -> Result<()> {
    let binary = program::build(Profile::Release).await?;
    say(&format!("{:<12} {:>9} {:>9} {:>9} {:>9} {:>9}", "ledger", "wanted/s", "changes", "made/s", "p50", "p99"));
    for ledger in ["kubernetes", "memory"] {
        // a control plane each, so that neither has the other's history
        let control_plane = ControlPlane::start().await?;
        control_plane.apply_crds(&program::checkout().join("crds")).await?;
        let mut endpoint = Endpoint::start(super::KEY).await?;
        let mut options = OperatorOptions::new(binary.clone(), &control_plane);
        options.args.push(format!("--ledger={ledger}"));
        let _operator = Operator::start(options).await?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"},
            "stringData": {"secret": super::KEY}});
        let subscription = json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
        "metadata": {"name": "load"}, "spec": {
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap"}],
            "endpoint": {"url": endpoint.receiver.url("/hook")},
            "signing": {"secretRef": {"name": "signing"}},
        }});
        control_plane.tenant(NAMESPACE).await?;
        control_plane.apply_yaml(&format!("{secret}\n---\n{subscription}"), NAMESPACE).await?;
        control_plane.kubectl_ok(&["wait", "--for=condition=Ready", "--timeout=60s", "whsub", "load"]).await?;
        let created = writes::write(&control_plane, NAMESPACE, Kind::Create, OBJECTS, 8).await?;
        endpoint.all_of(&created, PATIENCE).await?;
        for (round, (pace, count)) in (1_u64..).zip(PACES) {
            let kind = Kind::Update { objects: OBJECTS, first: round * 1_000_000 };
            let start = Instant::now();
            let done = writes::write_evenly(&control_plane, NAMESPACE, kind, count, pace).await?;
            let made = count as f64 / start.elapsed().as_secs_f64();
            endpoint.all_of(&done, PATIENCE).await?;
            let latencies: Vec<Duration> = endpoint.latencies(&done);
            let (p50, p99) = (percentile(&latencies, 50), percentile(&latencies, 99));
            say(&format!("{ledger:<12} {pace:>9} {count:>9} {made:>9.0} {p50:>9} {p99:>9}"));
        }
    }
    Ok(())
}
