//! The audit: what must hold for every field of every CRD.

use serde_json::{Value, json};

use super::super::yaml::crd_files;
use super::*;

const INTEGER_FORMATS: [&str; 3] = ["int32", "int64", ""];

fn all() -> Vec<(String, Value)> {
    crds()
        .iter()
        .map(|crd| {
            let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
            (crd.spec.names.kind.clone(), serde_json::to_value(schema).unwrap())
        })
        .collect()
}

fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), member, visit);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            walk(&format!("{path}[]"), &schema[inner], visit);
        }
    }
}

fn complaints(mut complain: impl FnMut(&str, &Value) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, schema) in all() {
        walk(&kind, &schema, &mut |path, field| {
            found.extend(complain(path, field).map(|what| format!("{path}: {what}")));
        });
    }
    found
}

/// metadata and the like, whose schema is the API server's.
fn is_root_member(path: &str) -> bool {
    path.split_once('.').is_some_and(|(_, rest)| matches!(rest, "apiVersion" | "kind" | "metadata"))
}

#[test]
fn every_string_list_map_and_number_is_bounded() {
    let found = complaints(|path, field| {
        if is_root_member(path) {
            return None;
        }
        let has = |bound: &str| !field[bound].is_null();
        match field["type"].as_str() {
            Some("string") if has("maxLength") || has("enum") || field["format"] == "date-time" => None,
            Some("string") => Some("a string without maxLength or enum".to_owned()),
            Some("array") if !has("maxItems") => Some("a list without maxItems".to_owned()),
            Some("array") if !has("x-kubernetes-list-type") => Some("a list without a list type".to_owned()),
            Some("integer") if !has("minimum") || !has("maximum") => Some("a number without a range".to_owned()),
            Some("integer") => {
                let format = field["format"].as_str().unwrap_or("");
                (!INTEGER_FORMATS.contains(&format)).then(|| format!("format {format}"))
            }
            Some("object") if has("additionalProperties") && !has("maxProperties") => {
                Some("a map without maxProperties".to_owned())
            }
            Some("array" | "object" | "boolean") => None,
            None if field["x-kubernetes-int-or-string"] == true => {
                (!has("maximum") || !has("maxLength")).then(|| "a number or string without bounds".to_owned())
            }
            other => Some(format!("type {other:?}")),
        }
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_field_is_documented() {
    let found = complaints(|path, field| {
        let named = !path.ends_with("[]") && path.contains('.');
        (named && !is_root_member(path) && field["description"].as_str().is_none_or(|text| text.trim().is_empty()))
            .then(|| "no description".to_owned())
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn nothing_is_nullable_and_no_default_or_enum_holds_a_null() {
    let found = complaints(|_, field| {
        let nulls = field["enum"].as_array().is_some_and(|values| values.contains(&Value::Null));
        let nullable = field.get("nullable").is_some();
        let default = field.get("default").is_some_and(Value::is_null);
        (nulls || nullable || default).then(|| field.to_string())
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn enums_are_camel_case_words() {
    let found = complaints(|_, field| {
        let values = field["enum"].as_array()?;
        let odd = values.iter().find(|value| {
            !value.as_str().is_some_and(|v| v.starts_with(char::is_uppercase) && !v.contains(['_', '-']))
        })?;
        Some(odd.to_string())
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn nothing_in_a_status_is_required_but_what_makes_a_list_entry() {
    let found = complaints(|path, field| {
        let in_status = path.contains(".status") && !path.contains("[]");
        // these two are written whole or not at all
        let whole = path.ends_with(".lastDelivery") || path.ends_with(".lastError");
        (in_status && !whole && field.get("required").is_some()).then(|| field["required"].to_string())
    });
    assert_eq!(found, Vec::<String>::new());
    for (kind, schema) in all().into_iter().filter(|(kind, _)| kind != "DeliveryLedger") {
        let status = &schema["properties"]["status"];
        assert_eq!(status["default"], json!({"observedGeneration": -1}), "{kind}");
        assert_eq!(status["properties"]["observedGeneration"]["minimum"], json!(-1.0), "{kind}");
    }
}

#[test]
fn a_refused_field_has_no_default_and_says_so_in_its_documentation() {
    for (kind, mut schema) in all().into_iter().filter(|(kind, _)| kind != "DeliveryLedger") {
        for entry in UNSUPPORTED {
            let field = at(at(&mut schema, "spec"), entry.field);
            // the supported value may be the default where it has behaviour
            let fine = match (field.get("default"), entry.supported) {
                (None, _) => true,
                (Some(default), Some(supported)) => default.as_str() == Some(supported.trim_matches('\'')),
                (Some(_), None) => false,
            };
            assert!(fine, "{kind}: {} has the default {}", entry.field, field["default"]);
            assert!(field["description"].as_str().unwrap().ends_with(&entry.note()), "{kind}: {}", entry.field);
        }
    }
}

#[test]
fn the_cluster_kind_has_the_same_spec_plus_a_namespace_selector() {
    let all = all();
    let (namespaced, mut cluster) = (all[0].1["properties"]["spec"].clone(), all[1].1["properties"]["spec"].clone());
    let selector = cluster["properties"].as_object_mut().unwrap().remove("namespaceSelector");
    assert!(selector.is_some());
    cluster["description"] = namespaced["description"].clone();
    let mut namespaced = namespaced;
    at_home(&mut namespaced);
    assert_eq!(cluster, namespaced);
    let texts = cluster.to_string();
    assert!(!texts.contains("in the same namespace") && !texts.contains("in this namespace"));
    assert!(texts.contains("the name of a Secret in the operator's namespace"));
}

#[test]
fn defaults_are_the_documented_ones() {
    let spec = &all()[0].1["properties"]["spec"]["properties"];
    assert_eq!(spec["suspend"]["default"], json!(false));
    assert_eq!(spec["changeTypes"]["default"], json!(["New", "Updated", "Removed"]));
    assert_eq!(spec["initialSync"]["default"], json!("Adopt"));
    assert_eq!(spec["selectionChange"]["default"], json!("Adopt"));
    assert_eq!(spec["onLedgerLoss"]["default"], json!("Replay"));
    assert_eq!(spec["resync"]["properties"]["scope"]["default"], json!("Parked"));
    assert_eq!(spec["serviceAccountName"]["default"], json!("default"));
    assert_eq!(spec["endpoint"]["properties"]["method"]["default"], json!("POST"));
    assert_eq!(spec["endpoint"]["properties"]["timeoutSeconds"]["default"], json!(10));
    assert_eq!(spec["endpoint"]["properties"]["maxInFlight"]["default"], json!(16));
    assert_eq!(spec["signing"]["properties"]["secretRef"]["properties"]["key"]["default"], json!("secret"));
    assert_eq!(spec["payload"]["default"], json!({"maxBytes": 262_144}));
    let retry = json!({"maxRetries": 3, "initialDelaySeconds": 2, "maxDelaySeconds": 60, "jitterPercent": 10,
        "retryStatusCodes": [], "outageMaxDelaySeconds": 300, "onExhausted": "Park"});
    assert_eq!(spec["retryPolicy"]["default"], retry);
    for (name, value) in retry.as_object().unwrap() {
        assert_eq!(&spec["retryPolicy"]["properties"][name]["default"], value, "{name}");
    }
}

#[test]
fn messages_fit_one_line_and_name_their_field() {
    for (kind, schema) in all() {
        walk(&kind, &schema, &mut |path, field| {
            for rule in field["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().unwrap();
                assert!(!message.contains('\n') && message.len() <= 160, "{path}: {message}");
                let about = match rule["fieldPath"].as_str() {
                    Some(field) => field.trim_start_matches('.'),
                    None => path.trim_end_matches("[]").rsplit('.').next().unwrap(),
                };
                assert!(message.contains(about), "{path}: {message:?} does not name {about}");
            }
        });
    }
}

#[test]
fn each_crd_is_smaller_than_64_kib_and_safe_to_template() {
    for crd in crds() {
        let json = serde_json::to_string(&crd).unwrap();
        assert!(json.len() < 64 * 1024, "{} has {} bytes", crd.spec.names.kind, json.len());
    }
    for (name, text) in crd_files() {
        assert!(!text.contains("${"), "{name} has a substitution");
        assert!(!text.contains("{{"), "{name} has a template");
        assert!(!text.contains("uint"), "{name} has an unsigned format");
    }
}

/// Fields that do what they say in this version. Whoever adds behaviour moves a field here from the table of the
/// unsupported.
const WITH_BEHAVIOUR: &[&str] = &[
    "suspend",
    "resources",
    "resources[].apiVersion",
    "resources[].kind",
    "resources[].names",
    "resources[].labelSelector",
    "resources[].labelSelector.matchLabels",
    "resources[].labelSelector.matchExpressions",
    "resources[].labelSelector.matchExpressions[].key",
    "resources[].labelSelector.matchExpressions[].operator",
    "resources[].labelSelector.matchExpressions[].values",
    "changeTypes",
    // its members are all in the table
    "changeDetection",
    "endpoint",
    "endpoint.url",
    "endpoint.urlFrom",
    "endpoint.urlFrom.secretKeyRef",
    "endpoint.urlFrom.secretKeyRef.name",
    "endpoint.urlFrom.secretKeyRef.key",
    "endpoint.service",
    "endpoint.service.name",
    "endpoint.service.port",
    "endpoint.service.path",
    "endpoint.service.scheme",
    "endpoint.tls",
    "endpoint.tls.caRef",
    "endpoint.tls.caRef.kind",
    "endpoint.tls.caRef.name",
    "endpoint.tls.caRef.key",
    "endpoint.tls.clientCertificateSecretRef",
    "endpoint.tls.clientCertificateSecretRef.name",
    "endpoint.tls.serverName",
    "endpoint.method",
    "endpoint.headers",
    "endpoint.headers[].name",
    "endpoint.headers[].value",
    "endpoint.headers[].valueFrom",
    "endpoint.headers[].valueFrom.secretKeyRef",
    "endpoint.headers[].valueFrom.secretKeyRef.name",
    "endpoint.headers[].valueFrom.secretKeyRef.key",
    "endpoint.timeoutSeconds",
    "endpoint.maxInFlight",
    "serviceAccountName",
    "signing",
    "signing.secretRef",
    "signing.secretRef.name",
    "signing.secretRef.key",
    "signing.previousSecretRef",
    "signing.previousSecretRef.name",
    "signing.previousSecretRef.key",
    "payload",
    "payload.maxBytes",
    "retryPolicy",
    "retryPolicy.maxRetries",
    "retryPolicy.initialDelaySeconds",
    "retryPolicy.maxDelaySeconds",
    "retryPolicy.jitterPercent",
    "retryPolicy.retryStatusCodes",
    "retryPolicy.outageMaxDelaySeconds",
    "retryPolicy.onExhausted",
    "initialSync",
    "selectionChange",
    "onLedgerLoss",
    "resync",
    "resync.requestID",
    "resync.scope",
];

#[test]
fn every_field_has_behaviour_or_is_refused() {
    let (_, schema) = all().swap_remove(0);
    walk("", &schema["properties"]["spec"], &mut |path, _| {
        let field = path.trim_start_matches('.');
        if field.is_empty() || field.ends_with("[]") {
            return;
        }
        let behaves = WITH_BEHAVIOUR.contains(&field);
        let refused =
            UNSUPPORTED.iter().any(|entry| field == entry.field || field.starts_with(&format!("{}.", entry.field)));
        assert!(behaves != refused, "{field} must be in exactly one of the two lists");
    });
}
