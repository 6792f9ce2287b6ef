//! The one conditional write, until it is known what became of it.
//!
//! Touches the API server. Invariants: the same bytes are written again only while the Head is as this leader left it, and
//! only by whoever holds the lease; anything else that is found there ends this leader.

use std::time::Duration;

use changehook_core::ledger::keeper::Name;
use tokio::time::sleep;

use super::LedgerError;
use super::objects::{CallError, Objects, Read};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
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
    loop {
        if !is_leader() {
            return Err(LedgerError::NotLeader);
        }
        let refused = match objects.replace(Name::Head, bytes, before).await {
            Ok(written) => return Ok(written),
            Err(CallError::NotFound) => return Err(LedgerError::Deleted),
            Err(error @ (CallError::Conflict | CallError::Unknown(_))) => error,
        };
        // Whether it was written is found out by reading: consistently, and before anything else is done.
        loop {
            match objects.get(Name::Head).await {
                Ok(found) if found.uid == before.uid && found.bytes == bytes => return Ok(found),
                Ok(found) if found.uid == before.uid && found.version == before.version => break,
                Ok(_) => return Err(LedgerError::Fenced),
                Err(CallError::NotFound) => return Err(LedgerError::Deleted),
                Err(error @ (CallError::Conflict | CallError::Unknown(_))) => {
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
