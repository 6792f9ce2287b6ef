//! The right to act, as a value that expires by itself.
//!
//! Touches a clock that it is given. Invariants: it is over at the renew deadline whether or not anybody notices or
//! renews; once over it stays over, so that a renewal that comes too late changes nothing; `is_valid` never waits.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use changehook_core::Now;
use changehook_core::lease::{Durations, left};
use tokio_util::sync::CancellationToken;

/// A suspended machine's timers stand still, so the clock that does not is looked at now and then.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Why this replica may not act any more, although nobody told it to stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// No renewal was answered in time, or this process or machine stood still.
    #[error("failed to renew the Lease within {} s; another replica may lead by now", .0.as_secs())]
    Expired(Duration),
    /// Somebody else's name is in it.
    #[error("failed to keep the Lease: it belongs to {0} now")]
    Taken(String),
    /// Nobody's name is in it.
    #[error("failed to keep the Lease: somebody else set it free or deleted it")]
    Gone,
}

/// A clock: see [`super::super::clock::counting_suspend`].
pub type ReadClock = Arc<dyn Fn() -> Now + Send + Sync>;

/// The right to act. Clones are the same Lease.
#[derive(Clone)]
pub struct Lease {
    inner: Arc<Inner>,
}

struct Inner {
    durations: Durations,
    now: ReadClock,
    state: Mutex<State>,
    lost: CancellationToken,
    set_back: CancellationToken,
}

enum State {
    /// The last renewal that succeeded was begun then.
    Held(Now),
    /// Given up on purpose.
    GivenUp,
    Lost(Lost),
}

impl Lease {
    /// A Lease that was taken by a write that was begun at `taken`.
    pub fn new(taken: Now, durations: Durations, now: ReadClock) -> Self {
        let state = Mutex::new(State::Held(taken));
        let (lost, set_back) = (CancellationToken::new(), CancellationToken::new());
        Self { inner: Arc::new(Inner { durations, now, state, lost, set_back }) }
    }

    /// Whether this replica may act now. To be asked right before.
    pub fn is_valid(&self) -> bool {
        let mut state = self.lock();
        match *state {
            State::Held(renewed) => {
                let valid = !self.left(renewed).is_zero();
                if !valid {
                    self.lose(&mut state, Lost::Expired(self.inner.durations.renew_deadline()));
                }
                valid
            }
            State::GivenUp | State::Lost(_) => false,
        }
    }

    /// [`Self::is_valid`] for those who do not know a Lease.
    pub fn gate(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let lease = self.clone();
        Arc::new(move || lease.is_valid())
    }

    /// A renewal that was begun at `begun` has succeeded. Comes to nothing if the Lease was over before the answer.
    pub fn renewed(&self, begun: Now) {
        if self.is_valid() {
            let mut state = self.lock();
            if let State::Held(renewed) = &mut *state {
                *renewed = begun;
            }
        }
    }

    /// It is not ours any more; `holder` is empty if it is nobody's.
    pub fn taken_by(&self, holder: String) {
        let lost = if holder.is_empty() { Lost::Gone } else { Lost::Taken(holder) };
        self.lose(&mut self.lock(), lost);
    }

    /// It was read as it had been some time ago: the cluster's storage was restored.
    pub fn note_set_back(&self) {
        self.inner.set_back.cancel();
    }

    /// Waits until that was seen.
    pub async fn set_back(&self) {
        self.inner.set_back.cancelled().await;
    }

    /// From now on nothing may act, and that is no failure.
    pub fn give_up(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Held(_)) {
            *state = State::GivenUp;
        }
    }

    /// Waits until it is lost; for ever once it was given up.
    pub async fn lost(&self) -> Lost {
        loop {
            if let State::Lost(lost) = &*self.lock() {
                return lost.clone();
            }
            // its own look, so that a Lease ends even if the task that renews it is stuck
            let sleep = if self.is_valid() { self.time_left().min(LONGEST_SLEEP) } else { LONGEST_SLEEP };
            let _asleep = tokio::time::timeout(sleep, self.inner.lost.cancelled()).await;
        }
    }

    fn time_left(&self) -> Duration {
        match *self.lock() {
            State::Held(renewed) => self.left(renewed),
            State::GivenUp | State::Lost(_) => Duration::ZERO,
        }
    }

    fn left(&self, renewed: Now) -> Duration {
        left(renewed, (self.inner.now)(), &self.inner.durations)
    }

    fn lose(&self, state: &mut State, lost: Lost) {
        if matches!(state, State::Held(_)) {
            *state = State::Lost(lost);
            self.inner.lost.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // every change of the state is one assignment
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("left", &self.time_left()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(in crate::runtime) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    pub(in crate::runtime) fn durations() -> Durations {
        let seconds = Duration::from_secs;
        Durations::new(seconds(15), seconds(10), seconds(2)).unwrap()
    }

    /// A Lease taken at 0, and the clock that it reads.
    pub(in crate::runtime) fn lease() -> (Lease, Arc<AtomicU64>) {
        let clock = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&clock);
        let now: ReadClock = Arc::new(move || at(read.load(Ordering::Relaxed)));
        (Lease::new(at(0), durations(), now), clock)
    }

    fn at(mono: u64) -> Now {
        Now { mono, wall: 0 }
    }

    #[test]
    fn a_lease_is_valid_for_the_renew_deadline_from_the_start_of_its_last_renewal() {
        let (lease, clock) = lease();
        clock.store(9_999, Ordering::Relaxed);
        assert!(lease.is_valid());
        // begun at 4 s, answered now
        lease.renewed(at(4_000));
        clock.store(13_999, Ordering::Relaxed);
        assert!(lease.is_valid());
        clock.store(14_000, Ordering::Relaxed);
        assert!(!lease.is_valid());
    }

    #[test]
    fn a_lease_that_was_over_before_its_renewal_was_answered_stays_over() {
        let (lease, clock) = lease();
        clock.store(10_000, Ordering::Relaxed);
        lease.renewed(at(9_000));
        assert!(!lease.is_valid());
        // and a clock that goes wrong does not bring it back
        clock.store(0, Ordering::Relaxed);
        assert!(!lease.is_valid());
        lease.renewed(at(0));
        assert!(!lease.is_valid());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_nobody_renews_is_lost_without_anybody_asking() {
        let start = tokio::time::Instant::now();
        let now: ReadClock = Arc::new(move || at(start.elapsed().as_millis() as u64));
        let lease = Lease::new(at(0), durations(), now);
        assert_eq!(lease.lost().await, Lost::Expired(Duration::from_secs(10)));
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        assert!(!lease.is_valid());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_a_lease_over_ends_it_for_all() {
        let (lease, clock) = lease();
        let start = tokio::time::Instant::now();
        let waits = tokio::spawn({
            let lease = lease.clone();
            async move { lease.lost().await }
        });
        tokio::task::yield_now().await;
        clock.store(60_000, Ordering::Relaxed);
        assert!(!lease.gate()());
        assert!(matches!(waits.await.unwrap(), Lost::Expired(_)));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_given_up_is_over_and_not_lost() {
        let (lease, _clock) = lease();
        lease.give_up();
        assert!(!lease.is_valid());
        lease.taken_by("other".to_owned());
        assert!(tokio::time::timeout(Duration::from_mins(1), lease.lost()).await.is_err());
    }

    #[tokio::test]
    async fn the_loss_names_who_holds_it_now() {
        let (lease, _clock) = lease();
        lease.taken_by("other".to_owned());
        assert_eq!(lease.lost().await, Lost::Taken("other".to_owned()));
        assert!(!lease.is_valid());
    }
}
