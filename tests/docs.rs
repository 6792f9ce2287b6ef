//! The documentation says what is there: reasons, flags, fields, metrics, manifests, payloads, snippets and links are
//! compared with the code. Needs no cluster.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use changehook::api::unsupported::UNSUPPORTED;
use changehook::api::{WebhookSubscription, conditions};
use changehook::controller::validate::validate;
use changehook::{delivery, ledger, runtime, status, watch};
use changehook_core::event::{Event, Identity, Object, RenderOptions, Subject, render, row};
use changehook_core::object::{Gvk, ObservedBy, Row};
use changehook_core::plan::{Change, SubscriptionId};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

// === the texts ===

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file with this extension in README.md's folder, docs/ and examples/.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs"), root().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.sort();
    assert!(!found.is_empty(), "no {extension} files");
    found
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    text.split(&format!("\n```{language}\n"))
        .skip(1)
        .map(|rest| rest.split_inclusive('\n').take_while(|line| *line != "```\n").collect())
        .collect()
}

/// The first cells of the rows of the table below a heading, without their backticks.
fn first_cells(text: &str, heading: &str) -> Vec<String> {
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter_map(move |line| {
        fenced ^= line.starts_with("```");
        (!fenced && line.starts_with('#')).then(|| line.trim_start_matches('#').trim())
    })
}

// === reasons and conditions ===

#[test]
fn every_condition_reason_has_a_heading_and_no_other_reason_has() {
    let text = read("docs/operations.md");
    let written: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#### ")).collect();
    let unique: BTreeSet<&str> = written.iter().copied().collect();
    assert_eq!(written.len(), unique.len(), "a reason has two headings");
    assert_eq!(unique, conditions::Reason::ALL.iter().map(|reason| reason.as_str()).collect());
    for type_ in conditions::Type::ALL.iter().map(|type_| type_.as_str()) {
        assert!(text.contains(&format!("\n| `{type_}` |")), "{type_} is not in the table of conditions");
    }
}

// === flags ===

#[test]
fn every_flag_of_the_operator_is_documented_with_its_environment_name_and_no_other_is() {
    let help =
        Command::new(env!("CARGO_BIN_EXE_changehook")).args(["operator", "--help"]).env_clear().output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut flags = BTreeSet::new();
    for part in help.split("\n      --").skip(1) {
        let flag = part.split([' ', '\n']).next().unwrap();
        let variable = part.split_once("[env: ").map(|(_, rest)| rest.split('=').next().unwrap());
        flags.insert((
            format!("--{flag}"),
            variable.unwrap_or_else(|| panic!("--{flag} has no environment name")).to_owned(),
        ));
    }
    assert!(flags.len() >= 7, "{help}");
    let text = read("docs/configuration.md");
    let documented: BTreeSet<_> = text
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(|line| {
            let mut code = line.split('`').skip(1).step_by(2);
            (code.next().unwrap().split(' ').next().unwrap().to_owned(), code.next().unwrap().to_owned())
        })
        .collect();
    assert_eq!(documented, flags);
}

// === fields ===

#[test]
fn every_refused_field_is_listed_and_what_is_listed_is_refused() {
    let listed = first_cells(&read("docs/configuration.md"), "### Not supported yet");
    let refused: Vec<_> = UNSUPPORTED.iter().map(|entry| entry.field.to_owned()).collect();
    assert_eq!(listed, refused);
    let readme = read("README.md");
    let (_, section) = readme.split_once("\n## What does not work yet\n").unwrap();
    for field in refused {
        let object = field.split('.').next().unwrap();
        let named = |name: &str| section.contains(&format!("`{name}`")) || section.contains(&format!("`{name}:"));
        assert!(named(&field) || (object == "changeDetection" && named(object)), "README: {field} is not named");
    }
}

/// The names of all members below a schema, but for what is refused.
fn members(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if UNSUPPORTED.iter().any(|entry| entry.field == path && entry.supported.is_none()) {
        return;
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(name.clone());
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        members(member, &below, found);
    }
    if !schema["items"].is_null() {
        members(&schema["items"], path, found);
    }
}

#[test]
fn every_field_of_the_spec_is_documented() {
    let crd: Value = serde_saphyr::from_str(&read("crds/webhooksubscriptions.yaml")).unwrap();
    let mut fields = BTreeSet::new();
    members(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], "", &mut fields);
    assert!(fields.contains("maxInFlight") && !fields.contains("caRef"), "{fields:?}");
    let text = read("docs/configuration.md");
    // of a label selector's requirement, which Kubernetes' own documentation describes
    let known = ["key", "operator", "values"];
    for field in fields.iter().filter(|field| !known.contains(&field.as_str())) {
        let named = text.split('`').skip(1).step_by(2).any(|code| code.split(['.', '[']).any(|part| part == field));
        assert!(named, "docs/configuration.md does not name {field}");
    }
}

// === metrics ===

#[test]
fn every_metric_is_documented_under_the_name_it_is_shown_with_and_no_other_is() {
    let mut registry = runtime::metrics::registry();
    let rooms = (
        watch::Metrics::register(&mut registry),
        delivery::metrics::Metrics::register(&mut registry),
        status::metrics::Metrics::register(&mut registry),
        ledger::Metrics::register(&mut registry),
        runtime::leader::Metrics::register(&mut registry),
    );
    let text = runtime::metrics::text(&registry).unwrap();
    drop(rooms);
    let shown: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let documented: BTreeSet<String> = read("docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| line.split(['`', '{']).next().unwrap().to_owned())
        .collect();
    let undocumented: Vec<_> = shown.difference(&documented).collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
    // a family that has counted nothing is not shown, so for these the sources have to do
    let sources = ["watch", "delivery", "status"].map(|room| read(format!("src/{room}/metrics.rs"))).concat();
    for name in documented.difference(&shown) {
        let registered = format!("\"{}\"", name.trim_end_matches("_total"));
        assert!(sources.contains(&registered), "{name} is documented and does not exist");
    }
}

// === manifests ===

/// Every manifest in the documentation and the examples, with where it is.
fn manifests() -> Vec<(String, Value)> {
    // what is laid out as Argo CD wants it is read by tests/gitops
    let whole =
        files("yaml").into_iter().filter(|path| !path.components().any(|c| c.as_os_str() == "resource_customizations"));
    let whole = whole.map(|path| (path.clone(), read(path)));
    let blocks = files("md").into_iter().flat_map(|path| {
        let found = blocks(&read(&path), "yaml");
        found.into_iter().map(move |block| (path.clone(), block))
    });
    let mut all = Vec::new();
    for (path, text) in whole.chain(blocks) {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!documents.is_empty(), "{} has an empty manifest", path.display());
        all.extend(documents.into_iter().map(|document| (path.display().to_string(), document)));
    }
    all
}

/// Whether all that `part` says is in `whole`.
fn is_in(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|whole| is_in(value, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_in(part, whole))
        }
        _ => part == whole,
    }
}

fn subscription(document: &Value) -> WebhookSubscription {
    let typed: WebhookSubscription =
        serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{error}: {document}"));
    assert!(is_in(document, &serde_json::to_value(&typed).unwrap()), "a field is not known: {document}");
    typed
}

#[test]
fn every_manifest_in_the_documentation_and_the_examples_is_what_it_claims_to_be() {
    let mut subscriptions = 0;
    for (place, document) in manifests() {
        let of = |field: &str| document[field].as_str().unwrap_or_else(|| panic!("{place}: no {field}")).to_owned();
        match (of("apiVersion").as_str(), of("kind").as_str()) {
            ("changehook.dev/v1alpha1", "WebhookSubscription") => {
                let checked = validate(&subscription(&document), |url| url.parse().map_err(|_| "no URL".to_owned()));
                assert!(checked.is_ok(), "{place}: {:?}", checked.err());
                assert!(document["spec"]["endpoint"]["url"].as_str().unwrap().starts_with("https://"), "{place}");
                subscriptions += 1;
            }
            ("v1", "Secret") => {
                let secret: Secret = serde_json::from_value(document.clone()).unwrap();
                let data = secret.string_data.unwrap_or_default();
                assert!(data.contains_key("secret"), "{place}: no key \"secret\"");
                assert!(data.values().all(|value| !value.ends_with('\n')), "{place}: a value ends with a line break");
            }
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
                let typed: CustomResourceDefinition = serde_json::from_value(document.clone()).unwrap();
                assert!(is_in(&document, &serde_json::to_value(&typed).unwrap()), "{place}: a field is not known");
            }
            ("mcp.example.com/v1alpha1", "MCPServer") => {}
            // their fields are looked at by tests/gitops
            ("argoproj.io/v1alpha1", "Application") | ("v1", "ConfigMap") => {}
            (flux, _) if flux.contains(".toolkit.fluxcd.io/") => {}
            other => panic!("{place}: this test does not know {other:?}"),
        }
    }
    assert!(subscriptions >= 4, "{subscriptions}");
}

#[test]
fn the_readmes_quick_start_is_the_example_file() {
    let of = |text: &str| -> Vec<Value> { serde_saphyr::from_multiple(text).unwrap() };
    let (shown, file) = (of(&blocks(&read("README.md"), "yaml")[0]), of(&read("examples/quickstart.yaml")));
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0], file[0]);
    assert_eq!(subscription(&shown[1]), subscription(&file[1]));
}

// === payloads ===

const UID: &str = "9f8e7d6c-5b4a-4321-8fed-cba987654321";

fn example(version: &str) -> Row {
    let mut object: Value = serde_saphyr::from_str(&read("examples/mcp/server.yaml")).unwrap();
    for (key, value) in [("namespace", "default"), ("uid", UID), ("resourceVersion", "4711")] {
        object["metadata"][key] = json!(value);
    }
    object["spec"]["version_detail"]["version"] = json!(version);
    let gvk = Gvk::new(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    row(&Arc::new(gvk), &object.to_string()).unwrap()
}

fn body(change: Change, subject: Subject, previous: Option<&str>) -> Value {
    let event = Event {
        subscription: SubscriptionId { uid: "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f".into() },
        sequence: 3_731_590_134_923_271,
        change,
        subject,
        previous_version: previous.map(Arc::from),
        observed_by: ObservedBy::Watch,
        // 2026-01-05T10:30:00Z, the time in the contract's example
        detected_at: 1_767_609_000_000,
        declared_at: 1_767_609_000_000,
    };
    let rendered = render(&event, &RenderOptions { max_bytes: 262_144, object: Object::Full }).unwrap();
    serde_json::from_slice(&rendered.body).unwrap()
}

#[test]
fn the_documented_payloads_are_what_is_sent() {
    let text = read("docs/payload.md");
    let shown = |name: &str| -> Value {
        let (_, rest) = text.split_once(&format!("<!-- tested: {name} -->")).unwrap();
        serde_json::from_str(&blocks(rest, "json")[0]).unwrap()
    };
    let new = body(Change::New, Subject::Present(Arc::new(example("1.2.0"))), None);
    assert_eq!(shown("new"), new);
    let updated = body(Change::Updated, Subject::Present(Arc::new(example("1.3.0"))), Some("1.2.0"));
    assert!(is_in(&shown("updated"), &updated), "{updated}");
    let Row { gvk, uid, namespace, name, .. } = example("1.3.0");
    let identity = Identity { gvk, uid, namespace, name, rv: 4712 };
    let removed = body(Change::Removed, Subject::Absent(identity), Some("1.3.0"));
    assert!(is_in(&shown("removed"), &removed), "{removed}");
    for missing in ["object", "new_version"] {
        assert!(removed["change"].get(missing).is_none());
    }
    // the README's has an object of another kind, so only the fields are compared
    let readme: Value = serde_json::from_str(&blocks(&read("README.md"), "json")[0]).unwrap();
    for place in ["", "/change", "/change/resource"] {
        let names = |value: &Value| -> BTreeSet<String> {
            value.pointer(place).unwrap().as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&readme), names(&updated), "{place}");
    }
}

#[test]
fn the_readmes_snippets_are_in_the_example_receivers_unchanged() {
    let readme = read("README.md");
    for (language, receiver) in [("javascript", "node/server.js"), ("python", "python/server.py"), ("go", "go/main.go")]
    {
        let snippet = &blocks(&readme, language)[0];
        assert!(snippet.contains("sha256="), "{language}: {snippet}");
        let source = read(format!("examples/receivers/{receiver}"));
        assert!(source.contains(snippet.as_str()), "{receiver} has another snippet than the README");
    }
}

// === what it takes ===

#[test]
fn the_readme_asks_for_the_versions_that_are_needed() {
    let readme = read("README.md");
    for (name, file, before) in
        [("Rust", "Cargo.toml", "rust-version = \""), ("Go", "testbed/tools/control-plane/go.mod", "\ngo ")]
    {
        let text = read(file);
        let (_, version) = text.split_once(before).unwrap();
        let mut numbers = version.split(|c: char| !c.is_ascii_digit());
        let wanted = format!("{name} ≥ {}.{}", numbers.next().unwrap(), numbers.next().unwrap());
        assert!(readme.contains(&wanted), "README.md does not say {wanted}");
    }
}

#[test]
fn the_readme_the_contributing_guide_and_ci_name_the_same_test_command() {
    let named = |file: &str| {
        let blocks = blocks(&read(file), "console");
        let mut lines = blocks.iter().flat_map(|block| block.lines());
        let line = lines.find(|line| line.starts_with("cargo test")).unwrap_or_else(|| panic!("none in {file}"));
        line.split('#').next().unwrap().trim_end().to_owned()
    };
    let ci = read(".ci/run");
    let last = ci.lines().last().unwrap();
    let ran = last.strip_prefix("step \"tests\" ").unwrap_or_else(|| panic!("CI ends with {last}"));
    assert_eq!([named("README.md"), named("CONTRIBUTING.md")], [ran, ran]);
    // without the workspace's default members it would be the root package's tests only
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("\ndefault-members = [\".\", \"core\", \"testbed\"]\n"));
}

// === links ===

/// As GitHub makes them: lower case, spaces to dashes, punctuation gone.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for file in files("md") {
        let text = read(&file);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, fragment) = link.split_once('#').map_or((link, None), |(path, part)| (path, Some(part)));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link} leads nowhere", file.display());
            if let Some(fragment) = fragment {
                let there = headings(&read(&target)).any(|heading| anchor(heading) == fragment);
                assert!(there, "{}: {link} leads to no heading", file.display());
            }
            links += 1;
        }
    }
    assert!(links > 20, "{links}");
}
