//! Which subscriptions want a row: the row cache of every watched source, and the index of who is interested in what.
//!
//! Touches nothing; holds no clock and decides nothing about delivery. Invariants:
//!
//! - a subscription sees exactly the rows of its interests' sources, and of its namespace where the interest has one;
//! - every object that a subscription was ever shown is, in the end, Selected or Deselected as its newest row says, Gone if
//!   it is proven gone, or Unknown while it cannot be read: absence is never guessed;
//! - a row never goes back to an older version, unless versions count anew; each row's disappearance is told once.
//!
//! | file | idea |
//! | --- | --- |
//! | `rows` | the rows of one source: versions, mark and sweep, namesakes |
//! | `audience` | who is interested in one source, by namespace |
//! | `orphans` | rows known from another source that this one has yet to confirm |
//! | `source` | rows + audience + orphans: what one source event means to each subscription |
//! | `backlog` | what waits to be taken in: the newest rows, each namespace in turn |
//! | `selection` | all sources, and what an edited plan means to its subscription |

mod audience;
mod backlog;
mod orphans;
mod rows;
mod selection;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::object::{ObjectKey, ObservedBy, Row, Unreadable};
use crate::plan::SubscriptionId;

pub use backlog::{Backlog, Next, Sighted};
pub use selection::Selection;

/// What a subscription sees of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It exists and is wanted.
    Selected(Arc<Row>),
    /// It exists and is not wanted, or the interest that wanted it is no longer in the plan.
    Deselected(Arc<Row>),
    /// It is proven not to exist as of this version.
    Gone {
        /// The version of the deletion, or of the list that did not show it.
        rv: u64,
    },
    /// It could not be read, so whether it is wanted is not known: hold.
    Unknown,
}

/// What one subscription sees of one object, and how that was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who sees it.
    pub subscription: SubscriptionId,
    /// The object.
    pub object: ObjectKey,
    /// What is seen.
    pub seen: Seen,
    /// How it was noticed.
    pub by: ObservedBy,
}

/// A source is known to be complete: what it does not show of a subscription's objects is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Synced {
    /// By a list.
    Listed {
        /// The list's version.
        rv: u64,
        /// What could not be read, so that nothing is known of it.
        unreadable: Unreadable,
    },
    /// The kind is not served: nothing of it exists, whatever version it had.
    Absent,
}
