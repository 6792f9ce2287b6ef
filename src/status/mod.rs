//! What a subscription's status says, and how it gets there.
//!
//! Imports core and api. [`compose`] makes the status out of the controller's [`Verdict`] and the engine's view; the
//! [`writer`] patches it, one card a subscription, coalesced by [`pace`], namespaces in turn; [`events`] tells condition flips as Kubernetes Events. Invariant: one
//! patch carries all of a status, and nothing is patched that is equal.

mod agenda;
mod card;
pub mod compose;
pub mod events;
pub mod metrics;
pub mod pace;
pub mod writer;

use changehook_core::plan::SubscriptionId;

use crate::api::conditions::Reason;
use crate::api::{SubscriptionKind, SubscriptionStatus};

/// What the controller found out about a subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Of which kind it is.
    pub kind: SubscriptionKind,
    /// Its namespace; empty for the cluster kind.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The generation that was looked at.
    pub generation: i64,
    /// The status as it was read, which conditions carry on from.
    pub before: SubscriptionStatus,
    /// How it stands.
    pub standing: Standing,
    /// spec.suspend
    pub suspended: bool,
    /// Nothing is sent: suspended, stalled, or something is missing that a request needs.
    pub silent: bool,
    /// Who may read everything that is named, as far as that is looked at.
    pub granted: Option<String>,
    /// The endpoint's host, for the status.
    pub host: Option<String>,
    /// What works but is worth a word, shown with Ready.
    pub remarks: Vec<String>,
}

/// How a subscription stands, the endpoint left aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything it needs is there; ready once the engine has its baseline.
    Sound,
    /// Lists are being read.
    Progressing {
        /// What is waited for.
        message: String,
    },
    /// Something else has to change; it is looked for again and again.
    Waiting {
        /// Why.
        reason: Reason,
        /// What would help.
        message: String,
    },
    /// Only an edit of the subscription helps.
    Stalled {
        /// Why.
        reason: Reason,
        /// What would help.
        message: String,
    },
}
