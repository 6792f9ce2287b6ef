//! Sources against the small API server, with what they report as short words.

use std::sync::Arc;
use std::time::Duration;

use changehook_core::object::{Gvk, ObjectName, SourceEvent, SourceId, Unreadable};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::api::Api;
use crate::watch::metrics::Metrics;
use crate::watch::{Connection, Report, Settings, SourceState, Sources};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(20);

pub(super) struct Bench {
    pub(super) api: Api,
    pub(super) sources: Sources,
    pub(super) metrics: Metrics,
    reports: mpsc::Receiver<Report>,
    pub(super) notices: mpsc::Receiver<SourceId>,
    _cancel: DropGuard,
}

/// Everything quick, and no jitter that matters.
pub(super) fn quick() -> Settings {
    Settings {
        linger: Duration::from_millis(20),
        backoff_min: Duration::from_millis(2),
        backoff_max: Duration::from_millis(20),
        absent_retry_max: Duration::from_millis(10),
        absence_gap: Duration::from_millis(20),
        discovery_ttl: Duration::from_millis(1),
        ..Settings::default()
    }
}

pub(super) fn widgets() -> SourceId {
    SourceId { gvk: Gvk::new("example.com/v1", "Widget"), namespace: None }
}

fn named(name: &ObjectName) -> String {
    format!("?{}/{}", name.namespace.as_deref().unwrap_or_default(), name.name)
}

/// `list`, `a@3`, `-a@5`, `end@7`, `end@7 ?ns/b`, `?ns/b`, `absent`, `rewound`, `stopped`.
fn word(report: &Report) -> String {
    let event = match report {
        Report::Event { event, .. } => event,
        Report::Rewound { .. } => return "rewound".into(),
        Report::Stopped { .. } => return "stopped".into(),
    };
    match event {
        SourceEvent::ListStarted => "list".into(),
        SourceEvent::Upsert(row) => format!("{}@{}", row.name, row.rv),
        SourceEvent::Deleted { uid, rv, .. } => format!("-{uid}@{rv}"),
        SourceEvent::ListEnded { rv, unreadable: Unreadable::Unknown } => format!("end@{rv} ?"),
        SourceEvent::ListEnded { rv, unreadable: Unreadable::Named(names) } => {
            let names: Vec<String> = std::iter::once(format!("end@{rv}")).chain(names.iter().map(named)).collect();
            names.join(" ")
        }
        SourceEvent::Unreadable(name) => named(name),
        SourceEvent::KindAbsent => "absent".into(),
    }
}

impl Bench {
    pub(super) async fn new(settings: Settings) -> Self {
        let api = Api::start().await;
        let another = api.clone();
        Self::between(api, another, settings)
    }

    /// Where a new connection reaches another API server.
    pub(super) fn between(api: Api, another: Api, settings: Settings) -> Self {
        let client = |api: &Api| {
            let mut config = kube::Config::new(api.uri.parse().unwrap());
            config.default_retry = false;
            kube::Client::try_from(config).unwrap()
        };
        let connection = Connection {
            shared: client(&api),
            another: Arc::new(move || {
                let client = client(&another);
                Box::pin(async move { Some(client) })
            }),
        };
        let (reports_to, reports) = mpsc::channel(1);
        let (notices_to, notices) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let sources = Sources::new(connection, reports_to, notices_to, metrics.clone(), cancel.clone(), settings);
        Self { api, sources, metrics, reports, notices, _cancel: cancel.drop_guard() }
    }

    pub(super) async fn report(&mut self) -> Report {
        timeout(DEADLINE, self.reports.recv()).await.expect("a report in time").unwrap()
    }

    /// The next reports are these.
    #[track_caller]
    pub(super) fn expect<'a>(&'a mut self, words: &'a [&'a str]) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let mut seen = Vec::new();
            for _ in words {
                let Ok(report) = timeout(DEADLINE, self.reports.recv()).await else { break };
                seen.push(word(&report.unwrap()));
            }
            assert_eq!(seen, words, "at {caller}");
        }
    }

    /// Waits for a state that `is` so, by notices.
    pub(super) async fn state(&mut self, id: &SourceId, is: impl Fn(&SourceState) -> bool) -> SourceState {
        let waited = timeout(DEADLINE, async {
            loop {
                match self.sources.state(id) {
                    Some(state) if is(&state) => return state,
                    _ => drop(self.notices.recv().await.unwrap()),
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("still {:?}", self.sources.state(id)))
    }

    /// Waits until something outside is so.
    pub(super) async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let waited = timeout(DEADLINE, async {
            while !is(self) {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}
