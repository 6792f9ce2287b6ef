//! Where core's durable records are kept.
//!
//! Writes DeliveryLedger objects of the operator's own namespace, nothing else. Invariants: a commit is all or nothing;
//! [`LedgerStore::claim`] sees every commit that was answered, and from then on no other process's commit succeeds; nothing
//! is written without the leader's lease.
//!
//! | file | idea |
//! | --- | --- |
//! | `kubernetes` | the default store: core's keeper, done with API calls |
//! | `claim` | taking the ledger over |
//! | `fold` | folding the journal, deleting what nothing reaches |
//! | `head` | the one write that is conditional, and what became of it if nobody said |
//! | `objects` | one API call each, with a deadline |
//! | `memory` | a store for trying things out, as lasting as the process |
//! | `metrics` | what is counted |

mod claim;
mod fold;
mod head;
mod kubernetes;
mod memory;
mod metrics;
mod objects;

use std::future::Future;

use changehook_core::engine::Batch;
use changehook_core::ledger::keeper::{FoldError, Name, Refusal};
use changehook_core::ledger::{Entries, Usage};

pub use kubernetes::{Kubernetes, Setting};
pub use memory::Memory;
pub use metrics::Metrics;

/// Why a ledger is of no use any more: the process has to end, and the next leader to claim.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has claimed the ledger since, or somebody has edited it.
    #[error("failed to commit: the ledger's head was written by somebody else; another leader, or a hand")]
    Fenced,
    /// The Head is not there any more.
    #[error("failed to commit: the ledger's head was deleted")]
    Deleted,
    /// The cluster's storage was restored, and the ledger with it.
    #[error(
        "failed to go on: the cluster is older than what was written to it, as after a restore of etcd from a backup"
    )]
    SetBack,
    /// The lease has ended.
    #[error("failed to commit: this process is not the leader any more")]
    NotLeader,
    /// A form of the same name has another content.
    #[error("failed to write {name}: there is another one of that name")]
    Taken {
        /// Which.
        name: String,
    },
    /// The API server will not take it, however often it is tried.
    #[error("failed to write {name} for good: {reason}; see LedgerRefused in docs/operations.md")]
    Rejected {
        /// Which.
        name: String,
        /// The API server's answer.
        reason: String,
    },
    /// What is stored must not be touched.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A part that was written is gone or changed.
    #[error(transparent)]
    Lost(#[from] FoldError),
}

impl LedgerError {
    fn rejected(name: Name, reason: String) -> Self {
        Self::Rejected { name: name.to_string(), reason }
    }
}

/// How a fold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldEnd {
    /// Whether anything was folded; if not, it is worth trying again.
    pub done: bool,
    /// What was written since this was last said.
    pub usage: Usage,
}

/// A store for records.
pub trait LedgerStore: Send + Sync + 'static {
    /// Takes the ledger over: from here on nobody else's commits succeed. Returns what is durable.
    fn claim(&self) -> impl Future<Output = Result<Entries, LedgerError>> + Send;

    /// Makes a batch durable. Called one at a time; answers only when it is durable, however long that takes.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<Usage, LedgerError>> + Send;

    /// The cluster's storage was restored. Puts on record that the ledger is older than what was written to it, if it is,
    /// and returns why it is of no use any more.
    fn set_back(&self) -> impl Future<Output = LedgerError> + Send {
        async { LedgerError::SetBack }
    }

    /// Folds the journal. May run beside commits, but not beside another fold.
    fn fold(&self) -> impl Future<Output = Result<FoldEnd, LedgerError>> + Send;
}
