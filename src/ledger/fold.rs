//! Folding the journal, with API calls.
//!
//! Touches DeliveryLedger objects. Invariants: commits go on meanwhile; what a fold that fails has stored is nobody's and is
//! deleted; a long fold is written slowly. Nobody's declarations wait for what it has cost, see core's shares.

use std::time::Duration;

use changehook_core::ledger::Usage;
use changehook_core::ledger::keeper::{Done, Folded, Found, Name, Part};
use tokio::time::sleep;

use super::head::Pauses;
use super::kubernetes::Kubernetes;
use super::objects::{CallError, Objects, Read};
use super::{FoldEnd, LedgerError};

/// How often one call is tried.
const TRIES: usize = 3;
/// What a fold writes at once, in bytes.
const AT_ONCE: u64 = 4 << 20;
/// The pace of what is beyond that, in bytes a second: half of what may be written.
const PACE: u64 = 32_000;

impl Kubernetes {
    pub(super) async fn fold_all(&self) -> Result<FoldEnd, LedgerError> {
        let (begun, garbage) = {
            let mut state = self.state.lock().await;
            let state = state.as_mut().ok_or(LedgerError::NotLeader)?;
            (state.keeper.begin_fold(), std::mem::take(&mut state.garbage))
        };
        let mut left = delete(&self.objects, &*self.is_leader, garbage).await;
        let (mut written, mut done, mut folded) = (0, true, None);
        if let Some(fold) = begun {
            let mut created = Vec::new();
            let (parts, sum) = fold.into_parts();
            folded = self.store_parts(parts, sum, &mut created, &mut written).await?;
            if folded.is_none() {
                done = false;
                left.append(&mut created);
            }
        }
        let (garbage, bytes) = {
            let mut state = self.state.lock().await;
            let state = state.as_mut().ok_or(LedgerError::NotLeader)?;
            state.bytes += written;
            if let Some(folded) = folded {
                let writes = state.keeper.prepare(Vec::new(), None, Some(folded));
                self.carry_out(state, writes).await?;
            }
            // before the lock is released: what is counted with a commit is held against whom it was for
            (std::mem::take(&mut state.garbage), std::mem::take(&mut state.bytes))
        };
        // Not under the lock: there may be many, and commits must not wait for them.
        left.extend(delete(&self.objects, &*self.is_leader, garbage).await);
        let mut state = self.state.lock().await;
        let state = state.as_mut().ok_or(LedgerError::NotLeader)?;
        state.garbage.extend(left);
        self.metrics.folded(done);
        Ok(FoldEnd { done, usage: Usage { bytes, ..self.usage(state) } })
    }

    /// `None` if the API server did not play along.
    async fn store_parts(
        &self,
        parts: Vec<Part>,
        mut sum: Folded,
        created: &mut Vec<Name>,
        written: &mut u64,
    ) -> Result<Option<Folded>, LedgerError> {
        for part in parts {
            let Some((part, bytes)) = self.store_part(part, created).await? else { return Ok(None) };
            *written += bytes;
            sum.add(part);
            if *written > AT_ONCE {
                sleep(Duration::from_millis(bytes * 1000 / PACE)).await;
            }
        }
        Ok(Some(sum))
    }

    /// Stores one subscription's part of a fold, and tells how much that was; `None` if the API server did not play along.
    /// `created` gets the names of what may be there now.
    async fn store_part(&self, part: Part, created: &mut Vec<Name>) -> Result<Option<(Done, u64)>, LedgerError> {
        let mut found = Found::new();
        for name in part.reads() {
            match self.some_tries(name).await {
                Ok(read) => drop(found.insert(name, read.bytes)),
                // What is missing is told by whoever needs it.
                Err(CallError::NotFound) => {}
                Err(CallError::Conflict | CallError::Refused(_) | CallError::Unknown(_)) => return Ok(None),
            }
        }
        let (stored, done) = part.write(&found)?;
        let mut bytes = 0;
        for stored in &stored {
            created.push(stored.name);
            match self.create(stored, Some(TRIES)).await? {
                Some(written) => bytes += written,
                None => return Ok(None),
            }
        }
        Ok(Some((done, bytes)))
    }

    /// An object that is not there is looked for again, too: whoever answered may be behind.
    async fn some_tries(&self, name: Name) -> Result<Read, CallError> {
        let mut pauses = Pauses::new();
        for _ in 1..TRIES {
            match self.objects.get(name).await {
                Ok(read) => return Ok(read),
                Err(error) => pauses.pause("fold the ledger", &error).await,
            }
        }
        self.objects.get(name).await
    }
}

/// Deletes what nothing reaches, until something goes wrong; returns what is left, for another time.
pub(super) async fn delete(
    objects: &Objects,
    is_leader: &(dyn Fn() -> bool + Send + Sync),
    garbage: Vec<Name>,
) -> Vec<Name> {
    let mut left = garbage.into_iter();
    while let Some(name) = left.next() {
        if !is_leader() || objects.delete(name).await.is_err() {
            return [name].into_iter().chain(left).collect();
        }
    }
    Vec::new()
}
