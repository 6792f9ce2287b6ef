//! The comparison: now and then a list of names and versions is compared with what was reported, because API servers do
//! lose watch events, and a watch that lost one looks healthy for ever.
//!
//! Reads from the API server, by pages and on a connection of its own: another API server may answer, and the one that
//! serves the watch cannot hide what it lost. Invariants: nothing of such a list is reported; a difference counts only
//! when the watch has passed the list's version, some time is over, and a second list says so too.

use std::panic::resume_unwind;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::census::{Census, Glimpse, Listing, Suspicion};
use super::connection::Connection;
use super::decode;
use super::discover::Target;
use super::pace::Pace;
use super::request::{self, CallError};
use super::settings::Settings;

/// One source's comparisons.
pub(super) struct Audit {
    connection: Connection,
    settings: Settings,
    pace: Pace,
    due: Instant,
    suspicion: Option<Suspicion>,
    /// The list under way, if there is one; dropped with this.
    listing: JoinSet<Result<Listing, CallError>>,
}

impl Audit {
    pub(super) fn new(connection: Connection, settings: &Settings, seed: u64) -> Self {
        let every = settings.compare_every;
        let mut audit = Self {
            connection,
            settings: settings.clone(),
            pace: Pace::new(every, every, seed),
            due: Instant::now(),
            suspicion: None,
            listing: JoinSet::new(),
        };
        audit.restart();
        audit
    }

    /// A complete list was reported, which is as good as a comparison.
    pub(super) fn restart(&mut self) {
        self.suspicion = None;
        self.listing = JoinSet::new();
        // never more than the interval, and not all kinds at the same moment
        self.due = Instant::now() + self.pace.next(self.settings.compare_every);
    }

    /// The next list to judge, when its time has come; `reached` is the version that the watch has reached. Cancel safe.
    pub(super) async fn next(&mut self, target: &Target, reached: u64) -> Result<Listing, CallError> {
        if self.listing.is_empty() {
            if self.suspicion.as_ref().is_some_and(|suspicion| suspicion.rv() > reached) {
                // asked again when the watch has moved
                std::future::pending::<()>().await;
            }
            sleep_until(self.due).await;
            let (connection, target, settings) = (self.connection.clone(), target.clone(), self.settings.clone());
            self.listing.spawn(async move { list(&connection, &target, &settings).await });
        }
        match self.listing.join_next().await {
            Some(Ok(listing)) => listing,
            Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
            // none is under way any more, which is asked for again the next time
            Some(Err(_)) | None => Err(CallError::Cut),
        }
    }

    /// How many objects the watch has lost track of.
    pub(super) fn judge(&mut self, listing: Result<Listing, CallError>, census: &Census) -> Result<usize, CallError> {
        let suspicion = self.suspicion.take();
        self.restart();
        let listing = listing?;
        let Some(before) = suspicion else {
            let suspicion = census.suspect(&listing);
            if !suspicion.is_empty() {
                self.suspicion = Some(suspicion);
                self.due = Instant::now() + self.patience();
            }
            return Ok(0);
        };
        Ok(census.lasting(&before, &listing))
    }

    fn patience(&self) -> Duration {
        self.settings.compare_again.min(self.settings.compare_every)
    }
}

/// A list that only says what there is.
async fn list(connection: &Connection, target: &Target, settings: &Settings) -> Result<Listing, CallError> {
    let client = connection.anew(settings.call_timeout).await?;
    let (mut objects, mut first, mut token): (Vec<Glimpse>, Option<u64>, Option<String>) = (Vec::new(), None, None);
    loop {
        let limit = settings.page_size.to_string();
        let mut query = vec![("limit", &*limit)];
        query.extend(token.as_deref().map(|token| ("continue", token)));
        let request = target.names(&query)?;
        let text = request::text(&client, request, settings.call_timeout, settings.page_bytes).await?;
        let page = decode::page(&text).ok_or(CallError::Malformed)?;
        let rv = decode::decimal(&page.rv).ok_or(CallError::Malformed)?;
        if *first.get_or_insert(rv) != rv {
            return Err(CallError::Malformed);
        }
        for item in &page.items {
            let (uid, name, rv) = decode::identity(item.get()).ok_or(CallError::Malformed)?;
            objects.push(Glimpse::new(&uid, &name, rv));
        }
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(Listing::new(rv, objects)),
        }
    }
}
