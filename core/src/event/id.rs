//! Ids that receivers see. Touches nothing. Invariant: each follows from durable facts alone, so every attempt, process
//! and version of changehook that speaks of the same thing uses the same id.

use super::hash;

/// The id of an event: `chg_` and 32 lower-case hex digits, a 128-bit hash of what makes the event one: for whom, about
/// what, and the sequence of its Sending record.
pub fn event_id(subscription_uid: &str, object_uid: &str, sequence: u64) -> String {
    let hash = hash::of_parts([
        b"changehook event id 1".as_slice(),
        subscription_uid.as_bytes(),
        object_uid.as_bytes(),
        &sequence.to_be_bytes(),
    ]);
    format!("chg_{}", hash::hex(&hash::first_128(&hash)))
}

/// The id of a subscription: `sub_` and its uid without dashes, so that whoever holds one can find the other. A
/// subscription that is deleted and created again under its name has another uid, and so another id.
pub fn subscription_id(uid: &str) -> String {
    format!("sub_{}", uid.replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &str = "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f";
    const OBJECT: &str = "9f8e7d6c-5b4a-4321-8fed-cba987654321";

    #[test]
    fn an_event_id_never_changes_from_one_version_to_the_next() {
        let id = event_id(SUBSCRIPTION, OBJECT, 3_731_590_134_923_271);
        assert_eq!(id, "chg_b55fc8a36f106a5c102e9f914259d777");
    }

    #[test]
    fn everything_that_makes_an_event_another_one_makes_another_id() {
        let id = event_id(SUBSCRIPTION, OBJECT, 7);
        assert_ne!(id, event_id(SUBSCRIPTION, OBJECT, 8));
        assert_ne!(id, event_id(SUBSCRIPTION, SUBSCRIPTION, 7));
        assert_ne!(id, event_id(OBJECT, OBJECT, 7));
        assert_ne!(id, event_id(OBJECT, SUBSCRIPTION, 7));
        assert_ne!(event_id("a", "bc", 7), event_id("ab", "c", 7));
    }

    #[test]
    fn a_subscription_id_is_its_uid_without_dashes() {
        assert_eq!(subscription_id(SUBSCRIPTION), "sub_0b4e2c1a6f1d4f7e9d0c3a5b7c9d1e2f");
    }
}
