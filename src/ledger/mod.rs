//! Where core's durable records are kept.
//!
//! Imports core only. Invariants: a commit is all or nothing; [`LedgerStore::claim`] sees every commit that was answered.
//!
//! This version has the in-memory store only: a restart of the operator starts from a new baseline.

mod memory;

use std::future::Future;

use changehook_core::engine::Batch;
use changehook_core::ledger::Entries;

pub use memory::Memory;

/// Why a ledger did not answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has claimed the ledger since.
    #[error("failed to commit: the ledger belongs to another leader now")]
    Fenced,
}

/// A store for records.
pub trait LedgerStore: Send + Sync + 'static {
    /// Takes the ledger over: from here on nobody else's commits succeed. Returns what is durable.
    fn claim(&self) -> impl Future<Output = Result<Entries, LedgerError>> + Send;

    /// Makes a batch durable. Called one at a time.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<(), LedgerError>> + Send;
}
