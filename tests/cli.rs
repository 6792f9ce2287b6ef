//! The built command: environment names, usage errors, and what it says before it has an API server.

#![allow(clippy::unwrap_used, reason = "clippy takes what tests share for code that ships")]

use std::process::{Command, Output};

/// Runs the command with nothing of this process's own configuration around it.
fn changehook(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_changehook"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A kubeconfig that cannot be read ends the operator right after it has logged its configuration.
const NO_KUBECONFIG: (&str, &str) = ("CHANGEHOOK_KUBECONFIG", "/nowhere/kubeconfig");
const ANY_PORT: (&str, &str) = ("CHANGEHOOK_ADMIN_ADDRESS", "127.0.0.1:0");

#[test]
fn every_setting_has_an_environment_name() {
    let output = changehook(
        &["operator"],
        &[
            NO_KUBECONFIG,
            ANY_PORT,
            ("CHANGEHOOK_NAMESPACE", "hooks"),
            ("CHANGEHOOK_ALLOW_CIDR", "10.0.0.0/8,fd00::/8"),
            ("CHANGEHOOK_DENY_CIDR", "10.9.0.0/16"),
            ("CHANGEHOOK_ALLOW_HOST", "*.Example.com,hooks.example.net"),
            ("CHANGEHOOK_DENY_HOST", "old.example.com"),
            ("CHANGEHOOK_ALLOW_HTTP", "true"),
            ("CHANGEHOOK_LOG_FORMAT", "json"),
            ("CHANGEHOOK_LOG_FILTER", "changehook=info"),
            ("CHANGEHOOK_SHUTDOWN_GRACE_SECONDS", "7"),
            ("CHANGEHOOK_MAX_IN_FLIGHT", "9"),
            ("CHANGEHOOK_LEASE_DURATION_SECONDS", "30"),
            ("CHANGEHOOK_LEASE_RENEW_DEADLINE_SECONDS", "20"),
            ("CHANGEHOOK_LEASE_RETRY_PERIOD_SECONDS", "5"),
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let first = &lines[0];
    assert_eq!(first["message"], "changehook operator");
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(first["namespace"], "hooks");
    assert_eq!(first["allow_cidr"], "10.0.0.0/8,fd00::/8");
    assert_eq!(first["deny_cidr"], "10.9.0.0/16");
    assert_eq!(first["allow_host"], "*.example.com,hooks.example.net");
    assert_eq!(first["deny_host"], "old.example.com");
    assert_eq!(first["allow_http"], true);
    assert_eq!(first["shutdown_grace_seconds"], 7);
    assert_eq!(first["max_in_flight"], 9);
    assert_eq!(first["lease_duration_seconds"], 30);
    assert_eq!(first["lease_renew_deadline_seconds"], 20);
    assert_eq!(first["lease_retry_period_seconds"], 5);
    let last = lines.last().unwrap();
    assert_eq!(last["message"], "the operator ends");
    assert!(last["reason"].as_str().unwrap().starts_with("failed to use the kubeconfig /nowhere/kubeconfig: No such"));
}

#[test]
fn a_proxy_for_the_api_server_that_cannot_be_used_is_told_by_the_variable_that_names_it_and_without_its_password() {
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n\
                clusters: [{name: a, cluster: {server: 'https://api.corp.invalid'}}]\nusers: [{name: a, user: {}}]\n";
    std::fs::write(kubeconfig.path(), text).unwrap();
    let path = kubeconfig.path().to_str().unwrap();
    for (proxy, says) in [
        ("socks5://user:hush@proxy.corp.invalid:1080", "failed to use the proxy that HTTPS_PROXY names: its scheme is"),
        ("http://user:hush hush@proxy", "the proxy to its API server is no URL; correct HTTPS_PROXY"),
    ] {
        let output = changehook(&["operator"], &[("CHANGEHOOK_KUBECONFIG", path), ANY_PORT, ("HTTPS_PROXY", proxy)]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(says) && !text.contains("hush"), "{text}");
    }
}

#[test]
fn an_environment_variable_that_is_set_but_empty_counts_as_not_set() {
    let empty = [
        "CHANGEHOOK_NAMESPACE",
        "CHANGEHOOK_ALLOW_CIDR",
        "CHANGEHOOK_DENY_CIDR",
        "CHANGEHOOK_ALLOW_HOST",
        "CHANGEHOOK_DENY_HOST",
        "CHANGEHOOK_ALLOW_HTTP",
        "CHANGEHOOK_LOG_FORMAT",
        "CHANGEHOOK_LOG_FILTER",
        "CHANGEHOOK_SHUTDOWN_GRACE_SECONDS",
        "CHANGEHOOK_MAX_IN_FLIGHT",
        "CHANGEHOOK_LEASE_DURATION_SECONDS",
        "CHANGEHOOK_LEASE_RENEW_DEADLINE_SECONDS",
        "CHANGEHOOK_LEASE_RETRY_PERIOD_SECONDS",
    ];
    let mut environment = vec![NO_KUBECONFIG, ANY_PORT];
    environment.extend(empty.map(|name| (name, "")));
    let output = changehook(&["operator"], &environment);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["allow_cidr= ", "allow_http=false", "max_in_flight=512", "shutdown_grace_seconds=25"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_flag_wins_over_its_environment_name() {
    let output = changehook(
        &["operator", "--namespace", "flag", "--allow-cidr", "10.0.0.0/8"],
        &[NO_KUBECONFIG, ANY_PORT, ("CHANGEHOOK_NAMESPACE", "env"), ("CHANGEHOOK_ALLOW_CIDR", "fd00::/8")],
    );
    let text = stderr(&output);
    assert!(text.contains("namespace=\"flag\""), "{text}");
    assert!(text.contains("allow_cidr=10.0.0.0/8 "), "{text}");
}

#[test]
fn a_bad_value_from_the_environment_is_a_usage_error_that_names_the_flag() {
    for (name, flag) in [
        ("CHANGEHOOK_ALLOW_CIDR", "--allow-cidr"),
        ("CHANGEHOOK_DENY_CIDR", "--deny-cidr"),
        ("CHANGEHOOK_ALLOW_HTTP", "--allow-http"),
        ("CHANGEHOOK_ADMIN_ADDRESS", "--admin-address"),
        ("CHANGEHOOK_MAX_IN_FLIGHT", "--max-in-flight"),
    ] {
        let output = changehook(&["operator"], &[(name, "nonsense")]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(flag), "{text}");
    }
}

#[test]
fn a_bad_flag_is_a_usage_error_that_says_what_is_wrong_with_it() {
    for (arguments, what) in [
        (&["--allow-cidr", "10.0.0.0"][..], "an address range needs a prefix length; this one address is 10.0.0.0/32"),
        (&["--allow-cidr", "10.1.2.3/8"], "bits beyond its prefix length; the range is 10.0.0.0/8"),
        (&["--allow-cidr", "10.0.0.0/33"], "not an address range such as 10.0.0.0/8 or fd00::/8"),
        (&["--deny-cidr", "10.1.2.3/8"], "bits beyond its prefix length; the range is 10.0.0.0/8"),
        (&["--allow-host", "https://a.example"], "not a host such as hooks.example.com, or *.example.com"),
        (&["--deny-host", "a.example:443"], "not a host such as hooks.example.com, or *.example.com"),
        (&["--namespace", "Not_A_Name"], "a namespace has 1 to 63 lower-case letters, digits and dashes"),
        (&["--log-format", "xml"], "[possible values: text, json]"),
        (&["--log-filter", "changehook=loud"], "'--log-filter <FILTER>'"),
        (&["--admin-address", "8080"], "'--admin-address <IP:PORT>'"),
        (&["--shutdown-grace-seconds", "0"], "0 is not in 1..=3600"),
        (&["--max-in-flight", "many"], "'--max-in-flight <COUNT>'"),
        (&["--allow-https"], "'--allow-http'"),
        (&["surplus"], "unexpected argument 'surplus'"),
    ] {
        let output = changehook(&[&["operator"], arguments].concat(), &[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.starts_with("error: ") && text.contains(what), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    for arguments in [&["no-such-command"][..], &[]] {
        let output = changehook(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("Usage: changehook"), "{arguments:?}");
    }
}

#[test]
fn an_admin_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = changehook(&["operator", "--admin-address", &address], &[NO_KUBECONFIG]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains(&format!("failed to listen on the admin address {address}: Address already in use")),
        "{text}"
    );
}

#[test]
fn crds_prints_what_it_would_write_into_a_directory() {
    let printed = changehook(&["crds"], &[]);
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let written = changehook(&["crds", "--dir", dir.path().to_str().unwrap()], &[]);
    assert!(written.status.success());
    assert!(written.stdout.is_empty());
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        assert_eq!(file.extension().unwrap(), "yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let body = text.trim_start_matches("---\n").trim_end();
        assert!(printed.contains(body), "{} is not in the printed text", file.display());
    }
}
