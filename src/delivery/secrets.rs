//! Secrets, read for each request through a small cache.
//!
//! Touches the API server, with GET of single Secrets only: no list, no watch, so that the operator needs no more than
//! `get`. Invariants: a value is never older than 5 s when it is handed out; readers of one Secret share
//! one request; no value reaches a log, an error or a `Debug`, which is why nothing here decodes with a type that could
//! fail and be logged with its input; values are wiped when dropped.

mod content;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use changehook_core::address::AddressPolicy;
use futures::{AsyncReadExt, FutureExt};
use http::HeaderValue;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::core::Request;
use kube::core::Resource as _;
use kube::core::params::GetParams;
use tokio::sync::Semaphore;
use url::Url;
use zeroize::Zeroizing;

use self::content::{Contents, Value};
pub use self::content::{SecretBytes, content_hash};
use super::cache::{Cache, ObjectName, ReadError};
use super::endpoint::SecretKey;
use super::url::written;

/// For one GET, waiting for its turn included. The client itself has no deadline.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// GETs under way at once.
const READS: usize = 16;

/// An answer above this is not read to its end. A Secret holds at most 1 MiB, a third more as base64.
const MAX_ANSWER: usize = 4 << 20;

/// Why a Secret's value cannot be had. Each names what is missing and, where a person can do something, what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is no such Secret.
    #[error("Secret {namespace}/{name} not found; create it and delivery starts by itself")]
    SecretNotFound {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The Secret has no such key.
    #[error("Secret {namespace}/{name} has no key {key:?}; add it and delivery starts by itself")]
    KeyNotFound {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The key has an empty value, which would sign nothing.
    #[error("Secret {namespace}/{name} has an empty value for key {key:?}; give it one and delivery starts by itself")]
    EmptyValue {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The value is larger than any key or header has reason to be.
    #[error("Secret {namespace}/{name} has more than 64 KiB for key {key:?}")]
    TooLarge {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The value cannot be a header's.
    #[error("Secret {namespace}/{name} has a value for key {key:?} that cannot be an HTTP header: {why}")]
    NotAHeader {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The value cannot be an endpoint's URL. Nothing of it is shown.
    #[error(
        "Secret {namespace}/{name} has a value for key {key:?} that cannot be an endpoint's URL: it {why}; correct the \
         Secret and delivery starts by itself"
    )]
    NotAUrl {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
        /// What it has to be.
        why: &'static str,
    },
    /// The value is a URL that the address policy refuses.
    #[error("Secret {namespace}/{name} has a URL for key {key:?} that may not be used: {why}")]
    UrlRefused {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
        /// What is wrong with it; shows an address at most.
        why: String,
    },
    /// The API server does not let us read it.
    #[error(
        "not allowed to read Secret {namespace}/{name}; grant changehook's service account the verb get on secrets in \
         namespace {namespace}"
    )]
    Forbidden {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// It could not be read now.
    #[error("failed to read Secret {namespace}/{name}: {why}; this is tried again")]
    Unavailable {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What happened.
        why: &'static str,
    },
}

/// Reads Secrets; clones share one cache.
#[derive(Clone)]
pub struct Secrets {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    timeout: Duration,
    permits: Arc<Semaphore>,
    cache: Mutex<Cache<ObjectName, Contents, SecretError>>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Reads through `client`, whose own retry is expected to be off.
    pub fn new(client: Client) -> Self {
        Self::with(client, READ_TIMEOUT, Instant::now)
    }

    /// The same, with another timeout for one read and another monotonic clock for the cache.
    fn with(client: Client, timeout: Duration, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                timeout,
                permits: Arc::new(Semaphore::new(READS)),
                cache: Mutex::default(),
                clock: Box::new(clock),
            }),
        }
    }

    /// The bytes under `key`, as they are: a trailing newline belongs to them.
    pub async fn get(&self, namespace: &str, key: &SecretKey) -> Result<SecretBytes, SecretError> {
        let name = ObjectName { namespace: namespace.to_owned(), name: key.name.clone() };
        if !name.is_possible() {
            // Nothing can have that name, and it must not become a path on the API server.
            return Err(name.not_found());
        }
        let contents = {
            let mut cache = self.lock();
            let now = (self.inner.clock)();
            cache.read(&name, now, || {
                let (client, permits) = (self.inner.client.clone(), self.inner.permits.clone());
                in_time(self.inner.timeout, client, permits, name.clone()).boxed()
            })
        }
        .await?;
        match contents.get(&key.key) {
            Some(Value::Bytes(bytes)) => Ok(bytes.clone()),
            Some(Value::Empty) => Err(name.empty(&key.key)),
            Some(Value::TooLarge) => Err(name.too_large(&key.key)),
            Some(Value::Unreadable) => Err(name.unavailable("the API server's answer could not be read")),
            None => Err(name.no_key(&key.key)),
        }
    }

    /// The same as a header's value, with the bytes it is made of.
    pub async fn header(&self, namespace: &str, key: &SecretKey) -> Result<(SecretBytes, HeaderValue), SecretError> {
        let bytes = self.get(namespace, key).await?;
        let value = header_value(&bytes).map_err(|why| SecretError::NotAHeader {
            namespace: namespace.to_owned(),
            name: key.name.clone(),
            key: key.key.clone(),
            why,
        })?;
        Ok((bytes, value))
    }

    /// The same as an endpoint's URL, judged like one that stands in a subscription, with the bytes it is made of.
    pub async fn url(
        &self,
        namespace: &str,
        key: &SecretKey,
        policy: &AddressPolicy,
    ) -> Result<(SecretBytes, Url), SecretError> {
        let bytes = self.get(namespace, key).await?;
        let text = url_text(&bytes).map_err(|why| SecretError::NotAUrl {
            namespace: namespace.to_owned(),
            name: key.name.clone(),
            key: key.key.clone(),
            why,
        })?;
        let url = policy.check_url(text).map_err(|error| SecretError::UrlRefused {
            namespace: namespace.to_owned(),
            name: key.name.clone(),
            key: key.key.clone(),
            why: error.to_string(),
        })?;
        Ok((bytes, url))
    }

    /// Have the Secret read anew before it is used again: the endpoint refused what was made with it, or it changed.
    /// Reads stay 100 ms apart even so, for an endpoint that refuses everything.
    pub fn invalidate(&self, namespace: &str, name: &str) {
        self.lock().suspect(&ObjectName { namespace: namespace.to_owned(), name: name.to_owned() });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache<ObjectName, Contents, SecretError>> {
        self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn header_value(bytes: &SecretBytes) -> Result<HeaderValue, &'static str> {
    let text = std::str::from_utf8(bytes.as_bytes()).map_err(|_| "it is not UTF-8 text")?;
    if text.ends_with(['\n', '\r']) {
        return Err("it ends with a line break; create the Secret without one");
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| "it contains a line break or another control character")?;
    value.set_sensitive(true);
    Ok(value)
}

fn url_text(bytes: &SecretBytes) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(bytes.as_bytes()).map_err(|_| "is not UTF-8 text")?;
    if text.ends_with(['\n', '\r']) {
        return Err("ends with a line break; create the Secret without one");
    }
    written(text).map(|()| text)
}

/// One GET, or the news that it took too long.
async fn in_time(
    timeout: Duration,
    client: Client,
    permits: Arc<Semaphore>,
    name: ObjectName,
) -> Result<Arc<Contents>, SecretError> {
    match tokio::time::timeout(timeout, fetch(client, permits, &name)).await {
        Ok(contents) => contents.map(Arc::new),
        Err(_elapsed) => Err(name.unavailable("the API server did not answer in time")),
    }
}

/// One GET.
async fn fetch(client: Client, permits: Arc<Semaphore>, name: &ObjectName) -> Result<Contents, SecretError> {
    let _permit = permits.acquire().await.map_err(|_closed| name.unavailable("changehook is stopping"))?;
    let path = Secret::url_path(&(), Some(&name.namespace));
    let request = Request::new(path)
        .get(&name.name, &GetParams::default())
        .map_err(|_| name.unavailable("the request could not be built"))?;
    let answer = client.request_stream(request).await.map_err(|error| failed(name, &error))?;
    let mut answer = std::pin::pin!(answer.take(MAX_ANSWER as u64 + 1));
    let body = read_wiping(&mut answer).await.map_err(|_| name.unavailable("the API server's answer broke off"))?;
    if body.len() > MAX_ANSWER {
        return Err(name.unavailable("the API server's answer is too large"));
    }
    Contents::parse(&body).ok_or_else(|| name.unavailable("the API server's answer could not be read"))
}

/// Most Secrets fit.
const FIRST_GUESS: usize = 16 << 10;

/// Reads to the end; a buffer that gets too small is wiped after its content moved to a larger one.
async fn read_wiping(from: &mut (impl futures::AsyncRead + Unpin)) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(FIRST_GUESS));
    let mut chunk = Zeroizing::new([0_u8; 4096]);
    loop {
        let read = from.read(&mut chunk[..]).await?;
        if read == 0 {
            return Ok(whole);
        }
        if whole.len() + read > whole.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(whole.capacity() * 2));
            larger.extend_from_slice(&whole);
            whole = larger;
        }
        whole.extend_from_slice(&chunk[..read]);
    }
}

/// The status of an answer is looked at by its code: the reason is missing in plain-text answers.
fn failed(name: &ObjectName, error: &kube::Error) -> SecretError {
    match error {
        kube::Error::Api(status) => match status.code {
            404 => name.not_found(),
            403 => name.forbidden(),
            401 => name.unavailable("the API server does not accept changehook's credentials"),
            429 => name.unavailable("the API server is overloaded"),
            _ => name.unavailable("the API server answered with an error"),
        },
        _ => name.unavailable("the API server could not be reached"),
    }
}

impl ReadError for SecretError {
    fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl ObjectName {
    fn not_found(&self) -> SecretError {
        SecretError::SecretNotFound { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    fn forbidden(&self) -> SecretError {
        SecretError::Forbidden { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    fn unavailable(&self, why: &'static str) -> SecretError {
        SecretError::Unavailable { namespace: self.namespace.clone(), name: self.name.clone(), why }
    }

    fn no_key(&self, key: &str) -> SecretError {
        SecretError::KeyNotFound { namespace: self.namespace.clone(), name: self.name.clone(), key: key.to_owned() }
    }

    fn empty(&self, key: &str) -> SecretError {
        SecretError::EmptyValue { namespace: self.namespace.clone(), name: self.name.clone(), key: key.to_owned() }
    }

    fn too_large(&self, key: &str) -> SecretError {
        SecretError::TooLarge { namespace: self.namespace.clone(), name: self.name.clone(), key: key.to_owned() }
    }
}
