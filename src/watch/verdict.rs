//! What is said to people when a kind cannot be watched.
//!
//! Pure. Invariant: the same situation is told in the same words, so that nothing is told twice.

use changehook_core::object::{Gvk, SourceId};

use super::discover::Target;
use super::request::CallError;
use super::state::SourceState;

/// A call that a permission, or something else, refused.
pub(super) fn refused(id: &SourceId, verb: &'static str, target: &Target, error: &CallError) -> SourceState {
    if error.code() != Some(403) {
        return failed(verb, target, error);
    }
    let (place, role) = match &id.namespace {
        Some(namespace) => (format!("in namespace {namespace}"), "Role"),
        None => ("in the whole cluster".to_owned(), "ClusterRole"),
    };
    SourceState::Forbidden {
        message: format!(
            "changehook may not {verb} {} {place}; a {role} bound to its ServiceAccount needs the rule \
             {{apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [\"list\", \"watch\"]}}",
            target.resource, id.gvk.group, target.plural
        ),
    }
}

/// A call that failed.
pub(super) fn failed(verb: &'static str, target: &Target, error: &CallError) -> SourceState {
    SourceState::Failing { message: format!("failed to {verb} {}: {error}", target.resource) }
}

/// Discovery failed, so nothing is known.
pub(super) fn undiscovered(id: &SourceId, error: &CallError) -> SourceState {
    if error.code() == Some(403) {
        return SourceState::Forbidden {
            message: format!(
                "changehook may not read the API server's discovery of {}; the ClusterRole system:discovery allows it",
                id.gvk.api_version()
            ),
        };
    }
    SourceState::Failing { message: format!("failed to find out whether {} is served: {error}", id.gvk) }
}

/// No list, no watch.
pub(super) fn lacks_verbs(id: &SourceId, missing: &[&'static str]) -> SourceState {
    SourceState::NotWatchable { message: format!("{} does not support {}", id.gvk, missing.join(" and ")) }
}

/// A namespace of a kind that has none.
pub(super) fn cluster_scoped(id: &SourceId) -> SourceState {
    SourceState::NotWatchable { message: format!("{} is cluster-scoped and cannot be watched in a namespace", id.gvk) }
}

/// Not served, or served in other versions only.
pub(super) fn not_installed(id: &SourceId, elsewhere: &[String]) -> SourceState {
    let message = if elsewhere.is_empty() {
        format!("the API server does not serve {}", id.gvk)
    } else {
        let served: Vec<String> =
            elsewhere.iter().map(|version| Gvk { version: version.clone(), ..id.gvk.clone() }.api_version()).collect();
        format!("the API server does not serve {}, but serves {} as {}", id.gvk, id.gvk.kind, served.join(", "))
    };
    SourceState::NotInstalled { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(api_version: &str, kind: &str, namespace: Option<&str>) -> SourceId {
        SourceId { gvk: Gvk::new(api_version, kind), namespace: namespace.map(str::to_owned) }
    }

    #[test]
    fn a_kind_served_in_another_version_is_told_with_that_version() {
        let state = not_installed(&id("example.com/v1", "Widget", None), &["v2".into(), "v3".into()]);
        let message = "the API server does not serve example.com/v1 Widget, \
                       but serves Widget as example.com/v2, example.com/v3";
        assert_eq!(state, SourceState::NotInstalled { message: message.into() });
    }

    #[test]
    fn missing_verbs_are_named() {
        let state = lacks_verbs(&id("v1", "Binding", None), &["list", "watch"]);
        assert_eq!(state, SourceState::NotWatchable { message: "v1 Binding does not support list and watch".into() });
    }
}
