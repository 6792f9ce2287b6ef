//! The admin server: /livez, /readyz, /metrics.
//!
//! Touches its listener only. Invariants: it answers from memory and never waits for anything; it is the last to stop,
//! so a drain can be watched; no answer shows more than names of gates and loops, numbers, and
//! why the operator ends.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::bounded::Bounded;
use super::clock::Clock;
use super::liveness::Liveness;
use super::metrics;
use super::readiness::Readiness;

/// Probes and one or two scrapers need a handful.
const CONNECTIONS: usize = 128;
/// Kept short: a probe that queues behind idle connections gets its turn before it has failed for good.
const SILENCE: Duration = Duration::from_secs(15);

/// What the admin server shows.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// What is missing.
    pub readiness: Readiness,
    /// What is stuck.
    pub liveness: Liveness,
    /// All metrics.
    pub registry: Arc<Registry>,
    /// The time.
    pub clock: Clock,
    /// Cancelled when a drain begins: the operator is no longer ready then.
    pub stopping: CancellationToken,
}

/// The server failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to serve the admin endpoints")]
pub struct AdminError(#[from] io::Error);

/// Serves until `stop`, then finishes the answers under way.
pub async fn run(listener: TcpListener, state: AdminState, stop: CancellationToken) -> Result<(), AdminError> {
    let bounded = Bounded::new(listener, CONNECTIONS, SILENCE);
    tracing::info!(address = %bounded.local_addr()?, "admin server listening");
    axum::serve(bounded, router(state)).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

fn router(state: AdminState) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(state)
}

async fn livez(State(state): State<AdminState>) -> Response {
    let stuck = state.liveness.stuck(state.clock.now());
    let lines = stuck.iter().map(|stuck| format!("stuck for {} s: {}", stuck.since.as_secs(), stuck.name));
    ok_or_lines(lines)
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let why = state.readiness.why();
    let stopping = || why.get().map_or_else(|| "stopping".to_owned(), |why| format!("stopping: {why}"));
    let stopping = state.stopping.is_cancelled().then(stopping);
    if stopping.is_none() && state.readiness.standby().is_set() {
        return "standing by: another replica holds the Lease\n".into_response();
    }
    let missing = state.readiness.missing().into_iter().map(|gate| format!("waiting for {gate}"));
    ok_or_lines(stopping.into_iter().chain(missing))
}

async fn show_metrics(State(state): State<AdminState>) -> Response {
    match metrics::text(&state.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "failed to write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn ok_or_lines(lines: impl Iterator<Item = String>) -> Response {
    let text = lines.fold(String::new(), |mut text, line| {
        // writing to a String cannot fail
        let _ = writeln!(text, "{line}");
        text
    });
    if text.is_empty() { "ok\n".into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, text).into_response() }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::runtime::readiness::{Gate, GateHandle, Standby};

    struct Served {
        address: SocketAddr,
        gates: [GateHandle; 2],
        standby: Standby,
        liveness: Liveness,
        clock: Clock,
        stopping: CancellationToken,
        stop: CancellationToken,
        task: JoinHandle<Result<(), AdminError>>,
    }

    async fn serve() -> Served {
        let (readiness, gates) = Readiness::new([Gate::ApiServer, Gate::Subscriptions]);
        let standby = readiness.standby();
        let (liveness, clock) = (Liveness::default(), Clock::start());
        let (stopping, stop) = (CancellationToken::new(), CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = AdminState {
            readiness,
            liveness: liveness.clone(),
            registry: Arc::new(metrics::registry()),
            clock,
            stopping: stopping.clone(),
        };
        let task = tokio::spawn(run(listener, state, stop.clone()));
        Served { address, gates, standby, liveness, clock, stopping, stop, task }
    }

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn body(answer: &str) -> &str {
        answer.split_once("\r\n\r\n").unwrap().1
    }

    #[tokio::test]
    async fn readiness_lists_what_is_missing_by_name_until_nothing_is() {
        let served = serve().await;
        let answer = fetch(served.address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert_eq!(body(&answer), "waiting for an answer of the API server\nwaiting for the list of subscriptions\n");
        let [api_server, subscriptions] = served.gates;
        api_server.open();
        let answer = fetch(served.address, "/readyz").await;
        assert_eq!(body(&answer), "waiting for the list of subscriptions\n");
        subscriptions.open();
        let answer = fetch(served.address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(body(&answer), "ok\n");
        served.stopping.cancel();
        let answer = fetch(served.address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert_eq!(body(&answer), "stopping\n");
    }

    #[tokio::test]
    async fn a_replica_that_stands_by_is_ready_says_so_and_stops_all_the_same() {
        let served = serve().await;
        served.standby.set(true);
        let answer = fetch(served.address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(body(&answer), "standing by: another replica holds the Lease\n");
        served.stopping.cancel();
        assert!(fetch(served.address, "/readyz").await.starts_with("HTTP/1.1 503"));
        served.standby.set(false);
        assert!(body(&fetch(served.address, "/readyz").await).starts_with("stopping\nwaiting for "));
    }

    #[tokio::test]
    async fn liveness_fails_only_for_a_loop_that_is_stuck() {
        let served = serve().await;
        let long_ago = changehook_core::Now { mono: 0, wall: 0 };
        assert_eq!(body(&fetch(served.address, "/livez").await), "ok\n");
        let driver = served.liveness.heartbeat("driver", long_ago);
        assert_eq!(body(&fetch(served.address, "/livez").await), "ok\n", "thirty seconds have not passed");
        // the clock of this test cannot be 31 s old, so the answer for a stuck loop is asked of the state itself
        let state = AdminState {
            readiness: Readiness::new([]).0,
            liveness: served.liveness.clone(),
            registry: Arc::new(metrics::registry()),
            clock: served.clock,
            stopping: CancellationToken::new(),
        };
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        let answer = livez(State(state)).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let bytes = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
        assert_eq!(bytes, "stuck for 31 s: driver\n");
        drop(driver);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics_text() {
        let served = serve().await;
        let answer = fetch(served.address, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
        assert!(answer.contains(content_type), "{answer}");
        assert!(body(&answer).contains("changehook_build_info{"), "{answer}");
        assert!(body(&answer).ends_with("# EOF\n"), "{answer}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let served = serve().await;
        assert!(fetch(served.address, "/").await.starts_with("HTTP/1.1 404"));
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"POST /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_the_stop() {
        let served = serve().await;
        let idle = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(body(&fetch(served.address, "/livez").await), "ok\n");
        served.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), served.task).await;
        ended.expect("stops before the idle connection times out").unwrap().unwrap();
        drop(idle);
    }
}
