//! Services, read for each request through a small cache: where one is, and whether it may be sent to.
//!
//! Touches the API server, with GET of single Services only. Invariants: an address is never older than 5 s when it is
//! handed out; it is a ClusterIP of a Service in the namespace that was asked for, whose endpoints the cluster picks by
//! that Service's own selector, and the address policy has passed it.

mod fit;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use changehook_core::address::AddressPolicy;
use futures::FutureExt;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use tokio::sync::Semaphore;

pub use self::fit::Unfit;
use self::fit::fit;
use super::cache::{Cache, ObjectName, ReadError};
use super::endpoint::ServicePort;

/// For one GET, waiting for its turn included. The client itself has no deadline.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// GETs under way at once.
const READS: usize = 16;

/// Why a Service cannot be sent to. Each names it and, where a person can do something, what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// There is no such Service.
    #[error("Service {namespace}/{name} not found; create it and delivery starts by itself")]
    NotFound {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// It is there, and of no use.
    #[error("Service {namespace}/{name} {why}")]
    Unfit {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        why: Unfit,
    },
    /// Its ClusterIP may not be dialled.
    #[error("Service {namespace}/{name} has a ClusterIP that may not be used: {why}")]
    Refused {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why; shows the address.
        why: String,
    },
    /// The API server does not let us read it.
    #[error(
        "not allowed to read Service {namespace}/{name}; grant changehook's service account the verb get on services in \
         namespace {namespace}"
    )]
    Forbidden {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// It could not be read now.
    #[error("failed to read Service {namespace}/{name}: {why}; this is tried again")]
    Unavailable {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What happened.
        why: &'static str,
    },
}

impl ReadError for ServiceError {
    fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Where a Service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its ClusterIP.
    pub address: IpAddr,
    /// The port's number.
    pub port: u16,
    /// Another one when something of the Service changed that decides who gets the requests.
    pub mark: u64,
}

/// Reads Services; clones share one cache.
#[derive(Clone)]
pub struct Services {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    permits: Arc<Semaphore>,
    cache: Mutex<Cache<ObjectName, Service, ServiceError>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services(…)")
    }
}

impl Services {
    /// Reads through `client`, whose own retry is expected to be off.
    pub fn new(client: Client) -> Self {
        let permits = Arc::new(Semaphore::new(READS));
        Self { inner: Arc::new(Inner { client, permits, cache: Mutex::default() }) }
    }

    /// Where the Service's port is, if `policy` lets requests go there.
    pub async fn locate(
        &self,
        namespace: &str,
        service: &str,
        port: &ServicePort,
        policy: &AddressPolicy,
    ) -> Result<Located, ServiceError> {
        let name = ObjectName { namespace: namespace.to_owned(), name: service.to_owned() };
        if !name.is_possible() {
            // Nothing can have that name, and it must not become a path on the API server.
            return Err(name.no_service());
        }
        let read = {
            let mut cache = self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.read(&name, Instant::now(), || {
                let (client, permits) = (self.inner.client.clone(), Arc::clone(&self.inner.permits));
                in_time(client, permits, name.clone()).boxed()
            })
        };
        let service = read.await?;
        let (namespace, name) = (name.namespace, name.name);
        let (address, port) = match fit(&service, port) {
            Ok(found) => found,
            Err(why) => return Err(ServiceError::Unfit { namespace, name, why }),
        };
        if let Err(refused) = policy.check_service(address) {
            return Err(ServiceError::Refused { namespace, name, why: refused.to_string() });
        }
        Ok(Located { address, port, mark: mark(&service, address, port) })
    }
}

/// What decides who gets the requests.
fn mark(service: &Service, address: IpAddr, port: u16) -> u64 {
    let mut hasher = DefaultHasher::new();
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    (&service.metadata.uid, selector, address, port).hash(&mut hasher);
    hasher.finish()
}

/// One GET, or the news that it took too long.
async fn in_time(client: Client, permits: Arc<Semaphore>, name: ObjectName) -> Result<Arc<Service>, ServiceError> {
    let read = async {
        let _permit = permits.acquire().await;
        Api::<Service>::namespaced(client, &name.namespace).get(&name.name).await
    };
    match tokio::time::timeout(READ_TIMEOUT, read).await {
        Ok(Ok(service)) => Ok(Arc::new(service)),
        Ok(Err(error)) => Err(failed(&name, &error)),
        Err(_elapsed) => Err(name.unread("the API server did not answer in time")),
    }
}

/// The status of an answer is looked at by its code: the reason is missing in plain-text answers.
fn failed(name: &ObjectName, error: &kube::Error) -> ServiceError {
    match error {
        kube::Error::Api(status) => match status.code {
            404 => name.no_service(),
            403 => ServiceError::Forbidden { namespace: name.namespace.clone(), name: name.name.clone() },
            401 => name.unread("the API server does not accept changehook's credentials"),
            429 => name.unread("the API server is overloaded"),
            _ => name.unread("the API server answered with an error"),
        },
        _ => name.unread("the API server could not be reached"),
    }
}

impl ObjectName {
    fn no_service(&self) -> ServiceError {
        ServiceError::NotFound { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    fn unread(&self, why: &'static str) -> ServiceError {
        ServiceError::Unavailable { namespace: self.namespace.clone(), name: self.name.clone(), why }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{RawServer, kube_client};
    use super::*;

    /// An API server that answers everything with this.
    async fn api(status: u16, body: &Value) -> RawServer {
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        let answer = format!("{head}\r\n\r\n{body}");
        RawServer::start(move |mut peer| {
            let answer = answer.clone();
            async move { while peer.request().await.is_some() && peer.send(&answer).await.is_ok() {} }
        })
        .await
    }

    fn service(address: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "receiver", "uid": "u"},
            "spec": {"clusterIP": address, "selector": {"app": "a"}, "ports": [{"port": 80}]}})
    }

    async fn located(address: &str) -> Result<Located, ServiceError> {
        let server = api(200, &service(address)).await;
        let services = Services::new(kube_client(server.address));
        let policy = AddressPolicy { deny: vec!["10.96.0.1".parse().unwrap()], ..AddressPolicy::default() };
        let found = services.locate("shop", "receiver", &ServicePort::Number(80), &policy).await;
        assert_eq!(server.requests()[0].path(), "/api/v1/namespaces/shop/services/receiver");
        found
    }

    #[tokio::test]
    async fn a_private_address_is_used_without_leave_and_a_forbidden_one_is_not() {
        for private in ["10.96.0.10", "192.168.1.7", "fd12::7"] {
            let found = located(private).await.unwrap();
            assert_eq!((found.address, found.port), (private.parse().unwrap(), 80));
        }
        for forbidden in ["127.0.0.1", "169.254.169.254", "10.96.0.1"] {
            let error = located(forbidden).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, ServiceError::Refused { .. }) && text.contains(forbidden), "{text}");
        }
    }

    #[tokio::test]
    async fn what_the_api_server_refuses_is_told_from_what_it_cannot_do_now() {
        let of = async |status: u16| {
            let server = api(status, &json!({"kind": "Status", "code": status, "message": "no"})).await;
            let services = Services::new(kube_client(server.address));
            let policy = AddressPolicy::default();
            services.locate("shop", "receiver", &ServicePort::Number(80), &policy).await.unwrap_err()
        };
        assert!(matches!(of(404).await, ServiceError::NotFound { .. }));
        assert!(matches!(of(403).await, ServiceError::Forbidden { .. }));
        for status in [401, 429, 500, 503] {
            assert!(matches!(of(status).await, ServiceError::Unavailable { .. }), "{status}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_a_name_does_not_become_a_path() {
        let server = api(200, &service("10.96.0.10")).await;
        let services = Services::new(kube_client(server.address));
        for name in ["../secrets/a", "a/b", "", "A"] {
            let found = services.locate("shop", name, &ServicePort::Number(80), &AddressPolicy::default()).await;
            assert!(matches!(found, Err(ServiceError::NotFound { .. })), "{name}");
        }
        assert!(server.requests().is_empty());
    }

    #[test]
    fn another_uid_selector_address_or_port_is_another_mark() {
        let of = |change: &dyn Fn(&mut Value), address: &str, port| {
            let mut object = service("10.96.0.10");
            change(&mut object);
            mark(&serde_json::from_value(object).unwrap(), address.parse().unwrap(), port)
        };
        let same = |_: &mut Value| {};
        let first = of(&same, "10.96.0.10", 80);
        assert_eq!(of(&|object| object["metadata"]["labels"] = json!({"a": "b"}), "10.96.0.10", 80), first);
        for other in [
            of(&|object| object["metadata"]["uid"] = "v".into(), "10.96.0.10", 80),
            of(&|object| object["spec"]["selector"]["app"] = "b".into(), "10.96.0.10", 80),
            of(&same, "10.96.0.11", 80),
            of(&same, "10.96.0.10", 81),
        ] {
            assert_ne!(other, first);
        }
    }
}
