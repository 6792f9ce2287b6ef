//! Reconcile: from a subscription of either kind to a plan that is in force, or to a condition that says what is missing.
//!
//! | step | file | touches |
//! | --- | --- | --- |
//! | whose subscriptions there are | `feed` | the API server: watches of our own kinds |
//! | which namespaces there are | `namespaces` | the API server: a watch of Namespaces' metadata |
//! | who is to be looked at, and when | `roster`, `hearers`, `queue`, `patience` | – |
//! | read | `read` | nothing |
//! | validate | [`validate`] | nothing |
//! | authorize | `authorize` | the API server: what the subscription's ServiceAccount may read |
//! | dereference | `dereference`, `trust` | Secrets, Services and ConfigMaps (GET), the state of watch sources |
//! | plan | `assign` | nothing |
//! | all of it, in order | `reconcile` | – |
//!
//! Invariants: one subscription is looked at once at a time; whatever is found ends as one verdict for the status and,
//! where there is a plan, one assignment for the driver; waiting is an outcome, not an error.

mod assign;
mod authorize;
mod dereference;
mod feed;
mod hearers;
mod metrics;
mod namespaces;
mod patience;
mod queue;
mod read;
mod reconcile;
mod roster;
mod trust;
pub mod validate;

pub use authorize::Authorizer;
pub use feed::Scope;
pub use metrics::Metrics;
pub use reconcile::{Authorization, Context};
pub use roster::{ControllerError, Inputs, Roster};
