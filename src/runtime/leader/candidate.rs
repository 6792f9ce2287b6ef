//! The task that gets the Lease, renews it, and gives it up.
//!
//! Touches the Lease through [`Remote`]. Invariants: a write whose outcome is not known is followed by a read, never by
//! the same write; a Lease is said to be ours only from an answered write on, counted from before it was sent; a stop
//! leaves no Lease behind that might be ours.

use std::time::Duration;

use changehook_core::Now;
use changehook_core::lease::{Decision, Durations, Seen, Stance, evaluate};
use k8s_openapi::api::coordination::v1::Lease as Object;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::lease::{Lease, ReadClock};
use super::metrics::Metrics;
use super::remote::{Holder, Remote, RemoteError, record};
use crate::runtime::readiness::Standby;

/// For giving it up. What is not given up in time runs out by itself.
const FAREWELL: Duration = Duration::from_secs(3);

/// One replica's way to the Lease.
pub struct Candidate {
    remote: Remote,
    me: String,
    durations: Durations,
    now: ReadClock,
    metrics: Metrics,
    standby: Standby,
    seen: Option<Seen>,
    /// As we last wrote it, while nothing speaks against its being so still.
    known: Option<Object>,
    /// A write of our name has gone out, and no read has shown another since.
    maybe_ours: bool,
    /// The version that the last answered write of ours was given.
    written: Option<u64>,
    /// The Lease was read as it had been before that.
    set_back: bool,
    /// What was last logged while waiting.
    said: String,
}

/// What a try came to.
enum Tried {
    /// It is ours by a write that was begun then.
    Held(Now),
    /// It is somebody else's until our clock shows this at least.
    Wait { until: u64, holder: String },
    /// It was ours, and is this one's now, or nobody's.
    Lost { holder: String },
}

/// The API server's versions are numbers that only grow, but for a restore of the cluster's storage.
fn version(object: Option<&Object>) -> Option<u64> {
    object?.metadata.resource_version.as_deref()?.parse().ok()
}

impl Candidate {
    /// A replica under the name `me`.
    pub fn new(
        remote: Remote,
        me: String,
        durations: Durations,
        now: ReadClock,
        metrics: Metrics,
        standby: Standby,
    ) -> Self {
        let (seen, known, maybe_ours, said) = (None, None, false, String::new());
        let (written, set_back) = (None, false);
        Self { remote, me, durations, now, metrics, standby, seen, known, maybe_ours, written, set_back, said }
    }

    /// Waits for the Lease, hands it to `won` and renews it until it is lost or `stop`; then gives it up.
    pub async fn run(mut self, won: oneshot::Sender<Lease>, stop: CancellationToken) {
        if let Some(lease) = stop.run_until_cancelled(self.win()).await {
            self.standby.set(false);
            self.metrics.leads(true);
            // nobody waits for it if the operator stops at this moment
            let _stops = won.send(lease.clone());
            let lost = tokio::select! {
                biased;
                () = stop.cancelled() => false,
                // whoever waits for the loss says why, and ends the process
                _lost = lease.lost() => true,
                () = self.keep(&lease) => true,
            };
            lease.give_up();
            self.metrics.leads(false);
            if lost {
                return;
            }
        }
        self.give_up().await;
    }

    async fn win(&mut self) -> Lease {
        loop {
            let pause = match self.attempt(Stance::Candidate).await {
                Ok(Tried::Held(begun)) => {
                    tracing::info!(identity = self.me, "this replica leads");
                    return Lease::new(begun, self.durations, self.now.clone());
                }
                Ok(Tried::Wait { until, holder }) => {
                    self.standby.set(true);
                    self.say(&holder, |holder| tracing::info!(holder, "standing by: another replica leads"));
                    let left = until.saturating_sub((self.now)().mono);
                    self.durations.look().min(Duration::from_millis(left))
                }
                // another candidate was faster
                Ok(Tried::Lost { .. }) | Err(RemoteError::Conflict) => self.durations.look(),
                Err(error) => {
                    self.say(&error.to_string(), |reason| tracing::warn!(reason, "waiting for the Lease"));
                    self.durations.retry()
                }
            };
            sleep(pause).await;
        }
    }

    /// Renews until it is somebody else's.
    async fn keep(&mut self, lease: &Lease) {
        let mut begun = Instant::now();
        loop {
            // from start to start: however long an answer takes, the next renewal is not later for it
            sleep_until(begun + self.durations.retry()).await;
            begun = Instant::now();
            let tried = self.attempt(Stance::Leader).await;
            if self.set_back {
                lease.note_set_back();
            }
            match tried {
                Ok(Tried::Held(begun)) => lease.renewed(begun),
                Ok(Tried::Lost { holder } | Tried::Wait { holder, .. }) => return lease.taken_by(holder),
                Err(error) => {
                    self.metrics.renewal_failed();
                    tracing::warn!(reason = %error, "the Lease was not renewed");
                }
            }
        }
    }

    async fn attempt(&mut self, stance: Stance) -> Result<Tried, RemoteError> {
        // nothing is known from here on until it is answered
        if let Some(known) = self.known.take() {
            match self.write(Some(known)).await {
                Ok(begun) => return Ok(Tried::Held(begun)),
                Err(RemoteError::Conflict) => {}
                Err(
                    error @ (RemoteError::Forbidden { .. } | RemoteError::NoAnswer { .. } | RemoteError::Other { .. }),
                ) => return Err(error),
            }
        }
        let read = self.remote.get().await?;
        self.set_back |= version(read.as_ref()).zip(self.written).is_some_and(|(read, written)| read < written);
        let observed = read.as_ref().map(record);
        let holder = observed.as_ref().map(|record| record.holder.clone()).unwrap_or_default();
        let mono = (self.now)().mono;
        let (decision, seen) = evaluate(observed, self.seen.take(), &self.me, stance, mono, &self.durations);
        self.seen = seen;
        match decision {
            Decision::Take | Decision::Renew => self.write(read).await.map(Tried::Held),
            Decision::Wait { until } => {
                self.maybe_ours = false;
                Ok(Tried::Wait { until, holder })
            }
            Decision::Lost => {
                self.maybe_ours = false;
                Ok(Tried::Lost { holder })
            }
        }
    }

    async fn write(&mut self, read: Option<Object>) -> Result<Now, RemoteError> {
        let begun = (self.now)();
        self.maybe_ours = true;
        let holder = Holder::Us(&self.me, self.durations.lease());
        let written = self.remote.write(read, holder, begun.wall).await?;
        self.written = version(Some(&written));
        self.known = Some(written);
        Ok(begun)
    }

    async fn give_up(&mut self) {
        if !self.maybe_ours {
            return;
        }
        match timeout(FAREWELL, self.set_free()).await {
            Ok(Ok(())) => tracing::info!("the Lease is free"),
            Ok(Err(error)) => tracing::warn!(reason = %error, "the Lease was not given up; it runs out by itself"),
            Err(_) => tracing::warn!("the Lease was not given up in time; it runs out by itself"),
        }
    }

    async fn set_free(&mut self) -> Result<(), RemoteError> {
        loop {
            let object = match self.known.take() {
                Some(known) => Some(known),
                None => self.remote.get().await?,
            };
            if object.as_ref().is_none_or(|object| record(object).holder != self.me) {
                return Ok(());
            }
            match self.remote.write(object, Holder::Nobody, (self.now)().wall).await {
                // a renewal of ours that was still on its way, or somebody's label
                Err(RemoteError::Conflict) => {}
                done => return done.map(|_| ()),
            }
        }
    }

    /// Logs what is waited for when it changes.
    fn say(&mut self, what: &str, log: impl FnOnce(&str)) {
        if self.said != what {
            what.clone_into(&mut self.said);
            log(what);
        }
    }
}
