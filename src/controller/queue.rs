//! Whose turn it is to be looked at: first come, first served, nobody twice.
//!
//! Touches nothing. Invariant: adding and taking cost the same however many wait.

use std::collections::{HashSet, VecDeque};

use changehook_core::plan::SubscriptionId;

/// Subscriptions that wait for a look.
#[derive(Debug, Default)]
pub(super) struct Queue {
    order: VecDeque<SubscriptionId>,
    waiting: HashSet<SubscriptionId>,
}

impl Queue {
    /// At the end, unless it waits already.
    pub fn push(&mut self, id: SubscriptionId) {
        if self.waiting.insert(id.clone()) {
            self.order.push_back(id);
        }
    }

    /// The one that has waited longest.
    pub fn pop(&mut self) -> Option<SubscriptionId> {
        let id = self.order.pop_front()?;
        self.waiting.remove(&id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_served_in_order_and_once_however_often_it_is_called_for() {
        let id = |uid: &str| SubscriptionId { uid: uid.into() };
        let mut queue = Queue::default();
        for uid in ["a", "b", "a", "c", "b", "a"] {
            queue.push(id(uid));
        }
        assert_eq!(queue.pop(), Some(id("a")));
        queue.push(id("a"));
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, [id("b"), id("c"), id("a")]);
    }
}
