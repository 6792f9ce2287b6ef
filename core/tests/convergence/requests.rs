//! Requests under way: what becomes of them, and what the engine is told.

use changehook_core::engine::Attempt;
use changehook_core::event::event_id;
use changehook_core::outcome::{Class, Failure, Outcome, Reason};

use crate::receiver::about;
use crate::world::World;

impl World {
    pub fn arrive(&mut self, attempt: &Attempt) {
        self.tell(|| format!("arrives {} #{}", about(attempt).0.uid, attempt.event.sequence));
        let number = self.number(&attempt.event.subscription);
        let contents_are_told = self.options.changes.updated && !self.options.change_types;
        self.receivers[number].receive(attempt, contents_are_told);
    }

    pub fn answer_one(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let at = self.random.below(self.requests.len() as u64) as usize;
        let attempt = self.requests.swap_remove(at);
        let number = self.number(&attempt.event.subscription);
        let outcome = match self.random.below(10) {
            _ if self.down[number] => failed(Class::Endpoint, None),
            0 => failed(Class::Endpoint, Some(503)),
            1 => failed(Class::Event, Some(422)),
            2 => failed(Class::Event, Some(401)),
            3 => Outcome::Unsent { message: "no Secret".to_owned() },
            _ => Outcome::Delivered { status: 200 },
        };
        match &outcome {
            Outcome::Delivered { .. } => self.arrive(&attempt),
            Outcome::Unsent { .. } => {}
            // Nobody knows whether it arrived, or will.
            Outcome::Failed(_) => match self.random.below(4) {
                0 => self.arrive(&attempt),
                1 if self.options.late => self.late.push(attempt.clone()),
                _ => {}
            },
        }
        self.answer(&attempt, outcome);
    }

    /// The endpoint may have been told of it again.
    pub fn may_be_told(&mut self, attempt: &Attempt) {
        let number = self.number(&attempt.event.subscription);
        let (key, ..) = about(attempt);
        self.notes[number].silenced.retain(|uid, since| *uid != key.uid || *since >= attempt.event.sequence);
    }

    pub fn answer(&mut self, attempt: &Attempt, outcome: Outcome) {
        if !matches!(outcome, Outcome::Unsent { .. }) {
            self.may_be_told(attempt);
        }
        let (key, content, _) = about(attempt);
        let id = &attempt.event.subscription;
        let number = self.number(id);
        self.tell(|| format!("answer {number} {} #{} {outcome:?}", key.uid, attempt.event.sequence));
        if matches!(outcome, Outcome::Failed(_)) {
            let event = event_id(&id.uid, &key.uid, attempt.event.sequence);
            self.notes[number].failed.insert(event, (attempt.number, self.now.mono));
            if content.is_none() {
                self.notes[number].removed_failed.insert(key.uid);
            }
        }
        let jitter = self.random.below(1 << 32) as u32;
        self.engine.answered(self.now, attempt, outcome, jitter);
    }
}

fn failed(class: Class, http_status: Option<u16>) -> Outcome {
    Outcome::Failed(Failure { class, reason: Reason::Timeout, http_status, message: String::new(), retry_after: None })
}
