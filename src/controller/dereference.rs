//! What a checked spec refers to: are its kinds watched, are its Secrets there?
//!
//! Touches watch sources (acquiring them) and Secrets (GET). Invariants: a Secret's content leaves as a hash only; the
//! worst finding decides the standing, what only an edit can heal before what something else can.

use std::hash::{DefaultHasher, Hash, Hasher};

use changehook_core::object::SourceId;

use super::assign::secret_key;
use super::reconcile::Context;
use super::validate::{Valid, ValidHeaderValue};
use crate::api::conditions::Reason;
use crate::delivery::secrets::{SecretError, content_hash};
use crate::status::Standing;
use crate::watch::{SourceHandle, SourceState};

/// What was found.
pub(super) struct References {
    pub handles: Vec<SourceHandle>,
    /// One for each resource.
    pub sources: Vec<SourceId>,
    pub secrets_hash: u64,
    pub standing: Standing,
    /// Nothing may be sent.
    pub held: bool,
    pub remarks: Vec<String>,
}

/// `before` are the sources that the subscription reads from so far.
pub(super) async fn dereference(context: &Context, namespace: &str, valid: &Valid, before: &[SourceId]) -> References {
    let mut found = References {
        handles: Vec::new(),
        sources: Vec::new(),
        secrets_hash: 0,
        standing: Standing::Sound,
        held: false,
        remarks: Vec::new(),
    };
    for resource in &valid.resources {
        let wide = SourceId { gvk: resource.gvk.clone(), namespace: None };
        let (source, state) = acquire(context, wide, namespace, before, &mut found.handles);
        let standing = standing_of(&source, state);
        found.held |= matches!(standing, Standing::Stalled { .. });
        found.standing = worse(std::mem::replace(&mut found.standing, Standing::Sound), standing);
        found.sources.push(source);
    }
    let mut hasher = DefaultHasher::new();
    for wanted in valid.secrets() {
        let key = secret_key(wanted.clone());
        let signs = valid.signing.as_ref() == Some(wanted);
        let heads =
            valid.endpoint.headers.iter().any(|header| header.value == ValidHeaderValue::Secret(wanted.clone()));
        // What no request could carry is found here, not when the first change is to be sent.
        let fit = if heads { context.secrets.header(namespace, &key).await.map(drop) } else { Ok(()) };
        let value = context.secrets.get(namespace, &key).await;
        match fit.and(value) {
            Ok(bytes) => {
                content_hash(&bytes).hash(&mut hasher);
                if signs && bytes.as_bytes().ends_with(b"\n") {
                    found.remarks.push(format!(
                        "Secret {namespace}/{} key {:?} ends with a line break, which is part of the signing key",
                        key.name, key.key
                    ));
                }
            }
            Err(error) => {
                found.held = true;
                let standing = Standing::Waiting { reason: reason_of(&error), message: error.to_string() };
                found.standing = worse(std::mem::replace(&mut found.standing, Standing::Sound), standing);
            }
        }
    }
    found.secrets_hash = hasher.finish();
    found
}

/// The shared watch of the kind; where that is forbidden, one of the namespace alone.
///
/// Both are held while the namespace's own is used: the shared one keeps asking, so that a right granted later is found.
fn acquire(
    context: &Context,
    wide: SourceId,
    namespace: &str,
    before: &[SourceId],
    handles: &mut Vec<SourceHandle>,
) -> (SourceId, SourceState) {
    let state = |id: &SourceId| context.sources.state(id).unwrap_or(SourceState::Starting);
    handles.push(context.sources.acquire(wide.clone()));
    let wide_state = state(&wide);
    let narrow = SourceId { namespace: Some(namespace.to_owned()), ..wide.clone() };
    if !reads_narrowly(&wide_state, before.contains(&narrow)) {
        return (wide, wide_state);
    }
    handles.push(context.sources.acquire(narrow.clone()));
    let narrow_state = state(&narrow);
    (narrow, narrow_state)
}

/// Only a right that is missing leads away from the shared watch, and only that it works leads back. In between nothing
/// moves: an API server that answers now 403 and now 503 must not send a subscription to and fro.
fn reads_narrowly(wide: &SourceState, so_far: bool) -> bool {
    match wide {
        SourceState::Forbidden { .. } => true,
        SourceState::Watching { .. } => false,
        SourceState::Starting
        | SourceState::NotInstalled { .. }
        | SourceState::NotWatchable { .. }
        | SourceState::Stale { .. }
        | SourceState::Unsupported { .. }
        | SourceState::Failing { .. } => so_far,
    }
}

fn standing_of(source: &SourceId, state: SourceState) -> Standing {
    let waiting = |reason, message| Standing::Waiting { reason, message };
    match state {
        SourceState::Watching { namespaced: true, rv: _ } => Standing::Sound,
        SourceState::Watching { namespaced: false, rv: _ } => Standing::Stalled {
            reason: Reason::KindNotSupported,
            message: format!(
                "spec.resources: {} objects do not belong to a namespace, and a WebhookSubscription watches its own \
                 namespace only; remove the entry",
                source.gvk
            ),
        },
        SourceState::Starting => Standing::Progressing { message: format!("reading the list of {source}") },
        SourceState::NotInstalled { message } => waiting(Reason::KindNotInstalled, message),
        SourceState::Forbidden { message } => waiting(Reason::NotAuthorized, message),
        SourceState::Stale { message } => waiting(Reason::SourceStale, message),
        SourceState::Failing { message } => waiting(Reason::WatchFailed, message),
        SourceState::NotWatchable { message } | SourceState::Unsupported { message } => {
            Standing::Stalled { reason: Reason::KindNotSupported, message }
        }
    }
}

fn reason_of(error: &SecretError) -> Reason {
    match error {
        SecretError::SecretNotFound { .. } => Reason::SecretNotFound,
        SecretError::KeyNotFound { .. } => Reason::SecretKeyNotFound,
        SecretError::EmptyValue { .. } | SecretError::TooLarge { .. } | SecretError::NotAHeader { .. } => {
            Reason::SecretInvalid
        }
        SecretError::Forbidden { .. } => Reason::NotAuthorized,
        SecretError::Unavailable { .. } => Reason::Progressing,
    }
}

/// The one that has to be told first; of equals the earlier.
fn worse(a: Standing, b: Standing) -> Standing {
    fn rank(standing: &Standing) -> u8 {
        match standing {
            Standing::Stalled { .. } => 3,
            Standing::Waiting { .. } => 2,
            Standing::Progressing { .. } => 1,
            Standing::Sound => 0,
        }
    }
    if rank(&b) > rank(&a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_right_leads_to_the_namespaces_own_watch_and_only_a_working_shared_one_leads_back() {
        let message = || "m".to_owned();
        let undecided = [
            SourceState::Starting,
            SourceState::NotInstalled { message: message() },
            SourceState::NotWatchable { message: message() },
            SourceState::Stale { message: message() },
            SourceState::Unsupported { message: message() },
            SourceState::Failing { message: message() },
        ];
        for so_far in [false, true] {
            assert!(reads_narrowly(&SourceState::Forbidden { message: message() }, so_far));
            assert!(!reads_narrowly(&SourceState::Watching { namespaced: true, rv: 1 }, so_far));
            assert!(undecided.iter().all(|state| reads_narrowly(state, so_far) == so_far));
        }
    }
}
