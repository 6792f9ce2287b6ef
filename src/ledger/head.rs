//! The one conditional write, until it is known what became of it.
//!
//! Touches the API server. Invariants: the same bytes are written again only while the Head is as this leader left it, and
//! only by whoever holds the lease; anything else that is found there ends this leader.

use std::time::Duration;

use changehook_core::ledger::form::{Form, Head};
use changehook_core::ledger::keeper::Name;
use changehook_core::ledger::{Loss, codec};
use tokio::time::sleep;

use super::LedgerError;
use super::objects::{CallError, Objects, Read};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How often it is tried to mark a Head.
const MARK_TRIES: usize = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Pauses between tries.
pub(super) struct Pauses {
    next: Duration,
    told: String,
}

impl Pauses {
    pub fn new() -> Self {
        Self { next: FIRST_PAUSE, told: String::new() }
    }

    /// Waits a while, after telling why, once.
    pub async fn pause(&mut self, what: &'static str, why: &CallError) {
        let why = why.to_string();
        if why != self.told {
            tracing::warn!(reason = why, "failed to {what}; it is tried again");
            self.told = why;
        }
        sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}

/// Writes the Head in place of `before`.
pub(super) async fn write(
    objects: &Objects,
    bytes: &[u8],
    before: &Read,
    is_leader: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Read, LedgerError> {
    let mut pauses = Pauses::new();
    let mut before = before.clone();
    loop {
        if !is_leader() {
            return Err(LedgerError::NotLeader);
        }
        let refused = match objects.replace(Name::Head, bytes, &before).await {
            Ok(written) => return Ok(written),
            Err(CallError::NotFound) => return Err(LedgerError::Deleted),
            Err(CallError::Refused(reason)) => return Err(LedgerError::rejected(Name::Head, reason)),
            Err(error @ (CallError::Conflict | CallError::Unknown(_))) => error,
        };
        // Whether it was written is found out by reading: consistently, and before anything else is done.
        loop {
            match objects.get(Name::Head).await {
                Ok(found) if found.uid != before.uid => return Err(LedgerError::Fenced),
                Ok(found) if found.bytes == bytes => return Ok(found),
                // As it was, if perhaps with another label on it.
                Ok(found) if found.bytes == before.bytes => {
                    before = found;
                    break;
                }
                Ok(found) if is_older(&found, &before) => {
                    mark_outdated(objects, &found).await;
                    return Err(LedgerError::SetBack);
                }
                Ok(_) => return Err(LedgerError::Fenced),
                Err(CallError::NotFound) => return Err(LedgerError::Deleted),
                Err(error @ (CallError::Conflict | CallError::Refused(_) | CallError::Unknown(_))) => {
                    pauses.pause("read the ledger's head", &error).await;
                }
            }
            if !is_leader() {
                return Err(LedgerError::NotLeader);
            }
        }
        pauses.pause("commit to the ledger", &refused).await;
    }
}

/// The cluster's storage was restored since this Head was written, or later.
pub(super) async fn set_back(objects: &Objects, written: &Read) {
    let mut pauses = Pauses::new();
    for _ in 0..MARK_TRIES {
        match objects.get(Name::Head).await {
            Ok(found) if is_older(&found, written) => return mark_outdated(objects, &found).await,
            // As it was, or already somebody else's.
            Ok(_) | Err(CallError::NotFound) => return,
            Err(error @ (CallError::Conflict | CallError::Refused(_) | CallError::Unknown(_))) => {
                pauses.pause("read the ledger's head", &error).await;
            }
        }
    }
}

/// Whether a Head that was found is from before one that this leader has written.
fn is_older(found: &Read, before: &Read) -> bool {
    match (codec::decode(&found.bytes), codec::decode(&before.bytes)) {
        (Ok(Form::Head(found)), Ok(Form::Head(before))) => found.commit < before.commit && found.term <= before.term,
        _ => false,
    }
}

/// Only this leader knows that the ledger is older than what the endpoints were told; whoever claims it next has to.
async fn mark_outdated(objects: &Objects, found: &Read) {
    let Ok(Form::Head(head)) = codec::decode(&found.bytes) else { return };
    let marked = codec::encode_head(&Head { commit: head.commit + 1, loss: Some(Loss::Outdated), ..head });
    let mut pauses = Pauses::new();
    for _ in 0..MARK_TRIES {
        match objects.replace(Name::Head, &marked, found).await {
            // A conflict is somebody who marked it, or claimed it, a moment ago.
            Ok(_) | Err(CallError::Conflict | CallError::NotFound) => return,
            Err(error @ (CallError::Refused(_) | CallError::Unknown(_))) => {
                pauses.pause("mark the ledger as outdated", &error).await;
            }
        }
    }
    tracing::error!(
        "the ledger was set back, and that could not be put on record: ask for a resync of every subscription"
    );
}
