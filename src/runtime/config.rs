//! The command line: every flag, its environment name and its default.
//!
//! Touches the environment and the service account's namespace file, nothing else. Invariants: a value that is
//! accepted here is usable as it stands; an environment variable that is set but empty counts as not set, because
//! that is what charts and shell scripts mean by it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use changehook_core::address::{HostPattern, Scoped, ScopedError};
use changehook_core::lease::{self, Durations, DurationsError};
use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

use super::telemetry;

/// Where Kubernetes puts the name of a pod's own namespace.
const SERVICE_ACCOUNT_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The operator's namespace where nothing else is known.
const DEFAULT_NAMESPACE: &str = "changehook-system";

/// The `changehook` command.
#[derive(Debug, Parser)]
#[command(name = "changehook", version, about, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `changehook` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until SIGTERM or SIGINT
    ///
    /// Logs go to standard error. The first signal stops the operator within the grace period, a second one at once.
    Operator(Box<OperatorConfig>),
    /// Print the CustomResourceDefinitions as YAML
    Crds(CrdsConfig),
}

/// `changehook operator`.
#[derive(Clone, Debug, clap::Args)]
pub struct OperatorConfig {
    /// Kubeconfig file; without it $KUBECONFIG, ~/.kube/config, then the pod's service account are tried
    #[arg(long, env = "CHANGEHOOK_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The operator's own namespace [default: the pod's namespace, else changehook-system]
    #[arg(long, env = "CHANGEHOOK_NAMESPACE", value_name = "NAME", value_parser = parse_namespace)]
    pub namespace: Option<String>,

    /// Serve subscriptions in this namespace only, and ask for nothing beyond it; repeatable, or separated by commas
    #[arg(long, env = "CHANGEHOOK_WATCH_NAMESPACE", value_name = "NAME", value_delimiter = ',', value_parser = parse_namespace)]
    pub watch_namespace: Vec<String>,

    /// Whose permissions bound what a subscription reads: those of its ServiceAccount, or none but the operator's own
    #[arg(long, env = "CHANGEHOOK_AUTHORIZATION", value_name = "WHOSE", value_enum, default_value_t = AuthorizationKind::ServiceAccount)]
    pub authorization: AuthorizationKind,

    /// Address range that endpoints, or those of one namespace, may be in although it is private or forbidden; repeatable, or
    /// separated by commas
    #[arg(long, env = "CHANGEHOOK_ALLOW_CIDR", value_name = "[NAMESPACE=]CIDR", value_delimiter = ',', value_parser = parse_scoped_cidr)]
    pub allow_cidr: Vec<Scoped<IpNet>>,

    /// Address range that no endpoint, or none of one namespace, may be in, though it is public or allowed; repeatable, or
    /// separated by commas
    #[arg(long, env = "CHANGEHOOK_DENY_CIDR", value_name = "[NAMESPACE=]CIDR", value_delimiter = ',', value_parser = parse_scoped_cidr)]
    pub deny_cidr: Vec<Scoped<IpNet>>,

    /// Host that URLs, or those of one namespace, may name, *.DOMAIN for all below one; if there are any, no others; repeatable,
    /// or separated by commas
    #[arg(long, env = "CHANGEHOOK_ALLOW_HOST", value_name = "[NAMESPACE=]HOST", value_delimiter = ',')]
    pub allow_host: Vec<Scoped<HostPattern>>,

    /// Host that no URL, or none of one namespace, may name, *.DOMAIN for all below one; repeatable, or separated by commas
    #[arg(long, env = "CHANGEHOOK_DENY_HOST", value_name = "[NAMESPACE=]HOST", value_delimiter = ',')]
    pub deny_host: Vec<Scoped<HostPattern>>,

    /// Allow http:// endpoints, whose requests anyone on the way can read
    #[arg(long, env = "CHANGEHOOK_ALLOW_HTTP", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub allow_http: bool,

    /// Where /livez, /readyz and /metrics are served; port 0 takes a free one, which is logged
    #[arg(long, env = "CHANGEHOOK_ADMIN_ADDRESS", value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    pub admin_address: SocketAddr,

    /// Form of the log lines
    #[arg(long, env = "CHANGEHOOK_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Which log lines are written: comma separated LEVEL or TARGET=LEVEL; kube_client stays at error unless it is named
    #[arg(long, env = "CHANGEHOOK_LOG_FILTER", value_name = "FILTER", default_value = telemetry::DEFAULT_FILTER, value_parser = parse_filter)]
    pub log_filter: String,

    /// How long the operator may take to stop after a signal; keep it below the pod's terminationGracePeriodSeconds
    #[arg(long, env = "CHANGEHOOK_SHUTDOWN_GRACE_SECONDS", value_name = "SECONDS", default_value_t = 25,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub shutdown_grace_seconds: u64,

    /// Requests under way at once, over all subscriptions
    #[arg(long, env = "CHANGEHOOK_MAX_IN_FLIGHT", value_name = "COUNT", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_in_flight: u32,

    /// How often, at least, each watch is compared with a list; a watch that lost an event is healed by then
    #[arg(long, env = "CHANGEHOOK_RELIST_INTERVAL_SECONDS", value_name = "SECONDS", default_value_t = 3600,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub relist_interval_seconds: u64,

    /// Where the record of what each endpoint has acknowledged is kept; memory is for trying things out: a restart forgets
    #[arg(long, env = "CHANGEHOOK_LEDGER", value_name = "STORE", value_enum, default_value_t = LedgerKind::Kubernetes)]
    pub ledger: LedgerKind,

    /// How long the ledger's journal grows, at most, before it is folded; more often costs writes, less often memory
    #[arg(long, env = "CHANGEHOOK_LEDGER_FOLD_INTERVAL_SECONDS", value_name = "SECONDS", default_value_t = 600,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub ledger_fold_interval_seconds: u64,

    /// How large the ledger's journal grows, about, before it is folded
    #[arg(long, env = "CHANGEHOOK_LEDGER_FOLD_BYTES", value_name = "BYTES", default_value_t = 4 << 20,
          value_parser = clap::value_parser!(u32).range(1024..=64 << 20))]
    pub ledger_fold_bytes: u32,

    /// How long other replicas wait for a leader that is silent before one of them takes over
    #[arg(long, env = "CHANGEHOOK_LEASE_DURATION_SECONDS", value_name = "SECONDS", default_value_t = 15,
          value_parser = lease_seconds(3))]
    pub lease_duration_seconds: u64,

    /// How long a leader goes on without having renewed its Lease; less than the lease duration
    #[arg(long, env = "CHANGEHOOK_LEASE_RENEW_DEADLINE_SECONDS", value_name = "SECONDS", default_value_t = 10,
          value_parser = lease_seconds(2))]
    pub lease_renew_deadline_seconds: u64,

    /// From one renewal to the next; less than the renew deadline
    #[arg(long, env = "CHANGEHOOK_LEASE_RETRY_PERIOD_SECONDS", value_name = "SECONDS", default_value_t = 2,
          value_parser = lease_seconds(1))]
    pub lease_retry_period_seconds: u64,
}

/// `changehook crds`.
#[derive(Clone, Debug, clap::Args)]
pub struct CrdsConfig {
    /// Write one file for each definition into this directory instead of printing them
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Print a page that documents every field instead
    #[arg(long, conflicts_with = "dir")]
    pub markdown: bool,
}

/// Whose permissions bound a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthorizationKind {
    /// Its ServiceAccount's, asked of the API server.
    #[value(name = "ServiceAccount")]
    ServiceAccount,
    /// The operator's: for clusters of one tenant.
    #[value(name = "Operator")]
    Operator,
}

/// Where the ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LedgerKind {
    /// In DeliveryLedger objects of the operator's own namespace.
    Kubernetes,
    /// Nowhere durable.
    Memory,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Cli {
    /// Reads the process's arguments and environment; ends the process with help or a usage error if they ask for it.
    pub fn read() -> Self {
        Self::from_arguments(std::env::args_os()).unwrap_or_else(|e| e.exit())
    }

    /// Reads these arguments, program name first, and the process's environment.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command().mut_subcommand("operator", |operator| operator.mut_args(without_empty_env));
        let matches = command.try_get_matches_from_mut(arguments)?;
        let cli = Self::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
        match &cli.command {
            Command::Operator(config) => {
                config.lease_durations().map_err(|e| command.error(ErrorKind::ValueValidation, e))?
            }
            Command::Crds(_) => return Ok(cli),
        };
        Ok(cli)
    }
}

impl OperatorConfig {
    /// The operator's own namespace.
    pub fn own_namespace(&self) -> String {
        namespace_or(self.namespace.as_deref(), Path::new(SERVICE_ACCOUNT_NAMESPACE))
    }

    /// How often watches are compared with lists.
    pub fn relist_interval(&self) -> Duration {
        Duration::from_secs(self.relist_interval_seconds)
    }

    /// The Lease's durations, or what is wrong with them.
    pub fn lease_durations(&self) -> Result<Durations, String> {
        let seconds = Duration::from_secs;
        let (lease, renew_deadline) = (self.lease_duration_seconds, self.lease_renew_deadline_seconds);
        let retry = self.lease_retry_period_seconds;
        Durations::new(seconds(lease), seconds(renew_deadline), seconds(retry)).map_err(|error| {
            let values = match error {
                DurationsError::RenewDeadline => {
                    format!("--lease-renew-deadline-seconds is {renew_deadline}, --lease-duration-seconds is {lease}")
                }
                DurationsError::Retry => format!(
                    "--lease-retry-period-seconds is {retry}, --lease-renew-deadline-seconds is {renew_deadline}"
                ),
            };
            format!("{error}: {values}")
        })
    }

    /// How long a drain may take.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds)
    }
}

fn namespace_or(given: Option<&str>, service_account: &Path) -> String {
    if let Some(given) = given {
        return given.to_owned();
    }
    match std::fs::read_to_string(service_account) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        // not in a pod, or a pod without a mounted account
        Ok(_) | Err(_) => DEFAULT_NAMESPACE.to_owned(),
    }
}

fn without_empty_env(arg: clap::Arg) -> clap::Arg {
    let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if empty { arg.env(None::<&'static str>) } else { arg }
}

/// Up to the longest that a candidate waits for, whatever a Lease says.
fn lease_seconds(least: u64) -> RangedU64ValueParser {
    clap::value_parser!(u64).range(least..=lease::LONGEST.as_secs())
}

fn parse_namespace(text: &str) -> Result<String, String> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let edge = |c: Option<&u8>| c.is_some_and(|c| *c != b'-');
    let bytes = text.as_bytes();
    if bytes.len() <= 63 && bytes.iter().copied().all(inner) && edge(bytes.first()) && edge(bytes.last()) {
        Ok(text.to_owned())
    } else {
        Err("a namespace has 1 to 63 lower-case letters, digits and dashes, with no dash at either end".to_owned())
    }
}

fn parse_scoped_cidr(text: &str) -> Result<Scoped<IpNet>, ScopedError<String>> {
    Scoped::parse(text, parse_cidr)
}

fn parse_cidr(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Err(format!("an address range needs a prefix length; this one address is {}", IpNet::from(address)));
    }
    let range: IpNet = text.parse().map_err(|_| "not an address range such as 10.0.0.0/8 or fd00::/8".to_owned())?;
    if range == range.trunc() {
        Ok(range)
    } else {
        // a typo in a list of exceptions to the address guard must not open more than was meant
        Err(format!("the address has bits beyond its prefix length; the range is {}", range.trunc()))
    }
}

fn parse_filter(text: &str) -> Result<String, String> {
    telemetry::parse_filter(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
