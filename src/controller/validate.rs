//! From a subscription's spec to checked parts: what [`Valid`] holds is used, the raw spec no more.
//!
//! Touches nothing: no client, no name resolution. Invariants: every rule of the CRD is repeated here (an older CRD may
//! be installed: its rules are for early feedback, these are for truth); all problems are found at once; no message
//! shows a URL or a header's value; only an edit of the subscription heals a [`Problem`].

mod endpoint;
mod policy;
mod resources;
mod syntax;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use changehook_core::object::Gvk;
use changehook_core::plan::{ChangeTypes, Policy};
use http::{HeaderName, HeaderValue};
use url::Url;

use crate::api::conditions::Reason;
use crate::api::payload::Payload;
use crate::api::resources::LabelSelector;
use crate::api::retry::RetryPolicy;
use crate::api::signing::{Signing, SigningKeyRef};
use crate::api::subscription::ChangeType;
use crate::api::unsupported::UNSUPPORTED;
use crate::api::{WebhookSubscription, WebhookSubscriptionSpec};
use crate::delivery::endpoint::{CaSource, ServiceTarget, TlsTarget};

/// A subscription's spec, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Nothing is sent.
    pub suspended: bool,
    /// On whose behalf things are read.
    pub service_account: String,
    /// What is watched; each group and kind once.
    pub resources: Vec<ValidResource>,
    /// Which changes are sent.
    pub changes: ChangeTypes,
    /// Where to.
    pub endpoint: ValidEndpoint,
    /// The keys requests are signed with; `None` sends them unsigned.
    pub signing: Option<ValidSigning>,
    /// Attempts and delays.
    pub retry: ValidRetry,
    /// The largest body.
    pub max_bytes: usize,
    /// Where there is a choice.
    pub policy: Policy,
}

impl Valid {
    /// Every Secret that the subscription reads.
    pub fn secret_names(&self) -> BTreeSet<String> {
        let tls = self.endpoint.tls.as_ref();
        let ca = tls.and_then(|tls| match tls.ca.as_ref()? {
            CaSource::Secret(key) => Some(key.name.clone()),
            CaSource::ConfigMap(_) => None,
        });
        let client = tls.and_then(|tls| tls.client.clone());
        self.secrets().iter().map(|used| used.key.name.clone()).chain(ca).chain(client).collect()
    }

    /// The ConfigMap that the subscription reads, if there is one.
    pub fn config_map(&self) -> Option<&str> {
        match self.endpoint.tls.as_ref()?.ca.as_ref()? {
            CaSource::ConfigMap(key) => Some(&key.name),
            CaSource::Secret(_) => None,
        }
    }

    /// Every Secret key that a request carries or is signed with, the signing keys first.
    pub fn secrets(&self) -> Vec<SecretUse<'_>> {
        let signing = self.signing.iter().flat_map(|ValidSigning { present, previous }| {
            let signs = |field: &str, key, role| SecretUse { field: field.to_owned(), key, role };
            let present = signs("spec.signing.secretRef", present, SecretRole::Signs);
            let previous =
                previous.iter().map(move |key| signs("spec.signing.previousSecretRef", key, SecretRole::SignsBesides));
            std::iter::once(present).chain(previous)
        });
        let url = match &self.endpoint.target {
            ValidTarget::Url(_) | ValidTarget::Service(_) => None,
            ValidTarget::Secret(key) => {
                let field = "spec.endpoint.urlFrom.secretKeyRef".to_owned();
                Some(SecretUse { field, key, role: SecretRole::Url })
            }
        };
        let headers = self.endpoint.headers.iter().enumerate().filter_map(|(index, header)| match &header.value {
            ValidHeaderValue::Secret(key) => {
                let field = format!("spec.endpoint.headers[{index}].valueFrom.secretKeyRef");
                Some(SecretUse { field, key, role: SecretRole::Header })
            }
            ValidHeaderValue::Literal(_) => None,
        });
        signing.chain(url).chain(headers).collect()
    }
}

/// One place of the spec that names a Secret's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse<'a> {
    /// Which place.
    pub field: String,
    /// What it names.
    pub key: &'a SecretKey,
    /// What its value is to be.
    pub role: SecretRole,
}

/// What a Secret's value is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretRole {
    /// The signing key.
    Signs,
    /// The signing key from before.
    SignsBesides,
    /// The endpoint's URL.
    Url,
    /// A header's value.
    Header,
}

/// What requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidSigning {
    /// The key.
    pub present: SecretKey,
    /// The one before; another key than the present one.
    pub previous: Option<SecretKey>,
}

/// One kind and which objects of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidResource {
    /// The kind.
    pub gvk: Gvk,
    /// Their labels.
    pub labels: ValidLabels,
    /// Names; empty for all.
    pub names: BTreeSet<String>,
}

/// What is required of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidLabels {
    /// Labels with exactly these values.
    pub match_labels: BTreeMap<String, String>,
    /// Requirements.
    pub expressions: Vec<LabelRequirement>,
}

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// What is required of it.
    pub operator: LabelOperator,
    /// For In and NotIn: at least one; else none.
    pub values: BTreeSet<String>,
}

pub use crate::api::resources::LabelOperator;
pub(super) use policy::requested_at;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidEndpoint {
    /// Where to.
    pub target: ValidTarget,
    /// Its own TLS settings.
    pub tls: Option<TlsTarget>,
    /// POST, PUT or PATCH.
    pub method: http::Method,
    /// Custom headers.
    pub headers: Vec<ValidHeader>,
    /// For a whole request.
    pub timeout: Duration,
    /// Requests at once, over all objects.
    pub max_in_flight: u32,
}

/// Where the URL comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum ValidTarget {
    /// From the spec, as the address policy let it pass.
    Url(Url),
    /// From a Secret; judged whenever it is read.
    Secret(SecretKey),
    /// A Service; judged whenever it is read.
    Service(ServiceTarget),
}

impl fmt::Debug for ValidTarget {
    /// Shows the host only: a path or query may be a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.debug_tuple("Url").field(&url.host_str()).finish(),
            Self::Secret(key) => f.debug_tuple("Secret").field(key).finish(),
            Self::Service(service) => f.debug_tuple("Service").field(service).finish(),
        }
    }
}

/// One custom header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidHeader {
    /// Its name; neither reserved nor there twice.
    pub name: HeaderName,
    /// Where its value comes from.
    pub value: ValidHeaderValue,
}

/// Where a header's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidHeaderValue {
    /// From the spec; marked sensitive, so that Debug does not show it.
    Literal(HeaderValue),
    /// From a Secret.
    Secret(SecretKey),
}

/// A key of a Secret in the subscription's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretKey {
    /// The Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// Attempts and delays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidRetry {
    /// Attempts after the first.
    pub max_retries: u32,
    /// Before the first retry.
    pub initial_delay: Duration,
    /// The longest; never less than the first.
    pub max_delay: Duration,
    /// Added to a delay, 0 to 100.
    pub jitter_percent: u32,
    /// Statuses that are retried though they are final by themselves.
    pub retry_statuses: BTreeSet<u16>,
    /// Between two probes of an endpoint that is down.
    pub outage_max_delay: Duration,
}

/// One thing that is wrong with a spec, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, from `spec` on.
    pub path: String,
    /// InvalidSpec, NotSupported, AddressRefused or FeedbackLoop.
    pub reason: Reason,
    /// What to do; starts where the path ends.
    pub message: String,
    /// Whether only an edit of this subscription helps. So it is with everything found here: what another object can
    /// heal is found where that object is read.
    pub terminal: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), reason, message: message.into(), terminal: true });
    }

    fn invalid(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.add(path, Reason::InvalidSpec, message);
    }

    /// The number, if it is within its bounds.
    fn range<T: TryFrom<i32>>(&mut self, path: &str, value: i32, low: i32, high: i32) -> Option<T> {
        if !(low..=high).contains(&value) {
            self.invalid(path, format!("must be from {low} to {high}"));
            return None;
        }
        T::try_from(value).ok()
    }

    fn seconds(&mut self, path: &str, value: i32, low: i32, high: i32) -> Option<Duration> {
        self.range(path, value, low, high).map(|seconds: u32| Duration::from_secs(seconds.into()))
    }

    fn secret(&mut self, path: &str, name: &str, key: &str) -> Option<SecretKey> {
        let before = self.0.len();
        if !syntax::is_dns_subdomain(name) {
            self.invalid(format!("{path}.name"), "must be the name of a Secret: lower case letters, digits, - and .");
        }
        if !syntax::is_secret_key(key) {
            self.invalid(format!("{path}.key"), "must be a key of the Secret: letters, digits, -, _ and .");
        }
        (self.0.len() == before).then(|| SecretKey { name: name.to_owned(), key: key.to_owned() })
    }
}

/// Checks a subscription. `check_url` is the address policy: scheme and literal addresses; its error is for people.
pub fn validate(
    subscription: &WebhookSubscription,
    check_url: impl Fn(&str) -> Result<Url, String>,
) -> Result<Valid, Vec<Problem>> {
    let spec = &subscription.spec;
    let mut problems = Problems::default();
    unsupported(spec, &mut problems);
    if !syntax::is_dns_subdomain(&spec.service_account_name) {
        let message = "must be the name of a ServiceAccount: lower case letters, digits, - and .";
        problems.invalid("spec.serviceAccountName", message);
    }
    let resources = resources::check(&spec.resources, &mut problems);
    let changes = changes(&spec.change_types, &mut problems);
    let endpoint = endpoint::check(&spec.endpoint, check_url, &mut problems);
    let signing = match &spec.signing {
        None => Some(None),
        Some(given) => signing(given, &mut problems).map(Some),
    };
    let retry = retry(&spec.retry_policy, &mut problems);
    let max_bytes = max_bytes(&spec.payload, &mut problems);
    let policy = policy::check(subscription, &mut problems);
    let Problems(found) = problems;
    match (endpoint, signing, retry, max_bytes) {
        (Some(endpoint), Some(signing), Some(retry), Some(max_bytes)) if found.is_empty() => {
            let service_account = spec.service_account_name.clone();
            let suspended = spec.suspend;
            Ok(Valid { suspended, service_account, resources, changes, endpoint, signing, retry, max_bytes, policy })
        }
        _ => Err(found),
    }
}

/// Checks what the cluster kind has besides.
pub fn validate_namespaces(selector: &LabelSelector) -> Result<ValidLabels, Vec<Problem>> {
    let mut problems = Problems::default();
    let labels = resources::selector("spec.namespaceSelector", selector, &mut problems);
    let Problems(found) = problems;
    if found.is_empty() { Ok(labels) } else { Err(found) }
}

fn unsupported(spec: &WebhookSubscriptionSpec, problems: &mut Problems) {
    for entry in UNSUPPORTED.iter().filter(|entry| (entry.used)(spec)) {
        problems.add(format!("spec.{}", entry.field), Reason::NotSupported, entry.message());
    }
}

fn signing(signing: &Signing, problems: &mut Problems) -> Option<ValidSigning> {
    let Signing { secret_ref, previous_secret_ref, schemes: _ } = signing;
    let present = problems.secret("spec.signing.secretRef", &secret_ref.name, &secret_ref.key);
    let Some(SigningKeyRef { name, key }) = previous_secret_ref else {
        return Some(ValidSigning { present: present?, previous: None });
    };
    let path = "spec.signing.previousSecretRef";
    let previous = problems.secret(path, name, key);
    if previous.is_some() && previous == present {
        problems.invalid(path, "must not be the key of secretRef; name the key that was used before, or remove it");
    }
    Some(ValidSigning { present: present?, previous: Some(previous?) })
}

fn changes(wanted: &[ChangeType], problems: &mut Problems) -> ChangeTypes {
    if wanted.is_empty() {
        problems.invalid("spec.changeTypes", "must name at least one of New, Updated and Removed");
    }
    if wanted.iter().collect::<BTreeSet<_>>().len() < wanted.len() {
        problems.invalid("spec.changeTypes", "must name each change once; remove the duplicate");
    }
    ChangeTypes {
        new: wanted.contains(&ChangeType::New),
        updated: wanted.contains(&ChangeType::Updated),
        removed: wanted.contains(&ChangeType::Removed),
    }
}

fn retry(policy: &RetryPolicy, problems: &mut Problems) -> Option<ValidRetry> {
    let path = |field: &str| format!("spec.retryPolicy.{field}");
    let max_retries = problems.range(&path("maxRetries"), policy.max_retries, 0, 20);
    let initial_delay = problems.seconds(&path("initialDelaySeconds"), policy.initial_delay_seconds, 1, 300);
    let max_delay = problems.seconds(&path("maxDelaySeconds"), policy.max_delay_seconds, 1, 3600);
    let jitter_percent = problems.range(&path("jitterPercent"), policy.jitter_percent, 0, 100);
    let outage_max_delay = problems.seconds(&path("outageMaxDelaySeconds"), policy.outage_max_delay_seconds, 1, 3600);
    if policy.initial_delay_seconds > policy.max_delay_seconds {
        let message = "must not be more than maxDelaySeconds; lower it or raise maxDelaySeconds";
        problems.invalid(path("initialDelaySeconds"), message);
    }
    let codes = &policy.retry_status_codes;
    let statuses: BTreeSet<u16> =
        codes.iter().filter_map(|code| problems.range(&path("retryStatusCodes"), *code, 400, 599)).collect();
    if codes.iter().collect::<BTreeSet<_>>().len() < codes.len() {
        problems.invalid(path("retryStatusCodes"), "must name each status once; remove the duplicate");
    }
    if codes.len() > 32 {
        problems.invalid(path("retryStatusCodes"), "must have at most 32 entries");
    }
    Some(ValidRetry {
        max_retries: max_retries?,
        initial_delay: initial_delay?,
        max_delay: max_delay?,
        jitter_percent: jitter_percent?,
        retry_statuses: statuses,
        outage_max_delay: outage_max_delay?,
    })
}

fn max_bytes(payload: &Payload, problems: &mut Problems) -> Option<usize> {
    problems.range("spec.payload.maxBytes", payload.max_bytes, 4096, 2_097_152)
}

#[cfg(test)]
mod tests;
