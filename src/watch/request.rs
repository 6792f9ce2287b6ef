//! One GET to the API server: bounded in time and size, with the HTTP status read by ourselves.
//!
//! Invariants: nothing here waits without a timeout; nothing is retried; a body is never decoded by the client, which
//! would log what it cannot decode.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, to_bytes};
use futures::StreamExt;
use http::{Request, Response, StatusCode, header};
use serde::Deserialize;
use tokio::time::timeout;

/// What is read of an error answer.
const ERROR_BYTES: usize = 64 << 10;

/// Why a call gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The API server answered with an error.
    #[error("the API server answered {code}{}{reason}", if reason.is_empty() { "" } else { " " })]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The API's machine-readable reason, empty if there was none.
        reason: String,
        /// What the API server says to people; changes from call to call.
        message: String,
    },
    /// There was no answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
    /// There was no answer, or it broke off.
    #[error("failed to talk to the API server: {}", root(.0))]
    Unreachable(Arc<kube::Error>),
    /// The answer broke off.
    #[error("the API server's answer broke off")]
    Cut,
    /// The answer was larger than it may be.
    #[error("the API server's answer is too large")]
    TooLarge,
    /// The answer was no JSON of the expected shape.
    #[error("the API server's answer could not be read")]
    Malformed,
    /// The request could not be built.
    #[error("failed to build a request")]
    Build,
    /// A connection of its own could not be set up.
    #[error("failed to set up another connection to the API server")]
    NoClient,
}

/// The innermost cause: hyper's outer layers only say that something failed.
fn root(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.source().is_none() { error.to_string() } else { cause.to_string() }
}

impl CallError {
    /// The answer's status, if there was one.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// The part of a metav1.Status that is of use.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
}

/// A GET of `path` with `query`; `accept` says in which form.
pub(super) fn get(path: &str, query: &[(&str, &str)], accept: &str) -> Result<Request<Vec<u8>>, CallError> {
    let mut uri = path.to_owned();
    if !query.is_empty() {
        uri.push('?');
        uri.push_str(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish());
    }
    Request::get(uri)
        .header(header::ACCEPT, accept)
        // compressed watches come as one gzip member an event, which decoders stop reading after the first
        .header(header::ACCEPT_ENCODING, "identity")
        .body(Vec::new())
        .map_err(|_| CallError::Build)
}

/// The whole body of a successful answer.
pub(super) async fn text(
    client: &kube::Client,
    request: Request<Vec<u8>>,
    within: Duration,
    limit: usize,
) -> Result<String, CallError> {
    let whole = async {
        let mut body = head(client, request).await?.into_data_stream();
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|_| CallError::Cut)?);
            if bytes.len() > limit {
                return Err(CallError::TooLarge);
            }
        }
        // the API server's encoder writes UTF-8 only; one broken object of another server must not cost the page
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    };
    timeout(within, whole).await.unwrap_or(Err(CallError::Timeout))
}

/// The body of a successful answer as it comes; only its beginning is bounded in time.
pub(super) async fn stream(
    client: &kube::Client,
    request: Request<Vec<u8>>,
    within: Duration,
) -> Result<BodyDataStream, CallError> {
    timeout(within, head(client, request)).await.unwrap_or(Err(CallError::Timeout)).map(Body::into_data_stream)
}

async fn head(client: &kube::Client, request: Request<Vec<u8>>) -> Result<Body, CallError> {
    let answer: Response<_> = client
        .send(request.map(kube::client::Body::from))
        .await
        .map_err(|error| CallError::Unreachable(Arc::new(error)))?;
    let code = answer.status();
    let body = Body::new(answer.into_body());
    if code == StatusCode::OK {
        return Ok(body);
    }
    // an absent group is refused in plain text, so the code of the answer counts and the body only explains
    let status: Status = match to_bytes(body, ERROR_BYTES).await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Status::default(),
    };
    Err(CallError::Refused { code: code.as_u16(), reason: status.reason, message: status.message })
}
