//! Flags and fields: what can be set is documented, and what is documented can be set.

use std::collections::BTreeSet;
use std::process::Command;

use changehook::api::unsupported::UNSUPPORTED;
use serde_json::Value;

use crate::texts::{first_cells, read};

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
    assert!(fields.contains("maxInFlight") && !fields.contains("repositoryURL"), "{fields:?}");
    let text = read("docs/configuration.md");
    // of a label selector's requirement, which Kubernetes' own documentation describes
    let known = ["key", "operator", "values"];
    for field in fields.iter().filter(|field| !known.contains(&field.as_str())) {
        let named = text.split('`').skip(1).step_by(2).any(|code| code.split(['.', '[']).any(|part| part == field));
        assert!(named, "docs/configuration.md does not name {field}");
    }
}

// === the reference ===

#[test]
fn the_reference_is_what_the_command_prints() {
    let printed =
        Command::new(env!("CARGO_BIN_EXE_changehook")).args(["crds", "--markdown"]).env_clear().output().unwrap();
    assert!(printed.status.success());
    // not with assert_eq: the page is long
    let current = read("docs/reference.md").as_bytes() == printed.stdout;
    assert!(current, "docs/reference.md is stale: run `cargo run -- crds --markdown > docs/reference.md`");
}
