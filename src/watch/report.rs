//! The way out of a source: what it reports, and what it remembers of that.
//!
//! Invariant: `highest` is the highest version that was reported, by event or by a list's end; never by a bookmark.

use std::sync::Arc;

use changehook_core::object::{ObjectName, SourceEvent, SourceId, Unreadable};
use tokio::sync::mpsc;

use super::decode::Item;
use super::metrics::Metrics;
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
    /// The highest version reported.
    pub(super) highest: u64,
    /// Nothing but the kind's absence was reported last.
    pub(super) absent: bool,
    /// Whether the object reported last has a namespace; `None` since a list began.
    pub(super) namespaced: Option<bool>,
}

impl Out {
    pub(super) fn new(source: Arc<SourceId>, reports: mpsc::Sender<Report>, metrics: Metrics) -> Self {
        Self { source, reports, metrics, highest: 0, absent: false, namespaced: None }
    }

    /// Waits until there is room: that is the back-pressure on the watch.
    pub(super) async fn send(&mut self, event: SourceEvent) -> Result<(), Halt> {
        match &event {
            SourceEvent::Upsert(row) => {
                self.highest = self.highest.max(row.rv);
                self.namespaced = Some(row.namespace.is_some());
            }
            SourceEvent::Deleted { rv, .. } | SourceEvent::ListEnded { rv, .. } => self.highest = self.highest.max(*rv),
            SourceEvent::KindAbsent => {
                // a kind that is installed again may count its versions from one
                self.highest = 0;
            }
            SourceEvent::ListStarted => self.namespaced = None,
            SourceEvent::Unreadable(_) => {}
        }
        self.absent = event == SourceEvent::KindAbsent;
        let report = Report::Event { source: self.source.clone(), event };
        self.reports.send(report).await.map_err(|_| Halt::Closed)
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
