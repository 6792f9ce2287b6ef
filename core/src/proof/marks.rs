//! The branches of the protocol that a run is counted by. Touches nothing.

/// Defines the marks, and the list of them all.
macro_rules! marks {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A branch of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Mark {
            $($(#[$doc])+ $name,)+
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

marks! {
    /// An event was declared.
    Declared,
    /// Nothing may be written for a while.
    BudgetEmpty,
    /// With nothing left to write, a namespace has some of its share left.
    ShareSpent,
    /// A retry would have to be declared anew, and cannot be written.
    PoorRetry,
    /// Little may be written: commits are far apart.
    BudgetLow,
    /// A commit waited for its distance from the one before.
    Spaced,
    /// A commit takes so long that nothing is sent.
    Stalled,
    /// The tail was sealed into a segment.
    Sealed,
    /// The indexes are in a directory of their own.
    Directory,
    /// A ledger of another cluster, or a copy, was found.
    ClaimForeign,
    /// A Head that cannot be read was found.
    ClaimCorrupt,
    /// A part of a subscription's ledger was lost.
    LoadLost,
    /// A fold laid a subscription out anew.
    FoldAnew,
    /// A fold rewrote what was dirty.
    FoldDirty,
    /// A fold left out a subscription that is gone.
    FoldForgotten,
    /// What was known of a subscription that was deleted meanwhile was dropped.
    Swept,
    /// An index no longer names what is not there.
    Mended,
    /// It was time to fold.
    FoldDue,
    /// Nothing certain is known of the object.
    WantUnknown,
    /// The row is older than what was acknowledged or sent.
    WantBehind,
    /// An unanswered request: the row is wanted again.
    WantUnanswered,
    /// The row belongs to an open baseline.
    WantAdopt,
    /// The endpoint knows nothing of the object.
    WantNew,
    /// The endpoint has another content.
    WantOther,
    /// It was acknowledged before everything was asked for again.
    WantAgain,
    /// The endpoint has this very version.
    WantSameVersion,
    /// The endpoint has another version of the same content.
    WantSameContent,
    /// The endpoint has an object that is gone.
    WantAbsent,
    /// An object that is gone was never told.
    WantNothingAbsent,
    /// What is wanted was given up for now.
    WantParked,
    /// What an edit took out of the selection was forgotten.
    TombstoneDropped,
    /// A slot waits for its kind's first list.
    BaselineWaits,
    /// A slot waits for room in the ledger.
    RoomAwaited,
    /// What was owed as New is gone before it was told.
    PledgeDropped,
    /// An end is not subscribed to.
    EndAbsorbed,
    /// What was never told is gone.
    NeverToldDropped,
    /// New is not subscribed to.
    NewAbsorbed,
    /// Updated is not subscribed to.
    UpdatedAbsorbed,
    /// Without Updated, what is told again is New.
    ToldAgainAsNew,
    /// Something else is wanted than what was parked.
    ReleasedByChange,
    /// A slot waits for its retry.
    RetryWaits,
    /// A retry is due as soon as it is looked at.
    RetryRejoined,
    /// A row was adopted.
    Adopted,
    /// An event was declared while another of the slot's was unanswered.
    DeclaredAnew,
    /// A further attempt, or another leader, sends the event that was declared.
    SameEventAgain,
    /// What was declared was sent although the watch has shown more since.
    LaunchedBehind,
    /// A parked event was sent as a probe.
    LaunchedParked,
    /// What was declared is not wanted any more.
    LaunchWithheld,
    /// What was declared must not be sent now.
    LaunchSilenced,
    /// Something of ours was missing a moment ago.
    Paused,
    /// Requests of an earlier life of the subscription are under way.
    StillStopping,
    /// Others have all the permits there are.
    GateShut,
    /// Retries and probes have all the permits that they may.
    LateGateShut,
    /// What is left of a host's permits is for newcomers.
    RestGateShut,
    /// A subscription has as many requests under way as it may.
    LimitReached,
    /// A retry was started.
    RetryStarted,
    /// A probe was started.
    ProbeStarted,
    /// What the outage parked is tried.
    ProbeOfParked,
    /// A namesake goes first.
    Blocked,
    /// Whose turn it is has nothing to tell.
    NotNeededAfterAll,
    /// An answer came for a subscription that is gone.
    Leftover,
    /// No request was made for want of something of ours.
    Unsent,
    /// A row was acknowledged.
    Delivered,
    /// An end was acknowledged.
    EndDelivered,
    /// The endpoint does not know what it is told to forget.
    EndUnknown,
    /// A request failed that was made under a former configuration.
    OldConfiguration,
    /// A probe of what the outage parked failed.
    ProbeFailed,
    /// A request failed and is tried again.
    RetryScheduled,
    /// One object fails while others succeed.
    Poison,
    /// One object used up its attempts, and no other succeeded.
    Exhausted,
    /// A delivery was given up for good.
    Discarded,
    /// The outage parked an event.
    ParkedByOutage,
    /// An event was parked for its own sake.
    ParkedByEvent,
    /// What was parked is released while it is probed.
    ReleasedUnderWay,
    /// What was parked is released.
    Released,
    /// A new configuration makes an outage history.
    Afresh,
    /// What waited for a retry goes at once, to the new endpoint.
    RetryCutShort,
    /// An event was refused for what it says.
    RefusedAlone,
    /// An event was refused in a way that is not common yet.
    RefusedRarely,
    /// So many are refused that it is the endpoint.
    RefusedByAll,
    /// Several objects failed in a row.
    OpenedByStreak,
    /// A probe failed; the next one is later.
    ProbedInVain,
    /// A request that was no probe failed while one was due.
    TriedMeanwhile,
    /// The endpoint answers again: slowly at first.
    OutageOver,
    /// It goes on answering: faster.
    SlowStart,
    /// It goes on answering: as before.
    FullSpeed,
    /// There is nothing left to start slowly with.
    NothingWaits,
    /// A leader takes over an outage.
    OutageInherited,
    /// Somebody asks for another try during an outage.
    ProbedSoon,
    /// A kind's first list is complete: its baseline is opened.
    MarkSet,
    /// A leader goes on with a baseline that another had opened.
    MarkKept,
    /// A baseline is durable and closed.
    BaselineClosed,
    /// A list does not show an object that was known.
    FoundGone,
    /// An object that was gone as of too old a version is gone as of a newer list.
    GoneBelieved,
    /// A kind that is not installed any more takes its objects with it.
    GoneWithKind,
    /// A subscription is gone.
    Forgotten,
    /// A leader takes over what was parked.
    RestoredParked,
    /// What was parked under a former configuration is released by the next leader.
    RestoredReleased,
    /// A leader takes over an unanswered request, or a pledge.
    RestoredOwed,
    /// A kind left the plan.
    KindLeft,
    /// An object left the plan with its kind.
    Withdrawn,
    /// An object that was not seen yet left the plan with its kind.
    WithdrawnUnseen,
    /// An edit selects other objects; what is new among them is adopted.
    AdoptedAnew,
    /// An edit came before this leader has seen a list.
    EditedUnlisted,
    /// An edit selects other objects; what is new among them is told.
    ToldAnew,
    /// What is owed as New is kept from being adopted by an edit.
    Pledged,
    /// What was to be New after its end, when an edit came, still is.
    PledgeRenewed,
    /// A new object waits until the endpoint knows that the old one of its name is gone.
    WaitsForOld,
    /// The end of an old object waits for the new one of its name, which was tried first.
    WaitsForNew,
    /// The end of an old object waits for the end of the one that has its name now.
    WaitsForHeir,
    /// A row proves that the former owner of its name is gone.
    NamesakeProvedGone,
    /// A row from before what was seen of the object is not looked at.
    RowOutdated,
    /// A row from before the end of its object waits for a list that decides.
    RowBeforeItsEnd,
    /// A list shows an object that was taken for gone.
    EndDisproved,
    /// A list shows that what was declared, or acknowledged, as of a later version was an error.
    ShownConfirmed,
    /// A row is of an object whose name a newer one has by now.
    RowOfPredecessor,
    /// A row proves it of one that another source had shown.
    NamesakeReplaced,
    /// The endpoint has a newer object of that name: the end of the old one is dropped.
    NamesakeOutdated,
    /// A change became part of a later one before it was told.
    Merged,
    /// An edit takes an object out of the selection.
    Tombstoned,
    /// Something is shown of an object while a request about it is under way.
    ShownUnderWay,
    /// A commit went at once, because somebody waits for it.
    CommitUrgent,
    /// A commit went because a record had waited long enough.
    CommitPatient,
    /// A commit went because the leader stops.
    CommitDraining,
    /// What was lost is told again.
    LossReplayed,
    /// What was lost is taken as known.
    LossAdopted,
    /// What was lost is made up for.
    Recovered,
    /// Everything is told again.
    ResyncAll,
    /// What was given up is told again.
    ResyncParked,
    /// Fingerprints are made another way from here on.
    RecipeChanged,
    /// A clean entry was rewritten in the new way.
    Rewritten,
    /// An entry in the old way is not clean, and is told.
    NotRewritten,
    /// The cluster was set back.
    Rewound,
    /// There is room again for who awaited it.
    LetIn,
    /// There is no room for another slot.
    KeptOut,
}
