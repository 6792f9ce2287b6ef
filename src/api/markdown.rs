//! The CRDs as a page of documentation: what `changehook crds --markdown` prints and docs/reference.md is.
//!
//! Touches nothing. Invariants: every field of every kind is in it; what a field may hold comes from the schema that the
//! API server checks, so the page cannot promise anything else.

use std::fmt::Write as _;

use serde_json::Value;

use super::yaml::value;
use super::{GROUP, VERSION, crds};

const HEAD: &str = "\
# API reference

Every field of the kinds of `changehook.dev/v1alpha1`, as the API server checks it. This page is made from the types
(`changehook crds --markdown`); do not edit it. [Configuration](configuration.md) says what to use the fields for,
[operations](operations.md#conditions-and-their-reasons) what each reason of a condition means.

A field without a default that is not required may be left out. Durations are in seconds, times in RFC 3339, UTC.
";

/// The page.
pub fn reference() -> String {
    let all = crds().map(|crd| value(&crd));
    let mut page = HEAD.to_owned();
    let mut before: Option<(&str, Vec<Row>)> = None;
    for crd in &all {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
        let version = &crd["spec"]["versions"][0];
        let schema = &version["schema"]["openAPIV3Schema"];
        let rows = rows(schema);
        write(&mut page, format_args!("\n## {kind}\n\n{}\n\n", text(schema)));
        write(&mut page, format_args!("{}\n", names(crd)));
        // the two kinds of subscription share what is in them
        let shared = before.as_ref().filter(|(_, known)| rows.iter().any(|row| known.contains(row)));
        let told = |row: &&Row| shared.is_none_or(|(_, known)| !known.contains(row));
        if let Some((known, _)) = shared {
            write(&mut page, format_args!("\nIts fields are those of {known}, but for these:\n"));
        }
        for part in ["spec", "status"] {
            let own: Vec<_> = rows.iter().filter(|row| row.is_in(part)).filter(told).collect();
            if !own.is_empty() {
                write(&mut page, format_args!("\n### {part} of a {kind}\n\n"));
                table(&mut page, &own);
            }
        }
        if before.is_none() {
            before = Some((kind, rows));
        }
    }
    page
}

/// One field.
#[derive(PartialEq)]
struct Row {
    path: String,
    type_: String,
    default: String,
    bounds: String,
    text: String,
}

impl Row {
    fn is_in(&self, part: &str) -> bool {
        self.path.split(['.', '[']).next() == Some(part)
    }
}

fn names(crd: &Value) -> String {
    let names = &crd["spec"]["names"];
    let mut all = vec![format!("`{}.{GROUP}`", names["plural"].as_str().unwrap_or_default())];
    let short = names["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
    all.extend(short.map(|name| format!("short `{name}`")));
    all.push(format!("`apiVersion: {GROUP}/{VERSION}`"));
    let scope = if crd["spec"]["scope"] == "Namespaced" { "in a namespace" } else { "of the whole cluster" };
    all.push(scope.to_owned());
    all.join(" · ")
}

/// All fields below spec and status, each before its members.
fn rows(schema: &Value) -> Vec<Row> {
    let mut all = Vec::new();
    for (part, below) in schema["properties"].as_object().into_iter().flatten() {
        // apiVersion, kind and metadata are every object's
        if ["spec", "status"].contains(&part.as_str()) {
            members(below, part, &mut all);
        }
    }
    all
}

fn members(schema: &Value, path: &str, all: &mut Vec<Row>) {
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let default = match &field["default"] {
            Value::Null if required(name) => "required".to_owned(),
            Value::Null => "–".to_owned(),
            default => format!("`{}`", yaml(default)),
        };
        let row = Row { path, type_: type_of(field), default, bounds: bounds(field), text: told(field) };
        let below = format!("{}{}", row.path, if field["items"].is_null() { "" } else { "[]" });
        all.push(row);
        members(if field["items"].is_null() { field } else { &field["items"] }, &below, all);
    }
}

/// Flow style, as people write it.
fn yaml(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(yaml).collect::<Vec<_>>().join(", ")),
        Value::Object(all) => {
            let members = all.iter().map(|(name, value)| format!("{name}: {}", yaml(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn type_of(field: &Value) -> String {
    let map = &field["additionalProperties"];
    match field["type"].as_str() {
        Some("array") => format!("list of {}", type_of(&field["items"])),
        Some("object") if !map.is_null() => format!("map to {}", type_of(map)),
        Some("string") if field["format"] == "date-time" => "time".to_owned(),
        Some("string") if field["format"] == "byte" => "base64".to_owned(),
        Some(name) => name.to_owned(),
        None if field["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
        None => "any".to_owned(),
    }
}

/// What the field may hold, its items included.
fn bounds(field: &Value) -> String {
    let mut all = own_bounds(field);
    for below in [&field["items"], &field["additionalProperties"]] {
        let inner = own_bounds(below);
        all.extend((!inner.is_empty()).then(|| format!("each: {}", inner.join(", "))));
    }
    all.join("; ")
}

fn own_bounds(field: &Value) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(values) = field["enum"].as_array() {
        all.push(values.iter().map(|value| format!("`{}`", yaml(value))).collect::<Vec<_>>().join(", "));
    }
    for (least, most, what) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        match (&field[least], &field[most]) {
            (Value::Null, Value::Null) => {}
            (Value::Null, most) => all.push(format!("≤ {most}{what}")),
            (least, Value::Null) => all.push(format!("≥ {least}{what}")),
            (least, most) => all.push(format!("{least} to {most}{what}")),
        }
    }
    if let Some(pattern) = field["pattern"].as_str() {
        all.push(format!("`{pattern}`"));
    }
    match field["x-kubernetes-list-type"].as_str() {
        Some("map") => {
            let keys = field["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
            all.push(format!("each {} once", keys.collect::<Vec<_>>().join(" and ")));
        }
        Some("set") => all.push("each once".to_owned()),
        Some(_) | None => {}
    }
    all
}

fn text(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// The description, and what the rules on the field, or on its items, ask for.
fn told(field: &Value) -> String {
    let mut all = vec![text(field).to_owned()];
    for place in [field, &field["items"]] {
        let rules = place["x-kubernetes-validations"].as_array().into_iter().flatten();
        // what is not supported yet says so in its description already
        let rules = rules.filter(|rule| rule["reason"] != "FieldValueForbidden");
        all.extend(rules.filter_map(|rule| Some(format!("*{}.*", rule["message"].as_str()?.trim_end_matches('.')))));
    }
    all.retain(|part| !part.is_empty());
    all.join(" ")
}

fn table(page: &mut String, rows: &[&Row]) {
    write(page, format_args!("| field | type | default | bounds | meaning |\n| --- | --- | --- | --- | --- |\n"));
    for row in rows {
        let Row { path, type_, default, bounds, text } = row;
        let cells = [format!("`{path}`"), type_.clone(), default.clone(), bounds.clone(), text.clone()];
        // a bar ends a cell even in code
        let cells = cells.map(|cell| if cell.is_empty() { "–".to_owned() } else { cell.replace('|', "\\|") });
        write(page, format_args!("| {} |\n", cells.join(" | ")));
    }
}

fn write(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_told_with_its_type_default_bounds_and_rules() {
        let schema = json!({"required": ["a"], "properties": {
            "a": {"type": "string", "minLength": 1, "maxLength": 8, "pattern": "x|y", "description": "A name."},
            "b": {"type": "array", "maxItems": 3, "default": ["New"], "x-kubernetes-list-type": "set",
                "items": {"type": "string", "enum": ["New", "Old"],
                    "x-kubernetes-validations": [{"rule": "self != ''", "message": "b must not be empty"}]}},
            "c": {"type": "object", "properties": {"d": {"type": "integer", "minimum": 0}},
                "x-kubernetes-validations": [{"message": "c is not there yet", "reason": "FieldValueForbidden"}]},
        }});
        let mut all = Vec::new();
        members(&schema, "spec", &mut all);
        let mut page = String::new();
        table(&mut page, &all.iter().collect::<Vec<_>>());
        let lines: Vec<_> = page.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                r"| `spec.a` | string | required | 1 to 8 characters; `x\|y` | A name. |",
                "| `spec.b` | list of string | `[New]` | ≤ 3 items; each once; each: `New`, `Old` | *b must not be empty.* |",
                "| `spec.c` | object | – | – | – |",
                "| `spec.c.d` | integer | – | ≥ 0 | – |",
            ]
        );
    }

    #[test]
    fn every_field_of_every_kind_is_on_the_page() {
        let page = reference();
        let fields = page.lines().filter(|line| line.starts_with("| `")).count();
        assert!(fields > 100, "{fields}");
        for field in ["spec.endpoint.headers[].valueFrom.secretKeyRef.key", "status.retries[].lastError.class"] {
            assert_eq!(page.matches(&format!("\n| `{field}` |")).count(), 1, "{field}");
        }
        assert!(page.contains("\n## ClusterWebhookSubscription\n") && page.contains("\n## DeliveryLedger\n"));
        assert!(!page.contains("| – |\n"), "a field has no description");
    }
}
