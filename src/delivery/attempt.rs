//! One attempt: one HTTP request, and what came of it.
//!
//! Touches the endpoint and, through [`Secrets`], the API server. Invariants: the body is written once, and those bytes
//! are signed and sent; nothing is sent unsigned that should be signed; at most one request leaves per attempt; the
//! status alone decides what an answer means; dropping the future drops the request; whether we may send at all is asked
//! when nothing is left to wait for but the endpoint.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use changehook_core::address::Policies;
use changehook_core::event::{self, Event, Object, RenderError, RenderOptions};
use changehook_core::outcome::{self, Failure, Outcome, Reason};
use changehook_core::retry::parse_retry_after;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Response};
use url::{Host, Url};

use super::client;
use super::clients::{Clients, NoClient, Place, Reach};
use super::configs::Configs;
use super::endpoint::{Endpoint, HeaderSource, SigningKeys, Target, reserved};
use super::fault;
use super::secrets::{SecretError, Secrets};
use super::services::{ServiceError, Services};
use super::tls::{self, Fingerprint, TlsError};
use super::url::shown_host;

const X_SIGNATURE_256: HeaderName = HeaderName::from_static("x-signature-256");
/// A header of its own: a second line of the one above would reach receivers as one value, joined by a comma, which none
/// of them verifies.
const X_SIGNATURE_256_PREVIOUS: HeaderName = HeaderName::from_static("x-signature-256-previous");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

/// Of an answer's body, read to leave the connection usable; nobody looks at it.
const DRAINED_BYTES: usize = 4 << 10;

/// For that reading; a slow body costs its connection, not our time.
const DRAINED_FOR: Duration = Duration::from_secs(1);

/// Makes attempts. Clones share connections and Secrets.
#[derive(Clone)]
pub struct Courier {
    clients: Clients,
    secrets: Secrets,
    services: Services,
    configs: Configs,
    policies: Arc<Policies>,
    wall_ms: fn() -> i64,
    leads: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What became of an attempt.
#[derive(Debug)]
pub struct Attempted {
    /// How it ended.
    pub outcome: Outcome,
    /// It went to another host than the endpoint is known by, or with other certificates: a Secret was edited.
    pub moved: bool,
}

/// How a request gets there.
struct Way {
    client: Client,
    url: Url,
    /// Where the URL's host is another one's name for the sake of its certificate.
    host: Option<HeaderValue>,
    found: Found,
}

/// What the controller should know, or it has to look again.
struct Found {
    /// See [`Target::host`].
    host: String,
    /// See [`Endpoint::tls_content`].
    tls_content: Option<Fingerprint>,
}

/// Why no request was started.
enum NotStarted {
    /// A Secret is missing: ours to mend, nobody is charged.
    Secret(SecretError),
    /// So is a Service.
    Service(ServiceError),
    /// So are TLS settings.
    Tls(TlsError),
    /// There is no client, which is ours as well.
    Client(NoClient),
    /// The event or the URL is at fault.
    Failed(Failure),
}

impl From<SecretError> for NotStarted {
    fn from(error: SecretError) -> Self {
        Self::Secret(error)
    }
}

impl From<ServiceError> for NotStarted {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl NotStarted {
    fn outcome(self) -> Outcome {
        match self {
            Self::Secret(error) => Outcome::Unsent { message: error.to_string() },
            Self::Service(error) => Outcome::Unsent { message: error.to_string() },
            Self::Tls(error) => Outcome::Unsent { message: error.to_string() },
            Self::Client(error) => Outcome::Unsent { message: error.to_string() },
            Self::Failed(failure) => Outcome::Failed(failure),
        }
    }
}

impl Courier {
    /// A courier that goes only where `policies` allow; `clients` must have been built with the same. `wall_ms` tells the milliseconds since the Unix epoch, `leads` whether this replica may send.
    pub fn new(
        clients: Clients,
        secrets: Secrets,
        (services, configs): (Services, Configs),
        policies: Arc<Policies>,
        wall_ms: fn() -> i64,
        leads: Arc<dyn Fn() -> bool + Send + Sync>,
    ) -> Self {
        Self { clients, secrets, services, configs, policies, wall_ms, leads }
    }

    /// Tells `endpoint` of `event`, once.
    pub async fn attempt(&self, endpoint: &Endpoint, event: &Event) -> Attempted {
        match self.request(endpoint, event).await {
            Ok((client, request, Found { host, tls_content })) => {
                let moved = endpoint.target.host() != Some(host) || endpoint.tls_content != tls_content;
                Attempted { outcome: self.send(&client, endpoint, request).await, moved }
            }
            Err(not_started) => Attempted { outcome: not_started.outcome(), moved: false },
        }
    }

    async fn send(&self, client: &Client, endpoint: &Endpoint, request: reqwest::Request) -> Outcome {
        let tls = request.url().scheme() == "https";
        if !(self.leads)() {
            return Outcome::Unsent { message: "this replica does not hold the Lease any more".to_owned() };
        }
        let response = match client.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                return Outcome::Failed(fault::classify(&error, endpoint.timeout, tls));
            }
        };
        let status = response.status().as_u16();
        if matches!(status, 401 | 403) {
            // The key may have been changed on the other side first.
            for key in endpoint.secret_keys() {
                self.secrets.invalidate(&endpoint.namespace, &key.name);
            }
        }
        let retry_after = retry_after(response.headers(), (self.wall_ms)());
        drain(response).await;
        outcome::of_status(status, &endpoint.retry_status_codes, retry_after)
    }

    async fn request(
        &self,
        endpoint: &Endpoint,
        event: &Event,
    ) -> Result<(Client, reqwest::Request, Found), NotStarted> {
        let Way { client, url, host, found } = self.way(endpoint).await?;
        let mut headers = self.own_headers(endpoint).await?;
        let mut keys = Vec::new();
        if let Some(SigningKeys { present, previous }) = &endpoint.signing {
            keys.push((X_SIGNATURE_256, self.secrets.get(&endpoint.namespace, present).await?));
            if let Some(previous) = previous {
                keys.push((X_SIGNATURE_256_PREVIOUS, self.secrets.get(&endpoint.namespace, previous).await?));
            }
        }
        let options = RenderOptions { max_bytes: endpoint.max_bytes, object: Object::Full };
        let rendered = event::render(event, &options).map_err(|error| NotStarted::Failed(not_rendered(&error)))?;

        headers.extend(host.map(|host| (HOST, host)));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(client::USER_AGENT));
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from((self.wall_ms)().div_euclid(1000)));
        headers.insert(WEBHOOK_ID, ours(&rendered.event_id)?);
        for (name, key) in keys {
            headers.insert(name, ours(&event::x_signature_256(key.as_bytes(), &rendered.body))?);
        }
        let mut request = reqwest::Request::new(endpoint.method.into(), url);
        *request.headers_mut() = headers;
        *request.timeout_mut() = Some(endpoint.timeout);
        *request.body_mut() = Some(rendered.body.into());
        Ok((client, request, found))
    }

    /// Where to, and by which client. The first gate, again: a literal address never gets to the resolver.
    async fn way(&self, endpoint: &Endpoint) -> Result<Way, NotStarted> {
        let namespace = &endpoint.namespace;
        let policy = self.policies.of(namespace);
        let names = || Reach::Names { own: self.policies.own(namespace).cloned() };
        let (url, reach) = match &endpoint.target {
            Target::Url(url) => {
                let url = policy.check_url(url.as_str()).map_err(|error| {
                    NotStarted::Failed(fault::endpoint(
                        Reason::AddressRefused,
                        format!("the endpoint's URL is refused: {error}"),
                    ))
                })?;
                (url, names())
            }
            Target::Secret { key, .. } => (self.secrets.url(namespace, key, policy).await?.1, names()),
            Target::Service { service, .. } => {
                let found = self.services.locate(namespace, &service.name, &service.port, policy).await?;
                let url = service.url(namespace, found.port).ok_or_else(|| {
                    let message = "the Service and the path make no valid URL";
                    NotStarted::Failed(fault::endpoint(Reason::AddressRefused, message))
                })?;
                (url, Reach::Address(service.host(namespace), found.address))
            }
        };
        let found = |tls_content| Found { host: shown_host(&url), tls_content };
        let secure = url.scheme() == "https";
        let Some(settings) = &endpoint.tls else {
            if let Reach::Names { own: None } = reach {
                let found = found(None);
                return Ok(Way { client: self.clients.shared().clone(), url, host: None, found });
            }
            let place = Place { reach, tls: secure, settings: None };
            let client = self.clients.to(&place, None, Instant::now()).map_err(NotStarted::Client)?;
            let found = found(None);
            return Ok(Way { client, url, host: None, found });
        };
        if !secure {
            return Err(NotStarted::Tls(TlsError::NotHttps));
        }
        let texts = tls::read(&self.secrets, &self.configs, namespace, settings).await.map_err(NotStarted::Tls)?;
        let found = found(Some(texts.fingerprint));
        let (url, reach, host) = match &settings.server_name {
            None => (url, reach, None),
            Some(name) => {
                let (url, reach) = renamed(url, reach, name).ok_or(NotStarted::Tls(TlsError::Unusable))?;
                (url, reach, Some(ours(&found.host)?))
            }
        };
        let place = Place { reach, tls: true, settings: Some(texts.fingerprint) };
        let client = self.clients.to(&place, Some(&texts), Instant::now()).map_err(NotStarted::Client)?;
        Ok(Way { client, url, host, found })
    }

    /// The subscription's own headers. Reserved ones are refused by validation; one that got past it stays out.
    async fn own_headers(&self, endpoint: &Endpoint) -> Result<HeaderMap, SecretError> {
        let mut headers = HeaderMap::with_capacity(endpoint.headers.len() + 8);
        for entry in endpoint.headers.iter().filter(|entry| !reserved(&entry.name)) {
            let value = match &entry.value {
                HeaderSource::Literal(value) => value.clone(),
                HeaderSource::Secret(key) => self.secrets.header(&endpoint.namespace, key).await?.1,
            };
            headers.insert(entry.name.clone(), value);
        }
        Ok(headers)
    }
}

/// The URL under the name that the certificate has to be for, and how that leads to where the URL led. The URL has passed
/// the first gate, so a literal address in it may be dialled.
fn renamed(mut url: Url, reach: Reach, name: &str) -> Option<(Url, Reach)> {
    let reach = match (reach, url.host()?) {
        (Reach::Address(_, address), _) => Reach::Address(name.to_owned(), address),
        (Reach::Names { .. } | Reach::Alias { .. }, Host::Ipv4(ip)) => Reach::Address(name.to_owned(), ip.into()),
        (Reach::Names { .. } | Reach::Alias { .. }, Host::Ipv6(ip)) => Reach::Address(name.to_owned(), ip.into()),
        (Reach::Names { own } | Reach::Alias { own, .. }, Host::Domain(host)) => {
            Reach::Alias { host: name.to_owned(), name: host.to_owned(), own }
        }
    };
    url.set_host(Some(name)).ok()?;
    // a name that reads as an address would be dialled as one, past the vetting
    matches!(url.host(), Some(Host::Domain(host)) if host == name).then_some((url, reach))
}

/// A value that we made, of characters that every header takes.
fn ours(text: &str) -> Result<HeaderValue, NotStarted> {
    HeaderValue::from_str(text)
        .map_err(|_| NotStarted::Failed(fault::event(Reason::RenderFailed, "the request's headers could not be built")))
}

fn not_rendered(error: &RenderError) -> Failure {
    let reason = match error {
        RenderError::Oversize { .. } => Reason::Oversize,
        RenderError::Body(_) => Reason::RenderFailed,
    };
    fault::event(reason, error.to_string())
}

/// Two values, or one that is no text, ask for nothing.
fn retry_after(headers: &HeaderMap, now_wall_ms: i64) -> Option<Duration> {
    let mut values = headers.get_all(RETRY_AFTER).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => parse_retry_after(value.to_str().ok()?, now_wall_ms),
        _ => None,
    }
}

/// Reads a little of the body, so that the connection can be used again; whatever is wrong with the body costs the
/// connection and changes nothing, because the status has been said.
async fn drain(mut response: Response) {
    let read = async {
        let mut bytes = 0;
        while bytes <= DRAINED_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes += chunk.len(),
                Ok(None) | Err(_) => return,
            }
        }
    };
    // Out of time or out of bytes, the response is dropped and its connection with it.
    let _out_of_time = tokio::time::timeout(DRAINED_FOR, read).await;
}
