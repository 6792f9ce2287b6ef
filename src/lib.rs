//! changehook: a Kubernetes operator that POSTs every change of the resources a `WebhookSubscription` selects, signed,
//! until the endpoint has it. This is the map of the house; `core/` (crate `changehook_core`) decides, this crate acts.
//!
//! | module | what happens there | may import, of ours |
//! | --- | --- | --- |
//! | [`api`] | the custom resources' types; their docs are user documentation | – |
//! | [`chain`] | an error with its sources, on one line | – |
//! | [`proxy`] | the proxy on the way to the API server, for whoever works from a kubeconfig | – |
//! | [`watch`] | list+watch of any kind; knows no subscription | core, chain |
//! | [`ledger`] | where core's durable records are kept | core, api, chain |
//! | [`delivery`] | the engine's driver, one attempt, endpoint clients, the vetting resolver, Secrets | core, chain, ledger |
//! | [`controller`] | reconcile: validate → dereference → plan → apply | core, api, chain, watch, delivery, status |
//! | [`status`] | verdicts and engine views → one coalesced status patch | core, api, chain |
//! | [`plugin`] | `kubectl changehook`: subscribe and status, with the user's own rights | api, chain, controller, proxy |
//! | [`runtime`] | config, wiring, admin server, metrics, readiness, shutdown, telemetry, clock | all |
//!
//! `watch` and `delivery` never import each other; `tests/house.rs` reads the imports.

pub mod api;
pub mod chain;
pub mod controller;
pub mod delivery;
pub mod ledger;
pub mod plugin;
pub mod proxy;
pub mod runtime;
pub mod status;
pub mod watch;
