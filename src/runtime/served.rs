//! Whether the definitions that are installed know every field that this version writes or reads.
//!
//! Pure: compares our schemas with the API server's OpenAPI document, which everybody who is logged in may read.
//! Invariants: more than we know is fine, which is a newer definition; a document that does not show a kind says nothing.

use serde_json::Value;

use crate::api::{GROUP, VERSION, crds};

/// Where the document is.
pub(super) fn path() -> String {
    format!("/openapi/v3/apis/{GROUP}/{VERSION}")
}

/// The first of our fields that the document's schema of its kind lacks, as the resource and the field's path.
pub(super) fn lacks(document: &Value) -> Option<(String, String)> {
    crds().iter().find_map(|crd| {
        let served = schema(document, &crd.spec.names.kind)?;
        let version = crd.spec.versions.iter().find(|version| version.name == VERSION)?;
        let ours = serde_json::to_value(version.schema.as_ref()?.open_api_v3_schema.as_ref()?).ok()?;
        let field = first_unknown(&ours, served, "")?;
        Some((format!("{}.{GROUP}", crd.spec.names.plural), field))
    })
}

fn schema<'a>(document: &'a Value, kind: &str) -> Option<&'a Value> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    schemas.values().find(|schema| {
        let of = schema["x-kubernetes-group-version-kind"].as_array();
        of.into_iter().flatten().any(|gvk| gvk["group"] == GROUP && gvk["version"] == VERSION && gvk["kind"] == kind)
    })
}

fn first_unknown(ours: &Value, served: &Value, path: &str) -> Option<String> {
    if served["x-kubernetes-preserve-unknown-fields"] == true {
        return None;
    }
    let properties = ours["properties"].as_object().into_iter().flatten();
    let unknown = properties.into_iter().find_map(|(name, ours)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match served["properties"].get(name) {
            Some(served) => first_unknown(ours, served, &path),
            None => Some(path),
        }
    });
    unknown.or_else(|| {
        let below = ["items", "additionalProperties"].into_iter().filter(|form| ours[form].is_object());
        below.into_iter().find_map(|form| first_unknown(&ours[form], &served[form], &format!("{path}[]")))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What an API server with our definitions shows, changed.
    fn document(change: impl FnOnce(&mut Value)) -> Value {
        let mut schemas = json!({});
        for crd in crds() {
            let kind = &crd.spec.names.kind;
            let mut schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].take();
            schema["x-kubernetes-group-version-kind"] = json!([{"group": GROUP, "version": VERSION, "kind": kind}]);
            schemas[kind] = schema;
        }
        change(&mut schemas);
        json!({"components": {"schemas": schemas}})
    }

    fn drop_field(schema: &mut Value, parent: &str, name: &str) {
        assert!(schema.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).is_some());
    }

    #[test]
    fn our_own_definitions_and_newer_ones_lack_nothing() {
        assert_eq!(lacks(&document(|_| {})), None);
        let newer = document(|schemas| {
            schemas["WebhookSubscription"]["properties"]["spec"]["properties"]["sound"] = json!({"type": "string"});
        });
        assert_eq!(lacks(&newer), None);
    }

    #[test]
    fn a_field_that_an_older_definition_lacks_is_named_also_in_lists_and_the_status() {
        for (parent, name, expected) in [
            ("/WebhookSubscription/properties/spec/properties", "suspend", "spec.suspend"),
            ("/WebhookSubscription/properties/status/properties", "totals", "status.totals"),
            (
                "/WebhookSubscription/properties/spec/properties/endpoint/properties/headers/items/properties",
                "value",
                "spec.endpoint.headers[].value",
            ),
        ] {
            let older = document(|schemas| drop_field(schemas, parent, name));
            assert_eq!(lacks(&older), Some(("webhooksubscriptions.changehook.dev".to_owned(), expected.to_owned())));
        }
        let older = document(|schemas| drop_field(schemas, "/DeliveryLedger/properties", "spec"));
        assert_eq!(lacks(&older), Some(("deliveryledgers.changehook.dev".to_owned(), "spec".to_owned())));
    }

    #[test]
    fn what_keeps_unknown_fields_and_what_is_not_shown_lacks_nothing() {
        let open = document(|schemas| {
            schemas["WebhookSubscription"]["properties"]["spec"] =
                json!({"x-kubernetes-preserve-unknown-fields": true});
        });
        assert_eq!(lacks(&open), None);
        for nothing in [json!({}), json!("text"), document(|schemas| *schemas = json!({}))] {
            assert_eq!(lacks(&nothing), None);
        }
    }
}
