//! The operator in its world: leaders with their selection and engine, the ledger, the cluster, the endpoints.
//!
//! Every check that can be made on the way is made where the thing happens (`wire`, `commits`); what must be true in the
//! end is in `oracle`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use changehook_core::Now;
use changehook_core::engine::{Action, Attempt, Batch, Caps, Engine, Limits, Settings};
use changehook_core::ledger::budget::Allowance;
use changehook_core::object::SourceEvent;
use changehook_core::plan::{Plan, SubscriptionId};
use changehook_core::select::{Observation, Selection};

use crate::cluster::{KINDS, Kind};
use crate::counts::Counts;
use crate::durable::{Durable, Folding, Hold, Put};
use crate::edits::plan;
use crate::endpoint::Endpoint;
use crate::random::Random;
use crate::referee::Referee;
use crate::schedule::{Setup, Step};
use crate::watches::Sights;

/// One operator process that has, or had, the Lease.
pub struct Leader {
    pub engine: Engine,
    pub selection: Selection,
    /// What each watch has to say and was not heard yet.
    pub watches: [VecDeque<SourceEvent>; KINDS],
    pub listing: [bool; KINDS],
    /// Of which kinds it may watch a namespace only.
    pub narrow: [bool; KINDS],
    /// As it knows them; none while the subscription is not there.
    pub plans: Vec<Option<Plan>>,
    pub sights: Vec<Sights>,
    pub hold: Hold,
    /// The write of the Head under way.
    pub put: Option<Put>,
    /// To be written when that is done.
    pub queued: Option<Batch>,
    /// When the commit under way was asked for.
    pub committing_since: Option<u64>,
    pub folding: Option<Folding>,
    /// Requests under way.
    pub requests: Vec<Attempt>,
    /// Requests under way for subscriptions that went meanwhile.
    pub leftovers: Vec<Attempt>,
    /// Answered, and not durable: subscription, object, sequence, when.
    pub unsaved: Vec<(usize, usize, u64, u64)>,
    /// Events that may have been under way or answered when it took over.
    pub repeats_left: usize,
    /// A subscription may have fewer requests under way than it did.
    pub narrowed: bool,
}

pub struct World {
    pub setup: Setup,
    /// For jitter alone.
    pub random: Random,
    pub now: Now,
    pub rv: u64,
    pub was_set_back: bool,
    /// Objects that a list or a watch did not show although they were there: it seems to prove that they are gone.
    pub overlooked: BTreeSet<usize>,
    pub uids: Uids,
    /// How many leaders there were.
    pub claims: u64,
    pub kinds: [Kind; KINDS],
    pub durable: Durable,
    /// The present one last; at most one that was taken over from before it.
    pub leaders: Vec<Leader>,
    /// As users want them.
    pub plans: Vec<Plan>,
    /// The highest sequence that each one's status has seen in the ledger, once it was ready.
    pub status: Vec<Option<u64>>,
    /// Requests to tell again, so far.
    pub requests: u64,
    /// Whether each subscription exists.
    pub there: Vec<bool>,
    pub endpoints: Vec<Endpoint>,
    /// Requests that their sender gave up, and that may arrive all the same.
    pub late: Vec<Attempt>,
    /// Writes of the Head that may arrive all the same.
    pub strays: Vec<Put>,
    /// Contents can be compared: change types were never edited, and Updated is told.
    pub contents_are_told: bool,
    pub sent: u64,
    pub counts: Counts,
    pub referee: Option<Box<Referee>>,
    /// To be used again.
    pub seen: Vec<Observation>,
    /// The last of the leaders is dead.
    pub forsaken: bool,
    until_audit: u32,
    trace: bool,
}

/// Numbers for new objects.
pub struct Uids(u64);

impl Uids {
    pub fn next(&mut self) -> Arc<str> {
        self.0 += 1;
        self.0.to_string().into()
    }
}

impl World {
    pub fn new(setup: Setup, refereed: bool, trace: bool) -> Self {
        let names = setup.names;
        let plans: Vec<Plan> = (0..setup.subscriptions).map(|number| plan(&setup, number)).collect();
        let mut world = Self {
            random: Random::new(setup.seed),
            now: Now { mono: 0, wall: 1_800_000_000_000 },
            rv: 10,
            was_set_back: false,
            overlooked: BTreeSet::new(),
            uids: Uids(0),
            claims: 0,
            kinds: [
                Kind::new("v1", "ConfigMap", names[0], setup.bulky),
                Kind::new("example.io/v1", "Widget", names[1], setup.bulky),
            ],
            durable: if setup.strangers { Durable::of_strangers(70) } else { Durable::default() },
            leaders: Vec::new(),
            status: vec![None; plans.len()],
            requests: 0,
            there: vec![true; plans.len()],
            endpoints: plans.iter().map(|_| Endpoint::new()).collect(),
            late: Vec::new(),
            strays: Vec::new(),
            contents_are_told: setup.changes.updated && !setup.change_types,
            sent: 0,
            counts: Counts::default(),
            referee: None,
            seen: Vec::new(),
            forsaken: false,
            until_audit: 0,
            trace,
            plans,
            setup,
        };
        if refereed {
            let fps = |number| [0, 1, 2, 3].map(|content| world.fingerprint(number, content));
            world.referee = Some(Box::new(Referee::new((0..world.plans.len()).map(fps).collect())));
        }
        if world.setup.populated {
            for kind in 0..KINDS as u8 {
                for name in 0..3 {
                    world.change(Step::Touch { kind, name, content: name % 2 });
                    world.change(Step::Label { kind, name, label: name });
                }
            }
        }
        world.start();
        if !world.setup.populated {
            // The promises hold from Ready=True on: the empty baseline is durable before the first change.
            world.settle();
        }
        world
    }

    /// With tracing the schedule is told as it goes.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>7} {}", self.now.mono, what());
        }
    }

    pub fn number(&self, id: &SubscriptionId) -> usize {
        self.number_of(id).unwrap()
    }

    /// `None` for a stranger.
    pub fn number_of(&self, id: &SubscriptionId) -> Option<usize> {
        self.plans.iter().position(|plan| plan.id == *id)
    }

    /// The present leader, or the old one if there is one.
    pub fn leader(&self, old: bool) -> Option<usize> {
        let current = self.leaders.len() - 1;
        if old { current.checked_sub(1) } else { Some(current) }
    }

    pub fn current(&mut self) -> &mut Leader {
        self.leaders.last_mut().expect("there always is a leader")
    }

    pub fn new_leader(&mut self, repeats_left: usize) -> Leader {
        self.claims += 1;
        let caps = Caps { global: self.setup.caps.0, per_host: self.setup.caps.1 };
        let (hold, durable) = self.durable.claim(self.claims);
        let mut settings = Settings { caps, ..Settings::default() };
        if self.setup.poor {
            settings.allowance = Allowance { rate: 700, burst: 900 };
        }
        let room = self.setup.room;
        settings.limits = Limits { namespaced: room, cluster_wide: room, ..Limits::default() };
        if self.setup.bulky {
            (settings.fold_every, settings.fold_segments) = (20_000, 3);
        }
        Leader {
            engine: Engine::claim(settings, durable, self.now),
            selection: Selection::new(),
            watches: Default::default(),
            listing: [false; KINDS],
            narrow: [false; KINDS],
            plans: vec![None; self.plans.len()],
            sights: vec![Sights::default(); self.plans.len()],
            hold,
            put: None,
            queued: None,
            committing_since: None,
            folding: None,
            requests: Vec::new(),
            leftovers: Vec::new(),
            unsaved: Vec::new(),
            repeats_left,
            narrowed: false,
        }
    }

    /// What the driver does until there is nothing to do.
    pub fn pump(&mut self, at: usize) {
        while let Some(action) = self.leaders[at].engine.poll(self.now) {
            match action {
                Action::Commit(batch) => self.begin_commit(at, batch),
                Action::Fold => self.begin_fold(at),
                Action::Send(attempt) => self.send(at, *attempt),
            }
        }
        self.check_patience(at);
        if self.until_audit == 0 {
            self.until_audit = self.setup.audit_every;
            self.audit(at);
        }
        self.until_audit -= 1;
    }

    pub fn audit(&self, at: usize) {
        let findings = self.leaders[at].engine.audit();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    pub fn play(&mut self, step: Step) {
        self.counts.steps[step.index()] += 1;
        self.tell(|| format!("== {step:?}"));
        match step {
            Step::Touch { .. } | Step::Label { .. } | Step::Delete { .. } | Step::Serve { .. } => self.change(step),
            Step::Hear { .. }
            | Step::Relist { .. }
            | Step::StaleList { .. }
            | Step::BrokenList { .. }
            | Step::Swallow { .. }
            | Step::Garble { .. }
            | Step::Overlook { .. }
            | Step::Move { .. } => self.watch(step),
            Step::Answer { old, pick, answer } => self.answer_one(old, pick, answer),
            Step::Arrive { pick } => self.arrive_late(pick),
            Step::Endpoint { subscription, answer } => {
                let number = usize::from(subscription) % self.endpoints.len();
                self.endpoints[number].answers = answer;
            }
            Step::Commit { old, fate } => self.commit(old, fate),
            Step::StrayCommit { pick } => self.land_stray(pick),
            Step::Fold { old } => self.fold(old),
            Step::Wait { ms, lazy } => self.wait(u64::from(ms), lazy),
            // Without a ledger the clock is all that is left to count by.
            Step::Clock { minutes } if self.setup.losses.is_none() => self.now.wall += i64::from(minutes) * 60_000,
            Step::Clock { .. } => {}
            Step::TakeOver { .. }
            | Step::EditedWhileDown { .. }
            | Step::Wake
            | Step::Stop { .. }
            | Step::SetBack { .. }
            | Step::Damage { .. } => {
                self.succeed(step);
            }
            Step::Edit { subscription, edit } => self.edit(usize::from(subscription), edit, true),
        }
    }

    /// Time goes by, and the engine is woken when it asks for it, or, by a lazy operator, at the end.
    fn wait(&mut self, ms: u64, lazy: bool) {
        let until = self.now.mono + ms;
        let at = self.leaders.len() - 1;
        if !lazy {
            while let Some(wake) = self.leaders[at].engine.wake_at().filter(|wake| *wake <= until) {
                self.advance(wake.saturating_sub(self.now.mono));
                self.pump(at);
                let next = self.leaders[at].engine.wake_at();
                assert!(next.is_none_or(|next| next > wake), "woken for nothing");
            }
        }
        self.advance(until - self.now.mono);
        self.pump(at);
    }

    pub fn advance(&mut self, by: u64) {
        self.now = Now { mono: self.now.mono + by, wall: self.now.wall + by as i64 };
    }
}
