//! One source: find the kind, list it, watch it from there, and begin anew when that ends.
//!
//! Invariants: whatever fails, what was reported stays as it is until a complete list or a proven absence says otherwise;
//! every way round the loop that brought nothing waits longer than the one before.

use std::sync::Arc;
use std::time::Duration;

use changehook_core::object::SourceId;
use tokio::time::{Instant, sleep};

use super::audit::Audit;
use super::connection::Connection;
use super::decode::Reader;
use super::discover::{Discovery, Target};
use super::follow::Position;
use super::list::{Listed, Lister};
use super::metrics::{Metrics, Restart};
use super::pace::Pace;
use super::report::Out;
use super::settings::Settings;
use super::state::{SourceState, StateCell};

/// Why the watch does not simply go on.
#[derive(Debug)]
pub(super) enum Halt {
    /// Nobody takes reports any more.
    Closed,
    /// What the state says; tried again later.
    Trouble(SourceState),
    /// The kind has to be listed anew.
    Relist(Restart),
    /// A list lacks so many objects that were known that it is only believed if a second one says so too.
    SecondLook { objects: usize },
}

/// One source.
pub(super) struct Source {
    pub(super) out: Out,
    pub(super) state: StateCell,
    pub(super) metrics: Metrics,
    pub(super) discovery: Arc<Discovery>,
    pub(super) lister: Lister,
    pub(super) settings: Settings,
    /// Where the kind was last found.
    pub(super) target: Option<Target>,
    /// When a complete discovery first found the kind served nowhere.
    pub(super) absent_since: Option<Instant>,
    /// Since when every list has been older than what was seen before.
    pub(super) behind_since: Option<Instant>,
    pub(super) audit: Audit,
    /// After trouble discovery is asked anew.
    pub(super) troubled: bool,
    pub(super) calls: Pace,
    pub(super) relists: Pace,
    /// How long what is in doubt may stay so; longer each time, as it may be in doubt for ever.
    pub(super) doubts: Pace,
}

impl Source {
    pub(super) fn new(
        connection: Connection,
        discovery: Arc<Discovery>,
        settings: Settings,
        out: Out,
        state: StateCell,
        metrics: Metrics,
        seed: u64,
    ) -> Self {
        let gvk = Arc::new(out.source.gvk.clone());
        let pace = |seed| Pace::new(settings.backoff_min, settings.backoff_max, seed);
        let (calls, relists) = (pace(seed), pace(seed.rotate_left(32)));
        let doubts = Pace::new(settings.doubt_min, settings.resume_within, seed.rotate_left(16));
        let audit = Audit::new(connection.clone(), &settings, seed.rotate_left(48));
        let lister = Lister {
            connection,
            reader: Reader { gvk, metadata_only: false },
            page_size: settings.page_size,
            streaming_after: None,
            settings: settings.clone(),
        };
        Self {
            out,
            state,
            metrics,
            discovery,
            lister,
            settings,
            target: None,
            absent_since: None,
            behind_since: None,
            audit,
            troubled: false,
            calls,
            relists,
            doubts,
        }
    }

    pub(super) fn id(&self) -> &SourceId {
        &self.out.source
    }

    /// Lists and watches until nobody takes reports any more.
    pub(super) async fn run(&mut self) {
        loop {
            let halt = match self.list().await {
                Ok((target, _)) if self.is_outdated(&target) => Halt::Relist(Restart::Error),
                Ok((target, Listed { rv, lines, whole })) => {
                    self.calls.reset();
                    self.troubled = false;
                    self.absent_since = None;
                    self.behind_since = None;
                    self.audit.restart();
                    self.state.set(SourceState::Watching { namespaced: target.namespaced, rv });
                    tracing::info!(source = %self.id(), rv, "listed");
                    let doubtful = (!whole).then(|| self.doubt());
                    self.watch(&target, Position { rv, contact: Instant::now(), errors: 0, doubtful }, lines).await
                }
                Err(halt) => halt,
            };
            match halt {
                Halt::Closed => return,
                Halt::Trouble(state) => {
                    self.troubled = true;
                    let wait = self.wait_after(&state);
                    if self.state.set(state.clone()) {
                        tracing::info!(source = %self.id(), ?state, retry_in = ?wait, "not watching");
                    } else {
                        // some refusals are there to stay, such as of the shared watch where only a namespace is allowed
                        tracing::debug!(source = %self.id(), retry_in = ?wait, "still not watching");
                    }
                    sleep(wait).await;
                }
                Halt::Relist(reason) => {
                    self.troubled = true;
                    self.metrics.restarted(reason);
                    let wait = self.relists.next_or_now();
                    tracing::info!(source = %self.id(), ?reason, ?wait, "listing anew");
                    sleep(wait).await;
                }
                Halt::SecondLook { objects } => {
                    self.metrics.restarted(Restart::Vanished);
                    let wait = self.settings.second_look;
                    tracing::warn!(source = %self.id(), objects, ?wait, "a list lacks most of what was known; listing again");
                    sleep(wait).await;
                }
            }
        }
    }

    /// The objects are not of the scope that discovery told, which lags behind a kind that was installed anew.
    pub(super) fn is_outdated(&self, target: &Target) -> bool {
        self.out.namespaced.is_some_and(|namespaced| namespaced != target.namespaced)
    }

    pub(super) fn wait_after(&mut self, state: &SourceState) -> Duration {
        match state {
            SourceState::NotInstalled { .. } => self.calls.next(self.settings.absent_retry_max),
            // often enough to know after `rewind_after` whether it has lasted
            SourceState::Stale { .. } => self.calls.next(self.settings.rewind_after / 6),
            SourceState::NotWatchable { .. } | SourceState::Unsupported { .. } => self.settings.backoff_max,
            SourceState::Starting
            | SourceState::Watching { .. }
            | SourceState::Forbidden { .. }
            | SourceState::Failing { .. } => self.calls.next(self.settings.backoff_max),
        }
    }
}
