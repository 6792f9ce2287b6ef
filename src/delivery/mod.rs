//! Delivery: one attempt at a time, from an event to an outcome.
//!
//! [`endpoint`] is where a subscription's requests go; [`client`], [`clients`] and [`resolver`] are the only way there;
//! [`secrets`] reads what signs them, [`services`] where a Service is, [`tls`] and [`configs`] whom to
//! trust there; [`attempt`] puts it together; [`fault`] says what went wrong; [`metrics`] counts.

pub mod attempt;
mod cache;
pub mod client;
pub mod clients;
pub mod configs;
pub mod driver;
pub mod endpoint;
pub mod fault;
pub mod metrics;
pub mod resolver;
pub mod secrets;
pub mod services;
pub mod tls;
pub mod url;

#[cfg(test)]
mod testing;
