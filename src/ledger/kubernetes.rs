//! The default store: core's keeper, done with API calls.
//!
//! Touches DeliveryLedger objects. Invariants: the keeper is changed only under its lock, and the lock is held while a Head
//! is being written, and for nothing else that takes long; what a Head will name is stored before it, whoever writes it.

use std::sync::Arc;

use changehook_core::engine::Batch;
use changehook_core::ledger::keeper::{self, Keeper, Name, Stored};
use changehook_core::ledger::{Entries, Usage};
use kube::Client;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::head::{self, Pauses};
use super::metrics::{Metrics, Write};
use super::objects::{CallError, Objects, Read, stored_size};
use super::{FoldEnd, LedgerError, LedgerStore};

/// What the store is set up with.
pub struct Setting {
    /// To the API server.
    pub client: Client,
    /// Where the objects are.
    pub namespace: String,
    /// A random number that no other leader has.
    pub holder: u64,
    /// Whether this process holds the lease.
    pub is_leader: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What is counted.
    pub metrics: Metrics,
}

/// See the module's head.
pub struct Kubernetes {
    pub(super) objects: Objects,
    pub(super) holder: u64,
    pub(super) is_leader: Arc<dyn Fn() -> bool + Send + Sync>,
    pub(super) metrics: Metrics,
    pub(super) state: Mutex<Option<State>>,
}

pub(super) struct State {
    pub keeper: Keeper,
    /// The Head as it was written last.
    pub head: Read,
    /// Nothing reaches these; they may be deleted.
    pub garbage: Vec<Name>,
    /// Bytes written and not told yet.
    pub bytes: u64,
}

impl Kubernetes {
    /// Touches nothing yet.
    pub fn new(setting: Setting) -> Self {
        let Setting { client, namespace, holder, is_leader, metrics } = setting;
        Self { objects: Objects::new(client, &namespace), holder, is_leader, metrics, state: Mutex::new(None) }
    }

    pub(super) fn check_leader(&self) -> Result<(), LedgerError> {
        if (self.is_leader)() { Ok(()) } else { Err(LedgerError::NotLeader) }
    }

    /// Stores a new form. One that is there already is this leader's own, written by a call whose answer was lost. `None`
    /// if it did not succeed in so many tries.
    pub(super) async fn create(&self, stored: &Stored, tries: Option<usize>) -> Result<Option<u64>, LedgerError> {
        let mut pauses = Pauses::new();
        let mut failures = 0;
        loop {
            self.check_leader()?;
            let failed = match self.objects.create(stored.name, &stored.bytes).await {
                Ok(_) => break,
                Err(CallError::Conflict) => match self.objects.get(stored.name).await {
                    Ok(found) if found.bytes == stored.bytes => break,
                    Ok(_) => return Err(LedgerError::Taken { name: stored.name.to_string() }),
                    Err(error) => error,
                },
                // A commit cannot do without it; a fold is for another time.
                Err(CallError::Refused(reason)) if tries.is_none() => {
                    return Err(LedgerError::rejected(stored.name, reason));
                }
                Err(error @ (CallError::NotFound | CallError::Refused(_) | CallError::Unknown(_))) => error,
            };
            failures += 1;
            if tries == Some(failures) {
                return Ok(None);
            }
            pauses.pause("store a part of the ledger", &failed).await;
        }
        let bytes = stored_size(&stored.bytes);
        self.metrics.wrote(Write::of(stored.name), bytes);
        Ok(Some(bytes))
    }

    /// Writes what the keeper has prepared.
    pub(super) async fn carry_out(&self, state: &mut State, writes: keeper::Writes) -> Result<(), LedgerError> {
        let started = Instant::now();
        for stored in &writes.creates {
            state.bytes += self.create(stored, None).await?.unwrap_or(0);
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

    pub(super) fn usage(&self, state: &mut State) -> Usage {
        let (segments, segment_bytes) = state.keeper.segments();
        self.metrics.set_segments(segments, segment_bytes);
        Usage { bytes: std::mem::take(&mut state.bytes), segments, segment_bytes }
    }
}

impl LedgerStore for Kubernetes {
    async fn claim(&self) -> Result<Entries, LedgerError> {
        self.claim_all().await
    }

    async fn commit(&self, batch: &Batch) -> Result<Usage, LedgerError> {
        let mut state = self.state.lock().await;
        let state = state.as_mut().ok_or(LedgerError::NotLeader)?;
        self.check_leader()?;
        let writes = state.keeper.prepare(batch.records.clone(), Some(batch.sources.clone()), None);
        self.carry_out(state, writes).await?;
        Ok(self.usage(state))
    }

    async fn set_back(&self) -> LedgerError {
        // Whoever is committing finds out by itself, and holds the lock until then.
        if let Some(state) = &*self.state.lock().await {
            head::set_back(&self.objects, &state.head).await;
        }
        LedgerError::SetBack
    }

    async fn fold(&self) -> Result<FoldEnd, LedgerError> {
        self.fold_all().await
    }
}
