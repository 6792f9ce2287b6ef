//! Where a kind is served: plural, scope and verbs are read from discovery, never guessed.
//!
//! Invariants: sources of one group and version share one request; that nothing serves a kind is only said after
//! every version of its group has answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use changehook_core::object::{Gvk, SourceId};
use http::Request;
use serde::Deserialize;
use tokio::time::Instant;

use super::request::{self, CallError};
use super::settings::Settings;

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// Metadata where that is served: some aggregated APIs know whole objects only.
const NAMES_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
/// A discovery document; the largest real ones are a few hundred kilobytes.
const DOCUMENT_BYTES: usize = 8 << 20;

/// A kind's collection at the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    path: String,
    /// `widgets.example.com`, or `pods` for the core group.
    pub(super) resource: String,
    /// Plural.
    pub(super) plural: String,
    /// Whether the kind has namespaces.
    pub(super) namespaced: bool,
    /// Only metadata is asked for.
    pub(super) metadata_only: bool,
}

impl Target {
    pub(super) fn list(&self, query: &[(&str, &str)]) -> Result<Request<Vec<u8>>, CallError> {
        request::get(&self.path, query, if self.metadata_only { METADATA_LIST } else { JSON })
    }

    /// A list of which only names, uids and versions are of interest.
    pub(super) fn names(&self, query: &[(&str, &str)]) -> Result<Request<Vec<u8>>, CallError> {
        request::get(&self.path, query, if self.metadata_only { METADATA_LIST } else { NAMES_LIST })
    }

    pub(super) fn watch(&self, query: &[(&str, &str)]) -> Result<Request<Vec<u8>>, CallError> {
        let mut whole = vec![("watch", "true"), ("allowWatchBookmarks", "true")];
        whole.extend_from_slice(query);
        request::get(&self.path, &whole, if self.metadata_only { METADATA } else { JSON })
    }
}

/// What discovery says of a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Here(Target),
    /// The group and version do not serve the kind.
    Missing,
    /// The kind lacks these verbs.
    Verbs(Vec<&'static str>),
    /// The kind has no namespaces, but one is to be watched.
    ClusterScoped,
}

/// Where a kind's objects are, for those who ask about rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// Under this plural.
    As(String),
    /// Nowhere, or not to be listed and watched.
    Nowhere,
    /// That could not be found out; for people.
    Unknown(String),
}

#[derive(Clone, Debug, Deserialize)]
struct Resource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct ResourceList {
    resources: Option<Vec<Resource>>,
}

#[derive(Deserialize)]
struct GroupList {
    groups: Option<Vec<Group>>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
}

#[derive(Deserialize)]
struct CoreVersions {
    versions: Vec<String>,
}

/// When one group and version was asked, and what it said; `None` if it is not served.
type Document = (Instant, Result<Option<Arc<Vec<Resource>>>, CallError>);

/// Discovery, shared by all sources.
pub(super) struct Discovery {
    client: kube::Client,
    within: Duration,
    keep: Duration,
    documents: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Document>>>>>,
}

impl Discovery {
    pub(super) fn new(client: kube::Client, settings: &Settings) -> Self {
        Self {
            client,
            within: settings.call_timeout,
            keep: settings.discovery_ttl,
            documents: Mutex::new(HashMap::new()),
        }
    }

    /// Where `id` is served, from an answer no older than `max_age`.
    pub(super) async fn find(&self, id: &SourceId, max_age: Duration) -> Result<Found, CallError> {
        let gvk = &id.gvk;
        let Some(path) = path_of(&gvk.group, &gvk.version) else { return Ok(Found::Missing) };
        let Some(resources) = self.document(&path, max_age).await? else { return Ok(Found::Missing) };
        let of_kind: Vec<&Resource> = of_kind(&resources, &gvk.kind).collect();
        let missing = |resource: &Resource| -> Vec<&'static str> {
            ["list", "watch"].into_iter().filter(|verb| !resource.verbs.iter().any(|v| v == verb)).collect()
        };
        let Some(resource) = of_kind.iter().min_by_key(|resource| missing(resource).len()) else {
            return Ok(Found::Missing);
        };
        let missing = missing(resource);
        if !missing.is_empty() {
            return Ok(Found::Verbs(missing));
        }
        let plural = resource.name.clone();
        let path = match &id.namespace {
            Some(_) if !resource.namespaced => return Ok(Found::ClusterScoped),
            Some(namespace) => format!("{path}/namespaces/{namespace}/{plural}"),
            None => format!("{path}/{plural}"),
        };
        Ok(Found::Here(Target {
            path,
            resource: if gvk.group.is_empty() { plural.clone() } else { format!("{plural}.{}", gvk.group) },
            plural,
            namespaced: resource.namespaced,
            // the content of Secrets is never read for a watch
            metadata_only: gvk.group.is_empty() && gvk.kind == "Secret",
        }))
    }

    /// Under which name a kind is served. That it is not is never taken from memory.
    pub(super) async fn served(&self, gvk: &Gvk) -> Served {
        let id = SourceId { gvk: gvk.clone(), namespace: None };
        for max_age in [self.keep, Duration::ZERO] {
            match self.find(&id, max_age).await {
                Ok(Found::Here(target)) => return Served::As(target.plural),
                Ok(Found::Missing | Found::Verbs(_) | Found::ClusterScoped) => {}
                Err(error) => return Served::Unknown(format!("failed to look where {gvk} is served: {error}")),
            }
        }
        Served::Nowhere
    }

    /// The versions of its group that serve the kind: a complete discovery, nothing of it remembered.
    pub(super) async fn served_versions(&self, gvk: &Gvk) -> Result<Vec<String>, CallError> {
        let versions = if gvk.group.is_empty() {
            self.read::<CoreVersions>("/api").await?.versions
        } else {
            let groups = self.read::<GroupList>("/apis").await?.groups.unwrap_or_default();
            let group = groups.into_iter().find(|group| group.name == gvk.group);
            group.map(|group| group.versions.into_iter().map(|v| v.version).collect()).unwrap_or_default()
        };
        let mut serving = Vec::new();
        for version in versions {
            let Some(path) = path_of(&gvk.group, &version) else { continue };
            if let Some(resources) = self.document(&path, Duration::ZERO).await?
                && of_kind(&resources, &gvk.kind).next().is_some()
            {
                serving.push(version);
            }
        }
        Ok(serving)
    }

    async fn document(&self, path: &str, max_age: Duration) -> Result<Option<Arc<Vec<Resource>>>, CallError> {
        let place = {
            let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
            // what nobody reads and nobody would be given any more
            documents.retain(|_, place| {
                Arc::strong_count(place) > 1
                    || place
                        .try_lock()
                        .is_ok_and(|document| document.as_ref().is_some_and(|d| d.0.elapsed() <= self.keep))
            });
            documents.entry(path.to_owned()).or_default().clone()
        };
        let asked = Instant::now();
        let mut document = place.lock().await;
        // an answer asked for while this one waited its turn is as fresh as its own would be
        if let Some((at, said)) = &*document
            && (*at >= asked || at.elapsed() < max_age.min(self.keep))
        {
            return said.clone();
        }
        let started = Instant::now();
        let said = match self.read::<ResourceList>(path).await {
            Ok(list) => Ok(Some(Arc::new(list.resources.unwrap_or_default()))),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error),
        };
        *document = Some((started, said.clone()));
        said
    }

    async fn read<T: for<'a> Deserialize<'a>>(&self, path: &str) -> Result<T, CallError> {
        let text = request::text(&self.client, request::get(path, &[], JSON)?, self.within, DOCUMENT_BYTES).await?;
        serde_json::from_str(&text).map_err(|_| CallError::Malformed)
    }
}

fn of_kind<'a>(resources: &'a [Resource], kind: &'a str) -> impl Iterator<Item = &'a Resource> {
    // subresources are listed as `plural/status`, with kinds of their own or their parent's
    resources.iter().filter(move |resource| resource.kind == kind && !resource.name.contains('/'))
}

/// Where a group and version are served; `None` for names that no API can have, which must not get into a path.
fn path_of(group: &str, version: &str) -> Option<String> {
    let plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
    };
    match (group, version) {
        ("", version) if plain(version) => Some(format!("/api/{version}")),
        (group, version) if plain(group) && plain(version) => Some(format!("/apis/{group}/{version}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_api_has_never_gets_into_a_path() {
        assert_eq!(path_of("", "v1").as_deref(), Some("/api/v1"));
        assert_eq!(path_of("apps", "v1").as_deref(), Some("/apis/apps/v1"));
        for (group, version) in
            [("", ""), ("", "../apis"), ("a/b", "v1"), ("..", "v1"), ("a", ".."), ("a", "v1?x"), ("a", "")]
        {
            assert_eq!(path_of(group, version), None, "{group} {version}");
        }
    }
}
