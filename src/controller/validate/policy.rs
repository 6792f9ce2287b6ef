//! Where a subscription has a choice, and what it asks to be told again.
//!
//! Touches nothing. Invariant: a request is never longer than what the status can repeat.

use std::collections::BTreeMap;
use std::sync::Arc;

use changehook_core::plan::{Existing, OnExhausted, OnLoss, Policy, Requests, Scope};

use super::Problems;
use crate::api::detection::{InitialSync, LedgerLoss, ResyncScope, SelectionChange};
use crate::api::{MAX_REQUEST, RESYNC_ANNOTATION, WebhookSubscription, retry as api};

pub(super) fn check(subscription: &WebhookSubscription, problems: &mut Problems) -> Policy {
    let spec = &subscription.spec;
    let request = spec.resync.as_ref();
    if request.is_some_and(|asked| asked.request_id.is_empty() || asked.request_id.chars().count() > MAX_REQUEST) {
        problems.invalid("spec.resync.requestID", format!("must have 1 to {MAX_REQUEST} characters"));
    }
    Policy {
        initial_sync: match spec.initial_sync {
            InitialSync::Adopt => Existing::Adopt,
            InitialSync::Notify => Existing::Notify,
        },
        selection_change: match spec.selection_change {
            SelectionChange::Adopt => Existing::Adopt,
            SelectionChange::Notify => Existing::Notify,
        },
        on_loss: match spec.on_ledger_loss {
            LedgerLoss::Replay => OnLoss::Replay,
            LedgerLoss::Adopt => OnLoss::Adopt,
        },
        on_exhausted: match spec.retry_policy.on_exhausted {
            api::OnExhausted::Park => OnExhausted::Park,
            api::OnExhausted::Discard => OnExhausted::Discard,
        },
        resync: Requests {
            request_id: request.map(|asked| asked.request_id.as_str().into()),
            requested_at: requested_at(subscription.metadata.annotations.as_ref()),
        },
        resync_scope: match request.map(|asked| asked.scope) {
            Some(ResyncScope::All) => Scope::All,
            Some(ResyncScope::Parked) | None => Scope::Parked,
        },
    }
}

/// What the annotation says, as far as the status can repeat it.
pub fn requested_at(annotations: Option<&BTreeMap<String, String>>) -> Option<Arc<str>> {
    let text = annotations?.get(RESYNC_ANNOTATION)?;
    let end = text.char_indices().nth(MAX_REQUEST).map_or(text.len(), |(end, _)| end);
    text.get(..end).filter(|text| !text.is_empty()).map(Into::into)
}
