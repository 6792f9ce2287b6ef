//! What a checked spec refers to: are its kinds watched, are its Secrets there, and its Service?
//!
//! Touches watch sources (acquiring them), Secrets and Services (GET). Invariants: a Secret's content leaves as a hash only; the
//! worst finding decides the standing, what only an edit can heal before what something else can.

use std::hash::{DefaultHasher, Hash, Hasher};

use changehook_core::object::SourceId;
use futures::future::join_all;

use super::assign::{Reach, secret_key};
use super::feed::Scope;
use super::reconcile::Context;
use super::trust::{Trusted, tls_reason, trust};
use super::validate::{SecretRole, SecretUse, Valid, ValidTarget};
use crate::api::conditions::Reason;
use crate::delivery::secrets::{SecretError, content_hash};
use crate::delivery::services::{ServiceError, Unfit};
use crate::delivery::tls::{Fingerprint, TlsError};
use crate::delivery::url::shown_host;
use crate::status::Standing;
use crate::watch::{SourceHandle, SourceState};

/// What was found.
pub(super) struct References {
    pub handles: Vec<SourceHandle>,
    /// One for each resource.
    pub sources: Vec<SourceId>,
    /// Of everything that was read; `None` if something could not be.
    pub secrets_hash: Option<u64>,
    pub standing: Standing,
    /// Of the TLS settings.
    pub tls_content: Option<Fingerprint>,
    /// One of their certificates expires soon, or has expired.
    pub expiring: bool,
    /// Where requests go, as it may be shown; `None` if that could not be read.
    pub host: Option<String>,
    /// Nothing may be sent.
    pub held: bool,
    pub remarks: Vec<String>,
}

/// `namespace` is that of everything referred to; `before` are the sources that the subscription reads from so far.
pub(super) async fn dereference(
    context: &Context,
    namespace: &str,
    reach: &Reach,
    valid: &Valid,
    before: &[SourceId],
) -> References {
    let mut found = References {
        handles: Vec::new(),
        sources: Vec::new(),
        secrets_hash: None,
        tls_content: None,
        expiring: false,
        host: match &valid.endpoint.target {
            ValidTarget::Url(url) => Some(shown_host(url)),
            ValidTarget::Secret(_) | ValidTarget::Service(_) => None,
        },
        standing: Standing::Sound,
        held: false,
        remarks: Vec::new(),
    };
    for (index, resource) in valid.resources.iter().enumerate() {
        let wide = SourceId { gvk: resource.gvk.clone(), namespace: None };
        let (source, state) = acquire(context, wide, reach, before, &mut found.handles);
        let standing = standing_of(index, &source, state, reach);
        found.held |= matches!(standing, Standing::Stalled { .. });
        found.note(standing);
        found.sources.push(source);
    }
    let uses = valid.secrets();
    // All at once: an API server that does not answer must not hold up a look once for each of them.
    let read = join_all(uses.iter().map(|used| read(context, namespace, used)));
    let trust = trust(context, namespace, valid.endpoint.tls.as_ref());
    let (read, located, trusted) = tokio::join!(read, locate(context, namespace, &valid.endpoint.target), trust);
    let mut hasher = DefaultHasher::new();
    let mut complete = true;
    for (SecretUse { field, key, role }, value) in uses.iter().zip(read) {
        match value {
            Ok(Read { hash, ends_with_line_break, url }) => {
                hash.hash(&mut hasher);
                if let Some((host, https)) = url {
                    found.host = Some(host);
                    if valid.endpoint.tls.is_some() && !https {
                        found.held = true;
                        let error = TlsError::NotHttps;
                        found.note(Standing::Waiting { reason: tls_reason(&error), message: error.to_string() });
                    }
                }
                if ends_with_line_break {
                    found.remarks.push(format!(
                        "Secret {namespace}/{} key {:?} ends with a line break, which is part of the signing key",
                        key.name, key.key
                    ));
                }
            }
            Err(error) => {
                complete = false;
                found.held = true;
                let otherwise = match role {
                    SecretRole::SignsBesides => "; or remove the reference, if every receiver has the present key",
                    SecretRole::Signs | SecretRole::Url | SecretRole::Header => "",
                };
                let message = format!("{field}: {error}{otherwise}");
                found.note(Standing::Waiting { reason: reason_of(&error), message });
            }
        }
    }
    match located {
        None => {}
        Some(Ok((mark, host))) => {
            mark.hash(&mut hasher);
            found.host = Some(host);
        }
        Some(Err(error)) => {
            complete = false;
            found.held = true;
            let (reason, field) = service_reason(&error);
            found.note(Standing::Waiting { reason, message: format!("{field}: {error}") });
        }
    }
    match trusted {
        None => {}
        Some(Ok(Trusted { content, expiring })) => {
            content.hash(&mut hasher);
            found.tls_content = Some(content);
            found.expiring = !expiring.is_empty();
            found.remarks.extend(expiring);
        }
        Some(Err(error)) => {
            complete = false;
            found.held = true;
            found.note(Standing::Waiting { reason: tls_reason(&error), message: error.to_string() });
        }
    }
    found.secrets_hash = complete.then(|| hasher.finish());
    found
}

impl References {
    /// The worst is told, of equals the first.
    fn note(&mut self, standing: Standing) {
        self.standing = worst(self.standing.clone(), standing);
    }
}

/// What is kept of a Secret's value.
struct Read {
    hash: u64,
    ends_with_line_break: bool,
    /// If it is the URL: its host, and whether it is https.
    url: Option<(String, bool)>,
}

async fn read(context: &Context, namespace: &str, used: &SecretUse<'_>) -> Result<Read, SecretError> {
    match read_cached(context, namespace, used).await {
        // whoever adds a key names it right after; what was read before that must not cost a wait
        Err(SecretError::KeyNotFound { .. }) => {
            context.secrets.invalidate(namespace, &used.key.name);
            read_cached(context, namespace, used).await
        }
        other => other,
    }
}

async fn read_cached(context: &Context, namespace: &str, used: &SecretUse<'_>) -> Result<Read, SecretError> {
    let key = secret_key(used.key.clone());
    // What no request could carry is found here, not when the first change is to be sent.
    let (bytes, url) = match used.role {
        SecretRole::Signs | SecretRole::SignsBesides => (context.secrets.get(namespace, &key).await?, None),
        SecretRole::Header => (context.secrets.header(namespace, &key).await?.0, None),
        SecretRole::Url => {
            let (bytes, url) = context.secrets.url(namespace, &key, context.policies.of(namespace)).await?;
            (bytes, Some((shown_host(&url), url.scheme() == "https")))
        }
    };
    let ends_with_line_break =
        matches!(used.role, SecretRole::Signs | SecretRole::SignsBesides) && bytes.as_bytes().ends_with(b"\n");
    Ok(Read { hash: content_hash(&bytes), ends_with_line_break, url })
}

/// What stands for the Service that requests go to, and its host as it may be shown; `None` if they go to none.
async fn locate(
    context: &Context,
    namespace: &str,
    target: &ValidTarget,
) -> Option<Result<(u64, String), ServiceError>> {
    let service = match target {
        ValidTarget::Service(service) => service,
        ValidTarget::Url(_) | ValidTarget::Secret(_) => return None,
    };
    let located =
        context.services.locate(namespace, &service.name, &service.port, context.policies.of(namespace)).await;
    Some(located.map(|located| {
        let host = service.url(namespace, located.port).as_ref().map(shown_host);
        (located.mark, host.unwrap_or_default())
    }))
}

/// The shared watch of the kind; for a namespace, where that is forbidden, or nothing but namespaces is served, one of the
/// namespace alone.
///
/// Both are held while the namespace's own is used: the shared one keeps asking, so that a right granted later is found.
fn acquire(
    context: &Context,
    wide: SourceId,
    reach: &Reach,
    before: &[SourceId],
    handles: &mut Vec<SourceHandle>,
) -> (SourceId, SourceState) {
    let state = |id: &SourceId| context.sources.state(id).unwrap_or(SourceState::Starting);
    let narrow = match reach {
        Reach::Namespace(namespace) => SourceId { namespace: Some(namespace.as_ref().to_owned()), ..wide.clone() },
        Reach::Cluster(_) => {
            handles.push(context.sources.acquire(wide.clone()));
            let state = state(&wide);
            return (wide, state);
        }
    };
    match &context.scope {
        Scope::Cluster => {
            handles.push(context.sources.acquire(wide.clone()));
            let wide_state = state(&wide);
            if !reads_narrowly(&wide_state, before.contains(&narrow)) {
                return (wide, wide_state);
            }
        }
        Scope::Namespaces(_) => {}
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

/// How one entry of `spec.resources` stands.
fn standing_of(index: usize, source: &SourceId, state: SourceState, reach: &Reach) -> Standing {
    let told = |message: &str, remedy: &str| format!("spec.resources[{index}]: {message}{remedy}");
    let waiting = |reason, message: &str, remedy| Standing::Waiting { reason, message: told(message, remedy) };
    let stalled =
        |message: &str, remedy| Standing::Stalled { reason: Reason::KindNotSupported, message: told(message, remedy) };
    match state {
        SourceState::Watching { namespaced: true, rv: _ } => Standing::Sound,
        SourceState::Watching { namespaced: false, rv: _ } => match reach {
            Reach::Cluster(_) => Standing::Sound,
            Reach::Namespace(_) => stalled(
                &format!("{} objects do not belong to a namespace", source.gvk),
                ", and a WebhookSubscription watches its own namespace only; remove the entry, or have an administrator \
                 create a ClusterWebhookSubscription",
            ),
        },
        SourceState::Starting => Standing::Progressing { message: told(&format!("reading the list of {source}"), "") },
        SourceState::NotInstalled { message } => {
            waiting(Reason::KindNotInstalled, &message, "; install the kind, or correct apiVersion and kind")
        }
        SourceState::Forbidden { message } => waiting(Reason::NotAuthorized, &message, ""),
        SourceState::Stale { message } => waiting(Reason::SourceStale, &message, ""),
        SourceState::Failing { message } => waiting(Reason::WatchFailed, &message, "; this is tried again"),
        SourceState::NotWatchable { message } | SourceState::Unsupported { message } => {
            stalled(&message, "; remove the entry")
        }
    }
}

pub(super) fn reason_of(error: &SecretError) -> Reason {
    match error {
        SecretError::SecretNotFound { .. } => Reason::SecretNotFound,
        SecretError::KeyNotFound { .. } => Reason::SecretKeyNotFound,
        SecretError::EmptyValue { .. }
        | SecretError::TooLarge { .. }
        | SecretError::NotAHeader { .. }
        | SecretError::NotAUrl { .. } => Reason::SecretInvalid,
        SecretError::UrlRefused { .. } => Reason::AddressRefused,
        SecretError::Forbidden { .. } => Reason::NotAuthorized,
        SecretError::Unavailable { .. } => Reason::Progressing,
    }
}

/// The reason, and the field that is told: all of them another object can mend.
fn service_reason(error: &ServiceError) -> (Reason, &'static str) {
    const SERVICE: &str = "spec.endpoint.service";
    match error {
        ServiceError::NotFound { .. } => (Reason::ServiceNotFound, "spec.endpoint.service.name"),
        ServiceError::Unfit { why: Unfit::NoPort { .. }, .. } => (Reason::ServiceInvalid, "spec.endpoint.service.port"),
        ServiceError::Unfit { .. } => (Reason::ServiceInvalid, "spec.endpoint.service.name"),
        ServiceError::Refused { .. } => (Reason::AddressRefused, SERVICE),
        ServiceError::Forbidden { .. } => (Reason::NotAuthorized, SERVICE),
        ServiceError::Unavailable { .. } => (Reason::Progressing, SERVICE),
    }
}

/// The worse of the two, and if none is worse the first.
pub(super) fn worst(first: Standing, second: Standing) -> Standing {
    if rank(&second) > rank(&first) { second } else { first }
}

/// What only an edit can heal is told before what something else can.
fn rank(standing: &Standing) -> u8 {
    match standing {
        Standing::Stalled { .. } => 3,
        Standing::Waiting { .. } => 2,
        Standing::Progressing { .. } => 1,
        Standing::Sound => 0,
    }
}

#[cfg(test)]
mod tests {
    use changehook_core::object::Gvk;

    use super::*;

    fn all() -> [SourceState; 8] {
        let message = || "m".to_owned();
        [
            SourceState::Starting,
            SourceState::NotInstalled { message: message() },
            SourceState::NotWatchable { message: message() },
            SourceState::Stale { message: message() },
            SourceState::Unsupported { message: message() },
            SourceState::Failing { message: message() },
            SourceState::Forbidden { message: message() },
            SourceState::Watching { namespaced: true, rv: 1 },
        ]
    }

    #[test]
    fn only_a_missing_right_leads_to_the_namespaces_own_watch_and_only_a_working_shared_one_leads_back() {
        for so_far in [false, true] {
            let narrowly = all().map(|state| reads_narrowly(&state, so_far));
            assert_eq!(narrowly, [so_far, so_far, so_far, so_far, so_far, so_far, true, false]);
        }
    }

    #[test]
    fn each_state_of_a_watch_is_told_with_its_entry_and_waits_unless_only_an_edit_helps() {
        let source = SourceId { gvk: Gvk::new("v1", "Node"), namespace: None };
        let own = Reach::Namespace("shop".into());
        let told = all().map(|state| match standing_of(2, &source, state, &own) {
            Standing::Sound => ("Sound", None, String::new()),
            Standing::Progressing { message } => ("Progressing", None, message),
            Standing::Waiting { reason, message } => ("Waiting", Some(reason), message),
            Standing::Stalled { reason, message } => ("Stalled", Some(reason), message),
        });
        let short: Vec<_> = told.iter().map(|(standing, reason, _)| (*standing, *reason)).collect();
        assert_eq!(
            short,
            [
                ("Progressing", None),
                ("Waiting", Some(Reason::KindNotInstalled)),
                ("Stalled", Some(Reason::KindNotSupported)),
                ("Waiting", Some(Reason::SourceStale)),
                ("Stalled", Some(Reason::KindNotSupported)),
                ("Waiting", Some(Reason::WatchFailed)),
                ("Waiting", Some(Reason::NotAuthorized)),
                ("Sound", None),
            ]
        );
        assert!(told[..7].iter().all(|(_, _, message)| message.starts_with("spec.resources[2]: ")), "{told:?}");
        let of_the_cluster = || SourceState::Watching { namespaced: false, rv: 1 };
        assert_eq!(standing_of(0, &source, of_the_cluster(), &Reach::Cluster(None)), Standing::Sound);
        let cluster = standing_of(0, &source, of_the_cluster(), &own);
        let Standing::Stalled { reason: Reason::KindNotSupported, message } = cluster else { panic!("{cluster:?}") };
        assert!(message.contains("v1 Node objects do not belong to a namespace"), "{message}");
    }

    #[test]
    fn the_worst_is_told_and_of_equals_the_first() {
        let mut found = References {
            handles: Vec::new(),
            sources: Vec::new(),
            secrets_hash: None,
            tls_content: None,
            expiring: false,
            host: None,
            standing: Standing::Sound,
            held: false,
            remarks: Vec::new(),
        };
        let waiting = |message: &str| Standing::Waiting { reason: Reason::SecretNotFound, message: message.to_owned() };
        let stalled = Standing::Stalled { reason: Reason::KindNotSupported, message: "stalled".to_owned() };
        found.note(waiting("first"));
        found.note(Standing::Progressing { message: "progressing".to_owned() });
        found.note(waiting("second"));
        assert_eq!(found.standing, waiting("first"));
        found.note(stalled.clone());
        found.note(waiting("third"));
        assert_eq!(found.standing, stalled);
    }
}
