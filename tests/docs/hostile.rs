//! The tables of what may be tried name tests that exist; that of hostile endpoints and objects has every case once.

use std::collections::BTreeSet;
use std::fs;

use crate::texts::{read, root};

/// The names of all functions in this repository's Rust files.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = ["src", "core", "testbed", "tests"].map(|folder| root().join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(path).unwrap();
                let words = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
                names.extend(words.map(str::to_owned));
            }
        }
    }
    names
}

/// The text under a heading of docs/security.md.
fn section(heading: &str) -> String {
    let text = read("docs/security.md");
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    section.split("\n## ").next().unwrap().to_owned()
}

/// A row names at least one test, and each is there.
fn names_tests(row: &str, tests: &str, functions: &BTreeSet<String>) {
    let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
    assert!(!named.is_empty(), "{row}");
    for name in named {
        assert!(functions.contains(name), "there is no {name}: {row}");
    }
}

#[test]
fn every_case_of_hostile_endpoints_and_objects_names_tests_that_exist() {
    let (section, functions) = (section("Hostile endpoints and objects"), functions());
    let mut numbers = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(number) = cells[0].parse::<u32>() else { continue };
        let [_, _, expected, tests] = cells[..] else { panic!("{row}") };
        assert!(!expected.is_empty() || !tests.starts_with('`'), "{row}");
        names_tests(row, tests, &functions);
        numbers.push(number);
    }
    assert_eq!(numbers, (1..=73).collect::<Vec<_>>());
}

#[test]
fn every_case_of_tenants_and_rights_names_tests_that_exist() {
    let (section, functions) = (section("Tenants and rights"), functions());
    let mut cases = 0;
    for row in section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case |")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, _, tests] = cells[..] else { panic!("{row}") };
        if tests == "---" {
            continue;
        }
        names_tests(row, tests, &functions);
        cases += 1;
    }
    assert!(cases > 20, "{cases}");
}
