//! What it takes to build and test, and where the links lead.

use crate::texts::{blocks, files, headings, read};

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
