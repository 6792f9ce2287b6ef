//! Gate one: an endpoint's URL as its author wrote it.
//!
//! Touches nothing. Invariants: no message holds any part of the URL but an address, because a query or userinfo may be a
//! secret; the URL handed back is the one that was checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, ParseError, Url};

use super::{AddressPolicy, HostPattern, Refused};

/// The longest URL that is accepted.
pub const MAX_URL_CHARS: usize = 2048;

/// The longest host name DNS knows.
const MAX_HOST_CHARS: usize = 253;

/// Why a URL is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than [`MAX_URL_CHARS`].
    #[error("the URL is longer than {MAX_URL_CHARS} characters")]
    TooLong,
    /// The parser drops tabs, line breaks and outer blanks silently, so what is checked would not be what was written.
    #[error("the URL contains white space or a control character; percent-encode it, or remove it")]
    Blank,
    /// The parser takes a backslash for a slash, others do not.
    #[error("the URL contains a backslash; use /, or %5C for the character")]
    Backslash,
    /// Some other scheme, or none.
    #[error("the URL must begin with https:// (or http://, where the operator allows it)")]
    Scheme,
    /// http without leave.
    #[error("the URL must use https; the operator's --allow-http would permit http")]
    Http,
    /// No valid URL.
    #[error("the URL is not valid")]
    Invalid(#[source] ParseError),
    /// User name or password.
    #[error("the URL must not contain a user name or password; use a header from a Secret")]
    Userinfo,
    /// `#…`, which is never sent.
    #[error("the URL must not contain a fragment (#…): it would never be sent")]
    Fragment,
    /// A host name with an empty label, or too long for DNS.
    #[error("the URL's host is not a valid host name")]
    Host,
    /// Port 0.
    #[error("the URL's port must not be 0")]
    Port,
    /// Not among the only hosts, or among the excluded ones.
    #[error("the URL's host is not one that the operator's --allow-host and --deny-host permit")]
    HostExcluded,
    /// The host is, or always means, an address that may not be dialled.
    #[error("the URL's host may not be used: {0}")]
    Refused(Refused),
}

impl AddressPolicy {
    /// Gate one: whether a URL may be an endpoint at all, and its parsed form. A host name passes: what it resolves to is
    /// checked before each connection.
    pub fn check_url(&self, url: &str) -> Result<Url, UrlError> {
        check_text(url)?;
        let url = Url::parse(url).map_err(UrlError::Invalid)?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => return Err(UrlError::Http),
            _ => return Err(UrlError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Userinfo);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        if url.port() == Some(0) {
            return Err(UrlError::Port);
        }
        let host = url.host().ok_or(UrlError::Host)?;
        if !self.names(&host.to_string()) {
            return Err(UrlError::HostExcluded);
        }
        match host {
            Host::Ipv4(ip) => self.check(IpAddr::V4(ip)).map_err(UrlError::Refused)?,
            Host::Ipv6(ip) => self.check(IpAddr::V6(ip)).map_err(UrlError::Refused)?,
            Host::Domain(name) => self.check_name(name)?,
        }
        Ok(url)
    }

    /// Whether a URL may name this host at all, wherever it is.
    fn names(&self, host: &str) -> bool {
        let listed = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.covers(host));
        !listed(&self.deny_hosts) && (self.allow_hosts.is_empty() || listed(&self.allow_hosts))
    }

    fn check_name(&self, name: &str) -> Result<(), UrlError> {
        // one trailing dot only makes the name absolute
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > MAX_HOST_CHARS || name.split('.').any(str::is_empty) {
            return Err(UrlError::Host);
        }
        // resolvers answer localhost themselves; which loopback address it will be is for the vetting of the answer
        let last = name.rsplit('.').next().unwrap_or(name);
        if last.eq_ignore_ascii_case("localhost") && self.check(IpAddr::V6(Ipv6Addr::LOCALHOST)).is_err() {
            self.check(IpAddr::V4(Ipv4Addr::LOCALHOST)).map_err(UrlError::Refused)?;
        }
        Ok(())
    }
}

/// What only the text shows, because parsing repairs it.
fn check_text(url: &str) -> Result<(), UrlError> {
    if url.len() > MAX_URL_CHARS {
        return Err(UrlError::TooLong);
    }
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(UrlError::Blank);
    }
    if url.contains('\\') {
        return Err(UrlError::Backslash);
    }
    let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(UrlError::Scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // an empty userinfo (`@host`) leaves no trace in the parsed form
    if authority.contains('@') { Err(UrlError::Userinfo) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
