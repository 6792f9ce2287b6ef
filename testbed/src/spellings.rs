//! Everything that a URL's host can be written like, to mean an address that nobody should be sent to.
//!
//! Written without the guard's table: each line is a trick that has got past somebody's.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Hosts, as they stand in a URL, that reach `target` by themselves, or through what translates or tunnels addresses.
pub fn of_v4(target: Ipv4Addr) -> BTreeSet<String> {
    let mut spellings = numbers(target);
    let plain = target.to_string();
    let wide = |text: &str| -> String {
        text.chars().map(|c| char::from_u32(u32::from(c) - 0x21 + 0xff01).unwrap_or(c)).collect()
    };
    spellings.insert(wide(&plain));
    spellings.insert(wide(&u32::from(target).to_string()));
    for dot in ['\u{3002}', '\u{ff0e}', '\u{ff61}'] {
        spellings.insert(plain.replace('.', &dot.to_string()));
    }
    spellings.insert(plain.replace('1', "\u{2460}").replace('2', "\u{b2}"));
    spellings.insert(plain.replace('.', ".\u{ad}"));
    spellings.insert(plain.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat());
    spellings.insert(plain.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat());
    spellings.extend(["%2e", "%2E", "%E3%80%82"].map(|dot| plain.replace('.', dot)));
    let dotted: Vec<String> = spellings.iter().map(|spelling| format!("{spelling}.")).collect();
    spellings.extend(dotted);
    spellings.extend(inside_v6(target));
    // what a careless parser takes for the host is not what a careful one does
    spellings
        .extend(["user@", "user:password@", "example.com@", "@", "example.com:80@"].map(|who| format!("{who}{plain}")));
    spellings
}

/// The same, of an IPv6 address.
pub fn of_v6(target: Ipv6Addr) -> BTreeSet<String> {
    let groups = target.segments();
    let join = |texts: Vec<String>| texts.join(":");
    let full = join(groups.iter().map(|group| format!("{group:04x}")).collect());
    let short = join(groups.iter().map(|group| format!("{group:x}")).collect());
    let [.., high, low] = groups;
    let tail = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let mixed = format!("{}:{tail}", join(groups[..6].iter().map(|group| format!("{group:x}")).collect()));
    let all = [target.to_string(), full.to_uppercase(), full, short.to_uppercase(), short, mixed];
    let mut spellings: BTreeSet<String> = all.iter().map(|text| format!("[{text}]")).collect();
    for zone in ["%25eth0", "%eth0", "%251", "%25lo"] {
        spellings.insert(format!("[{target}{zone}]"));
    }
    spellings.insert(format!("user@[{target}]"));
    spellings
}

/// Decimal, octal and hexadecimal, one to four parts, zeros before them, and mixtures.
fn numbers(target: Ipv4Addr) -> BTreeSet<String> {
    let [a, b, c, d] = target.octets().map(u32::from);
    let parts = [vec![a, b, c, d], vec![a, b, c << 8 | d], vec![a, b << 16 | c << 8 | d], vec![u32::from(target)]];
    let radices: [fn(u32) -> String; 6] = [
        |n| n.to_string(),
        |n| format!("0{n:o}"),
        |n| format!("0x{n:x}"),
        |n| format!("0X{n:X}"),
        |n| format!("0000{n:o}"),
        |n| format!("0x000{n:x}"),
    ];
    let mut spellings = BTreeSet::new();
    for numbers in parts {
        for first in radices {
            for others in radices {
                let mut words: Vec<String> = numbers.iter().map(|n| others(*n)).collect();
                words[0] = first(numbers[0]);
                spellings.insert(words.join("."));
            }
        }
    }
    spellings
}

/// IPv6 addresses that carry an IPv4 address: mapped, compatible, translated, tunnelled.
fn inside_v6(target: Ipv4Addr) -> Vec<String> {
    let (high, low) = (u32::from(target) >> 16, u32::from(target) & 0xffff);
    vec![
        format!("[::ffff:{target}]"),
        format!("[::FFFF:{high:X}:{low:X}]"),
        format!("[0:0:0:0:0:ffff:{high:x}:{low:x}]"),
        format!("[0000:0000:0000:0000:0000:ffff:{high:04x}:{low:04x}]"),
        format!("[::ffff:{target}%25eth0]"),
        format!("[::{target}]"),
        format!("[::{high:x}:{low:x}]"),
        format!("[::ffff:0:{target}]"),
        format!("[64:ff9b::{target}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[0064:FF9B:0:0:0:0:{high:X}:{low:X}]"),
        format!("[64:ff9b:1::{target}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2002:{high:x}:{low:x}::]"),
        format!("[2001:0:5ef5:79fb:0:0:{:x}:{:x}]", high ^ 0xffff, low ^ 0xffff),
        format!("[fe80::5efe:{target}]"),
        format!("[2606:4700::5efe:{target}]"),
        format!("[2606:4700::200:5efe:{target}]"),
        format!("[fd00::5efe:{target}]"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_hundreds_of_ways_to_write_one_address_and_some_for_every_other() {
        assert!(of_v4(Ipv4Addr::LOCALHOST).len() >= 150, "{}", of_v4(Ipv4Addr::LOCALHOST).len());
        assert!(of_v6(Ipv6Addr::LOCALHOST).len() >= 8);
        assert!(of_v6(Ipv6Addr::LOCALHOST).contains("[0:0:0:0:0:0:0:1]"));
    }
}
