//! What an account was granted and what it asked for, compared both ways.
//!
//! Granted is what the API server has: each rule of each role that is bound to the account itself, taken apart. Asked for is
//! what the API server's audit log has of it. A group's rights, such as that of every account to discovery, are not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use testbed::audit::AuditEntry;

use crate::site::Site;

/// One verb on one resource, as one rule of one role grants it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    role: String,
    /// Where: everywhere if there is none.
    namespace: Option<String>,
    pub group: String,
    /// `pods`, `pods/status`.
    pub resource: String,
    pub verb: String,
    /// Of this object only.
    name: Option<String>,
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    namespace: String,
    group: String,
    pub resource: String,
    pub verb: String,
    name: String,
}

/// All requests of an account, by what they were for and how often they came.
#[derive(Debug, Default)]
pub struct Uses {
    pub resources: BTreeMap<Use, usize>,
    /// Paths that are no resources.
    pub paths: BTreeSet<String>,
    /// Requests that were answered 403.
    pub forbidden: Vec<String>,
}

impl Grant {
    fn covers(&self, used: &Use) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == used.namespace)
            && (&self.group, &self.resource, &self.verb) == (&used.group, &used.resource, &used.verb)
            && self.name.as_ref().is_none_or(|name| *name == used.name)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, namespace, group, resource, verb, name } = self;
        let namespace = namespace.as_deref().unwrap_or("all namespaces");
        write!(f, "{role}: {verb} {resource}.{group} {} in {namespace}", name.as_deref().unwrap_or_default())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

async fn list(site: &Site, kind: &str) -> Vec<Value> {
    let all = site.kubectl(&["get", kind, "--all-namespaces", "--output=json"]).await;
    let all: Value = serde_json::from_str(&all).unwrap();
    all["items"].as_array().unwrap().clone()
}

/// What is bound to a ServiceAccount, rule by rule; what two rules grant is there twice.
pub async fn grants(site: &Site, (namespace, account): (&str, &str)) -> Vec<Grant> {
    let mut all = Vec::new();
    for kind in ["rolebindings", "clusterrolebindings"] {
        for binding in list(site, kind).await {
            let is_it = |subject: &Value| {
                subject["kind"] == "ServiceAccount" && subject["name"] == account && subject["namespace"] == namespace
            };
            if !binding["subjects"].as_array().into_iter().flatten().any(is_it) {
                continue;
            }
            let place = binding["metadata"]["namespace"].as_str();
            let (kind, name) = (text(&binding["roleRef"]["kind"]), text(&binding["roleRef"]["name"]));
            let role = site.get(place.unwrap_or_default(), &kind, &name).await;
            for rule in role["rules"].as_array().into_iter().flatten() {
                assert!(rule["nonResourceURLs"].is_null(), "{name}: {rule}");
                all.extend(apart(&format!("{kind} {name}"), place, rule));
            }
        }
    }
    all
}

fn apart(of: &str, namespace: Option<&str>, rule: &Value) -> Vec<Grant> {
    let mut names: Vec<_> = texts(&rule["resourceNames"]).into_iter().map(Some).collect();
    if names.is_empty() {
        names.push(None);
    }
    let mut all = Vec::new();
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                all.extend(names.iter().map(|name| Grant {
                    role: of.to_owned(),
                    namespace: namespace.map(str::to_owned),
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    name: name.clone(),
                }));
            }
        }
    }
    all
}

/// What a user asked for so far.
pub fn uses(log: Vec<AuditEntry>, account: &str) -> Uses {
    let mut found = Uses::default();
    let mut counted = BTreeSet::new();
    for entry in log.into_iter().filter(|entry| entry.user.username == account) {
        if entry.response_status.is_some_and(|status| status.code == 403) {
            found.forbidden.push(format!("{} {}", entry.verb, entry.request_uri));
        }
        // a watch is logged when it begins, and again when it ends
        if !counted.insert(entry.audit_id) {
            continue;
        }
        let Some(object) = entry.object_ref else {
            found.paths.insert(entry.request_uri.split('?').next().unwrap_or_default().to_owned());
            continue;
        };
        let resource = [object.resource, object.subresource].join("/");
        let request = Use {
            namespace: object.namespace,
            group: object.api_group,
            resource: resource.trim_end_matches('/').to_owned(),
            verb: entry.verb,
            name: object.name,
        };
        *found.resources.entry(request).or_default() += 1;
    }
    found
}

impl Uses {
    /// Grants that no request needed.
    pub fn unused<'a>(&self, grants: &'a [Grant]) -> Vec<&'a Grant> {
        grants.iter().filter(|grant| !self.resources.keys().any(|used| grant.covers(used))).collect()
    }

    /// Requests that no grant covers.
    pub fn missing(&self, grants: &[Grant]) -> Vec<&Use> {
        self.resources.keys().filter(|used| !grants.iter().any(|grant| grant.covers(used))).collect()
    }

    /// Requests that more than one grant covers: one of these could go.
    pub fn twice<'a>(&self, grants: &'a [Grant]) -> Vec<Vec<&'a Grant>> {
        let covering = |used| grants.iter().filter(|grant| grant.covers(used)).collect::<Vec<_>>();
        self.resources.keys().map(covering).filter(|all| all.len() > 1).collect()
    }
}
