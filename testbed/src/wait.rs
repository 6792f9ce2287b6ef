//! Waiting for a condition with a deadline. Tests never sleep: they say what they wait for.
//!
//! Where something can notify (the receiver, the fault proxy), wait there instead; this is for the API server and for
//! other processes, which have to be asked again and again.

use std::{fmt::Display, future::Future, panic::Location, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{Error, Result};

const PAUSE: Duration = Duration::from_millis(25);

/// What a probe may answer: `Option` (not yet) or `Result` (not yet, and why).
pub trait Probed {
    /// What is there once the condition holds.
    type Value;
    /// The value, or why it is not there yet.
    fn settled(self) -> std::result::Result<Self::Value, String>;
}

impl<T> Probed for Option<T> {
    type Value = T;
    fn settled(self) -> std::result::Result<T, String> {
        self.ok_or_else(|| "not yet".to_owned())
    }
}

impl<T, E: Display> Probed for std::result::Result<T, E> {
    type Value = T;
    fn settled(self) -> std::result::Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Asks again and again until the probe gives a value. A probe that hangs is cut off at the deadline. The error names
/// the caller's line and the last thing the probe said.
#[track_caller]
pub fn eventually<P, F, Fut>(within: Duration, mut probe: F) -> impl Future<Output = Result<P::Value>>
where
    P: Probed,
    F: FnMut() -> Fut,
    Fut: Future<Output = P>,
{
    let caller = Location::caller();
    let deadline = Instant::now() + within;
    async move {
        let mut last = "the first look did not come back".to_owned();
        loop {
            match timeout_at(deadline, probe()).await.map(Probed::settled) {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(reason)) => last = reason,
                Err(_) => {}
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(Error::new(format!("{caller}: not within {within:?}: {last}")));
            }
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_never_holds_is_reported_with_its_last_reason_and_the_callers_line() {
        let mut looks = 0;
        let error = eventually(Duration::from_millis(80), || {
            looks += 1;
            let answer: Result<(), String> = Err(format!("look {looks}"));
            async { answer }
        })
        .await
        .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("src/wait.rs") && text.contains("look ") && !text.contains("look 1"), "{text}");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_cut_off_at_the_deadline() {
        let error = eventually(Duration::from_millis(50), std::future::pending::<Option<()>>).await.unwrap_err();
        assert!(error.to_string().contains("did not come back"));
    }
}
