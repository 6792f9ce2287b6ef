//! Every address against a classifier that was written without looking at the table.

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn well_known_addresses_have_their_tier() {
    let public = [
        "1.1.1.1",
        "93.184.216.34",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ];
    let private = [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "fc00::1",
        "fd12:3456::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
    ];
    let forbidden = [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.170.2",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "::",
        "::1",
        "::2",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "100::1",
        "200::1",
        "2001::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fe80::1",
        "fec0::1",
        "fe00::1",
        "ff02::1",
        "2606:4700::5efe:7f00:1",
        "2606:4700::200:5efe:7f00:1",
        "fd12::5efe:a00:1",
    ];
    for address in public {
        assert_eq!(tier(ip(address)), Tier::Public, "{address}");
    }
    for address in private {
        assert_eq!(tier(ip(address)), Tier::Private, "{address}");
    }
    for address in forbidden {
        assert!(matches!(tier(ip(address)), Tier::Forbidden(_)), "{address}");
    }
}

#[test]
fn metadata_services_outside_link_local_are_forbidden() {
    for address in [
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "::ffff:168.63.129.16",
        "64:ff9b::a83f:8110",
    ] {
        assert_eq!(tier(ip(address)), Tier::Forbidden("a cloud metadata address"), "{address}");
    }
}

/// The same decision from the registries' ranges, as numbers from..=to, written without looking at the table.
fn independent(ip: IpAddr) -> char {
    fn v4(ip: Ipv4Addr) -> char {
        let octets = ip.octets();
        if [[100, 100, 100, 200], [168, 63, 129, 16]].contains(&octets) {
            return 'F';
        }
        match (octets[0], octets[1], octets[2]) {
            (0 | 127 | 224..=255, ..)
            | (169, 254, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113) => 'F',
            _ if (0x0a00_0000..=0x0aff_ffff).contains(&u32::from(ip)) => 'P',
            _ if (0xac10_0000..=0xac1f_ffff).contains(&u32::from(ip)) => 'P',
            _ if (0xc0a8_0000..=0xc0a8_ffff).contains(&u32::from(ip)) => 'P',
            _ if (0x6440_0000..=0x647f_ffff).contains(&u32::from(ip)) => 'P',
            _ => 'G',
        }
    }
    match ip {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => {
            let n = u128::from(ip);
            let inner = Ipv4Addr::from(n as u32);
            let s = ip.segments();
            if n >> 32 == 0xffff || n >> 32 == 0x0064_ff9b_0000_0000_0000_0000 {
                return v4(inner);
            }
            if s[5] == 0x5efe && [0, 0x100, 0x200, 0x300].contains(&s[4]) {
                return 'F';
            }
            match s[0] {
                0x2001 if s[1] < 0x200 || s[1] == 0xdb8 => 'F',
                0x2002 => 'F',
                0x3fff if s[1] < 0x1000 => 'F',
                0x2000..=0x3fff => 'G',
                0xfd00 if s[1] == 0xec2 => 'F',
                0xfd20 if s[1] == 0xce && s[2] == 0 && s[3] == 0 => 'F',
                0xfd00 if ip == "fd00:42::42".parse::<Ipv6Addr>().unwrap() => 'F',
                0xfd00 if ip == "fd00:c1::a9fe:a9fe".parse::<Ipv6Addr>().unwrap() => 'F',
                0xfc00..=0xfdff => 'P',
                _ => 'F',
            }
        }
    }
}

/// The blocks of the tables, as numbers, first to last address.
fn blocks() -> Vec<(IpAddr, IpAddr)> {
    let v4 = FORBIDDEN_V4.iter().map(|(block, _)| block).chain(&PRIVATE_V4);
    let v6 = FORBIDDEN_V6.iter().map(|(block, _)| block).chain([&UNIQUE_LOCAL, &NAT64]);
    v4.map(|block| (IpAddr::V4(block.network()), IpAddr::V4(block.broadcast())))
        .chain(v6.map(|block| (IpAddr::V6(block.network()), IpAddr::V6(block.broadcast()))))
        .collect()
}

/// The address so many further on, if there is one.
fn beyond(ip: IpAddr, by: i32) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(IpAddr::V4(u32::from(ip).checked_add_signed(by)?.into())),
        IpAddr::V6(ip) => Some(IpAddr::V6(u128::from(ip).checked_add_signed(by.into())?.into())),
    }
}

#[test]
fn at_the_borders_of_every_block_each_side_has_its_own_tier() {
    for (first, last) in blocks() {
        for ip in [beyond(first, -1), Some(first), beyond(first, 1), beyond(last, -1), Some(last), beyond(last, 1)] {
            let Some(ip) = ip else { continue };
            assert_eq!(letter(tier(ip)), independent(ip), "{ip}, of {first} to {last}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_address_within_a_forbidden_block_is_refused_whatever_is_allowed_around_it(noise: u128) {
        use crate::address::AddressPolicy;
        let wide = ["0.0.0.0/0", "::/0", "96.0.0.0/4", "fc00::/7"];
        let policy = AddressPolicy { allow: wide.map(|range| range.parse().unwrap()).to_vec(), ..AddressPolicy::default() };
        for (block, _) in FORBIDDEN_V4 {
            let ip = Ipv4Addr::from(u32::from(block.network()) | (noise as u32 & u32::from(block.hostmask())));
            prop_assert!(policy.check(IpAddr::V4(ip)).is_err(), "{} of {}", ip, block);
            prop_assert!(policy.check(IpAddr::V6(ip.to_ipv6_mapped())).is_err(), "::ffff:{} of {}", ip, block);
        }
        for (block, _) in FORBIDDEN_V6 {
            let ip = Ipv6Addr::from(u128::from(block.network()) | (noise & u128::from(block.hostmask())));
            let carries = ip.to_ipv4_mapped().is_some() || NAT64.contains(&ip);
            prop_assert!(carries || policy.check(IpAddr::V6(ip)).is_err(), "{} of {}", ip, block);
        }
    }
}

fn letter(tier: Tier) -> char {
    match tier {
        Tier::Public => 'G',
        Tier::Private => 'P',
        Tier::Forbidden(_) => 'F',
    }
}

fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
    let edges = [
        "0.0.0.0",
        "10.0.0.0",
        "100.64.0.0",
        "100.100.100.200",
        "127.0.0.0",
        "168.63.129.16",
        "169.254.0.0",
        "172.16.0.0",
        "192.0.0.0",
        "192.0.2.0",
        "192.88.99.0",
        "192.168.0.0",
        "198.18.0.0",
        "198.51.100.0",
        "203.0.113.0",
        "224.0.0.0",
        "240.0.0.0",
    ];
    let near = (proptest::sample::select(edges.to_vec()), 0_u32..=32, any::<u32>(), any::<bool>()).prop_map(
        |(edge, shift, noise, below)| {
            let base = u32::from(edge.parse::<Ipv4Addr>().unwrap());
            let noise = noise.checked_shr(shift).unwrap_or(0);
            Ipv4Addr::from(if below { base.wrapping_sub(noise) } else { base.wrapping_add(noise) })
        },
    );
    prop_oneof![any::<u32>().prop_map(Ipv4Addr::from), near]
}

fn any_v6() -> impl Strategy<Value = Ipv6Addr> {
    let edges = [
        "::",
        "::ffff:0:0",
        "::ffff:0:0:0",
        "64:ff9b::",
        "64:ff9b:1::",
        "100::",
        "2000::",
        "2001::",
        "2001:200::",
        "2001:db8::",
        "2002::",
        "3fff::",
        "3fff:1000::",
        "4000::",
        "fc00::",
        "fd00:ec2::",
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "fd20:ce::",
        "fe00::",
        "fe80::",
        "fec0::",
        "ff00::",
    ];
    let near = (proptest::sample::select(edges.to_vec()), 0_u32..=128, any::<u128>(), any::<bool>()).prop_map(
        |(edge, shift, noise, below)| {
            let base = u128::from(edge.parse::<Ipv6Addr>().unwrap());
            let noise = noise.checked_shr(shift).unwrap_or(0);
            Ipv6Addr::from(if below { base.wrapping_sub(noise) } else { base.wrapping_add(noise) })
        },
    );
    let carrier =
        (proptest::sample::select(edges.to_vec()), any_v4(), any::<bool>()).prop_map(|(edge, inner, isatap)| {
            let base = u128::from(edge.parse::<Ipv6Addr>().unwrap()) & !0xffff_ffff;
            let marker = if isatap { 0x5efe_u128 << 32 } else { 0 };
            Ipv6Addr::from(base | marker | u128::from(u32::from(inner)))
        });
    prop_oneof![any::<u128>().prop_map(Ipv6Addr::from), near, carrier]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_ipv4_address_has_the_tier_an_independent_table_gives_it(ip in any_v4()) {
        prop_assert_eq!(letter(tier(IpAddr::V4(ip))), independent(IpAddr::V4(ip)));
    }

    #[test]
    fn every_ipv6_address_has_the_tier_an_independent_table_gives_it(ip in any_v6()) {
        prop_assert_eq!(letter(tier(IpAddr::V6(ip))), independent(IpAddr::V6(ip)));
    }

    #[test]
    fn an_address_that_carries_an_ipv4_address_is_never_judged_milder_than_that(ip in any_v4()) {
        let n = u128::from(u32::from(ip));
        for prefix in [0xffff_u128 << 32, 0x64_ff9b_u128 << 96, 0xffff_u128 << 48, 0, 0x2002_u128 << 112] {
            let outer = tier(IpAddr::V6(Ipv6Addr::from(prefix | n)));
            let inner = tier(IpAddr::V4(ip));
            let mapped_or_nat64 = prefix == 0xffff << 32 || prefix == 0x64_ff9b << 96;
            let right = if mapped_or_nat64 { outer == inner } else { matches!(outer, Tier::Forbidden(_)) };
            prop_assert!(right, "{:x}: {:?}, inner {:?}", prefix, outer, inner);
        }
    }
}
