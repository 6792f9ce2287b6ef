//! Where the requests of one subscription go, and what they carry besides the event.
//!
//! Touches nothing. Invariant: `Debug` shows neither the URL (partners put tokens into paths and queries) nor the
//! value of a header.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::tls::Fingerprint;
use super::url::shown_host;

/// One subscription's endpoint, valid: made by the controller from a subscription it accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to.
    pub target: Target,
    /// Its own TLS settings.
    pub tls: Option<TlsTarget>,
    /// What the controller found in them. An attempt that finds something else goes on with that, and has the controller
    /// look again.
    pub tls_content: Option<Fingerprint>,
    /// How.
    pub method: Method,
    /// The subscription's own headers; ours win over them.
    pub headers: Vec<HeaderEntry>,
    /// For one attempt as a whole: name, connection, TLS, request and the head of the answer.
    pub timeout: Duration,
    /// The keys that sign; unsigned when there are none.
    pub signing: Option<SigningKeys>,
    /// The namespace of every Secret and Service named here.
    pub namespace: String,
    /// Bodies above this are sent without the object.
    pub max_bytes: usize,
    /// Client errors that are retried.
    pub retry_status_codes: Vec<u16>,
}

impl Endpoint {
    /// Every Secret key that a request needs: the signing keys first, then the URL's, then the headers'.
    pub fn secret_keys(&self) -> impl Iterator<Item = &SecretKey> {
        let url = match &self.target {
            Target::Url(_) | Target::Service { .. } => None,
            Target::Secret { key, .. } => Some(key),
        };
        let headers = self.headers.iter().filter_map(|entry| match &entry.value {
            HeaderSource::Secret(key) => Some(key),
            HeaderSource::Literal(_) => None,
        });
        let signing = self.signing.iter().flat_map(|keys| std::iter::once(&keys.present).chain(&keys.previous));
        signing.chain(url).chain(headers)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("target", &self.target)
            .field("tls", &self.tls)
            .field("tls_content", &self.tls_content)
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .field("signing", &self.signing)
            .field("namespace", &self.namespace)
            .field("max_bytes", &self.max_bytes)
            .field("retry_status_codes", &self.retry_status_codes)
            .finish()
    }
}

/// What requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SigningKeys {
    /// The key.
    pub present: SecretKey,
    /// The one before, while receivers change over: it signs each request besides.
    pub previous: Option<SecretKey>,
}

/// Where the URL comes from; it is checked against the address policy again right before each request.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// From the subscription.
    Url(Url),
    /// From a Secret, read for each request.
    Secret {
        /// Which one.
        key: SecretKey,
        /// The host that the controller found in it, as it may be shown; another one is news to the controller.
        host: Option<String>,
    },
    /// A Service, read for each request.
    Service {
        /// Which one, and what of it.
        service: ServiceTarget,
        /// Its host and port as the controller found them; another port is news to the controller.
        host: Option<String>,
    },
}

impl Target {
    /// The host as far as it is known, with its port when the URL names one: all of the URL that may be shown.
    pub fn host(&self) -> Option<String> {
        match self {
            Self::Url(url) => Some(shown_host(url)),
            Self::Secret { host, .. } | Self::Service { host, .. } => host.clone(),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                f.debug_struct("Url").field("scheme", &url.scheme()).field("host", &shown_host(url)).finish()
            }
            Self::Secret { key, host } => f.debug_struct("Secret").field("key", key).field("host", host).finish(),
            Self::Service { service, host } => {
                f.debug_struct("Service").field("service", service).field("host", host).finish()
            }
        }
    }
}

/// A Service of the endpoint's namespace, and how it is spoken to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceTarget {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: ServicePort,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// What the request asks for: begins with a slash, may have a query.
    pub path: String,
}

impl ServiceTarget {
    /// The name that it has within the cluster, which its certificate is for.
    pub fn host(&self, namespace: &str) -> String {
        format!("{}.{namespace}.svc", self.name)
    }

    /// Its URL, once the port's number is known. `None` if the parts make none, which validation does not let happen.
    pub fn url(&self, namespace: &str, port: u16) -> Option<Url> {
        let scheme = if self.tls { "https" } else { "http" };
        let host = self.host(namespace);
        let url = Url::parse(&format!("{scheme}://{host}:{port}{}", self.path)).ok()?;
        // whatever the parts were, they did not lead elsewhere
        (url.host_str() == Some(&host) && url.port_or_known_default() == Some(port)).then_some(url)
    }
}

impl fmt::Debug for ServiceTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port, tls, path: _ } = self;
        f.debug_struct("ServiceTarget")
            .field("name", name)
            .field("port", port)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

/// TLS settings of one's own; at least one of them is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsTarget {
    /// The authorities that are trusted instead of the system's.
    pub ca: Option<CaSource>,
    /// The Secret with the client's certificate (`tls.crt`) and its key (`tls.key`).
    pub client: Option<String>,
    /// What the server's certificate has to be for, instead of the URL's host.
    pub server_name: Option<String>,
}

/// Where certificate authorities are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CaSource {
    /// In a Secret.
    Secret(SecretKey),
    /// In a ConfigMap.
    ConfigMap(SecretKey),
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServicePort {
    /// By its number.
    Number(u16),
    /// By its name.
    Name(String),
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// The request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// POST, the default.
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
        }
    }
}

/// One of the subscription's own headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEntry {
    /// Its name; not a [`reserved`] one.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderSource,
}

/// Where a header's value comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderSource {
    /// From the subscription.
    Literal(HeaderValue),
    /// From a Secret, read for each request.
    Secret(SecretKey),
}

impl fmt::Debug for HeaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(…)"),
            Self::Secret(key) => f.debug_tuple("Secret").field(key).finish(),
        }
    }
}

/// One key of one Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretKey {
    /// metadata.name of the Secret.
    pub name: String,
    /// The key in its data.
    pub key: String,
}

/// Headers that belong to the connection or to us; admission refuses the same ones.
pub const RESERVED: [&str; 21] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-signature",
    "x-signature-256",
    "x-signature-256-previous",
];

/// Whether a header is ours, or HTTP's own, and thus not for a subscription to set: what describes the body, the
/// connection or the message's frame, and what a receiver trusts us for.
pub fn reserved(name: &HeaderName) -> bool {
    RESERVED.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint {
            target: Target::Url(Url::parse(url).unwrap()),
            tls: None,
            tls_content: None,
            method: Method::Post,
            headers: vec![
                HeaderEntry {
                    name: HeaderName::from_static("authorization"),
                    value: HeaderSource::Literal(HeaderValue::from_static("Bearer hush")),
                },
                HeaderEntry {
                    name: HeaderName::from_static("x-api-key"),
                    value: HeaderSource::Secret(SecretKey { name: "partner".into(), key: "api-key".into() }),
                },
            ],
            timeout: Duration::from_secs(10),
            signing: Some(SigningKeys {
                present: SecretKey { name: "signing".into(), key: "secret".into() },
                previous: Some(SecretKey { name: "before".into(), key: "secret".into() }),
            }),
            namespace: "shop".into(),
            max_bytes: 262_144,
            retry_status_codes: vec![429],
        }
    }

    #[test]
    fn debug_shows_no_header_value_path_or_query() {
        let shown = format!("{:?}", endpoint("https://u:pw-hush@partner.example:8443/hush/path?token=hush"));
        assert!(!shown.contains("hush"), "{shown}");
        for wanted in ["partner.example:8443", "authorization", "x-api-key", "partner", "api-key", "signing", "before"]
        {
            assert!(shown.contains(wanted), "{wanted} is missing in {shown}");
        }
    }

    #[test]
    fn a_services_url_has_its_name_within_the_cluster_and_debug_shows_no_path() {
        let port = ServicePort::Name("http".into());
        let mut service = ServiceTarget { name: "receiver".into(), port, tls: true, path: "/hush?a=hush".into() };
        assert_eq!(service.url("shop", 8443).unwrap().as_str(), "https://receiver.shop.svc:8443/hush?a=hush");
        assert_eq!(service.url("shop", 443).unwrap().as_str(), "https://receiver.shop.svc/hush?a=hush");
        let target = Target::Service { service: service.clone(), host: None };
        assert!(!format!("{target:?}").contains("hush"), "{target:?}");
        for path in ["@evil.example/", ".evil.example/", "0/", "#", " "] {
            service.path = path.into();
            let url = service.url("shop", 8443);
            assert!(
                url.is_none_or(|url| url.host_str() == Some("receiver.shop.svc") && url.port() == Some(8443)),
                "{path}"
            );
        }
    }

    #[test]
    fn every_secret_a_request_needs_is_named() {
        let mut endpoint = endpoint("https://h/");
        let names = |endpoint: &Endpoint| endpoint.secret_keys().map(|key| key.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&endpoint), ["signing", "before", "partner"]);
        endpoint.target = Target::Secret { key: SecretKey { name: "hook".into(), key: "url".into() }, host: None };
        assert_eq!(names(&endpoint), ["signing", "before", "hook", "partner"]);
    }

    #[test]
    fn framing_and_our_own_headers_are_reserved_whatever_their_case() {
        for name in ["Host", "CONTENT-LENGTH", "Transfer-Encoding", "x-signature-256", "Webhook-Id", "User-Agent"] {
            assert!(reserved(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
        }
        for name in ["authorization", "x-api-key", "accept"] {
            assert!(!reserved(&HeaderName::from_static(name)), "{name}");
        }
    }
}
