//! Who may act: client-go's rules for a Lease, as pure functions.
//!
//! Touches nothing. Invariants: how long another holder has been silent is measured with the local clock, from when its
//! record was last seen to change; nobody's wall clock is compared with anybody else's. Our own right ends earlier than
//! anybody may take it: it counts from before the write was sent, and only to the renew deadline, which is shorter than
//! the Lease.

use std::time::Duration;

use crate::Now;
use crate::proof::{Rule, broken};

#[cfg(test)]
mod tests;

/// No Lease lasts longer; a record that says so was not written by us and must not keep everybody out for ever.
pub const LONGEST: Duration = Duration::from_hours(1);
/// By how much the wall clock may run ahead of the other one, before we take it that this machine stood still.
pub const WALL_TOLERANCE: Duration = Duration::from_secs(2);

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    lease: Duration,
    renew_deadline: Duration,
    retry: Duration,
}

/// Durations with which a Lease would not do what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationsError {
    /// A rival could act before we have stopped.
    #[error("the renew deadline has to be shorter than the lease duration")]
    RenewDeadline,
    /// One failed renewal would be the end.
    #[error("the retry period has to be shorter than the renew deadline")]
    Retry,
}

impl Durations {
    /// Durations that fit each other.
    pub fn new(lease: Duration, renew_deadline: Duration, retry: Duration) -> Result<Self, DurationsError> {
        if renew_deadline >= lease {
            Err(DurationsError::RenewDeadline)
        } else if retry >= renew_deadline {
            Err(DurationsError::Retry)
        } else {
            Ok(Self { lease, renew_deadline, retry })
        }
    }

    /// How long others wait for a holder that says nothing.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// How long a holder may act without having renewed.
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// From one renewal to the next, and to the next try when one failed.
    pub fn retry(&self) -> Duration {
        self.retry
    }

    /// From one look at another's Lease to the next. More often than a renewal, so that one that was given up is taken
    /// at once; it is one small read.
    pub fn look(&self) -> Duration {
        self.retry / 4
    }

    /// For one request. A holder whose API server takes longer than this could never renew twice within the deadline,
    /// so it does not begin to lead: it would stop again a moment later, and then the next one.
    pub fn request(&self) -> Duration {
        self.renew_deadline / 2
    }
}

/// What a Lease says, as far as it matters here. A holder that lives changes it with every renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty if nobody does.
    pub holder: String,
    /// How long it lasts without a renewal, if it says so.
    pub duration: Option<Duration>,
    /// The holder's wall clock at the last renewal. Compared with earlier ones of its own only, for equality.
    pub renewed: Option<i64>,
    /// How often it went from one holder to another.
    pub transitions: i32,
}

/// A record, and since when it has been as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    record: Record,
    /// Our own clock when the record was first read as it is.
    since: u64,
}

impl Seen {
    /// When the record's holder will have been silent for too long.
    fn runs_out(&self, durations: &Durations) -> u64 {
        let lasts = self.record.duration.filter(|duration| !duration.is_zero()).unwrap_or(durations.lease);
        self.since.saturating_add(millis(lasts.min(LONGEST)))
    }
}

/// Whether we act already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Not yet.
    Candidate,
    /// On the strength of a Lease that we hold, or did.
    Leader,
}

/// What to do about a Lease as it was just read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nobody holds it, or its holder was silent for too long: write our name.
    Take,
    /// It is ours: write the time.
    Renew,
    /// It is somebody else's, at least until our clock shows this.
    Wait {
        /// Milliseconds of [`Now::mono`].
        until: u64,
    },
    /// We acted on it and it is not ours any more. Whoever it belongs to, somebody may have acted since.
    Lost,
}

/// What to do about the Lease, which was just read as `observed` (`None`: there is none), after what was `last` seen;
/// and what to remember for the next time. `mono` is [`Now::mono`] when it had been read.
pub fn evaluate(
    observed: Option<Record>,
    last: Option<Seen>,
    me: &str,
    stance: Stance,
    mono: u64,
    durations: &Durations,
) -> (Decision, Option<Seen>) {
    let exists = observed.is_some();
    let seen = match (observed, last) {
        (Some(record), Some(last)) if last.record == record => Some(last),
        (Some(record), Some(last)) if broken(Rule::SilenceStartsWithAChange) => {
            Some(Seen { record, since: last.since })
        }
        (Some(record), _) => Some(Seen { record, since: mono }),
        // Whoever deleted it has not stopped its holder, who acts on until it notices.
        (None, last) => last,
    };
    let decision = match (stance, &seen) {
        (Stance::Candidate | Stance::Leader, Some(seen)) if seen.record.holder == me && exists => Decision::Renew,
        (Stance::Leader, _) => Decision::Lost,
        (Stance::Candidate, None) => Decision::Take,
        (Stance::Candidate, Some(seen)) => {
            let free = seen.record.holder.is_empty() || seen.record.holder == me;
            let until = seen.runs_out(durations);
            if free || mono >= until { Decision::Take } else { Decision::Wait { until } }
        }
    };
    (decision, seen)
}

/// How long the right to act lasts on, if the last renewal that succeeded was begun at `renewed`; zero when it is over.
pub fn left(renewed: Now, now: Now, durations: &Durations) -> Duration {
    let lasts = if broken(Rule::HolderStopsInTime) { durations.lease * 2 } else { durations.renew_deadline };
    lasts.saturating_sub(elapsed(renewed, now))
}

/// A machine that was frozen from outside, or moved to another host, has clocks that stood still, until something sets
/// its wall clock right. So a wall clock that ran ahead counts; one that was set back never does.
fn elapsed(from: Now, to: Now) -> Duration {
    let mono = Duration::from_millis(to.mono.saturating_sub(from.mono));
    let wall = Duration::from_millis(u64::try_from(to.wall.saturating_sub(from.wall)).unwrap_or(0));
    if wall > mono + WALL_TOLERANCE { wall } else { mono }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
