//! The part of the check that is about the URL or the Service, and the headers.
//!
//! Touches nothing. Invariant: no message shows the URL or a header's value.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use url::Url;

use super::{Problems, ValidEndpoint, ValidHeader, ValidHeaderValue, ValidTarget, syntax};
use crate::api::conditions::Reason;
use crate::api::endpoint::{CaKind, CaRef, Endpoint, Header, Method, Scheme, ServiceRef, Tls};
use crate::api::rules::RESERVED_HEADERS;
use crate::delivery;
use crate::delivery::endpoint::{CaSource, SecretKey, ServicePort, ServiceTarget, TlsTarget};

pub(super) fn check(
    endpoint: &Endpoint,
    check_url: impl Fn(&str) -> Result<Url, String>,
    problems: &mut Problems,
) -> Option<ValidEndpoint> {
    let targets = [endpoint.url.is_some(), endpoint.url_from.is_some(), endpoint.service.is_some()];
    if targets.iter().filter(|set| **set).count() != 1 {
        problems.invalid("spec.endpoint", "must have exactly one of url, urlFrom and service");
    }
    let literal = endpoint.url.as_deref().and_then(|text| url(text, check_url, problems)).map(ValidTarget::Url);
    let secret = endpoint.url_from.as_ref().map(|source| &source.secret_key_ref);
    let secret = secret
        .and_then(|key| problems.secret("spec.endpoint.urlFrom.secretKeyRef", &key.name, &key.key))
        .map(ValidTarget::Secret);
    let service = endpoint.service.as_ref().and_then(|named| service(named, problems)).map(ValidTarget::Service);
    let tls = match &endpoint.tls {
        None => Some(None),
        Some(named) => tls(endpoint, named, problems).map(Some),
    };
    let headers = headers(&endpoint.headers, problems);
    let timeout = problems.seconds("spec.endpoint.timeoutSeconds", endpoint.timeout_seconds, 1, 30);
    let max_in_flight = problems.range("spec.endpoint.maxInFlight", endpoint.max_in_flight, 1, 64);
    let method = match endpoint.method {
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
    };
    Some(ValidEndpoint {
        target: literal.or(secret).or(service)?,
        tls: tls?,
        method,
        headers,
        timeout: timeout?,
        max_in_flight: max_in_flight?,
    })
}

fn service(named: &ServiceRef, problems: &mut Problems) -> Option<ServiceTarget> {
    let ServiceRef { name, port, path, scheme } = named;
    let known = syntax::is_dns_label(name);
    if !known {
        let message = "must be the name of a Service in the same namespace: lower case letters, digits and -";
        problems.invalid("spec.endpoint.service.name", message);
    }
    let port = match port {
        IntOrString::Int(number) => {
            problems.range("spec.endpoint.service.port", *number, 1, 65_535).map(ServicePort::Number)
        }
        IntOrString::String(text) if syntax::is_dns_label(text) => Some(ServicePort::Name(text.clone())),
        IntOrString::String(_) => {
            let message = "must be a port's number, or its name: lower case letters, digits and -";
            problems.invalid("spec.endpoint.service.port", message);
            None
        }
    };
    let written = path.len() <= 1024
        && path.starts_with('/')
        && path.bytes().all(|b| (0x21..=0x7e).contains(&b) && !matches!(b, b'\\' | b'#'));
    if !written {
        let message = "must start with / and be printable ASCII without whitespace, backslashes and #, of at most 1024 \
                       characters; percent-encode them";
        problems.invalid("spec.endpoint.service.path", message);
    }
    let tls = match scheme {
        Scheme::Http => false,
        Scheme::Https => true,
    };
    let port = port.filter(|_| known && written)?;
    Some(ServiceTarget { name: name.clone(), port, tls, path: path.clone() })
}

fn tls(endpoint: &Endpoint, named: &Tls, problems: &mut Problems) -> Option<TlsTarget> {
    const AT: &str = "spec.endpoint.tls";
    let before = problems.0.len();
    let plain_url = endpoint.url.as_deref().is_some_and(|url| url.to_ascii_lowercase().starts_with("http:"));
    let plain_service = endpoint.service.as_ref().is_some_and(|service| service.scheme == Scheme::Http);
    if plain_url || plain_service {
        let message =
            "must be left out unless the url is https, or the service's scheme HTTPS: it would have no effect";
        problems.invalid(AT, message);
    }
    let Tls { ca_ref, client_certificate_secret_ref, server_name } = named;
    if ca_ref.is_none() && client_certificate_secret_ref.is_none() && server_name.is_none() {
        problems.invalid(AT, "must have at least one of caRef, clientCertificateSecretRef and serverName");
    }
    if let Some(CaRef { kind: _, name, key }) = ca_ref {
        if !syntax::is_dns_subdomain(name) {
            let message = "must be the name of a ConfigMap or Secret: lower case letters, digits, - and .";
            problems.invalid(format!("{AT}.caRef.name"), message);
        }
        if !syntax::is_secret_key(key) {
            let message = "must be a key of the ConfigMap or Secret: letters, digits, -, _ and .";
            problems.invalid(format!("{AT}.caRef.key"), message);
        }
    }
    let client = client_certificate_secret_ref.as_ref().map(|secret| secret.name.clone());
    if client.as_ref().is_some_and(|name| !syntax::is_dns_subdomain(name)) {
        let message = "must be the name of a Secret: lower case letters, digits, - and .";
        problems.invalid(format!("{AT}.clientCertificateSecretRef.name"), message);
    }
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let is_host = |name: &str| syntax::is_dns_subdomain(name) && !name.rsplit('.').next().is_some_and(is_number);
    if server_name.as_ref().is_some_and(|name| !is_host(name)) {
        let message = "must be a host name in lower case, as the certificate has it, not an address";
        problems.invalid(format!("{AT}.serverName"), message);
    }
    let ca = ca_ref.as_ref().map(|CaRef { kind, name, key }| {
        let key = SecretKey { name: name.clone(), key: key.clone() };
        match kind {
            CaKind::ConfigMap => CaSource::ConfigMap(key),
            CaKind::Secret => CaSource::Secret(key),
        }
    });
    (problems.0.len() == before).then(|| TlsTarget { ca, client, server_name: server_name.clone() })
}

/// The raw text is judged before it is parsed: a parser would drop line breaks and turn backslashes round.
fn url(text: &str, check_url: impl Fn(&str) -> Result<Url, String>, problems: &mut Problems) -> Option<Url> {
    match delivery::url::written(text) {
        Err(message) => problems.invalid("spec.endpoint.url", message),
        Ok(()) => match check_url(text) {
            Ok(url) => return Some(url),
            Err(message) => problems.add("spec.endpoint.url", Reason::AddressRefused, message),
        },
    }
    None
}

fn headers(headers: &[Header], problems: &mut Problems) -> Vec<ValidHeader> {
    if headers.len() > 32 {
        problems.invalid("spec.endpoint.headers", "must have at most 32 entries");
    }
    let mut seen = BTreeSet::new();
    let mut checked = Vec::with_capacity(headers.len());
    for (index, header) in headers.iter().enumerate() {
        let path = format!("spec.endpoint.headers[{index}]");
        let name = name(&format!("{path}.name"), &header.name, problems);
        if !seen.insert(header.name.to_ascii_lowercase()) {
            let message = "must have each name once, upper and lower case being the same; remove the duplicate";
            problems.invalid(format!("{path}.name"), message);
        }
        let value = value(&path, header, problems);
        checked.extend(name.zip(value).map(|(name, value)| ValidHeader { name, value }));
    }
    checked
}

fn name(path: &str, text: &str, problems: &mut Problems) -> Option<HeaderName> {
    let lower = text.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        problems.invalid(path, "is reserved: changehook or the connection sets this header itself; remove it");
        return None;
    }
    let name = HeaderName::from_bytes(lower.as_bytes()).ok().filter(|_| syntax::is_token(text));
    if name.is_none() {
        problems
            .invalid(path, "must be a header name: letters, digits, - and the like; no spaces, colons or line breaks");
    }
    name
}

fn value(path: &str, header: &Header, problems: &mut Problems) -> Option<ValidHeaderValue> {
    match (&header.value, &header.value_from) {
        (Some(text), None) => {
            let literal = HeaderValue::from_str(text).ok().filter(|_| syntax::is_header_value(text));
            let Some(mut literal) = literal else {
                let message = "must be printable ASCII without line breaks or control characters, and without spaces \
                               at its ends";
                problems.invalid(format!("{path}.value"), message);
                return None;
            };
            literal.set_sensitive(true);
            Some(ValidHeaderValue::Literal(literal))
        }
        (None, Some(source)) => {
            let (path, key) = (format!("{path}.valueFrom.secretKeyRef"), &source.secret_key_ref);
            problems.secret(&path, &key.name, &key.key).map(ValidHeaderValue::Secret)
        }
        (None, None) | (Some(_), Some(_)) => {
            problems.invalid(path, "must have exactly one of value and valueFrom");
            None
        }
    }
}
