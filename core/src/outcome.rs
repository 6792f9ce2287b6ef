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
/// x
pub fn blames_the_endpoint_when_common(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 405 | 407)
}
