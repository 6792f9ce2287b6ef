//! A ledger that lasts as long as the process.
//!
//! Touches memory only. Invariant: it keeps what a durable store would, so that a claim after commits sees them all.

use std::sync::{Mutex, PoisonError};

use changehook_core::engine::Batch;
use changehook_core::ledger::{Entries, Usage};

use super::{FoldEnd, LedgerError, LedgerStore};

/// See the module's head.
#[derive(Debug, Default)]
pub struct Memory {
    entries: Mutex<Entries>,
}

impl LedgerStore for Memory {
    async fn claim(&self) -> Result<Entries, LedgerError> {
        // A panic while the lock is held can leave a batch half applied only if applying a record panics, which it does not.
        Ok(self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn commit(&self, batch: &Batch) -> Result<Usage, LedgerError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for record in &batch.records {
            entries.apply(record);
        }
        entries.sources = batch.sources.iter().cloned().collect();
        Ok(Usage::default())
    }

    async fn fold(&self) -> Result<FoldEnd, LedgerError> {
        Ok(FoldEnd { done: true, usage: Usage::default() })
    }
}
