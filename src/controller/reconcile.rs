//! One look at one subscription, as a table of contents.
//!
//! Touches what its steps touch. Invariant: every way out is a [`Look`].

use std::sync::Arc;
use std::time::Duration;

use changehook_core::address::Policies;
use changehook_core::object::{Gvk, SourceId};
use changehook_core::plan::{Claims, Namespaces, SubscriptionId};
use tokio::time::Instant;

use super::assign::{Found, Reach, assign, claims, label_selector};
use super::authorize::{Account, Answered, Authorizer, Extent, Permit};
use super::dereference::{References, dereference, worst};
use super::feed::Scope;
use super::metrics::Metrics;
use super::namespaces::Known;
use super::read::{Readable, Shown};
use super::validate::{Problem, Valid, ValidLabels, validate, validate_namespaces};
use crate::api::SubscriptionKind;
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
    /// Which URLs and addresses are allowed, by namespace.
    pub policies: Arc<Policies>,
    /// Where subscriptions are served.
    pub scope: Scope,
    /// The operator's own namespace: what subscriptions of the cluster kind refer to is in it.
    pub own_namespace: String,
    /// On whose behalf things are read.
    pub authorization: Authorization,
    /// How often, at least, a watch is compared with a list.
    pub relist: Duration,
    /// What is counted.
    pub metrics: Metrics,
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
    /// A certificate of its TLS settings expires soon, or has expired.
    pub expiring: bool,
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
    /// The cluster's namespaces, as far as they are known.
    pub namespaces: Known,
}

pub(super) async fn look(context: &Context, id: &SubscriptionId, shown: &Shown, before: &Before) -> Look {
    let metadata = shown.metadata();
    let verdict = Verdict {
        subscription: id.clone(),
        kind: shown.kind(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        generation: shown.generation(),
        before: match shown {
            Shown::Readable(readable) => readable.subscription.status.clone().unwrap_or_default(),
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
        Look { verdict, assignment: None, again, within: None, expiring: false }
    };
    let Readable { kind, subscription, namespace_selector } = match shown {
        Shown::Readable(readable) => &**readable,
        Shown::Unreadable(unreadable) => {
            let message = unreadable.message.clone();
            return refused(Standing::Stalled { reason: Reason::InvalidSpec, message }, false);
        }
    };
    let home = match kind {
        SubscriptionKind::Namespaced => &verdict.namespace,
        SubscriptionKind::Cluster => &context.own_namespace,
    };
    let policy = context.policies.of(home);
    let check_url = |url: &str| policy.check_url(url).map_err(|error| error.to_string());
    let namespaces = namespace_selector.as_ref().map(validate_namespaces).transpose();
    let (valid, namespaces) = match (validate(subscription, check_url), namespaces) {
        (Ok(valid), Ok(namespaces)) => (valid, namespaces),
        (valid, namespaces) => {
            let problems = valid.err().into_iter().chain(namespaces.err()).flatten().collect::<Vec<_>>();
            return refused(stalled(&problems), subscription.spec.suspend);
        }
    };
    let extent = match kind {
        SubscriptionKind::Namespaced => Extent::Namespace,
        SubscriptionKind::Cluster => Extent::Cluster { by_labels: namespaces.is_some() },
    };
    let account = Account { namespace: home.clone(), name: valid.service_account.clone() };
    let fresh = before.generation != Some(shown.generation());
    // Before anything is read: what an account may not read is not even found missing.
    let passed = match pass(context, &account, extent, &valid, fresh).await {
        Ok(passed) => passed,
        Err(standing) => return refused(standing, valid.suspended),
    };
    let choice = match choose(*kind, home, namespaces, &before.namespaces) {
        Ok(choice) => choice,
        Err(standing) => return refused(standing, valid.suspended),
    };
    let References { handles, sources, secrets_hash, tls_content, expiring, host, standing, held, mut remarks } =
        dereference(context, home, &choice.reach, &valid, &before.sources).await;
    if let (Authorization::ServiceAccount(authorizer), Standing::Waiting { reason: Reason::NotAuthorized, .. }) =
        (&context.authorization, &standing)
    {
        // Rights were changed; perhaps not the operator's alone.
        authorizer.suspect(&account);
    }
    let standing = worst(standing, choice.standing);
    remarks.extend(choice.remark);
    let again = matches!(standing, Standing::Waiting { .. }) || passed.again;
    let suspended = valid.suspended;
    let kinds = valid.resources.iter().zip(&sources);
    let unasked = kinds.filter(|(resource, _)| passed.unasked.contains(&resource.gvk));
    let unasked = unasked.map(|(_, source)| source.clone()).collect();
    let hash = secrets_hash.unwrap_or_default();
    let found = Found { sources, unasked, secrets_hash: hash, tls_content, host: host.clone(), held };
    let mut assignment = assign(id, shown.generation(), home, &choice.reach, valid, found);
    assignment.plan.claims = before.claims.clone().unwrap_or_else(|| claims(&verdict.before));
    if let (None, Some(before)) = (secrets_hash, before.config_hash) {
        // What could not be read is not another configuration: it would end the outage and release what is parked.
        assignment.plan.config_hash = before;
    }
    let silent = suspended || held;
    let verdict = Verdict { standing, suspended, silent, granted: passed.granted, host, remarks, ..verdict };
    Look { verdict, assignment: Some((assignment, handles)), again, within: passed.within, expiring }
}

/// Which namespaces a subscription sees.
struct Choice {
    reach: Reach,
    /// How it stands with what is known of namespaces.
    standing: Standing,
    remark: Option<String>,
}

/// An error if nothing is known of namespaces yet: without a plan nothing is taken for not selected.
fn choose(kind: SubscriptionKind, home: &str, by: Option<ValidLabels>, known: &Known) -> Result<Choice, Standing> {
    let reach = match (kind, by) {
        (SubscriptionKind::Namespaced, _) => Reach::Namespace(home.into()),
        (SubscriptionKind::Cluster, None) => Reach::Cluster(None),
        (SubscriptionKind::Cluster, Some(labels)) => {
            let chosen_by = label_selector(labels);
            let standing = known.standing(Instant::now());
            let Some(names) = known.chosen(&chosen_by) else { return Err(standing) };
            let nothing = "spec.namespaceSelector matches no namespace; nothing is selected in one until it does";
            let remark = names.is_empty().then(|| nothing.to_owned());
            let namespaces = Namespaces { chosen_by, names: Arc::new(names.into_iter().collect()) };
            return Ok(Choice { reach: Reach::Cluster(Some(namespaces)), standing, remark });
        }
    };
    Ok(Choice { reach, standing: Standing::Sound, remark: None })
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

async fn pass(
    context: &Context,
    account: &Account,
    extent: Extent,
    valid: &Valid,
    fresh: bool,
) -> Result<Passed, Standing> {
    let authorizer = match &context.authorization {
        Authorization::ServiceAccount(authorizer) => authorizer,
        Authorization::Operator => return Ok(Passed::default()),
    };
    let Answered { permit, unasked } = authorizer.ask(account, extent, valid, fresh).await;
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
