//! What the answers about an account mean together.
//!
//! Touches nothing; the time comes in. Invariants: permitted is only what every single answer allows; a denial is told
//! before a doubt, and with the commands that end it.

use super::answers::Known;
use super::question::{Account, Question};
use super::remedy::remedy;

/// Whether a subscription may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Permit {
    /// All is allowed.
    Granted {
        /// When it has to be asked anew, in milliseconds from now.
        again_in: u64,
        /// Some of it could not be asked anew, and the last answer counts.
        unconfirmed: bool,
    },
    /// There is no such account.
    NoAccount {
        /// For people.
        message: String,
    },
    /// Something is not allowed.
    Denied {
        /// For people.
        message: String,
    },
    /// Nobody knows.
    Unknown {
        /// For people.
        message: String,
    },
}

/// What was found out about one question.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub question: Question,
    /// The newest answer there is.
    pub known: Option<Known>,
    /// Why it could not be asked anew.
    pub failure: Option<String>,
}

/// `unserved` says why it is not known what to ask about.
pub(super) fn permit(account: &Account, findings: &[Finding], unserved: Option<String>, now: u64) -> Permit {
    let Account { namespace, name } = account;
    let counting = |finding: &Finding| match (finding.known, &finding.failure) {
        (Some(known), None) => Some(known),
        (Some(known), Some(_)) if known.still_counts(now) => Some(known),
        (_, _) => None,
    };
    let denied: Vec<&Question> = findings
        .iter()
        .filter(|finding| counting(finding).is_some_and(|known| !known.allowed))
        .map(|finding| &finding.question)
        .collect();
    if denied.contains(&&Question::Exists) {
        let message = format!(
            "ServiceAccount {namespace}/{name} not found; correct spec.serviceAccountName, or create it: kubectl create \
             serviceaccount {name} --namespace {namespace}"
        );
        return Permit::NoAccount { message };
    }
    if !denied.is_empty() {
        return Permit::Denied { message: remedy(account, &denied) };
    }
    let doubt = findings.iter().find(|finding| counting(finding).is_none());
    let why = doubt.map(|finding| finding.failure.clone().unwrap_or_default()).or(unserved);
    if let Some(why) = why {
        let message = format!(
            "whether ServiceAccount {namespace}/{name} may read what is named here could not be found out: {why}; nothing \
             is sent until it is, and it is asked again"
        );
        return Permit::Unknown { message };
    }
    let until = findings.iter().filter_map(|finding| finding.known).map(|known| known.until).min();
    Permit::Granted {
        again_in: until.unwrap_or(now).saturating_sub(now),
        unconfirmed: findings.iter().any(|finding| finding.failure.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::{Collection, Verb, Within};
    use super::*;

    const NOW: u64 = 1_000_000;

    fn account() -> Account {
        Account { namespace: "shop".to_owned(), name: "watcher".to_owned() }
    }

    fn list() -> Question {
        let collection =
            Collection { group: String::new(), plural: "configmaps".to_owned(), within: Within::Namespace };
        Question::Collection(Verb::List, collection)
    }

    fn finding(question: Question, age: Option<(u64, bool)>, failed: bool) -> Finding {
        let known = age.map(|(age, allowed)| Known { at: NOW - age, allowed, until: NOW - age + 300_000 });
        Finding { question, known, failure: failed.then(|| "it is down".to_owned()) }
    }

    fn of(exists: (Option<(u64, bool)>, bool), lists: (Option<(u64, bool)>, bool)) -> Permit {
        let findings = [finding(Question::Exists, exists.0, exists.1), finding(list(), lists.0, lists.1)];
        permit(&account(), &findings, None, NOW)
    }

    #[test]
    fn all_answers_have_to_allow_and_the_oldest_says_when_to_ask_anew() {
        let yes = |age| (Some((age, true)), false);
        assert_eq!(of(yes(10_000), yes(100_000)), Permit::Granted { again_in: 200_000, unconfirmed: false });
        let Permit::Denied { message } = of(yes(0), (Some((0, false)), false)) else { panic!("denied") };
        assert!(message.contains("shop/watcher") && message.contains("list configmaps"), "{message}");
        let Permit::NoAccount { message } = of((Some((0, false)), false), (Some((0, false)), false)) else {
            panic!("an account that is not there has no rights either")
        };
        assert!(message.contains("kubectl create serviceaccount watcher --namespace shop"), "{message}");
    }

    #[test]
    fn where_nobody_answers_the_last_answer_counts_for_ten_minutes_and_then_nothing_is_permitted() {
        let yes = (Some((0, true)), false);
        assert_eq!(of(yes, (Some((599_999, true)), true)), Permit::Granted { again_in: 0, unconfirmed: true });
        for gone in [(Some((600_000, true)), true), (Some((600_000, false)), true), (None, true)] {
            let Permit::Unknown { message } = of(yes, gone) else { panic!("{gone:?}") };
            assert!(message.contains("it is down"), "{message}");
        }
        assert!(matches!(of(yes, (Some((599_999, false)), true)), Permit::Denied { .. }));
        // one denial is enough, whatever is unknown besides
        assert!(matches!(of((Some((0, false)), false), (None, true)), Permit::NoAccount { .. }));
    }

    #[test]
    fn what_cannot_be_asked_about_is_not_permitted() {
        let findings = [finding(Question::Exists, Some((0, true)), false)];
        let unserved = permit(&account(), &findings, Some("no discovery".to_owned()), NOW);
        assert!(matches!(unserved, Permit::Unknown { message } if message.contains("no discovery")));
        assert!(matches!(permit(&account(), &findings, None, NOW), Permit::Granted { .. }));
    }
}
