//! The operator's program, built with Cargo from this checkout: for the demo and the load, which no test harness gives
//! it to. Cargo's own progress is shown.

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
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(checkout()).args(["build", "--bin", NAME, "--message-format", "json-render-diagnostics"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    // what `cargo run` tells us about ourselves; build scripts would take it for a reason to run again
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_about_us(name)) {
        command.env_remove(name);
    }
    let output = process::run_shown(command).await?;
    if !output.status.success() {
        return Err(Error::new(format!("failed to build {NAME}: Cargo said why above")));
    }
    executable(&output.stdout).ok_or_else(|| Error::new(format!("failed to find {NAME} in what Cargo built")))
}

fn is_about_us(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// From Cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        let ours = message["reason"] == "compiler-artifact" && message["target"]["name"] == NAME;
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
        assert_eq!(executable(messages), Some(PathBuf::from("/t/debug/changehook")));
        assert_eq!(executable("not JSON"), None);
    }
}
