//! What the driver tells of the engine: views to whoever shows them, numbers to the metrics.
//!
//! Touches its channels only. Invariants: nothing is waited for, and a view that does not fit is sent later; a loss is
//! remembered until this process ends, because it may be made up for before its view is due.

use std::sync::Arc;
use std::time::Duration;

use changehook_core::Now;
use changehook_core::engine::{Ends, Gauges, View};
use changehook_core::plan::SubscriptionId;

use super::super::metrics::DeliveryEnd;
use super::{Driver, Sighting, TELL_EVERY, Told};
use crate::ledger::{LedgerError, LedgerStore};

/// How often the Secrets of subscriptions with something parked are read again.
const RECHECK_EVERY: Duration = Duration::from_secs(30);
/// How many views are taken before the engine's next turn,
const VIEWS_AT_ONCE: usize = 64;
/// and how many at most between one time that views are told and the next: whose turn did not come has it then.
const VIEWS_A_TIME: usize = 1_000;

impl<S: LedgerStore, R: Into<Sighting> + Send> Driver<S, R> {
    /// Tells what changed, at most so often, and a part of it in a turn: there may be thousands.
    pub(super) fn tell(&mut self, now: Now) {
        // On every turn, so that none is over before it was seen: to make up for one takes a commit.
        self.losses.extend(self.engine.losses().map(|(id, loss)| (id.clone(), loss)));
        if now.mono.saturating_sub(self.told_at) >= TELL_EVERY.as_millis() as u64 {
            self.told_at = now.mono;
            if self.untold == 0 {
                self.untold = self.engine.changed().min(VIEWS_A_TIME);
            }
            self.recheck(now);
            self.show_numbers();
        }
        self.tell_views(now, VIEWS_AT_ONCE);
    }

    /// Asks for a look at those that have something parked.
    fn recheck(&mut self, now: Now) {
        if now.mono.saturating_sub(self.rechecked_at) >= RECHECK_EVERY.as_millis() as u64 {
            self.rechecked_at = now.mono;
            for id in self.engine.with_parked() {
                // What does not fit is asked for the next time.
                let _full = self.inputs.recheck.try_send(id.clone());
            }
        }
    }

    /// Something is due to be told, and there is room for it.
    pub(super) fn may_tell(&self) -> bool {
        let told = &self.inputs.told;
        self.untold > 0 && told.capacity() > 0 && !told.is_closed()
    }

    /// The last word of this process.
    pub(super) fn tell_all(&mut self, now: Now) {
        self.untold = self.engine.changed();
        self.tell_views(now, usize::MAX);
        self.show_numbers();
    }

    /// Tells so many of those that are due; what does not fit is told later.
    fn tell_views(&mut self, now: Now, most: usize) {
        for _ in 0..self.untold.min(most) {
            let Ok(place) = self.inputs.told.try_reserve() else { return };
            self.untold -= 1;
            let Some(subscription) = self.engine.next_changed() else {
                self.untold = 0;
                return;
            };
            if let Some(view) = self.view(now, &subscription) {
                place.send(Told { subscription, view });
            }
        }
    }

    fn view(&self, now: Now, id: &SubscriptionId) -> Option<View> {
        let view = self.engine.view(now, id)?;
        Some(View { last_loss: self.losses.get(id).copied(), ..view })
    }

    /// The last views of all, if the ledger refuses for good what has to be committed. What does not fit the queue is told
    /// by the log alone.
    pub(super) fn tell_why(&self, error: &LedgerError) {
        if !matches!(error, LedgerError::Rejected { .. }) {
            return;
        }
        let (now, refused): (Now, Arc<str>) = ((self.inputs.now)(), error.to_string().into());
        for id in self.endpoints.keys() {
            let Some(view) = self.view(now, id) else { continue };
            let view = View { refused: Some(Arc::clone(&refused)), ..view };
            let _full = self.inputs.told.try_send(Told { subscription: id.clone(), view });
        }
    }

    fn show_numbers(&mut self) {
        let Gauges { pending, retrying, parked, in_flight: _ } = self.engine.gauges();
        self.metrics.set_backlog(pending, retrying, parked);
        self.metrics.set_objects_held(self.selection.rows() as u64);
        let merged = self.backlog.merged();
        self.metrics.merge_rows(merged - std::mem::replace(&mut self.merged, merged));
        self.metrics.set_rows_waiting((self.backlog.len() + self.backlog.partly_shown()) as u64);
        let ends = self.engine.ends();
        let Ends { delivered, parked_endpoint, parked_event, discarded, merged, dropped } = ends;
        let before = std::mem::replace(&mut self.ends, ends);
        self.metrics.end_deliveries(DeliveryEnd::Delivered, delivered - before.delivered);
        self.metrics.end_deliveries(DeliveryEnd::ParkedEndpoint, parked_endpoint - before.parked_endpoint);
        self.metrics.end_deliveries(DeliveryEnd::ParkedEvent, parked_event - before.parked_event);
        self.metrics.end_deliveries(DeliveryEnd::Discarded, discarded - before.discarded);
        self.metrics.end_deliveries(DeliveryEnd::Merged, merged - before.merged);
        self.metrics.end_deliveries(DeliveryEnd::Dropped, dropped - before.dropped);
    }
}
