//! Whose turn it is, and how many requests may be under way: round robin over namespaces, then over their subscriptions.
//!
//! Touches nothing. Invariants: a subscription is in the ring at most once; a permit taken is given back exactly once;
//! whoever cannot start is out of the ring until something changes for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::plan::SubscriptionId;

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

#[derive(Debug, Default)]
struct Host {
    in_flight: u32,
    waiting: Vec<(Arc<str>, SubscriptionId)>,
}

#[derive(Debug)]
pub(super) struct Ring {
    caps: Caps,
    namespaces: VecDeque<Arc<str>>,
    members: HashMap<Arc<str>, VecDeque<SubscriptionId>>,
    listed: HashSet<SubscriptionId>,
    in_flight: u32,
    hosts: HashMap<Arc<str>, Host>,
}

impl Ring {
    pub fn new(caps: Caps) -> Self {
        Self {
            caps,
            namespaces: VecDeque::new(),
            members: HashMap::new(),
            listed: HashSet::new(),
            in_flight: 0,
            hosts: HashMap::new(),
        }
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub fn is_full(&self) -> bool {
        self.in_flight >= self.caps.global
    }

    pub fn host_is_full(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|host| host.in_flight >= self.caps.per_host)
    }

    /// The subscription may have something to start.
    pub fn enlist(&mut self, namespace: &Arc<str>, id: &SubscriptionId) {
        if !self.listed.insert(id.clone()) {
            return;
        }
        let members = self.members.entry(Arc::clone(namespace)).or_default();
        if members.is_empty() {
            self.namespaces.push_back(Arc::clone(namespace));
        }
        members.push_back(id.clone());
    }

    /// Takes the next subscription out of the ring; its namespace goes to the back.
    pub fn next(&mut self) -> Option<SubscriptionId> {
        let namespace = self.namespaces.pop_front()?;
        let members = self.members.get_mut(&namespace)?;
        let id = members.pop_front()?;
        if members.is_empty() {
            self.members.remove(&namespace);
        } else {
            self.namespaces.push_back(namespace);
        }
        self.listed.remove(&id);
        Some(id)
    }

    /// Back in when a request to that host ends.
    pub fn wait_for_host(&mut self, host: &Arc<str>, namespace: &Arc<str>, id: SubscriptionId) {
        let waiting = &mut self.hosts.entry(Arc::clone(host)).or_default().waiting;
        if !waiting.iter().any(|(_, other)| *other == id) {
            waiting.push((Arc::clone(namespace), id));
        }
    }

    pub fn take_permit(&mut self, host: &Arc<str>) {
        self.in_flight += 1;
        self.hosts.entry(Arc::clone(host)).or_default().in_flight += 1;
    }

    pub fn give_permit(&mut self, host: &Arc<str>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(entry) = self.hosts.get_mut(host) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let waiting = std::mem::take(&mut entry.waiting);
        if entry.in_flight == 0 {
            self.hosts.remove(host);
        }
        for (namespace, id) in waiting {
            self.enlist(&namespace, &id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SubscriptionId {
        SubscriptionId { uid: name.into() }
    }

    #[test]
    fn a_namespace_with_many_subscriptions_gets_no_more_turns_than_one_with_few() {
        let mut ring = Ring::new(Caps::default());
        let (crowded, quiet): (Arc<str>, Arc<str>) = ("crowded".into(), "quiet".into());
        for n in 0..9 {
            ring.enlist(&crowded, &id(&format!("crowded-{n}")));
        }
        ring.enlist(&quiet, &id("quiet"));
        let mut quiet_turns = 0;
        for _ in 0..10 {
            let next = ring.next().unwrap();
            if *next.uid == *"quiet" {
                quiet_turns += 1;
                ring.enlist(&quiet, &next);
            } else {
                ring.enlist(&crowded, &next);
            }
        }
        assert_eq!(quiet_turns, 5);
    }

    #[test]
    fn who_waits_for_a_host_is_back_in_the_ring_when_a_request_to_it_ends() {
        let mut ring = Ring::new(Caps { global: 10, per_host: 1 });
        let (host, namespace): (Arc<str>, Arc<str>) = ("h".into(), "n".into());
        ring.take_permit(&host);
        assert!(ring.host_is_full("h"));
        ring.wait_for_host(&host, &namespace, id("a"));
        assert_eq!(ring.next(), None);
        ring.give_permit(&host);
        assert_eq!(ring.next(), Some(id("a")));
        assert_eq!(ring.in_flight(), 0);
    }
}
