//! Where changes are sent.
//!
//! Touches nothing. Invariant: Debug shows neither the URL nor a header's value; both may hold credentials.

use std::fmt;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::reference::{SecretRef, SecretSource};

/// An HTTP endpoint. Exactly one of `url`, `urlFrom` and `service` says where it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its URL: https, or http where the operator's configuration allows it. No user information and no fragment.
    /// Private, loopback and link-local addresses are refused unless the operator's configuration allows them.
    /// Redirects are never followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// Its URL, from a Secret: for URLs that are credentials themselves. It is checked like `url` whenever it is read, and
    /// nothing but its host is ever shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_from: Option<SecretSource>,
    /// A Service in the same namespace. Its ClusterIP is dialled, which may be private; the host and the name on its
    /// certificate are `NAME.NAMESPACE.svc`. ExternalName, headless and selectorless Services are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,
    /// The HTTP method of every request.
    #[serde(default)]
    pub method: Method,
    /// More request headers. Names that changehook or the connection needs are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub headers: Vec<Header>,
    /// How long one request may take, from the connection to the end of the answer.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 30))]
    pub timeout_seconds: i32,
    /// How many requests may be under way at once, over all objects. For one object it is always one.
    #[serde(default = "default_in_flight")]
    #[schemars(range(min = 1, max = 64))]
    pub max_in_flight: i32,
    /// TLS settings, for an https endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// The HTTP method of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

/// One request header, with exactly one of `value` and `valueFrom`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The header's name; upper and lower case are the same.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its value, in printable ASCII. Everyone who may read this object can read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Its value, from a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretSource>,
}

/// A port of a Service in the same namespace, and what is asked of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// The Service's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The port of the Service, by its number or its name.
    #[schemars(schema_with = "port_schema")]
    pub port: IntOrString,
    /// The path of the request, with a query if need be.
    #[serde(default = "root")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// HTTP or HTTPS. HTTP needs no leave of the operator's configuration here: it does not leave the cluster.
    #[serde(default)]
    pub scheme: Scheme,
}

/// How a Service is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// Plain text.
    #[default]
    Http,
    /// TLS.
    Https,
}

/// TLS settings of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The certificate authorities that are trusted, in PEM, instead of the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,
    /// A Secret of type kubernetes.io/tls with the client's certificate (`tls.crt`) and its key (`tls.key`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretRef>,
    /// The name that the server's certificate must have, instead of the URL's host; the request's Host stays that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
}

/// Certificates in a ConfigMap or Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// Whether they are in a ConfigMap or in a Secret.
    pub kind: CaKind,
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within it.
    #[serde(default = "ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What holds the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

fn root() -> String {
    "/".to_owned()
}

/// A number or a name, each with its bounds: what the API's own type leaves open.
fn port_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "maximum": 65535,
        "maxLength": 63,
        "pattern": "^[a-z0-9]+(-+[a-z0-9]+)*$",
    })
}

fn ca_key() -> String {
    "ca.crt".to_owned()
}

fn default_timeout() -> i32 {
    10
}

fn default_in_flight() -> i32 {
    16
}

/// Stands for a value that is not shown.
fn hidden<T>(value: Option<&T>) -> &'static str {
    if value.is_some() { "(not shown)" } else { "-" }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, url_from, service, method, headers, timeout_seconds, max_in_flight, tls } = self;
        f.debug_struct("Endpoint")
            .field("url", &hidden(url.as_ref()))
            .field("url_from", url_from)
            .field("service", service)
            .field("method", method)
            .field("headers", headers)
            .field("timeout_seconds", timeout_seconds)
            .field("max_in_flight", max_in_flight)
            .field("tls", tls)
            .finish()
    }
}

impl fmt::Debug for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port, path, scheme } = self;
        f.debug_struct("ServiceRef")
            .field("name", name)
            .field("port", port)
            .field("path", &hidden(Some(path)))
            .field("scheme", scheme)
            .finish()
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, value_from } = self;
        f.debug_struct("Header")
            .field("name", name)
            .field("value", &hidden(value.as_ref()))
            .field("value_from", value_from)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_neither_the_url_nor_a_header_value() {
        let endpoint: Endpoint = serde_json::from_value(serde_json::json!({
            "url": "https://hooks.example/T0/s3cret?token=s3cret",
            "headers": [{"name": "authorization", "value": "Bearer s3cret"}],
        }))
        .unwrap();
        let shown = format!("{endpoint:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("authorization"), "{shown}");
        let service = serde_json::json!({"service": {"name": "receiver", "port": "http", "path": "/s3cret"}});
        let shown = format!("{:?}", serde_json::from_value::<Endpoint>(service).unwrap());
        assert!(!shown.contains("s3cret") && shown.contains("receiver"), "{shown}");
    }
}
