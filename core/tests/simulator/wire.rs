//! Requests: what may leave, what becomes of it, and what its sender is told.

use std::time::Duration;

use changehook_core::engine::Attempt;
use changehook_core::outcome::{Class, Failure, Outcome, Reason, of_status};
use changehook_core::plan::Change;

use crate::commits::LONGEST_COMMIT;
use crate::endpoint::{About, Fate, about, key};
use crate::schedule::Answer;
use crate::world::World;

impl World {
    /// A request leaves: only what is durably declared, as it was declared, one for an object, not too many, not too
    /// early, and nothing again whose acknowledgement is durable.
    pub fn send(&mut self, at: usize, attempt: Attempt) {
        self.sent += 1;
        let About { object, content, .. } = about(&attempt);
        let event = &attempt.event;
        let id = &event.subscription;
        let number = self.number(id);
        self.tell(|| {
            let said = format!("{:?} {content:?} #{} as {}", event.change, event.sequence, attempt.number);
            format!("leader {at} sends {number} uid {object} {said}")
        });
        let current = at + 1 == self.leaders.len();
        let leader = &mut self.leaders[at];
        let plan = leader.plans[number].as_ref().expect("sent for a subscription that is not there");
        assert!(!plan.suspended && !plan.held, "sent while it must not");
        let commit_takes = leader.committing_since.map_or(0, |since| self.now.mono - since);
        assert!(commit_takes < LONGEST_COMMIT, "sent while nobody knows what is durable");
        let others = leader.requests.iter().filter(|other| other.event.subscription == *id);
        let under_way = others.clone().count();
        assert!(others.clone().all(|other| about(other).object != object), "two requests under way for uid {object}");
        assert!(under_way < plan.max_in_flight as usize || leader.narrowed, "more requests under way than allowed");
        assert!(leader.leftovers.iter().all(|other| other.event.subscription != *id), "sent beside an earlier life's");
        let (all, to_host) = self.setup.caps;
        let at_all = leader.requests.iter().chain(&leader.leftovers);
        assert!(at_all.clone().count() < all as usize, "more requests under way than the operator may have");
        let same_host = at_all.filter(|other| other.host == attempt.host).count();
        assert!(same_host < to_host as usize, "more requests under way to a host than allowed");
        let track = self.endpoints[number].track(object);
        let declared = track.event(event.sequence).expect("sent before its record was durable");
        assert_eq!(declared.change, event.change, "another change than was declared");
        let told = (event.change, content.filter(|_| self.contents_are_told));
        assert_eq!(*declared.told.get_or_insert(told), told, "one event id means two states");
        if current {
            let entry = self.durable.entries.books[id].entries.get(&key(&attempt));
            let sending = entry.and_then(|entry| entry.sending).map(|sending| sending.seq);
            assert_eq!(sending, Some(event.sequence), "not what the ledger says is being sent");
            assert!(!declared.settled, "sent again although its acknowledgement is durable");
            if let Some((before, failed_at)) = declared.failed
                && attempt.number == before + 1
                && attempt.number <= plan.retry.attempts()
            {
                let earliest = failed_at + plan.retry.delay_ms(before, 0, None);
                assert!(self.now.mono >= earliest, "attempt {} is too early", attempt.number);
            }
            match declared.fate {
                Fate::Unsent | Fate::Failed => {}
                Fate::UnderWay | Fate::Delivered => {
                    // Whoever took over could not know better: it was under way, or its answer was not durable yet.
                    self.counts.repeats += 1;
                    assert!(leader.repeats_left > 0, "more repeats than what was under way or just answered");
                    leader.repeats_left -= 1;
                }
            }
            declared.fate = Fate::UnderWay;
            if let Some(referee) = &mut self.referee {
                referee.sends(number, &attempt);
            }
        }
        leader.requests.push(attempt);
    }

    pub fn arrive(&mut self, attempt: &Attempt) {
        self.tell(|| format!("arrives: uid {} #{}", about(attempt).object, attempt.event.sequence));
        let number = self.number(&attempt.event.subscription);
        self.endpoints[number].receive(attempt);
    }

    /// Its sender gave it up, but it may arrive.
    pub fn give_up(&mut self, attempt: Attempt) {
        if self.setup.late {
            self.late.push(attempt);
        }
    }

    pub fn arrive_late(&mut self, pick: u8) {
        if !self.late.is_empty() {
            let attempt = self.late.swap_remove(usize::from(pick) % self.late.len());
            self.counts.late += 1;
            self.arrive(&attempt);
        }
    }

    pub fn answer_one(&mut self, old: bool, pick: u8, answer: Answer) {
        let Some(at) = self.leader(old) else { return };
        let leader = &mut self.leaders[at];
        if let Some(attempt) = leader.leftovers.pop() {
            self.may_be_told(&attempt);
            self.arrive(&attempt);
            self.leftover_answered(at, &attempt);
            if !old {
                self.pump(at);
            }
            return;
        }
        let requests = &mut leader.requests;
        if requests.is_empty() {
            return;
        }
        let attempt = requests.swap_remove(usize::from(pick) % requests.len());
        let number = self.number(&attempt.event.subscription);
        let answer = match self.endpoints[number].answers {
            Answer::Fine => answer,
            down => down,
        };
        self.settle_request(at, &attempt, answer);
        if !old {
            self.pump(at);
        }
    }

    /// What becomes of the request, and what its sender hears.
    pub fn settle_request(&mut self, at: usize, attempt: &Attempt, answer: Answer) {
        self.counts.answers[answer_number(answer)] += 1;
        match answer {
            Answer::Fine | Answer::Unheard | Answer::TakenAndRefused => self.arrive(attempt),
            Answer::Late => self.give_up(attempt.clone()),
            // Whoever does not know an object has no need to forget it.
            Answer::NotFound if attempt.event.change == Change::Removed => self.arrive(attempt),
            _ => {}
        }
        self.answer(at, attempt, outcome(answer));
    }

    /// The endpoint may have been told of it again.
    pub fn may_be_told(&mut self, attempt: &Attempt) {
        let number = self.number(&attempt.event.subscription);
        let silenced = &mut self.endpoints[number].track(about(attempt).object).silenced;
        *silenced = silenced.filter(|since| *since >= attempt.event.sequence);
    }

    fn answer(&mut self, at: usize, attempt: &Attempt, outcome: Outcome) {
        if !matches!(outcome, Outcome::Unsent { .. }) {
            self.may_be_told(attempt);
        }
        let About { object, content, .. } = about(attempt);
        let number = self.number(&attempt.event.subscription);
        let event = &attempt.event;
        self.tell(|| format!("leader {at} hears of {number} uid {object} #{}: {outcome:?}", event.sequence));
        if at + 1 == self.leaders.len() {
            let (now, sequence) = (self.now.mono, event.sequence);
            let track = self.endpoints[number].track(object);
            let over = match &outcome {
                Outcome::Delivered { .. } => true,
                Outcome::Failed(failure) => {
                    track.removed_failed |= content.is_none();
                    event.change == Change::Removed && matches!(failure.http_status, Some(404 | 410))
                }
                Outcome::Unsent { .. } => false,
            };
            if let Some(declared) = track.event(sequence) {
                match &outcome {
                    Outcome::Failed(failure) => {
                        // What was refused for its own sake is parked; whatever follows is a new delivery.
                        let retried = failure.class == Class::Endpoint;
                        declared.failed = retried.then_some((attempt.number, now));
                        declared.fate = if over { Fate::Delivered } else { Fate::Failed };
                    }
                    Outcome::Delivered { .. } => declared.fate = Fate::Delivered,
                    Outcome::Unsent { .. } => declared.fate = Fate::Failed,
                }
            }
            if over {
                self.leaders[at].unsaved.push((number, object, sequence, now));
            }
            self.inform_of_answer(number, attempt, &outcome);
        }
        let jitter = self.random.below(1 << 32) as u32;
        self.leaders[at].engine.answered(self.now, attempt, outcome, jitter);
    }
}

impl World {
    /// The answer to a request whose subscription went meanwhile.
    pub fn leftover_answered(&mut self, at: usize, attempt: &Attempt) {
        self.leaders[at].engine.answered(self.now, attempt, Outcome::Delivered { status: 200 }, 0);
    }
}

fn answer_number(answer: Answer) -> usize {
    match answer {
        Answer::Fine => 0,
        Answer::Unheard => 1,
        Answer::TakenAndRefused => 2,
        Answer::Late => 3,
        Answer::Timeout => 4,
        Answer::NoConnection => 5,
        Answer::ServerError => 6,
        Answer::TooMany(_) => 7,
        Answer::Unprocessable => 8,
        Answer::Unauthorized => 9,
        Answer::NotFound => 10,
        Answer::Redirected => 11,
        Answer::Oversize => 12,
        Answer::Unsent => 13,
    }
}

/// The names of the answers, as they are counted.
pub const ANSWERS: [&str; 14] = [
    "delivered",
    "answer lost",
    "taken and refused",
    "late",
    "timeout",
    "no connection",
    "503",
    "429",
    "422",
    "401",
    "404",
    "302",
    "oversize",
    "unsent",
];

/// What the sender is told.
fn outcome(answer: Answer) -> Outcome {
    match answer {
        Answer::Fine => Outcome::Delivered { status: 200 },
        Answer::Unheard | Answer::Late | Answer::Timeout => failed(Class::Endpoint, Reason::Timeout),
        Answer::TakenAndRefused | Answer::ServerError => of_status(503, &[], None),
        Answer::NoConnection => failed(Class::Endpoint, Reason::ConnectFailed),
        Answer::TooMany(seconds) => of_status(429, &[429], Some(Duration::from_secs(u64::from(seconds)))),
        Answer::Unprocessable => of_status(422, &[], None),
        Answer::Unauthorized => of_status(401, &[], None),
        Answer::NotFound => of_status(404, &[], None),
        Answer::Redirected => of_status(302, &[], None),
        Answer::Oversize => failed(Class::Event, Reason::Oversize),
        Answer::Unsent => Outcome::Unsent { message: String::new() },
    }
}

fn failed(class: Class, reason: Reason) -> Outcome {
    Outcome::Failed(Failure { class, reason, http_status: None, message: String::new(), retry_after: None })
}
