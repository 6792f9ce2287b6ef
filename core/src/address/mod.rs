//! Which addresses a webhook may be sent to. The operator crosses every tenant's network boundary, so a subscription must
//! not make it dial what its author could not: loopback, metadata services, the API server, the inside of the cluster.
//!
//! Touches nothing: names are resolved elsewhere, and every address that comes back is checked here. Invariants: what
//! is checked is the *parsed* URL that the client is given, never its text; an address that carries an IPv4 address is
//! judged by that one; one bad address refuses all.

mod host;
mod policies;
mod tier;
mod url;

use std::net::IpAddr;

use ipnet::IpNet;

pub use self::host::{HostPattern, HostPatternError};
pub use self::policies::{Policies, Rules, Scoped, ScopedError};
pub use self::tier::{Tier, tier};
pub use self::url::{MAX_URL_CHARS, UrlError};

/// What the operator's configuration permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Ranges that may be dialled. A range opens the private addresses in it; a forbidden address is only opened by
    /// a range that lies within the forbidden block, so `0.0.0.0/0` or `10.0.0.0/8` never opens loopback or metadata
    /// by accident, and `127.0.0.0/8` does what it says.
    pub allow: Vec<IpNet>,
    /// Whether `http` URLs are accepted.
    pub allow_http: bool,
    /// Addresses that no subscription may reach though their range would be allowed: the API server, the own pod. Only an
    /// entry of `allow` for exactly that address opens one.
    pub deny: Vec<IpAddr>,
    /// Ranges that are never dialled, public or not, whatever else allows them.
    pub deny_ranges: Vec<IpNet>,
    /// If there are any, the only hosts that a URL may name.
    pub allow_hosts: Vec<HostPattern>,
    /// Hosts that no URL may name.
    pub deny_hosts: Vec<HostPattern>,
}

/// Why an address may not be dialled. The texts name the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Never dialled unless it is allowed by name.
    #[error("{} is {why}; only an --allow-cidr of the operator within {block} would permit it", shown(.ip))]
    Forbidden {
        /// The address.
        ip: IpAddr,
        /// What it is.
        why: &'static str,
        /// The block it belongs to.
        block: IpNet,
    },
    /// Inside the cluster or its network.
    #[error("{} is a private address; the operator's --allow-cidr would permit it", shown(.ip))]
    Private {
        /// The address.
        ip: IpAddr,
    },
    /// The API server or the operator itself.
    #[error("{} is the cluster's API server or the operator itself; only the operator's --allow-cidr {only} would permit it", shown(.ip))]
    Denied {
        /// The address.
        ip: IpAddr,
        /// The entry that would open it.
        only: IpNet,
    },
    /// In a range that the configuration excludes.
    #[error("{} is in {range}, which the operator's --deny-cidr excludes", shown(.ip))]
    Excluded {
        /// The address.
        ip: IpAddr,
        /// The range.
        range: IpNet,
    },
    /// A name without addresses.
    #[error("the host has no address")]
    NoAddress,
}

/// The address, with the one it is judged by where that is another.
fn shown(ip: &IpAddr) -> String {
    let judged = tier::judged(*ip);
    if judged == *ip { ip.to_string() } else { format!("{ip} ({judged})") }
}

impl AddressPolicy {
    /// Whether this address may be dialled.
    pub fn check(&self, ip: IpAddr) -> Result<(), Refused> {
        let judged = tier::judged(ip);
        let itself = IpNet::from(judged);
        if let Some(range) = self.deny_ranges.iter().find(|range| range.contains(&judged)) {
            return Err(Refused::Excluded { ip, range: *range });
        }
        let denied = self.deny.iter().any(|denied| tier::judged(*denied) == judged);
        if denied && !self.opens(judged, itself) {
            return Err(Refused::Denied { ip, only: itself });
        }
        if let Some((block, why)) = tier::forbidden(judged) {
            return if self.opens(judged, block) { Ok(()) } else { Err(Refused::Forbidden { ip, why, block }) };
        }
        match tier(judged) {
            Tier::Private if !self.allow.iter().any(|range| range.contains(&judged)) => Err(Refused::Private { ip }),
            Tier::Public | Tier::Private | Tier::Forbidden(_) => Ok(()),
        }
    }

    /// Whether this ClusterIP of a Service may be dialled, for somebody of that Service's namespace. It is private as a rule,
    /// and who may create Services there may reach it anyway; but the API server, the operator itself and what is forbidden
    /// stay so, whatever range a cluster gives its Services.
    pub fn check_service(&self, ip: IpAddr) -> Result<(), Refused> {
        match self.check(ip) {
            Ok(()) | Err(Refused::Private { .. }) => Ok(()),
            Err(
                refused @ (Refused::Forbidden { .. }
                | Refused::Denied { .. }
                | Refused::Excluded { .. }
                | Refused::NoAddress),
            ) => Err(refused),
        }
    }

    /// Whether all of a name's addresses may be dialled; none at all, or a single bad one, refuses the name: which of them
    /// would be dialled is not for a guard to bet on.
    pub fn check_all(&self, ips: &[IpAddr]) -> Result<(), Refused> {
        if ips.is_empty() {
            return Err(Refused::NoAddress);
        }
        ips.iter().try_for_each(|ip| self.check(*ip))
    }

    /// Whether an entry within `block` names this address.
    fn opens(&self, ip: IpAddr, block: IpNet) -> bool {
        self.allow.iter().any(|range| range.contains(&ip) && block.contains(range))
    }
}

#[cfg(test)]
mod tests;
