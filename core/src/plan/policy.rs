//! What a subscription wants where there is a choice, what it asks for, and what its status claims of earlier lives.
//!
//! Touches nothing. Invariant: the defaults are the API's.

use std::sync::Arc;

/// Where a subscription has a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Objects that exist when the subscription starts.
    pub initial_sync: Existing,
    /// Existing objects that an edit of the selection brings in or takes out.
    pub selection_change: Existing,
    /// When what was known of the endpoint is lost.
    pub on_loss: OnLoss,
    /// When a delivery has used up its attempts, or was refused.
    pub on_exhausted: OnExhausted,
    /// What is asked to be told again.
    pub resync: Requests,
    /// How much of it the spec's request asks for; the annotation always asks for everything.
    pub resync_scope: Scope,
}

/// What is done about objects that were there before they were selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// They are taken as known, or forgotten, silently.
    #[default]
    Adopt,
    /// They are told as New, or as Removed.
    Notify,
}

/// What is done when what was known of the endpoint is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// Everything selected is told again.
    #[default]
    Replay,
    /// The present state is taken as known.
    Adopt,
}

/// What is done about a delivery that is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExhausted {
    /// It stays owed.
    #[default]
    Park,
    /// The endpoint is taken to have it.
    Discard,
}

/// How much is told again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// What was given up for now.
    #[default]
    Parked,
    /// Every selected object.
    All,
}

/// How a subscription asks to be told again: by the spec or by an annotation, each with a text of the user's choosing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// spec.resync.requestID
    pub request_id: Option<Arc<str>>,
    /// The annotation changehook.dev/resync-requested-at.
    pub requested_at: Option<Arc<str>>,
}

impl Requests {
    /// Nothing was ever asked.
    pub fn is_empty(&self) -> bool {
        self.request_id.is_none() && self.requested_at.is_none()
    }

    /// The last text of each kind: a request that is taken away is not forgotten, so putting it back asks nothing.
    #[must_use]
    pub fn after(&self, before: &Self) -> Self {
        Self {
            request_id: self.request_id.clone().or_else(|| before.request_id.clone()),
            requested_at: self.requested_at.clone().or_else(|| before.requested_at.clone()),
        }
    }
}

/// What the subscription's status says of earlier lives. It counts when the plan is the first one that an engine sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The requests that were seen.
    pub requests: Requests,
    /// There was a baseline, so there has to be a ledger.
    pub witness: Option<Witness>,
}

/// A ledger was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The highest sequence that was durable in it.
    pub sequence: u64,
}
