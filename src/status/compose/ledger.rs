//! What the status says of the ledger: whether it is whole, what is in it, whether it has room, and which requests to send
//! again it has seen.
//!
//! Touches nothing. Invariant: what an earlier process saw and this one has not seen yet is kept, because the next one takes
//! it as proof.

use std::sync::Arc;

use changehook_core::engine::{CrowdView, Limit, LossView, View};
use changehook_core::ledger::Loss;
use changehook_core::plan::{OnLoss, Requests};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{count, time, wide};
use crate::api::conditions::{self, Reason, Status, Type};
use crate::api::status::{LedgerStatus, ResyncStatus};

/// Whether the record is whole. A loss that an earlier process noticed is told until what there was is told again.
pub(super) fn intact(before: &[Condition], view: Option<&View>) -> Option<(Status, Reason, String)> {
    let told = conditions::get(before, Type::LedgerIntact);
    let lost = told.filter(|told| told.reason == Reason::LedgerLost.as_str());
    let Some(view) = view else {
        // Nothing new is known of it.
        let known = [
            (Status::True, Reason::Intact),
            (Status::False, Reason::LedgerLost),
            (Status::Unknown, Reason::LedgerUnavailable),
            (Status::Unknown, Reason::LedgerRefused),
        ];
        let told = told?;
        let (status, reason) = known.into_iter().find(|(_, reason)| reason.as_str() == told.reason)?;
        return Some((status, reason, told.message.clone()));
    };
    if let Some(refused) = &view.refused {
        let message = format!("nothing is sent, because nothing can be recorded: {refused}");
        return Some((Status::Unknown, Reason::LedgerRefused, message));
    }
    // Until something was committed nothing has become of what an earlier process could not.
    if let Some(told) = told.filter(|told| told.reason == Reason::LedgerRefused.as_str() && view.last_commit.is_none())
    {
        return Some((Status::Unknown, Reason::LedgerRefused, told.message.clone()));
    }
    if view.commits_stalled {
        let message = "the ledger cannot be written, so nothing is sent; this is tried again and again";
        return Some((Status::Unknown, Reason::LedgerUnavailable, message.to_owned()));
    }
    if let Some(loss) = view.loss {
        return Some((Status::False, Reason::LedgerLost, loss_message(loss)));
    }
    if let Some(lost) = lost.filter(|_| !view.caught_up) {
        return Some((Status::False, Reason::LedgerLost, lost.message.clone()));
    }
    Some((Status::True, Reason::Intact, "what the endpoint has acknowledged is on record".to_owned()))
}

fn loss_message(LossView { loss, since: _, policy }: LossView) -> String {
    let what = match loss {
        Loss::Missing => "the record of what the endpoint acknowledged, or a part of it, is gone",
        Loss::Corrupt => "a part of the record of what the endpoint acknowledged cannot be read",
        Loss::Foreign => "the record of what the endpoint acknowledged is a copy, of another cluster or from a backup",
        Loss::Outdated => "the record of what the endpoint acknowledged is older than this status, as after a restore",
    };
    let remedy = match policy {
        OnLoss::Replay => "everything that is selected is sent again",
        OnLoss::Adopt => "of what is not on record the present state is taken as known",
    };
    format!("{what}; {remedy} (spec.onLedgerLoss); objects that were removed in the lost time are not told as Removed")
}

pub(super) fn crowded(CrowdView { held, limit }: CrowdView) -> String {
    let (limit, whose, remedy) = match limit {
        Limit::Subscription(limit) => {
            (limit, "a subscription", "narrow spec.resources, or share the objects among several subscriptions")
        }
        Limit::All(limit) => {
            (limit, "all subscriptions together", "narrow this subscription or others, or remove some")
        }
    };
    format!(
        "{held} selected objects are held because {whose} may have {limit} in the ledger; those that are in it go on; {remedy}"
    )
}

/// What this process has not seen itself an earlier one has.
pub(super) fn ledger(before: Option<&LedgerStatus>, view: &View) -> LedgerStatus {
    let baseline_time = view.baseline_at.map(time).or_else(|| before.and_then(|before| before.baseline_time.clone()));
    LedgerStatus {
        entries: count(view.entries),
        // Somebody has taken it out of the status: it has stood since then at the latest.
        baseline_time: baseline_time.or_else(|| view.live.then(|| time(view.since))),
        last_commit_time: view
            .last_commit
            .map(time)
            .or_else(|| before.and_then(|before| before.last_commit_time.clone())),
        sequence: wide(view.sequence),
    }
}

pub(super) fn resync(requests: &Requests) -> Option<ResyncStatus> {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    (!requests.is_empty()).then(|| ResyncStatus {
        observed_request_id: text(&requests.request_id),
        observed_requested_at: text(&requests.requested_at),
    })
}
