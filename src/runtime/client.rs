//! The client of the API server.
//!
//! Touches the kubeconfig or the service account's files, and what the environment says of proxies. Invariants: nothing is retried below the caller, who knows
//! what a request means; reading has no timeout, because watches wait, so every other call needs one around it; no
//! error shows a byte of a kubeconfig that could not be read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::client::ClientBuilder;
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::leader::{Lease, guard};
use crate::proxy::{self, ProxyError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bounds one stalled write, not a request.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const AGENT: HeaderValue = HeaderValue::from_static(concat!("changehook/", env!("CARGO_PKG_VERSION")));

/// No client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The given kubeconfig is not usable.
    #[error("failed to use the kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why, without its content.
        reason: String,
    },
    /// Nothing says where the API server is.
    #[error("failed to find an API server; use --kubeconfig, or run in a pod with a service account: {0}")]
    Infer(String),
    /// The proxy on the way there is not usable.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The credentials or certificates are not usable.
    #[error("failed to set up the connection to the API server")]
    Build(#[source] kube::Error),
}

/// A client for the API server that the kubeconfig names, or the one that kubectl or a pod would use. Asks nothing yet.
pub async fn build(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    let config = configured(read(kubeconfig).await?)?;
    tracing::info!(api_server = %config.cluster_url, "using the API server");
    Client::try_from(config).map_err(ClientError::Build)
}

/// One more client, with connections of its own.
pub async fn build_another(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    Client::try_from(configured(read(kubeconfig).await?)?).map_err(ClientError::Build)
}

/// One more client whose writes leave only while `lease` is valid.
pub async fn build_for_leading(kubeconfig: Option<&Path>, lease: Lease) -> Result<Client, ClientError> {
    let config = configured(read(kubeconfig).await?)?;
    let builder = ClientBuilder::try_from(config).map_err(ClientError::Build)?;
    Ok(builder.with_layer(&guard::layer(lease)).build())
}

async fn read(kubeconfig: Option<&Path>) -> Result<Config, ClientError> {
    match kubeconfig {
        Some(path) => from_file(path).await,
        None => Config::infer().await.map_err(|e| ClientError::Infer(infer_reason(&e))),
    }
}

async fn from_file(path: &Path) -> Result<Config, ClientError> {
    let unusable = |e: KubeconfigError| ClientError::Kubeconfig { path: path.to_owned(), reason: reason(&e) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(unusable)
}

fn configured(mut config: Config) -> Result<Config, ClientError> {
    proxy::settle(&mut config, |name| std::env::var(name).ok())?;
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = None;
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.headers.push((USER_AGENT, AGENT));
    Ok(config)
}

fn infer_reason(error: &InferConfigError) -> String {
    match std::error::Error::source(error).and_then(|source| source.downcast_ref()) {
        Some(KubeconfigError::Parse(why)) => not_yaml(why),
        Some(other) => proxy::unread(other).map_or_else(|| error.to_string(), str::to_owned),
        None => error.to_string(),
    }
}

fn reason(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(why) => not_yaml(why),
        KubeconfigError::ReadConfig(why, _) => why.to_string(),
        other => proxy::unread(other).map_or_else(|| other.to_string(), str::to_owned),
    }
}

/// The parser quotes the lines around the fault, and a kubeconfig's lines hold tokens and keys.
fn not_yaml(error: &serde_saphyr::Error) -> String {
    match error.location() {
        Some(at) => format!("not a valid kubeconfig, line {} column {}", at.line(), at.column()),
        None => "not a valid kubeconfig".to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{Method, Request, StatusCode};
    use tokio::net::TcpListener;

    use super::*;

    pub(in crate::runtime) fn kubeconfig(server: &str) -> (tempfile::TempDir, PathBuf) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
             clusters: [{{name: a, cluster: {{server: '{server}'}}}}]\nusers: [{{name: a, user: {{token: t0psecret}}}}]\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[tokio::test]
    async fn requests_carry_our_user_agent_and_are_not_repeated_by_the_client() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request<axum::body::Body>| async move {
            let agent = request.headers().get(USER_AGENT).cloned();
            record.lock().unwrap().push(agent);
            StatusCode::SERVICE_UNAVAILABLE
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_dir, path) = kubeconfig(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(axum::serve(listener, router).into_future());

        let client = build(Some(&path)).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), client.apiserver_version()).await;
        assert!(answer.expect("given up at the first answer").is_err());
        let agents = seen.lock().unwrap().clone();
        assert_eq!(agents, [Some(AGENT)]);
    }

    #[tokio::test]
    async fn a_replica_that_leads_no_more_reads_on_and_writes_nothing() {
        let seen: Arc<Mutex<Vec<Method>>> = Arc::default();
        let record = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request<axum::body::Body>| async move {
            record.lock().unwrap().push(request.method().clone());
            "{}"
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_dir, path) = kubeconfig(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(axum::serve(listener, router).into_future());
        let (lease, clock) = crate::runtime::leader::lease::tests::lease();
        let client = build_for_leading(Some(&path), lease).await.unwrap();
        let ask = async |method: Method| {
            let request = Request::builder().method(method).uri("/api/v1/things/a").body(Vec::new()).unwrap();
            client.request::<serde_json::Value>(request).await
        };

        ask(Method::PUT).await.unwrap();
        clock.store(10_000, std::sync::atomic::Ordering::Relaxed);
        for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            let error = crate::chain::chain(&ask(method).await.unwrap_err());
            assert!(error.ends_with("this replica does not hold the Lease any more"), "{error}");
        }
        ask(Method::GET).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [Method::PUT, Method::GET]);
    }

    #[test]
    fn watches_may_wait_and_connecting_may_not() {
        let config = configured(Config::new("https://127.0.0.1:1".parse().unwrap())).unwrap();
        assert_eq!(config.read_timeout, None);
        assert_eq!(config.connect_timeout, Some(Duration::from_secs(10)));
        assert!(config.write_timeout.is_some());
        assert!(!config.default_retry);
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let error = build(Some(Path::new("/nowhere/kubeconfig"))).await.err().unwrap().to_string();
        assert_eq!(error, "failed to use the kubeconfig /nowhere/kubeconfig: No such file or directory (os error 2)");
    }

    #[tokio::test]
    async fn an_error_about_a_broken_kubeconfig_shows_none_of_its_content() {
        let (_dir, path) = kubeconfig("https://127.0.0.1:1");
        let text = std::fs::read_to_string(&path).unwrap().replace("t0psecret}", "t0psecret, token: t0psecret");
        std::fs::write(&path, text).unwrap();
        let error = build(Some(&path)).await.err().unwrap();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(shown.contains("not a valid kubeconfig"), "{shown}");
            assert!(!shown.contains("t0psecret"), "{shown}");
        }
    }
}
