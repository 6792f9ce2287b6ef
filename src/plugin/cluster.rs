//! The API server, as the user: one bounded request at a time, with the user's rights and nothing more.
//!
//! Touches the kubeconfig, what the environment says of proxies, and the API server. Invariants: every call has a timeout; nothing is retried; no error shows a
//! byte of a kubeconfig that could not be read.

use std::time::Duration;

use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use serde_json::Value;

use super::cli::Connection;
use crate::proxy::{self, ProxyError};

const CALL: Duration = Duration::from_secs(15);
const AGENT: http::HeaderValue =
    http::HeaderValue::from_static(concat!("kubectl-changehook/", env!("CARGO_PKG_VERSION")));

/// Why the API server gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig.
    #[error("failed to use the kubeconfig: {0}; see --kubeconfig and --context")]
    Kubeconfig(String),
    /// The proxy on the way there.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The connection's setting up.
    #[error("failed to set up the connection to the API server")]
    Build(#[source] kube::Error),
    /// The user lacks a right.
    #[error("failed to {what}: {message}; ask whoever administers the cluster for this right")]
    Forbidden {
        /// What was asked.
        what: String,
        /// What the API server says.
        message: String,
    },
    /// There is no such thing.
    #[error("failed to {what}: not found ({message}); see which there are: kubectl get whsub --all-namespaces")]
    NotFound {
        /// What was asked.
        what: String,
        /// What the API server says.
        message: String,
    },
    /// Somebody else was there first.
    #[error("failed to {what}: it was changed meanwhile; try again")]
    Conflict {
        /// What was asked.
        what: String,
    },
    /// The API server says no.
    #[error("failed to {what}: the API server answered {code}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        code: u16,
        /// What the API server says.
        message: String,
    },
    /// No answer in time.
    #[error("failed to {what}: the API server did not answer within {} seconds; see --context", CALL.as_secs())]
    Timeout {
        /// What was asked.
        what: String,
    },
    /// No answer.
    #[error("failed to {what}")]
    Unreachable {
        /// What was asked.
        what: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The request could not be built: a name that cannot be in an address.
    #[error("failed to {what}: the name cannot be used")]
    Request {
        /// What was asked.
        what: String,
    },
}

/// The API server, as the user.
pub struct Cluster {
    client: Client,
    /// Where the user works.
    pub namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig as kubectl does; asks nothing yet.
    pub async fn connect(connection: &Connection) -> Result<Self, ClusterError> {
        let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match (&connection.kubeconfig, &connection.context) {
            (None, None) => Config::infer().await.map_err(|error| {
                match std::error::Error::source(&error).and_then(|source| source.downcast_ref()) {
                    Some(found) => unusable(found),
                    None => ClusterError::Kubeconfig("there is none that can be read".to_owned()),
                }
            })?,
            (Some(path), _) => {
                let read = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
                Config::from_custom_kubeconfig(read, &options).await.map_err(|error| unusable(&error))?
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|error| unusable(&error))?,
        };
        proxy::settle(&mut config, |name| std::env::var(name).ok())?;
        config.default_retry = false;
        config.connect_timeout = Some(CALL);
        config.read_timeout = Some(CALL);
        config.write_timeout = Some(CALL);
        config.headers.push((USER_AGENT, AGENT));
        let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config).map_err(ClusterError::Build)?, namespace })
    }

    /// GET.
    pub async fn get(&self, what: &str, path: &str, accept: &str) -> Result<Value, ClusterError> {
        self.ask(what, Request::get(path).header(ACCEPT, accept).body(Vec::new())).await
    }

    /// POST, or PUT where something exists.
    pub async fn write(&self, what: &str, new: bool, path: &str, object: &Value) -> Result<Value, ClusterError> {
        let request = if new { Request::post(path) } else { Request::put(path) };
        let body = object.to_string().into_bytes();
        self.ask(what, request.header(CONTENT_TYPE, "application/json").body(body)).await
    }

    async fn ask(&self, what: &str, request: http::Result<Request<Vec<u8>>>) -> Result<Value, ClusterError> {
        let what = what.to_owned();
        let Ok(request) = request else { return Err(ClusterError::Request { what }) };
        match tokio::time::timeout(CALL, self.client.request::<Value>(request)).await {
            Err(_) => Err(ClusterError::Timeout { what }),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) => {
                let message = status.message.trim().to_owned();
                Err(match status.code {
                    403 => ClusterError::Forbidden { what, message },
                    404 => ClusterError::NotFound { what, message },
                    409 => ClusterError::Conflict { what },
                    code => ClusterError::Refused { what, code, message },
                })
            }
            Ok(Err(source)) => Err(ClusterError::Unreachable { what, source }),
        }
    }
}

/// Says what is wrong with a kubeconfig, and shows none of what could not be read.
fn unusable(error: &KubeconfigError) -> ClusterError {
    ClusterError::Kubeconfig(match error {
        KubeconfigError::Parse(_) => "it is not a valid kubeconfig".to_owned(),
        KubeconfigError::ReadConfig(why, path) => format!("{}: {why}", path.display()),
        other => proxy::unread(other).map_or_else(|| other.to_string(), str::to_owned),
    })
}
