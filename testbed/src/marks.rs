//! A rare text that is part of everything that must stay hidden (keys, tokens, URLs' queries, what endpoints answer), and
//! the search for it in whatever form in all that is shown.
//!
//! Searching one text for one mark finds also what no test thought of: a value that is quoted, escaped, encoded or
//! printed byte by byte.

use std::fmt::Write as _;

/// [`MARK`] with a literal after it: a hidden value of one's own.
#[macro_export]
macro_rules! planted {
    ($tail:literal) => {
        concat!("zq9-planted", $tail)
    };
}

/// See the module's head. In lower case.
pub const MARK: &str = planted!("");

/// The lines in which the mark is found, each with the name of its form; long ones cut around it.
pub fn found(text: &str) -> Vec<String> {
    let forms = forms();
    // whole texts are searched far quicker than lines, and nearly all have none
    if !forms.iter().any(|(_, form)| text.contains(form.as_str()))
        && !text.to_ascii_lowercase().contains(MARK)
        && !text.contains('%')
    {
        return Vec::new();
    }
    let lines = text.lines().enumerate();
    lines.filter_map(|(number, line)| Some(format!("line {}: {}", number + 1, find(line, &forms)?))).collect()
}

/// The same for bytes, which need not be text.
pub fn found_in_bytes(bytes: &[u8]) -> Vec<String> {
    found(&String::from_utf8_lossy(bytes))
}

/// Panics with the lines in which the mark is found. `what` says whose text it is.
#[track_caller]
pub fn assert_none(what: &str, text: &str) {
    let found = found(text);
    assert!(found.is_empty(), "{what} shows what is hidden, in {} lines, the first:\n{}", found.len(), found[0]);
}

/// What is searched for as it is.
fn forms() -> Vec<(&'static str, String)> {
    let bytes = MARK.as_bytes();
    let list = |radix: fn(u8) -> String| bytes.iter().map(|byte| radix(*byte)).collect::<Vec<_>>();
    let mut forms = vec![
        ("as a list of bytes", list(|byte| byte.to_string()).join(", ")),
        ("as a list of bytes", list(|byte| byte.to_string()).join(",")),
        ("in hexadecimal", crate::hex(bytes)),
        ("as \\u escapes", list(|byte| format!("\\u{byte:04x}")).concat()),
        ("as \\x escapes", list(|byte| format!("\\x{byte:02x}")).concat()),
    ];
    // of the letters on the rims, some bits belong to the neighbours
    forms.extend((0..3).map(|offset| ("in base64", base64_core(bytes, offset))));
    forms
}

/// The letters that every base64 text has in which `bytes` begin at this offset from a group of three.
fn base64_core(bytes: &[u8], offset: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let skipped = (6 - offset * 8 % 6) % 6;
    let value = |six: &[u8]| six.iter().fold(0, |value, bit| value << 1 | usize::from(*bit));
    bits[skipped..].chunks_exact(6).map(|six| char::from(alphabet[value(six)])).collect()
}

fn find(line: &str, forms: &[(&str, String)]) -> Option<String> {
    for (form, text) in forms {
        if let Some(at) = line.find(text.as_str()) {
            return Some(format!("{form}: {}", around(line, at)));
        }
    }
    let lower = line.to_ascii_lowercase();
    if let Some(at) = lower.find(MARK) {
        return Some(format!("plain: {}", around(line, at)));
    }
    if !line.contains('%') {
        return None;
    }
    // twice: a URL within a URL
    let decoded = percent_decoded(&percent_decoded(&lower)).to_ascii_lowercase();
    decoded.find(MARK).map(|at| format!("percent-coded: {}", around(&decoded, at)))
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(byte);
            rest = &after[2..];
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// At most 400 characters before the place and 100 from it on: lines can have megabytes.
fn around(line: &str, at: usize) -> String {
    let skipped = line[..at].chars().count().saturating_sub(400);
    let mut text = String::new();
    if skipped > 0 {
        let _ = write!(text, "[{skipped} characters] ");
    }
    text.extend(line.chars().skip(skipped).take(500));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(bytes: &[u8]) -> String {
        let value = serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).expect("bytes can be JSON");
        value.as_str().expect("it is a string").to_owned()
    }

    #[test]
    fn every_form_of_the_mark_is_found_and_named_with_its_line() {
        let percent = MARK.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
        let forms = [
            ("plain", MARK.to_owned()),
            ("plain", MARK.to_uppercase()),
            ("plain", planted!("-and-more").to_owned()),
            ("plain", format!("{:?}", format!("\n{MARK}\u{1b}[0m"))),
            ("percent-coded", MARK.replace('-', "%2D")),
            ("percent-coded", MARK.replace('-', "%2d").to_uppercase()),
            ("percent-coded", percent.replace('%', "%25")),
            ("percent-coded", percent),
            ("as a list of bytes", format!("{:?}", MARK.as_bytes())),
            ("as a list of bytes", serde_json::to_string(MARK.as_bytes()).expect("bytes can be JSON")),
            ("in hexadecimal", crate::hex(MARK.as_bytes())),
            ("in base64", base64(MARK.as_bytes())),
            ("in base64", base64(format!("a{MARK}").as_bytes())),
            ("in base64", base64(format!("ab{MARK} and more").as_bytes())),
            ("in base64", base64(format!("https://abc?token={MARK}&b").as_bytes())),
        ];
        for (form, text) in forms {
            let found = found(&format!("INFO first: x=1\nWARN second: shown={text} y=2\nlast\n"));
            assert!(found.len() == 1 && found[0].starts_with(&format!("line 2: {form}: ")), "{text}: {found:?}");
        }
    }

    #[test]
    fn at_each_offset_of_base64_another_text_is_searched_for() {
        let texts: std::collections::BTreeSet<String> = (0..3).map(|at| base64_core(MARK.as_bytes(), at)).collect();
        assert_eq!(texts.len(), 3);
        assert!(texts.iter().all(|text| text.len() >= 12), "long enough to be rare: {texts:?}");
    }

    #[test]
    fn the_mark_is_found_among_bytes_that_are_no_text_and_in_the_middle_of_a_long_line() {
        let bytes = [&[0xff, 0, 0xfe][..], MARK.as_bytes(), &[0xff]].concat();
        assert_eq!(found_in_bytes(&bytes).len(), 1);
        let long = found(&format!("{}{MARK}{}", "é".repeat(100_000), "x".repeat(100_000)));
        assert!(long[0].len() < 1500 && long[0].contains(MARK), "{long:?}");
    }

    #[test]
    fn an_innocent_text_has_none() {
        let near = ["zq9", "planted", "zq9_planted", "100 %", "%zz%2", "%", "enE5", "122, 113, 57", "7a7139", ""];
        assert_eq!(found(&near.join("\n")), Vec::<String>::new());
        assert_none("a log", "INFO changehook: delivered host=hooks.example attempt=1");
    }

    #[test]
    #[should_panic(expected = "a log shows what is hidden, in 1 lines, the first:\nline 1: plain: key=zq9-planted-1")]
    fn whoever_asserts_is_told_the_line() {
        assert_none("a log", planted_line());
    }

    fn planted_line() -> &'static str {
        concat!("key=", planted!("-1"))
    }
}
