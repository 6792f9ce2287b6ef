//! Programs built with Cargo: the operator's from this checkout, for the demo and the load, which no test harness gives it
//! to, and the benches of any checkout. Cargo's own progress is shown.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    error::{Error, Result},
    process,
};

const NAME: &str = "changehook";

/// How it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quickly.
    Dev,
    /// As it ships.
    Release,
}

/// The checkout that this was built from.
pub fn checkout() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Builds `changehook`, if need be, and gives its path.
pub async fn build(profile: Profile) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--bin", NAME];
    if profile == Profile::Release {
        arguments.push("--release");
    }
    cargo(checkout(), &arguments, NAME).await
}

/// Builds a bench of the root package of the checkout in `folder`, with the dependencies that this checkout has built.
pub async fn build_bench(folder: &Path, name: &str) -> Result<PathBuf> {
    let target = checkout().join("target").display().to_string();
    cargo(folder, &["bench", "--no-run", "--bench", name, "--target-dir", &target], name).await
}

/// Runs Cargo in a folder and gives the path of the program that it built.
async fn cargo(folder: &Path, arguments: &[&str], name: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(folder).args(arguments).args(["--message-format", "json-render-diagnostics"]);
    // what `cargo run` tells us about ourselves; build scripts would take it for a reason to run again
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_about_us(name)) {
        command.env_remove(name);
    }
    let output = process::run_shown(command).await?;
    if !output.status.success() {
        return Err(Error::new(format!("failed to build {name}: Cargo said why above")));
    }
    executable(&output.stdout, name).ok_or_else(|| Error::new(format!("failed to find {name} in what Cargo built")))
}

fn is_about_us(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// From Cargo's messages, one JSON object a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        let ours = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
        ours.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_cargos_messages() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"changehook","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"other","kind":["bin"]},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"name":"changehook","kind":["bin"]},"executable":"/t/debug/changehook"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages, "changehook"), Some(PathBuf::from("/t/debug/changehook")));
        assert_eq!(executable("not JSON", "changehook"), None);
    }
}
