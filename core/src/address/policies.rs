//! Which policy is whose: everybody's, and what is added to it for single namespaces.
//!
//! Touches nothing. Invariant: what is said of everybody holds for each namespace, too; what is said of a namespace holds
//! for no other.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{AddressPolicy, HostPattern};

/// A value for everybody, or for one namespace: `VALUE` or `NAMESPACE=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scoped<T> {
    /// `None` for everybody.
    pub namespace: Option<String>,
    /// What is said.
    pub value: T,
}

/// Why a text is no [`Scoped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopedError<E> {
    /// What is before the `=` is no namespace.
    #[error(
        "before = stands the name of a namespace: 1 to 63 lower-case letters, digits and dashes, no dash at an end"
    )]
    Namespace,
    /// The value is none.
    #[error("{0}")]
    Value(E),
}

impl<T> Scoped<T> {
    /// Reads one, whose value is read by `value`.
    pub fn parse<E>(text: &str, value: impl Fn(&str) -> Result<T, E>) -> Result<Self, ScopedError<E>> {
        let (namespace, rest) = match text.split_once('=') {
            Some((namespace, rest)) if is_namespace(namespace.trim()) => (Some(namespace.trim().to_owned()), rest),
            Some(_) => return Err(ScopedError::Namespace),
            None => (None, text),
        };
        Ok(Self { namespace, value: value(rest).map_err(ScopedError::Value)? })
    }
}

impl<T: FromStr> FromStr for Scoped<T> {
    type Err = ScopedError<T::Err>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, str::parse)
    }
}

impl<T: fmt::Display> fmt::Display for Scoped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}={}", self.value),
            None => self.value.fmt(f),
        }
    }
}

fn is_namespace(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (1..=63).contains(&text.len()) && letters && !text.starts_with('-') && !text.ends_with('-')
}

/// What the configuration says, of everybody and of single namespaces.
#[derive(Clone, Debug, Default)]
pub struct Rules<'a> {
    /// See [`AddressPolicy::allow`].
    pub allow: &'a [Scoped<IpNet>],
    /// See [`AddressPolicy::deny_ranges`].
    pub deny_ranges: &'a [Scoped<IpNet>],
    /// See [`AddressPolicy::allow_hosts`].
    pub allow_hosts: &'a [Scoped<HostPattern>],
    /// See [`AddressPolicy::deny_hosts`].
    pub deny_hosts: &'a [Scoped<HostPattern>],
}

/// The policy of each namespace.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    everybodys: Arc<AddressPolicy>,
    own: BTreeMap<Arc<str>, Arc<AddressPolicy>>,
}

impl Policies {
    /// What `base` and the rules say together.
    pub fn new(base: &AddressPolicy, rules: &Rules<'_>) -> Self {
        let Rules { allow, deny_ranges, allow_hosts, deny_hosts } = rules;
        let ranges = allow.iter().chain(*deny_ranges).filter_map(|rule| rule.namespace.as_deref());
        let hosts = allow_hosts.iter().chain(*deny_hosts).filter_map(|rule| rule.namespace.as_deref());
        let own = ranges.chain(hosts).map(|name| (Arc::from(name), Arc::new(of(base, rules, Some(name))))).collect();
        Self { everybodys: Arc::new(of(base, rules, None)), own }
    }

    /// That of a namespace.
    pub fn of(&self, namespace: &str) -> &Arc<AddressPolicy> {
        self.own.get(namespace).unwrap_or(&self.everybodys)
    }

    /// The namespace, if it has a policy of its own.
    pub fn own(&self, namespace: &str) -> Option<&Arc<str>> {
        self.own.get_key_value(namespace).map(|(name, _)| name)
    }

    /// That of all that have none of their own.
    pub fn everybodys(&self) -> &Arc<AddressPolicy> {
        &self.everybodys
    }
}

impl From<AddressPolicy> for Policies {
    fn from(policy: AddressPolicy) -> Self {
        Self { everybodys: Arc::new(policy), own: BTreeMap::new() }
    }
}

fn of(base: &AddressPolicy, rules: &Rules<'_>, namespace: Option<&str>) -> AddressPolicy {
    let Rules { allow, deny_ranges, allow_hosts, deny_hosts } = rules;
    let AddressPolicy { allow_http, deny, .. } = base;
    AddressPolicy {
        allow: applying(&base.allow, allow, namespace),
        allow_http: *allow_http,
        deny: deny.clone(),
        deny_ranges: applying(&base.deny_ranges, deny_ranges, namespace),
        allow_hosts: applying(&base.allow_hosts, allow_hosts, namespace),
        deny_hosts: applying(&base.deny_hosts, deny_hosts, namespace),
    }
}

/// Those for everybody and those for the namespace.
fn applying<T: Clone>(base: &[T], rules: &[Scoped<T>], namespace: Option<&str>) -> Vec<T> {
    let applies = |rule: &&Scoped<T>| rule.namespace.is_none() || rule.namespace.as_deref() == namespace;
    base.iter().cloned().chain(rules.iter().filter(applies).map(|rule| rule.value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<Scoped<IpNet>> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn hosts(texts: &[&str]) -> Vec<Scoped<HostPattern>> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_said_of_everybody_holds_for_all_and_what_is_said_of_a_namespace_for_no_other() {
        let allow = ranges(&["10.1.0.0/16", "shop=10.2.0.0/16"]);
        let deny = ranges(&["bank=1.1.1.0/24", "shop=10.1.2.0/24"]);
        let rules = Rules { allow: &allow, deny_ranges: &deny, ..Rules::default() };
        let policies = Policies::new(&AddressPolicy::default(), &rules);
        let may = |namespace: &str, ip: &str| policies.of(namespace).check(ip.parse().unwrap()).is_ok();
        let all = |ip: &str| ["shop", "bank", "other"].map(|namespace| may(namespace, ip));
        assert_eq!(all("10.1.1.1"), [true, true, true]);
        assert_eq!(all("10.1.2.1"), [false, true, true]);
        assert_eq!(all("10.2.1.1"), [true, false, false]);
        assert_eq!(all("1.1.1.1"), [true, false, true]);
        assert_eq!(all("10.3.1.1"), [false, false, false]);
        assert_eq!((policies.own("shop").map(AsRef::as_ref), policies.own("other")), (Some("shop"), None));
        assert!(Arc::ptr_eq(policies.of("other"), policies.everybodys()));
    }

    #[test]
    fn hosts_are_listed_and_excluded_by_namespace_too() {
        let (allow, deny) = (hosts(&["shop=*.partner.example"]), hosts(&["bank=evil.example"]));
        let rules = Rules { allow_hosts: &allow, deny_hosts: &deny, ..Rules::default() };
        let policies = Policies::new(&AddressPolicy::default(), &rules);
        let may = |namespace: &str, host: &str| policies.of(namespace).check_url(&format!("https://{host}/")).is_ok();
        assert_eq!(["shop", "bank", "other"].map(|name| may(name, "a.partner.example")), [true, true, true]);
        assert_eq!(["shop", "bank", "other"].map(|name| may(name, "evil.example")), [false, false, true]);
    }

    #[test]
    fn a_namespace_stands_before_the_sign_of_equality_and_anything_else_there_is_an_error() {
        let scoped: Scoped<IpNet> = "team-a=fd00::/8".parse().unwrap();
        assert_eq!((scoped.namespace.as_deref(), scoped.value), (Some("team-a"), "fd00::/8".parse().unwrap()));
        assert_eq!(scoped.to_string(), "team-a=fd00::/8");
        assert_eq!("10.0.0.0/8".parse::<Scoped<IpNet>>().unwrap().to_string(), "10.0.0.0/8");
        for text in ["=10.0.0.0/8", "Shop=10.0.0.0/8", "-a=10.0.0.0/8", "a b=10.0.0.0/8"] {
            assert_eq!(text.parse::<Scoped<IpNet>>(), Err(ScopedError::Namespace), "{text}");
        }
        for text in ["shop=", "shop=10.0.0.0/99", "shop=a=10.0.0.0/8", "10.0.0.0"] {
            assert!(matches!(text.parse::<Scoped<IpNet>>(), Err(ScopedError::Value(_))), "{text}");
        }
    }
}
