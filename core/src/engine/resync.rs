//! Somebody asks to be told again: what was given up, or everything.
//!
//! Touches nothing. Invariants: a request is known by its text and done once, whoever leads; what comes of it is durable
//! in such an order that a crash in the middle leaves the request to be done again, never half done.

use super::desk::Desk;
use super::shared::Shared;
use super::slot::Slot;
use super::{Engine, ObjectKey, Subscription};
use crate::Now;
use crate::ledger::Fact;
use crate::plan::{Change, Requests, Scope};
use crate::proof::{Mark, Rule, broken, passed};

impl Desk {
    /// The endpoint had it before everything was asked for again.
    pub fn is_before_resync(&self, slot: &Slot) -> bool {
        slot.acked.is_some_and(|acked| acked.seq < self.resync)
    }

    /// Whether the declared event still says what is wanted, and was not declared before everything was asked for again:
    /// its answer would not count, so it is declared anew.
    pub fn same_event(&self, slot: &Slot, change: Change) -> bool {
        let counts = change == Change::Removed || slot.sending.is_some_and(|sending| sending.seq >= self.resync);
        counts && slot.same_event(change)
    }
}

impl Engine {
    /// What became durable is shown as done, even if there is nothing to be told for it.
    pub(super) fn show_what_was_heard(&mut self) {
        let Self { subscriptions, shared, .. } = self;
        while let Some((seq, _)) = shared.heard.first()
            && shared.journal.is_durable(*seq)
            && let Some((_, id)) = shared.heard.pop_first()
        {
            if let Some(Subscription { desk, .. }) = subscriptions.get_mut(&id) {
                shared.mark_changed(desk);
            }
        }
    }
}

impl Subscription {
    /// Requests that were not seen before are done. Those that a subscription begins with find nothing that could be told
    /// again.
    pub(super) fn hear_requests(&mut self, shared: &mut Shared, now: Now) {
        let (_, known) = &self.desk.requests;
        let policy = &self.desk.plan.policy;
        let heard = policy.resync.after(known);
        let by_spec = heard.request_id != known.request_id;
        let by_annotation = heard.requested_at != known.requested_at;
        if by_spec || by_annotation {
            let all = by_annotation || policy.resync_scope == Scope::All;
            passed(if all { Mark::ResyncAll } else { Mark::ResyncParked });
            self.release_parked(shared, now);
            self.note_requests(shared, now, all, heard);
        }
    }

    /// Everything that was acknowledged so far is owed again.
    pub(super) fn tell_all_again(&mut self, shared: &mut Shared, now: Now) {
        let (_, known) = self.desk.requests.clone();
        self.note_requests(shared, now, true, known);
        self.release_parked(shared, now);
    }

    fn note_requests(&mut self, shared: &mut Shared, now: Now, all: bool, requests: Requests) {
        let desk = &mut self.desk;
        let fact = Fact::Resync { all, requests: requests.clone() };
        let lost = broken(Rule::ResyncIsDurable);
        let seq = if lost { shared.journal.durable() } else { shared.record(now, desk, fact) };
        if all {
            desk.resync = seq;
        }
        desk.requests = (seq, requests);
        shared.heard.insert((seq, desk.plan.id.clone()));
    }

    /// Everything that was given up gets another chance; so does an endpoint that is down, at once.
    fn release_parked(&mut self, shared: &mut Shared, now: Now) {
        self.desk.breaker.probe_soon(now.mono);
        let parked: Vec<ObjectKey> = self.desk.parked.iter().cloned().collect();
        self.release(shared, now, parked);
    }
}
