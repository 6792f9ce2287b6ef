//! What one valid subscription asks for, as select and engine need it. Made by the operator's controller.
//!
//! Touches nothing. Invariant: a plan is complete; a change of the subscription is a new plan with the same `id`.

mod policy;
mod selector;

use std::sync::Arc;

use crate::object::Gvk;
use crate::retry::RetryPolicy;

pub use policy::{Claims, Existing, OnExhausted, OnLoss, Policy, Requests, Scope, Witness};
pub use selector::{LabelSelector, Namespaces, Operator, Requirement, Selector};

/// Who the plan belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId {
    /// metadata.uid of the subscription: a re-created namesake is another subscription.
    pub uid: Arc<str>,
}

/// A change that an endpoint can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// The endpoint does not know the object.
    New,
    /// It knows another state of it.
    Updated,
    /// It knows an object that is gone or no longer selected.
    Removed,
}

impl Change {
    /// The contract's `change_type`.
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Updated => "updated",
            Self::Removed => "removed",
        }
    }

    /// The API's spelling, in `changeTypes` and `retries[].changeType`.
    pub fn as_api(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Updated => "Updated",
            Self::Removed => "Removed",
        }
    }
}

/// Which changes are subscribed to; the others are absorbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeTypes {
    /// Objects the endpoint does not know.
    pub new: bool,
    /// New states of objects it knows.
    pub updated: bool,
    /// Objects that are gone.
    pub removed: bool,
}

impl ChangeTypes {
    /// The default.
    pub const ALL: Self = Self { new: true, updated: true, removed: true };
}

/// Objects of one kind that a subscription wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The kind; group+kind is unique within a plan.
    pub gvk: Gvk,
    /// The namespace watched for this subscription; `None` for all, which only cluster subscriptions may ask for.
    pub namespace: Option<Arc<str>>,
    /// Which of them.
    pub selector: Selector,
}

/// One valid subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose plan this is.
    pub id: SubscriptionId,
    /// metadata.generation of the subscription that this plan was made from; passed on to the view.
    pub generation: i64,
    /// The subscription's namespace, the unit of fairness.
    pub namespace: Arc<str>,
    /// What is watched.
    pub interests: Vec<Interest>,
    /// Which changes are told.
    pub changes: ChangeTypes,
    /// Sending is suspended; watching goes on.
    pub suspended: bool,
    /// Something the endpoint needs is missing (a Secret, say): nothing is sent, slots stay.
    pub held: bool,
    /// Attempts and delays.
    pub retry: RetryPolicy,
    /// Requests under way at once, over all objects.
    pub max_in_flight: u32,
    /// The endpoint's host, the unit of the per-host cap.
    pub host: Arc<str>,
    /// Hash of the endpoint's configuration and Secret contents: a change releases what is parked.
    pub config_hash: u64,
    /// Where there is a choice.
    pub policy: Policy,
    /// What the status says of earlier lives.
    pub claims: Claims,
}

impl Plan {
    /// It watches all namespaces, which only cluster subscriptions do.
    pub fn is_cluster_wide(&self) -> bool {
        self.interests.iter().any(|interest| interest.namespace.is_none())
    }
}
