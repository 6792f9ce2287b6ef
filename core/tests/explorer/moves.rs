//! What may happen next in a world.

use std::fmt;

use crate::automaton::Reaction;
use crate::cluster::{Cluster, Edit, Sight};
use crate::durable::{brief, reach};
use crate::endpoint::Told;
use crate::operator::{Answer, Input};
use crate::world::{Commit, Leader, Model, Place, Request, Strays, World};

/// One step of a path.
#[derive(Clone, Debug)]
pub enum Move {
    Edit(Edit),
    /// A leader takes over; `true` if another one is still alive.
    Start(bool),
    RequestArrives(Told),
    CommitLands(u32),
    Leader(usize, Doing),
}

/// What a leader does, or what is done to it.
#[derive(Clone, Debug)]
pub enum Doing {
    Sees(Sight),
    SeesNamespace(bool),
    SeesPlan(u8),
    CommitLands(u32),
    /// Somebody else has written the ledger: the leader exits.
    CommitRefused,
    LearnsOfCommit,
    RequestArrives(Told),
    Answered(Told, Answer),
    TimePasses,
    Crashes,
}

/// A move, and the world after it or what it breaks.
pub type Step = (Move, Result<World, String>);

impl Model {
    pub fn moves(&mut self, world: &World) -> Vec<Step> {
        let mut steps = Vec::new();
        self.edits(world, &mut steps);
        self.takeovers(world, &mut steps);
        self.late_arrivals(world, &mut steps);
        for at in 0..2 {
            if world.leaders[at] != 0 {
                self.leader_moves(world, at, &mut steps);
            }
        }
        steps
    }

    fn edits(&mut self, world: &World, steps: &mut Vec<Step>) {
        if world.budget.edits == 0 {
            return;
        }
        for n in 0..self.setup.edits.len() {
            let edit = self.setup.edits[n];
            let Some((cluster, sight)) = self.clusters.get(world.cluster).edited(edit) else { continue };
            let mut next = *world;
            next.budget.edits -= 1;
            for leader in next.leaders.iter_mut().filter(|leader| **leader != 0) {
                let mut told = self.leaders.get(*leader).clone();
                match (edit, &sight) {
                    (Edit::Namespace, _) => told.namespaces.push_back(cluster.namespace),
                    (Edit::Plan(plan), _) => told.plans.push_back(plan),
                    (_, Some(sight)) => told.sights.push_back(sight.clone()),
                    (_, None) => {}
                }
                *leader = self.leaders.add(told);
            }
            next.cluster = self.clusters.add(cluster);
            steps.push((Move::Edit(edit), Ok(next)));
        }
    }

    fn takeovers(&mut self, world: &World, steps: &mut Vec<Step>) {
        let term = self.ledgers.get(world.ledger).term;
        let [first, second] = world.leaders.map(|leader| (leader != 0).then(|| self.leaders.get(leader).term));
        let full = first.is_some() && second.is_some();
        let led = [first, second].contains(&Some(term));
        if full || (led && world.budget.rivals == 0) {
            return;
        }
        let mut next = *world;
        next.budget.rivals -= u8::from(led);
        steps.push((Move::Start(first.is_some()), self.begin(next)));
    }

    /// A leader claims the ledger; the list it starts from is what the cluster is now.
    pub fn begin(&mut self, mut world: World) -> Result<World, String> {
        let claimed = self.ledgers.get(world.ledger).claimed();
        let (term, version, durable) = (claimed.term, claimed.version, claimed.entries.seq);
        let ledger = self.add_ledger(claimed);
        self.set_ledger(&mut world, ledger);
        let Self { automaton, setup, ledgers, clusters, .. } = self;
        let cluster = clusters.get(world.cluster);
        let reaction = automaton.start(setup, ledger, ledgers.get(ledger), cluster)?;
        let list = Sight::List(cluster.rv, cluster.objects().copied().collect());
        let leader = Leader { term, version, durable, sights: [list].into(), ..Leader::default() };
        let at = usize::from(world.leaders[0] != 0);
        self.react(world, at, leader, &reaction)
    }

    fn late_arrivals(&mut self, world: &World, steps: &mut Vec<Step>) {
        if world.strays == 0 {
            return;
        }
        let Strays { requests, commits } = self.strays.get(world.strays).clone();
        for told in requests {
            let mut next = *world;
            self.arrive(&mut next, told);
            steps.push((Move::RequestArrives(told), Ok(next)));
        }
        for batch in commits {
            let version = self.ledgers.get(world.ledger).version;
            if let Some(ledger) = self.landed(world.ledger, version, batch) {
                let mut next = *world;
                self.set_ledger(&mut next, ledger);
                steps.push((Move::CommitLands(batch), Ok(next)));
            }
        }
    }

    fn leader_moves(&mut self, world: &World, at: usize, steps: &mut Vec<Step>) {
        let leader = self.leaders.get(world.leaders[at]).clone();
        let mut push = |doing, step| steps.push((Move::Leader(at, doing), step));
        if let Some(sight) = leader.sights.front().cloned() {
            let mut leader = leader.clone();
            leader.sights.pop_front();
            push(Doing::Sees(sight.clone()), self.input(*world, at, leader, Input::Sees(sight)));
        }
        if let Some(&has) = leader.namespaces.front() {
            let mut leader = leader.clone();
            leader.namespaces.pop_front();
            push(Doing::SeesNamespace(has), self.input(*world, at, leader, Input::Namespace(has)));
        }
        if let Some(&plan) = leader.plans.front() {
            let mut leader = leader.clone();
            leader.plans.pop_front();
            push(Doing::SeesPlan(plan), self.input(*world, at, leader, Input::Replan(plan)));
        }
        match leader.commit {
            Some(Commit { batch, landed: false }) => match self.landed(world.ledger, leader.version, batch) {
                Some(ledger) => push(Doing::CommitLands(batch), Ok(self.commit_lands(*world, at, ledger))),
                None => push(Doing::CommitRefused, Ok(self.exit(*world, at))),
            },
            Some(Commit { batch, landed: true }) => {
                let number = self.automaton.batches.get(batch).number;
                let leader = Leader { commit: None, ..leader.clone() };
                push(Doing::LearnsOfCommit, self.input(*world, at, leader, Input::Committed(number)));
            }
            None => {}
        }
        for n in 0..leader.requests.len() {
            self.request_moves(world, at, &leader, n, &mut push);
        }
        if self.automaton.state(leader.operator).wakes {
            push(Doing::TimePasses, self.input(*world, at, leader, Input::Tick));
        }
        if world.budget.crashes > 0 {
            let mut next = self.exit(*world, at);
            next.budget.crashes -= 1;
            push(Doing::Crashes, Ok(next));
        }
    }

    fn request_moves(
        &mut self,
        world: &World,
        at: usize,
        leader: &Leader,
        n: usize,
        push: &mut impl FnMut(Doing, Result<World, String>),
    ) {
        let Request { attempt, at: place } = leader.requests[n];
        let told = self.automaton.told(attempt);
        let mut answered = leader.clone();
        answered.requests.remove(n);
        match place {
            Place::Stuck => return,
            Place::OnItsWay => {
                let (mut next, mut leader) = (*world, leader.clone());
                leader.requests[n].at = Place::Arrived;
                next.leaders[at] = self.leaders.add(leader);
                self.arrive(&mut next, told);
                push(Doing::RequestArrives(told), Ok(next));
                if world.budget.refused > 0 {
                    let mut next = *world;
                    next.budget.refused -= 1;
                    let input = Input::Answered(attempt, Answer::Refused);
                    push(Doing::Answered(told, Answer::Refused), self.input(next, at, answered.clone(), input));
                }
            }
            Place::Arrived => {
                let input = Input::Answered(attempt, Answer::Good);
                push(Doing::Answered(told, Answer::Good), self.input(*world, at, answered.clone(), input));
            }
        }
        if world.budget.lost > 0 {
            let mut next = *world;
            next.budget.lost -= 1;
            if place == Place::OnItsWay {
                self.add_stray_request(&mut next, told);
            }
            let input = Input::Answered(attempt, Answer::Lost);
            push(Doing::Answered(told, Answer::Lost), self.input(next, at, answered, input));
        }
    }

    fn input(&mut self, world: World, at: usize, leader: Leader, input: Input) -> Result<World, String> {
        let reaction = self.automaton.step(&self.setup, leader.operator, input)?;
        self.react(world, at, leader, &reaction)
    }

    /// The leader becomes what its reaction says; what it wishes is under way.
    fn react(&mut self, mut world: World, at: usize, mut leader: Leader, reaction: &Reaction) -> Result<World, String> {
        leader.operator = reaction.operator;
        if let Some(batch) = reaction.commit {
            if leader.commit.is_some() {
                return Err("two commits are under way".to_owned());
            }
            leader.commit = Some(Commit { batch, landed: false });
        }
        for &attempt in &reaction.requests {
            let told = self.automaton.told(attempt);
            self.check_request(&world, &leader, told)?;
            let mut endpoint = self.endpoints.get(world.endpoint).clone();
            endpoint.say(told, leader.term == self.ledgers.get(world.ledger).term)?;
            world.endpoint = self.endpoints.add(endpoint);
            let at = if world.budget.sends > 0 { Place::OnItsWay } else { Place::Stuck };
            world.budget.sends = world.budget.sends.saturating_sub(1);
            leader.requests.push(Request { attempt, at });
        }
        world.leaders[at] = self.leaders.add(leader);
        Ok(world)
    }

    fn check_request(&self, world: &World, leader: &Leader, told: Told) -> Result<(), String> {
        let Told { uid, sequence, .. } = told;
        let ledger = self.ledgers.get(world.ledger);
        let recorded = leader.term != ledger.term || ledger.has_sending(&crate::cluster::uid(uid), sequence);
        if sequence > leader.durable || !recorded {
            return Err(format!("#{sequence} of uid-{uid} is sent before its record is durable"));
        }
        if leader.requests.iter().any(|other| self.automaton.told(other.attempt).uid == uid) {
            return Err(format!("two requests are under way for uid-{uid}"));
        }
        if self.automaton.state(leader.operator).suspended {
            return Err(format!("#{sequence} of uid-{uid} is sent while the subscription is suspended"));
        }
        Ok(())
    }

    fn commit_lands(&mut self, mut world: World, at: usize, ledger: u32) -> World {
        self.set_ledger(&mut world, ledger);
        let mut leader = self.leaders.get(world.leaders[at]).clone();
        leader.version = self.ledgers.get(ledger).version;
        if let Some(commit) = &mut leader.commit {
            commit.landed = true;
            leader.durable = leader.durable.max(reach(self.automaton.batches.get(commit.batch)));
        }
        world.leaders[at] = self.leaders.add(leader);
        world
    }

    /// The leader is no more; what it had under way may still arrive.
    fn exit(&mut self, mut world: World, at: usize) -> World {
        let leader = self.leaders.get(world.leaders[at]).clone();
        world.leaders[at] = 0;
        if at == 0 {
            world.leaders = [world.leaders[1], 0];
        }
        for request in leader.requests.iter().filter(|request| request.at != Place::Arrived) {
            self.add_stray_request(&mut world, self.automaton.told(request.attempt));
        }
        if let Some(Commit { batch, landed: false }) = leader.commit
            && leader.version == self.ledgers.get(world.ledger).version
        {
            let mut strays = self.strays.get(world.strays).clone();
            strays.commits.insert(batch);
            world.strays = self.strays.add(strays);
        }
        world
    }

    fn add_stray_request(&mut self, world: &mut World, told: Told) {
        if !self.endpoints.get(world.endpoint).ignores(told) {
            let mut strays = self.strays.get(world.strays).clone();
            strays.requests.insert(told);
            world.strays = self.strays.add(strays);
        }
    }

    /// The endpoint gets a request; strays that it would ignore from now on are forgotten.
    fn arrive(&mut self, world: &mut World, told: Told) {
        let mut endpoint = self.endpoints.get(world.endpoint).clone();
        endpoint.receive(told);
        if world.strays != 0 {
            let mut strays = self.strays.get(world.strays).clone();
            strays.requests.retain(|stray| !endpoint.ignores(*stray));
            world.strays = self.strays.add(strays);
        }
        world.endpoint = self.endpoints.add(endpoint);
    }

    /// The ledger was written; commits on top of the version before are refused from now on.
    fn set_ledger(&mut self, world: &mut World, ledger: u32) {
        world.ledger = ledger;
        if world.strays != 0 {
            let mut strays = self.strays.get(world.strays).clone();
            strays.commits.clear();
            world.strays = self.strays.add(strays);
        }
    }

    pub fn cluster(&self, world: &World) -> &Cluster {
        self.clusters.get(world.cluster)
    }

    /// A move as a line of a story.
    pub fn tell(&self, step: &Move) -> String {
        let commit = |batch: &u32| brief(self.automaton.batches.get(*batch));
        match step {
            Move::Edit(edit) => format!("edit: {edit:?}"),
            Move::Start(false) => "a leader starts".to_owned(),
            Move::Start(true) => "a RIVAL takes over".to_owned(),
            Move::RequestArrives(told) => format!("a late request arrives: {told}"),
            Move::CommitLands(batch) => format!("a late commit lands: {}", commit(batch)),
            Move::Leader(at, doing) => {
                let what = match doing {
                    Doing::Sees(sight) => format!("sees {sight:?}"),
                    Doing::SeesNamespace(has) => format!("sees the namespace's label: {has}"),
                    Doing::SeesPlan(plan) => format!("gets plan {plan}"),
                    Doing::CommitLands(batch) => format!("its commit lands: {}", commit(batch)),
                    Doing::CommitRefused => "its commit is refused, it exits".to_owned(),
                    Doing::LearnsOfCommit => "learns that its commit landed".to_owned(),
                    Doing::RequestArrives(told) => format!("its request arrives: {told}"),
                    Doing::Answered(told, answer) => format!("is answered {answer:?}: {told}"),
                    Doing::TimePasses => "wakes up".to_owned(),
                    Doing::Crashes => "CRASHES".to_owned(),
                };
                format!("[{at}] {what}")
            }
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.content.map_or("", |content| if content == 0 { " A" } else { " B" });
        write!(f, "#{} {:?} uid-{}{content} rv {}", self.sequence, self.change, self.uid, self.rv)
    }
}
