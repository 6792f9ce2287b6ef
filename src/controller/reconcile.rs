//! One look at one subscription, as a table of contents.
//!
//! Touches what its steps touch. Invariant: every way out is a [`Look`].

use std::sync::Arc;

use changehook_core::address::AddressPolicy;
use changehook_core::object::SourceId;
use changehook_core::plan::SubscriptionId;
use kube::ResourceExt;

use super::assign::assign;
use super::dereference::{References, dereference};
use super::validate::{Problem, validate};
use crate::api::WebhookSubscription;
use crate::api::conditions::Reason;
use crate::delivery::driver::Assignment;
use crate::delivery::secrets::Secrets;
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
    /// Which URLs and addresses are allowed.
    pub policy: Arc<AddressPolicy>,
}

/// What came of a look.
pub(super) struct Look {
    /// What the status says.
    pub verdict: Verdict,
    /// What the driver is to do; `None` keeps what it has, but sends nothing.
    pub assignment: Option<Assignment>,
    /// The sources it reads from, kept alive for as long as these are.
    pub handles: Vec<SourceHandle>,
    /// It will not heal by an event we hear of, so look again.
    pub again: bool,
}

/// `before` are the sources that the subscription reads from so far.
pub(super) async fn look(context: &Context, subscription: &WebhookSubscription, before: &[SourceId]) -> Look {
    let verdict = |standing, host, remarks| Verdict {
        subscription: id(subscription),
        namespace: subscription.namespace().unwrap_or_default(),
        name: subscription.name_any(),
        generation: subscription.metadata.generation.unwrap_or_default(),
        before: subscription.status.clone().unwrap_or_default(),
        standing,
        suspended: subscription.spec.suspend,
        host,
        remarks,
    };
    let check_url = |url: &str| context.policy.check_url(url).map_err(|error| error.to_string());
    let valid = match validate(subscription, check_url) {
        Ok(valid) => valid,
        Err(problems) => {
            let verdict = verdict(stalled(&problems), None, Vec::new());
            return Look { verdict, assignment: None, handles: Vec::new(), again: false };
        }
    };
    let namespace = subscription.namespace().unwrap_or_default();
    let References { handles, sources, secrets_hash, standing, held, remarks } =
        dereference(context, &namespace, &valid, before).await;
    let again = matches!(standing, Standing::Waiting { .. });
    let assignment = assign(subscription, &namespace, valid, sources, secrets_hash, held);
    let host = Some(assignment.endpoint.shown_host());
    Look { verdict: verdict(standing, host, remarks), assignment: Some(assignment), handles, again }
}

/// The subscription's identity; the API server sets a uid on everything it serves.
pub(super) fn id(subscription: &WebhookSubscription) -> SubscriptionId {
    SubscriptionId { uid: subscription.metadata.uid.as_deref().unwrap_or_default().into() }
}

fn stalled(problems: &[Problem]) -> Standing {
    let reason = problems.first().map_or(Reason::InvalidSpec, |problem| problem.reason);
    let mut texts: Vec<String> = problems.iter().take(PROBLEMS).map(ToString::to_string).collect();
    if problems.len() > PROBLEMS {
        texts.push(format!("and {} more", problems.len() - PROBLEMS));
    }
    Standing::Stalled { reason, message: texts.join("; ") }
}
