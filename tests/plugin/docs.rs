//! docs/plugin.md has every flag of the plugin and no other.

use std::collections::BTreeSet;
use std::process::Command;

use crate::kubectl::plugin;
use crate::world::root;

fn flags(command: &[&str]) -> BTreeSet<String> {
    let help = Command::new(plugin()).args(command).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let lines = help.lines().filter_map(|line| line.trim_start().split_once("--"));
    let flags = lines.filter(|(start, _)| start.is_empty() || (start.starts_with('-') && start.ends_with(", ")));
    let names = flags.map(|(_, rest)| format!("--{}", rest.split([' ', '=', '[']).next().unwrap()));
    names.filter(|name| name != "--help").collect()
}

#[test]
fn every_flag_is_documented_and_no_other_is() {
    let text = std::fs::read_to_string(root().join("docs/plugin.md")).unwrap();
    for (heading, command) in [("## subscribe webhook", &["subscribe", "webhook"][..]), ("## status", &["status"])] {
        let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: BTreeSet<String> = rows
            .map(|row| row.split(['`', ' ', '=']).next().unwrap().to_owned())
            .filter(|row| row.starts_with("--"))
            .collect();
        let flags = flags(command);
        assert!(flags.len() >= 4, "{flags:?}");
        assert_eq!(documented, flags, "{heading}");
    }
}
