//! The flags of `kubectl changehook`. Their docs are its help; `docs/plugin.md` has each of them.
//!
//! Touches nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api::endpoint::Method;

/// Signed webhooks for any Kubernetes change: create subscriptions and see how they stand.
#[derive(Debug, Parser)]
#[command(name = "kubectl changehook", bin_name = "kubectl changehook", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a subscription
    #[command(subcommand)]
    Subscribe(SubscribeCommand),
    /// Show how a subscription stands: conditions, endpoint, deliveries, and everything it refers to
    Status(StatusArgs),
}

/// What to subscribe.
#[derive(Debug, Subcommand)]
pub enum SubscribeCommand {
    /// Send the changes of resources in a namespace to an HTTP endpoint
    Webhook(WebhookArgs),
}

/// Which API server and namespace.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The namespace; that of the kubeconfig's context if not given
    #[arg(long, short = 'n', value_parser = namespace)]
    pub namespace: Option<String>,
    /// The context of the kubeconfig
    #[arg(long)]
    pub context: Option<String>,
    /// The kubeconfig file; otherwise those that kubectl would use
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
}

/// `subscribe webhook`.
#[derive(Args, Debug)]
pub struct WebhookArgs {
    /// Where changes are sent: https, unless the operator allows http
    #[arg(long)]
    pub url: String,
    /// The subscription's name; "My Integration" becomes my-integration
    #[arg(long)]
    pub name: String,
    /// A kind to watch, named as for kubectl: deployments.apps, deploy, certificates.v1.cert-manager.io. Repeat it, or
    /// separate with commas, for several. Without it Deployments and ConfigMaps are watched
    #[arg(long = "resource", value_name = "KIND", value_delimiter = ',')]
    pub resources: Vec<String>,
    /// Only objects with these labels, as for kubectl: app=shop,tier in (web,api),!canary
    #[arg(long, short = 'l')]
    pub selector: Option<String>,
    /// Sign requests with this Secret of the same namespace; the key is "secret" unless named. Without it requests are
    /// not signed
    #[arg(long, value_name = "NAME[:KEY]")]
    pub secret: Option<String>,
    /// The HTTP method
    #[arg(long, value_enum, ignore_case = true, default_value = "POST")]
    pub method: MethodArg,
    /// A header to send with each request; repeat it for several. Whoever may read the subscription can read its value
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<String>,
    /// Replace the spec of a subscription that exists with this name
    #[arg(long)]
    pub overwrite: bool,
    /// Print the manifest and create nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the manifest (with --dry-run) or the created object in this form
    #[arg(long, short = 'o', value_enum)]
    pub output: Option<Output>,
    /// Wait until the subscription is Ready
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub wait: bool,
    /// How long to wait for that: seconds, or as kubectl has it: 90s, 5m, 1h
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
    /// Which API server and namespace.
    #[command(flatten)]
    pub connection: Connection,
}

/// `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The subscription
    pub name: String,
    /// It is a ClusterWebhookSubscription; --namespace is the operator's then, changehook-system if not given
    #[arg(long)]
    pub cluster: bool,
    /// Print it as JSON or YAML, for scripts
    #[arg(long, short = 'o', value_enum)]
    pub output: Option<Output>,
    /// Which API server and namespace.
    #[command(flatten)]
    pub connection: Connection,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

impl Output {
    /// The value in this form.
    pub fn write(self, value: &serde_json::Value) -> String {
        match self {
            // JSON is YAML, so what cannot be written as one is written as the other
            Self::Yaml => serde_saphyr::to_string(value).unwrap_or_else(|_| format!("{value:#}\n")),
            Self::Json => format!("{value:#}\n"),
        }
    }
}

/// An HTTP method that changes may be sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum MethodArg {
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

/// It becomes part of an address.
fn namespace(text: &str) -> Result<String, String> {
    let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if text.is_empty() || text.len() > 63 || !letters || text.starts_with('-') || text.ends_with('-') {
        return Err("must be the name of a namespace: lower case letters, digits and -".to_owned());
    }
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let seconds = digits.parse::<u64>().ok().zip(unit).and_then(|(count, unit)| count.checked_mul(unit));
    let bounded = seconds.filter(|seconds| (1..=86_400).contains(seconds)).map(Duration::from_secs);
    bounded.ok_or_else(|| "must be from 1s to 24h: 90, 90s, 5m or 1h, for instance".to_owned())
}

impl From<MethodArg> for Method {
    fn from(method: MethodArg) -> Self {
        match method {
            MethodArg::Post => Self::Post,
            MethodArg::Put => Self::Put,
            MethodArg::Patch => Self::Patch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_kubectl_reads_them_within_bounds() {
        let seconds = |text| duration(text).map(|time| time.as_secs()).ok();
        assert_eq!(["90", "90s", "5m", "1h"].map(seconds), [Some(90), Some(90), Some(300), Some(3600)]);
        assert_eq!(["", "0", "s", "-1s", "25h", "1d", "1.5s", "1é"].map(seconds), [None; 8]);
    }

    #[test]
    fn a_namespace_cannot_lead_to_another_address() {
        assert!(namespace("shop-2").is_ok());
        assert!(["", "a/b", "a?b", "..", "-a", "A"].iter().all(|text| namespace(text).is_err()));
    }
}
