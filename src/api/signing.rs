//! How requests are signed.
//!
//! Touches nothing. Invariant: holds names of Secrets, never their contents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The key and the schemes of signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signing {
    /// The Secret with the HMAC key. Its bytes are used as they are, a newline at the end included. Editing the Secret
    /// takes effect with the next attempt. While it is missing nothing is sent.
    pub secret_ref: SigningKeyRef,
    /// The key from before, while receivers change over to that of secretRef: requests carry a signature made with it
    /// besides, in the header X-Signature-256-Previous. While it is missing nothing is sent; remove the reference when
    /// no receiver needs it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_secret_ref: Option<SigningKeyRef>,
    /// Which signature headers are sent: `SHA256` is X-Signature-256, `StandardWebhooks` Webhook-Signature, `Flux`
    /// X-Signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub schemes: Option<Vec<SignatureScheme>>,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within the Secret.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A form of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SignatureScheme {
    /// `X-Signature-256: sha256=HEX` over the body.
    #[serde(rename = "SHA256")]
    Sha256,
    /// `Webhook-Signature` as standardwebhooks.com has it.
    StandardWebhooks,
    /// `X-Signature: sha256=HEX`, as Flux's receivers and notifications have it.
    Flux,
}

fn default_key() -> String {
    "secret".to_owned()
}
