//! Reasons, conditions and metrics: the words that are shown are the words that are documented.

use std::collections::BTreeSet;

use changehook::api::conditions;
use changehook::{controller, delivery, ledger, runtime, status, watch};

use crate::texts::read;

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

#[test]
fn every_metric_is_documented_under_the_name_it_is_shown_with_and_no_other_is() {
    let mut registry = runtime::metrics::registry();
    let rooms = (
        watch::Metrics::register(&mut registry),
        delivery::metrics::Metrics::register(&mut registry),
        status::metrics::Metrics::register(&mut registry),
        ledger::Metrics::register(&mut registry),
        runtime::leader::Metrics::register(&mut registry),
        controller::Metrics::register(&mut registry),
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
