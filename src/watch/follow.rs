//! Watching from a complete list on: lines as they come, resuming, and what ends it.
//!
//! Invariants: a watch always begins at a version that a list or a watch of this source gave; whatever fails, what was
//! reported stays as it is.

use std::time::Duration;

use changehook_core::object::SourceEvent;
use tokio::time::{Instant, sleep};

use super::census::Listing;
use super::decode::{GARBLED, Item, Line};
use super::discover::{Found, Target};
use super::metrics::Restart;
use super::request::{self, CallError};
use super::source::{Halt, Source};
use super::state::SourceState;
use super::stream::{Lines, Next};
use super::verdict;

/// ERROR events in a row, with nothing between them, after which the kind is listed anew.
const ERRORS_IN_A_ROW: u32 = 3;

/// Where a watch has got to.
pub(super) struct Position {
    /// Where it is resumed.
    pub(super) rv: u64,
    /// When the API server was last heard of.
    pub(super) contact: Instant,
    /// ERROR events since the last good line.
    pub(super) errors: u32,
    /// Something was shown of which nobody knows what object it was about, so a list has to follow by then.
    pub(super) doubtful: Option<Instant>,
}

/// How one connection of a watch ended.
enum Cut {
    Halt(Halt),
    /// To be resumed where it stopped.
    Resume(Restart),
}

impl Source {
    /// By when a list has to show what was shown unreadably.
    pub(super) fn doubt(&mut self) -> Instant {
        Instant::now() + self.doubts.next(self.settings.resume_within)
    }

    /// Watches from a position until that cannot go on.
    pub(super) async fn watch(&mut self, target: &Target, mut at: Position, mut lines: Option<Lines>) -> Halt {
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
            Ok(request) => request::stream(&self.lister.connection.shared, request, self.settings.call_timeout).await,
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
            let next = tokio::select! {
                next = lines.next(doubt.map_or(idle, |doubt| doubt.min(idle))) => next,
                listing = self.audit.next(target, at.rv) => {
                    if self.has_diverged(listing) {
                        return Cut::Halt(Halt::Relist(Restart::Diverged));
                    }
                    continue;
                }
            };
            let line = match next {
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

    /// Whether a list shows that the watch has lost track of something.
    fn has_diverged(&mut self, listing: Result<Listing, CallError>) -> bool {
        match self.audit.judge(listing, &self.out.census) {
            Ok(0) => false,
            Ok(objects) => {
                self.metrics.diverged(objects);
                tracing::warn!(source = %self.id(), objects, "the watch has lost track of objects");
                true
            }
            Err(error) => {
                tracing::info!(source = %self.id(), %error, "what the watch told could not be compared with a list");
                false
            }
        }
    }

    /// Whether the watch's version is one that the API server has not reached: such a watch is silent for ever.
    async fn is_ahead(&self, target: &Target, rv: u64) -> bool {
        matches!(self.lister.version(target, &self.out).await, Ok(now) if now < rv)
    }

    /// Discovery, which knows a kind that was installed anew a moment later, tells something else than it did.
    async fn has_moved(&self, target: &Target) -> bool {
        let found = self.discovery.find(self.id(), self.settings.discovery_ttl).await;
        matches!(found, Ok(Found::Here(found)) if found != *target)
    }
}
