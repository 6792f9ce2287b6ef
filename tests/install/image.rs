//! The image, as far as it can be checked without building it: what goes in, as whom it runs, what it starts.

use std::process::Command;

use serde_json::Value;
use testbed::program::checkout;

use crate::site::{documents, read};

/// The arguments of an instruction of the last stage.
fn last(dockerfile: &str, instruction: &str) -> Vec<String> {
    let (_, stage) = dockerfile.rsplit_once("\nFROM ").unwrap();
    let of = |line: &str| line.strip_prefix(instruction)?.strip_prefix(' ').map(str::to_owned);
    format!("FROM {stage}").lines().filter_map(of).collect()
}

#[test]
fn the_image_is_a_program_and_certificates_for_a_user_without_a_name() {
    let dockerfile = read("Dockerfile");
    let values = &documents(&read("charts/changehook/values.yaml"))[0];
    assert_eq!(last(&dockerfile, "FROM"), ["scratch"]);
    assert_eq!(last(&dockerfile, "USER"), [format!("{}:{}", values["runAsUser"], values["runAsGroup"])]);
    assert_eq!(last(&dockerfile, "EXPOSE"), [values["adminPort"].to_string()]);
    let copied = last(&dockerfile, "COPY");
    let to: Vec<&str> = copied.iter().map(|copy| copy.split(' ').next_back().unwrap()).collect();
    // the first place that the TLS library looks at
    assert_eq!(to, ["/etc/ssl/certs/ca-certificates.crt", "/changehook"]);
    // the chart gives arguments, and leaves the program to the image
    assert_eq!(last(&dockerfile, "ENTRYPOINT"), ["[\"/changehook\"]"]);
    let deployment = read("deploy/kustomize/operator.yaml");
    let container = documents(&deployment).into_iter().find(|object| object["kind"] == "Deployment").unwrap();
    let container = &container["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((&container["command"], &container["args"][0]), (&Value::Null, &"operator".into()));
}

#[test]
fn it_is_built_with_the_oldest_rust_that_is_supported_and_for_a_static_target() {
    let dockerfile = read("Dockerfile");
    let (_, version) =
        read("Cargo.toml").split_once("rust-version = \"").map(|(a, b)| (a.len(), b.to_owned())).unwrap();
    let version = version.split('"').next().unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{version}-alpine AS build\n")), "rust-version is {version}");
}

#[test]
fn what_is_sent_to_the_build_is_enough_for_cargo() {
    let folder = tempfile::tempdir().unwrap();
    let ignored = read(".dockerignore");
    assert!(ignored.lines().any(|line| line == "*"));
    for name in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        let from = checkout().join(name).canonicalize().unwrap_or_else(|error| panic!("{name}: {error}"));
        std::os::unix::fs::symlink(from, folder.path().join(name)).unwrap();
    }
    let mut command = Command::new(env!("CARGO"));
    let metadata = command.args(["metadata", "--no-deps", "--offline", "--locked", "--format-version=1"]);
    let output = metadata.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages: Vec<_> = metadata["packages"].as_array().unwrap().iter().map(|package| &package["name"]).collect();
    assert!(packages.contains(&&"changehook".into()), "{packages:?}");
}
