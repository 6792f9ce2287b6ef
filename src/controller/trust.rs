//! TLS settings: can they be used, and for how long?
//!
//! Touches Secrets and ConfigMaps (GET), through [`tls`]. Invariants: no byte of a key leaves; a certificate that has expired
//! is told and used all the same, because whether it still does is for the other side to say.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::dereference::reason_of;
use super::reconcile::Context;
use crate::api::conditions::Reason;
use crate::delivery::configs::ConfigError;
use crate::delivery::endpoint::TlsTarget;
use crate::delivery::tls::{self, Fingerprint, TlsError};

/// Certificates that end within this time are pointed out.
const SOON: Duration = Duration::from_hours(14 * 24);

/// TLS settings that can be used.
pub(super) struct Trusted {
    pub content: Fingerprint,
    /// What is said of certificates that expire soon.
    pub expiring: Vec<String>,
}

/// `None` if there are no settings.
pub(super) async fn trust(
    context: &Context,
    namespace: &str,
    settings: Option<&TlsTarget>,
) -> Option<Result<Trusted, TlsError>> {
    let texts = match tls::read(&context.secrets, &context.configs, namespace, settings?).await {
        Ok(texts) => texts,
        Err(error) => return Some(Err(error)),
    };
    // What no client could be built from is found here, not when the first change is to be sent.
    let material = texts.material();
    Some(material.map(|material| {
        let expiring = expiring(&material.ends, (context.wall)());
        Trusted { content: texts.fingerprint, expiring }
    }))
}

fn expiring(ends: &[(String, i64)], now: i64) -> Vec<String> {
    let soon = ends.iter().filter(|(_, end)| end - now < SOON.as_secs().cast_signed());
    let told = soon.map(|(place, end)| {
        let date = Timestamp::from_second(*end).unwrap_or_default();
        let tense = if *end <= now { "has expired" } else { "expires" };
        format!("a certificate under {place} {tense} at {date}; renew it")
    });
    told.collect()
}

/// All of them another object can mend.
pub(super) fn tls_reason(error: &TlsError) -> Reason {
    match error {
        TlsError::Secret { error, .. } => reason_of(error),
        TlsError::Config(ConfigError::NotFound(_) | ConfigError::KeyNotFound(..)) => Reason::ConfigMapNotFound,
        TlsError::Config(ConfigError::Forbidden(_)) => Reason::NotAuthorized,
        TlsError::Config(ConfigError::Unavailable(..)) => Reason::Progressing,
        // The URL in the Secret is at fault; one in the spec would not have been let in.
        TlsError::NotHttps => Reason::SecretInvalid,
        TlsError::NotPem { .. } | TlsError::NoKey(_) | TlsError::Mismatch(_) | TlsError::Unusable => {
            Reason::CertificateInvalid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_pointed_out_for_its_last_fortnight_and_once_it_has_expired() {
        let now = 1_767_600_000;
        let day = 86_400;
        let ends = [("a", now + 15 * day), ("b", now + 13 * day), ("c", now - 1)];
        let told = expiring(&ends.map(|(place, end)| (place.to_owned(), end)), now);
        assert_eq!(
            told,
            [
                "a certificate under b expires at 2026-01-18T08:00:00Z; renew it",
                "a certificate under c has expired at 2026-01-05T07:59:59Z; renew it",
            ]
        );
    }
}
