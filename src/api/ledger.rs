//! `DeliveryLedger`: where the operator keeps its durable records.
//!
//! Touches nothing. Invariant: the API server sees one opaque text; structure lives in the codec, not in the schema.

use k8s_openapi::ByteString;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The largest blob, in bytes before base64.
pub const MAX_DATA_BYTES: usize = 256 * 1024;

/// One blob of the operator's records.
#[derive(CustomResource, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "changehook.dev",
    version = "v1alpha1",
    kind = "DeliveryLedger",
    plural = "deliveryledgers",
    namespaced,
    derive = "PartialEq",
    doc = "A DeliveryLedger is internal to changehook: its record of what each endpoint has acknowledged, kept in the operator's namespace. Do not write or delete one; without it changes are sent again.",
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Format", type_ = "integer", json_path = ".spec.format"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryLedgerSpec {
    /// What the blob is to the others: the Head everything hangs from, a Segment of the journal, the Index of a
    /// subscription, or a Shard of its entries.
    pub role: LedgerRole,
    /// The form of the blob; a format newer than the operator is refused by it.
    #[schemars(range(min = 1, max = 1000))]
    pub format: i32,
    /// The records, compressed and opaque.
    #[schemars(schema_with = "blob")]
    pub data: ByteString,
}

/// Base64 in the schema, with the bound that [`MAX_DATA_BYTES`] has once encoded.
fn blob(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "byte", "maxLength": MAX_DATA_BYTES.div_ceil(3) * 4})
}

impl std::fmt::Debug for DeliveryLedgerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { role, format, data } = self;
        write!(f, "DeliveryLedgerSpec({role:?}, format {format}, {} bytes)", data.0.len())
    }
}

/// What a blob is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum LedgerRole {
    /// The one everything hangs from.
    Head,
    /// A sealed piece of the journal.
    Segment,
    /// A subscription's list of shards.
    Index,
    /// Folded entries.
    Shard,
}
