//! An endpoint's own TLS settings: from what their Secrets and ConfigMaps hold to what a client is built with.
//!
//! Touches, through [`Secrets`] and [`Configs`], the API server. Invariants: no byte of a key is in an error or a `Debug`;
//! the text of a key is wiped with the Secret it came from; settings with the same fingerprint have the same content.

use std::fmt;

use reqwest::{Certificate, Identity};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::configs::{ConfigError, Configs};
use super::endpoint::{CaSource, SecretKey, TlsTarget};
use super::secrets::{SecretBytes, SecretError, Secrets};

/// Tells one content of settings from another.
pub type Fingerprint = [u8; 32];

/// Why the settings cannot be used. Each begins with the field, within the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A Secret cannot be had.
    #[error("spec.endpoint.tls.{field}: {error}")]
    Secret {
        /// Which part of the settings.
        field: &'static str,
        /// Why.
        error: SecretError,
    },
    /// The ConfigMap cannot be had.
    #[error("spec.endpoint.tls.caRef: {0}")]
    Config(ConfigError),
    /// A text holds no certificates.
    #[error(
        "spec.endpoint.tls.{field}: {place} holds no certificates in PEM (-----BEGIN CERTIFICATE-----); correct it and \
         delivery starts by itself"
    )]
    NotPem {
        /// Which part of the settings.
        field: &'static str,
        /// Which key of which object.
        place: String,
    },
    /// A text holds no private key.
    #[error(
        "spec.endpoint.tls.clientCertificateSecretRef: {0} holds no private key in PEM; correct it and delivery starts by \
         itself"
    )]
    NoKey(String),
    /// The two do not belong together.
    #[error(
        "spec.endpoint.tls.clientCertificateSecretRef: the key tls.key of Secret {0} is not the one of the certificate in \
         tls.crt; correct it and delivery starts by itself"
    )]
    Mismatch(String),
    /// There would be no TLS to set.
    #[error("spec.endpoint.tls: the URL is not https, so the settings would have no effect; use https, or remove them")]
    NotHttps,
    /// The client could not be built from it.
    #[error("spec.endpoint.tls: the certificates cannot be used; correct them and delivery starts by itself")]
    Unusable,
}

/// What the settings hold, as it was read.
pub struct Texts {
    ca: Option<(String, SecretBytes)>,
    client: Option<(String, SecretBytes, SecretBytes)>,
    /// See [`Fingerprint`].
    pub fingerprint: Fingerprint,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts(…)")
    }
}

/// What a client is built with.
pub struct Material {
    /// The authorities that are trusted instead of the system's.
    pub roots: Option<Vec<Certificate>>,
    /// The client's certificate.
    pub identity: Option<Identity>,
    /// When which certificate ends: where it is, and the seconds since the Unix epoch.
    pub ends: Vec<(String, i64)>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material(…)")
    }
}

/// Reads what the settings name.
pub async fn read(
    secrets: &Secrets,
    configs: &Configs,
    namespace: &str,
    target: &TlsTarget,
) -> Result<Texts, TlsError> {
    let mut hash = Sha256::new();
    let ca = match &target.ca {
        None => None,
        Some(CaSource::Secret(key)) => {
            let in_secret = |error| TlsError::Secret { field: "caRef", error };
            let bytes = secrets.get(namespace, key).await.map_err(in_secret)?;
            Some((format!("the key {} of Secret {namespace}/{}", key.key, key.name), bytes))
        }
        Some(CaSource::ConfigMap(key)) => {
            let text = configs.get(namespace, key).await.map_err(TlsError::Config)?;
            let place = format!("the key {} of ConfigMap {namespace}/{}", key.key, key.name);
            Some((place, SecretBytes::from(text.into_bytes())))
        }
    };
    let client = match &target.client {
        None => None,
        Some(name) => {
            let of = |key: &str| SecretKey { name: name.clone(), key: key.to_owned() };
            let in_secret = |error| TlsError::Secret { field: "clientCertificateSecretRef", error };
            let chain = secrets.get(namespace, &of("tls.crt")).await.map_err(in_secret)?;
            let key = secrets.get(namespace, &of("tls.key")).await.map_err(in_secret)?;
            Some((format!("{namespace}/{name}"), chain, key))
        }
    };
    let parts = [ca.as_ref().map(|(_, ca)| ca), client.as_ref().map(|(_, c, _)| c), client.as_ref().map(|(.., k)| k)];
    for part in parts {
        let part = part.map_or(&[][..], SecretBytes::as_bytes);
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    Ok(Texts { ca, client, fingerprint: hash.finalize().into() })
}

impl Texts {
    /// What a client is built with, if it can be.
    pub fn material(&self) -> Result<Material, TlsError> {
        let mut ends = Vec::new();
        let roots = match &self.ca {
            None => None,
            Some((place, text)) => {
                let certificates = certificates("caRef", place, text)?;
                ends.extend(certificates.iter().map(|der| (place.clone(), end(der))));
                let made = certificates.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>();
                Some(made.map_err(|_| TlsError::Unusable)?)
            }
        };
        let identity = match &self.client {
            None => None,
            Some((name, chain, key)) => {
                let place = format!("the key tls.crt of Secret {name}");
                let certificates = certificates("clientCertificateSecretRef", &place, chain)?;
                ends.extend(certificates.first().map(|der| (place, end(der))));
                Some(identity(name, certificates, chain, key)?)
            }
        };
        let ends = ends.into_iter().filter_map(|(place, end)| Some((place, end?))).collect();
        Ok(Material { roots, identity, ends })
    }
}

fn certificates(
    field: &'static str,
    place: &str,
    text: &SecretBytes,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let all = all.ok().filter(|all| !all.is_empty() && all.iter().all(|der| end(der).is_some()));
    all.ok_or_else(|| TlsError::NotPem { field, place: place.to_owned() })
}

/// When a certificate ends; `None` if it is none.
fn end(der: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn identity(
    name: &str,
    certificates: Vec<CertificateDer<'static>>,
    chain: &SecretBytes,
    key: &SecretBytes,
) -> Result<Identity, TlsError> {
    let no_key = || TlsError::NoKey(format!("the key tls.key of Secret {name}"));
    let parsed = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| no_key())?;
    let provider = CryptoProvider::get_default().ok_or(TlsError::Unusable)?;
    CertifiedKey::from_der(certificates, parsed, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch(name.to_owned()),
        _ => no_key(),
    })?;
    let both = Zeroizing::new([key.as_bytes(), b"\n", chain.as_bytes()].concat());
    Identity::from_pem(&both).map_err(|_| TlsError::Unusable)
}
