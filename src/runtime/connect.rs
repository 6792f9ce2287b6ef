//! Waiting for an API server that answers and serves our custom resources.
//!
//! Touches the API server, reading only. Invariants: every request has a deadline; a failure is logged and tried again
//! for ever, because whatever is missing (network, credentials, CRDs) can appear while the operator waits; what is
//! waited for is logged once, and again only when it changes.

use std::time::Duration;

use kube::Client;
use tokio::time::{sleep, timeout};

use super::{served, telemetry};
use crate::api::SubscriptionKind;

const DEADLINE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

const GROUP_VERSION: &str = "changehook.dev/v1alpha1";
const PLURAL: &str = SubscriptionKind::Namespaced.plural();
const CLUSTER_PLURAL: &str = SubscriptionKind::Cluster.plural();
const LEDGER_PLURAL: &str = "deliveryledgers";

/// Waits until the API server tells its version.
pub async fn until_reachable(client: &Client) {
    let version = until("the API server", || async {
        let version = client.apiserver_version().await.map_err(|error| reason(&error))?;
        Ok(version.git_version)
    })
    .await;
    tracing::info!(version, "the API server answers");
}

/// Waits until the API server serves our custom resources, with every field that this version has.
pub async fn until_served(client: &Client) {
    until("the custom resource definitions", || async {
        are_listed(client).await?;
        knows_every_field(client).await
    })
    .await;
    tracing::info!("the custom resource definitions are served");
}

async fn are_listed(client: &Client) -> Result<(), String> {
    match client.list_api_group_resources(GROUP_VERSION).await {
        Ok(list) => {
            let served = |plural: &str| list.resources.iter().any(|resource| resource.name == plural);
            [PLURAL, CLUSTER_PLURAL, LEDGER_PLURAL]
                .into_iter()
                .find(|plural| !served(plural))
                .map_or(Ok(()), |plural| Err(missing(plural)))
        }
        // an absent group is a 404 with a plain text body, so only the code tells
        Err(kube::Error::Api(status)) if status.code == 404 => Err(missing(PLURAL)),
        Err(error) => Err(reason(&error)),
    }
}

/// What an older definition does not know is dropped without a word by the API server: of specs, and of the status that
/// tells what the ledger held. So nothing is done under one.
async fn knows_every_field(client: &Client) -> Result<(), String> {
    let request = http::Request::get(served::path()).header(http::header::ACCEPT, "application/json").body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    let document = match client.request::<serde_json::Value>(request).await {
        Ok(document) => document,
        // not every API server, and not every proxy in front of one, shows it
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404 | 406) => return Ok(()),
        Err(error) => return Err(reason(&error)),
    };
    match served::lacks(&document) {
        None => Ok(()),
        Some((resource, field)) => Err(format!(
            "the CustomResourceDefinition {resource} is older than this operator: it does not know {field}; {REMEDY}"
        )),
    }
}

const REMEDY: &str = "upgrade the chart changehook-crds, or apply the output of `changehook crds`";

fn missing(plural: &str) -> String {
    format!("{plural}.{GROUP_VERSION} is not served; {REMEDY}")
}

/// kube shows an answer of the API server with all its fields; people need its message and its code.
pub(super) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("the API server answered {}: {}", status.code, status.message),
        other => telemetry::chain(other),
    }
}

async fn until<T, F>(what: &'static str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let mut pause = FIRST_PAUSE;
    let mut last = String::new();
    loop {
        let reason = match timeout(DEADLINE, attempt()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {} s", DEADLINE.as_secs()),
        };
        if reason != last {
            tracing::warn!(reason, "waiting for {what}");
            last = reason;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;
    use crate::runtime::client;

    async fn connected(router: Router) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_dir, path) = client::tests::kubeconfig(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(axum::serve(listener, router).into_future());
        client::build(Some(&path)).await.unwrap()
    }

    #[tokio::test]
    async fn an_api_server_that_fails_at_first_is_tried_again() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let version = move || async move {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            let info = r#"{"major":"1","minor":"36","gitVersion":"v1.36.3","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
            info.into_response()
        };
        let client = connected(Router::new().route("/version", get(version))).await;
        timeout(Duration::from_secs(20), until_reachable(&client)).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn custom_resources_are_waited_for_through_an_absent_group_and_an_absent_kind() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let list = |names: &str| {
            format!(r#"{{"kind":"APIResourceList","groupVersion":"{GROUP_VERSION}","resources":[{names}]}}"#)
        };
        let resource = |name: &str| {
            format!(r#"{{"name":"{name}","singularName":"","namespaced":true,"kind":"K","verbs":["list"]}}"#)
        };
        let group = move || async move {
            match count.fetch_add(1, Ordering::Relaxed) {
                0 => (StatusCode::NOT_FOUND, "404 page not found").into_response(),
                1 => list(&resource("deliveryledgers")).into_response(),
                2 => list(&[PLURAL, "deliveryledgers"].map(resource).join(",")).into_response(),
                _ => list(&[PLURAL, CLUSTER_PLURAL, "deliveryledgers"].map(resource).join(",")).into_response(),
            }
        };
        let client = connected(Router::new().route("/apis/changehook.dev/v1alpha1", get(group))).await;
        timeout(Duration::from_secs(20), until_served(&client)).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_refusal_is_told_by_its_code_and_message() {
        let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
        let refuse = move || async move { (StatusCode::UNAUTHORIZED, status) };
        let client = connected(Router::new().route("/version", get(refuse))).await;
        let error = client.apiserver_version().await.unwrap_err();
        assert_eq!(reason(&error), "the API server answered 401: Unauthorized");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_an_answer_is_given_up_after_its_deadline() {
        let mut attempts = 0;
        let start = tokio::time::Instant::now();
        until("a test", || {
            attempts += 1;
            let answers = attempts > 1;
            async move { if answers { Ok(()) } else { std::future::pending().await } }
        })
        .await;
        assert_eq!(start.elapsed(), DEADLINE + FIRST_PAUSE);
    }
}
