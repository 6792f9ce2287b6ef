//! The default store: core's keeper, done with API calls.
//!
//! Touches DeliveryLedger objects. Invariants: the keeper is changed only under its lock, and the lock is held while a Head
//! is being written, so Heads are written one at a time; what a Head will name is stored before it, whoever writes it.

use std::collections::HashMap;

use changehook_core::engine::Batch;
use changehook_core::ledger::form::Form;
use changehook_core::ledger::keeper::{self, Claimant, Done, Found, Keeper, Name, Part, Stored};
use changehook_core::ledger::{Entries, Loss, Usage, codec};
use kube::Client;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::head::{self, Pauses};
use super::metrics::{Metrics, Write};
use super::objects::{CallError, Objects, Read, stored_size};
use super::{FoldEnd, LedgerError, LedgerStore};

/// How often a fold tries one call.
const FOLD_TRIES: usize = 3;

/// What the store is set up with.
pub struct Setting {
    /// To the API server.
    pub client: Client,
    /// Where the objects are.
    pub namespace: String,
    /// A random number that no other leader has.
    pub holder: u64,
    /// Whether this process holds the lease.
    pub is_leader: Box<dyn Fn() -> bool + Send + Sync>,
    /// What is counted.
    pub metrics: Metrics,
}

/// See the module's head.
pub struct Kubernetes {
    objects: Objects,
    holder: u64,
    is_leader: Box<dyn Fn() -> bool + Send + Sync>,
    metrics: Metrics,
    state: Mutex<Option<State>>,
}

struct State {
    keeper: Keeper,
    /// The Head as it was written last.
    head: Read,
    /// Nothing reaches these; they may be deleted.
    garbage: Vec<Name>,
    /// Bytes written and not told yet.
    bytes: u64,
}

impl Kubernetes {
    /// Touches nothing yet.
    pub fn new(setting: Setting) -> Self {
        let Setting { client, namespace, holder, is_leader, metrics } = setting;
        Self { objects: Objects::new(client, &namespace), holder, is_leader, metrics, state: Mutex::new(None) }
    }

    fn check_leader(&self) -> Result<(), LedgerError> {
        if (self.is_leader)() { Ok(()) } else { Err(LedgerError::NotLeader) }
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
                Err(error @ (CallError::Conflict | CallError::Unknown(_))) => pauses.pause(what, &error).await,
            }
        }
    }

    /// Writes a Head of one's own over the one that is there, or creates one.
    async fn take_over(&self) -> Result<(Read, Option<Loss>), LedgerError> {
        let missing = || CallError::Unknown("the Namespace kube-system is not there".to_owned());
        let cluster = async || {
            self.objects.cluster().await.map_err(|error| match error {
                CallError::NotFound => missing(),
                error @ (CallError::Conflict | CallError::Unknown(_)) => error,
            })
        };
        let cluster = self.until("read the cluster's identity (get on the Namespace kube-system)", cluster).await?;
        let cluster = cluster.unwrap_or_default();
        let mut loss = None;
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
                    tracing::info!(reason = %error, "the ledger's head was not created");
                    Pauses::new().pause("create the ledger's head", &error).await;
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

    async fn found(&self) -> Result<Found, LedgerError> {
        let list = async || {
            let mut found = HashMap::new();
            self.objects.each(|name, bytes| drop(found.insert(name, bytes))).await.map(|()| found)
        };
        Ok(self.until("read the ledger", list).await?.unwrap_or_default())
    }

    /// Stores a new form. One that is there already is this leader's own, written by a call whose answer was lost.
    async fn create(&self, stored: &Stored) -> Result<u64, LedgerError> {
        let mut pauses = Pauses::new();
        loop {
            self.check_leader()?;
            match self.objects.create(stored.name, &stored.bytes).await {
                Ok(_) => return Ok(stored_size(&stored.bytes)),
                Err(CallError::Conflict) => match self.objects.get(stored.name).await {
                    Ok(found) if found.bytes == stored.bytes => return Ok(stored_size(&stored.bytes)),
                    Ok(_) => return Err(LedgerError::Taken { name: stored.name.to_string() }),
                    Err(error) => pauses.pause("store a part of the ledger", &error).await,
                },
                Err(error @ (CallError::NotFound | CallError::Unknown(_))) => {
                    pauses.pause("store a part of the ledger", &error).await;
                }
            }
        }
    }

    /// Writes what the keeper has prepared.
    async fn carry_out(&self, state: &mut State, writes: keeper::Writes) -> Result<(), LedgerError> {
        let started = Instant::now();
        for stored in &writes.creates {
            let bytes = self.create(stored).await?;
            state.bytes += bytes;
            self.metrics.wrote(Write::of(stored.name), bytes);
        }
        state.head = head::write(&self.objects, &writes.head, &state.head, &*self.is_leader).await?;
        let bytes = stored_size(&writes.head);
        state.bytes += bytes;
        self.metrics.wrote(Write::Head, bytes);
        self.metrics.committed(started.elapsed());
        let garbage = state.keeper.landed();
        state.garbage.extend(garbage);
        Ok(())
    }

    fn usage(&self, state: &mut State) -> Usage {
        let (segments, segment_bytes) = state.keeper.segments();
        self.metrics.set_segments(segments, segment_bytes);
        Usage { bytes: std::mem::take(&mut state.bytes), segments, segment_bytes }
    }

    /// Stores one subscription's part of a fold, and tells what it wrote; `None` if the API server did not play along.
    async fn store_part(&self, part: Part) -> Result<Option<(Done, Vec<(Name, u64)>)>, LedgerError> {
        let mut found = Found::new();
        for name in part.reads() {
            match self.some_tries(|| self.objects.get(name)).await {
                Ok(read) => drop(found.insert(name, read.bytes)),
                // What is missing is told by whoever needs it.
                Err(CallError::NotFound) => {}
                Err(CallError::Conflict | CallError::Unknown(_)) => return Ok(None),
            }
        }
        let (stored, done) = part.write(&found)?;
        let mut written = Vec::new();
        for stored in &stored {
            let bytes = self.create(stored).await?;
            self.metrics.wrote(Write::of(stored.name), bytes);
            written.push((stored.name, bytes));
        }
        Ok(Some((done, written)))
    }

    async fn some_tries<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut pauses = Pauses::new();
        for _ in 1..FOLD_TRIES {
            match call().await {
                Err(error @ (CallError::Conflict | CallError::Unknown(_))) => {
                    pauses.pause("fold the ledger", &error).await;
                }
                other @ (Ok(_) | Err(CallError::NotFound)) => return other,
            }
        }
        call().await
    }

    /// What cannot be deleted now is deleted by a later fold, or a later leader.
    async fn delete(&self, garbage: Vec<Name>) -> Vec<Name> {
        let mut left = Vec::new();
        for name in garbage {
            if self.check_leader().is_err() || self.objects.delete(name).await.is_err() {
                left.push(name);
            }
        }
        left
    }
}

impl LedgerStore for Kubernetes {
    async fn claim(&self) -> Result<Entries, LedgerError> {
        let started = Instant::now();
        let (written, loss) = self.take_over().await?;
        let found = self.found().await?;
        let Ok(Form::Head(head)) = codec::decode(&written.bytes) else {
            // It was encoded by this process a moment ago.
            return Err(LedgerError::Fenced);
        };
        let keeper::Loaded { keeper, entries } = keeper::load(head, loss, &found);
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
        if let Some(loss) = entries.loss {
            tracing::warn!(?loss, "the ledger, or a part of it that concerns every subscription, is lost");
        }
        let mut state = State { keeper, head: written, garbage, bytes: 0 };
        self.usage(&mut state);
        *self.state.lock().await = Some(state);
        Ok(entries)
    }

    async fn commit(&self, batch: &Batch) -> Result<Usage, LedgerError> {
        let mut state = self.state.lock().await;
        let state = state.as_mut().ok_or(LedgerError::NotLeader)?;
        self.check_leader()?;
        let writes = state.keeper.prepare(batch.records.clone(), Some(batch.sources.clone()), None);
        self.carry_out(state, writes).await?;
        Ok(self.usage(state))
    }

    async fn fold(&self) -> Result<FoldEnd, LedgerError> {
        let (begun, garbage) = {
            let mut state = self.state.lock().await;
            let state = state.as_mut().ok_or(LedgerError::NotLeader)?;
            (state.keeper.begin_fold(), std::mem::take(&mut state.garbage))
        };
        let mut left = self.delete(garbage).await;
        let mut written = 0;
        let mut created = Vec::new();
        let mut folded = None;
        if let Some(fold) = begun {
            let (parts, mut sum) = fold.into_parts();
            let mut whole = true;
            for part in parts {
                let Some((part, stored)) = self.store_part(part).await? else {
                    whole = false;
                    break;
                };
                for (name, bytes) in stored {
                    created.push(name);
                    written += bytes;
                }
                sum.add(part);
            }
            if whole {
                folded = Some(sum);
            } else {
                left.append(&mut created);
            }
        }
        let done = folded.is_some() || created.is_empty() && left.is_empty();
        let mut state = self.state.lock().await;
        let state = state.as_mut().ok_or(LedgerError::NotLeader)?;
        state.bytes += written;
        if let Some(folded) = folded {
            let writes = state.keeper.prepare(Vec::new(), None, Some(folded));
            self.carry_out(state, writes).await?;
            let garbage = std::mem::take(&mut state.garbage);
            left.extend(self.delete(garbage).await);
        }
        state.garbage.extend(left);
        self.metrics.folded(done);
        Ok(FoldEnd { done, usage: self.usage(state) })
    }
}
