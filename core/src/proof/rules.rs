//! The rules of the protocol that a test can break, each with the part of the design that it stands for. Touches nothing.
//!
//! Invariant: a broken rule changes what the program does as a plausible mistake would; each of them is found
//! by a test (`core/tests/simulator/mutants.rs`, `core/src/lease/tests/rivals.rs`), or it is not a rule.

/// Defines the rules, and the list of them all.
macro_rules! rules {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A rule of the protocol. A test breaks one, and expects to find out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Rule {
            $($(#[$doc])+ $name,)+
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

rules! {
    /// A request leaves only when its Sending record is durable.
    WriteAhead,
    /// A commit captures all that changed, not only acknowledgements.
    CommitsHoldAll,
    /// The next commit waits for the one under way.
    OneCommitAtATime,
    /// Durable is what the commit held, not what was recorded since.
    DurableIsWhatWasCommitted,
    /// A request tells the state that was declared, even if the watch is further by now.
    SentAsDeclared,
    /// What is told again under a sequence is what it told before; another state is declared anew.
    OneMeaning,
    /// At the moment of leaving the need is looked at again.
    LaunchLooksAgain,
    /// One request under way for an object.
    OneUnderWay,
    /// No more requests are under way than a host, or all together, may have.
    CapsHold,
    /// Who is suspended or held sends nothing.
    SuspendedIsSilent,
    /// A subscription that comes back waits until the requests of its earlier life are over.
    EarlierLifeEndsFirst,
    /// While a commit takes too long nothing is sent.
    StallStopsSending,
    /// No attempt before its time.
    RetriesWait,
    /// After an unanswered request the object is told again, whatever was acknowledged before.
    UnansweredIsOwed,
    /// What may have reached the endpoint is told as Removed, acknowledged or not.
    MaybeToldIsRemoved,
    /// What was never sent is not told as Removed.
    NeverToldIsDropped,
    /// After a Removed that may have arrived comes New.
    NewAfterRemoved,
    /// What is unanswered outlives its leader.
    SendingOutlivesItsLeader,
    /// A row that is older than what was acknowledged or sent decides nothing.
    StaleRowsAreHeld,
    /// An object that cannot be read, or was not seen yet, is neither selected nor gone.
    UnknownIsHeld,
    /// What a list may have left out is not gone.
    UnreadIsNotGone,
    /// What a list may have left out stays among the rows.
    RowsOutliveHalfLists,
    /// An edit silences what it takes out of the selection, not what had left it before.
    EditsSilenceTheirOwn,
    /// A kind of change that is not subscribed to is not told.
    UnsubscribedIsAbsorbed,
    /// A baseline's mark is recorded before anything is adopted.
    MarkComesFirst,
    /// While a baseline is open nothing is declared.
    OpenBaselineIsSilent,
    /// A baseline adopts nothing that is newer than its mark.
    AdoptedUpToTheMark,
    /// A closed baseline adopts nothing.
    ClosedAdoptsNothing,
    /// What is unanswered is not adopted, such as a tombstone that is selected again.
    UnansweredIsNotAdopted,
    /// A watch that moves to another source silences nothing.
    MovesAreNoEdits,
    /// What was owed before an edit is not adopted by it.
    OwedIsPledged,
    /// Objects of one name are told one after the other.
    NamesakesInOrder,
    /// A newer object of its name proves that an object is gone.
    NamesProveTheEnd,
    /// The end of an old object is dropped once the endpoint has a new one of that name.
    OutdatedEndsAreDropped,
    /// What is given up for now may still have arrived.
    ParkedIsUnanswered,
    /// Giving up for now is recorded.
    ParksAreRecorded,
    /// Another state than the one that was given up is told.
    ChangeReleases,
    /// The end of an outage releases what it parked.
    RecoveryReleases,
    /// Another endpoint configuration releases what is parked.
    ConfigurationReleases,
    /// Whoever asks to be told everything again is.
    ResyncTellsAgain,
    /// Such a request is recorded.
    ResyncIsDurable,
    /// Fingerprints follow the recipe of the plan.
    RecipesAreFollowed,
    /// After a cluster was set back its former versions mean nothing.
    RewindForgetsVersions,
    /// That what was known is lost is noticed, and made up for.
    LossIsNoticed,
    /// Acknowledgements are committed in time, however little may be written.
    AcksNeverWait,
    /// A claim makes the former leader's writes fail.
    ClaimFences,
    /// Each claim raises the term, so that no name is used twice.
    ClaimRaisesTerm,
    /// A new leader's sequences are past every earlier one's, even if the ledger is lost.
    ClaimJumps,
    /// A commit's Head names the segments that the commit created.
    SegmentsAreListed,
    /// A segment that the Head does not name is not replayed.
    UnlistedIsGarbage,
    /// A fold keeps entries that were never acknowledged.
    FoldsKeepTheUnanswered,
    /// A fold builds on what was folded before.
    FoldsBuildOnShards,
    /// The right to act counts from the start of the renewal, not from its answer.
    LeaseCountsFromItsStart,
    /// Its holder stops before anybody may take it.
    HolderStopsInTime,
    /// Silence counts from when the record was last seen to change.
    SilenceStartsWithAChange,
}

impl Rule {
    /// Those that are not about the ledger and its slots, but about who may act.
    pub const OF_THE_LEASE: &[Self] =
        &[Self::LeaseCountsFromItsStart, Self::HolderStopsInTime, Self::SilenceStartsWithAChange];
}
