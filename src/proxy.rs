//! The proxy on the way to the API server, for whoever works from a kubeconfig. Webhooks never go through one.
//!
//! Touches nothing; the environment comes in. Invariants: it is the proxy that kubectl would use: the kubeconfig's
//! `proxy-url`, or that of `HTTPS_PROXY`, unless `NO_PROXY` excepts the API server or it is on this machine; no error shows
//! a proxy's address, which may hold a password.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::config::KubeconfigError;

const VARIABLES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxy cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to use the proxy that {named_by} names: its scheme is {scheme:?}; write http://HOST:PORT or https://HOST:PORT, or {otherwise}"
)]
pub struct ProxyError {
    named_by: &'static str,
    scheme: String,
    otherwise: &'static str,
}

/// Decides on the proxy that `config`, made from a kubeconfig, has found in it or in the environment.
pub fn settle(config: &mut Config, env: impl Fn(&str) -> Option<String>) -> Result<(), ProxyError> {
    let Some(found) = config.proxy_url.take() else { return Ok(()) };
    let set = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| env(name).filter(|value| !value.is_empty()).map(|value| (name, value)))
    };
    let variable = set(VARIABLES).filter(|(_, value)| value.parse::<Uri>().is_ok_and(|named| named == found));
    let (named_by, otherwise) = match variable {
        Some((name, _)) => {
            let excepted = set(EXCEPTIONS).map(|(_, value)| value).unwrap_or_default();
            if is_excepted(&config.cluster_url, excepted) {
                return Ok(());
            }
            (name, "name the API server in NO_PROXY")
        }
        None => ("proxy-url in the kubeconfig", "remove it"),
    };
    config.proxy_url = Some(match found.scheme_str() {
        Some("http" | "https") => found,
        // as kubectl understands HOST:PORT
        None => format!("http://{found}").parse().map_err(|_| unfit(named_by, "", otherwise))?,
        Some(other) => return Err(unfit(named_by, other, otherwise)),
    });
    Ok(())
}

fn unfit(named_by: &'static str, scheme: &str, otherwise: &'static str) -> ProxyError {
    ProxyError { named_by, scheme: scheme.to_owned(), otherwise }
}

fn is_excepted(server: &Uri, excepted: String) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    here || Matcher::builder().all("http://proxy.invalid").no(excepted).build().intercept(server).is_none()
}

/// What is wrong with a proxy that could not even be read; `None` if it is something else that is wrong.
pub fn unread(error: &KubeconfigError) -> Option<&'static str> {
    match error {
        KubeconfigError::ParseProxyUrl(_) => {
            Some("the proxy to its API server is no URL; correct HTTPS_PROXY, or proxy-url in the kubeconfig")
        }
        KubeconfigError::ParseNoProxy(_) => {
            Some("NO_PROXY is no list of hosts and address ranges, separated by commas; correct it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(server: &str, found: &str, env: &[(&str, &str)]) -> Result<Option<String>, String> {
        let mut config = Config::new(server.parse().unwrap());
        config.proxy_url = Some(found.parse().unwrap());
        let env = |name: &str| env.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        settle(&mut config, env).map_err(|error| error.to_string())?;
        Ok(config.proxy_url.map(|uri| uri.to_string()))
    }

    const SERVER: &str = "https://api.corp.example:6443";
    const PROXY: &str = "http://user:hush@proxy.corp.example:3128/";

    #[test]
    fn the_environments_proxy_is_used_unless_the_api_server_is_excepted_or_on_this_machine() {
        let used = Ok(Some(PROXY.to_owned()));
        assert_eq!(settled(SERVER, PROXY, &[("HTTPS_PROXY", PROXY)]), used);
        assert_eq!(settled(SERVER, PROXY, &[("HTTPS_PROXY", ""), ("https_proxy", PROXY)]), used);
        assert_eq!(settled(SERVER, PROXY, &[("HTTPS_PROXY", PROXY), ("NO_PROXY", "other.example,10.0.0.0/8")]), used);
        assert_eq!(settled("https://10.1.2.3", PROXY, &[("HTTPS_PROXY", PROXY), ("NO_PROXY", "10.2.0.0/16")]), used);
        for (server, excepted) in [
            (SERVER, "corp.example"),
            (SERVER, ".corp.example"),
            (SERVER, "*"),
            (SERVER, "a.example, api.corp.example"),
            ("https://10.1.2.3:6443", "10.0.0.0/8"),
            ("https://[fd00::1]:6443", "fd00::/8"),
            ("https://127.0.0.1:6443", ""),
            ("https://[::1]:6443", ""),
            ("https://localhost:6443", ""),
        ] {
            for name in EXCEPTIONS {
                assert_eq!(settled(server, PROXY, &[("HTTPS_PROXY", PROXY), (name, excepted)]), Ok(None), "{excepted}");
            }
        }
    }

    #[test]
    fn the_kubeconfigs_proxy_is_used_whatever_the_environment_says() {
        let env = [("HTTPS_PROXY", "http://other.example"), ("NO_PROXY", "*")];
        assert_eq!(settled(SERVER, PROXY, &env), Ok(Some(PROXY.to_owned())));
        assert_eq!(settled("https://127.0.0.1:6443", PROXY, &[]), Ok(Some(PROXY.to_owned())));
    }

    #[test]
    fn a_host_and_a_port_are_an_http_proxy_and_other_schemes_are_refused_without_showing_it() {
        let bare = "proxy.corp.example:3128";
        let expected = Ok(Some("http://proxy.corp.example:3128/".to_owned()));
        assert_eq!(settled(SERVER, bare, &[("HTTPS_PROXY", bare)]), expected);
        let socks = "socks5://user:hush@proxy.corp.example:1080";
        let refused = settled(SERVER, socks, &[("https_proxy", socks)]).unwrap_err();
        assert!(refused.contains("proxy that https_proxy names") && refused.contains("NO_PROXY"), "{refused}");
        assert!(refused.contains("\"socks5\"") && !refused.contains("hush"), "{refused}");
        let refused = settled(SERVER, socks, &[]).unwrap_err();
        assert!(refused.contains("proxy-url in the kubeconfig names") && refused.contains("remove it"), "{refused}");
    }
}
