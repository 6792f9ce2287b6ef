//! The way out of a source: what it reports, and what it remembers of that.
//!
//! Invariants: `highest` is the highest version that was reported, by event or by a list's end, in this life or an earlier
//! one; never by a bookmark. A list that lacks most of what was known is only reported as complete when a second one says
//! so too.

use std::sync::Arc;
use std::time::Duration;

use changehook_core::object::{ObjectName, SourceEvent, SourceId, Unreadable};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::census::Census;
use super::decode::Item;
use super::metrics::Metrics;
use super::past::Memory;
use super::source::Halt;
use super::state::SourceState;

/// What the sources report, in one channel; a source's reports are in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A source saw something.
    Event {
        /// Which.
        source: Arc<SourceId>,
        /// What.
        event: SourceEvent,
    },
    /// The versions of a source count anew: what lies behind the API server was set back. The source lists again.
    Rewound {
        /// Which.
        source: Arc<SourceId>,
    },
    /// A source nobody held any more has ended; nothing is known of its kind from here on. If it is asked for again,
    /// it begins with a list.
    Stopped {
        /// Which.
        source: Arc<SourceId>,
    },
}

/// More unreadable objects than this in one list are not named.
const NAMED: usize = 1000;

/// One source's way out.
pub(super) struct Out {
    pub(super) source: Arc<SourceId>,
    reports: mpsc::Sender<Report>,
    metrics: Metrics,
    memory: Arc<Memory>,
    /// The highest version reported.
    pub(super) highest: u64,
    /// Nothing but the kind's absence was reported last.
    pub(super) absent: bool,
    /// Whether the object reported last has a namespace; `None` since a list began.
    pub(super) namespaced: Option<bool>,
    pub(super) census: Census,
    /// Since when the kind's lists lack most of what was known.
    doubted: Option<Instant>,
}

impl Out {
    pub(super) fn new(
        source: Arc<SourceId>,
        reports: mpsc::Sender<Report>,
        metrics: Metrics,
        memory: Arc<Memory>,
    ) -> Self {
        let mut census = Census::default();
        census.expect(memory.objects(&source));
        let highest = memory.version(&source);
        Self { source, reports, metrics, memory, highest, absent: false, namespaced: None, census, doubted: None }
    }

    /// Waits until there is room: that is the back-pressure on the watch.
    pub(super) async fn send(&mut self, event: SourceEvent) -> Result<(), Halt> {
        match &event {
            SourceEvent::Upsert(row) => {
                self.highest = self.highest.max(row.rv);
                self.namespaced = Some(row.namespace.is_some());
                self.census.shown(row);
            }
            SourceEvent::Deleted { uid, rv, .. } => {
                self.highest = self.highest.max(*rv);
                self.census.deleted(uid, *rv);
            }
            SourceEvent::ListEnded { rv, unreadable } => {
                self.highest = self.highest.max(*rv);
                self.census.list_ended(*rv, unreadable);
            }
            SourceEvent::KindAbsent => {
                // a kind that is installed again may count its versions from one
                self.highest = 0;
                self.census.clear();
            }
            SourceEvent::ListStarted => {
                self.namespaced = None;
                self.census.list_started();
            }
            SourceEvent::Unreadable(name) => self.census.unreadable(name),
        }
        self.absent = event == SourceEvent::KindAbsent;
        let report = Report::Event { source: self.source.clone(), event };
        self.reports.send(report).await.map_err(|_| Halt::Closed)
    }

    /// A list is complete; a doubtful one is only believed if it is the second, at least `patience` after the first.
    pub(super) async fn end_list(&mut self, rv: u64, unreadable: Unreadable, patience: Duration) -> Result<(), Halt> {
        if let Some(objects) = self.census.vanished(rv, &unreadable) {
            let since = *self.doubted.get_or_insert_with(Instant::now);
            if since.elapsed() < patience {
                return Err(Halt::SecondLook { objects });
            }
            tracing::warn!(source = %self.source, objects, "two lists lack most of what was known; they are believed");
        }
        self.doubted = None;
        let says_all = unreadable != Unreadable::Unknown;
        self.send(SourceEvent::ListEnded { rv, unreadable }).await?;
        if says_all {
            self.memory.forget_objects(&self.source);
        }
        Ok(())
    }

    /// Versions count anew.
    pub(super) async fn rewound(&mut self) -> Result<(), Halt> {
        self.highest = 0;
        self.census.rewind();
        self.metrics.rewound();
        self.reports.send(Report::Rewound { source: self.source.clone() }).await.map_err(|_| Halt::Closed)
    }

    /// An object in a list.
    pub(super) async fn listed(&mut self, item: Item, unreadable: &mut Unreadable) -> Result<(), Halt> {
        match item {
            Item::Row(row) => self.send(SourceEvent::Upsert(row)).await,
            Item::Unreadable { name, why, .. } => {
                self.count_unreadable(name.as_ref(), &why);
                match (name, unreadable) {
                    (Some(name), Unreadable::Named(names)) if names.len() < NAMED => names.push(name),
                    (_, unreadable) => *unreadable = Unreadable::Unknown,
                }
                Ok(())
            }
            Item::NotDecimal => Err(self.not_decimal()),
        }
    }

    /// Says, by name if possible, that an object could not be read.
    pub(super) fn count_unreadable(&self, name: Option<&ObjectName>, why: &str) {
        self.metrics.undecodable();
        let namespace = name.and_then(|name| name.namespace.as_deref()).unwrap_or_default();
        let name = name.map_or("(unreadable)", |name| name.name.as_str());
        tracing::warn!(source = %self.source, namespace, name, why, "an object could not be read and is left out");
    }

    pub(super) fn not_decimal(&self) -> Halt {
        Halt::Trouble(SourceState::Unsupported {
            message: format!(
                "resourceVersions of {} are no decimal numbers, so its changes cannot be ordered",
                self.source.gvk
            ),
        })
    }
}
