//! One source: find the kind, list it, watch it from there, and begin anew when that ends.
//!
//! Invariants: a watch always begins at a version that a list or a watch of this source gave; whatever fails, what was
//! reported stays as it is until a complete list or a proven absence says otherwise; every way round the loop that
//! brought nothing waits longer than the one before.

use std::sync::Arc;
use std::time::Duration;

use changehook_core::object::{SourceEvent, SourceId};
use tokio::time::{Instant, sleep};

use super::decode::{GARBLED, Item, Line, Reader};
use super::discover::{Discovery, Found, Target};
use super::list::{ListError, Listed, Lister, Streamed};
use super::metrics::{ListKind, Metrics, Restart};
use super::pace::Pace;
use super::report::Out;
use super::request;
use super::settings::Settings;
use super::state::{SourceState, StateCell};
use super::stream::{Lines, Next};
use super::verdict;

/// ERROR events in a row, with nothing between them, after which the kind is listed anew.
const ERRORS_IN_A_ROW: u32 = 3;

/// Why the watch does not simply go on.
#[derive(Debug)]
pub(super) enum Halt {
    /// Nobody takes reports any more.
    Closed,
    /// What the state says; tried again later.
    Trouble(SourceState),
    /// The kind has to be listed anew.
    Relist(Restart),
}

/// Where a watch has got to.
struct Position {
    /// Where it is resumed.
    rv: u64,
    /// When the API server was last heard of.
    contact: Instant,
    /// ERROR events since the last good line.
    errors: u32,
    /// Something was shown of which nobody knows what object it was about, so a list has to follow by then.
    doubtful: Option<Instant>,
}

/// How one connection of a watch ended.
enum Cut {
    Halt(Halt),
    /// To be resumed where it stopped.
    Resume(Restart),
}

/// One source.
pub(super) struct Source {
    out: Out,
    state: StateCell,
    metrics: Metrics,
    discovery: Arc<Discovery>,
    lister: Lister,
    settings: Settings,
    /// Where the kind was last found.
    target: Option<Target>,
    /// When a complete discovery first found the kind served nowhere.
    absent_since: Option<Instant>,
    /// After trouble discovery is asked anew.
    troubled: bool,
    calls: Pace,
    relists: Pace,
    /// How long what is in doubt may stay so; longer each time, as it may be in doubt for ever.
    doubts: Pace,
}

impl Source {
    pub(super) fn new(
        client: kube::Client,
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
        let lister = Lister {
            client,
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
            troubled: false,
            calls,
            relists,
            doubts,
        }
    }

    fn id(&self) -> &SourceId {
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
            }
        }
    }

    /// The objects are not of the scope that discovery told, which lags behind a kind that was installed anew.
    fn is_outdated(&self, target: &Target) -> bool {
        self.out.namespaced.is_some_and(|namespaced| namespaced != target.namespaced)
    }

    /// Discovery, which knows a kind that was installed anew a moment later, tells something else than it did.
    async fn has_moved(&self, target: &Target) -> bool {
        let found = self.discovery.find(self.id(), self.settings.discovery_ttl).await;
        matches!(found, Ok(Found::Here(found)) if found != *target)
    }

    fn wait_after(&mut self, state: &SourceState) -> Duration {
        match state {
            SourceState::NotInstalled { .. } => self.calls.next(self.settings.absent_retry_max),
            SourceState::NotWatchable { .. } | SourceState::Unsupported { .. } => self.settings.backoff_max,
            SourceState::Starting
            | SourceState::Watching { .. }
            | SourceState::Forbidden { .. }
            | SourceState::Stale { .. }
            | SourceState::Failing { .. } => self.calls.next(self.settings.backoff_max),
        }
    }

    /// Finds the kind and lists it completely.
    async fn list(&mut self) -> Result<(Target, Listed), Halt> {
        // what was known before the trouble may be its cause: a kind that was installed anew has perhaps another scope
        let max_age = if self.troubled { Duration::ZERO } else { self.settings.discovery_ttl };
        let target = self.find(max_age).await?;
        match self.list_at(&target).await {
            Ok(listed) => Ok((target, listed)),
            Err(ListError::Halt(halt)) => Err(halt),
            Err(ListError::Call(verb, error)) if error.code() == Some(404) => {
                // what discovery said may be what it no longer says
                self.target = None;
                self.find(Duration::ZERO).await?;
                Err(Halt::Trouble(verdict::failed(verb, &target, &error)))
            }
            Err(ListError::Call(verb, error)) => Err(Halt::Trouble(verdict::refused(self.id(), verb, &target, &error))),
        }
    }

    async fn list_at(&mut self, target: &Target) -> Result<Listed, ListError> {
        if self.lister.may_stream() {
            match self.lister.stream(target, &mut self.out).await? {
                Streamed::Complete(listed) => {
                    self.metrics.listed(ListKind::Streaming);
                    return Ok(*listed);
                }
                Streamed::Fallback(why) => {
                    tracing::info!(source = %self.id(), why, "no streaming list, listing by pages");
                    self.lister.pause_streaming();
                }
            }
        }
        let listed = self.lister.pages(target, &mut self.out).await?;
        self.metrics.listed(ListKind::Paged);
        Ok(listed)
    }

    async fn find(&mut self, max_age: Duration) -> Result<Target, Halt> {
        let found = self.discovery.find(self.id(), max_age).await;
        match found.map_err(|error| Halt::Trouble(verdict::undiscovered(self.id(), &error)))? {
            Found::Here(target) => Ok(self.found(target)),
            Found::Verbs(missing) => Err(Halt::Trouble(verdict::lacks_verbs(self.id(), &missing))),
            Found::ClusterScoped => Err(Halt::Trouble(verdict::cluster_scoped(self.id()))),
            Found::Missing => self.missing().await,
        }
    }

    fn found(&mut self, target: Target) -> Target {
        self.absent_since = None;
        self.lister.reader.metadata_only = target.metadata_only;
        self.target = Some(target.clone());
        target
    }

    /// Discovery does not show the kind. Only a list that answers 404 and two complete discoveries, some time apart, in
    /// which no version of its group serves it, prove that its objects are gone.
    async fn missing(&mut self) -> Result<Target, Halt> {
        if let Some(target) = self.target.clone() {
            match self.lister.version(&target, &self.out).await {
                // discovery lags behind
                Ok(_) => return Ok(target),
                Err(ListError::Call(_, error)) if error.code() == Some(404) => self.target = None,
                Err(ListError::Call(verb, error)) => {
                    return Err(Halt::Trouble(verdict::refused(self.id(), verb, &target, &error)));
                }
                Err(ListError::Halt(halt)) => return Err(halt),
            }
        }
        let elsewhere = self.discovery.served_versions(&self.id().gvk).await;
        let elsewhere = elsewhere.map_err(|error| Halt::Trouble(verdict::undiscovered(self.id(), &error)))?;
        if elsewhere.contains(&self.id().gvk.version)
            && let Ok(Found::Here(target)) = self.discovery.find(self.id(), self.settings.discovery_ttl).await
        {
            // it was installed a moment ago
            return Ok(self.found(target));
        }
        if elsewhere.is_empty() {
            match self.absent_since {
                Some(since) if since.elapsed() >= self.settings.absence_gap => {
                    // told once, and also of a kind that never was there: whatever it will have then is new
                    if !self.out.absent {
                        tracing::warn!(source = %self.id(), "the kind is not served, so it has no objects");
                        self.out.send(SourceEvent::KindAbsent).await?;
                    }
                }
                Some(_) => {}
                None => self.absent_since = Some(Instant::now()),
            }
        } else {
            self.absent_since = None;
        }
        Err(Halt::Trouble(verdict::not_installed(self.id(), &elsewhere)))
    }

    /// By when a list has to show what was shown unreadably.
    fn doubt(&mut self) -> Instant {
        Instant::now() + self.doubts.next(self.settings.resume_within)
    }

    /// Watches from a position until that cannot go on.
    async fn watch(&mut self, target: &Target, mut at: Position, mut lines: Option<Lines>) -> Halt {
        loop {
            let began = Instant::now();
            let opened = match lines.take() {
                Some(lines) => Ok(lines),
                None => self.open(target, at.rv).await,
            };
            let cut = match opened {
                Ok(mut lines) => {
                    at.contact = Instant::now();
                    self.state.set(SourceState::Watching { namespaced: target.namespaced, rv: at.rv });
                    self.follow(target, &mut lines, &mut at).await
                }
                Err(halt) => Cut::Halt(halt),
            };
            if began.elapsed() > self.settings.backoff_max {
                self.calls.reset();
                self.relists.reset();
            }
            if at.doubtful.is_none() && began.elapsed() > self.settings.watch_timeout / 2 {
                self.doubts.reset();
            }
            let wait = match cut {
                Cut::Halt(Halt::Trouble(state)) if !matches!(state, SourceState::Unsupported { .. }) => {
                    // what was reported is still as true as it was; the watch is resumed as soon as it can be
                    let wait = self.wait_after(&state);
                    tracing::info!(source = %self.id(), ?state, retry_in = ?wait, "the watch is interrupted");
                    self.metrics.restarted(Restart::Error);
                    self.state.set(state);
                    wait
                }
                Cut::Halt(halt) => return halt,
                Cut::Resume(reason) => {
                    if at.errors >= ERRORS_IN_A_ROW {
                        return Halt::Relist(Restart::Error);
                    }
                    if at.doubtful.is_some() {
                        return Halt::Relist(Restart::Unreadable);
                    }
                    if reason == Restart::Idle && self.is_ahead(target, at.rv).await {
                        return Halt::Relist(Restart::Future);
                    }
                    if reason == Restart::Ended {
                        at.contact = Instant::now();
                    }
                    self.metrics.restarted(reason);
                    self.calls.next_or_now()
                }
            };
            tracing::debug!(source = %self.id(), rv = at.rv, ?wait, "resuming the watch");
            sleep(wait).await;
            if at.contact.elapsed() > self.settings.resume_within {
                return Halt::Relist(Restart::Aged);
            }
            if self.has_moved(target).await {
                return Halt::Relist(Restart::Error);
            }
        }
    }

    async fn open(&self, target: &Target, rv: u64) -> Result<Lines, Halt> {
        let seconds = self.settings.watch_timeout.as_secs().max(1).to_string();
        let version = rv.to_string();
        let opened = match target.watch(&[("resourceVersion", &version), ("timeoutSeconds", &seconds)]) {
            Ok(request) => request::stream(&self.lister.client, request, self.settings.call_timeout).await,
            Err(error) => Err(error),
        };
        opened.map(|body| Lines::new(body, self.settings.line_bytes)).map_err(|error| match error.code() {
            Some(410) => Halt::Relist(Restart::Gone),
            // a version that the API server has not reached
            Some(504) => Halt::Relist(Restart::Future),
            // of 404, the next list finds out whether the kind is gone
            Some(400 | 404 | 422) => Halt::Relist(Restart::Error),
            _ => Halt::Trouble(verdict::refused(self.id(), "watch", target, &error)),
        })
    }

    /// Takes lines until there are no more, and keeps `at` where the watch has got to.
    async fn follow(&mut self, target: &Target, lines: &mut Lines, at: &mut Position) -> Cut {
        loop {
            let doubt = at.doubtful.map(|by| by.saturating_duration_since(Instant::now()));
            // looked at before each line, so that a busy watch does not put it off for ever
            if doubt == Some(Duration::ZERO) {
                return Cut::Halt(Halt::Relist(Restart::Unreadable));
            }
            let idle = self.settings.idle_timeout;
            let line = match lines.next(doubt.map_or(idle, |doubt| doubt.min(idle))).await {
                Next::Line(line) => self.lister.reader.line(&line),
                Next::Ended => return Cut::Resume(Restart::Ended),
                Next::Lost => return Cut::Resume(Restart::Lost),
                Next::Idle if at.doubtful.is_some_and(|by| by <= Instant::now()) => continue,
                Next::Idle => return Cut::Resume(Restart::Idle),
                Next::TooLong => return Cut::Halt(Halt::Relist(Restart::Oversize)),
            };
            at.contact = Instant::now();
            let event = match line {
                Line::Object(Item::Row(row)) => {
                    at.rv = row.rv.max(at.rv);
                    Some(SourceEvent::Upsert(row))
                }
                Line::Deleted { namespace, uid, rv } => {
                    at.rv = rv.max(at.rv);
                    Some(SourceEvent::Deleted { namespace, uid, rv })
                }
                Line::Bookmark { rv, .. } if rv < at.rv => return Cut::Halt(Halt::Relist(Restart::Future)),
                Line::Bookmark { rv, .. } => {
                    at.rv = rv;
                    None
                }
                Line::Object(Item::Unreadable { name, rv, why }) => {
                    at.rv = rv.unwrap_or(0).max(at.rv);
                    if name.is_none() && at.doubtful.is_none() {
                        at.doubtful = Some(self.doubt());
                    }
                    self.out.count_unreadable(name.as_ref(), &why);
                    name.map(SourceEvent::Unreadable)
                }
                Line::Garbled => {
                    if at.doubtful.is_none() {
                        at.doubtful = Some(self.doubt());
                    }
                    self.out.count_unreadable(None, GARBLED);
                    None
                }
                Line::Object(Item::NotDecimal) => return Cut::Halt(self.out.not_decimal()),
                Line::Error(status) if status.code == 410 => return Cut::Halt(Halt::Relist(Restart::Gone)),
                Line::Error(status) => {
                    tracing::info!(source = %self.id(), code = status.code, reason = status.reason, "the watch broke off");
                    at.errors += 1;
                    return Cut::Resume(Restart::Error);
                }
            };
            if let Some(event) = event
                && let Err(halt) = self.out.send(event).await
            {
                return Cut::Halt(halt);
            }
            if self.is_outdated(target) {
                return Cut::Halt(Halt::Relist(Restart::Error));
            }
            self.state.moved(at.rv);
            at.errors = 0;
            self.calls.reset();
        }
    }

    /// Whether the watch's version is one that the API server has not reached: such a watch is silent for ever.
    async fn is_ahead(&self, target: &Target, rv: u64) -> bool {
        matches!(self.lister.version(target, &self.out).await, Ok(now) if now < rv)
    }
}
