//! Hosts as the operator's configuration names them: one, or all below a domain.
//!
//! Touches nothing. Invariants: a pattern is held in the form that the URL parser gives a host, so that no spelling gets
//! past it; a domain's pattern does not cover the domain itself, nor what only ends alike.

use std::fmt;
use std::str::FromStr;

use url::Host;

/// `hooks.example.com`, `*.example.com`, `192.0.2.1`, `[2001:db8::1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    host: String,
    below: bool,
}

/// Why a pattern is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host such as hooks.example.com, or *.example.com for all hosts below a domain; no scheme, port or path")]
pub struct HostPatternError;

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let text = text.trim();
        let (text, below) = text.strip_prefix("*.").map_or((text, false), |domain| (domain, true));
        let host = Host::parse(text).map_err(|_| HostPatternError)?;
        let plain = match &host {
            Host::Domain(name) => !name.contains(['*', '@']) && !bare(name).split('.').any(str::is_empty),
            Host::Ipv4(_) | Host::Ipv6(_) => !below,
        };
        if plain { Ok(Self { host: bare(&host.to_string()).to_owned(), below }) } else { Err(HostPatternError) }
    }
}

impl HostPattern {
    /// Whether this host of a parsed URL is meant.
    pub fn covers(&self, host: &str) -> bool {
        let host = bare(host);
        if self.below {
            host.strip_suffix(self.host.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.host)
    }
}

/// One trailing dot only makes a name absolute.
fn bare(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::super::{AddressPolicy, UrlError};
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<HostPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_host_is_met_in_every_spelling_and_a_domain_by_all_below_it_and_nothing_else() {
        let policy = AddressPolicy {
            deny_hosts: patterns(&["*.internal.example", "Evil.Example.", "1.1.1.1"]),
            ..AddressPolicy::default()
        };
        for host in [
            "a.internal.example",
            "A.B.INTERNAL.example.",
            "evil.example",
            "evil.example.",
            "%65vil.example",
            "0x1010101",
            "16843009",
        ] {
            assert_eq!(policy.check_url(&format!("https://{host}/x")), Err(UrlError::HostExcluded), "{host}");
        }
        for host in ["internal.example", "ainternal.example", "not-evil.example", "evil.example.com", "1.1.1.2"] {
            assert!(policy.check_url(&format!("https://{host}/x")).is_ok(), "{host}");
        }
    }

    #[test]
    fn where_hosts_are_listed_no_other_is_allowed_and_an_excluded_one_stays_excluded() {
        let policy = AddressPolicy {
            allow_hosts: patterns(&["*.partner.example", "bücher.example", "127.0.0.1"]),
            deny_hosts: patterns(&["old.partner.example"]),
            ..AddressPolicy::default()
        };
        for host in ["hooks.partner.example", "xn--bcher-kva.example", "BÜCHER.example"] {
            assert!(policy.check_url(&format!("https://{host}/")).is_ok(), "{host}");
        }
        for host in ["partner.example", "old.partner.example", "elsewhere.example", "1.1.1.1", "[2606:4700::1111]"] {
            assert_eq!(policy.check_url(&format!("https://{host}/")), Err(UrlError::HostExcluded), "{host}");
        }
        // to be named is not to be reachable
        assert!(matches!(policy.check_url("https://127.0.0.1/"), Err(UrlError::Refused(_))));
    }

    #[test]
    fn what_is_no_host_is_no_pattern() {
        for text in [
            "",
            "*",
            "*.",
            "*.*.example",
            "a.*.example",
            "https://a.example",
            "a.example:80",
            "a.example/x",
            "u@a",
            "a..b",
            "*.10.0.0.1",
            "a b",
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(HostPatternError), "{text}");
        }
        for text in ["a.example", "*.example", "10.0.0.1", "[fd00::1]", "localhost"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }
}
