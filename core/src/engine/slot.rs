//! One slot: one subscription × one object, as far as the engine remembers it.
//!
//! Touches nothing. Invariants: what is durable of it is exactly `acked`, `sending` and `parked`; the rest may be lost. A
//! row is held beside the one the watch shows only from declaring until the answer, so memory is never O(pending payloads).

use std::sync::Arc;

use super::want::{Acknowledged, Facts, Membership, Need, ParkedAs, want};
use crate::event::{Identity, Subject};
use crate::ledger::{Acked, Entry, Named, Parked, Sending};
use crate::object::{Fingerprint, ObjectKey, ObservedBy, Row};
use crate::outcome::Failure;
use crate::plan::Change;
use crate::proof::{Rule, broken};

/// The fingerprint of what is gone.
pub(super) const GONE: Fingerprint = Fingerprint(0);

/// What the watch last showed of the object.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    Selected {
        row: Arc<Row>,
        /// The row's version; zero if the cluster was set back since it was shown.
        rv: u64,
        fp: Fingerprint,
    },
    Deselected {
        rv: u64,
    },
    Gone {
        rv: u64,
    },
    /// It cannot be read.
    Unknown,
    /// Nothing yet since this process took over.
    Unseen,
}

/// Where the slot is in its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing to send, or not now: held, parked, or waiting for a namesake.
    Idle,
    /// In the line of first attempts.
    Queued { place: u64 },
    /// Waiting until the slot's `not_before`.
    Waiting,
    /// In the line of retries.
    Due { place: u64 },
    /// Holds a permit; its Sending record is on its way into the ledger, or its request is about to leave.
    Starting,
    /// A request is under way; holds a permit.
    InFlight,
}

/// Whether the ledger has room for the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It needs none: nothing of it was recorded.
    Unneeded,
    /// It counts.
    Taken,
    /// There is none, so it is held.
    Awaited,
}

/// The last failed attempt of a slot, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// What failed.
    pub failure: Failure,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
}

/// Which line a slot got its permit from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    First,
    Retry,
    /// The breaker's probe.
    Probe,
}

impl Lane {
    /// Whether it has to leave room for first attempts.
    pub fn is_late(self) -> bool {
        match self {
            Self::First => false,
            Self::Retry | Self::Probe => true,
        }
    }
}

/// Leave to have one request under way, given back exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    /// Whose share it comes from; the subscription may be edited meanwhile.
    pub host: Arc<str>,
    pub lane: Lane,
    /// The configuration its request is made with: what fails under a former one says nothing about the present one.
    pub config_hash: u64,
}

/// What stays the same over all attempts of an event, beside its Sending record.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub previous_version: Option<Arc<str>>,
    pub by: ObservedBy,
    pub detected_at: i64,
    /// When it was declared; wall clock.
    pub at: i64,
    /// What the attempt that is about to start, or under way, tells.
    pub subject: Option<Subject>,
}

#[derive(Debug)]
#[cfg_attr(feature = "proof", derive(Clone))]
pub(super) struct Slot {
    pub named: Named,
    pub acked: Option<Acked>,
    /// server.version of what was acknowledged, if this process sent or adopted it.
    pub acked_version: Option<Arc<str>>,
    pub sending: Option<Sending>,
    pub parked: Option<Parked>,
    pub shown: Shown,
    /// A list of this version showed the object as it is shown; zero if that adds nothing to what the row says.
    pub confirmed: u64,
    pub by: ObservedBy,
    /// When the change that is told next was noticed; wall clock.
    pub detected_at: i64,
    /// Since when the endpoint has been behind; wall clock.
    pub owed_since: Option<i64>,
    pub phase: Phase,
    /// Held while starting and in flight.
    pub permit: Option<Permit>,
    /// Requests started for this delivery.
    pub attempts: u32,
    /// No request before this, monotonic; zero when the last attempt did not fail.
    pub not_before: u64,
    /// How often the endpoint had answered well when the first attempt of this delivery was started.
    pub successes_before: u64,
    /// A request that told the endpoint of the object may have been made.
    pub may_be_known: bool,
    /// The ledger says that it is owed as New, although nothing of it was sent yet: it must not be adopted.
    pub pledged: bool,
    /// The subscription was edited so that it does not select the object any more; it exists, so nothing is told.
    pub tombstone: bool,
    pub room: Room,
    pub declared: Option<Box<Declared>>,
    pub last_error: Option<Box<LastError>>,
}

impl Slot {
    pub fn new(named: Named, noticed_at: i64) -> Self {
        Self {
            named,
            acked: None,
            acked_version: None,
            sending: None,
            parked: None,
            shown: Shown::Unseen,
            confirmed: 0,
            by: ObservedBy::Relist,
            detected_at: noticed_at,
            owed_since: None,
            phase: Phase::Idle,
            permit: None,
            attempts: 0,
            not_before: 0,
            successes_before: 0,
            may_be_known: false,
            pledged: false,
            tombstone: false,
            room: Room::Unneeded,
            declared: None,
            last_error: None,
        }
    }

    /// As an earlier life left it.
    pub fn restored(entry: Entry, noticed_at: i64) -> Self {
        let Entry { named, acked, mut sending, parked } = entry;
        if broken(Rule::SendingOutlivesItsLeader) {
            sending = None;
        }
        let may_be_known = sending.is_some() || acked.is_some();
        let pledged = !may_be_known;
        Self { acked, sending, parked, may_be_known, pledged, room: Room::Taken, ..Self::new(named, noticed_at) }
    }

    /// Holds a permit.
    pub fn is_busy(&self) -> bool {
        self.permit.is_some()
    }

    pub fn is_selected(&self) -> bool {
        matches!(self.shown, Shown::Selected { .. })
    }

    /// The endpoint knows the object, or may.
    pub fn is_known(&self) -> bool {
        self.acked.is_some() || self.sending.is_some()
    }

    /// No request that told the endpoint of the object was made.
    pub fn was_never_told(&self) -> bool {
        self.acked.is_none() && (!self.may_be_known || broken(Rule::MaybeToldIsRemoved))
    }

    /// What it was told last, or is being told, is that the object is gone.
    pub fn tells_the_end(&self) -> bool {
        self.sending.is_some_and(|sending| sending.change == Change::Removed)
    }

    /// Its last attempt failed, and it was not given up.
    pub fn is_retrying(&self) -> bool {
        self.not_before > 0
    }

    /// Nothing of it is worth remembering.
    pub fn is_blank(&self) -> bool {
        let remembered = self.is_known() || self.is_busy() || self.pledged;
        !remembered && matches!(self.shown, Shown::Deselected { .. } | Shown::Gone { .. })
    }

    /// The newest version that was acknowledged or may have been sent.
    pub fn highest_rv(&self) -> u64 {
        let declared = self.sending.map_or(0, |sending| sending.rv);
        // What is under way may tell the declared content in a later version; without a version nor has that one.
        let under_way = match self.declared.as_ref().and_then(|declared| declared.subject.as_ref()) {
            Some(Subject::Present(row)) if declared > 0 => row.rv,
            Some(Subject::Present(_) | Subject::Absent(_)) | None => 0,
        };
        self.acked.map_or(0, |acked| acked.rv).max(declared).max(under_way)
    }

    /// What the slot needs. `mark` is the version up to which rows are adopted; `resync` what must be told again.
    pub fn need(&self, mark: Option<u64>, resync: u64) -> Need {
        let (membership, rv, fp) = match &self.shown {
            Shown::Selected { rv, fp, .. } => (Membership::Selected, *rv, *fp),
            Shown::Deselected { rv } | Shown::Gone { rv } => (Membership::Absent, *rv, GONE),
            Shown::Unknown | Shown::Unseen if broken(Rule::UnknownIsHeld) => {
                (Membership::Absent, self.highest_rv(), GONE)
            }
            Shown::Unknown | Shown::Unseen => (Membership::Unknown, 0, GONE),
        };
        let acked = match self.acked {
            None => Acknowledged::Nothing,
            Some(acked) if acked.seq < resync && !broken(Rule::ResyncTellsAgain) => Acknowledged::BeforeResync,
            // Zero is no version: only the content decides.
            Some(acked) if acked.rv == rv && rv > 0 => Acknowledged::SameVersion,
            Some(acked) if acked.fp == fp => Acknowledged::SameContent,
            Some(_) => Acknowledged::Other,
        };
        let parked = match (self.parked, self.sending) {
            (Some(_), Some(sending)) if sending.change == Change::Removed => ParkedAs::Removed,
            (Some(_), Some(sending)) if sending.fp == fp || broken(Rule::ChangeReleases) => ParkedAs::PresentSame,
            (Some(_), Some(_)) => ParkedAs::PresentOther,
            (Some(_), None) | (None, _) => ParkedAs::Nothing,
        };
        want(Facts {
            membership,
            behind: rv.max(self.confirmed) < self.highest_rv() && !broken(Rule::StaleRowsAreHeld),
            parked,
            sending: self.sending.is_some(),
            acked,
            adoptable: !self.pledged
                && mark.is_some_and(|mark| 0 < mark && (rv <= mark || broken(Rule::AdoptedUpToTheMark))),
        })
    }

    /// Whether the declared event still says what is wanted: one kind, one content.
    pub fn same_event(&self, change: Change) -> bool {
        self.sending.is_some_and(|sending| {
            sending.change == change
                && match &self.shown {
                    Shown::Selected { .. } if broken(Rule::OneMeaning) => true,
                    Shown::Selected { fp, .. } => change == Change::Removed || sending.fp == *fp,
                    Shown::Deselected { .. } | Shown::Gone { .. } | Shown::Unknown | Shown::Unseen => {
                        change == Change::Removed
                    }
                }
        })
    }

    /// What an event of kind `change` is about, as of now.
    pub fn subject(&self, key: &ObjectKey, change: Change) -> Subject {
        match (&self.shown, change) {
            (Shown::Selected { row, .. }, Change::New | Change::Updated) => Subject::Present(Arc::clone(row)),
            (_, _) => {
                Subject::Absent(Identity {
                    gvk: Arc::clone(&self.named.gvk),
                    uid: Arc::clone(&key.uid),
                    namespace: self.named.namespace.clone(),
                    name: Arc::clone(&self.named.name),
                    // As declared, so that a restart does not change the body of Removed.
                    rv: self.sending.map_or_else(|| self.shown_rv(), |sending| sending.rv),
                })
            }
        }
    }

    /// The version that the watch last showed.
    pub fn shown_rv(&self) -> u64 {
        match &self.shown {
            Shown::Selected { rv, .. } | Shown::Deselected { rv } | Shown::Gone { rv } => *rv,
            Shown::Unknown | Shown::Unseen => self.highest_rv(),
        }
    }
}
