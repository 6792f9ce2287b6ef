//! The Lease object at the API server.
//!
//! Touches one Lease, by get, create and update. Invariants: every request has a deadline, after which its outcome is
//! unknown; an update carries the resourceVersion of what was read, so that it changes nothing that somebody else wrote
//! meanwhile; nothing of the object but our fields of the spec is changed.

use std::time::Duration;

use changehook_core::lease::Record;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::timeout;

use crate::runtime::connect;

/// The Lease's name.
pub const NAME: &str = "changehook";

/// Why the Lease could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Somebody wrote it since it was read, or deleted it.
    #[error("failed to write the Lease: it was changed meanwhile")]
    Conflict,
    /// A rule is missing.
    #[error(
        "failed to {verb} the Lease {NAME}: {reason}. The operator's Role in the namespace {namespace} needs \
         {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}} and \
         {{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [{NAME}], verbs: [get, update]}}"
    )]
    Forbidden {
        /// What was tried.
        verb: &'static str,
        /// The operator's own.
        namespace: String,
        /// What the API server said.
        reason: String,
    },
    /// Whether it was done is not known.
    #[error("failed to {verb} the Lease {NAME}: no answer within {} s", after.as_secs_f32())]
    NoAnswer {
        /// What was tried.
        verb: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// Anything else; whether it was done is not known.
    #[error("failed to {verb} the Lease {NAME}: {reason}")]
    Other {
        /// What was tried.
        verb: &'static str,
        /// What went wrong.
        reason: String,
    },
}

/// Who holds the Lease from a write on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<'a> {
    /// This replica, with others waiting for it for so long.
    Us(&'a str, Duration),
    /// Nobody.
    Nobody,
}

/// The way to the Lease.
#[derive(Clone, Debug)]
pub struct Remote {
    api: Api<Object>,
    namespace: String,
    deadline: Duration,
}

impl Remote {
    /// The Lease of a namespace; no request takes longer than `deadline`.
    pub fn new(client: Client, namespace: &str, deadline: Duration) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned(), deadline }
    }

    /// The Lease as it is, read from the quorum; `None` if there is none.
    pub async fn get(&self) -> Result<Option<Object>, RemoteError> {
        self.asked("get", self.api.get_opt(NAME)).await
    }

    /// Writes the holder over what was read, or creates the Lease.
    pub async fn write(&self, read: Option<Object>, holder: Holder<'_>, wall_ms: i64) -> Result<Object, RemoteError> {
        let exists = read.is_some();
        let object = written(read, holder, wall_ms);
        let params = PostParams::default();
        if exists {
            self.asked("update", self.api.replace(NAME, &params, &object)).await
        } else {
            self.asked("create", self.api.create(&params, &object)).await
        }
    }

    async fn asked<T>(
        &self,
        verb: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, RemoteError> {
        let answer = timeout(self.deadline, request).await;
        let error = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => return Err(RemoteError::NoAnswer { verb, after: self.deadline }),
        };
        let reason = connect::reason(&error);
        Err(match error {
            kube::Error::Api(status) if status.code == 409 => RemoteError::Conflict,
            // a namespace that is missing answers a create so, which is no conflict
            kube::Error::Api(status) if status.code == 404 && verb == "update" => RemoteError::Conflict,
            kube::Error::Api(status) if status.code == 403 => {
                RemoteError::Forbidden { verb, namespace: self.namespace.clone(), reason }
            }
            _ => RemoteError::Other { verb, reason },
        })
    }
}

/// What core needs to know of a Lease.
pub fn record(object: &Object) -> Record {
    let spec = object.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: seconds.map(Duration::from_secs),
        renewed: spec.renew_time.map(|time| time.0.as_microsecond()),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}

fn written(read: Option<Object>, holder: Holder<'_>, wall_ms: i64) -> Object {
    let mut object = read.unwrap_or_else(|| Object {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        spec: None,
    });
    let spec = object.spec.get_or_insert_default();
    // jiff's range is the years -9999 to 9999
    let now = MicroTime(Timestamp::from_millisecond(wall_ms).unwrap_or_default());
    spec.renew_time = Some(now.clone());
    match holder {
        Holder::Us(name, duration) => {
            if spec.holder_identity.as_deref() != Some(name) {
                take(spec, name, now);
            }
            spec.lease_duration_seconds = Some(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
        }
        Holder::Nobody => {
            spec.holder_identity = Some(String::new());
            // nobody is to wait, not even who looks at nothing but the time; 0 is not allowed
            spec.lease_duration_seconds = Some(1);
        }
    }
    object
}

fn take(spec: &mut LeaseSpec, name: &str, now: MicroTime) {
    // the first holder is no transition
    let before = spec.holder_identity.replace(name.to_owned());
    spec.lease_transitions = Some(match (before, spec.lease_transitions) {
        (None, None) => 0,
        (_, transitions) => transitions.unwrap_or_default().saturating_add(1),
    });
    spec.acquire_time = Some(now);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(15);

    #[test]
    fn a_lease_is_created_taken_renewed_and_set_free_in_our_fields_only() {
        let created = written(None, Holder::Us("a", LASTS), 1000);
        assert_eq!(created.metadata.name.as_deref(), Some("changehook"));
        let mut found = created.clone();
        found.metadata.resource_version = Some("7".to_owned());
        found.metadata.labels = Some([("team".to_owned(), "shop".to_owned())].into());
        let renewed = written(Some(found), Holder::Us("a", LASTS), 3000);
        assert_eq!(renewed.metadata.resource_version.as_deref(), Some("7"));
        assert!(renewed.metadata.labels.is_some());
        let (first, second) = (created.spec.as_ref().unwrap(), renewed.spec.as_ref().unwrap());
        assert_eq!(second.acquire_time, first.acquire_time);
        assert_ne!(second.renew_time, first.renew_time);
        assert_eq!((first.lease_transitions, second.lease_transitions), (Some(0), Some(0)));
        assert_eq!(second.lease_duration_seconds, Some(15));

        let free = written(Some(renewed), Holder::Nobody, 4000);
        assert_eq!(record(&free).holder, "");
        assert_eq!(record(&free).duration, Some(Duration::from_secs(1)));
        let taken = written(Some(free), Holder::Us("b", LASTS), 5000);
        let expected =
            Record { holder: "b".to_owned(), duration: Some(LASTS), renewed: Some(5_000_000), transitions: 1 };
        assert_eq!(record(&taken), expected);
        assert_eq!(taken.spec.unwrap().acquire_time.unwrap().0.as_millisecond(), 5000);
    }

    #[test]
    fn a_lease_without_anything_in_it_is_free() {
        let empty = record(&Object::default());
        assert_eq!(empty, Record { holder: String::new(), duration: None, renewed: None, transitions: 0 });
    }
}
