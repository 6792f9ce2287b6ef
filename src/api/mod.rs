//! The custom resources of group `changehook.dev`: their Rust types, schemas and rules. Field docs are user documentation.
//!
//! Imports nothing of ours. Invariants: [`crds`] is the only source of the manifests (a type's own `crd()` lacks the
//! rules, bounds and defaults that are added there); nothing in a status is required; a field that is refused has no
//! default; no Debug output shows a URL or a header value.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`subscription`] | the two kinds people write, and their spec |
//! | [`resources`] | which objects |
//! | [`detection`] | filter, change detection, what happens to existing objects |
//! | [`endpoint`], [`signing`], [`payload`], [`retry`] | where, signed how, what, how often |
//! | [`mod@reference`] | Secrets and the like, always in the same namespace |
//! | [`status`], [`conditions`] | what the operator reports |
//! | [`ledger`] | the operator's own records |
//! | [`rules`], [`unsupported`] | CEL rules; what the schema has and this version refuses |
//! | [`schema`], [`yaml`], [`markdown`] | the finished CRDs, their text, and the page that documents them |

pub mod conditions;
pub mod detection;
pub mod endpoint;
pub mod ledger;
pub mod markdown;
pub mod payload;
pub mod reference;
pub mod resources;
pub mod retry;
pub mod rules;
pub mod schema;
pub mod signing;
pub mod status;
pub mod subscription;
pub mod unsupported;
pub mod yaml;

pub use ledger::{DeliveryLedger, DeliveryLedgerSpec};
pub use schema::crds;
pub use status::SubscriptionStatus;
pub use subscription::{
    ClusterWebhookSubscription, ClusterWebhookSubscriptionSpec, SubscriptionKind, WebhookSubscription,
    WebhookSubscriptionSpec,
};
pub use yaml::{crd_files, crds_yaml};

/// The API group of everything in here.
pub const GROUP: &str = "changehook.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";
/// The annotation that asks for everything to be delivered again, by any new text.
pub const RESYNC_ANNOTATION: &str = "changehook.dev/resync-requested-at";
/// The longest text of a request to deliver again, in characters.
pub const MAX_REQUEST: usize = 128;
