//! A request that stands still until a test has done what it wants to do at that very moment.
//!
//! Invariant: what is held is a whole request, so it can be sent on late although the client is gone meanwhile.

use std::time::Duration;

use tokio::sync::watch;

use super::Seen;
use crate::error::{Error, Result};

/// At which moment a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The API server has not seen it.
    Before,
    /// The API server has answered it, and the client does not know.
    After,
}

#[derive(Clone, Debug)]
enum Stage {
    Ahead,
    Held(Seen),
    Released,
    GivenUp,
}

/// The proxy's end of a [`StopPoint`].
#[derive(Clone, Debug)]
pub struct Hold(watch::Sender<Stage>);

/// One request to come that is held. Dropping it breaks the held request's connection: one that was not sent on never
/// is, and an answer gets lost.
#[derive(Debug)]
pub struct StopPoint(watch::Sender<Stage>);

pub(super) fn point() -> (StopPoint, Hold) {
    let stage = watch::Sender::new(Stage::Ahead);
    (StopPoint(stage.clone()), Hold(stage))
}

impl StopPoint {
    /// Waits until a request is held here, and gives it.
    pub async fn reached(&self, within: Duration) -> Result<Seen> {
        let mut stage = self.0.subscribe();
        let reached = stage.wait_for(|stage| matches!(stage, Stage::Held(_)));
        if let Ok(Ok(stage)) = tokio::time::timeout(within, reached).await
            && let Stage::Held(seen) = &*stage
        {
            return Ok(seen.clone());
        }
        Err(Error::new(format!("failed to hold a request: none came within {within:?}")))
    }

    /// It goes on, even if its client is gone.
    pub fn release(self) {
        self.0.send_replace(Stage::Released);
    }
}

impl Drop for StopPoint {
    fn drop(&mut self) {
        self.0.send_if_modified(|stage| {
            let open = !matches!(stage, Stage::Released);
            if open {
                *stage = Stage::GivenUp;
            }
            open
        });
    }
}

impl Hold {
    /// Stands still; an error means that the request is given up.
    pub(super) async fn pass(&self, seen: &Seen) -> Result<()> {
        let mut stage = self.0.subscribe();
        let held = self.0.send_if_modified(|stage| {
            let first = matches!(stage, Stage::Ahead);
            if first {
                *stage = Stage::Held(seen.clone());
            }
            first
        });
        if !held {
            // the test is past this point
            return Ok(());
        }
        let over = stage.wait_for(|stage| matches!(stage, Stage::Released | Stage::GivenUp)).await;
        if over.is_ok_and(|stage| matches!(*stage, Stage::Released)) {
            return Ok(());
        }
        Err(Error::new("given up by the test"))
    }
}
