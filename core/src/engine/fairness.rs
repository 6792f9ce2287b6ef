//! How many requests may be under way, and who is looked at next when one ends.
//!
//! Touches nothing. Invariants: a permit taken is given back exactly once; whoever cannot start waits at the gate that
//! stopped it, and while a gate is open somebody who waits at it, if anybody does, has a turn coming; retries and probes
//! never hold more than a quarter of what all, or one host's, requests may; the last quarter of a host's permits is for
//! subscriptions that hold none there, so that one whose requests hang does not shut out its neighbours.

use std::sync::Arc;

use super::Map;
use super::turns::Turns;
use crate::plan::SubscriptionId;
use crate::proof::{Rule, broken};

/// How many requests may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// In all.
    pub global: u32,
    /// To one host, over all subscriptions.
    pub per_host: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { global: 512, per_host: 32 }
    }
}

/// What of `permits` retries may hold, so that first attempts find room however many things fail.
pub(super) fn late_share(permits: u32) -> u32 {
    (permits / 4).max(1)
}

/// What of a host's permits is kept for subscriptions that hold none of them.
fn newcomers_share(permits: u32) -> u32 {
    permits / 4
}

/// What stopped a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// The host has as many requests as it may.
    Host(Arc<str>),
    /// What is left of the host's permits is for others: the subscription has some already.
    Rest(Arc<str>),
    /// The host has as many retries and probes as it may.
    LateToHost(Arc<str>),
    /// There are as many retries and probes as there may be.
    Late,
}

#[derive(Debug, Default)]
#[cfg_attr(feature = "proof", derive(Clone))]
struct Load {
    in_flight: u32,
    /// Of these, retries and probes.
    late: u32,
    waiting: Turns<()>,
    waiting_rest: Turns<()>,
    waiting_late: Turns<()>,
}

impl Load {
    fn take(&mut self, late: bool) {
        self.in_flight += 1;
        self.late += u32::from(late);
    }

    fn give(&mut self, late: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.late = self.late.saturating_sub(u32::from(late));
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Ring {
    caps: Caps,
    /// With the gate that opened for them, if that is why they have a turn.
    turns: Turns<Option<Gate>>,
    all: Load,
    hosts: Map<Arc<str>, Load>,
}

impl Ring {
    pub fn new(caps: Caps) -> Self {
        Self { caps, turns: Turns::default(), all: Load::default(), hosts: Map::default() }
    }

    pub fn in_flight(&self) -> u32 {
        self.all.in_flight
    }

    pub fn is_full(&self) -> bool {
        self.all.in_flight >= self.caps.global
    }

    /// The gate that stops a request to that host now, if one does.
    pub fn gate(&self, host: &Arc<str>, late: bool) -> Option<Gate> {
        let gates = [
            Some(Gate::Host(Arc::clone(host))),
            late.then(|| Gate::LateToHost(Arc::clone(host))),
            late.then_some(Gate::Late),
        ];
        gates.into_iter().flatten().find(|gate| self.is_shut(gate))
    }

    /// The gate that stops a subscription that has a request to that host under way already, if it does.
    pub fn gate_to_rest(&self, host: &Arc<str>) -> Option<Gate> {
        Some(Gate::Rest(Arc::clone(host))).filter(|gate| self.is_shut(gate))
    }

    fn is_shut(&self, gate: &Gate) -> bool {
        if broken(Rule::CapsHold) {
            return false;
        }
        match gate {
            Gate::Host(host) => self.hosts.get(host).is_some_and(|load| load.in_flight >= self.caps.per_host),
            Gate::Rest(host) => {
                let open_to_all = self.caps.per_host - newcomers_share(self.caps.per_host);
                self.hosts.get(host).is_some_and(|load| load.in_flight >= open_to_all)
            }
            Gate::LateToHost(host) => {
                self.hosts.get(host).is_some_and(|load| load.late >= late_share(self.caps.per_host))
            }
            Gate::Late => self.all.late >= late_share(self.caps.global),
        }
    }

    /// The subscription may have something to start.
    pub fn enlist(&mut self, namespace: &Arc<str>, id: &SubscriptionId) {
        self.turns.join(namespace, id, None);
    }

    /// Whose turn it is, and the gate to hand on to [`Self::turn_is_over`].
    pub fn next(&mut self) -> Option<(SubscriptionId, Option<Gate>)> {
        self.turns.next().map(|(_, id, gate)| (id, gate))
    }

    /// Back in when the gate opens.
    pub fn wait(&mut self, gate: &Gate, namespace: &Arc<str>, id: &SubscriptionId) {
        self.waiting_at(gate).join(namespace, id, ());
    }

    /// Whoever was woken by a gate did with it what it wanted; if it is still open, it is the next one's.
    pub fn turn_is_over(&mut self, gate: Option<Gate>) {
        if let Some(gate) = gate {
            self.wake_one(&gate);
            self.forget_idle_host(&gate);
        }
    }

    pub fn take_permit(&mut self, host: &Arc<str>, late: bool) {
        self.all.take(late);
        self.hosts.entry(Arc::clone(host)).or_default().take(late);
    }

    pub fn give_permit(&mut self, host: &Arc<str>, late: bool) {
        self.all.give(late);
        if let Some(load) = self.hosts.get_mut(host) {
            load.give(late);
        }
        let gate = Gate::Host(Arc::clone(host));
        self.wake_one(&gate);
        self.wake_one(&Gate::Rest(Arc::clone(host)));
        if late {
            self.wake_one(&Gate::LateToHost(Arc::clone(host)));
            self.wake_one(&Gate::Late);
        }
        self.forget_idle_host(&gate);
    }

    /// A request that is under way counts as a first attempt from now on.
    pub fn not_late_any_more(&mut self, host: &Arc<str>) {
        self.take_permit(host, false);
        self.give_permit(host, true);
    }

    /// A turn for one of those who wait at the gate. One who has a turn anyway takes this one with it, if it can.
    fn wake_one(&mut self, gate: &Gate) {
        while !self.is_shut(gate) {
            let Some((namespace, id, ())) = self.waiting_at(gate).next() else { return };
            let mark = self.turns.join(&namespace, &id, None);
            if mark.is_none() {
                *mark = Some(gate.clone());
                return;
            }
        }
    }

    fn waiting_at(&mut self, gate: &Gate) -> &mut Turns<()> {
        match gate {
            Gate::Host(host) => &mut self.hosts.entry(Arc::clone(host)).or_default().waiting,
            Gate::Rest(host) => &mut self.hosts.entry(Arc::clone(host)).or_default().waiting_rest,
            Gate::LateToHost(host) => &mut self.hosts.entry(Arc::clone(host)).or_default().waiting_late,
            Gate::Late => &mut self.all.waiting_late,
        }
    }

    fn forget_idle_host(&mut self, gate: &Gate) {
        let (Gate::Host(host) | Gate::Rest(host) | Gate::LateToHost(host)) = gate else { return };
        let idle = |load: &Load| {
            let waiting = [&load.waiting, &load.waiting_rest, &load.waiting_late];
            load.in_flight == 0 && waiting.iter().all(|waiting| waiting.is_empty())
        };
        if self.hosts.get(host).is_some_and(idle) {
            self.hosts.remove(host);
        }
    }

    /// The subscription has a turn coming, or waits for a gate that is shut.
    pub fn will_look_at(&self, host: &Arc<str>, id: &SubscriptionId) -> bool {
        let load = self.hosts.get(host);
        self.turns.contains(id)
            || self.all.waiting_late.contains(id)
            || load.is_some_and(|load| {
                [&load.waiting, &load.waiting_rest, &load.waiting_late].iter().any(|waiting| waiting.contains(id))
            })
    }

    /// Requests under way to each host, those that are late among them.
    pub fn load(&self) -> impl Iterator<Item = (&Arc<str>, u32, u32)> {
        self.hosts.iter().map(|(host, load)| (host, load.in_flight, load.late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SubscriptionId {
        SubscriptionId { uid: name.into() }
    }

    #[test]
    fn whoever_waits_for_a_host_has_a_turn_when_a_request_to_it_ends() {
        let mut ring = Ring::new(Caps { global: 10, per_host: 1 });
        let (host, namespace): (Arc<str>, Arc<str>) = ("h".into(), "n".into());
        ring.take_permit(&host, false);
        let gate = ring.gate(&host, false).unwrap();
        ring.wait(&gate, &namespace, &id("a"));
        assert_eq!(ring.next(), None);
        ring.give_permit(&host, false);
        assert_eq!(ring.next(), Some((id("a"), Some(gate))));
        assert_eq!(ring.in_flight(), 0);
    }

    #[test]
    fn one_free_permit_wakes_one_of_many_and_the_next_if_that_one_needs_nothing() {
        let mut ring = Ring::new(Caps { global: 10, per_host: 1 });
        let (host, namespace): (Arc<str>, Arc<str>) = ("h".into(), "n".into());
        ring.take_permit(&host, false);
        let gate = ring.gate(&host, false).unwrap();
        for name in ["a", "b", "c"] {
            ring.wait(&gate, &namespace, &id(name));
        }
        ring.give_permit(&host, false);
        let (first, woken) = ring.next().unwrap();
        assert_eq!((first, ring.next()), (id("a"), None));
        ring.turn_is_over(woken);
        let (second, woken) = ring.next().unwrap();
        ring.take_permit(&host, false);
        ring.turn_is_over(woken);
        assert_eq!((second, ring.next()), (id("b"), None));
        ring.give_permit(&host, false);
        assert_eq!(ring.next().map(|(id, _)| id), Some(id("c")));
    }

    #[test]
    fn retries_and_probes_leave_three_quarters_to_first_attempts() {
        let mut ring = Ring::new(Caps { global: 64, per_host: 8 });
        let (host, other): (Arc<str>, Arc<str>) = ("h".into(), "o".into());
        ring.take_permit(&host, true);
        assert_eq!(ring.gate(&host, true), None);
        ring.take_permit(&host, true);
        assert_eq!(ring.gate(&host, true), Some(Gate::LateToHost(Arc::clone(&host))));
        assert_eq!((ring.gate(&host, false), ring.gate(&other, true)), (None, None));
        for n in 0..14 {
            ring.take_permit(&format!("host-{n}").into(), true);
        }
        assert_eq!(ring.gate(&other, true), Some(Gate::Late));
        assert_eq!(ring.gate(&other, false), None);
    }

    #[test]
    fn the_last_quarter_of_a_hosts_permits_is_for_those_who_hold_none() {
        let mut ring = Ring::new(Caps { global: 64, per_host: 8 });
        let (host, namespace): (Arc<str>, Arc<str>) = ("h".into(), "n".into());
        for _ in 0..5 {
            ring.take_permit(&host, false);
        }
        assert_eq!(ring.gate_to_rest(&host), None);
        ring.take_permit(&host, false);
        let gate = ring.gate_to_rest(&host).unwrap();
        assert_eq!(ring.gate(&host, false), None);
        ring.wait(&gate, &namespace, &id("greedy"));
        ring.take_permit(&host, false);
        ring.give_permit(&host, false);
        assert_eq!(ring.next(), None);
        ring.give_permit(&host, false);
        assert_eq!(ring.next(), Some((id("greedy"), Some(gate))));
    }

    #[test]
    fn a_host_that_nobody_uses_or_waits_for_is_forgotten() {
        let mut ring = Ring::new(Caps { global: 10, per_host: 1 });
        let (host, namespace): (Arc<str>, Arc<str>) = ("h".into(), "n".into());
        ring.take_permit(&host, false);
        let gate = ring.gate(&host, false).unwrap();
        ring.wait(&gate, &namespace, &id("a"));
        ring.give_permit(&host, false);
        let (_, woken) = ring.next().unwrap();
        ring.turn_is_over(woken);
        assert_eq!(ring.load().count(), 0);
    }
}
