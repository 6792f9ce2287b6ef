//! The tier of one address: public, private, or forbidden and why.
//!
//! Touches nothing. Invariants: every address has exactly one tier; outside IPv6's global unicast block nothing but
//! unique local addresses is dialled; blocks are forbidden whole rather than by encoding, since lists of encodings are
//! always one short.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How far an address is from the open internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Globally reachable.
    Public,
    /// RFC 1918, carrier-grade NAT, unique local: the inside of a cluster or its network.
    Private,
    /// Never a webhook's endpoint, for this reason: `is …`.
    Forbidden(&'static str),
}

const METADATA: &str = "a cloud metadata address";
const TUNNEL: &str = "a tunnel or translation address that hides another one";
const RESERVED: &str = "a reserved address";
const DOCUMENTATION: &str = "a documentation address";

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// From the address's upper and lower half.
const fn v6(upper: u64, lower: u64, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_bits((upper as u128) << 64 | lower as u128), prefix)
}

/// Forbidden IPv4 blocks; the first that matches gives the reason.
const FORBIDDEN_V4: [(Ipv4Net, &str); 15] = [
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(169, 254, 0, 0, 16), "a link-local address, where clouds serve instance metadata"),
    (v4(0, 0, 0, 0, 8), "an unspecified address"),
    // Alibaba, Oracle, Azure: metadata services outside the link-local block
    (v4(100, 100, 100, 200, 32), METADATA),
    (v4(192, 0, 0, 192, 32), METADATA),
    (v4(168, 63, 129, 16, 32), METADATA),
    (v4(192, 0, 0, 0, 24), RESERVED),
    (v4(192, 0, 2, 0, 24), DOCUMENTATION),
    (v4(198, 51, 100, 0, 24), DOCUMENTATION),
    (v4(203, 0, 113, 0, 24), DOCUMENTATION),
    (v4(192, 88, 99, 0, 24), TUNNEL),
    (v4(198, 18, 0, 0, 15), "a benchmarking address"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), RESERVED),
];

const PRIVATE_V4: [Ipv4Net; 4] =
    [v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16), v4(100, 64, 0, 0, 10)];

/// Forbidden IPv6 blocks; the first that matches gives the reason.
const FORBIDDEN_V6: [(Ipv6Net, &str); 16] = [
    (v6(0, 0x1, 128), "a loopback address"),
    (v6(0, 0, 128), "an unspecified address"),
    // SIIT, IPv4-compatible and the local-use NAT64 prefix are in here; the well-known NAT64 prefix is judged before
    (v6(0, 0, 8), TUNNEL),
    (v6(0x0100_0000_0000_0000, 0, 64), "a discard address"),
    (v6(0xfe80_0000_0000_0000, 0, 10), "a link-local address"),
    (v6(0xfec0_0000_0000_0000, 0, 10), "a site-local address"),
    (v6(0xff00_0000_0000_0000, 0, 8), "a multicast address"),
    // AWS (metadata, DNS, pod identity), Google, Scaleway, Oracle: metadata services in the unique local block
    (v6(0xfd00_0ec2_0000_0000, 0, 32), METADATA),
    (v6(0xfd20_00ce_0000_0000, 0, 64), METADATA),
    (v6(0xfd00_0042_0000_0000, 0x42, 128), METADATA),
    (v6(0xfd00_00c1_0000_0000, 0x0000_0000_a9fe_a9fe, 128), METADATA),
    // Teredo, then the rest of the protocol assignments (ORCHID, benchmarking)
    (v6(0x2001_0000_0000_0000, 0, 32), TUNNEL),
    (v6(0x2001_0000_0000_0000, 0, 23), RESERVED),
    (v6(0x2001_0db8_0000_0000, 0, 32), DOCUMENTATION),
    (v6(0x2002_0000_0000_0000, 0, 16), TUNNEL),
    (v6(0x3fff_0000_0000_0000, 0, 20), DOCUMENTATION),
];

const UNIQUE_LOCAL: Ipv6Net = v6(0xfc00_0000_0000_0000, 0, 7);
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000_0000_0000_0000, 0, 3);
const NAT64: Ipv6Net = v6(0x0064_ff9b_0000_0000, 0, 96);

/// The tier of an address.
pub fn tier(ip: IpAddr) -> Tier {
    let judged = judged(ip);
    match forbidden(judged) {
        Some((_, why)) => Tier::Forbidden(why),
        None if is_private(judged) => Tier::Private,
        None => Tier::Public,
    }
}

/// The address that packets to `ip` reach: the inner one of an IPv4-mapped or NAT64 address, else itself.
pub(super) fn judged(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(inner) => IpAddr::V4(inner),
            None if NAT64.contains(&v6) => IpAddr::V4(Ipv4Addr::from_bits(v6.to_bits() as u32)),
            None => ip,
        },
        IpAddr::V4(_) => ip,
    }
}

/// The forbidden block that a judged address belongs to, and why the block is forbidden.
pub(super) fn forbidden(judged: IpAddr) -> Option<(IpNet, &'static str)> {
    match judged {
        IpAddr::V4(ip) => {
            let (block, why) = FORBIDDEN_V4.iter().find(|(block, _)| block.contains(&ip))?;
            Some((IpNet::V4(*block), why))
        }
        IpAddr::V6(ip) => match FORBIDDEN_V6.iter().find(|(block, _)| block.contains(&ip)) {
            Some((block, why)) => Some((IpNet::V6(*block), why)),
            None if is_isatap(ip) => Some((IpNet::from(judged), TUNNEL)),
            None if GLOBAL_UNICAST.contains(&ip) || UNIQUE_LOCAL.contains(&ip) => None,
            None => Some((IpNet::from(judged), RESERVED)),
        },
    }
}

fn is_private(judged: IpAddr) -> bool {
    match judged {
        IpAddr::V4(ip) => PRIVATE_V4.iter().any(|block| block.contains(&ip)),
        IpAddr::V6(ip) => UNIQUE_LOCAL.contains(&ip),
    }
}

/// An interface identifier that carries an IPv4 address the way ISATAP does, under whatever prefix.
fn is_isatap(ip: Ipv6Addr) -> bool {
    let [.., marker_high, marker_low, _, _] = ip.segments();
    // the universal/local and group bits of the identifier may be either way
    marker_low == 0x5efe && marker_high & !0x0300 == 0
}

#[cfg(test)]
mod tests;
