//! One look at one subscription, as a table of contents.
//!
//! Touches what its steps touch. Invariant: every way out is a [`Look`].

use std::sync::Arc;
use std::time::Duration;

use changehook_core::address::AddressPolicy;
use changehook_core::object::{Gvk, SourceId};
use changehook_core::plan::{Claims, SubscriptionId};

use super::assign::{Found, assign, claims};
use super::authorize::{Account, Answered, Authorizer, Permit};
use super::dereference::{References, dereference};
use super::feed::Scope;
use super::read::Shown;
use super::validate::{Problem, Valid, validate};
use crate::api::conditions::Reason;
use crate::delivery::configs::Configs;
use crate::delivery::driver::Assignment;
use crate::delivery::secrets::Secrets;
use crate::delivery::services::Services;
use crate::status::{Standing, Verdict};
use crate::watch::{SourceHandle, Sources};

/// How many problems of a spec one message names.
const PROBLEMS: usize = 5;

/// What a look may use.
#[derive(Clone)]
pub struct Context {
    /// Where rows come from.
    pub sources: Sources,
    /// Secrets by GET.
    pub secrets: Secrets,
    /// Services by GET.
    pub services: Services,
    /// ConfigMaps by GET.
    pub configs: Configs,
    /// The time, in seconds since the Unix epoch.
    pub wall: fn() -> i64,
    /// Which URLs and addresses are allowed.
    pub policy: Arc<AddressPolicy>,
    /// Where subscriptions are served.
    pub scope: Scope,
    /// On whose behalf things are read.
    pub authorization: Authorization,
}

/// Whose permissions bound a subscription.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// Those of its ServiceAccount, and the operator's own.
    ServiceAccount(Authorizer),
    /// The operator's own only.
    Operator,
}

/// What came of a look.
pub(super) struct Look {
    /// What the status says.
    pub verdict: Verdict,
    /// What the driver is to do, with the sources it reads from, which are kept alive for as long as it does; `None`
    /// keeps what it has, but sends nothing.
    pub assignment: Option<(Assignment, Vec<SourceHandle>)>,
    /// It will not heal by an event we hear of, so look again soon.
    pub again: bool,
    /// Look again within this time, whatever happens.
    pub within: Option<Duration>,
}

/// What is in force when a look begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    /// The generation of the spec that was looked at last.
    pub generation: Option<i64>,
    /// The sources that are read from.
    pub sources: Vec<SourceId>,
    /// See [`Plan::config_hash`](changehook_core::plan::Plan).
    pub config_hash: Option<u64>,
    /// See [`Plan::claims`](changehook_core::plan::Plan): they are those of the first look, or every write of the status
    /// would be a new plan.
    pub claims: Option<Claims>,
}

pub(super) async fn look(context: &Context, id: &SubscriptionId, shown: &Shown, before: &Before) -> Look {
    let metadata = shown.metadata();
    let verdict = Verdict {
        subscription: id.clone(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        generation: shown.generation(),
        before: match shown {
            Shown::Readable(subscription) => subscription.status.clone().unwrap_or_default(),
            Shown::Unreadable(unreadable) => unreadable.status.clone(),
        },
        standing: Standing::Sound,
        suspended: false,
        silent: true,
        granted: None,
        host: None,
        remarks: Vec::new(),
    };
    let refused = |standing, suspended| {
        let again = matches!(standing, Standing::Waiting { .. });
        let verdict = Verdict { standing, suspended, ..verdict.clone() };
        Look { verdict, assignment: None, again, within: None }
    };
    let subscription = match shown {
        Shown::Readable(subscription) => subscription,
        Shown::Unreadable(unreadable) => {
            let message = unreadable.message.clone();
            return refused(Standing::Stalled { reason: Reason::InvalidSpec, message }, false);
        }
    };
    let check_url = |url: &str| context.policy.check_url(url).map_err(|error| error.to_string());
    let valid = match validate(subscription, check_url) {
        Ok(valid) => valid,
        Err(problems) => return refused(stalled(&problems), subscription.spec.suspend),
    };
    let account = Account { namespace: verdict.namespace.clone(), name: valid.service_account.clone() };
    let fresh = before.generation != Some(shown.generation());
    // Before anything is read: what an account may not read is not even found missing.
    let passed = match pass(context, &account, &valid, fresh).await {
        Ok(passed) => passed,
        Err(standing) => return refused(standing, valid.suspended),
    };
    let References { handles, sources, secrets_hash, host, standing, held, remarks } =
        dereference(context, &verdict.namespace, &valid, &before.sources).await;
    if let (Authorization::ServiceAccount(authorizer), Standing::Waiting { reason: Reason::NotAuthorized, .. }) =
        (&context.authorization, &standing)
    {
        // Rights were changed; perhaps not the operator's alone.
        authorizer.suspect(&account);
    }
    let again = matches!(standing, Standing::Waiting { .. }) || passed.again;
    let suspended = valid.suspended;
    let kinds = valid.resources.iter().zip(&sources);
    let unasked = kinds.filter(|(resource, _)| passed.unasked.contains(&resource.gvk));
    let unasked = unasked.map(|(_, source)| source.clone()).collect();
    let hash = secrets_hash.unwrap_or_default();
    let found = Found { sources, unasked, secrets_hash: hash, host: host.clone(), held };
    let mut assignment = assign(id, shown.generation(), &verdict.namespace, valid, found);
    assignment.plan.claims = before.claims.clone().unwrap_or_else(|| claims(&verdict.before));
    if let (None, Some(before)) = (secrets_hash, before.config_hash) {
        // What could not be read is not another configuration: it would end the outage and release what is parked.
        assignment.plan.config_hash = before;
    }
    let silent = suspended || held;
    let verdict = Verdict { standing, suspended, silent, granted: passed.granted, host, remarks, ..verdict };
    Look { verdict, assignment: Some((assignment, handles)), again, within: passed.within }
}

/// What came of asking whether the spec's account may read all that it names.
#[derive(Debug, Default)]
struct Passed {
    /// The account, if it was asked about.
    granted: Option<String>,
    unasked: Vec<Gvk>,
    within: Option<Duration>,
    again: bool,
}

async fn pass(context: &Context, account: &Account, valid: &Valid, fresh: bool) -> Result<Passed, Standing> {
    let authorizer = match &context.authorization {
        Authorization::ServiceAccount(authorizer) => authorizer,
        Authorization::Operator => return Ok(Passed::default()),
    };
    let Answered { permit, unasked } = authorizer.ask(account, valid, fresh).await;
    let waiting = |reason, message| Err(Standing::Waiting { reason, message });
    match permit {
        Permit::Granted { again_in, unconfirmed } => Ok(Passed {
            granted: Some(format!("ServiceAccount {}/{}", account.namespace, account.name)),
            unasked,
            within: Some(Duration::from_millis(again_in)),
            again: unconfirmed,
        }),
        Permit::NoAccount { message } => waiting(Reason::ServiceAccountNotFound, message),
        Permit::Denied { message } => waiting(Reason::NotAuthorized, message),
        Permit::Unknown { message } => waiting(Reason::AccessReviewFailed, message),
    }
}

fn stalled(problems: &[Problem]) -> Standing {
    let reason = problems.first().map_or(Reason::InvalidSpec, |problem| problem.reason);
    let mut texts: Vec<String> = problems.iter().take(PROBLEMS).map(ToString::to_string).collect();
    if problems.len() > PROBLEMS {
        texts.push(format!("and {} more", problems.len() - PROBLEMS));
    }
    Standing::Stalled { reason, message: texts.join("; ") }
}
