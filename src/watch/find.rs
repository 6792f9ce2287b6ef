//! Finding the kind, listing it, and what it means that it cannot be found or that its lists are too old.
//!
//! Invariants: only a list that answers 404 and two complete discoveries, some time apart, in which no version of its
//! group serves it, prove a kind absent; a list older than what was seen before is refused as long as versions are not
//! proven to count anew.

use std::time::Duration;

use changehook_core::object::SourceEvent;
use tokio::time::Instant;

use super::discover::{Found, Target};
use super::list::{ListError, Listed, Streamed};
use super::metrics::{ListKind, Restart};
use super::source::{Halt, Source};
use super::state::SourceState;
use super::verdict;

impl Source {
    /// Finds the kind and lists it completely.
    pub(super) async fn list(&mut self) -> Result<(Target, Listed), Halt> {
        // what was known before the trouble may be its cause: a kind that was installed anew has perhaps another scope
        let max_age = if self.troubled { Duration::ZERO } else { self.settings.discovery_ttl };
        let target = self.find(max_age).await?;
        match self.list_at(&target).await {
            Ok(listed) => Ok((target, listed)),
            Err(ListError::Halt(Halt::Trouble(stale @ SourceState::Stale { .. }))) => {
                Err(self.behind(&target, stale).await)
            }
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

    /// A list is older than what was seen before. A list without a resourceVersion shows at least what had been written
    /// when it was asked for, or is not answered: an API server that only lags, or is cut off from its storage, cannot
    /// give such answers for long. So if every list has been too old for a minute, and at last one over a connection of
    /// its own as well, which may reach another API server, then the storage was set back, as by a restore from a
    /// backup. The ledger's own version cannot decide that: kinds may have another storage, and a ledger that was set
    /// back refuses the next commit, which ends the process before it is told a lower version.
    async fn behind(&mut self, target: &Target, stale: SourceState) -> Halt {
        let since = *self.behind_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.settings.rewind_after {
            return Halt::Trouble(stale);
        }
        let highest = self.out.highest;
        match self.lister.version_elsewhere(target, &self.out).await {
            Ok(rv) if rv < highest => {
                tracing::warn!(source = %self.id(), rv, highest, "resourceVersions went back for good, as after a restore; they count anew");
                match self.out.rewound().await {
                    Ok(()) => Halt::Relist(Restart::Rewound),
                    Err(halt) => halt,
                }
            }
            // it is the other one that lags, or nothing is known
            Ok(_) | Err(_) => Halt::Trouble(stale),
        }
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
}
