//! `changehook operator`: the wiring, from the command line to the exit code.
//!
//! Touches everything through its owners and decides nothing about deliveries. Invariants: the admin server answers
//! before anything is waited for and until everything else has stopped; no room opens before this replica leads, and
//! when it leads no more the process ends at once, without a drain; every way to end the process goes through
//! [`OperatorError`] and is logged once, with its reason.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::admin::{self, AdminState};
use super::client::{self, ClientError};
use super::clock::Clock;
use super::config::OperatorConfig;
use super::leader::{self, Lease, Lost};
use super::liveness::Liveness;
use super::readiness::{Gate, Readiness};
use super::rooms::{self, RoomsError};
use super::shutdown::{Signals, StopSignal};
use super::tasks::{Stage, TaskEnd, Tasks};
use super::{connect, metrics, telemetry};

/// Why the operator ended other than by a clean stop.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No threads, or no signal handlers.
    #[error("failed to start the process's machinery")]
    Start(#[source] io::Error),
    /// The admin address is taken, or not ours.
    #[error("failed to listen on the admin address {address}")]
    Admin {
        /// From the configuration.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no way to reach an API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A room did not open.
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    /// The flags for the Lease do not fit each other.
    #[error("failed to use the Lease's durations: {0}")]
    Durations(String),
    /// Another replica may lead by now.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A task died, and an operator without it would only seem to work.
    #[error(transparent)]
    TaskEnded(#[from] TaskEnd),
    /// The grace period was over before everything had stopped.
    #[error("failed to stop within {} s; left behind: {}", grace.as_secs(), left.join(", "))]
    GraceOver {
        /// The grace period.
        grace: Duration,
        /// The tasks that had not stopped.
        left: Vec<&'static str>,
    },
    /// A second signal.
    #[error("stopped at once by a second signal, {0}")]
    Forced(StopSignal),
}

impl OperatorError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Forced(signal) => ExitCode::from(signal.exit_code()),
            Self::Start(_)
            | Self::Admin { .. }
            | Self::Client(_)
            | Self::Rooms(_)
            | Self::Durations(_)
            | Self::Lost(_)
            | Self::TaskEnded(_)
            | Self::GraceOver { .. } => ExitCode::FAILURE,
        }
    }
}

/// Runs the operator until it is told to stop or has to.
pub fn run(config: &OperatorConfig) -> ExitCode {
    if let Err(error) = telemetry::init(config.log_format, &config.log_filter) {
        eprintln!("error: {}", telemetry::chain(&error));
        return ExitCode::FAILURE;
    }
    log_configuration(config);
    match start(config) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(reason = telemetry::chain(&error), "the operator ends");
            error.exit_code()
        }
    }
}

fn start(config: &OperatorConfig) -> Result<(), OperatorError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("changehook")
        .build()
        .map_err(OperatorError::Start)?;
    let ended = runtime.block_on(operate(config));
    // a blocked thread must not hold up an end that was decided
    runtime.shutdown_background();
    ended
}

/// Why the operator begins to stop.
enum End {
    Told(StopSignal),
    Died(TaskEnd),
    Lost(Lost),
}

async fn operate(config: &OperatorConfig) -> Result<(), OperatorError> {
    let mut signals = Signals::listen().map_err(OperatorError::Start)?;
    let mut tasks = Tasks::default();
    let mut lease = None;
    let grace = config.shutdown_grace();
    let end = match work(config, &mut signals, &mut tasks, &mut lease).await {
        Ok(end) => end,
        Err(error) => {
            if lease.is_some() {
                // Nobody should have to wait until it runs out: nothing is under way that needs it.
                tracing::error!(reason = telemetry::chain(&error), "stopping, because not all could be started");
                if let Err(more) = drain(&mut signals, &mut tasks, lease.as_ref(), grace).await {
                    tracing::error!(reason = telemetry::chain(&more), "while stopping");
                }
            }
            return Err(error);
        }
    };
    stop(end, &mut signals, &mut tasks, lease.as_ref(), grace).await
}

async fn stop(
    end: End,
    signals: &mut Signals,
    tasks: &mut Tasks,
    lease: Option<&Lease>,
    grace: Duration,
) -> Result<(), OperatorError> {
    match &end {
        End::Told(signal) => tracing::info!(%signal, grace_seconds = grace.as_secs(), "stopping"),
        End::Died(end) => tracing::error!(reason = %end, "stopping, because a task died"),
        // the drain is over before it begins
        End::Lost(_) => {}
    }
    let drained = drain(signals, tasks, lease, grace).await;
    match end {
        End::Told(_) => drained,
        // these came first, so they are the reason
        End::Died(end) => Err(end.into()),
        End::Lost(lost) => Err(lost.into()),
    }
}

/// Starts everything and waits for a reason to stop. `leading` is set once this replica leads.
async fn work(
    config: &OperatorConfig,
    signals: &mut Signals,
    tasks: &mut Tasks,
    leading: &mut Option<Lease>,
) -> Result<End, OperatorError> {
    let clock = Clock::start();
    let liveness = Liveness::default();
    let mut registry = metrics::registry();
    let rooms = rooms::Metrics::register(&mut registry);
    let lease_metrics = leader::Metrics::register(&mut registry);
    let gates = [Gate::ApiServer, Gate::CustomResources, Gate::Lease, Gate::Subscriptions];
    let (readiness, [api_server, custom_resources, leads, subscriptions_listed]) = Readiness::new(gates);
    let (standby, why) = (readiness.standby(), readiness.why());

    let address = config.admin_address;
    let listener = TcpListener::bind(address).await.map_err(|source| OperatorError::Admin { address, source })?;
    let stopping = tasks.stop_of(Stage::Intake);
    let state = AdminState { readiness, liveness: liveness.clone(), registry: Arc::new(registry), clock, stopping };
    tasks.spawn(Stage::Serve, "admin server", |stop| admin::run(listener, state, stop));

    let client = client::build(config.kubeconfig.as_deref()).await?;
    let connected = async {
        connect::until_reachable(&client).await;
        api_server.open();
        connect::until_served(&client).await;
        custom_resources.open();
    };
    tokio::select! {
        biased;
        end = first_end(signals, tasks, None) => return Ok(end),
        () = connected => {}
    }

    let durations = config.lease_durations().map_err(OperatorError::Durations)?;
    let setting = leader::Setting {
        kubeconfig: config.kubeconfig.clone(),
        namespace: config.own_namespace(),
        identity: leader::identity(std::env::var("POD_NAME").ok().as_deref(), rooms::random()),
        durations,
        metrics: lease_metrics,
        standby,
    };
    let (won, winning) = oneshot::channel();
    tasks.spawn(Stage::Lead, "lease", |stop| leader::run(setting, won, stop));
    let lease = tokio::select! {
        biased;
        end = first_end(signals, tasks, None) => return Ok(end),
        Ok(lease) = winning => &*leading.insert(lease),
    };
    leads.open();

    let client = client::build_for_leading(config.kubeconfig.as_deref(), lease.clone()).await?;
    let setting =
        rooms::Setting { config, client, lease, clock, liveness: &liveness, metrics: rooms, subscriptions_listed };
    tokio::select! {
        biased;
        lost = lease.lost() => return Ok(End::Lost(lost)),
        signal = signals.next() => return Ok(End::Told(signal)),
        opened = rooms::open(setting, tasks) => opened?,
    }
    tracing::info!("watching and delivering");

    let end = first_end(signals, tasks, Some(lease)).await;
    if let End::Died(died) = &end {
        why.set(&telemetry::chain(died));
    }
    Ok(end)
}

async fn first_end(signals: &mut Signals, tasks: &mut Tasks, lease: Option<&Lease>) -> End {
    tokio::select! {
        biased;
        lost = lost(lease) => End::Lost(lost),
        signal = signals.next() => End::Told(signal),
        end = tasks.first_end() => End::Died(end),
    }
}

/// Waits until this replica has lost its Lease; for ever if it has none.
async fn lost(lease: Option<&Lease>) -> Lost {
    match lease {
        Some(lease) => lease.lost().await,
        None => std::future::pending().await,
    }
}

async fn drain(
    signals: &mut Signals,
    tasks: &mut Tasks,
    lease: Option<&Lease>,
    grace: Duration,
) -> Result<(), OperatorError> {
    let drained = tokio::select! {
        biased;
        // nothing is finished in an orderly way by a replica that may be one of two
        lost = lost(lease) => return Err(lost.into()),
        signal = signals.next() => return Err(OperatorError::Forced(signal)),
        drained = tasks.drain(grace) => drained,
    };
    for end in &drained.failed {
        tracing::error!(reason = %end, "while stopping");
    }
    if !drained.left.is_empty() {
        return Err(OperatorError::GraceOver { grace, left: drained.left });
    }
    drained.failed.into_iter().next().map_or(Ok(()), |end| Err(end.into()))
}

fn log_configuration(config: &OperatorConfig) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespace = config.own_namespace(),
        watch_namespaces = config.watch_namespace.join(","),
        authorization = ?config.authorization,
        allow_cidr = %joined(&config.allow_cidr),
        deny_cidr = %joined(&config.deny_cidr),
        allow_host = %joined(&config.allow_host),
        deny_host = %joined(&config.deny_host),
        allow_http = config.allow_http,
        max_in_flight = config.max_in_flight,
        shutdown_grace_seconds = config.shutdown_grace_seconds,
        lease_duration_seconds = config.lease_duration_seconds,
        lease_renew_deadline_seconds = config.lease_renew_deadline_seconds,
        lease_retry_period_seconds = config.lease_retry_period_seconds,
        "changehook operator"
    );
}

fn joined(list: &[impl ToString]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(25);

    #[tokio::test]
    async fn a_dead_task_ends_the_process_with_its_name_after_the_others_have_drained() {
        let mut signals = Signals::deaf().unwrap();
        let mut tasks = Tasks::default();
        let (sender, drained) = oneshot::channel();
        tasks.spawn(Stage::Report, "status writer", |stop| async move {
            stop.cancelled().await;
            sender.send(()).expect("the test waits");
        });
        tasks.spawn(Stage::Work, "driver", |_| async { assert!(Stage::ALL.is_empty(), "slot 7 is gone") });
        let end = first_end(&mut signals, &mut tasks, None).await;
        let error = stop(end, &mut signals, &mut tasks, None, GRACE).await.unwrap_err();
        assert_eq!(error.to_string(), "task driver panicked: slot 7 is gone");
        assert_eq!(format!("{:?}", error.exit_code()), format!("{:?}", ExitCode::from(1)));
        drained.await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_fails_while_stopping_is_no_clean_stop() {
        let mut signals = Signals::deaf().unwrap();
        let mut tasks = Tasks::default();
        tasks.spawn(Stage::Work, "driver", |stop| async move {
            stop.cancelled().await;
            assert!(Stage::ALL.is_empty(), "slot 7 is gone");
        });
        let end = End::Told(StopSignal::Terminate);
        let error = stop(end, &mut signals, &mut tasks, None, GRACE).await.unwrap_err();
        assert_eq!(error.to_string(), "task driver panicked: slot 7 is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_leads_no_more_ends_at_once_and_finishes_nothing() {
        let mut signals = Signals::deaf().unwrap();
        let mut tasks = Tasks::default();
        tasks.spawn(Stage::Work, "driver", |_| std::future::pending::<()>());
        let (lease, clock) = leader::lease::tests::lease();
        clock.store(10_000, std::sync::atomic::Ordering::Relaxed);
        let start = tokio::time::Instant::now();
        let end = first_end(&mut signals, &mut tasks, Some(&lease)).await;
        assert!(matches!(end, End::Lost(_)));
        // whether it worked or had begun to stop
        for end in [end, End::Told(StopSignal::Terminate)] {
            let error = stop(end, &mut signals, &mut tasks, Some(&lease), GRACE).await.unwrap_err();
            assert!(error.to_string().starts_with("failed to renew the Lease within 10 s"), "{error}");
            assert_eq!(format!("{:?}", error.exit_code()), format!("{:?}", ExitCode::from(1)));
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
