//! `cargo load`: the first figure, end to end. Thousands of writes against a real API server on this machine, and how
//! soon, how many and at what cost they are at an endpoint that answers at once. Fails unless the endpoint ends with the
//! cluster's state. Everything runs on the same cores, the API server above all: compare ratios, not machines.

mod arrivals;
mod noise;
mod price;
mod writes;

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use kube::{
    Api,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use testbed::{
    ControlPlane, Error, Operator, OperatorOptions, Result, interrupt,
    program::{self, Profile},
    usage::{self, Usage},
};

use self::{
    arrivals::Endpoint,
    writes::{Kind, Write},
};

const KEY: &str = "load-signing-key";
const NAMESPACE: &str = "default";
const PATIENCE: Duration = Duration::from_mins(5);

#[derive(Parser)]
#[command(name = "cargo load", version, about = "Measure changehook end to end, on a control plane of its own")]
struct Args {
    /// How many objects are created
    #[arg(long, value_name = "COUNT", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    creates: u32,
    /// How many updates are made
    #[arg(long, value_name = "COUNT", default_value_t = 5000)]
    updates: u32,
    /// How many of the objects the updates go to
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    objects: u32,
    /// How many writers there are
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    writers: u32,
    /// Measure what the durable ledger costs instead: latency at an even pace, with it and with one in memory
    #[arg(long)]
    price: bool,
    /// Measure what a noisy tenant costs a quiet one instead
    #[arg(long, conflicts_with = "price")]
    noise: bool,
    /// How many subscriptions the noisy one has
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscriptions: u32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("load: failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        let told_to_stop = interrupt::told_to_stop()?;
        tokio::select! {
            done = measure(&args) => done.map(|()| ExitCode::SUCCESS),
            () = told_to_stop => Ok(ExitCode::from(interrupt::EXIT_CODE)),
        }
    });
    runtime.shutdown_background();
    code.unwrap_or_else(|error: Error| {
        eprintln!("load: {error:?}");
        ExitCode::FAILURE
    })
}

async fn measure(args: &Args) -> Result<()> {
    if args.price {
        price::run().await
    } else if args.noise {
        noise::run(args.subscriptions).await
    } else {
        run(args).await
    }
}

/// Everything that runs.
struct Rig {
    operator: Operator,
    endpoint: Endpoint,
    control_plane: ControlPlane,
    writers: usize,
}

async fn run(args: &Args) -> Result<()> {
    let binary = program::build(Profile::Release).await?;
    let control_plane = ControlPlane::start().await?;
    control_plane.apply_crds(&program::checkout().join("crds")).await?;
    let endpoint = Endpoint::start(KEY).await?;
    let operator = Operator::start(OperatorOptions::new(binary, &control_plane)).await?;
    let mut rig = Rig { operator, endpoint, control_plane, writers: args.writers as usize };
    rig.subscribe(false).await?;
    rig.control_plane.kubectl_ok(&["wait", "--for=condition=Ready", "--timeout=60s", "whsub", "load"]).await?;
    let before = rig.used()?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    say(&format!("on {cores} cores, {} writers, an endpoint that answers at once, maxInFlight 16", args.writers));
    say(&format!(
        "{:<34} {:>7} {:>8} {:>9} {:>10} {:>10} {:>9} {:>9}",
        "", "changes", "requests", "seconds", "changes/s", "requests/s", "p50", "p99"
    ));

    let (creates, updates, objects) = (args.creates as usize, args.updates as usize, args.objects.min(args.creates));
    let mut newest = rig.measure(&format!("create {creates} objects"), Kind::Create, creates).await?;
    let kind = Kind::Update { objects: objects as usize, first: 1 };
    newest.extend(rig.measure(&format!("update {objects} of them, {updates} times"), kind, updates).await?);
    newest.extend(rig.backlog(creates).await?);

    rig.costs(&before)?;
    rig.endpoint.all_of(&newest, PATIENCE).await?;
    let differences = rig.endpoint.mirror.differences(&rig.cluster().await?);
    if let Some(first) = differences.first() {
        return Err(Error::new(format!("failed to deliver everything: {} differences: {first}", differences.len())));
    }
    say(&format!(
        "the endpoint knows all {} objects as the cluster has them; all {} signatures verified",
        rig.endpoint.mirror.objects(),
        rig.endpoint.requests()
    ));
    Ok(())
}

impl Rig {
    async fn subscribe(&self, suspend: bool) -> Result<()> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"},
            "stringData": {"secret": KEY}});
        let subscription = json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
        "metadata": {"name": "load"}, "spec": {
            "suspend": suspend,
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap"}],
            "endpoint": {"url": self.endpoint.receiver.url("/hook")},
            "signing": {"secretRef": {"name": "signing"}},
        }});
        self.control_plane.tenant(NAMESPACE).await?;
        self.control_plane.apply_yaml(&format!("{secret}\n---\n{subscription}"), NAMESPACE).await?;
        Ok(())
    }

    /// Writes, waits until everything arrived, and prints a line.
    async fn measure(&mut self, what: &str, kind: Kind, count: usize) -> Result<Vec<Write>> {
        let requests = self.endpoint.requests();
        let start = Instant::now();
        let writes = writes::write(&self.control_plane, NAMESPACE, kind, count, self.writers).await?;
        let written = start.elapsed();
        self.endpoint.all_of(&writes, PATIENCE).await?;
        self.line(what, start, count, requests, &self.endpoint.latencies(&writes));
        say(&format!("   the API server had taken the last write after {:.2} s", written.as_secs_f32()));
        Ok(writes)
    }

    /// What the operator can do by itself: every object changes while it may not send, then it may.
    async fn backlog(&mut self, objects: usize) -> Result<Vec<Write>> {
        self.subscribe(true).await?;
        let suspended = ["wait", "--for=condition=Suspended", "--timeout=60s", "whsub", "load"];
        self.control_plane.kubectl_ok(&suspended).await?;
        let kind = Kind::Update { objects, first: 1_000_000 };
        let writes = writes::write(&self.control_plane, NAMESPACE, kind, objects, self.writers).await?;
        let pending = format!("--for=jsonpath={{.status.delivery.pending}}={objects}");
        self.control_plane.kubectl_ok(&["wait", &pending, "--timeout=60s", "whsub", "load"]).await?;
        let requests = self.endpoint.requests();
        let start = Instant::now();
        self.subscribe(false).await?;
        self.endpoint.all_of(&writes, PATIENCE).await?;
        self.line(&format!("resume with {objects} changed objects"), start, objects, requests, &[]);
        Ok(writes)
    }

    fn line(&self, what: &str, start: Instant, changes: usize, requests_before: usize, latencies: &[Duration]) {
        let requests = self.endpoint.requests() - requests_before;
        let took = self.endpoint.last().map_or(Duration::ZERO, |last| last.saturating_duration_since(start));
        let seconds = took.as_secs_f64();
        let rate = |count: usize| format!("{:.0}", count as f64 / seconds);
        let (p50, p99) = (percentile(latencies, 50), percentile(latencies, 99));
        say(&format!(
            "{what:<34} {changes:>7} {requests:>8} {seconds:>9.2} {:>10} {:>10} {p50:>9} {p99:>9}",
            rate(changes),
            rate(requests),
        ));
    }

    fn costs(&self, before: &[(&str, Usage)]) -> Result<()> {
        let after = self.used()?;
        let cpu = before.iter().zip(&after).map(|((name, before), (_, after))| {
            format!("{name} {:.1} s", after.cpu.saturating_sub(before.cpu).as_secs_f32())
        });
        say(&format!("processor time: {}", cpu.collect::<Vec<_>>().join(", ")));
        let mib = |kib: u64| kib as f64 / 1024.0;
        let (at_rest, (_, now)) = (before[0].1, after[0]);
        say(&format!(
            "resident memory of the operator: {:.1} MiB before, {:.1} MiB after, {:.1} MiB at most",
            mib(at_rest.rss_kib),
            mib(now.rss_kib),
            mib(now.peak_kib)
        ));
        Ok(())
    }

    /// The operator first.
    fn used(&self) -> Result<Vec<(&'static str, Usage)>> {
        let mut used = vec![("operator", usage::of(self.operator.pid())?)];
        for (name, pid) in ["API server", "etcd"].into_iter().zip(self.control_plane.pids()) {
            used.push((name, usage::of(pid)?));
        }
        used.push(("writers and endpoint", usage::of(std::process::id())?));
        Ok(used)
    }

    async fn cluster(&self) -> Result<Vec<Value>> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let api: Api<DynamicObject> = Api::namespaced_with(self.control_plane.client().await?, NAMESPACE, &resource);
        let listed = api.list(&ListParams::default()).await;
        let list = listed.map_err(|error| Error::caused("failed to list the objects", error))?;
        let value = |object| {
            let mut value = serde_json::to_value(object)?;
            // the items of a list do not say what they are
            value["apiVersion"] = json!("v1");
            value["kind"] = json!("ConfigMap");
            Ok(value)
        };
        let values: Result<Vec<Value>, serde_json::Error> = list.items.iter().map(value).collect();
        values.map_err(|error| Error::caused("failed to read the objects", error))
    }
}

/// Of ascending values; nothing of none.
fn percentile(ascending: &[Duration], percent: usize) -> String {
    if ascending.is_empty() {
        return String::new();
    }
    format!("{:.1} ms", value(ascending, percent).as_secs_f64() * 1000.0)
}

/// Of ascending values; zero of none.
fn value(ascending: &[Duration], percent: usize) -> Duration {
    let last = ascending.len().saturating_sub(1);
    ascending.get(last * percent / 100).copied().unwrap_or_default()
}

fn say(text: &str) {
    // whoever reads may have gone; what counts is how it ends
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
