//! What the command line accepts, and that every refusal names its flag. Environment names are tested on the built
//! command, in `tests/cli.rs`.

use super::*;

fn operator(arguments: &[&str]) -> Result<OperatorConfig, String> {
    let all = ["changehook", "operator"].iter().chain(arguments).map(OsString::from);
    match Cli::from_arguments(all) {
        Ok(Cli { command: Command::Operator(config) }) => Ok(*config),
        Ok(Cli { command: Command::Crds(_) }) => unreachable!("the arguments say operator"),
        Err(e) => Err(e.to_string()),
    }
}

#[test]
fn the_defaults_are_what_the_documentation_says() {
    let config = operator(&[]).unwrap();
    assert_eq!(config.kubeconfig, None);
    assert_eq!(config.namespace, None);
    assert_eq!(config.watch_namespace, Vec::<String>::new());
    assert_eq!(config.authorization, AuthorizationKind::ServiceAccount);
    assert!(config.allow_cidr.is_empty());
    assert!(!config.allow_http);
    assert_eq!(config.admin_address.to_string(), "0.0.0.0:8080");
    assert_eq!(config.log_format, LogFormat::Text);
    assert_eq!(config.log_filter, telemetry::DEFAULT_FILTER);
    assert_eq!(config.shutdown_grace(), Duration::from_secs(25));
    assert_eq!(config.max_in_flight, 512);
    assert_eq!(config.relist_interval(), Duration::from_hours(1));
    let durations = config.lease_durations().unwrap();
    assert_eq!(durations.lease(), Duration::from_secs(15));
    assert_eq!(durations.renew_deadline(), Duration::from_secs(10));
    assert_eq!(durations.retry(), Duration::from_secs(2));
}

#[test]
fn every_flag_is_read() {
    let config = operator(&[
        "--kubeconfig=/etc/changehook/kubeconfig",
        "--namespace=hooks",
        "--watch-namespace=a,b",
        "--watch-namespace=c",
        "--authorization=Operator",
        "--allow-cidr=10.0.0.0/8",
        "--allow-cidr=127.0.0.1/32,shop=fd00::/8",
        "--allow-http",
        "--admin-address=[::1]:0",
        "--log-format=json",
        "--log-filter=debug,kube_client=info",
        "--shutdown-grace-seconds=5",
        "--max-in-flight=1",
        "--relist-interval-seconds=5",
        "--lease-duration-seconds=4",
        "--lease-renew-deadline-seconds=3",
        "--lease-retry-period-seconds=1",
    ])
    .unwrap();
    assert_eq!(config.kubeconfig.as_deref(), Some(Path::new("/etc/changehook/kubeconfig")));
    assert_eq!(config.own_namespace(), "hooks");
    assert_eq!(config.watch_namespace, ["a", "b", "c"]);
    assert_eq!(config.authorization, AuthorizationKind::Operator);
    let ranges: Vec<String> = config.allow_cidr.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.0.0.0/8", "127.0.0.1/32", "shop=fd00::/8"]);
    assert!(config.allow_http);
    assert_eq!(config.admin_address.to_string(), "[::1]:0");
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.shutdown_grace_seconds, 5);
    assert_eq!(config.max_in_flight, 1);
    assert_eq!(config.lease_duration_seconds, 4);
    assert_eq!(config.lease_renew_deadline_seconds, 3);
    assert_eq!(config.lease_retry_period_seconds, 1);
}

#[test]
fn bad_values_are_refused_with_the_name_of_their_flag() {
    for (argument, flag, reason) in [
        ("--allow-cidr=nonsense", "--allow-cidr", "not an address range"),
        ("--allow-cidr=10.0.0.0/8,", "--allow-cidr", "not an address range"),
        ("--allow-cidr=10.1.2.3", "--allow-cidr", "10.1.2.3/32"),
        ("--allow-cidr=10.1.2.3/8", "--allow-cidr", "10.0.0.0/8"),
        ("--allow-cidr=10.0.0.0/33", "--allow-cidr", "not an address range"),
        ("--deny-cidr=10.1.2.3", "--deny-cidr", "10.1.2.3/32"),
        ("--allow-cidr=Shop=10.0.0.0/8", "--allow-cidr", "the name of a namespace"),
        ("--allow-cidr=shop=10.1.2.3/8", "--allow-cidr", "10.0.0.0/8"),
        ("--allow-host=shop=*", "--allow-host", "not a host"),
        ("--allow-host=https://a.example", "--allow-host", "no scheme"),
        ("--deny-host=a.example,*", "--deny-host", "not a host"),
        ("--namespace=Not_A_Name", "--namespace", "lower-case"),
        ("--namespace=-a", "--namespace", "dash"),
        ("--namespace=a-", "--namespace", "dash"),
        ("--namespace=", "--namespace", "value"),
        ("--kubeconfig=", "--kubeconfig", "value"),
        ("--admin-address=localhost", "--admin-address", "invalid"),
        ("--log-format=xml", "--log-format", "text, json"),
        ("--log-filter=changehook=loud", "--log-filter", "invalid"),
        ("--shutdown-grace-seconds=0", "--shutdown-grace-seconds", "1..=3600"),
        ("--max-in-flight=0", "--max-in-flight", "1..=10000"),
        ("--max-in-flight=-1", "--max-in-flight", "1..=10000"),
        ("--lease-duration-seconds=2", "--lease-duration-seconds", "3..=3600"),
        ("--lease-retry-period-seconds=0", "--lease-retry-period-seconds", "1..=3600"),
        ("--lease-duration-seconds=10", "--lease-renew-deadline-seconds is 10", "shorter than the lease duration"),
        ("--lease-renew-deadline-seconds=15", "--lease-duration-seconds is 15", "shorter than the lease duration"),
        ("--lease-retry-period-seconds=10", "--lease-retry-period-seconds is 10", "shorter than the renew deadline"),
        ("--max-inflight=3", "--max-inflight", "--max-in-flight"),
    ] {
        let message = operator(&[argument]).expect_err(argument);
        assert!(message.contains(flag), "{argument}: {message}");
        assert!(message.contains(reason), "{argument}: {message}");
    }
    assert!(operator(&[&format!("--namespace={}", "a".repeat(63))]).is_ok());
    assert!(operator(&[&format!("--namespace={}", "a".repeat(64))]).is_err());
}

#[test]
fn the_namespace_is_the_flag_then_the_service_account_then_a_default() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = dir.path().join("namespace");
    assert_eq!(namespace_or(None, &mounted), "changehook-system");
    std::fs::write(&mounted, "hooks\n").unwrap();
    assert_eq!(namespace_or(None, &mounted), "hooks");
    assert_eq!(namespace_or(Some("mine"), &mounted), "mine");
    std::fs::write(&mounted, "\n").unwrap();
    assert_eq!(namespace_or(None, &mounted), "changehook-system");
}

#[test]
fn the_version_is_answered_everywhere() {
    for arguments in [&["--version"][..], &["operator", "--version"], &["crds", "--version"]] {
        let all = ["changehook"].iter().chain(arguments).map(OsString::from);
        let answer = Cli::from_arguments(all).expect_err("asks for the version");
        assert_eq!(answer.kind(), ErrorKind::DisplayVersion, "{arguments:?}");
        assert!(answer.to_string().contains(env!("CARGO_PKG_VERSION")));
    }
}
