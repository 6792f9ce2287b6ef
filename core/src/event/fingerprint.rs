//! A subscription's own fingerprint of an object's content. Touches nothing.
//!
//! Keyed with the subscription's uid, so that what 64 bits cannot exclude stays small and visible: two states whose
//! fingerprints happen to be equal (a change that would go unnoticed) are equal for one subscription only, not for every
//! endpoint at once; and an entry that ends up under the wrong subscription, by a restore or a mistake, matches nothing
//! and is sent again instead of being taken for acknowledged. The uid is no secret, so the key is no defence against
//! somebody who may read it and edits an object to a collision: they would hide their own change from their own endpoint.

use super::hash;
use crate::object::{Digest, Fingerprint};

/// The version of what a digest covers and how it is keyed. Raise it with either, and the ledger's entries are rewritten
/// or told as the engine's recipes say.
pub const SCHEME: u32 = 1;

/// The first 64 bits of HMAC-SHA256 over the digest.
pub fn fingerprint(subscription_uid: &str, digest: Digest) -> Fingerprint {
    let tag = hash::keyed(subscription_uid.as_bytes(), &digest.0);
    Fingerprint(u64::from_be_bytes(std::array::from_fn(|at| tag[at])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_never_changes_from_one_version_to_the_next() {
        assert_eq!(
            fingerprint("0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f", Digest([7; 16])),
            Fingerprint(0x061e_ed3e_6ec3_8a7e)
        );
    }

    #[test]
    fn it_depends_on_the_content_and_on_the_subscription() {
        let print = fingerprint("a", Digest([7; 16]));
        assert_ne!(print, fingerprint("a", Digest([8; 16])));
        assert_ne!(print, fingerprint("b", Digest([7; 16])));
    }
}
