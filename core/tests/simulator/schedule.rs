//! What happens in one run, written down: a set-up, a list of steps, an end.
//!
//! Generators write schedules without looking at the world. Every number in a step is taken modulo what there is when the
//! step is played, and a step that means nothing then does nothing; so any step can be taken out, and what is left is
//! still a schedule. That is what shrinking needs.

use changehook_core::plan::{ChangeTypes, OnLoss};

/// What the run starts with, and what it may do.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Setup {
    /// Seed of what is neither a step nor a choice: jitter.
    pub seed: u64,
    pub subscriptions: usize,
    /// How many objects of each kind may exist at once.
    pub names: [usize; 2],
    pub max_in_flight: u32,
    pub max_retries: u32,
    /// So many requests may be under way in all, and to one host.
    pub caps: (u32, u32),
    /// Objects exist before the first baseline is set.
    pub populated: bool,
    /// Names are so long that a few records fill the journal's tail: segments are sealed, and folded soon.
    pub bulky: bool,
    /// A leader may be followed by another, in whatever way.
    /// How much of the ledger's forms may be lost: `None` for nothing, else what is done about it.
    pub losses: Option<OnLoss>,
    /// Existing objects are told when a subscription starts, or is edited.
    pub notify: bool,
    /// What is given up is given up for good.
    pub discard: bool,
    /// Little may be written into the ledger.
    pub poor: bool,
    /// So many entries a subscription may have.
    pub room: u64,
    /// The ledger is full of subscriptions that are gone.
    pub strangers: bool,
    /// Lists from before what was seen are believed: only the slots guard against them.
    pub gullible: bool,
    pub crashes: bool,
    pub edits: Edits,
    /// Which changes are told may be edited; then the oracle cannot know what an endpoint was told.
    pub change_types: bool,
    /// A request may arrive after its sender gave it up, and an old leader may go on.
    pub late: bool,
    pub changes: ChangeTypes,
    /// Compare the engine with itself after every so many steps.
    pub audit_every: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            subscriptions: 2,
            names: [3, 2],
            max_in_flight: 2,
            max_retries: 3,
            caps: (512, 32),
            populated: false,
            bulky: false,
            losses: None,
            notify: false,
            discard: false,
            poor: false,
            room: u64::MAX,
            strangers: false,
            gullible: false,
            crashes: true,
            edits: Edits::All,
            change_types: false,
            late: true,
            changes: ChangeTypes::ALL,
            audit_every: 1,
        }
    }
}

/// What may be edited of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edits {
    None,
    /// Only how it is sent, not what is selected.
    Sending,
    All,
}

/// How a run ends: what is done when the faults stop, and what must be true then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A new endpoint configuration releases everything; then every endpoint has exactly the selected objects.
    Repaired,
    /// Nobody touches anything; then every endpoint has exactly the selected objects, or they are reported as parked.
    ByItself,
    /// As `ByItself`, and a receiver that knows objects by their names alone ends right, too.
    ByName,
    /// Everything is subscribed to and every object changes: then every endpoint has it.
    Touched,
    /// As `Repaired`, and then a restart sends nothing.
    Restarted,
    /// As `Repaired`, but ends are not told.
    WithoutEnds,
    /// Nothing but ends was ever told.
    OnlyEnds,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub setup: Setup,
    pub steps: Vec<Step>,
    pub finish: Finish,
}

/// One thing that happens. `old` is for the leader that was taken over from, if it is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An object is created, or gets this content.
    Touch { kind: u8, name: u8, content: u8 },
    /// A label of an object comes or goes.
    Label { kind: u8, name: u8, label: u8 },
    /// An object is deleted, and perhaps created again at once under the same name.
    Delete { kind: u8, name: u8, again: bool },
    /// A kind is uninstalled, with all its objects, or installed again.
    Serve { kind: u8 },
    /// So many of the events that a watch has for a leader are heard.
    Hear { old: bool, kind: u8, events: u8 },
    /// A watch breaks and starts with a list; if `lossy`, what was not heard is never heard.
    Relist { kind: u8, lossy: bool },
    /// The list comes from an API server that is behind by so many changes.
    StaleList { kind: u8, behind: u8 },
    /// The list has an object that cannot be read, or, if `nameless`, one that cannot even be named.
    BrokenList { kind: u8, name: u8, nameless: bool },
    /// The next event of a watch is lost, and the connection stays.
    Swallow { kind: u8 },
    /// The watch shows an object that cannot be read.
    Garble { kind: u8, name: u8 },
    /// The watch breaks and starts with a list that leaves out an object which is there, and says nothing of that.
    Overlook { kind: u8, name: u8 },
    /// The watch of a kind moves to another source, which, if it is `busy`, was listed already for somebody else, so many
    /// changes ago.
    Move { kind: u8, busy: bool, behind: u8 },
    /// A request under way is answered, or not.
    Answer { old: bool, pick: u8, answer: Answer },
    /// A request that was given up arrives.
    Arrive { pick: u8 },
    /// An endpoint answers like this from now on, whatever the step says; `Fine` ends that.
    Endpoint { subscription: u8, answer: Answer },
    /// The commit under way goes on.
    Commit { old: bool, fate: Fate },
    /// A write of the Head that somebody gave up arrives.
    StrayCommit { pick: u8 },
    /// A fold that was begun is written out, or named by the Head.
    Fold { old: bool },
    /// Time goes by. A lazy operator does not wake when the engine asks for it, but only at the end.
    Wait { ms: u16, lazy: bool },
    /// Somebody sets the wall clock, by so many minutes.
    Clock { minutes: i8 },
    /// Another leader claims the ledger. `fate` is what becomes of the old one's commit, `bits` of its requests.
    TakeOver { paused: bool, fate: Fate, bits: u8 },
    /// As `TakeOver` from a leader that died, but a subscription was edited while nobody was there.
    EditedWhileDown { fate: Fate, bits: u8, subscription: u8, edit: Edit },
    /// The leader that was taken over from runs again, and acts.
    Wake,
    /// The leader stops as it should, and another one starts.
    Stop { bits: u8 },
    /// The cluster is restored from a backup that is so many changes old; whoever takes over finds out.
    SetBack { changes: u8, bits: u8 },
    /// The leader dies, and a part of the ledger is damaged before another takes over.
    Damage { how: Damage, pick: u8, bits: u8 },
    /// A subscription is edited.
    Edit { subscription: u8, edit: Edit },
}

/// What becomes of one write of the Head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is applied, and the answer says so.
    Lands,
    /// It is applied, and the answer is lost.
    LandsUnheard,
    /// It is refused or lost before it is applied.
    Fails,
    /// Nobody knows; it may be applied later.
    Strays,
}

/// What is done to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A form other than the Head is deleted,
    Deleted,
    /// or has a bit flipped.
    Flipped,
    HeadDeleted,
    HeadFlipped,
    /// The Head is stored in another object than the one that it was written for: it is a copy.
    Copied,
    AllDeleted,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Fine,
    /// The endpoint has it, but the sender is not told.
    Unheard,
    /// The endpoint has it, and answers 503.
    TakenAndRefused,
    /// The sender gives up; the request is still on its way.
    Late,
    Timeout,
    NoConnection,
    ServerError,
    /// 429 with a Retry-After of so many seconds.
    TooMany(u8),
    /// Refused for what it says.
    Unprocessable,
    Unauthorized,
    NotFound,
    Redirected,
    /// It does not fit; there is no answer at all.
    Oversize,
    /// No request was made: something of ours is missing.
    Unsent,
}

/// What is edited of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Suspend,
    Hold,
    /// A URL or a Secret: what was refused is tried again.
    Secret,
    Select {
        interest: u8,
        choice: u8,
    },
    /// The second kind leaves, or comes back with this selection.
    Kinds {
        choice: u8,
    },
    /// The namespace, so that the subscription that chooses namespaces by their labels chooses it no more, or again.
    Relabel,
    Host {
        choice: u8,
    },
    Width {
        max_in_flight: u8,
    },
    Changes {
        bits: u8,
    },
    /// What was given up, or everything, is asked to be told again.
    Resync {
        all: bool,
    },
    /// The subscription goes, or comes back as if it were new.
    Withdraw,
}

impl Edit {
    pub fn is_about_sending(self) -> bool {
        match self {
            Self::Suspend | Self::Hold | Self::Secret | Self::Host { .. } | Self::Width { .. } => true,
            Self::Select { .. }
            | Self::Kinds { .. }
            | Self::Relabel
            | Self::Changes { .. }
            | Self::Resync { .. }
            | Self::Withdraw => false,
        }
    }
}

impl Step {
    /// For counting: a number for each kind of step.
    pub fn index(self) -> usize {
        match self {
            Self::Touch { .. } => 0,
            Self::Label { .. } => 1,
            Self::Delete { .. } => 2,
            Self::Serve { .. } => 3,
            Self::Hear { .. } => 4,
            Self::Relist { .. } => 5,
            Self::StaleList { .. } => 6,
            Self::BrokenList { .. } => 7,
            Self::Swallow { .. } => 8,
            Self::Garble { .. } => 9,
            Self::Answer { .. } => 10,
            Self::Arrive { .. } => 11,
            Self::Endpoint { .. } => 12,
            Self::Commit { .. } => 13,
            Self::StrayCommit { .. } => 14,
            Self::Fold { .. } => 15,
            Self::Wait { .. } => 16,
            Self::Clock { .. } => 17,
            Self::TakeOver { .. } => 18,
            Self::EditedWhileDown { .. } => 19,
            Self::Wake => 20,
            Self::Stop { .. } => 21,
            Self::Edit { .. } => 22,
            Self::SetBack { .. } => 23,
            Self::Damage { .. } => 24,
            Self::Move { .. } => 25,
            Self::Overlook { .. } => 26,
        }
    }
}

/// The names of [`Step::index`].
pub const STEPS: [&str; 27] = [
    "touch",
    "label",
    "delete",
    "serve",
    "hear",
    "relist",
    "stale list",
    "broken list",
    "swallow",
    "garble",
    "answer",
    "arrive",
    "endpoint",
    "commit",
    "stray commit",
    "fold",
    "wait",
    "clock",
    "take over",
    "edited while down",
    "wake",
    "stop",
    "edit",
    "set back",
    "damage",
    "move",
    "overlook",
];
