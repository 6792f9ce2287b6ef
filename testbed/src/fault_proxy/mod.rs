//! A way to the API server that fails on request: plain HTTP/1.1 on loopback in front, TLS behind.
//!
//! Forwards the caller's Authorization, so every client keeps its own rights. Watch streams are forwarded line by line
//! as they come. Each request has its own connection to the API server; answers are never compressed. Lists are
//! remembered (the last one per path and query) for [`Fault::Stale`].

mod fault;
mod forward;
mod stop;
mod stream;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::{
    fault::{BodyRule, Fault, Line, LineRule, Matcher, Times},
    stop::{Hold, Moment, StopPoint},
};
use crate::{
    ControlPlane,
    error::{Context, Error, Result},
};

/// The proxy. Ends, with all its connections, on drop.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// One request that came through.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When its head came in.
    pub at: Instant,
    /// Such as `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// Empty if none was sent.
    pub user_agent: String,
    /// As what it wants to be answered; empty if it did not say.
    pub accept: String,
    /// How long its body is.
    pub bytes: u64,
    /// How it was answered; `None` until then.
    pub status: Option<u16>,
}

impl Seen {
    /// Whether it asks for a stream of events.
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|part| part == "watch=true" || part == "watch=1")
    }
}

struct Shared {
    upstream: SocketAddr,
    tls: TlsConnector,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    faults: Vec<Arc<Injected>>,
    seen: Vec<Seen>,
    lists: HashMap<String, Bytes>,
    streams: Vec<(Seen, mpsc::UnboundedSender<stream::Command>)>,
}

struct Injected {
    matcher: Matcher,
    fault: Fault,
    /// So many that fit are left alone first.
    spared: AtomicUsize,
    left: AtomicUsize,
    hits: AtomicUsize,
    /// What [`Fault::Stale`] answers with.
    lists: HashMap<String, Bytes>,
}

impl Injected {
    /// Takes one of the times it may happen.
    fn take(&self) -> bool {
        let less = |left: usize| match left {
            0 => None,
            usize::MAX => Some(left),
            left => Some(left - 1),
        };
        if self.spared.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok() {
            return false;
        }
        let taken = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok();
        self.hits.fetch_add(usize::from(taken), Ordering::AcqRel);
        taken
    }
}

/// An injected fault. Dropping it changes nothing.
pub struct Handle(Arc<Injected>);

impl Handle {
    /// How often it happened.
    pub fn hits(&self) -> usize {
        self.0.hits.load(Ordering::Acquire)
    }

    /// It happens no more.
    pub fn clear(&self) {
        self.0.left.store(0, Ordering::Release);
    }
}

impl FaultProxy {
    /// Starts one in front of a control plane; it forwards everything until told otherwise.
    pub async fn start(control_plane: &ControlPlane) -> Result<Self> {
        crate::init();
        let mut roots = RootCertStore::empty();
        roots.add(control_plane.ca()).context("failed to use the control plane's CA")?;
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to listen")?;
        let address = listener.local_addr().context("failed to listen")?;
        let shared = Arc::new(Shared {
            upstream: control_plane.address(),
            tls: TlsConnector::from(Arc::new(config)),
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self { address, shared, _stop: stop.drop_guard() })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig that goes through this proxy.
    pub fn kubeconfig(&self, control_plane: &ControlPlane, token: &str) -> Result<PathBuf> {
        control_plane.kubeconfig_for_token(token, Some(&self.url()))
    }

    /// From now on `fault` happens to requests that fit. Of several, the one injected first comes first.
    pub fn inject(&self, matcher: Matcher, fault: Fault, times: Times) -> Handle {
        self.add(matcher, fault, times, 0)
    }

    /// Of the requests that fit, the `nth` from now on (1 is the next) is held at this moment.
    pub fn stop_at(&self, matcher: Matcher, nth: usize, moment: Moment) -> StopPoint {
        let (point, hold) = stop::point();
        self.add(matcher, Fault::Hold(moment, hold), Times::Once, nth.saturating_sub(1));
        point
    }

    fn add(&self, matcher: Matcher, fault: Fault, times: Times, spared: usize) -> Handle {
        let left = match times {
            Times::Once => 1,
            Times::Count(count) => count,
            Times::Always => usize::MAX,
        };
        let mut state = self.shared.lock();
        let lists = if matches!(fault, Fault::Stale) { state.lists.clone() } else { HashMap::new() };
        let (spared, left, hits) = (AtomicUsize::new(spared), AtomicUsize::new(left), AtomicUsize::new(0));
        let injected = Arc::new(Injected { matcher, fault, spared, left, hits, lists });
        state.faults.push(Arc::clone(&injected));
        Handle(injected)
    }

    /// Ends all faults.
    pub fn clear(&self) {
        for injected in self.shared.lock().faults.drain(..) {
            injected.left.store(0, Ordering::Release);
        }
    }

    /// Breaks all open watch streams that fit, now. Gives how many.
    pub fn cut_open_watches(&self, matcher: &Matcher) -> usize {
        self.command(matcher, &stream::Command::Cut)
    }

    /// Puts a line (without its newline) into all open watch streams that fit, now. Gives how many.
    pub fn send_line(&self, matcher: &Matcher, line: impl Into<Vec<u8>>) -> usize {
        self.command(matcher, &stream::Command::Send(line.into()))
    }

    /// Puts an ERROR event into all open watch streams that fit and ends them, now. Gives how many.
    pub fn error_in_open_watches(&self, matcher: &Matcher, code: u16) -> usize {
        self.command(matcher, &stream::Command::SendAndEnd(fault::error_event(code)))
    }

    fn command(&self, matcher: &Matcher, command: &stream::Command) -> usize {
        let mut state = self.shared.lock();
        state.streams.retain(|(_, stream)| !stream.is_closed());
        let meant = state.streams.iter().filter(|(seen, _)| matcher.fits(seen));
        meant.filter(|(_, stream)| stream.send(command.clone()).is_ok()).count()
    }

    /// How many watch streams that fit are open.
    pub fn open_watches(&self, matcher: &Matcher) -> usize {
        let state = self.shared.lock();
        state.streams.iter().filter(|(seen, stream)| !stream.is_closed() && matcher.fits(seen)).count()
    }

    /// All requests so far.
    pub fn requests_seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// The requests so far that fit.
    pub fn seen(&self, matcher: &Matcher) -> Vec<Seen> {
        self.shared.lock().seen.iter().filter(|seen| matcher.fits(seen)).cloned().collect()
    }

    /// Waits until at least `count` requests that fit were answered (for a watch: its head).
    pub async fn wait_for(&self, matcher: &Matcher, count: usize, within: Duration) -> Result<Vec<Seen>> {
        let mut changed = self.shared.changed.subscribe();
        let answered = |seen: &&Seen| matcher.fits(seen) && seen.status.is_some();
        let enough = changed.wait_for(|_| self.shared.lock().seen.iter().filter(answered).count() >= count);
        let reached = tokio::time::timeout(within, enough).await.is_ok_and(|changed| changed.is_ok());
        let seen = self.seen(matcher);
        if reached {
            return Ok(seen);
        }
        Err(Error::new(format!("failed to wait for {count} requests within {within:?}: {} came: {seen:?}", seen.len())))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and decides what happens to it.
    fn begin(&self, seen: &Seen) -> (usize, Option<Arc<Injected>>) {
        let mut state = self.lock();
        state.seen.push(seen.clone());
        let whole = |injected: &&Arc<Injected>| !matches!(injected.fault, Fault::Lines(_));
        let mut fitting = state.faults.iter().filter(whole).filter(|injected| injected.matcher.fits(seen));
        let chosen = fitting.find(|injected| injected.take()).cloned();
        (state.seen.len() - 1, chosen)
    }

    fn answered(&self, index: usize, status: u16) {
        self.lock().seen[index].status = Some(status);
        self.changed.send_modify(|count| *count += 1);
    }

    /// What is done with a line of a stream.
    fn line(&self, seen: &Seen, line: &[u8]) -> Line {
        let faults = self.lock().faults.clone();
        for injected in faults {
            if let Fault::Lines(rule) = &injected.fault
                && injected.matcher.fits(seen)
            {
                let action = rule(line);
                if action != Line::Keep && injected.take() {
                    return action;
                }
            }
        }
        Line::Keep
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // the client was gone before it was accepted
                Err(_) => continue,
            },
        };
        let _ = stream.set_nodelay(true);
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| forward::answer(Arc::clone(&shared), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // its errors are the faults, or a client that went away
            let _ = stop.run_until_cancelled(connection).await;
        });
    }
}
