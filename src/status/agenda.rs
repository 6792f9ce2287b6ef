//! Whose status is written next: of those that are due, one of each namespace in turn.
//!
//! Touches nothing; times are monotonic milliseconds. Invariants: within a namespace who has been due longest goes first; a
//! namespace waits for at most one write of each other one, however many are due there, so that a tenant with a thousand
//! broken subscriptions makes nobody else's status late.

use std::collections::{BTreeSet, HashMap, VecDeque};

use changehook_core::plan::SubscriptionId;

/// When a status is due, and whose it is.
type Entry = (u64, SubscriptionId);

#[derive(Debug, Default)]
pub(super) struct Agenda {
    later: BTreeSet<(Entry, String)>,
    due: HashMap<String, BTreeSet<Entry>>,
    /// How many that are.
    waiting: usize,
    /// Namespaces with something due.
    turns: VecDeque<String>,
}

impl Agenda {
    pub fn enter(&mut self, at: u64, id: SubscriptionId, namespace: &str) {
        self.later.insert(((at, id), namespace.to_owned()));
    }

    pub fn remove(&mut self, at: u64, id: SubscriptionId, namespace: &str) {
        let entry = (at, id);
        // if nothing is left there, the namespace's turn finds nothing, and that is all
        if self.due.get_mut(namespace).is_some_and(|due| due.remove(&entry)) {
            self.waiting -= 1;
        }
        self.later.remove(&(entry, namespace.to_owned()));
    }

    /// When something is due; zero if something has been for a while.
    pub fn first(&self) -> Option<u64> {
        if self.waiting > 0 { Some(0) } else { self.later.first().map(|((at, _), _)| *at) }
    }

    /// The next that is due by now.
    pub fn pop(&mut self, now: u64) -> Option<SubscriptionId> {
        while let Some(((at, _), _)) = self.later.first()
            && *at <= now
            && let Some((entry, namespace)) = self.later.pop_first()
        {
            let due = self.due.entry(namespace.clone()).or_insert_with(|| {
                self.turns.push_back(namespace);
                BTreeSet::new()
            });
            due.insert(entry);
            self.waiting += 1;
        }
        while let Some(namespace) = self.turns.pop_front() {
            let Some(due) = self.due.get_mut(&namespace) else { continue };
            let next = due.pop_first();
            if due.is_empty() {
                self.due.remove(&namespace);
            } else {
                self.turns.push_back(namespace);
            }
            if let Some((_, id)) = next {
                self.waiting -= 1;
                return Some(id);
            }
        }
        None
    }

    /// Takes everything out, whenever it is due.
    pub fn drain(&mut self) -> Vec<SubscriptionId> {
        let mut all: BTreeSet<Entry> = std::mem::take(&mut self.later).into_iter().map(|(entry, _)| entry).collect();
        all.extend(std::mem::take(&mut self.due).into_values().flatten());
        self.turns.clear();
        self.waiting = 0;
        all.into_iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(uid: &str) -> SubscriptionId {
        SubscriptionId { uid: uid.into() }
    }

    fn popped(agenda: &mut Agenda, now: u64) -> Vec<String> {
        std::iter::from_fn(|| agenda.pop(now)).map(|id| id.uid.to_string()).collect()
    }

    #[test]
    fn a_namespace_waits_for_one_of_each_other_and_within_it_the_longest_due_goes_first() {
        let mut agenda = Agenda::default();
        for (at, uid) in [(3, "a3"), (1, "a1"), (2, "a2"), (4, "a4")] {
            agenda.enter(at, id(uid), "a");
        }
        agenda.enter(5, id("b5"), "b");
        agenda.enter(9, id("b9"), "b");
        assert_eq!(agenda.first(), Some(1));
        assert_eq!(popped(&mut agenda, 5), ["a1", "b5", "a2", "a3", "a4"]);
        assert_eq!((agenda.first(), agenda.pop(8)), (Some(9), None));
        assert_eq!(popped(&mut agenda, 9), ["b9"]);
        assert_eq!(agenda.first(), None);
    }

    #[test]
    fn whoever_is_taken_out_has_no_turn_whether_due_or_not() {
        let mut agenda = Agenda::default();
        for (at, uid, namespace) in [(1, "a", "x"), (1, "b", "y"), (1, "c", "y"), (7, "d", "x")] {
            agenda.enter(at, id(uid), namespace);
        }
        assert_eq!(agenda.pop(1), Some(id("a")));
        agenda.remove(1, id("b"), "y");
        agenda.remove(7, id("d"), "x");
        agenda.enter(2, id("d"), "x");
        assert_eq!(popped(&mut agenda, 2), ["c", "d"]);
        agenda.enter(3, id("a"), "x");
        agenda.enter(1, id("b"), "y");
        agenda.pop(1);
        agenda.enter(2, id("b"), "y");
        assert_eq!(agenda.drain(), [id("b"), id("a")]);
        assert_eq!(agenda.first(), None);
    }
}
