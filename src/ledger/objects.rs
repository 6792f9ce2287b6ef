//! DeliveryLedger objects, one API call each.
//!
//! Touches the API server. Invariants: every call has a deadline; what an answer means is decided here, and an outcome that
//! nobody knows is told as such.

use std::time::Duration;

use changehook_core::ledger::codec::FORMAT;
use changehook_core::ledger::keeper::Name;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client, Error};
use tokio::time::timeout;

use crate::api::ledger::LedgerRole;
use crate::api::{DeliveryLedger, DeliveryLedgerSpec};
use crate::chain::chain;

/// For one call that reads or writes one object.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For one page of a list.
const LIST_TIMEOUT: Duration = Duration::from_mins(1);
/// Objects a page.
const PAGE: u32 = 100;
/// What an object takes beside its blob: names, versions, managedFields.
const OVERHEAD: u64 = 700;

/// One object that was read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// metadata.uid
    pub uid: String,
    /// metadata.resourceVersion
    pub version: String,
    /// The blob.
    pub bytes: Vec<u8>,
}

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// Its version or its name is taken: nothing was written.
    #[error("the API server answered 409")]
    Conflict,
    /// It is not taken in this form, however often it is tried; for people.
    #[error("{0}")]
    Refused(String),
    /// Nothing was written, or nobody knows; for people.
    #[error("{0}")]
    Unknown(String),
}

/// The ledger's objects.
#[derive(Clone)]
pub(super) struct Objects {
    client: Client,
    api: Api<DeliveryLedger>,
    namespace: String,
}

impl Objects {
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client.clone(), namespace), client, namespace: namespace.to_owned() }
    }

    /// What tells this cluster from another.
    pub async fn cluster(&self) -> Result<String, CallError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let system = within(TIMEOUT, "get namespaces", namespaces.get_metadata("kube-system")).await?;
        system.metadata.uid.ok_or_else(|| CallError::Unknown("the Namespace kube-system has no uid".to_owned()))
    }

    pub async fn get(&self, name: Name) -> Result<Read, CallError> {
        within(TIMEOUT, "get", self.api.get(&name.to_string())).await.map(read)
    }

    pub async fn create(&self, name: Name, bytes: &[u8]) -> Result<Read, CallError> {
        let object = object(name, bytes, ObjectMeta::default());
        within(TIMEOUT, "create", self.api.create(&PostParams::default(), &object)).await.map(read)
    }

    /// Overwrites, if it is still this version of this object.
    pub async fn replace(&self, name: Name, bytes: &[u8], before: &Read) -> Result<Read, CallError> {
        let meta = ObjectMeta {
            resource_version: Some(before.version.clone()),
            uid: Some(before.uid.clone()),
            ..ObjectMeta::default()
        };
        let object = object(name, bytes, meta);
        within(TIMEOUT, "update", self.api.replace(&name.to_string(), &PostParams::default(), &object)).await.map(read)
    }

    /// Deletes what may be gone already.
    pub async fn delete(&self, name: Name) -> Result<(), CallError> {
        match within(TIMEOUT, "delete", self.api.delete(&name.to_string(), &DeleteParams::default())).await {
            Ok(_) | Err(CallError::NotFound) => Ok(()),
            Err(error @ (CallError::Conflict | CallError::Refused(_) | CallError::Unknown(_))) => Err(error),
        }
    }

    /// The names of all objects.
    pub async fn names(&self) -> Result<Vec<Name>, CallError> {
        let mut names = Vec::new();
        let mut params = ListParams::default().limit(5 * PAGE);
        loop {
            let page = within(LIST_TIMEOUT, "list", self.api.list_metadata(&params)).await?;
            names.extend(page.items.iter().filter_map(|object| Name::parse(object.metadata.name.as_deref()?)));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(names),
            }
        }
    }

    /// All objects, a page at a time.
    pub async fn each(&self, mut take: impl FnMut(Name, Vec<u8>) + Send) -> Result<(), CallError> {
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = within(LIST_TIMEOUT, "list", self.api.list(&params)).await?;
            for object in page.items {
                if let Some(name) = object.metadata.name.as_deref().and_then(Name::parse) {
                    take(name, object.spec.data.0);
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// Where the objects are, for people.
    pub fn place(&self) -> &str {
        &self.namespace
    }
}

/// What a blob takes once it is stored.
pub(super) fn stored_size(bytes: &[u8]) -> u64 {
    (bytes.len().div_ceil(3) * 4) as u64 + OVERHEAD
}

fn object(name: Name, bytes: &[u8], meta: ObjectMeta) -> DeliveryLedger {
    let role = match name {
        Name::Head => LedgerRole::Head,
        Name::Segment(_) => LedgerRole::Segment,
        Name::Directory(_) | Name::Index { .. } => LedgerRole::Index,
        Name::Shard { .. } => LedgerRole::Shard,
    };
    let spec = DeliveryLedgerSpec { role, format: FORMAT as i32, data: ByteString(bytes.to_vec()) };
    DeliveryLedger { metadata: ObjectMeta { name: Some(name.to_string()), ..meta }, spec }
}

fn read(object: DeliveryLedger) -> Read {
    let ObjectMeta { uid, resource_version, .. } = object.metadata;
    Read { uid: uid.unwrap_or_default(), version: resource_version.unwrap_or_default(), bytes: object.spec.data.0 }
}

async fn within<T>(
    deadline: Duration,
    verb: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, CallError> {
    match timeout(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Api(status))) if status.code == 404 => Err(CallError::NotFound),
        Ok(Err(Error::Api(status))) if status.code == 409 => Err(CallError::Conflict),
        Ok(Err(Error::Api(status))) => {
            let answer = format!("{verb}: the API server answered {}: {}", status.code, status.message);
            // Too large, or against a schema or a policy.
            let refused = matches!((verb, status.code), ("create" | "update", 413 | 422));
            Err(if refused { CallError::Refused(answer) } else { CallError::Unknown(answer) })
        }
        Ok(Err(error)) => Err(CallError::Unknown(format!("{verb}: {}", chain(&error)))),
        Err(_) => Err(CallError::Unknown(format!("{verb}: no answer within {} s", deadline.as_secs()))),
    }
}
