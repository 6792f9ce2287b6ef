//! What is known, and when it has to be asked anew.
//!
//! Touches nothing; the time comes in, in milliseconds that never go back. Invariants: what was allowed counts for
//! 5 min ± 20 % and never longer than [`KEPT`] if it cannot be asked anew; what was denied is asked anew each time;
//! all answers about one account run out together; at most [`MOST`] are kept.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::question::{Account, Question};

/// How long an answer counts, give or take a fifth.
const LIFETIME: u64 = 5 * 60_000;
/// How long one counts that cannot be asked anew.
pub(super) const KEPT: u64 = 10 * 60_000;
/// For a spec that is new, an answer of this age does: many are applied at once.
const FRESH: u64 = 5_000;
/// Looks at several subscriptions of one account do not ask the same again within this time.
const JUST_NOW: u64 = 500;
/// What nobody has asked for this long is forgotten.
const UNUSED: u64 = 15 * 60_000;
/// 150 bytes each.
const MOST: usize = 100_000;

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// When it was asked for.
    pub at: u64,
    pub allowed: bool,
    /// When it has to be asked anew.
    pub until: u64,
}

impl Known {
    /// Whether it has to be asked anew; `fresh` if the spec is new.
    pub fn is_due(self, now: u64, fresh: bool) -> bool {
        let age = now.saturating_sub(self.at);
        match (self.allowed, fresh) {
            (true, true) => age >= FRESH || now >= self.until,
            (true, false) => now >= self.until,
            (false, _) => age >= JUST_NOW,
        }
    }

    /// Whether it counts although it could not be asked anew.
    pub fn still_counts(self, now: u64) -> bool {
        now.saturating_sub(self.at) < KEPT
    }
}

struct Entry {
    known: Known,
    used: u64,
}

/// See the module's head.
pub(super) struct Answers {
    entries: HashMap<(Account, Question), Entry>,
    seed: u64,
    swept: u64,
}

impl Answers {
    pub fn new(seed: u64) -> Self {
        Self { entries: HashMap::new(), seed, swept: 0 }
    }

    /// What is known of this.
    pub fn known(&mut self, account: &Account, question: &Question, now: u64) -> Option<Known> {
        self.sweep(now);
        let entry = self.entries.get_mut(&(account.clone(), question.clone()))?;
        entry.used = now;
        Some(entry.known)
    }

    /// What was asked at `at` has an answer. One that was asked for later stays.
    pub fn learn(&mut self, account: &Account, question: &Question, at: u64, allowed: bool) -> Known {
        let known = Known { at, allowed, until: at + self.lifetime(account) };
        let key = (account.clone(), question.clone());
        let newer = self.entries.get(&key).filter(|entry| entry.known.at > at).map(|entry| entry.known);
        if let Some(newer) = newer {
            return newer;
        }
        if self.entries.len() < MOST || self.entries.contains_key(&key) {
            self.entries.insert(key, Entry { known, used: at });
        }
        known
    }

    /// Everything about the account is asked anew.
    pub fn suspect(&mut self, account: &Account) {
        for ((of, _), entry) in &mut self.entries {
            if of == account {
                entry.known.until = entry.known.at;
            }
        }
    }

    /// Spread by account, so that not all are asked anew together, and one subscription's are.
    fn lifetime(&self, account: &Account) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, account).hash(&mut hasher);
        LIFETIME * (800 + hasher.finish() % 401) / 1000
    }

    fn sweep(&mut self, now: u64) {
        if now.saturating_sub(self.swept) >= UNUSED / 10 {
            self.swept = now;
            self.entries.retain(|_, entry| now.saturating_sub(entry.used) < UNUSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn what_is_allowed_counts_for_five_minutes_give_or_take_a_fifth_and_for_a_new_spec_for_seconds() {
        let mut answers = Answers::new(7);
        let mut lifetimes: Vec<u64> = Vec::new();
        for n in 0..500 {
            let known = answers.learn(&account(&n.to_string()), &Question::Exists, 1_000, true);
            assert!(!known.is_due(known.until - 1, false) && known.is_due(known.until, false));
            assert!(!known.is_due(5_999, true) && known.is_due(6_000, true));
            lifetimes.push(known.until - 1_000);
        }
        assert!(lifetimes.iter().all(|lifetime| (240_000..=360_000).contains(lifetime)), "{lifetimes:?}");
        assert!(lifetimes.iter().min() < Some(&250_000) && lifetimes.iter().max() > Some(&350_000), "they are spread");
        let other = Question::Secret("s".to_owned());
        let known = answers.learn(&account("0"), &other, 1_000, true);
        assert_eq!(known.until - 1_000, lifetimes[0], "an account's run out together");
    }

    #[test]
    fn what_is_denied_is_asked_anew_each_time_but_not_by_everybody_at_once() {
        let known = Answers::new(0).learn(&account("a"), &Question::Exists, 1_000, false);
        for fresh in [false, true] {
            assert!(!known.is_due(1_499, fresh) && known.is_due(1_500, fresh));
        }
    }

    #[test]
    fn an_answer_that_cannot_be_asked_anew_counts_for_ten_minutes_since_it_was_asked_for() {
        let known = Answers::new(0).learn(&account("a"), &Question::Exists, 1_000, true);
        assert!(known.still_counts(600_999) && !known.still_counts(601_000));
    }

    #[test]
    fn a_suspected_account_is_asked_about_anew_and_others_are_not() {
        let mut answers = Answers::new(0);
        for name in ["a", "b"] {
            answers.learn(&account(name), &Question::Exists, 1_000, true);
        }
        answers.suspect(&account("a"));
        let due = |answers: &mut Answers, name| answers.known(&account(name), &Question::Exists, 2_000).unwrap();
        assert!(due(&mut answers, "a").is_due(2_000, false));
        assert!(!due(&mut answers, "b").is_due(2_000, false));
        answers.learn(&account("a"), &Question::Exists, 2_000, true);
        assert!(!due(&mut answers, "a").is_due(2_000, false));
    }

    #[test]
    fn an_answer_that_comes_late_does_not_replace_a_newer_one() {
        let mut answers = Answers::new(0);
        answers.learn(&account("a"), &Question::Exists, 2_000, false);
        assert!(!answers.learn(&account("a"), &Question::Exists, 1_000, true).allowed);
        assert!(!answers.known(&account("a"), &Question::Exists, 2_000).unwrap().allowed);
    }

    #[test]
    fn what_nobody_uses_is_forgotten_and_what_does_not_fit_is_not_kept() {
        let mut answers = Answers::new(0);
        answers.learn(&account("used"), &Question::Exists, 0, true);
        answers.learn(&account("unused"), &Question::Exists, 0, true);
        for now in (0..=UNUSED * 2).step_by(60_000) {
            answers.known(&account("used"), &Question::Exists, now);
        }
        assert_eq!(answers.entries.len(), 1);
        for n in 0..MOST + 10 {
            answers.learn(&account("many"), &Question::Secret(n.to_string()), UNUSED * 2, true);
        }
        assert_eq!(answers.entries.len(), MOST);
        assert!(
            !answers.learn(&account("used"), &Question::Exists, UNUSED * 2, false).allowed,
            "what is kept is kept up"
        );
        assert!(!answers.known(&account("used"), &Question::Exists, UNUSED * 2).unwrap().allowed);
    }
}
