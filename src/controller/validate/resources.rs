//! The part of the check that is about kinds and selectors.
//!
//! Touches nothing. Invariant: what the operator itself writes while delivering cannot be selected.

use std::collections::BTreeSet;

use changehook_core::object::Gvk;

use super::{LabelRequirement, Problems, ValidLabels, ValidResource, syntax};
use crate::api::GROUP;
use crate::api::conditions::Reason;
use crate::api::resources::{LabelOperator, LabelSelector, Resource};

pub(super) fn check(resources: &[Resource], problems: &mut Problems) -> Vec<ValidResource> {
    if resources.is_empty() || resources.len() > 8 {
        problems.invalid("spec.resources", "must have 1 to 8 entries");
    }
    let mut seen = BTreeSet::new();
    let mut checked = Vec::with_capacity(resources.len());
    for (index, resource) in resources.iter().enumerate() {
        let path = format!("spec.resources[{index}]");
        let gvk = Gvk::new(&resource.api_version, &resource.kind);
        kind(&path, resource, &gvk, problems);
        if !seen.insert(gvk.group_kind()) {
            let message =
                "must name each kind once, whatever its version; merge the entries of the same group and kind";
            problems.invalid(&path, message);
        }
        let labels = match &resource.label_selector {
            Some(labels) => selector(&format!("{path}.labelSelector"), labels, problems),
            None => ValidLabels::default(),
        };
        let names = names(&format!("{path}.names"), &resource.names, problems);
        checked.push(ValidResource { gvk, labels, names });
    }
    checked
}

fn kind(path: &str, resource: &Resource, gvk: &Gvk, problems: &mut Problems) {
    if !syntax::is_api_version(&resource.api_version) {
        let message = "must be VERSION for the core group or GROUP/VERSION, such as v1 or apps/v1";
        problems.invalid(format!("{path}.apiVersion"), message);
    }
    if !syntax::is_kind(&resource.kind) {
        problems.invalid(format!("{path}.kind"), "must be a kind's name as in its manifests, such as Deployment");
    }
    if gvk.group == GROUP {
        let message = "must not be of changehook.dev: every delivery would cause the next one (feedback loop); remove \
                       the entry";
        problems.add(format!("{path}.apiVersion"), Reason::FeedbackLoop, message);
    }
    if gvk.group == "coordination.k8s.io" && gvk.kind == "Lease" {
        let message = "must not be Lease: the operator's own Lease changes every few seconds (feedback loop); remove \
                       the entry";
        problems.add(format!("{path}.kind"), Reason::FeedbackLoop, message);
    }
}

fn names(path: &str, names: &[String], problems: &mut Problems) -> BTreeSet<String> {
    if names.len() > 64 {
        problems.invalid(path, "must have at most 64 entries; select by labels instead");
    }
    if !names.iter().all(|name| syntax::is_object_name(name)) {
        problems.invalid(path, "must be names of objects; they are not empty and hold neither / nor %");
    }
    let unique: BTreeSet<String> = names.iter().cloned().collect();
    if unique.len() < names.len() {
        problems.invalid(path, "must have each name once; remove the duplicate");
    }
    unique
}

pub(super) fn selector(path: &str, selector: &LabelSelector, problems: &mut Problems) -> ValidLabels {
    let (labels, expressions) = (&selector.match_labels, &selector.match_expressions);
    if labels.len() > 32 {
        problems.invalid(format!("{path}.matchLabels"), "must have at most 32 labels");
    }
    if expressions.len() > 16 {
        problems.invalid(format!("{path}.matchExpressions"), "must have at most 16 requirements");
    }
    for (key, value) in labels {
        label_key(&format!("{path}.matchLabels"), key, problems);
        label_value(&format!("{path}.matchLabels"), &value.0, problems);
    }
    let expressions = expressions
        .iter()
        .enumerate()
        .map(|(index, wanted)| {
            let path = format!("{path}.matchExpressions[{index}]");
            label_key(&format!("{path}.key"), &wanted.key, problems);
            let needs_values = match wanted.operator {
                LabelOperator::In | LabelOperator::NotIn => true,
                LabelOperator::Exists | LabelOperator::DoesNotExist => false,
            };
            if needs_values == wanted.values.is_empty() {
                let message =
                    "must have at least one value for In and NotIn, and must be left out for Exists and DoesNotExist";
                problems.invalid(format!("{path}.values"), message);
            }
            if wanted.values.len() > 64 {
                problems.invalid(format!("{path}.values"), "must have at most 64 entries");
            }
            for value in &wanted.values {
                label_value(&format!("{path}.values"), value, problems);
            }
            LabelRequirement {
                key: wanted.key.clone(),
                operator: wanted.operator,
                values: wanted.values.iter().cloned().collect(),
            }
        })
        .collect();
    let match_labels = labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    ValidLabels { match_labels, expressions }
}

fn label_key(path: &str, key: &str, problems: &mut Problems) {
    if !syntax::is_label_key(key) {
        let message = "must have label keys of the form [PREFIX/]NAME: at most 63 letters, digits, -, _ and ., with a \
                       letter or digit at both ends; a prefix is a DNS name";
        problems.invalid(path, message);
    }
}

fn label_value(path: &str, value: &str, problems: &mut Problems) {
    if !syntax::is_label_value(value) {
        let message = "must have label values of at most 63 letters, digits, -, _ and ., with a letter or digit at \
                       both ends";
        problems.invalid(path, message);
    }
}
