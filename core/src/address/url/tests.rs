//! Everything an author might write to get around gate one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::address::{Tier, tier};

fn policy(allow: &[&str]) -> AddressPolicy {
    let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
    AddressPolicy { allow, allow_http: true, ..AddressPolicy::default() }
}

/// Spellings that all name one IPv4 address.
fn ipv4_spellings(ip: Ipv4Addr) -> BTreeSet<String> {
    let [a, b, c, d] = ip.octets().map(u32::from);
    let parts = [vec![a, b, c, d], vec![a, b, c << 8 | d], vec![a, b << 16 | c << 8 | d], vec![u32::from(ip)]];
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
    let plain = ip.to_string();
    let full_width = |text: &str| -> String {
        text.chars().map(|c| char::from_u32(u32::from(c) - 0x21 + 0xff01).unwrap()).collect()
    };
    spellings.insert(full_width(&plain));
    spellings.insert(full_width(&u32::from(ip).to_string()));
    for dot in ['\u{3002}', '\u{ff0e}', '\u{ff61}'] {
        spellings.insert(plain.replace('.', &dot.to_string()));
    }
    spellings.insert(plain.replace('1', "①").replace('2', "²"));
    spellings.insert(plain.replace('.', ".\u{ad}"));
    spellings.insert(plain.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat());
    spellings.insert(plain.replace('.', "%2e"));
    spellings.insert(plain.replace('.', "%E3%80%82"));
    let dotted: Vec<String> = spellings.iter().map(|spelling| format!("{spelling}.")).collect();
    spellings.extend(dotted);
    let (high, low) = (u32::from(ip) >> 16, u32::from(ip) & 0xffff);
    spellings.extend([
        format!("[::ffff:{plain}]"),
        format!("[::FFFF:{high:X}:{low:X}]"),
        format!("[0:0:0:0:0:ffff:{high:x}:{low:x}]"),
        format!("[0000:0000:0000:0000:0000:ffff:{high:04x}:{low:04x}]"),
        format!("[64:ff9b::{plain}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[0064:FF9B:0:0:0:0:{high:X}:{low:X}]"),
    ]);
    spellings
}

/// Addresses that reach an IPv4 address through some translator or tunnel, whatever the IPv4 address is.
fn tunnel_spellings(ip: Ipv4Addr) -> Vec<String> {
    let (high, low) = (u32::from(ip) >> 16, u32::from(ip) & 0xffff);
    vec![
        format!("[::{ip}]"),
        format!("[::{high:x}:{low:x}]"),
        format!("[::ffff:0:{ip}]"),
        format!("[64:ff9b:1::{ip}]"),
        format!("[64:ff9b:1:0:{high:x}:{low:x}::]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2002:{high:x}:{low:x}::]"),
        format!("[2001:0:5ef5:79fb:0:0:{:x}:{:x}]", high ^ 0xffff, low ^ 0xffff),
        format!("[fe80::5efe:{ip}]"),
        format!("[2606:4700::5efe:{ip}]"),
        format!("[2606:4700::200:5efe:{ip}]"),
        format!("[fd00::5efe:{ip}]"),
    ]
}

#[test]
fn no_spelling_of_loopback_or_metadata_passes() {
    let policy = policy(&["10.0.0.0/8"]);
    for target in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(169, 254, 169, 254)] {
        let spellings = ipv4_spellings(target);
        assert!(spellings.len() >= 100, "{}", spellings.len());
        for host in spellings.into_iter().chain(tunnel_spellings(target)) {
            for url in [format!("http://{host}"), format!("https://{host}:8443/hook?x=1"), format!("HTTPS:///{host}/")]
            {
                let answer = policy.check_url(&url);
                assert!(matches!(answer, Err(UrlError::Refused(Refused::Forbidden { .. }))), "{url} gave {answer:?}");
            }
        }
    }
}

#[test]
fn spellings_of_a_public_address_pass_and_tunnels_to_it_do_not() {
    let target = Ipv4Addr::new(93, 184, 216, 34);
    for host in ipv4_spellings(target) {
        let url = policy(&[]).check_url(&format!("https://{host}/hook")).unwrap_or_else(|e| panic!("{host}: {e}"));
        let shown = url.host_str().unwrap();
        assert!(
            ["93.184.216.34", "[::ffff:5db8:d822]", "[64:ff9b::5db8:d822]"].contains(&shown),
            "{host} became {shown}"
        );
    }
    for host in tunnel_spellings(target) {
        assert!(policy(&[]).check_url(&format!("https://{host}/hook")).is_err(), "{host}");
    }
}

#[test]
fn private_literals_need_their_range_in_the_configuration() {
    for url in ["https://10.0.0.1/hook", "https://[fd12::1]/", "https://0xa.1/", "https://[::ffff:a00:1]/"] {
        assert!(matches!(policy(&[]).check_url(url), Err(UrlError::Refused(Refused::Private { .. }))), "{url}");
        assert!(policy(&["10.0.0.0/8", "fd00::/8"]).check_url(url).is_ok(), "{url}");
    }
}

#[test]
fn localhost_in_every_form_is_loopback() {
    let names = ["localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.LocalHost.", "ｌocalhost", "%6cocalhost"];
    for name in names {
        let url = format!("http://{name}:8080/");
        let answer = policy(&["0.0.0.0/0"]).check_url(&url);
        assert!(matches!(answer, Err(UrlError::Refused(Refused::Forbidden { .. }))), "{url} gave {answer:?}");
        assert!(policy(&["127.0.0.0/8"]).check_url(&url).is_ok(), "{url}");
        assert!(policy(&["::1/128"]).check_url(&url).is_ok(), "{url}");
    }
    for name in ["localhost.example.com", "notlocalhost", "localhost1"] {
        assert!(policy(&[]).check_url(&format!("https://{name}/")).is_ok(), "{name}");
    }
}

#[test]
fn ordinary_urls_pass_unchanged() {
    for url in [
        "https://example.com/",
        "https://example.com:8443/hooks/1?token=abc&x=%20",
        "https://xn--bcher-kva.example/",
        "https://example.com./",
        "https://a_b.example.com/p@th",
        "https://93.184.216.34/",
        "https://[2606:4700::1111]:443/",
    ] {
        assert!(AddressPolicy::default().check_url(url).is_ok(), "{url}");
    }
    let url = AddressPolicy::default().check_url("https://EXAMPLE.com/Hook?Q=1").unwrap();
    assert_eq!(url.as_str(), "https://example.com/Hook?Q=1");
}

#[test]
fn http_needs_the_operators_leave() {
    let url = "http://example.com/";
    assert_eq!(AddressPolicy::default().check_url(url), Err(UrlError::Http));
    assert!(AddressPolicy { allow_http: true, ..AddressPolicy::default() }.check_url(url).is_ok());
    assert!(UrlError::Http.to_string().contains("--allow-http"));
}

#[test]
fn what_parsing_would_repair_or_drop_is_refused() {
    let long = format!("https://example.com/{}", "a".repeat(MAX_URL_CHARS));
    let long_host = format!("https://{}example.com/", "a.".repeat(130));
    let cases: Vec<(&str, UrlError)> = vec![
        (&long, UrlError::TooLong),
        (&long_host, UrlError::Host),
        ("https://exam\tple.com/", UrlError::Blank),
        ("https://example.com/\r\nHost: evil", UrlError::Blank),
        ("https://example.com/\n", UrlError::Blank),
        ("https://example.com/\u{0}", UrlError::Blank),
        ("https://example.com/\u{7f}", UrlError::Blank),
        ("https://example.com/\u{85}", UrlError::Blank),
        (" https://example.com/", UrlError::Blank),
        ("https://example.com/a b", UrlError::Blank),
        ("https://example.com/\u{2028}", UrlError::Blank),
        ("https:\\\\example.com/", UrlError::Backslash),
        ("https://example.com\\@127.0.0.1/", UrlError::Backslash),
        ("", UrlError::Scheme),
        ("example.com", UrlError::Scheme),
        ("//example.com/", UrlError::Scheme),
        ("https:example.com", UrlError::Scheme),
        ("ftp://example.com/", UrlError::Scheme),
        ("file:///etc/passwd", UrlError::Scheme),
        ("unix:///run/docker.sock", UrlError::Scheme),
        ("javascript:alert(1)//://", UrlError::Scheme),
        ("https://user@example.com/", UrlError::Userinfo),
        ("https://user:password@example.com/", UrlError::Userinfo),
        ("https://:password@example.com/", UrlError::Userinfo),
        ("https://@example.com/", UrlError::Userinfo),
        ("https://example.com@127.0.0.1/", UrlError::Userinfo),
        ("https:///user@example.com/", UrlError::Userinfo),
        ("https://example.com/#part", UrlError::Fragment),
        ("https://example.com/#", UrlError::Fragment),
        ("https://example.com:0/", UrlError::Port),
        ("https://.example.com/", UrlError::Host),
        ("https://a..example.com/", UrlError::Host),
        ("https://example.com../", UrlError::Host),
        ("https://./", UrlError::Host),
    ];
    for (url, error) in cases {
        let answer = policy(&[]).check_url(url);
        assert_eq!(answer, Err(error), "{url:?}");
    }
    for url in [
        "https://",
        "https://?q",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://[::1/",
        "https://a%00b/",
        "https://e.com:99999/",
    ] {
        assert!(matches!(policy(&[]).check_url(url), Err(UrlError::Invalid(_))), "{url:?}");
    }
}

#[test]
fn no_message_shows_a_query_or_userinfo() {
    for url in [
        "ftp://example.com/?token=hunter2",
        "https://user:hunter2@example.com/",
        "https://hunter2@example.com/",
        "http://example.com/?token=hunter2",
        "https://10.0.0.1/?token=hunter2",
        "https://127.0.0.1/hunter2",
        "https://localhost/?hunter2",
        "https://example.com/?hunter2#a",
        "https://example.com/?hunter2 a",
        "https://example.com:0/?hunter2",
        "https://example.com:hunter2/",
        "https://a..b/?hunter2",
        "https://[hunter2]/",
    ] {
        let error = AddressPolicy::default().check_url(url).unwrap_err();
        let mut texts = vec![error.to_string(), format!("{error:?}")];
        texts.extend(std::error::Error::source(&error).map(ToString::to_string));
        assert!(texts.iter().all(|text| !text.contains("hunter2")), "{texts:?}");
    }
}

proptest! {
    #[test]
    fn whatever_passes_is_http_with_a_host_and_no_forbidden_literal(text in "(https?|ftp)://?[0-9a-fx.:@\\[\\]/?#%\\\\ -]{0,40}") {
        if let Ok(url) = policy(&[]).check_url(&text) {
            prop_assert!(["http", "https"].contains(&url.scheme()));
            prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
            match url.host().unwrap() {
                Host::Ipv4(ip) => prop_assert_eq!(tier(IpAddr::V4(ip)), Tier::Public),
                Host::Ipv6(ip) => prop_assert_eq!(tier(IpAddr::V6(ip)), Tier::Public),
                Host::Domain(name) => prop_assert!(!name.is_empty()),
            }
        }
    }
}
