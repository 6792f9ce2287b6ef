//! What a schedule may contain, and what its oracle has to remember.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use changehook_core::plan::ChangeTypes;

/// What may happen.
#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    pub crashes: bool,
    pub edits: bool,
    pub edits_often: bool,
    pub change_types: bool,
    /// A request may arrive after its sender gave it up.
    pub late: bool,
    pub namesakes_often: bool,
    pub changes: ChangeTypes,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            crashes: true,
            edits: true,
            edits_often: false,
            change_types: false,
            late: true,
            namesakes_often: false,
            changes: ChangeTypes::ALL,
        }
    }
}

/// What the oracle needs to know of one subscription, beside its receiver.
#[derive(Default)]
pub struct Notes {
    /// Kinds whose list was complete since the leader took over.
    pub listed: BTreeSet<String>,
    /// What the engine was last shown: selected, or not known.
    pub shown: BTreeMap<Arc<str>, bool>,
    /// Adopted: the sequence, and the content's fingerprint.
    pub adopted: HashMap<Arc<str>, (u64, u64)>,
    /// Must never be adopted: an edit met them selected, and left them so.
    pub promised: BTreeSet<Arc<str>>,
    /// Taken out of the selection by an edit at that sequence: the endpoint is not told.
    pub silenced: HashMap<Arc<str>, u64>,
    /// Their Removed was tried and failed.
    pub removed_failed: BTreeSet<Arc<str>>,
    /// Event id → number and time of its last failed attempt.
    pub failed: HashMap<String, (u32, u64)>,
}
