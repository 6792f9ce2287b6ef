//! What may happen next in a world.

use std::collections::BTreeSet;
use std::fmt;

use changehook_core::plan::Change;

use crate::cluster::Edit;
use crate::durable::brief;
use crate::duty::Moment;
use crate::endpoint::Told;
use crate::leader::{Commit, Doing, Leader, Local, PLANS};
use crate::operator::Answer;
use crate::oracle::subsets;
use crate::world::{Model, World};

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    Edit(Edit),
    /// A leader takes over.
    Start {
        rival: bool,
        stale: bool,
    },
    /// The ledger is set back to a copy.
    Restore,
    /// A commit that outlived its writer.
    CommitLands(u32),
    Leader(usize, Doing),
    Crash(usize),
}

/// A move, and the world after it or what it breaks.
pub type Step = (Move, Result<World, String>);

impl Model {
    pub fn moves(&mut self, world: &World, steps: &mut Vec<Step>) {
        self.edited(world, steps);
        self.takeovers(world, steps);
        self.late_commits(world, steps);
        for at in 0..2 {
            if world.leaders[at] != 0 {
                self.leader_moves(world, at, steps);
            }
        }
    }

    fn edited(&mut self, world: &World, steps: &mut Vec<Step>) {
        if world.budget.edits == 0 {
            return;
        }
        let moment = self.moment(world);
        for edited in &*self.edits(world.cluster, moment) {
            let mut next = World { cluster: edited.cluster, ..*world };
            next.budget.edits -= 1;
            if world.budget.stale > 0 {
                next.past = (world.cluster, edited.feed, edited.news);
            }
            for leader in next.leaders.iter_mut().filter(|leader| **leader != 0) {
                *leader = self.with_news(*leader, edited.feed, edited.news);
            }
            steps.push((Move::Edit(self.setup.edits[edited.edit]), Ok(next)));
        }
    }

    /// A list that is older than what the ledger says of its source is not looked at.
    fn may_start_from_past(&self, world: &World) -> bool {
        let (past, ..) = world.past;
        let highest = self.ledgers.get(world.ledger).entries.sources.values().copied().max().unwrap_or(0);
        world.past != World::NO_PAST && (self.setup.new_sources || u64::from(self.clusters.get(past).rv) >= highest)
    }

    /// What matters of the time of an edit, where it does.
    fn moment(&self, world: &World) -> Moment {
        if !self.setup.adopts {
            return Moment { ready: true, unheard: false, plan_unheard: false };
        }
        let live = self.current(world).is_none_or(|leader| self.automaton.state(leader.operator).live);
        let alive = world.leaders.iter().filter(|leader| **leader != 0).map(|leader| self.leaders.get(*leader));
        let unheard = alive.clone().any(|leader| leader.feeds.iter().any(|feed| !feed.is_empty()));
        let plan_unheard = alive.clone().any(|leader| !leader.feeds[PLANS].is_empty());
        Moment { ready: live && self.ledgers.get(world.ledger).is_ready(), unheard, plan_unheard }
    }

    fn takeovers(&mut self, world: &World, steps: &mut Vec<Step>) {
        let [first, second] = world.leaders.map(|leader| leader != 0);
        let led = self.current(world).is_some();
        if (first && second) || (led && world.budget.rivals == 0) {
            return;
        }
        let mut next = *world;
        next.budget.rivals -= u8::from(led);
        let vacant = if led && !self.setup.old_leaders_go_on { self.depose(next) } else { Ok(next) };
        let begun = vacant.clone().and_then(|world| self.begin(world, false));
        steps.push((Move::Start { rival: led, stale: false }, begun));
        if world.budget.stale > 0 && self.may_start_from_past(world) {
            let begun = vacant.and_then(|world| self.begin(world, true));
            steps.push((Move::Start { rival: led, stale: true }, begun));
        }
        if !first && world.budget.restores > 0 {
            next.budget.restores -= 1;
            let ledger = self.ledgers.get(world.ledger).set_back_to(&self.copy);
            let ledger = self.add_ledger(ledger);
            self.set_ledger(&mut next, ledger);
            steps.push((Move::Restore, Ok(next)));
        }
    }

    /// The leader is alive and about to lose the ledger. From then on each of its commits is refused, so all that anybody
    /// can notice of it is requests for events that are durable already: those under way, their repetitions, which tell
    /// the same, and those that leave when it learns that its last commit landed. All of them may arrive or not, whatever
    /// it is shown meanwhile; so it is enough that it learns, and is gone. (A world with `old_leaders_go_on` has the rest.)
    fn depose(&mut self, mut world: World) -> Result<World, String> {
        let leader = self.leaders.get(world.leaders[0]).clone();
        if let Some(Commit { batch, landed: true }) = leader.commit {
            let learns = self.learns(&leader, batch);
            world = self.follow(world, 0, &learns)?;
        }
        let exits = self.exit(world, 0);
        exits.into_iter().next().ok_or_else(|| "it does not exit".to_owned())
    }

    /// A leader claims the ledger; the lists it starts from are what the cluster is now.
    pub fn begin(&mut self, mut world: World, stale: bool) -> Result<World, String> {
        let claimed = self.ledgers.get(world.ledger).claimed();
        let mut leader =
            Leader { term: claimed.term, version: claimed.version, durable: claimed.entries.seq, ..Leader::default() };
        let ledger = self.add_ledger(claimed);
        self.set_ledger(&mut world, ledger);
        let (past, feed, news) = world.past;
        for (kind, list) in self.lists(if stale { past } else { world.cluster }) {
            leader.feeds[kind as usize].push(list);
        }
        if stale {
            world.budget.stale -= 1;
            leader.feeds[feed as usize].push(news);
        }
        let Self { automaton, setup, ledgers, clusters, .. } = self;
        let reaction = automaton.start(setup, ledger, ledgers.get(ledger), clusters.get(world.cluster))?;
        let (number, started) = self.react(leader, &reaction)?;
        world.leaders[usize::from(world.leaders[0] != 0)] = number;
        let term = self.ledgers.get(ledger).term;
        self.say(&mut world, term, &started)?;
        Ok(world)
    }

    fn late_commits(&mut self, world: &World, steps: &mut Vec<Step>) {
        if world.strays == 0 {
            return;
        }
        for batch in self.strays.get(world.strays).commits.clone() {
            let version = self.ledgers.get(world.ledger).version;
            if let Some(landed) = self.landed(world.ledger, version, batch) {
                let mut next = *world;
                let landed = landed.map(|ledger| self.set_ledger(&mut next, ledger));
                steps.push((Move::CommitLands(batch), landed.map(|()| next)));
            }
        }
    }

    fn leader_moves(&mut self, world: &World, at: usize, steps: &mut Vec<Step>) {
        let version = self.leaders.get(world.leaders[at]).version;
        for local in &*self.locals(world.leaders[at]) {
            let mut next = *world;
            if let Doing::CommitArrives(batch) = local.doing {
                match self.landed(world.ledger, version, batch) {
                    Some(Ok(ledger)) => self.set_ledger(&mut next, ledger),
                    Some(Err(wrong)) => {
                        steps.push((Move::Leader(at, local.doing), Err(wrong)));
                        continue;
                    }
                    None => {
                        let exits = self.exit(next, at);
                        steps.extend(exits.into_iter().map(|next| (Move::Leader(at, local.doing), Ok(next))));
                        continue;
                    }
                }
            }
            steps.push((Move::Leader(at, local.doing), self.follow(next, at, local)));
        }
        if world.budget.answers > 0 {
            self.answers(world, at, steps);
        }
        if world.budget.crashes > 0 {
            let mut next = *world;
            next.budget.crashes -= 1;
            let exits = self.exit(next, at);
            steps.extend(exits.into_iter().map(|next| (Move::Crash(at), Ok(next))));
        }
    }

    fn answers(&mut self, world: &World, at: usize, steps: &mut Vec<Step>) {
        let number = world.leaders[at];
        for n in 0..self.leaders.get(number).requests.len() {
            let attempt = self.leaders.get(number).requests[n];
            let told = self.automaton.told(attempt);
            for answer in [Answer::Good, Answer::Lost, Answer::Refused] {
                let mut next = *world;
                next.budget.answers -= 1;
                let nexts = match answer {
                    Answer::Good => {
                        self.arrive(&mut next, told);
                        vec![next]
                    }
                    Answer::Lost if next.budget.lost > 0 => {
                        next.budget.lost -= 1;
                        self.lose_sight(next, [told].into())
                    }
                    Answer::Refused if next.budget.refused > 0 => {
                        next.budget.refused -= 1;
                        vec![next]
                    }
                    Answer::Lost | Answer::Refused => continue,
                };
                let local = self.answered(number, attempt, answer);
                for next in nexts {
                    steps.push((Move::Leader(at, local.doing), self.follow(next, at, &local)));
                }
            }
        }
    }

    /// The leader becomes what it becomes; the requests that it starts are noted.
    fn follow(&mut self, mut world: World, at: usize, local: &Local) -> Result<World, String> {
        let (number, started) = local.after.clone()?;
        let term = self.leaders.get(number).term;
        world.leaders[at] = number;
        self.say(&mut world, term, &started)?;
        Ok(world)
    }

    /// Requests are started by the leader of that term.
    fn say(&mut self, world: &mut World, term: u8, started: &[Told]) -> Result<(), String> {
        for &told in started {
            let ledger = self.ledgers.get(world.ledger);
            let current = ledger.term == term;
            if current && !ledger.has_sending(told.uid, told.sequence) {
                return Err(format!("{told} is sent, and the ledger has no record of it"));
            }
            if current && ledger.has_newer(told) {
                return Err(format!("{told} is told, and something newer was acknowledged"));
            }
            let departed = &self.clusters.get(world.cluster).departed;
            if told.change == Change::Removed && self.setup.blurs() && !departed.contains(&told.uid) {
                return Err(format!("{told} is told, and it was there all the time"));
            }
            let mut endpoint = self.endpoints.get(world.endpoint).clone();
            self.setup.check_change(&endpoint, told)?;
            endpoint.say(told, current, self.setup.new_sources)?;
            world.endpoint = self.endpoints.add(endpoint);
        }
        Ok(())
    }

    /// The leader is no more; what it had under way may still arrive.
    fn exit(&mut self, mut world: World, at: usize) -> Vec<World> {
        let leader = self.leaders.get(world.leaders[at]).clone();
        world.leaders[at] = 0;
        if at == 0 {
            world.leaders = [world.leaders[1], 0];
        }
        if let Some(Commit { batch, landed: false }) = leader.commit
            && leader.version == self.ledgers.get(world.ledger).version
        {
            let mut strays = self.strays.get(world.strays).clone();
            strays.commits.insert(batch);
            world.strays = self.strays.add(strays);
        }
        let unanswered = leader.requests.iter().map(|attempt| self.automaton.told(*attempt)).collect();
        self.lose_sight(world, unanswered)
    }

    /// Nobody will ever know whether these arrive, or when.
    fn lose_sight(&mut self, mut world: World, requests: BTreeSet<Told>) -> Vec<World> {
        if self.setup.by_name {
            // Whatever arrives, does so now.
            let arrived = subsets(&requests).into_iter().map(|requests| {
                let mut next = world;
                requests.into_iter().for_each(|told| self.arrive(&mut next, told));
                next
            });
            return arrived.collect();
        }
        let endpoint = self.endpoints.get(world.endpoint);
        let mut strays = self.strays.get(world.strays).clone();
        strays.requests.extend(requests.into_iter().filter(|told| !endpoint.ignores(*told)));
        world.strays = self.strays.add(strays);
        vec![world]
    }

    /// The endpoint has a request for certain; strays that it would ignore from now on are forgotten.
    fn arrive(&mut self, world: &mut World, told: Told) {
        let Self { endpoints, arrivals, .. } = self;
        world.endpoint = *arrivals.entry((world.endpoint, told)).or_insert_with(|| {
            let mut endpoint = endpoints.get(world.endpoint).clone();
            endpoint.receive(told);
            endpoints.add(endpoint)
        });
        if world.strays != 0 {
            let endpoint = self.endpoints.get(world.endpoint);
            let mut strays = self.strays.get(world.strays).clone();
            strays.requests.retain(|stray| !endpoint.ignores(*stray));
            world.strays = self.strays.add(strays);
        }
    }

    /// The ledger was written; commits on top of the version before are refused from now on.
    fn set_ledger(&mut self, world: &mut World, ledger: u32) {
        world.ledger = ledger;
        if world.strays != 0 && !self.strays.get(world.strays).commits.is_empty() {
            let mut strays = self.strays.get(world.strays).clone();
            strays.commits.clear();
            world.strays = self.strays.add(strays);
        }
    }

    /// A move as a line of a story.
    pub fn tell(&self, step: Move) -> String {
        let commit = |batch: u32| brief(self.automaton.batches.get(batch));
        match step {
            Move::Edit(edit) => format!("edit: {edit:?}"),
            Move::Start { rival, stale } => {
                let who = if rival { "a RIVAL takes over" } else { "a leader starts" };
                format!("{who}{}", if stale { ", with an OLD list" } else { "" })
            }
            Move::Restore => "the ledger is SET BACK to a copy".to_owned(),
            Move::CommitLands(batch) => format!("a late commit arrives: {}", commit(batch)),
            Move::Crash(at) => format!("[{at}] CRASHES"),
            Move::Leader(at, doing) => {
                let what = match doing {
                    Doing::Hears(news) => format!("hears {}", self.automaton.inputs.get(news)),
                    Doing::CommitArrives(batch) => format!("its commit arrives: {}", commit(batch)),
                    Doing::LearnsOfCommit => "learns that its commit landed".to_owned(),
                    Doing::Answered(told, answer) => format!("is answered {answer:?}: {told}"),
                    Doing::TimePasses => "wakes up".to_owned(),
                };
                format!("[{at}] {what}")
            }
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = [" A", " B", " A without label", " B without label"];
        let content = self.content.map_or("", |content| states[content as usize % 4]);
        write!(f, "#{} {:?} uid-{}{content} rv {}", self.sequence, self.change, self.uid, self.rv)
    }
}
