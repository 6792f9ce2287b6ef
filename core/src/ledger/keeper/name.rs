//! What stored forms are called.
//!
//! Touches nothing. Invariant: a name tells what is under it, who wrote it, and (but for the Head) never means two contents.

use std::fmt;

use crate::ledger::form::{Form, Label};
use crate::plan::SubscriptionId;

/// The name of a stored form, unique within one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// The one that is overwritten.
    Head,
    /// A sealed piece of the journal.
    Segment(Label),
    /// The indexes.
    Directory(Label),
    /// A subscription's index.
    Index {
        /// Checksum of the subscription's uid; the form has it in full.
        of: u32,
        /// Which.
        label: Label,
    },
    /// A bucket of a subscription's entries.
    Shard {
        /// Checksum of the subscription's uid; the form has it in full.
        of: u32,
        /// Which bucket.
        bucket: u32,
        /// Which.
        label: Label,
    },
}

impl Name {
    /// The name of a subscription's index.
    pub fn index(subscription: &SubscriptionId, label: Label) -> Self {
        Self::Index { of: checksum(subscription), label }
    }

    /// The name of a subscription's shard.
    pub fn shard(subscription: &SubscriptionId, bucket: u32, label: Label) -> Self {
        Self::Shard { of: checksum(subscription), bucket, label }
    }

    /// The name that this form has to be stored under.
    pub fn of(form: &Form) -> Self {
        match form {
            Form::Head(_) => Self::Head,
            Form::Segment(segment) => Self::Segment(segment.label),
            Form::Directory(directory) => Self::Directory(directory.label),
            Form::Index(index) => Self::index(&index.subscription, index.label),
            Form::Shard(shard) => Self::shard(&shard.subscription, shard.bucket, shard.label),
        }
    }

    /// The term of the leader that wrote it; `None` for the Head, which any leader overwrites.
    pub fn term(&self) -> Option<u64> {
        match self {
            Self::Head => None,
            Self::Segment(label) | Self::Directory(label) | Self::Index { label, .. } | Self::Shard { label, .. } => {
                Some(label.term)
            }
        }
    }

    /// Reads a name back; `None` if it is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let kind = parts.next()?;
        let numbers: Vec<&str> = parts.collect();
        let label = |term: &str, number: &str| Some(Label { term: term.parse().ok()?, number: number.parse().ok()? });
        let hex = |text: &str| u32::from_str_radix(text, 16).ok();
        let name = match (kind, &numbers[..]) {
            ("head", []) => Self::Head,
            ("segment", [term, number]) => Self::Segment(label(term, number)?),
            ("directory", [term, number]) => Self::Directory(label(term, number)?),
            ("index", [of, term, number]) => Self::Index { of: hex(of)?, label: label(term, number)? },
            ("shard", [of, bucket, term, number]) => {
                Self::Shard { of: hex(of)?, bucket: bucket.parse().ok()?, label: label(term, number)? }
            }
            _ => return None,
        };
        // What would be written differently is somebody else's.
        (name.to_string() == text).then_some(name)
    }
}

fn checksum(subscription: &SubscriptionId) -> u32 {
    crc32fast::hash(subscription.uid.as_bytes())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Segment(label) => write!(f, "segment-{label}"),
            Self::Directory(label) => write!(f, "directory-{label}"),
            Self::Index { of, label } => write!(f, "index-{of:08x}-{label}"),
            Self::Shard { of, bucket, label } => write!(f, "shard-{of:08x}-{bucket}-{label}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_nothing_else_is() {
        let label = Label { term: 3, number: 17 };
        let subscription = SubscriptionId { uid: "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f".into() };
        let names = [
            Name::Head,
            Name::Segment(label),
            Name::Directory(label),
            Name::index(&subscription, label),
            Name::shard(&subscription, 255, label),
        ];
        for name in names {
            assert_eq!(Name::parse(&name.to_string()), Some(name), "{name}");
        }
        for other in
            ["", "head-1", "segment-3", "segment-03-17", "segment-3-17-1", "shard-xyz-1-3-17", "heads", "index-1-3-17"]
        {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_names_of_kubernetes_objects() {
        let label = Label { term: u64::MAX, number: u64::MAX };
        let name = Name::shard(&SubscriptionId { uid: "all".into() }, u32::MAX, label).to_string();
        assert!(
            name.len() <= 253 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{name}"
        );
    }
}
