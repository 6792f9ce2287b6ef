//! May a subscription's ServiceAccount read what the subscription names? Asked of the API server, remembered for minutes.
//!
//! Touches the API server: create of LocalSubjectAccessReviews and, for what is asked about the whole cluster,
//! SubjectAccessReviews, get of ServiceAccounts, discovery. Invariants: without an
//! answer nothing is permitted; reviews under way are bounded and so is what is remembered; what an answer means is
//! decided by [`permit`](mod@permit), which holds no clock.
//!
//! | file | idea |
//! | --- | --- |
//! | `question` | what has to be asked for a spec |
//! | `answers` | what is known, and when it has to be asked anew |
//! | `permit` | what the answers mean together |
//! | `remedy` | the commands that would grant what is missing |
//! | `review` | one question to the API server |

mod answers;
mod permit;
mod question;
mod remedy;
mod review;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use changehook_core::object::Gvk;
use futures::future::join_all;
use kube::Client;
use tokio::sync::Semaphore;

use self::answers::Answers;
use self::permit::{Finding, permit};
use self::question::{Collection, Question, Within, questions};
use self::review::{ReviewError, review};
use super::metrics::{Metrics, Reviewed};
use super::validate::Valid;
use crate::watch::{Served, Sources};

pub(super) use self::permit::Permit;
pub(super) use self::question::{Account, Extent};

/// Reviews under way at once.
const REVIEWS: usize = 16;

/// Asks, and remembers; clones share what is known.
#[derive(Clone)]
pub struct Authorizer {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    sources: Sources,
    permits: Semaphore,
    answers: Mutex<Answers>,
    /// Under which name kinds were served last.
    plurals: Mutex<HashMap<Gvk, String>>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    metrics: Metrics,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorizer(…)")
    }
}

/// What was found out.
#[derive(Debug)]
pub(super) struct Answered {
    /// May it go on?
    pub permit: Permit,
    /// Kinds that are not served, so that nobody could be asked about them.
    pub unasked: Vec<Gvk>,
}

impl Authorizer {
    /// `clock` gives milliseconds that never go back; `seed` spreads renewals.
    pub fn new(
        client: Client,
        sources: Sources,
        metrics: Metrics,
        seed: u64,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                sources,
                permits: Semaphore::new(REVIEWS),
                answers: Mutex::new(Answers::new(seed)),
                plurals: Mutex::default(),
                clock: Box::new(clock),
                metrics,
            }),
        }
    }

    /// Whether the account may read all that the spec names. `fresh`: what was allowed a while ago does not do, because
    /// the spec is new.
    pub(super) async fn ask(&self, account: &Account, extent: Extent, valid: &Valid, fresh: bool) -> Answered {
        let (within, by_labels) = match extent {
            Extent::Namespace => (Within::Namespace, false),
            Extent::Cluster { by_labels } => (Within::Cluster, by_labels),
        };
        let mut collections = Vec::new();
        if by_labels {
            // What is selected tells how namespaces are labelled.
            collections.push(Collection { group: String::new(), plural: "namespaces".to_owned(), within });
        }
        let (mut unasked, mut unknown) = (Vec::new(), None);
        for (gvk, served) in join_all(valid.resources.iter().map(|resource| self.name(&resource.gvk))).await {
            match served {
                Served::As(plural) => collections.push(Collection { group: gvk.group.clone(), plural, within }),
                Served::Nowhere => unasked.push(gvk.clone()),
                Served::Unknown(message) => unknown = Some(message),
            }
        }
        let questions = questions(&collections, valid);
        let began = (self.inner.clock)();
        let known = {
            let mut answers = self.answers();
            questions.iter().map(|question| answers.known(account, question, began)).collect::<Vec<_>>()
        };
        let findings = join_all(questions.into_iter().zip(known).map(|(question, known)| async move {
            if known.is_some_and(|known| !known.is_due(began, fresh)) {
                return Finding { question, known, failure: None };
            }
            match self.review(account, &question).await {
                Ok(allowed) => {
                    let known = self.answers().learn(account, &question, began, allowed);
                    Finding { question, known: Some(known), failure: None }
                }
                Err(error) => Finding { question, known, failure: Some(error.to_string()) },
            }
        }))
        .await;
        Answered { permit: permit(account, &findings, unknown, (self.inner.clock)()), unasked }
    }

    async fn review(&self, account: &Account, question: &Question) -> Result<bool, ReviewError> {
        let _under_way = self.inner.metrics.begin_review();
        let answer = review(&self.inner.client, &self.inner.permits, account, question).await;
        self.inner.metrics.reviewed(match &answer {
            Ok(true) => Reviewed::Allowed,
            Ok(false) => Reviewed::Denied,
            Err(_) => Reviewed::Failed,
        });
        answer
    }

    /// Something was refused that all answers say is allowed, so they are worth little.
    pub(super) fn suspect(&self, account: &Account) {
        self.answers().suspect(account);
    }

    /// Under which name the kind is served; the last known one, if that cannot be found out.
    async fn name<'a>(&self, gvk: &'a Gvk) -> (&'a Gvk, Served) {
        let mut served = self.inner.sources.served(gvk).await;
        let mut plurals = self.inner.plurals.lock().unwrap_or_else(PoisonError::into_inner);
        match &served {
            Served::As(plural) => drop(plurals.insert(gvk.clone(), plural.clone())),
            Served::Nowhere => drop(plurals.remove(gvk)),
            Served::Unknown(_) => {
                if let Some(plural) = plurals.get(gvk) {
                    served = Served::As(plural.clone());
                }
            }
        }
        (gvk, served)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.inner.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
