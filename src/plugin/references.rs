//! What a subscription refers to, looked up with the user's rights: Secrets, authorities, watched kinds, the ServiceAccount.
//!
//! Touches the API server. Invariants: what is missing or forbidden is told in its place and the rest goes on; a value
//! of a Secret is neither kept nor shown; a forbidden look says nothing about what the operator may read.

use serde::Serialize;
use serde_json::Value;

use super::cli::StatusArgs;
use super::cluster::{Cluster, ClusterError};
use crate::api::endpoint::CaKind;
use crate::api::resources::{LabelOperator, Resource};
use crate::api::{SubscriptionKind, WebhookSubscriptionSpec};

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
/// The operator's namespace, if nobody says another.
const OPERATORS: &str = "changehook-system";
/// As many objects are counted; beyond that the count says "at least".
const COUNTED: usize = 500;

/// What looking one thing up gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// It is there.
    Found,
    /// It is not.
    Missing,
    /// The user may not look.
    Forbidden,
    /// It is there and cannot be used.
    Unusable,
    /// The API server gave no answer.
    Unknown,
}

/// One thing a subscription refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// The field of the spec.
    pub field: String,
    /// Secret, ServiceAccount, or the watched kind.
    pub kind: String,
    /// Its name; of a watched kind its apiVersion.
    pub name: String,
    /// What became of it.
    pub state: State,
    /// The same for people, with the remedy.
    pub message: String,
}

/// Where a subscription looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of which kind it is.
    pub kind: SubscriptionKind,
    /// The namespace of what it refers to; of a namespaced one also that of what it watches.
    pub home: String,
}

impl Place {
    /// As the command line says.
    pub fn of(arguments: &StatusArgs, cluster: &Cluster) -> Self {
        if arguments.cluster {
            let home = arguments.connection.namespace.clone().unwrap_or_else(|| OPERATORS.to_owned());
            Self { kind: SubscriptionKind::Cluster, home }
        } else {
            Self { kind: SubscriptionKind::Namespaced, home: cluster.namespace.clone() }
        }
    }
}

/// Looks everything up, in the order of the spec.
pub async fn look_up(cluster: &Cluster, place: &Place, spec: &WebhookSubscriptionSpec) -> Vec<Reference> {
    let mut found = Vec::new();
    for (index, resource) in spec.resources.iter().enumerate() {
        let (state, message) = watched(cluster, place, resource).await;
        found.push(Reference {
            field: format!("spec.resources[{index}]"),
            kind: resource.kind.clone(),
            name: resource.api_version.clone(),
            state,
            message,
        });
    }
    let signing = spec.signing.iter().flat_map(|signing| {
        let present = ("spec.signing.secretRef".to_owned(), &*signing.secret_ref.name, &*signing.secret_ref.key);
        let previous = signing
            .previous_secret_ref
            .iter()
            .map(|previous| ("spec.signing.previousSecretRef".to_owned(), &*previous.name, &*previous.key));
        std::iter::once(present).chain(previous)
    });
    let url = spec.endpoint.url_from.iter().map(|from| {
        let reference = &from.secret_key_ref;
        ("spec.endpoint.urlFrom.secretKeyRef".to_owned(), &*reference.name, &*reference.key)
    });
    let headers = spec.endpoint.headers.iter().enumerate().filter_map(|(index, header)| {
        let reference = &header.value_from.as_ref()?.secret_key_ref;
        let field = format!("spec.endpoint.headers[{index}].valueFrom.secretKeyRef");
        Some((field, reference.name.as_str(), reference.key.as_str()))
    });
    let tls = spec.endpoint.tls.iter();
    let client = tls.flat_map(|tls| &tls.client_certificate_secret_ref).flat_map(|secret| {
        ["tls.crt", "tls.key"]
            .map(|key| ("spec.endpoint.tls.clientCertificateSecretRef".to_owned(), &*secret.name, key))
    });
    let ca = spec.endpoint.tls.as_ref().and_then(|tls| tls.ca_ref.as_ref());
    let in_secret = ca.filter(|ca| ca.kind == CaKind::Secret);
    let in_secret = in_secret.map(|ca| ("spec.endpoint.tls.caRef".to_owned(), &*ca.name, &*ca.key));
    for (field, name, key) in signing.chain(url).chain(headers).chain(client).chain(in_secret) {
        let (state, message) = secret(cluster, &place.home, name, key).await;
        found.push(Reference { field, kind: "Secret".to_owned(), name: name.to_owned(), state, message });
    }
    if let Some(ca) = ca.filter(|ca| ca.kind == CaKind::ConfigMap) {
        let (state, message) = config_map(cluster, &place.home, &ca.name, &ca.key).await;
        let (field, kind) = ("spec.endpoint.tls.caRef".to_owned(), "ConfigMap".to_owned());
        found.push(Reference { field, kind, name: ca.name.clone(), state, message });
    }
    let account = &spec.service_account_name;
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}", place.home);
    let (state, message) = match cluster.get("read it", &path, JSON).await {
        Ok(_) => (State::Found, "found".to_owned()),
        Err(error) => told(&error, "create it"),
    };
    let field = "spec.serviceAccountName".to_owned();
    found.push(Reference { field, kind: "ServiceAccount".to_owned(), name: account.clone(), state, message });
    found
}

/// What an error says of a thing.
fn told(error: &ClusterError, remedy: &str) -> (State, String) {
    match error {
        ClusterError::NotFound { .. } => (State::Missing, format!("not found; {remedy}")),
        ClusterError::Forbidden { message, .. } => {
            (State::Forbidden, format!("you may not look, which says nothing about the operator: {message}"))
        }
        ClusterError::Kubeconfig(_)
        | ClusterError::Proxy(_)
        | ClusterError::Build(_)
        | ClusterError::Conflict { .. }
        | ClusterError::Refused { .. }
        | ClusterError::Timeout { .. }
        | ClusterError::Unreachable { .. }
        | ClusterError::Request { .. } => (State::Unknown, crate::chain::chain(error)),
    }
}

async fn secret(cluster: &Cluster, namespace: &str, name: &str, key: &str) -> (State, String) {
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    let remedy = format!("create it: kubectl create secret generic {name} -n {namespace} --from-literal={key}=…");
    match cluster.get("read it", &path, JSON).await {
        Ok(found) => match found["data"][key].as_str() {
            Some("") => (State::Unusable, format!("key {key} is empty; put a value into it")),
            Some(_) => (State::Found, format!("found, with key {key}")),
            None => (State::Missing, format!("found, without key {key}; add the key to it")),
        },
        Err(error) => told(&error, &remedy),
    }
}

async fn config_map(cluster: &Cluster, namespace: &str, name: &str, key: &str) -> (State, String) {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    let remedy = format!("create it: kubectl create configmap {name} -n {namespace} --from-file={key}=…");
    match cluster.get("read it", &path, JSON).await {
        Ok(found) if found["data"][key].is_string() => (State::Found, format!("found, with key {key}")),
        Ok(_) => (State::Missing, format!("found, without key {key}; add the key to it")),
        Err(error) => told(&error, &remedy),
    }
}

/// Whether a kind is served, and how many objects the user sees that are selected.
async fn watched(cluster: &Cluster, place: &Place, resource: &Resource) -> (State, String) {
    let version = &resource.api_version;
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let not_served = "install the kind, or correct apiVersion and kind";
    let served = match cluster.get("look the kind up", &root, JSON).await {
        Ok(served) => served,
        Err(error) => return told(&error, not_served),
    };
    let kinds = served["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let plural = kinds.iter().find_map(|found| {
        let name = found["name"].as_str()?;
        (found["kind"] == resource.kind.as_str() && !name.contains('/')).then_some(name)
    });
    let Some(plural) = plural else { return (State::Missing, format!("not found; {not_served}")) };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &COUNTED.to_string());
    let selector = selector(resource);
    if !selector.is_empty() {
        query.append_pair("labelSelector", &selector);
    }
    let (within, what) = match place.kind {
        SubscriptionKind::Namespaced => (format!("namespaces/{}/", place.home), "selected"),
        // Which namespaces are chosen is not looked up.
        SubscriptionKind::Cluster => (String::new(), "selected in all namespaces"),
    };
    let path = format!("{root}/{within}{plural}?{}", query.finish());
    match cluster.get("list it", &path, METADATA).await {
        Ok(list) => (State::Found, format!("served, {} {what}", counted(&list, resource))),
        Err(error) => told(&error, "nothing of this kind is in a namespace; remove the entry"),
    }
}

fn counted(list: &Value, resource: &Resource) -> String {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let selected = |item: &&Value| {
        resource.names.is_empty() || resource.names.iter().any(|name| item["metadata"]["name"] == name.as_str())
    };
    let count = items.iter().filter(selected).count();
    let more = list["metadata"]["continue"].as_str().is_some_and(|more| !more.is_empty());
    format!("{}{count}", if more { "at least " } else { "" })
}

/// The resource's label selector as a query has it.
fn selector(resource: &Resource) -> String {
    let Some(selector) = &resource.label_selector else { return String::new() };
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={}", value.0));
    let expressions = selector.match_expressions.iter().map(|expression| {
        let (key, values) = (&expression.key, expression.values.join(","));
        match expression.operator {
            LabelOperator::In => format!("{key} in ({values})"),
            LabelOperator::NotIn => format!("{key} notin ({values})"),
            LabelOperator::Exists => key.clone(),
            LabelOperator::DoesNotExist => format!("!{key}"),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}
