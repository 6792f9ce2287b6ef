//! How an endpoint's URL is to be written, and what of it may be shown.
//!
//! Touches nothing. Invariant: no message repeats anything of the text.

use url::Url;

/// What is wrong with the raw text. It is judged before it is parsed: a parser would drop line breaks and turn backslashes
/// round. Where it leads to is for the address policy.
pub fn written(text: &str) -> Result<(), &'static str> {
    if text.len() > 2048 {
        return Err("must have at most 2048 characters");
    }
    if !text.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'\\') {
        return Err(
            "must be printable ASCII without whitespace, line breaks or backslashes; percent-encode them, and \
                    write the host in punycode",
        );
    }
    let no_scheme = "must start with https:// (or http://, where the operator allows it) and name a host";
    let (scheme, rest) = text.split_once("://").ok_or(no_scheme)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(no_scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not have user information before the host; put credentials into endpoint.headers with \
                    valueFrom");
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err(no_scheme);
    }
    if text.contains('#') {
        return Err("must not have a fragment; remove # and what follows");
    }
    Url::parse(text)
        .map(drop)
        .map_err(|_| "must be a URL: a host name or address, a port up to 65535 if any, then a path")
}

/// The host, with its port when the URL names one: all of a URL that may be shown.
pub fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_host_has_the_port_only_when_the_url_names_one() {
        let shown = |url| shown_host(&Url::parse(url).unwrap());
        assert_eq!(shown("https://partner.example/a?b"), "partner.example");
        assert_eq!(shown("https://partner.example:443/"), "partner.example");
        assert_eq!(shown("http://[2001:db8::1]:8080/"), "[2001:db8::1]:8080");
    }
}
