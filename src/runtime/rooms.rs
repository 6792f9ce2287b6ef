//! The rooms and the channels between them: one way round, every channel bounded.
//!
//! Touches nothing itself. watch ──reports──▶ driver ──views──▶ status; controller ──commands──▶ driver and
//! ──news──▶ status; watch ──notices──▶ controller; driver ──recheck──▶ controller.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use changehook_core::address::{AddressPolicy, Policies, Rules};
use changehook_core::engine::{Caps, Settings, View};
use changehook_core::ledger::Entries;
use changehook_core::plan::{Change, SubscriptionId};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

use super::clock::Clock;
use super::config::{AuthorizationKind, LedgerKind, OperatorConfig};
use super::leader::Lease;
use super::liveness::Liveness;
use super::readiness::GateHandle;
use super::tasks::{Stage, Tasks};
use super::telemetry::chain;
use crate::controller::{self, Authorization, Authorizer, Context, Roster, Scope};
use crate::delivery::attempt::Courier;
use crate::delivery::client;
use crate::delivery::clients::Clients;
use crate::delivery::configs::Configs;
use crate::delivery::driver::{self, Driver, DriverError, Sighted, Sighting, Told};
use crate::delivery::secrets::Secrets;
use crate::delivery::services::Services;
use crate::ledger::{Kubernetes, LedgerStore, Memory};
use crate::watch::{Connection, MakeClient, Past, Report, Sources};
use crate::{delivery, ledger, status, watch};

/// Rows on their way from the watches to the driver.
const REPORTS: usize = 2048;
/// Everything else that is told from room to room.
const MESSAGES: usize = 1024;

/// What every room counts.
pub(super) struct Metrics {
    watch: watch::Metrics,
    delivery: delivery::metrics::Metrics,
    status: status::metrics::Metrics,
    ledger: ledger::Metrics,
    controller: controller::Metrics,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            watch: watch::Metrics::register(registry),
            delivery: delivery::metrics::Metrics::register(registry),
            status: status::metrics::Metrics::register(registry),
            ledger: ledger::Metrics::register(registry),
            controller: controller::Metrics::register(registry),
        }
    }
}

/// What the rooms are opened with.
pub(super) struct Setting<'a> {
    pub config: &'a OperatorConfig,
    pub client: Client,
    pub lease: &'a Lease,
    pub clock: Clock,
    pub liveness: &'a Liveness,
    pub metrics: Metrics,
    pub subscriptions_listed: GateHandle,
}

/// Why the rooms did not open.
#[derive(Debug, thiserror::Error)]
pub enum RoomsError {
    /// The client for endpoints could not be built.
    #[error("failed to build the client that sends requests")]
    Client(#[source] client::ClientError),
    /// The ledger did not answer.
    #[error("failed to take over the ledger")]
    Ledger(#[source] DriverError),
}

/// Opens every room.
pub(super) async fn open(setting: Setting<'_>, tasks: &mut Tasks) -> Result<(), RoomsError> {
    let Setting { config, client, lease, clock, liveness, metrics, subscriptions_listed } = setting;
    let (reports, sightings) = mpsc::channel::<Report>(REPORTS);
    let (notices, states) = mpsc::channel(MESSAGES);
    let (told, views) = mpsc::channel::<Told>(MESSAGES);
    let (commands, commanded) = mpsc::channel(MESSAGES);
    let (news, heard) = mpsc::channel(MESSAGES);
    let (recheck, rechecks) = mpsc::channel(MESSAGES);

    let mut settings = watch::Settings { compare_every: config.relist_interval(), ..watch::Settings::default() };
    settings.seed ^= u64::from(random()) << 32 | u64::from(random());
    let stop_watching = tasks.stop_of(Stage::Intake);
    let connection = Connection { shared: client.clone(), another: another(config.kubeconfig.clone()) };
    let sources = Sources::new(connection, reports, notices, metrics.watch, stop_watching, settings);
    let (watched, recalling) = (sources.clone(), sources.clone());
    tasks.spawn(Stage::Intake, "watches", |stop| async move {
        tokio::select! {
            died = watched.failed() => Err(died),
            () = stop.cancelled() => Ok(()),
        }
    });

    let policies = Arc::new(policies(config));
    let secrets = Secrets::new(client.clone());
    let http = client::build(Arc::clone(policies.everybodys())).map_err(RoomsError::Client)?;
    let wall_ms = || jiff::Timestamp::now().as_millisecond();
    let services = Services::new(client.clone());
    let configs = Configs::new(client.clone());
    let clients = Clients::new(http, Arc::clone(&policies));
    let courier = Courier::new(
        clients,
        secrets.clone(),
        (services.clone(), configs.clone()),
        Arc::clone(&policies),
        wall_ms,
        lease.gate(),
    );
    // From its first turn on: claiming the ledger takes as long as it takes.
    let (heartbeat, liveness) = (OnceLock::new(), liveness.clone());
    let inputs = driver::Inputs {
        sightings,
        commands: commanded,
        told,
        recheck,
        recall: Box::new(move |entries| recalling.recall(past(entries))),
        now: Box::new(move || clock.now()),
        random: Box::new(random),
        leads: lease.gate(),
        heartbeat: Box::new(move || {
            heartbeat.get_or_init(|| liveness.heartbeat("driver", clock.now())).beat(clock.now());
        }),
        watches_stop: tasks.stop_of(Stage::Intake),
        stop: tasks.stop_of(Stage::Work),
    };
    let caps = Caps { global: config.max_in_flight, ..Caps::default() };
    let settings = Settings {
        caps,
        fold_every: config.ledger_fold_interval_seconds * 1000,
        fold_bytes: config.ledger_fold_bytes as usize,
        ..Settings::default()
    };
    match config.ledger {
        LedgerKind::Kubernetes => {
            let leads = lease.clone();
            let store = Kubernetes::new(ledger::Setting {
                client: client.clone(),
                namespace: config.own_namespace(),
                holder: u64::from(random()) << 32 | u64::from(random()),
                is_leader: Arc::new(move || leads.is_valid()),
                metrics: metrics.ledger,
            });
            let store = Arc::new(store);
            mind_restores(lease.clone(), Arc::clone(&store), tasks);
            drive(Driver::claim(settings, store, courier, metrics.delivery, inputs), tasks).await?;
        }
        LedgerKind::Memory => {
            tracing::warn!("the ledger is in memory: a restart forgets what was acknowledged and what is owed");
            let store = Arc::new(Memory::default());
            mind_restores(lease.clone(), Arc::clone(&store), tasks);
            drive(Driver::claim(settings, store, courier, metrics.delivery, inputs), tasks).await?;
        }
    }

    let (events, publisher) = status::events::channel(metrics.status.clone());
    let inputs = status::writer::Inputs {
        news: heard,
        views,
        now: Box::new(move || clock.now()),
        stop: tasks.stop_of(Stage::Report),
    };
    let writer = status::writer::Writer::new(client.clone(), metrics.status, events, inputs);
    tasks.spawn(Stage::Report, "status writer", |_| writer.run());
    let event_client = client.clone();
    tasks.spawn(Stage::Report, "event publisher", |stop| publisher.run(event_client, stop));

    let inputs = controller::Inputs {
        notices: states,
        recheck: rechecks,
        commands,
        news,
        listed: Some(Box::new(move || subscriptions_listed.open())),
    };
    let authorization = match config.authorization {
        AuthorizationKind::Operator => {
            tracing::warn!(
                "whoever may create a subscription has the operator read for them all that it may read itself"
            );
            Authorization::Operator
        }
        AuthorizationKind::ServiceAccount => {
            let seed = u64::from(random()) << 32 | u64::from(random());
            let (client, sources) = (client.clone(), sources.clone());
            let metrics = metrics.controller.clone();
            Authorization::ServiceAccount(Authorizer::new(client, sources, metrics, seed, move || clock.now().mono))
        }
    };
    let scope = Scope::of(config.watch_namespace.clone());
    match scope {
        Scope::Cluster => {}
        Scope::Namespaces(_) => {
            tracing::info!("ClusterWebhookSubscriptions are left to an operator of the whole cluster");
        }
    }
    let context = Context {
        sources,
        secrets,
        services,
        configs,
        wall: || jiff::Timestamp::now().as_second(),
        policies,
        scope,
        own_namespace: config.own_namespace(),
        authorization,
        relist: config.relist_interval(),
        metrics: metrics.controller,
    };
    let roster = Roster::new(client, context, inputs);
    tasks.spawn(Stage::Intake, "controller", |stop| roster.run(stop));
    Ok(())
}

/// Runs the driver once it has claimed its ledger.
async fn drive<S: LedgerStore>(
    claim: impl Future<Output = Result<Driver<S, Report>, DriverError>>,
    tasks: &mut Tasks,
) -> Result<(), RoomsError> {
    let driver = claim.await.map_err(RoomsError::Ledger)?;
    tasks.spawn(Stage::Work, "driver", |_| driver.run());
    Ok(())
}

/// Watches that went on would wait for versions that were given once already, and the ledger may be an old one: the next
/// leader begins with lists, and makes up for what was lost.
fn mind_restores<S: LedgerStore>(lease: Lease, store: Arc<S>, tasks: &mut Tasks) {
    tasks.spawn(Stage::Work, "ledger", |stop| async move {
        tokio::select! {
            () = lease.set_back() => Err(store.set_back().await),
            () = stop.cancelled() => Ok(()),
        }
    });
}

/// What endpoints may be, from the command line and from where we run.
fn policies(config: &OperatorConfig) -> Policies {
    // The API server and this pod, as Kubernetes tells a pod; outside of one there is nothing to add.
    let own = ["KUBERNETES_SERVICE_HOST", "POD_IP"];
    let deny = own.iter().filter_map(|name| std::env::var(name).ok()?.parse().ok()).collect();
    let rules = Rules {
        allow: &config.allow_cidr,
        deny_ranges: &config.deny_cidr,
        allow_hosts: &config.allow_host,
        deny_hosts: &config.deny_host,
    };
    Policies::new(&AddressPolicy { allow_http: config.allow_http, deny, ..AddressPolicy::default() }, &rules)
}

/// How to get one more client of the API server.
fn another(kubeconfig: Option<PathBuf>) -> MakeClient {
    Arc::new(move || {
        let kubeconfig = kubeconfig.clone();
        Box::pin(async move {
            let made = super::client::build_another(kubeconfig.as_deref()).await;
            made.inspect_err(|error| tracing::warn!(reason = chain(error), "no other connection to the API server"))
                .ok()
        })
    })
}

/// What the watches should know of an earlier life. What was about to be told as removed is known to be gone.
fn past(entries: &Entries) -> Past {
    let mut past = Past::default();
    for (source, rv) in &entries.sources {
        past.saw(source.clone(), *rv);
    }
    for (key, entry) in entries.books.values().flat_map(|book| &book.entries) {
        if entry.sending.is_none_or(|sending| sending.change != Change::Removed) {
            past.knew(&key.kind, entry.named.namespace.as_ref(), &key.uid);
        }
    }
    past
}

/// Randomness for jitter and names: the standard library's hasher keys are random per thread and differ at every call.
pub(super) fn random() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() as u32
}

impl From<Report> for Sighting {
    fn from(report: Report) -> Self {
        match report {
            Report::Event { source, event } => Self { source, seen: Sighted::Event(event) },
            Report::Rewound { source } => Self { source, seen: Sighted::Rewound },
            Report::Stopped { source } => Self { source, seen: Sighted::Stopped },
        }
    }
}

impl From<Told> for (SubscriptionId, View) {
    fn from(Told { subscription, view }: Told) -> Self {
        (subscription, view)
    }
}
