//! What a user calls a kind, found in what the API server serves: plural, singular, kind or short name, then, if need be,
//! version and group, as for kubectl.
//!
//! Touches nothing; the documents come in. Invariants: nothing is guessed, neither a plural nor a group; what cannot be
//! watched in a namespace is never chosen; a name that fits several kinds is an error that says how to write each.

use serde::Deserialize;
use serde_json::Value;

/// What is asked for: everything at once, as of Kubernetes 1.26.
pub const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// A kind that the API server serves, in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// Plural.
    pub plural: String,
    /// The kind's own name.
    pub kind: String,
    singular: String,
    short: Vec<String>,
    namespaced: bool,
    watchable: bool,
}

impl Kind {
    /// `apps/v1`, `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The one way to write it that fits nothing else.
    pub fn full_name(&self) -> String {
        format!("{}.{}.{}", self.plural, self.version, self.group)
    }

    /// Whether a WebhookSubscription can watch it.
    fn usable(&self) -> bool {
        self.namespaced && self.watchable
    }
}

#[derive(Deserialize)]
struct Document {
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    #[serde(rename = "resource")]
    plural: String,
    response_kind: Option<ResponseKind>,
    scope: String,
    #[serde(default, rename = "singularResource")]
    singular: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    kind: String,
}

/// The kinds of the two documents `/api` and `/apis`, each group's preferred version first; `None` if a document is not
/// of the form that was asked for.
pub fn read(documents: [Value; 2]) -> Option<Vec<Kind>> {
    let mut kinds = Vec::new();
    for document in documents {
        let document: Document = serde_json::from_value(document).ok()?;
        if document.kind != "APIGroupDiscoveryList" {
            return None;
        }
        for group in document.items {
            for version in group.versions {
                for resource in version.resources {
                    let Some(answer) = resource.response_kind else { continue };
                    let has = |verb: &str| resource.verbs.iter().any(|found| found == verb);
                    kinds.push(Kind {
                        group: group.metadata.name.clone(),
                        version: version.version.clone(),
                        watchable: has("list") && has("watch"),
                        plural: resource.plural,
                        kind: answer.kind,
                        singular: resource.singular,
                        short: resource.short_names,
                        namespaced: resource.scope == "Namespaced",
                    });
                }
            }
        }
    }
    Some(kinds)
}

/// The kind a user means.
pub fn resolve<'a>(wanted: &str, kinds: &'a [Kind]) -> Result<&'a Kind, String> {
    let (name, rest) = match wanted.split_once('.') {
        Some((name, rest)) => (name.to_lowercase(), Some(rest)),
        None => (wanted.to_lowercase(), None),
    };
    let in_place = |kind: &&Kind| match rest {
        None => true,
        Some(rest) => {
            // the core group has no name: pods.v1
            rest == kind.group
                || rest == format!("{}.{}", kind.version, kind.group)
                || (kind.group.is_empty() && rest == kind.version)
        }
    };
    let named = |kind: &&Kind| kind.plural == name || kind.singular == name || kind.kind.to_lowercase() == name;
    let short = |kind: &&Kind| kind.short.contains(&name);
    let mut found: Vec<&Kind> = kinds.iter().filter(in_place).filter(named).collect();
    if found.is_empty() {
        found = kinds.iter().filter(in_place).filter(short).collect();
    }
    let Some(first) = found.first().copied() else {
        return Err(format!(
            "--resource {wanted}: the API server serves no such kind; kubectl api-resources lists what there is"
        ));
    };
    if !found.iter().any(|kind| kind.namespaced) {
        return Err(format!(
            "--resource {wanted}: {} objects do not belong to a namespace, and a WebhookSubscription watches its own \
             namespace only; leave it out, or write a ClusterWebhookSubscription",
            first.kind
        ));
    }
    let mut usable: Vec<&Kind> = found.into_iter().filter(|kind| kind.usable()).collect();
    // of one group the version it prefers, which comes first
    let mut groups: Vec<&str> = Vec::new();
    usable.retain(|kind| {
        let new = !groups.contains(&kind.group.as_str());
        groups.push(&kind.group);
        new
    });
    match usable.as_slice() {
        [] => Err(format!("--resource {wanted}: {} objects cannot be listed and watched; leave it out", first.kind)),
        [one] => Ok(one),
        several => {
            let each: Vec<String> = several.iter().map(|kind| kind.full_name()).collect();
            Err(format!("--resource {wanted} fits several kinds; write one of {}", each.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn served() -> Vec<Kind> {
        let resource = |plural: &str, kind: &str, singular: &str, short: Value, scope: &str, verbs: Value| {
            json!({"resource": plural, "responseKind": {"group": "", "version": "", "kind": kind}, "scope": scope,
                "singularResource": singular, "shortNames": short, "verbs": verbs})
        };
        let all = || json!(["get", "list", "watch"]);
        let list = |items: Value| json!({"kind": "APIGroupDiscoveryList", "items": items});
        let core = list(json!([{"versions": [{"version": "v1", "resources": [
            resource("pods", "Pod", "pod", json!(["po"]), "Namespaced", all()),
            resource("events", "Event", "event", json!(["ev"]), "Namespaced", all()),
            resource("nodes", "Node", "node", json!(["no"]), "Cluster", all()),
            resource("bindings", "Binding", "binding", json!([]), "Namespaced", json!(["create"])),
        ]}]}]));
        let apps = |version: &str| {
            json!({"version": version, "resources": [
            resource("deployments", "Deployment", "deployment", json!(["deploy"]), "Namespaced", all())]})
        };
        let groups = list(json!([
            {"metadata": {"name": "apps"}, "versions": [apps("v1"), apps("v1beta1")]},
            {"metadata": {"name": "events.k8s.io"}, "versions": [{"version": "v1", "resources": [
                resource("events", "Event", "event", json!(["ev"]), "Namespaced", all())]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "resources": [
                resource("pods", "PodMetrics", "", json!([]), "Namespaced", json!(["get", "list"]))]}]},
        ]));
        read([core, groups]).unwrap()
    }

    fn found(wanted: &str) -> String {
        resolve(wanted, &served()).map_or_else(|error| error, |kind| format!("{} {}", kind.api_version(), kind.kind))
    }

    #[test]
    fn plural_singular_kind_short_name_group_and_version_all_lead_to_the_kind() {
        for wanted in ["deployments", "deployment", "Deployment", "deploy", "deployments.apps", "deployments.v1.apps"] {
            assert_eq!(found(wanted), "apps/v1 Deployment", "{wanted}");
        }
        assert_eq!(found("deploy.v1beta1.apps"), "apps/v1beta1 Deployment");
        // what cannot be watched is no rival
        assert_eq!(found("pods"), "v1 Pod");
        assert_eq!((found("pods.v1."), found("pods.v1")), ("v1 Pod".to_owned(), "v1 Pod".to_owned()));
    }

    #[test]
    fn a_name_that_fits_several_kinds_says_how_to_write_each_and_each_of_them_works() {
        let error = found("events");
        assert_eq!(error, "--resource events fits several kinds; write one of events.v1., events.v1.events.k8s.io");
        assert_eq!(found("events.v1."), "v1 Event");
        assert_eq!(found("events.v1.events.k8s.io"), "events.k8s.io/v1 Event");
    }

    #[test]
    fn what_is_unknown_cluster_wide_or_unwatchable_is_refused_with_the_reason() {
        assert!(found("gizmos").contains("serves no such kind"));
        assert!(found("deployments.extensions").contains("serves no such kind"));
        assert!(found("nodes").contains("Node objects do not belong to a namespace"));
        assert!(found("bindings").contains("cannot be listed and watched"));
    }

    #[test]
    fn an_answer_in_another_form_is_noticed() {
        assert_eq!(read([json!({"kind": "APIVersions"}), json!({"kind": "APIGroupList"})]), None);
    }
}
