//! What went wrong when a request got no answer.
//!
//! Touches nothing. Invariant: every text is from here or is the name of an error kind; nothing an endpoint sent, and
//! nothing of the URL, gets into it.

use std::error::Error;
use std::io::ErrorKind;
use std::iter;
use std::time::Duration;

use changehook_core::address::Refused;
use changehook_core::outcome::{Class, Failure, Reason};
use rustls::CertificateError;

use super::resolver::ResolveError;

/// A failure of the endpoint, or of the way to it, without an answer.
pub fn endpoint(reason: Reason, message: impl Into<String>) -> Failure {
    Failure { class: Class::Endpoint, reason, http_status: None, message: message.into(), retry_after: None }
}

/// A failure of the event itself, before anything was sent.
pub fn event(reason: Reason, message: impl Into<String>) -> Failure {
    Failure { class: Class::Event, reason, http_status: None, message: message.into(), retry_after: None }
}

/// Says why `error` came instead of an answer, for a request that was given `timeout`. `tls` is whether it went to an
/// https URL.
///
/// The order matters: what the resolver said is exact; a timeout while connecting is a timeout *and* a connect error;
/// a TLS error is a connect error as well.
pub fn classify(error: &reqwest::Error, timeout: Duration, tls: bool) -> Failure {
    if let Some(error) = find::<ResolveError>(error) {
        return unresolved(error);
    }
    if error.is_timeout() {
        return timed_out(error.is_connect(), timeout);
    }
    if let Some(error) = find::<rustls::Error>(error) {
        return endpoint(Reason::TlsFailed, tls_message(error));
    }
    // The innermost one: layers above wrap it as "other".
    let kind =
        causes(error).filter_map(|error| error.downcast_ref::<std::io::Error>()).last().map(std::io::Error::kind);
    if error.is_connect() {
        return match kind {
            // A peer that hangs up here has accepted the connection: it is the handshake that failed.
            Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) if tls => {
                endpoint(Reason::TlsFailed, "the endpoint closed the connection during the TLS handshake")
            }
            Some(kind) => endpoint(Reason::ConnectFailed, format!("no connection to the endpoint: {kind}")),
            None => endpoint(Reason::ConnectFailed, "no connection to the endpoint"),
        };
    }
    if error.is_builder() {
        return event(Reason::RenderFailed, "the request could not be built");
    }
    endpoint(Reason::ConnectionLost, lost_message(find::<hyper::Error>(error), kind))
}

fn unresolved(error: &ResolveError) -> Failure {
    match error {
        // Which address it was, or which range, is for the operator's log, not for a tenant: names inside the cluster are
        // not theirs to resolve.
        ResolveError::Refused(refused) => endpoint(Reason::AddressRefused, refused_message(refused)),
        ResolveError::Lookup(_) => endpoint(Reason::DnsFailed, "the endpoint's name could not be resolved"),
        ResolveError::Empty => endpoint(Reason::DnsFailed, "the endpoint's name has no address"),
    }
}

/// Which gate it was, and what opens it, if anything does.
fn refused_message(refused: &Refused) -> &'static str {
    match refused {
        Refused::Private { .. } => {
            "the endpoint's name resolves to a private address; whoever runs changehook can open its range with \
             --allow-cidr, and a Service of this namespace is reached by spec.endpoint.service"
        }
        Refused::Forbidden { .. } => {
            "the endpoint's name resolves to an address that is forbidden as such (loopback, link-local, cloud metadata \
             and the like); correct its DNS record: only an --allow-cidr of changehook within that very block opens it"
        }
        Refused::Denied { .. } => {
            "the endpoint's name resolves to the cluster's API server or to changehook itself; correct its DNS record: \
             only an --allow-cidr of changehook that names exactly this address opens it"
        }
        Refused::Excluded { .. } => {
            "the endpoint's name resolves to an address that a --deny-cidr of changehook excludes, and no --allow-cidr \
             opens it; whoever runs changehook can change that range, or use another endpoint"
        }
        Refused::NoAddress => "the endpoint's name has no address",
    }
}

fn timed_out(connecting: bool, timeout: Duration) -> Failure {
    if connecting {
        return endpoint(Reason::Timeout, "no connection to the endpoint in time");
    }
    endpoint(Reason::Timeout, format!("no answer within {} s", timeout.as_secs_f64()))
}

fn tls_message(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the endpoint's TLS certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the endpoint's TLS certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the endpoint's TLS certificate is for another name"
            }
            // one of the same name, with another key: so does a CA that was made anew look
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the endpoint's TLS certificate is signed by an unknown authority"
            }
            CertificateError::Revoked => "the endpoint's TLS certificate is revoked",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "the endpoint's TLS certificate is not for servers"
            }
            _ => "the endpoint's TLS certificate is not valid",
        },
        rustls::Error::AlertReceived(_) => "the endpoint refused the TLS handshake",
        rustls::Error::PeerIncompatible(_) => "the endpoint and changehook have no TLS version or cipher in common",
        rustls::Error::InvalidMessage(_) => "the endpoint does not speak TLS on this port",
        _ => "the TLS connection to the endpoint failed",
    }
}

fn lost_message(error: Option<&hyper::Error>, kind: Option<ErrorKind>) -> String {
    match (error, kind) {
        (Some(error), _) if error.is_parse() => {
            "the endpoint's answer was not HTTP/1.1, or its head was too large".to_owned()
        }
        (_, Some(kind)) => format!("the connection broke before an answer: {kind}"),
        (Some(error), None) if error.is_incomplete_message() => {
            "the endpoint closed the connection before its answer".to_owned()
        }
        (_, None) => "the connection broke before an answer".to_owned(),
    }
}

/// `error` and what is below it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| below(*error))
}

/// `io::Error::source` skips the error that it wraps, so that one is taken by hand.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref::<E>())
}
