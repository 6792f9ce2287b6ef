//! What a noisy tenant costs a quiet one: how long the quiet one's changes take to its endpoint, without and with a
//! neighbour that writes as fast as the API server takes it, has objects as large as it stores them, and many subscriptions to
//! one host that accepts connections and never answers.
//!
//! The API server, its store and those who write share the machine with the operator, so the noise is made twice: with one
//! subscription, which shows what the noise costs by itself, and with many. What is between the two is the operator's doing.

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, future::try_join};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::json;
use testbed::{
    ControlPlane, Error, Operator, OperatorOptions, Result, eventually,
    program::{self, Profile},
};

use super::{
    KEY, PATIENCE,
    arrivals::Endpoint,
    percentile, say,
    writes::{self, Kind, Write},
};

const GROUP: &str = "example.com";
const VERSION: &str = "example.com/v1";
const GADGET: &str = "Gadget";
const QUIET: &str = "quiet";
const NOISY: &str = "noisy";
const OBJECTS: usize = 20;
/// Changes of the quiet tenant, and how many a second.
const CHANGES: usize = 600;
const PACE: u32 = 20;
const WRITERS: usize = 8;
/// Nearly what etcd takes in one request, 1.5 MiB with all that is around it. A ConfigMap may hold less.
const LARGE: usize = 1_550_000;
const LARGE_EVERY: Duration = Duration::from_millis(200);

/// Prints a table, and the ratio of the two.
pub async fn run(subscriptions: u32) -> Result<()> {
    let binary = program::build(Profile::Release).await?;
    let control_plane = ControlPlane::start().await?;
    control_plane.apply_crds(&program::checkout().join("crds")).await?;
    let mut endpoint = Endpoint::start(KEY).await?;
    // nobody accepts what comes in, so that it hangs
    let dead = TcpListener::bind("127.0.0.1:0").map_err(|error| Error::caused("failed to open a port", error))?;
    let port = dead.local_addr().map_err(|error| Error::caused("failed to open a port", error))?.port();
    let _operator = Operator::start(OperatorOptions::new(binary, &control_plane)).await?;
    gadgets(&control_plane).await?;
    for namespace in [QUIET, NOISY] {
        control_plane.kubectl_ok(&["create", "namespace", namespace]).await?;
        control_plane.tenant(namespace).await?;
    }
    subscribe(&control_plane, QUIET, 1, &endpoint.receiver.url("/hook")).await?;
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "whsub", "load-0", "-n", QUIET];
    control_plane.kubectl_ok(&ready).await?;
    let created = writes::write(&control_plane, QUIET, Kind::Create, OBJECTS, 1).await?;
    endpoint.all_of(&created, PATIENCE).await?;

    let seen = Sightings::begin(&control_plane).await?;
    say(&format!("{:<28} {:>9} {:>9} {:>9} {:>13} {:>13}", "", "noise/s", "p50", "p99", "p99 watch", "p99 operator"));
    let alone = quiet(&control_plane, &mut endpoint, &seen, 1).await?;
    alone.line("without noise", 0.0);

    writes::write(&control_plane, NOISY, Kind::Create, OBJECTS, 1).await?;
    let mut beside = Vec::new();
    for (part, count) in [(1, 1), (2, subscriptions)] {
        subscribe(&control_plane, NOISY, count, &format!("http://127.0.0.1:{port}/hook")).await?;
        await_all(&control_plane, count).await?;
        let first = part * 1_000_000;
        let (made, start) = (AtomicUsize::new(0), Instant::now());
        let noise = try_join(busy(&control_plane, &made, first), large(&control_plane, first));
        let delays = tokio::select! {
            done = quiet(&control_plane, &mut endpoint, &seen, first) => done?,
            ended = noise => {
                ended?;
                return Err(Error::new("failed to go on making noise"));
            }
        };
        let noise = made.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
        delays.line(&format!("noise, subscriptions: {count}"), noise);
        beside.push(delays);
    }
    let p99 = |delays: &Delays| super::value(&delays.all, 99).as_secs_f64();
    say(&format!(
        "{subscriptions} subscriptions to a host that hangs, objects of {LARGE} bytes; p99 with them / with one: {:.1}, \
         with them / without noise: {:.1}",
        p99(&beside[1]) / p99(&beside[0]).max(0.001),
        p99(&beside[1]) / p99(&alone).max(0.001)
    ));
    Ok(())
}

/// A kind of objects that may be large; one of those that the operator is started with the right to watch.
async fn gadgets(control_plane: &ControlPlane) -> Result<()> {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let kind = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("gadgets.{GROUP}")},
        "spec": {"group": GROUP, "scope": "Namespaced",
            "names": {"kind": GADGET, "listKind": "GadgetList", "plural": "gadgets", "singular": "gadget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": open}}}}]}});
    control_plane.apply_yaml(&kind.to_string(), "default").await?;
    let name = format!("crd/gadgets.{GROUP}");
    control_plane.kubectl_ok(&["wait", "--for=condition=Established", "--timeout=60s", &name]).await?;
    Ok(())
}

/// The operator has taken up all of the noisy tenant's subscriptions.
async fn await_all(control_plane: &ControlPlane, count: u32) -> Result<()> {
    let path = "jsonpath={range .items[*]}{.status.observedGeneration}{end}";
    eventually(PATIENCE, || async {
        let taken = control_plane.kubectl_ok(&["get", "whsub", "-n", NOISY, "-o", path]).await.ok()?;
        (taken.trim().len() >= count as usize).then_some(())
    })
    .await
    .map_err(|error| Error::caused("failed to see every subscription taken up", error))
}

async fn subscribe(control_plane: &ControlPlane, namespace: &str, count: u32, url: &str) -> Result<()> {
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"},
        "stringData": {"secret": KEY}})];
    objects.extend((0..count).map(|number| {
        json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
        "metadata": {"name": format!("load-{number}")}, "spec": {
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap"}, {"apiVersion": VERSION, "kind": GADGET}],
            "endpoint": {"url": url},
            "signing": {"secretRef": {"name": "signing"}},
        }})
    }));
    for part in objects.chunks(100) {
        let text: Vec<String> = part.iter().map(ToString::to_string).collect();
        control_plane.apply_yaml(&text.join("\n---\n"), namespace).await?;
    }
    Ok(())
}

/// Small changes, as many as the API server takes.
async fn busy(control_plane: &ControlPlane, made: &AtomicUsize, first: u64) -> Result<()> {
    const BATCH: usize = 400;
    for round in 1.. {
        let kind = Kind::Update { objects: OBJECTS, first: first + round * 100 };
        writes::write(control_plane, NOISY, kind, BATCH, WRITERS).await?;
        made.fetch_add(BATCH, Ordering::Relaxed);
    }
    Ok(())
}

/// Changes of one large object at an even pace: etcd keeps every version for a while, and holds 2 GiB.
async fn large(control_plane: &ControlPlane, first: u64) -> Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", GADGET));
    let api: Api<DynamicObject> = Api::namespaced_with(control_plane.client().await?, NOISY, &kind);
    let params = PatchParams::apply("load").force();
    let mut pace = tokio::time::interval(LARGE_EVERY);
    for n in first.. {
        pace.tick().await;
        let object = json!({"apiVersion": VERSION, "kind": GADGET, "metadata": {"name": "large"},
            "spec": {"n": n, "filler": "x".repeat(LARGE)}});
        let patched = api.patch("large", &params, &Patch::Apply(object)).await;
        patched.map_err(|error| Error::caused("failed to write a large object", error))?;
    }
    Ok(())
}

/// Of each change, in ascending order.
struct Delays {
    /// From the API server's answer to the request.
    all: Vec<Duration>,
    /// From the API server's answer to the event of a watch.
    watch: Vec<Duration>,
    /// From that event to the request.
    ours: Vec<Duration>,
}

impl Delays {
    fn line(&self, what: &str, noise: f64) {
        say(&format!(
            "{what:<28} {noise:>9.0} {:>9} {:>9} {:>13} {:>13}",
            percentile(&self.all, 50),
            percentile(&self.all, 99),
            percentile(&self.watch, 99),
            percentile(&self.ours, 99)
        ));
    }
}

async fn quiet(control_plane: &ControlPlane, endpoint: &mut Endpoint, seen: &Sightings, first: u64) -> Result<Delays> {
    let kind = Kind::Update { objects: OBJECTS, first };
    let done = writes::write_evenly(control_plane, QUIET, kind, CHANGES, PACE).await?;
    endpoint.all_of(&done, PATIENCE).await?;
    eventually(PATIENCE, || async { done.iter().all(|write| seen.of(write).is_some()).then_some(()) })
        .await
        .map_err(|error| Error::caused("failed to see every change by a watch", error))?;
    let sorted = |delay: &dyn Fn(&Write) -> Option<Duration>| {
        let mut all: Vec<Duration> = done.iter().filter_map(delay).collect();
        all.sort_unstable();
        all
    };
    Ok(Delays {
        all: endpoint.latencies(&done),
        watch: sorted(&|write| Some(seen.of(write)?.saturating_duration_since(write.taken))),
        ours: sorted(&|write| Some(endpoint.arrival(write)?.saturating_duration_since(seen.of(write)?))),
    })
}

/// When a watch beside the operator's saw each change of the quiet tenant.
struct Sightings(Arc<Mutex<HashMap<(String, u64), Instant>>>);

impl Sightings {
    async fn begin(control_plane: &ControlPlane) -> Result<Self> {
        let api: Api<ConfigMap> = Api::namespaced(control_plane.client().await?, QUIET);
        let watch = api.watch(&WatchParams::default().timeout(290), "0").await;
        let mut events = Box::pin(watch.map_err(|error| Error::caused("failed to watch", error))?);
        let seen = Self(Arc::default());
        let noted = Arc::clone(&seen.0);
        tokio::spawn(async move {
            while let Some(Ok(event)) = events.next().await {
                if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event
                    && let (Some(name), Some(data)) = (object.metadata.name, object.data)
                    && let Some(n) = data.get("n").and_then(|n| n.parse().ok())
                {
                    let at = Instant::now();
                    noted.lock().unwrap_or_else(PoisonError::into_inner).entry((name, n)).or_insert(at);
                }
            }
        });
        Ok(seen)
    }

    fn of(&self, write: &Write) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(write.name.clone(), write.n)).copied()
    }
}
