//! ConfigMaps, read for each request through a small cache: where certificate authorities may be.
//!
//! Touches the API server, with GET of single ConfigMaps only. Invariant: a value is never older than 5 s when it is handed
//! out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tokio::sync::Semaphore;

use super::cache::{Cache, ObjectName, ReadError};
use super::endpoint::SecretKey;

/// For one GET, waiting for its turn included. The client itself has no deadline.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// GETs under way at once.
const READS: usize = 16;

/// Why a ConfigMap's value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such ConfigMap.
    #[error("ConfigMap {0} not found; create it and delivery starts by itself")]
    NotFound(String),
    /// It has no such key, or an empty value.
    #[error("ConfigMap {0} has nothing under the key {1:?}; add it and delivery starts by itself")]
    KeyNotFound(String, String),
    /// The API server does not let us read it.
    #[error("not allowed to read ConfigMap {0}; grant changehook's service account the verb get on configmaps there")]
    Forbidden(String),
    /// It could not be read now.
    #[error("failed to read ConfigMap {0}: {1}; this is tried again")]
    Unavailable(String, &'static str),
}

impl ReadError for ConfigError {
    fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unavailable(..))
    }
}

/// Reads ConfigMaps; clones share one cache.
#[derive(Clone)]
pub struct Configs {
    client: Client,
    permits: Arc<Semaphore>,
    cache: Arc<Mutex<Cache<ObjectName, ConfigMap, ConfigError>>>,
}

impl fmt::Debug for Configs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configs(…)")
    }
}

impl Configs {
    /// Reads through `client`, whose own retry is expected to be off.
    pub fn new(client: Client) -> Self {
        Self { client, permits: Arc::new(Semaphore::new(READS)), cache: Arc::default() }
    }

    /// The text under `key`.
    pub async fn get(&self, namespace: &str, key: &SecretKey) -> Result<String, ConfigError> {
        let name = ObjectName { namespace: namespace.to_owned(), name: key.name.clone() };
        let shown = format!("{namespace}/{}", key.name);
        if !name.is_possible() {
            // Nothing can have that name, and it must not become a path on the API server.
            return Err(ConfigError::NotFound(shown));
        }
        let read = {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.read(&name, Instant::now(), || {
                in_time(self.client.clone(), Arc::clone(&self.permits), name.clone()).boxed()
            })
        };
        let value = read.await?.data.as_ref().and_then(|data| data.get(&key.key)).cloned();
        value.filter(|text| !text.is_empty()).ok_or_else(|| ConfigError::KeyNotFound(shown, key.key.clone()))
    }
}

async fn in_time(client: Client, permits: Arc<Semaphore>, name: ObjectName) -> Result<Arc<ConfigMap>, ConfigError> {
    let shown = format!("{}/{}", name.namespace, name.name);
    let read = async {
        let _permit = permits.acquire().await;
        Api::<ConfigMap>::namespaced(client, &name.namespace).get(&name.name).await
    };
    match tokio::time::timeout(READ_TIMEOUT, read).await {
        Ok(Ok(config)) => Ok(Arc::new(config)),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            404 => ConfigError::NotFound(shown),
            403 => ConfigError::Forbidden(shown),
            _ => ConfigError::Unavailable(shown, "the API server answered with an error"),
        }),
        Ok(Err(_)) => Err(ConfigError::Unavailable(shown, "the API server could not be reached")),
        Err(_elapsed) => Err(ConfigError::Unavailable(shown, "the API server did not answer in time")),
    }
}
