//! The conditions a subscription reports, their closed sets of types and reasons, and how one is set.
//!
//! Touches nothing; the time comes in. Invariants: at most one condition a type, in the order of [`Type`];
//! lastTransitionTime moves only with the status; Reconciling and Stalled are never there together and are absent
//! rather than False (kstatus); messages are at most [`MAX_MESSAGE`] bytes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 1024;

/// A closed set of names, spelled as its variants.
macro_rules! names {
    ($(#[$docs:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every one, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name shown in the status.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }
        }
    };
}

names! {
    /// The types, in the order in which they are listed: tools read the first that speaks to them.
    Type {
        /// The subscription does what its spec says. Says nothing about the endpoint.
        Ready,
        /// Not ready yet, and it will be without an edit of this object. Absent otherwise.
        Reconciling,
        /// Only an edit of this object helps. Absent otherwise.
        Stalled,
        /// Everything the subscription names may be read on its behalf.
        Authorized,
        /// The endpoint takes what it is sent.
        EndpointHealthy,
        /// The record of what the endpoint acknowledged is whole.
        LedgerIntact,
        /// Sending is suspended.
        Suspended,
    }
}

names! {
    /// Why a condition has its status: the contract for scripts, where the message is for people.
    Reason {
        /// Lists and the ledger are being read.
        Progressing,
        /// Something is missing that something else can provide; it is looked for again and again.
        ProgressingWithRetry,
        /// Changes are watched, and sent.
        Watching,
        /// spec.suspend is set.
        Suspended,
        /// The spec breaks a rule.
        InvalidSpec,
        /// The spec uses what this version does not support yet.
        NotSupported,
        /// The URL leads to an address that may not be dialled.
        AddressRefused,
        /// The subscription would be told of what its own deliveries cause.
        FeedbackLoop,
        /// A Secret is missing.
        SecretNotFound,
        /// A Secret lacks the key.
        SecretKeyNotFound,
        /// A key is there and empty, or cannot be used as a header's value.
        SecretInvalid,
        /// A Service is missing.
        ServiceNotFound,
        /// A Service is there and cannot be sent to, or lacks the port.
        ServiceInvalid,
        /// The ConfigMap with the certificate authorities is missing, or its key.
        ConfigMapNotFound,
        /// What is named for TLS cannot be used: no PEM, or a key that is not the certificate's.
        CertificateInvalid,
        /// A permission is missing.
        NotAuthorized,
        /// The ServiceAccount is missing.
        ServiceAccountNotFound,
        /// It could not be found out what the ServiceAccount may do.
        AccessReviewFailed,
        /// Every permission is there.
        Granted,
        /// No version of the kind is served.
        KindNotInstalled,
        /// The kind cannot be listed and watched, or not from within a namespace.
        KindNotSupported,
        /// The API server cannot be read right now.
        WatchFailed,
        /// The API server serves an older state than it did before.
        SourceStale,
        /// The namespace is being deleted.
        NamespaceTerminating,
        /// Nothing was sent yet.
        NoDeliveryYet,
        /// The last delivery was acknowledged.
        Delivering,
        /// Every record is there and readable.
        Intact,
        /// Records are lost; their objects are sent again or adopted.
        LedgerLost,
        /// The ledger cannot be written right now, so nothing is sent.
        LedgerUnavailable,
        /// The API server refuses for good what has to be recorded, so nothing is sent.
        LedgerRefused,
        /// More objects are selected than one subscription may have.
        LedgerCapacityExceeded,
        /// The name did not resolve.
        DnsFailed,
        /// No connection.
        ConnectFailed,
        /// The TLS handshake failed.
        TlsFailed,
        /// The connection broke, or the answer was no HTTP.
        ConnectionLost,
        /// No answer in time.
        Timeout,
        /// 5xx, or no status at all.
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
}

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is so.
    True,
    /// It is not.
    False,
    /// It is not known.
    Unknown,
}

impl Status {
    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Sets a condition. Reconciling and Stalled are removed when they are not True, and one removes the other.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: Type,
    status: Status,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    match type_ {
        Type::Reconciling | Type::Stalled if status != Status::True => return remove(conditions, type_),
        Type::Reconciling => remove(conditions, Type::Stalled),
        Type::Stalled => remove(conditions, Type::Reconciling),
        Type::Ready | Type::Authorized | Type::EndpointHealthy | Type::LedgerIntact | Type::Suspended => {}
    }
    let since = get(conditions, type_)
        .filter(|before| before.status == status.as_str())
        .map_or(Time(now), |before| before.last_transition_time.clone());
    remove(conditions, type_);
    conditions.push(Condition {
        type_: type_.as_str().to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: truncated(message, MAX_MESSAGE).to_owned(),
        observed_generation: Some(generation),
        last_transition_time: since,
    });
    conditions.sort_by_key(|condition| position(&condition.type_));
}

/// Removes a condition.
pub fn remove(conditions: &mut Vec<Condition>, type_: Type) {
    conditions.retain(|condition| condition.type_ != type_.as_str());
}

/// The condition of a type.
pub fn get(conditions: &[Condition], type_: Type) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Where a type is listed; types of another version of changehook come last.
fn position(type_: &str) -> usize {
    Type::ALL.iter().position(|known| known.as_str() == type_).unwrap_or(usize::MAX)
}

/// The longest start of `text` that has at most `max` bytes and ends between two characters.
pub fn truncated(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// `conditions` with the bounds that the API's own type does not have.
pub fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the subscription's state.",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "The aspect.",
                    "minLength": 1,
                    "maxLength": 64,
                },
                "status": {
                    "type": "string",
                    "description": "True, False or Unknown.",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "type": "string",
                    "description": "Why, in one word; what scripts should read.",
                    "minLength": 1,
                    "maxLength": 64,
                    "pattern": "^[A-Za-z]+$",
                },
                "message": {
                    "type": "string",
                    "description": "For people, with what would help.",
                    "maxLength": MAX_MESSAGE,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When the status last changed.",
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The metadata.generation that this condition is about.",
                    "minimum": 0,
                    "maximum": 9_007_199_254_740_991_i64,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn types(conditions: &[Condition]) -> Vec<&str> {
        conditions.iter().map(|condition| condition.type_.as_str()).collect()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let mut all = Vec::new();
        set(&mut all, Type::Ready, Status::False, Reason::Progressing, "listing", 1, at(10));
        set(&mut all, Type::Ready, Status::False, Reason::SecretNotFound, "no Secret", 2, at(20));
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].last_transition_time, Time(at(10)));
        assert_eq!((all[0].reason.as_str(), all[0].observed_generation), ("SecretNotFound", Some(2)));
        set(&mut all, Type::Ready, Status::True, Reason::Watching, "", 2, at(30));
        assert_eq!(all[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn reconciling_and_stalled_are_never_there_together_and_never_false() {
        let mut all = Vec::new();
        set(&mut all, Type::Stalled, Status::True, Reason::InvalidSpec, "", 1, at(1));
        set(&mut all, Type::Reconciling, Status::True, Reason::Progressing, "", 1, at(1));
        assert_eq!(types(&all), ["Reconciling"]);
        set(&mut all, Type::Stalled, Status::True, Reason::InvalidSpec, "", 1, at(1));
        assert_eq!(types(&all), ["Stalled"]);
        set(&mut all, Type::Stalled, Status::False, Reason::InvalidSpec, "", 1, at(1));
        assert!(all.is_empty());
    }

    #[test]
    fn ready_comes_first_and_a_foreign_condition_is_kept_last() {
        let mut all = Vec::new();
        set(&mut all, Type::Suspended, Status::True, Reason::Suspended, "", 1, at(1));
        all[0].type_ = "FromTheFuture".to_owned();
        set(&mut all, Type::LedgerIntact, Status::True, Reason::Intact, "", 1, at(1));
        set(&mut all, Type::Ready, Status::True, Reason::Watching, "", 1, at(1));
        assert_eq!(types(&all), ["Ready", "LedgerIntact", "FromTheFuture"]);
        assert_eq!(get(&all, Type::Ready).map(|c| c.status.as_str()), Some("True"));
    }

    #[test]
    fn a_long_message_ends_between_two_characters() {
        let mut all = Vec::new();
        let long = format!("a{}", "é".repeat(MAX_MESSAGE));
        set(&mut all, Type::Ready, Status::False, Reason::InvalidSpec, &long, 1, at(1));
        assert_eq!(all[0].message.len(), MAX_MESSAGE - 1);
        assert!(long.starts_with(&all[0].message));
    }

    #[test]
    fn every_name_fits_the_schema() {
        let names = Reason::ALL.iter().map(|r| r.as_str()).chain(Type::ALL.iter().map(|t| t.as_str()));
        for name in names {
            assert!(name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphabetic()), "{name}");
        }
    }
}
