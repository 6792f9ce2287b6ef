//! One complete, consistent list: as the beginning of a watch where that is served, else by pages.
//!
//! Invariants: nothing of a list is reported before it is known to be no older than what was reported before; a list
//! that cannot be finished is begun anew, never patched together from two versions.

use std::time::Duration;

use changehook_core::object::{SourceEvent, Unreadable};
use tokio::time::Instant;

use super::connection::Connection;
use super::decode::{self, GARBLED, Line, Reader};
use super::discover::Target;
use super::metrics::Restart;
use super::report::Out;
use super::request::{self, CallError};
use super::settings::Settings;
use super::source::Halt;
use super::state::SourceState;
use super::stream::{Lines, Next};

/// What lists need and remember.
pub(super) struct Lister {
    pub(super) connection: Connection,
    pub(super) settings: Settings,
    pub(super) reader: Reader,
    pub(super) page_size: u32,
    /// Streaming lists are not tried again before.
    pub(super) streaming_after: Option<Instant>,
}

/// A complete list.
pub(super) struct Listed {
    /// As of which version.
    pub(super) rv: u64,
    /// The watch that goes on from there, if the list was its beginning.
    pub(super) lines: Option<Lines>,
    /// Each object could be read, or at least its name.
    pub(super) whole: bool,
}

/// What became of a streaming list.
pub(super) enum Streamed {
    Complete(Box<Listed>),
    /// The API server does not serve it, or it broke off.
    Fallback(&'static str),
}

/// Why a list was not made.
pub(super) enum ListError {
    Halt(Halt),
    /// A call of this verb failed.
    Call(&'static str, CallError),
}

impl From<Halt> for ListError {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

fn listing(error: CallError) -> ListError {
    ListError::Call("list", error)
}

impl Lister {
    /// Whether a streaming list is worth trying.
    pub(super) fn may_stream(&self) -> bool {
        self.streaming_after.is_none_or(|at| Instant::now() >= at)
    }

    /// Remembers that streaming lists do not work.
    pub(super) fn pause_streaming(&mut self) {
        self.streaming_after = Some(Instant::now() + self.settings.streaming_pause);
    }

    /// The version the API server is at, by a consistent list of one object.
    pub(super) async fn version(&self, target: &Target, out: &Out) -> Result<u64, ListError> {
        self.version_by(&self.connection.shared, target, out).await
    }

    /// The same over a connection of its own.
    pub(super) async fn version_elsewhere(&self, target: &Target, out: &Out) -> Result<u64, ListError> {
        let client = self.connection.anew(self.settings.call_timeout).await.map_err(listing)?;
        self.version_by(&client, target, out).await
    }

    async fn version_by(&self, client: &kube::Client, target: &Target, out: &Out) -> Result<u64, ListError> {
        let text = self.page(client, target, "1", None).await?;
        let page = decode::page(&text).ok_or_else(|| listing(CallError::Malformed))?;
        Ok(decode::decimal(&page.rv).ok_or_else(|| out.not_decimal())?)
    }

    /// A streaming list.
    pub(super) async fn stream(&self, target: &Target, out: &mut Out) -> Result<Streamed, ListError> {
        // a streaming list shows its version only at its end. So a repeated one asks first where the API server is,
        // refuses to go back, and then asks for a state that is at least as new
        let least = match out.highest {
            0 => None,
            _ => Some(self.version(target, out).await?),
        };
        let known = out.highest;
        if let Some(least) = least {
            fresh(least, known, out)?;
        }
        let seconds = self.settings.watch_timeout.as_secs().max(1).to_string();
        let mut query = vec![
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
            ("timeoutSeconds", &*seconds),
        ];
        let least = least.map(|least| least.to_string());
        if let Some(least) = &least {
            query.push(("resourceVersion", least));
        }
        let request = target.watch(&query).map_err(listing)?;
        let body = match request::stream(&self.connection.shared, request, self.settings.call_timeout).await {
            Ok(body) => body,
            Err(error) => {
                return match error.code() {
                    // these say nothing about streaming
                    None | Some(401 | 403 | 404 | 429 | 503 | 504) => Err(ListError::Call("watch", error)),
                    Some(_) => Ok(Streamed::Fallback("refused")),
                };
            }
        };
        let mut lines = Lines::new(body, self.settings.line_bytes);
        let mut unreadable = Unreadable::Named(Vec::new());
        out.send(SourceEvent::ListStarted).await?;
        loop {
            let line = match lines.next(self.settings.call_timeout).await {
                Next::Line(line) => line,
                Next::Ended | Next::Lost => return Ok(Streamed::Fallback("broken off")),
                Next::Idle => return Ok(Streamed::Fallback("silent")),
                Next::TooLong => return Ok(Streamed::Fallback("a line is too long")),
            };
            match self.reader.line(&line) {
                Line::Object(item) => out.listed(item, &mut unreadable).await?,
                // changes that happen meanwhile may come before the end
                Line::Deleted { namespace, uid, rv } => out.send(SourceEvent::Deleted { namespace, uid, rv }).await?,
                Line::Bookmark { ends_list: false, .. } => {}
                Line::Bookmark { rv, ends_list: true } => {
                    fresh(rv, known, out)?;
                    let whole = unreadable != Unreadable::Unknown;
                    out.end_list(rv, unreadable, self.settings.second_look).await?;
                    return Ok(Streamed::Complete(Box::new(Listed { rv, lines: Some(lines), whole })));
                }
                Line::Error(_) => return Ok(Streamed::Fallback("broken off by an error")),
                Line::Garbled => {
                    out.count_unreadable(None, GARBLED);
                    unreadable = Unreadable::Unknown;
                }
            }
        }
    }

    /// A list by pages, all of one version.
    pub(super) async fn pages(&mut self, target: &Target, out: &mut Out) -> Result<Listed, ListError> {
        let mut unreadable = Unreadable::Named(Vec::new());
        let mut first: Option<u64> = None;
        let mut token: Option<String> = None;
        loop {
            let text =
                match self.page(&self.connection.shared, target, &self.page_size.to_string(), token.as_deref()).await {
                    // the token's version is compacted; the one offered instead would continue at another version
                    Err(ListError::Call(_, error)) if first.is_some() && error.code() == Some(410) => {
                        return Err(Halt::Relist(Restart::List).into());
                    }
                    Err(ListError::Call(_, CallError::TooLarge)) if self.page_size > 1 => {
                        self.page_size /= 2;
                        return Err(Halt::Relist(Restart::List).into());
                    }
                    other => other?,
                };
            let page = decode::page(&text).ok_or_else(|| listing(CallError::Malformed))?;
            let rv: u64 = decode::decimal(&page.rv).ok_or_else(|| out.not_decimal())?;
            match first {
                None => {
                    fresh(rv, out.highest, out)?;
                    out.send(SourceEvent::ListStarted).await?;
                    first = Some(rv);
                }
                Some(first) if first != rv => return Err(Halt::Relist(Restart::List).into()),
                Some(_) => {}
            }
            for item in &page.items {
                let item = self.reader.item(item.get());
                out.listed(item, &mut unreadable).await?;
            }
            let Some(next) = page.next else {
                let whole = unreadable != Unreadable::Unknown;
                out.end_list(rv, unreadable, self.settings.second_look).await?;
                return Ok(Listed { rv, lines: None, whole });
            };
            token = Some(next);
        }
    }

    async fn page(
        &self,
        client: &kube::Client,
        target: &Target,
        limit: &str,
        token: Option<&str>,
    ) -> Result<String, ListError> {
        // without a resourceVersion the list is consistent: as of now, not as of some cache
        let mut query = vec![("limit", limit)];
        query.extend(token.map(|token| ("continue", token)));
        let request = target.list(&query).map_err(listing)?;
        let within: Duration = self.settings.call_timeout;
        request::text(client, request, within, self.settings.page_bytes).await.map_err(listing)
    }
}

/// Refuses a list of `rv` that is older than what was `known` when it was asked for.
fn fresh(rv: u64, known: u64, out: &Out) -> Result<(), Halt> {
    if rv >= known {
        return Ok(());
    }
    Err(Halt::Trouble(SourceState::Stale {
        message: format!(
            "the API server lists {} as of an older resourceVersion than it has shown before; the list is refused",
            out.source.gvk
        ),
    }))
}
