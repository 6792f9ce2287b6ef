//! One leader after the other: by a crash, by a pause that is noticed too late, or as it should be.

use changehook_core::engine::Attempt;
use changehook_core::object::Unreadable;
use changehook_core::plan::OnLoss;

use crate::cluster::{KINDS, Kind};
use crate::durable::Outcome;
use crate::edits::Why;
use crate::schedule::{Answer, Fate, Step};
use crate::world::World;

impl World {
    pub fn succeed(&mut self, step: Step) {
        if !self.setup.crashes {
            return;
        }
        match step {
            Step::TakeOver { paused, fate, bits } => {
                self.lose_leader(paused && self.setup.late, fate, bits);
                self.start();
            }
            Step::EditedWhileDown { fate, bits, subscription, edit } => {
                self.lose_leader(false, fate, bits);
                self.edit(usize::from(subscription), edit, false);
                self.start();
            }
            Step::Wake => {
                if let Some(at) = self.leader(true) {
                    self.pump(at);
                }
            }
            Step::Stop { bits } => self.stop(bits),
            Step::SetBack { changes, bits } => {
                self.lose_leader(false, Fate::Fails, bits);
                self.set_back(usize::from(changes));
                self.start();
            }
            Step::Damage { how, pick, bits } if self.setup.losses.is_some() => {
                self.lose_leader(false, Fate::Fails, bits);
                self.durable.damage(how, pick);
                self.note_what_was_told();
                // It takes a while until somebody else has the Lease.
                self.advance(10_000);
                self.start();
                self.note_loss();
            }
            Step::Damage { .. } => {}
            _ => unreachable!("nobody takes over"),
        }
    }

    /// The leader is gone, or only seems to be.
    fn lose_leader(&mut self, paused: bool, fate: Fate, bits: u8) {
        self.tell(|| format!("the leader is {}", if paused { "paused" } else { "dead" }));
        if let Some(put) = self.current().put.clone() {
            match fate {
                _ if self.durable.read(&put) == Outcome::Applied => {}
                Fate::Lands | Fate::LandsUnheard => assert!(self.land(&put), "refused, although nobody else wrote"),
                Fate::Strays if self.strays.len() < 4 => self.strays.push(put),
                Fate::Fails | Fate::Strays => {}
            }
        }
        let leader = self.current();
        leader.repeats_left += leader.requests.len() + leader.unsaved.len();
        let requests: Vec<Attempt> = leader.requests.clone();
        let abandoned = if paused { Vec::new() } else { std::mem::take(&mut leader.requests) };
        let leftovers = if paused { Vec::new() } else { std::mem::take(&mut leader.leftovers) };
        for attempt in &requests {
            self.may_be_told(attempt);
        }
        self.abandon(abandoned.into_iter().chain(leftovers), bits);
        if self.leaders.len() > 1 {
            // Of two that were taken over from, the older one is dead by now.
            let oldest = self.leaders.remove(0);
            self.abandon(oldest.requests.into_iter().chain(oldest.leftovers), bits >> 2);
        }
        self.forsaken = !paused;
    }

    /// Requests whose sender is gone: they have arrived, will arrive, or never will.
    fn abandon(&mut self, requests: impl Iterator<Item = Attempt>, bits: u8) {
        let requests: Vec<Attempt> = requests.collect();
        for (at, attempt) in requests.into_iter().enumerate() {
            match (bits >> (at % 4 * 2)) & 3 {
                0 | 1 => self.arrive(&attempt),
                2 => self.give_up(attempt),
                _ => {}
            }
        }
    }

    /// A leader claims the ledger, is given its plans, and lists.
    pub fn start(&mut self) {
        let repeats_left = self.leaders.last().map_or(0, |leader| leader.repeats_left);
        if std::mem::take(&mut self.forsaken) {
            self.leaders.pop();
        }
        if let Some(leader) = self.leaders.last() {
            for (status, plan) in self.status.iter_mut().zip(&self.plans) {
                let view = leader.engine.view(self.now, &plan.id);
                *status = view.filter(|view| view.baseline_at.is_some()).map(|view| view.sequence).or(*status);
            }
        }
        for endpoint in &mut self.endpoints {
            for declared in endpoint.tracks.iter_mut().flat_map(|track| &mut track.declared) {
                declared.failed = None;
            }
        }
        let mut leader = self.new_leader(repeats_left);
        let rv = self.rv;
        let knows_later = |source| leader.engine.highest_version(&source).is_some_and(|floor| rv < floor);
        let is_back = |kind: &Kind| [false, true].into_iter().any(|narrow| knows_later(kind.source(narrow)));
        let rewound = self.kinds.iter().any(is_back);
        if rewound {
            self.tell(|| "the cluster was set back".to_owned());
            leader.engine.rewind(self.now);
        }
        self.leaders.push(leader);
        let at = self.leaders.len() - 1;
        self.tell(|| format!("leader {at} takes over"));
        if let Some(referee) = &mut self.referee {
            referee.takes_over();
        }
        for number in 0..self.plans.len() {
            if self.there[number] {
                self.assign(number, Why::Begins);
            }
        }
        let known = self.plans.iter().zip(&self.there).filter(|(_, there)| **there).map(|(plan, _)| plan.id.clone());
        self.leaders[at].engine.sweep(self.now, &known.collect());
        let sequence = self.leaders[at].engine.sequence();
        for number in 0..self.plans.len() {
            if !self.there[number] {
                self.silence(number, sequence);
            }
        }
        for kind in 0..KINDS {
            self.list_for(at, kind, 0, Unreadable::Named(Vec::new()), true);
        }
        self.pump(at);
        if rewound {
            // It is the first thing that is written: versions may catch up, and then nothing shows it any more.
            self.commit(false, Fate::Lands);
        }
    }

    /// The leader finishes what is under way, writes what it knows, and goes; then nothing may be told twice.
    fn stop(&mut self, bits: u8) {
        let at = self.leaders.len() - 1;
        self.leaders[at].engine.drain();
        self.pump(at);
        for turn in 0..64_u32 {
            self.fold(false);
            self.commit(false, Fate::Lands);
            if !self.leaders[at].requests.is_empty() {
                let well = (bits >> (turn % 8)) & 1 == 0;
                self.answer_one(false, bits, if well { Answer::Fine } else { Answer::ServerError });
            } else if let Some(attempt) = self.leaders[at].leftovers.pop() {
                self.arrive(&attempt);
                self.leftover_answered(at, &attempt);
            } else if self.leaders[at].engine.is_drained() {
                break;
            }
        }
        assert!(self.leaders[at].engine.is_drained(), "it does not stop");
        assert!(self.leaders[at].unsaved.is_empty(), "stopped with an answer that is not durable");
        self.forsaken = true;
        self.start();
    }

    /// Of what was known when the status last said so, nothing may be adopted if it is lost now.
    fn note_what_was_told(&mut self) {
        for (status, endpoint) in self.status.iter().zip(&mut self.endpoints) {
            let replayed = status.is_some() && self.setup.losses == Some(OnLoss::Replay);
            for track in &mut endpoint.tracks {
                track.lost = replayed && !track.declared.is_empty();
            }
        }
    }

    /// What was lost cannot be told: an end whose beginning nobody knows of, and what was acknowledged already.
    fn note_loss(&mut self) {
        let leader = self.leaders.last_mut().expect("there always is a leader");
        let sequence = leader.engine.sequence();
        leader.repeats_left = usize::MAX / 2;
        for number in 0..self.plans.len() {
            self.silence(number, sequence);
        }
        for track in self.endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.tracks) {
            track.declared.iter_mut().for_each(|declared| declared.settled = false);
            track.lost_until = sequence;
        }
    }
}
