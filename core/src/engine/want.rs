//! What a slot needs: the one decision of the protocol.
//!
//! Touches nothing. Invariant: the answer depends on [`Facts`] alone, first match wins, and every combination of facts is
//! enumerated in a test against the table of the design.

use crate::plan::Change;
use crate::proof::{Mark, Rule, broken, passed};

/// Whether the object belongs to the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Selected,
    /// Exists, but is not selected; or is gone. Either way the endpoint should not have it.
    Absent,
    /// Nothing is known for certain.
    Unknown,
}

/// What the endpoint has acknowledged, compared with the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged {
    Nothing,
    /// Before the subscription's last resync.
    BeforeResync,
    /// The very same version of the object.
    SameVersion,
    /// Another version with the same fingerprint.
    SameContent,
    Other,
}

/// What was parked, compared with what the row is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParkedAs {
    Nothing,
    /// New or Updated, with the row's fingerprint.
    PresentSame,
    /// New or Updated, with another fingerprint.
    PresentOther,
    Removed,
}

/// All that the decision looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub membership: Membership,
    /// The row is older than what was acknowledged or sent: a stale read.
    pub behind: bool,
    pub parked: ParkedAs,
    /// An event is unanswered: the endpoint may hold anything.
    pub sending: bool,
    pub acked: Acknowledged,
    /// The baseline is open and the row belongs to it.
    pub adoptable: bool,
}

/// What to do about a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Wait until more is known.
    Hold,
    Nothing,
    /// Take the row as known, silently.
    Adopt,
    /// Tell the row.
    Present,
    /// Tell that it is gone.
    Absent,
}

pub(super) fn want(facts: Facts) -> Need {
    let Facts { membership, behind, parked, sending, acked, adoptable } = facts;
    if membership == Membership::Unknown || behind {
        passed(if membership == Membership::Unknown { Mark::WantUnknown } else { Mark::WantBehind });
        return Need::Hold;
    }
    let need = match membership {
        Membership::Unknown => Need::Hold,
        Membership::Selected if adoptable && broken(Rule::UnansweredIsNotAdopted) && acked == Acknowledged::Nothing => {
            Need::Adopt
        }
        Membership::Selected if sending && !broken(Rule::UnansweredIsOwed) => Need::Present,
        Membership::Selected => match acked {
            Acknowledged::Nothing if adoptable => Need::Adopt,
            Acknowledged::Nothing | Acknowledged::BeforeResync | Acknowledged::Other => Need::Present,
            Acknowledged::SameVersion | Acknowledged::SameContent => Need::Nothing,
        },
        Membership::Absent if sending || acked != Acknowledged::Nothing => Need::Absent,
        Membership::Absent => Need::Nothing,
    };
    note(facts);
    match (need, parked) {
        (Need::Present, ParkedAs::PresentSame) | (Need::Absent, ParkedAs::Removed) => {
            passed(Mark::WantParked);
            Need::Nothing
        }
        (Need::Hold | Need::Nothing | Need::Adopt | Need::Present | Need::Absent, _) => need,
    }
}

/// Which line of the table decided.
fn note(facts: Facts) {
    passed(match facts {
        Facts { membership: Membership::Selected, sending: true, .. } => Mark::WantUnanswered,
        Facts { membership: Membership::Selected, acked, adoptable, .. } => match acked {
            Acknowledged::Nothing if adoptable => Mark::WantAdopt,
            Acknowledged::Nothing => Mark::WantNew,
            Acknowledged::BeforeResync => Mark::WantAgain,
            Acknowledged::SameVersion => Mark::WantSameVersion,
            Acknowledged::SameContent => Mark::WantSameContent,
            Acknowledged::Other => Mark::WantOther,
        },
        Facts { acked: Acknowledged::Nothing, sending: false, .. } => Mark::WantNothingAbsent,
        Facts { .. } => Mark::WantAbsent,
    });
}

/// New, Updated or Removed, for what is needed now after what was last declared and not answered. An unanswered New of
/// what was acknowledged once came after Removed, so until it is answered the endpoint may know nothing.
pub(super) fn change(present: bool, acked: bool, last_declared: Option<Change>) -> Change {
    match (present, acked, last_declared) {
        (false, _, _) => Change::Removed,
        (true, true, Some(Change::Removed | Change::New)) if broken(Rule::NewAfterRemoved) => Change::Updated,
        (true, false, _) | (true, true, Some(Change::Removed | Change::New)) => Change::New,
        (true, true, Some(Change::Updated) | None) => Change::Updated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERSHIPS: [Membership; 3] = [Membership::Selected, Membership::Absent, Membership::Unknown];
    const ACKED: [Acknowledged; 5] = [
        Acknowledged::Nothing,
        Acknowledged::BeforeResync,
        Acknowledged::SameVersion,
        Acknowledged::SameContent,
        Acknowledged::Other,
    ];
    const PARKED: [ParkedAs; 4] = [ParkedAs::Nothing, ParkedAs::PresentSame, ParkedAs::PresentOther, ParkedAs::Removed];

    /// The design's table, read line by line: each line is a guard and an answer, the first that holds decides.
    fn by_the_table(f: Facts) -> Need {
        let selected = f.membership == Membership::Selected;
        let wants_present = selected
            && (f.sending
                || (f.acked == Acknowledged::Nothing && !f.adoptable)
                || f.acked == Acknowledged::BeforeResync
                || f.acked == Acknowledged::Other);
        let wants_absent = !selected && (f.sending || f.acked != Acknowledged::Nothing);
        let lines: [(bool, Need); 10] = [
            (f.membership == Membership::Unknown, Need::Hold),
            (f.behind, Need::Hold),
            (wants_present && f.parked == ParkedAs::PresentSame, Need::Nothing),
            (wants_absent && f.parked == ParkedAs::Removed, Need::Nothing),
            (selected && f.sending, Need::Present),
            (selected && f.acked == Acknowledged::Nothing && f.adoptable, Need::Adopt),
            (selected && f.acked == Acknowledged::Nothing, Need::Present),
            (selected && f.acked == Acknowledged::BeforeResync, Need::Present),
            (selected && f.acked == Acknowledged::Other, Need::Present),
            (wants_absent, Need::Absent),
        ];
        lines.into_iter().find_map(|(holds, need)| holds.then_some(need)).unwrap_or(Need::Nothing)
    }

    #[test]
    fn every_combination_of_facts_is_decided_as_the_table_says() {
        let mut decided = 0;
        for membership in MEMBERSHIPS {
            for acked in ACKED {
                for parked in PARKED {
                    for bits in 0..8_u8 {
                        let facts = Facts {
                            membership,
                            acked,
                            parked,
                            behind: bits & 1 != 0,
                            sending: bits & 2 != 0,
                            adoptable: bits & 4 != 0,
                        };
                        assert_eq!(want(facts), by_the_table(facts), "{facts:?}");
                        decided += 1;
                    }
                }
            }
        }
        assert_eq!(decided, 480);
    }

    #[test]
    fn what_is_told_is_new_when_the_endpoint_cannot_have_it() {
        for last in [None, Some(Change::New), Some(Change::Updated), Some(Change::Removed)] {
            assert_eq!(change(false, true, last), Change::Removed);
            assert_eq!(change(true, false, last), Change::New);
        }
        assert_eq!(change(true, true, Some(Change::Removed)), Change::New);
        assert_eq!(change(true, true, Some(Change::New)), Change::New);
        assert_eq!(change(true, true, Some(Change::Updated)), Change::Updated);
        assert_eq!(change(true, true, None), Change::Updated);
    }
}
