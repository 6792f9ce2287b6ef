//! What the operator's configuration opens and what it does not.

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn policy(allow: &[&str]) -> AddressPolicy {
    let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
    AddressPolicy { allow, allow_http: true, ..AddressPolicy::default() }
}

fn refuses(policy: &AddressPolicy, address: &str) -> bool {
    policy.check(ip(address)).is_err()
}

proptest! {
    #[test]
    fn without_configuration_only_public_addresses_pass(v4: u32, v6: u128, inner: bool) {
        let v6 = if inner { 0xffff << 32 | u128::from(v4) } else { v6 };
        for ip in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())] {
            prop_assert_eq!(AddressPolicy::default().check(ip).is_ok(), tier(ip) == Tier::Public);
        }
    }
}

#[test]
fn a_wide_range_opens_no_metadata_service() {
    let wide = policy(&["0.0.0.0/0", "::/0", "100.64.0.0/10", "fd00::/8", "192.0.0.0/16"]);
    for address in [
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "64:ff9b::a83f:8110",
    ] {
        assert!(refuses(&wide, address), "{address}");
    }
}

#[test]
fn a_range_opens_the_private_addresses_in_it_and_no_others() {
    let policy = policy(&["10.1.0.0/16", "fd12::/16"]);
    for open in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1"] {
        assert_eq!(policy.check(ip(open)), Ok(()), "{open}");
    }
    for closed in ["10.2.0.1", "192.168.0.1", "fd13::1", "127.0.0.1", "169.254.169.254"] {
        assert!(refuses(&policy, closed), "{closed}");
    }
}

#[test]
fn a_forbidden_address_is_opened_only_by_a_range_within_its_block() {
    for address in ["127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"] {
        assert!(refuses(&policy(&["0.0.0.0/0", "::/0", "127.0.0.0/7", "168.0.0.0/6"]), address), "{address}");
    }
    for range in ["127.0.0.0/8", "127.0.0.0/24", "127.0.0.1/32"] {
        assert_eq!(policy(&[range]).check(ip("127.0.0.1")), Ok(()), "{range}");
        assert_eq!(policy(&[range]).check(ip("::ffff:127.0.0.1")), Ok(()), "{range}");
        assert!(refuses(&policy(&[range]), "::1"), "{range}");
    }
    assert_eq!(policy(&["::1/128"]).check(ip("::1")), Ok(()));
    assert_eq!(policy(&["169.254.169.254/32"]).check(ip("169.254.169.254")), Ok(()));
}

#[test]
fn a_denied_address_is_opened_only_by_its_own_entry() {
    let deny = vec![ip("10.96.0.1"), ip("127.0.0.1"), ip("93.184.216.34"), ip("::ffff:10.0.0.9")];
    let wide = AddressPolicy { deny: deny.clone(), ..policy(&["10.0.0.0/8", "127.0.0.0/8", "93.184.216.0/24"]) };
    for address in ["10.96.0.1", "::ffff:10.96.0.1", "64:ff9b::a60:1", "127.0.0.1", "93.184.216.34", "10.0.0.9"] {
        assert!(matches!(wide.check(ip(address)), Err(Refused::Denied { .. })), "{address}");
    }
    assert_eq!(wide.check(ip("10.96.0.2")), Ok(()));
    let exact = AddressPolicy { deny, ..policy(&["10.96.0.1/32", "127.0.0.1/32", "93.184.216.34/32"]) };
    for address in ["10.96.0.1", "127.0.0.1", "93.184.216.34"] {
        assert_eq!(exact.check(ip(address)), Ok(()), "{address}");
    }
}

#[test]
fn a_services_address_may_be_private_and_nothing_else_that_is_refused() {
    let policy = AddressPolicy { deny: vec![ip("10.96.0.1"), ip("fd00::1")], ..AddressPolicy::default() };
    for open in ["10.96.0.2", "172.20.0.9", "192.168.7.7", "100.64.0.9", "fd00::2", "34.118.224.7"] {
        assert_eq!(policy.check_service(ip(open)), Ok(()), "{open}");
    }
    for closed in [
        "10.96.0.1",
        "::ffff:10.96.0.1",
        "fd00::1",
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "fd00:ec2::254",
        "0.0.0.0",
        "224.0.0.1",
        "fe80::1",
    ] {
        assert!(policy.check_service(ip(closed)).is_err(), "{closed}");
    }
    let exact = AddressPolicy { allow: vec!["10.96.0.1/32".parse().unwrap()], ..policy };
    assert_eq!(exact.check_service(ip("10.96.0.1")), Ok(()));
}

#[test]
fn one_bad_address_or_none_at_all_refuses_a_name() {
    let policy = AddressPolicy::default();
    let good = ip("93.184.216.34");
    assert_eq!(policy.check_all(&[good, ip("2606:4700::1111")]), Ok(()));
    assert_eq!(policy.check_all(&[]), Err(Refused::NoAddress));
    for bad in ["127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"] {
        assert!(policy.check_all(&[good, ip(bad)]).is_err(), "{bad} last");
        assert!(policy.check_all(&[ip(bad), good]).is_err(), "{bad} first");
    }
}

#[test]
fn messages_name_the_address_and_the_remedy() {
    let policy = AddressPolicy { deny: vec![ip("8.8.8.8")], ..AddressPolicy::default() };
    let message = |address: &str| policy.check(ip(address)).unwrap_err().to_string();
    assert_eq!(message("10.0.0.1"), "10.0.0.1 is a private address; the operator's --allow-cidr would permit it");
    assert_eq!(
        message("64:ff9b::7f00:1"),
        "64:ff9b::7f00:1 (127.0.0.1) is a loopback address; only an --allow-cidr of the operator within 127.0.0.0/8 would permit it"
    );
    assert!(message("8.8.8.8").contains("--allow-cidr 8.8.8.8/32"));
}
