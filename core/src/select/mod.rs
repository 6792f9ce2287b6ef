//! Which subscriptions want a row.
use crate::event::ObservedBy;
use crate::object::{ObjectKey, Row};
use crate::plan::SubscriptionId;
use std::sync::Arc;
/// Which objects of a kind an interest covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {}
/// x
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// x
    Selected(Arc<Row>),
    /// x
    Deselected(Arc<Row>),
    /// x
    Gone {
        /// x
        rv: u64,
    },
    /// x
    Unknown,
}
/// x
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// x
    pub subscription: SubscriptionId,
    /// x
    pub object: ObjectKey,
    /// x
    pub seen: Seen,
    /// x
    pub by: ObservedBy,
}
