//! Lists and watches kinds of objects, any kind, and reports what it sees as [`SourceEvent`]s.
//!
//! Reads from the API server only; knows no subscription. Invariants: one watch a [`SourceId`], however many hold it;
//! a source's reports are in order, and reporting waits for the reader instead of dropping or piling up.
//!
//! | file | idea |
//! | --- | --- |
//! | `source` | the loop of one source: find, list, watch, begin anew |
//! | `find` | finding the kind and listing it; kinds that are absent, lists that are too old |
//! | `list` | one consistent list, streaming or by pages |
//! | `follow` | watching from there |
//! | `census`, `audit` | what was reported; lists that lack too much, watches that lost something |
//! | `past` | what an earlier life knew |
//! | `discover` | where a kind is served |
//! | `connection`, `request`, `stream`, `decode` | how the API server is reached; one GET, its lines, their meaning |
//! | `report`, `state`, `verdict` | what is told: events, states, and their words |
//! | `pace`, `settings`, `metrics` | how long to wait, the numbers, the counts |
//!
//! [`SourceEvent`]: changehook_core::object::SourceEvent

use std::any::Any;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use changehook_core::object::{Gvk, SourceId};
use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

mod audit;
mod census;
mod connection;
mod decode;
mod discover;
mod find;
mod follow;
mod list;
mod metrics;
mod pace;
mod past;
mod report;
mod request;
mod settings;
mod source;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod verdict;

pub use connection::{Connection, MakeClient};
pub use decode::row_in_line;
pub use discover::Served;
pub use metrics::Metrics;
pub use past::Past;
pub use report::Report;
pub use settings::Settings;
pub use state::SourceState;

use discover::Discovery;
use past::Memory;
use report::Out;
use source::Source;
use state::{Notices, StateCell};

/// A task of a source died. What it watched is no longer watched, so the process should end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to keep watching {source_id}: the task panicked: {panic}")]
pub struct Died {
    /// What was watched.
    pub source_id: String,
    /// What the panic said.
    pub panic: String,
}

/// All sources; clones share them.
#[derive(Clone)]
pub struct Sources {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    memory: Arc<Memory>,
    reports: mpsc::Sender<Report>,
    metrics: Metrics,
    cancel: CancellationToken,
    settings: Settings,
    discovery: Arc<Discovery>,
    notices: Arc<Notices>,
    died: watch::Sender<Option<Died>>,
    entries: Mutex<HashMap<SourceId, Entry>>,
}

struct Entry {
    holders: watch::Sender<usize>,
    state: StateCell,
}

/// Holds a source: as long as there is one, and a while after, the source is watched.
#[must_use = "the source is only watched while somebody holds it"]
pub struct SourceHandle {
    shared: Arc<Shared>,
    id: SourceId,
}

impl std::fmt::Debug for SourceHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SourceHandle").field(&self.id).finish()
    }
}

impl Sources {
    /// No sources yet. `reports` carries what all of them see; a full channel makes them wait. `notices` carries the id
    /// of each source whose [`SourceState`] says something else than before. All tasks end with `cancel`.
    ///
    /// Must be called within a tokio runtime.
    pub fn new(
        connection: Connection,
        reports: mpsc::Sender<Report>,
        notices: mpsc::Sender<SourceId>,
        metrics: Metrics,
        cancel: CancellationToken,
        settings: Settings,
    ) -> Self {
        let shared = Arc::new(Shared {
            discovery: Arc::new(Discovery::new(connection.shared.clone(), &settings)),
            connection,
            memory: Arc::default(),
            reports,
            metrics,
            cancel,
            settings,
            notices: Arc::new(Notices::default()),
            died: watch::Sender::new(None),
            entries: Mutex::new(HashMap::new()),
        });
        let pending = shared.notices.clone();
        shared.spawn("the sources' states".to_owned(), async move { pending.pass_on(notices).await });
        Self { shared }
    }

    /// What an earlier life knew; for sources that begin from here on.
    pub fn recall(&self, past: Past) {
        self.shared.memory.recall(past);
    }

    /// Watches `id` until all its handles are dropped and nobody has asked again for a while.
    pub fn acquire(&self, id: SourceId) -> SourceHandle {
        let shared = &self.shared;
        let mut entries = shared.entries();
        if let Some(entry) = entries.get(&id) {
            entry.holders.send_modify(|holders| *holders += 1);
        } else {
            let state = StateCell::new(Arc::new(id.clone()), shared.notices.clone());
            let (holders, held) = watch::channel(1);
            entries.insert(id.clone(), Entry { holders, state: state.clone() });
            shared.spawn(id.to_string(), shared.clone().keep(Arc::new(id.clone()), held, state));
        }
        SourceHandle { shared: shared.clone(), id }
    }

    /// What a source is doing; `None` if nobody has asked for it, or not for a while.
    pub fn state(&self, id: &SourceId) -> Option<SourceState> {
        self.shared.entries().get(id).map(|entry| entry.state.get())
    }

    /// Under which name a kind's objects are served, and whether they can be watched at all.
    pub async fn served(&self, gvk: &Gvk) -> Served {
        self.shared.discovery.served(gvk).await
    }

    /// Waits until a task has died, which none should.
    pub async fn failed(&self) -> Died {
        let mut died = self.shared.died.subscribe();
        loop {
            if let Some(died) = died.borrow_and_update().clone() {
                return died;
            }
            if died.changed().await.is_err() {
                // the sender lives in `self`, so this is never reached; waiting is what the caller asked for
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        if let Some(entry) = self.shared.entries().get(&self.id) {
            entry.holders.send_modify(|holders| *holders -= 1);
        }
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, HashMap<SourceId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` until it ends or all is cancelled, and tells if it dies.
    fn spawn(&self, name: String, work: impl Future<Output = ()> + Send + 'static) {
        let (cancel, died) = (self.cancel.clone(), self.died.clone());
        tokio::spawn(async move {
            let guarded = AssertUnwindSafe(cancel.run_until_cancelled(work)).catch_unwind();
            if let Err(panic) = guarded.await {
                died.send_replace(Some(Died { source_id: name, panic: said(&*panic) }));
            }
        });
    }

    /// One source's life: watched while it is held, and a while after.
    async fn keep(self: Arc<Self>, id: Arc<SourceId>, mut held: watch::Receiver<usize>, state: StateCell) {
        self.metrics.source_started();
        let _running = Running(self.metrics.clone());
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        loop {
            let out = Out::new(id.clone(), self.reports.clone(), self.metrics.clone(), self.memory.clone());
            let mut source = Source::new(
                self.connection.clone(),
                self.discovery.clone(),
                self.settings.clone(),
                out,
                state.clone(),
                self.metrics.clone(),
                self.settings.seed ^ hasher.finish(),
            );
            tokio::select! {
                () = source.run() => return,
                () = unheld(&mut held, self.settings.linger) => {}
            }
            // asked for again, it must not go back behind what it has shown
            self.memory.set_version(&id, source.out.highest);
            if self.reports.send(Report::Stopped { source: id.clone() }).await.is_err() {
                return;
            }
            // whoever asked while that was sent gets a source that begins with a list, after the report
            let mut entries = self.entries();
            if *held.borrow() == 0 {
                entries.remove(&*id);
                return;
            }
            drop(entries);
            state.set(SourceState::Starting);
        }
    }
}

/// Counts a source as long as its task lives, however that ends.
struct Running(Metrics);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.source_ended();
    }
}

/// Waits until nobody has held the source for as long as `linger`.
async fn unheld(held: &mut watch::Receiver<usize>, linger: std::time::Duration) {
    loop {
        // the sender is in the entry, which only this task removes
        if held.wait_for(|holders| *holders == 0).await.is_err() {
            return;
        }
        if tokio::time::timeout(linger, held.wait_for(|holders| *holders > 0)).await.is_err() {
            return;
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
