//! What has to happen before the operator does its work, by name.
//!
//! Touches nothing. Invariants: the set of gates is closed and fixed at the start; a gate opens once and stays open; a
//! gate whose handle was dropped unopened stays in the list of what is missing.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Something that has to happen before the operator does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The API server has answered.
    ApiServer,
    /// The API server serves our custom resources.
    CustomResources,
    /// This replica holds the Lease.
    Lease,
    /// All subscriptions that exist have been read.
    Subscriptions,
}

impl Gate {
    /// What is missing while the gate is closed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiServer => "an answer of the API server",
            Self::CustomResources => "the custom resource definitions",
            Self::Lease => "the Lease",
            Self::Subscriptions => "the list of subscriptions",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells what is missing.
#[derive(Clone, Debug)]
pub struct Readiness {
    gates: Arc<[(Gate, Arc<AtomicBool>)]>,
    standby: Standby,
    why: Why,
}

/// Whether this replica has all it needs and only waits for another one to stop leading. That is its work, so it is ready.
#[derive(Clone, Debug, Default)]
pub struct Standby {
    standing_by: Arc<AtomicBool>,
}

/// Why the operator ends, if nobody told it to.
#[derive(Clone, Debug, Default)]
pub struct Why(Arc<OnceLock<String>>);

impl Why {
    /// The first reason stays.
    pub fn set(&self, why: &str) {
        let _first = self.0.set(why.to_owned());
    }

    /// What was set.
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl Standby {
    /// Another replica leads, or not any more.
    pub fn set(&self, standing_by: bool) {
        self.standing_by.store(standing_by, Ordering::Release);
    }

    /// What was last set.
    pub fn is_set(&self) -> bool {
        self.standing_by.load(Ordering::Acquire)
    }
}

/// Opens one gate.
#[derive(Debug)]
#[must_use = "a gate that nobody opens keeps the operator from ever being ready"]
pub struct GateHandle {
    open: Arc<AtomicBool>,
}

impl Readiness {
    /// Closed gates, and a handle for each in the same order.
    pub fn new<const N: usize>(gates: [Gate; N]) -> (Self, [GateHandle; N]) {
        let closed = gates.map(|gate| (gate, Arc::new(AtomicBool::new(false))));
        let handles = std::array::from_fn(|i| GateHandle { open: Arc::clone(&closed[i].1) });
        (Self { gates: Arc::from(closed), standby: Standby::default(), why: Why::default() }, handles)
    }

    /// Whether this replica stands by, to be read and set.
    pub fn standby(&self) -> Standby {
        self.standby.clone()
    }

    /// Why the operator ends, to be read and set.
    pub fn why(&self) -> Why {
        self.why.clone()
    }

    /// The gates that are still closed, in the order they were given.
    pub fn missing(&self) -> Vec<Gate> {
        self.gates.iter().filter(|(_, open)| !open.load(Ordering::Acquire)).map(|(gate, _)| *gate).collect()
    }
}

impl GateHandle {
    /// What the gate stood for has happened.
    pub fn open(self) {
        self.open.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_until_its_gate_opens() {
        let (readiness, [api_server, subscriptions]) = Readiness::new([Gate::ApiServer, Gate::Subscriptions]);
        assert_eq!(readiness.missing(), [Gate::ApiServer, Gate::Subscriptions]);
        subscriptions.open();
        assert_eq!(readiness.missing(), [Gate::ApiServer]);
        api_server.open();
        assert_eq!(readiness.missing(), []);
    }

    #[test]
    fn a_gate_that_was_dropped_unopened_stays_missing() {
        let (readiness, [api_server]) = Readiness::new([Gate::ApiServer]);
        drop(api_server);
        assert_eq!(readiness.missing(), [Gate::ApiServer]);
    }
}
