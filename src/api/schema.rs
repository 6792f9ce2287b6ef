//! The finished CRDs: what the types give, plus rules, bounds of foreign types, the status default and notes on what is
//! not supported yet.
//!
//! Touches nothing. Invariant: the three CRDs are the only ones that may be installed; see the audit in the tests.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use super::rules::{Rule, namespace_rules, rules};
use super::unsupported::UNSUPPORTED;
use super::{ClusterWebhookSubscription, DeliveryLedger, WebhookSubscription};

/// Keeps Flux's variable substitution away from the text.
const NO_SUBSTITUTION: (&str, &str) = ("kustomize.toolkit.fluxcd.io/substitute", "disabled");

/// Who installs an operator can see whether the definitions that are there are older.
const OF_VERSION: (&str, &str) = ("changehook.dev/version", env!("CARGO_PKG_VERSION"));

/// The three CRDs, in the order in which they are printed.
pub fn crds() -> [CustomResourceDefinition; 3] {
    [
        finish(WebhookSubscription::crd(), subscription),
        finish(ClusterWebhookSubscription::crd(), |schema| {
            subscription(schema);
            add_rules(at(schema, "spec"), &namespace_rules());
            at_home(schema);
        }),
        finish(DeliveryLedger::crd(), |_| {}),
    ]
}

fn finish(mut crd: CustomResourceDefinition, patch: impl Fn(&mut Value)) -> CustomResourceDefinition {
    let annotations = [NO_SUBSTITUTION, OF_VERSION].map(|(key, value)| (key.to_owned(), value.to_owned()));
    crd.metadata.annotations.get_or_insert_default().extend(annotations);
    for version in &mut crd.spec.versions {
        let schema = version.schema.get_or_insert_default();
        let mut raw = serde_json::to_value(&schema.open_api_v3_schema).expect("a schema is JSON");
        drop_nullable(&mut raw);
        unwrap_lines(&mut raw);
        patch(&mut raw);
        schema.open_api_v3_schema = serde_json::from_value(raw).expect("a patched schema is a schema");
    }
    crd
}

/// An absent field has one spelling: without `nullable` the server drops a null before it applies defaults.
fn drop_nullable(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("nullable").is_some_and(Value::is_boolean) {
                members.remove("nullable");
                if let Some(Value::Array(values)) = members.get_mut("enum") {
                    values.retain(|value| !value.is_null());
                }
            }
            members.values_mut().for_each(drop_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nullable),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Docs are wrapped for people who read the source; what is shown elsewhere wraps itself.
fn unwrap_lines(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            members.values_mut().for_each(unwrap_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_lines),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What the two kinds of subscription have in common.
fn subscription(schema: &mut Value) {
    at(schema, "status")["default"] = json!({"observedGeneration": -1});
    let spec = at(schema, "spec");
    add_rules(spec, &rules());
    for entry in UNSUPPORTED {
        let (parent, name) = entry.parent_and_name();
        add_rule(
            at(spec, parent),
            &json!({
                "rule": entry.rule(),
                "message": entry.message(),
                "fieldPath": format!(".{name}"),
                "reason": "FieldValueForbidden",
            }),
        );
        let field = at(spec, entry.field);
        let described = format!("{} {}", field["description"].as_str().unwrap_or_default(), entry.note());
        field["description"] = described.into();
    }
}

/// What has no namespace refers to what is in the operator's.
fn at_home(schema: &mut Value) {
    match schema {
        Value::Object(members) => members.values_mut().for_each(at_home),
        Value::Array(items) => items.iter_mut().for_each(at_home),
        Value::String(text) => {
            for own in ["in the same namespace", "in this namespace"] {
                *text = text.replace(own, "in the operator's namespace");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn add_rules(spec: &mut Value, rules: &[Rule]) {
    for rule in rules {
        let mut cel = json!({"rule": rule.cel, "message": rule.message});
        if let Some(field) = rule.field {
            cel["fieldPath"] = format!(".{field}").into();
        }
        for path in rule.at {
            add_rule(at(spec, path), &cel);
        }
    }
}

fn add_rule(schema: &mut Value, rule: &Value) {
    let members = schema.as_object_mut().expect("at() leads to schema objects only");
    match members.entry("x-kubernetes-validations").or_insert_with(|| json!([])) {
        Value::Array(rules) => rules.push(rule.clone()),
        other => unreachable!("the generator wrote rules as {other}"),
    }
}

/// The schema at a path such as `endpoint.headers[].name`.
///
/// Panics on a path that leads nowhere: paths are constants of this crate, and the tests build every CRD.
fn at<'a>(schema: &'a mut Value, path: &str) -> &'a mut Value {
    let mut here = schema;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, depth) = (step.trim_end_matches("[]"), step.matches("[]").count());
        here = member(member(here, "properties", path), name, path);
        for _ in 0..depth {
            here = member(here, "items", path);
        }
    }
    here
}

fn member<'a>(schema: &'a mut Value, name: &str, path: &str) -> &'a mut Value {
    schema
        .as_object_mut()
        .and_then(|members: &mut Map<String, Value>| members.get_mut(name))
        .unwrap_or_else(|| panic!("the schema has no {name} on the way to {path}"))
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
