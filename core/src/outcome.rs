//! What came of one attempt, and whose trouble it is.
//!
//! Touches nothing. Invariant: no text in here comes from an endpoint's answer.

use std::time::Duration;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx.
    Delivered {
        /// The status.
        status: u16,
    },
    /// The endpoint, or the way to it, or the event itself was the trouble.
    Failed(Failure),
    /// No request was started, because something of ours is missing; nobody is charged an attempt.
    Unsent {
        /// For people, names what is missing.
        message: String,
    },
}

/// What an answer with this status means: 2xx is delivered; 3xx is never followed and final; 4xx is final unless it is
/// listed; everything else is the endpoint's trouble and retried, a status that is no final one (below 200) and
/// one that HTTP does not know (600 and above) included. `retry_after` is honoured for listed statuses only: an
/// endpoint must not stretch a subscription's schedule unless its owner opted in.
pub fn of_status(status: u16, retry_status_codes: &[u16], retry_after: Option<Duration>) -> Outcome {
    let listed = retry_status_codes.contains(&status);
    let (class, reason) = match status {
        200..=299 => return Outcome::Delivered { status },
        300..=399 => (Class::Event, Reason::Redirected),
        400..=499 if listed => (Class::Endpoint, Reason::ClientError),
        400..=499 => (Class::Event, Reason::ClientError),
        0..=199 | 500.. => (Class::Endpoint, Reason::ServerError),
    };
    let message = match reason {
        Reason::Redirected => format!("the endpoint answered {status}; redirects are not followed"),
        _ => format!("the endpoint answered {status}"),
    };
    let retried = class == Class::Endpoint;
    Outcome::Failed(Failure {
        class,
        reason,
        http_status: Some(status),
        message,
        retry_after: retry_after.filter(|_| retried && listed),
    })
}

/// Whether this status, though it is about one request, is the endpoint's trouble when several objects meet it: a
/// credential that expired (401, 403, 407), a path that moved (404), a method that is no longer taken (405).
pub fn blames_the_endpoint_when_common(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 405 | 407)
}

/// Whose trouble a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The endpoint's or the network's: retried, then parked until the outage ends.
    Endpoint,
    /// This event's: final, parked until something about it changes.
    Event,
}

impl Class {
    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Endpoint => "Endpoint",
            Self::Event => "Event",
        }
    }
}

/// Why an attempt failed; a closed set, used as condition reason and metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The name did not resolve.
    DnsFailed,
    /// The name resolved to an address that may not be dialled.
    AddressRefused,
    /// No connection.
    ConnectFailed,
    /// The TLS handshake failed.
    TlsFailed,
    /// The connection broke, or the answer was no HTTP.
    ConnectionLost,
    /// No answer in time.
    Timeout,
    /// 5xx, 600 and above, or an answer that is no final status.
    ServerError,
    /// 4xx.
    ClientError,
    /// 3xx, which is never followed.
    Redirected,
    /// The event does not fit the size limit even without the object.
    Oversize,
    /// The request could not be built.
    RenderFailed,
}

impl Reason {
    /// Every reason, for closed sets of metric labels.
    pub const ALL: [Self; 11] = [
        Self::DnsFailed,
        Self::AddressRefused,
        Self::ConnectFailed,
        Self::TlsFailed,
        Self::ConnectionLost,
        Self::Timeout,
        Self::ServerError,
        Self::ClientError,
        Self::Redirected,
        Self::Oversize,
        Self::RenderFailed,
    ];

    /// The name shown in conditions, status and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DnsFailed => "DnsFailed",
            Self::AddressRefused => "AddressRefused",
            Self::ConnectFailed => "ConnectFailed",
            Self::TlsFailed => "TlsFailed",
            Self::ConnectionLost => "ConnectionLost",
            Self::Timeout => "Timeout",
            Self::ServerError => "ServerError",
            Self::ClientError => "ClientError",
            Self::Redirected => "Redirected",
            Self::Oversize => "Oversize",
            Self::RenderFailed => "RenderFailed",
        }
    }
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose trouble it is.
    pub class: Class,
    /// Why.
    pub reason: Reason,
    /// The answer's status, when there was an answer.
    pub http_status: Option<u16>,
    /// For people; no byte of the answer, no URL query, no secret.
    pub message: String,
    /// How long the endpoint asked us to wait; only set when this failure is retried.
    pub retry_after: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: [u16; 6] = [150, 204, 302, 429, 503, 700];
    const WAIT: Option<Duration> = Some(Duration::from_secs(7));

    #[test]
    fn every_status_has_the_class_of_the_table() {
        for status in 0..=u16::MAX {
            for codes in [&[][..], &LISTED] {
                let listed = codes.contains(&status);
                let expected = match status / 100 {
                    2 => None,
                    3 => Some((Class::Event, Reason::Redirected)),
                    4 => Some((if listed { Class::Endpoint } else { Class::Event }, Reason::ClientError)),
                    _ => Some((Class::Endpoint, Reason::ServerError)),
                };
                match (of_status(status, codes, WAIT), expected) {
                    (Outcome::Delivered { status: told }, None) => assert_eq!(told, status),
                    (Outcome::Failed(failure), Some((class, reason))) => {
                        assert_eq!((failure.class, failure.reason, failure.http_status), (class, reason, Some(status)));
                        assert!(failure.message.starts_with(&format!("the endpoint answered {status}")));
                        let honoured = listed && class == Class::Endpoint;
                        assert_eq!(failure.retry_after, WAIT.filter(|_| honoured), "{status} {codes:?}");
                    }
                    (outcome, expected) => panic!("{status} gave {outcome:?}, not {expected:?}"),
                }
            }
        }
    }

    #[test]
    fn only_a_listed_status_that_is_retried_may_ask_for_a_later_attempt() {
        let asked: Vec<u16> = (0..=u16::MAX)
            .filter(|status| match of_status(*status, &LISTED, WAIT) {
                Outcome::Failed(failure) => failure.retry_after.is_some(),
                Outcome::Delivered { .. } | Outcome::Unsent { .. } => false,
            })
            .collect();
        assert_eq!(asked, [150, 429, 503, 700]);
    }

    #[test]
    fn five_statuses_blame_the_endpoint_when_they_are_common() {
        let blaming: Vec<u16> = (0..=u16::MAX).filter(|status| blames_the_endpoint_when_common(*status)).collect();
        assert_eq!(blaming, [401, 403, 404, 405, 407]);
    }

    #[test]
    fn reasons_are_a_closed_set_of_distinct_names() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
