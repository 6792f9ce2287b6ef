//! Everything around the rooms: the command line, wiring, what serves people and probes, and the ways to stop.
//!
//! May import every other room; nothing imports this one. Invariants: one signal drains within the grace period, the
//! next one ends the process at once; a task that dies never leaves a half-working operator behind.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`config`] | the command line and its environment names |
//! | [`telemetry`] | log lines on standard error, panics among them |
//! | [`clock`] | the only clocks: [`changehook_core::Now`] |
//! | [`readiness`], [`liveness`] | what is missing before work can start; whether work still goes on |
//! | [`metrics`], [`admin`], [`bounded`] | /livez, /readyz, /metrics on a listener that cannot be filled up |
//! | [`client`], [`connect`], `served` | the kube client; waiting for an API server that serves our kinds, and all their fields |
//! | [`leader`] | which replica acts: the Lease |
//! | [`tasks`], [`shutdown`] | supervised tasks that stop in order; signals |
//! | [`operator`] | `changehook operator`: the wiring |
//! | `rooms` | the rooms and the channels between them |
//! | [`crds`] | `changehook crds` |

pub mod admin;
pub mod bounded;
pub mod client;
pub mod clock;
pub mod config;
pub mod connect;
pub mod crds;
pub mod leader;
pub mod liveness;
pub mod metrics;
pub mod operator;
pub mod readiness;
mod rooms;
mod served;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
