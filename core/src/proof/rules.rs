//! The rules of the protocol that a test can break, each where it is enforced.
//!
//! Touches nothing. Invariant: for each there is a test that breaks it and expects to find out.

/// A rule of the protocol. A test breaks one, and expects the explorer or the simulator to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Rule {
    /// A request leaves only when its Sending record is durable.
    WriteAhead,
    /// Acknowledgements are committed in time, however little may be written.
    AcksNeverWait,
    /// A commit's Head names the segments that the commit created.
    SegmentsAreListed,
    /// Each claim raises the term, so that no name is used twice.
    ClaimRaisesTerm,
    /// A segment that the Head does not name is not replayed.
    UnlistedIsGarbage,
    /// A record that was folded in is not replayed on top.
    FoldedIsNotReplayed,
    /// A commit holds every record there is, not acknowledgements alone.
    CommitsHoldAll,
    /// The next commit waits for the one under way.
    OneCommitAtATime,
    /// Durable is what the commit held, not what was recorded since.
    DurableIsWhatWasCommitted,
    /// A new leader counts on from beyond whatever an earlier one may have used.
    ClaimJumps,
    /// A ledger that is older than what the status has seen of it is a loss.
    LossIsNoticed,
    /// What is unanswered stays owed, even if the object is back at the acknowledged state.
    UnansweredIsOwed,
    /// A row that is older than what is known is not believed.
    StaleRowsAreHeld,
    /// An object that cannot be read is neither selected nor deselected.
    UnknownIsHeld,
    /// A list that could not read an object does not prove it gone.
    UnreadIsNotGone,
    /// A sequence means one kind and one content.
    OneMeaning,
    /// What is sent is what was declared, even if the watch has shown more since.
    SentAsDeclared,
    /// After Removed comes New.
    NewAfterRemoved,
    /// Per object one request is under way.
    OneUnderWay,
    /// A suspended subscription starts nothing.
    SuspendedIsSilent,
    /// Whether a request is still wanted is looked at again when it leaves.
    LaunchLooksAgain,
    /// Removed is told of whatever may have been told.
    MaybeToldIsRemoved,
    /// The old object of a name is told to be gone before the new one is told.
    NamesakesInOrder,
    /// Parking leaves Sending as it is.
    ParkedIsUnanswered,
    /// That something was given up is durable.
    ParksAreRecorded,
    /// The end of an outage releases what it parked.
    RecoveryReleases,
    /// Another endpoint configuration releases what was parked.
    ConfigurationReleases,
    /// Another content than the one that was given up is told.
    ChangeReleases,
    /// Once its baseline is closed, nothing of a kind is adopted.
    ClosedAdoptsNothing,
    /// An open baseline adopts what is no newer than its mark.
    AdoptedUpToTheMark,
    /// What is owed as New when a plan is edited is not adopted.
    OwedIsPledged,
    /// An edit silences what it takes out of the selection, not what had left it before.
    EditsSilenceTheirOwn,
    /// What was acknowledged before everything was asked for again is told again.
    ResyncTellsAgain,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 33] = [
        Self::WriteAhead,
        Self::AcksNeverWait,
        Self::SegmentsAreListed,
        Self::ClaimRaisesTerm,
        Self::UnlistedIsGarbage,
        Self::FoldedIsNotReplayed,
        Self::CommitsHoldAll,
        Self::OneCommitAtATime,
        Self::DurableIsWhatWasCommitted,
        Self::ClaimJumps,
        Self::LossIsNoticed,
        Self::UnansweredIsOwed,
        Self::StaleRowsAreHeld,
        Self::UnknownIsHeld,
        Self::UnreadIsNotGone,
        Self::OneMeaning,
        Self::SentAsDeclared,
        Self::NewAfterRemoved,
        Self::OneUnderWay,
        Self::SuspendedIsSilent,
        Self::LaunchLooksAgain,
        Self::MaybeToldIsRemoved,
        Self::NamesakesInOrder,
        Self::ParkedIsUnanswered,
        Self::ParksAreRecorded,
        Self::RecoveryReleases,
        Self::ConfigurationReleases,
        Self::ChangeReleases,
        Self::ClosedAdoptsNothing,
        Self::AdoptedUpToTheMark,
        Self::OwedIsPledged,
        Self::EditsSilenceTheirOwn,
        Self::ResyncTellsAgain,
    ];
}
