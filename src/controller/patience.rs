//! How long to wait before the next look at a subscription that something is missing for.
//!
//! Touches nothing; the time comes in. Invariants: a wait is a quarter of the time for which it has been missing, so that
//! who corrects something soon is noticed soon, and who never does costs little; whoever corrects one thing is thought to
//! correct the next one, so the count begins anew with what is missing; no trouble of the API server makes it begin anew,
//! or all subscriptions would be looked at every second just then.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::conditions::Reason;
use crate::status::Standing;

/// The shortest wait. The roster spreads all of them by a fifth.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest one: 30 s, spread.
const LONGEST: Duration = Duration::from_secs(25);
/// The longest one for a right: 5 min, spread. Each look asks several questions, and what was allowed is asked anew no
/// sooner.
const LONGEST_FOR_A_RIGHT: Duration = Duration::from_secs(250);

/// Since when something has been missing, and what. Begins anew with a new spec.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    missing: Option<Missing>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    what: What,
}

/// What is missing, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Something that people provide: the hash of what they are told about it.
    Told(u64),
    /// An answer of the API server.
    Answer,
}

impl Patience {
    /// Found missing at `now`, once more or for the first time: how long to wait.
    pub fn wait(&mut self, standing: &Standing, now: Instant) -> Duration {
        let (what, longest) = judge(standing);
        let missing = match self.missing {
            Some(missing) if missing.what == what || missing.what == What::Answer || what == What::Answer => {
                Missing { what, ..missing }
            }
            Some(_) | None => Missing { since: now, what },
        };
        self.missing = Some(missing);
        (now.saturating_duration_since(missing.since) / 4).clamp(SHORTEST, longest)
    }
}

fn judge(standing: &Standing) -> (What, Duration) {
    let (reason, message) = match standing {
        Standing::Waiting { reason, message } => (*reason, message),
        // a right that could not be confirmed
        Standing::Sound | Standing::Progressing { .. } | Standing::Stalled { .. } => return (What::Answer, LONGEST),
    };
    // Progressing is what an object that could not be read waits for.
    let trouble = [Reason::AccessReviewFailed, Reason::WatchFailed, Reason::SourceStale, Reason::Progressing];
    if trouble.contains(&reason) {
        return (What::Answer, LONGEST);
    }
    let mut hasher = DefaultHasher::new();
    (reason.as_str(), message).hash(&mut hasher);
    let right = matches!(reason, Reason::NotAuthorized | Reason::ServiceAccountNotFound);
    (What::Told(hasher.finish()), if right { LONGEST_FOR_A_RIGHT } else { LONGEST })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(reason: Reason, message: &str) -> Standing {
        Standing::Waiting { reason, message: message.to_owned() }
    }

    /// The waits of an hour, in seconds.
    fn hour(standing: &Standing) -> Vec<u64> {
        let began = Instant::now();
        let (mut patience, mut now, mut waits) = (Patience::default(), began, Vec::new());
        while now < began + Duration::from_hours(1) {
            let wait = patience.wait(standing, now);
            now += wait;
            waits.push(wait.as_secs());
        }
        waits
    }

    #[test]
    fn a_right_is_looked_for_often_in_the_first_minutes_and_within_five_minutes_later() {
        let waits = hour(&waiting(Reason::NotAuthorized, "m"));
        let early: Vec<u64> = waits.iter().copied().take_while(|wait| *wait < 25).collect();
        assert_eq!(early[..5], [1, 1, 1, 1, 1]);
        assert!((80..150).contains(&early.iter().sum::<u64>()), "{waits:?}");
        assert!(waits.is_sorted() && waits.last() == Some(&250), "{waits:?}");
        assert!(waits.len() < 45, "{waits:?}");
    }

    #[test]
    fn anything_else_is_looked_for_within_thirty_seconds() {
        for reason in [Reason::SecretNotFound, Reason::ServiceInvalid, Reason::KindNotInstalled, Reason::WatchFailed] {
            assert_eq!(hour(&waiting(reason, "m")).last(), Some(&25), "{reason:?}");
        }
        assert_eq!(hour(&Standing::Sound).last(), Some(&25));
    }

    #[test]
    fn whoever_corrects_one_thing_is_thought_to_correct_the_next_one() {
        let (mut patience, began) = (Patience::default(), Instant::now());
        patience.wait(&waiting(Reason::SecretNotFound, "a"), began);
        let late = began + Duration::from_mins(10);
        assert_eq!(patience.wait(&waiting(Reason::SecretNotFound, "a"), late), LONGEST);
        assert_eq!(patience.wait(&waiting(Reason::SecretNotFound, "b"), late), SHORTEST);
        assert_eq!(patience.wait(&waiting(Reason::SecretInvalid, "b"), late + LONGEST), SHORTEST);
    }

    #[test]
    fn trouble_of_the_api_server_however_it_changes_makes_nothing_begin_anew() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        patience.wait(&waiting(Reason::SecretNotFound, "a"), now);
        now += Duration::from_mins(10);
        for standing in [
            waiting(Reason::AccessReviewFailed, "503"),
            waiting(Reason::WatchFailed, "503"),
            waiting(Reason::Progressing, "no answer"),
            Standing::Sound,
            waiting(Reason::SecretNotFound, "a"),
        ] {
            assert_eq!(patience.wait(&standing, now), LONGEST, "{standing:?}");
        }
    }
}
