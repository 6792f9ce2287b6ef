//! Taking the ledger over, with API calls.
//!
//! Touches DeliveryLedger objects, and reads the Namespace kube-system. Invariants: nothing is read before the Head is ours;
//! what a list does not show is looked for by name before it counts as lost, because a list may be served by somebody who
//! is behind.

use std::collections::HashMap;
use std::sync::Arc;

use changehook_core::ledger::form::{Form, Head};
use changehook_core::ledger::keeper::{self, Claimant, Found, Loaded, Name};
use changehook_core::ledger::{Entries, Loss, codec};
use tokio::time::Instant;

use super::LedgerError;
use super::fold::delete;
use super::head::{self, Pauses};
use super::kubernetes::{Kubernetes, State};
use super::objects::{CallError, Read};

impl Kubernetes {
    pub(super) async fn claim_all(&self) -> Result<Entries, LedgerError> {
        let started = Instant::now();
        let (written, loss) = self.take_over().await?;
        let Ok(Form::Head(head)) = codec::decode(&written.bytes) else {
            // It was encoded by this process a moment ago.
            return Err(LedgerError::Fenced);
        };
        let mut found = self.found(&written).await?;
        let Loaded { keeper, entries, missing: _ } = self.load(head, loss, &mut found).await?;
        let garbage: Vec<Name> = keeper.garbage(found.keys().copied());
        tracing::info!(
            namespace = self.objects.place(),
            term = keeper.head().term,
            objects = found.len(),
            entries = entries.books.values().map(|book| book.entries.len()).sum::<usize>(),
            garbage = garbage.len(),
            milliseconds = started.elapsed().as_millis() as u64,
            "claimed the ledger"
        );
        let damaged = entries.books.values().filter(|book| book.loss.is_some()).count();
        if entries.loss.is_some() || damaged > 0 {
            tracing::warn!(all = ?entries.loss, subscriptions = damaged, "the ledger, or a part of it, is lost");
        }
        let mut state = State { keeper, head: written, garbage: Vec::new(), bytes: 0 };
        self.usage(&mut state);
        *self.state.lock().await = Some(state);
        let (objects, is_leader) = (self.objects.clone(), Arc::clone(&self.is_leader));
        // Nothing waits for it, and what is left over is a later leader's.
        tokio::spawn(async move { delete(&objects, &*is_leader, garbage).await });
        Ok(entries)
    }

    /// Tries until it answers: without it there is nothing this process could do.
    async fn until<T, F>(&self, what: &'static str, mut call: impl FnMut() -> F) -> Result<Option<T>, LedgerError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut pauses = Pauses::new();
        loop {
            self.check_leader()?;
            match call().await {
                Ok(answer) => return Ok(Some(answer)),
                Err(CallError::NotFound) => return Ok(None),
                Err(error @ (CallError::Conflict | CallError::Refused(_) | CallError::Unknown(_))) => {
                    pauses.pause(what, &error).await;
                }
            }
        }
    }

    /// Writes a Head of one's own over the one that is there, or creates one.
    async fn take_over(&self) -> Result<(Read, Option<Loss>), LedgerError> {
        let missing = || CallError::Unknown("the Namespace kube-system is not there".to_owned());
        let cluster = async || {
            self.objects.cluster().await.map_err(|error| match error {
                CallError::NotFound => missing(),
                error @ (CallError::Conflict | CallError::Refused(_) | CallError::Unknown(_)) => error,
            })
        };
        let cluster = self.until("read the cluster's identity (get on the Namespace kube-system)", cluster).await?;
        let cluster = cluster.unwrap_or_default();
        let mut loss = None;
        let mut pauses = Pauses::new();
        loop {
            let names = self.until("list the ledger", || self.objects.names()).await?.unwrap_or_default();
            let found = self.until("read the ledger's head", || self.objects.get(Name::Head)).await?;
            let claimant = |own: String| Claimant { cluster: cluster.clone(), own, holder: self.holder };
            let Some(found) = found else {
                let (head, found_out) = keeper::claim(None, &claimant(String::new()), names)?;
                loss = loss.or(found_out);
                self.check_leader()?;
                // Whatever came of it is seen by reading again; a Head that was created is claimed like any other.
                if let Err(error) = self.objects.create(Name::Head, &codec::encode(&Form::Head(head))).await {
                    if let CallError::Refused(reason) = error {
                        return Err(LedgerError::rejected(Name::Head, reason));
                    }
                    tracing::info!(reason = %error, "the ledger's head was not created");
                    pauses.pause("create the ledger's head", &error).await;
                }
                continue;
            };
            let (head, found_out) = keeper::claim(Some(&found.bytes), &claimant(found.uid.clone()), names)?;
            loss = loss.or(found_out);
            let bytes = codec::encode(&Form::Head(head));
            match head::write(&self.objects, &bytes, &found, &*self.is_leader).await {
                Ok(written) => return Ok((written, loss)),
                // A former leader's last commit came in between, or the Head was deleted: look again.
                Err(LedgerError::Fenced | LedgerError::Deleted) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// All that is stored, in a list that is no older than the Head that was just written.
    async fn found(&self, written: &Read) -> Result<Found, LedgerError> {
        let list = async || {
            let mut found = HashMap::new();
            self.objects.each(|name, bytes| drop(found.insert(name, bytes))).await.map(|()| found)
        };
        let mut pauses = Pauses::new();
        loop {
            // No list at all: the kind is not served by whoever answered.
            let behind = match self.until("read the ledger", list).await? {
                Some(found) if found.get(&Name::Head).is_some_and(|head| *head == written.bytes) => return Ok(found),
                Some(_) => CallError::Unknown("the list is older than the ledger's head".to_owned()),
                None => CallError::NotFound,
            };
            // Or newer: somebody has written the Head since, and no list will ever show ours.
            match self.until("read the ledger's head", || self.objects.get(Name::Head)).await? {
                Some(head) if head.uid == written.uid && head.bytes == written.bytes => {}
                Some(_) => return Err(LedgerError::Fenced),
                None => return Err(LedgerError::Deleted),
            }
            pauses.pause("read the ledger", &behind).await;
        }
    }

    /// Makes sense of what was found, and looks for each thing that was not before it counts as lost.
    async fn load(&self, head: Head, loss: Option<Loss>, found: &mut Found) -> Result<Loaded, LedgerError> {
        loop {
            let loaded = keeper::load(head.clone(), loss, found);
            let mut turned_up = false;
            for name in &loaded.missing {
                let read = self.until("look for a part of the ledger", || self.objects.get(*name)).await?;
                if let Some(read) = read {
                    found.insert(*name, read.bytes);
                    turned_up = true;
                }
            }
            if !turned_up {
                return Ok(loaded);
            }
        }
    }
}
