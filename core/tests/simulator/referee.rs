//! Holds the engine against the reference model, record by record and request by request.
//!
//! What the engine is told is kept with the journal's sequence at that moment; so when a batch comes out, inputs and
//! records are played to the model in the order in which the engine had them.

use std::collections::VecDeque;

use changehook_core::engine::{Attempt, Batch};
use changehook_core::ledger::{Fact, Record};
use changehook_core::outcome::Outcome;
use changehook_core::plan::Change;
use changehook_core::select::{Observation, Seen};

use crate::cluster::content;
use crate::endpoint::{about, name_of, number_of};
use crate::reference::{Book, Input, Known, Want};
use crate::world::World;

pub struct Referee {
    /// Fingerprints, by subscription and content.
    fps: Vec<[u64; 4]>,
    /// As the engine has it, up to the last batch.
    memory: Vec<Book>,
    durable: Vec<Book>,
    /// What the engine was told since.
    inputs: VecDeque<(u64, usize, Input)>,
    /// Declared by this leader and not sent yet: subscription, sequence.
    fresh: Vec<(usize, u64)>,
}

impl Referee {
    pub fn new(fps: Vec<[u64; 4]>) -> Self {
        let books = vec![Book::new(); fps.len()];
        Self { fps, memory: books.clone(), durable: books, inputs: VecDeque::new(), fresh: Vec::new() }
    }

    /// Another leader has what is durable, and nothing else.
    pub fn takes_over(&mut self) {
        self.memory = self.durable.iter().map(Book::taken_over).collect();
        self.inputs.clear();
        self.fresh.clear();
    }

    pub fn reads(&mut self, number: usize, record: &Record) {
        self.durable[number].record(record.seq, &record.fact);
    }

    fn drafts(&mut self, batch: &Batch, numbers: impl Fn(&Record) -> Option<usize>) {
        for record in &batch.records {
            while self.inputs.front().is_some_and(|(stamp, ..)| *stamp < record.seq)
                && let Some((_, number, input)) = self.inputs.pop_front()
            {
                self.memory[number].input(input);
            }
            let Some(number) = numbers(record) else { continue };
            self.judge(number, record);
            self.memory[number].record(record.seq, &record.fact);
        }
    }

    fn judge(&mut self, number: usize, record: &Record) {
        let (book, fps) = (&mut self.memory[number], &self.fps[number]);
        match &record.fact {
            Fact::Sending { object, change, rv, fp, .. } => {
                let baseline = book.baselines[usize::from(object.kind.kind == "Widget")];
                let slot = book.slot(number_of(&object.uid));
                let wants = slot.wants(baseline, fps);
                let declared = Want::Tell { change: *change, rv: *rv, fp: fp.0 };
                assert_eq!(declared, wants, "the engine declares what the model does not want: {slot:?}");
                let same = slot.sending.is_some_and(|event| (event.change, event.fp) == (*change, fp.0));
                assert!(!same, "the model says that it is the same event: {slot:?}");
                self.fresh.push((number, record.seq));
            }
            Fact::Ack { object, of, .. } => {
                let slot = book.slot(number_of(&object.uid));
                assert_eq!(slot.answered.take(), Some(*of), "acknowledged, but not answered: {slot:?}");
            }
            Fact::Drop { object, of } => {
                let baseline = book.baselines[usize::from(object.kind.kind == "Widget")];
                let at = number_of(&object.uid);
                let slot = book.slot(at).clone();
                book.slot(at).answered = None;
                let replaced = matches!(slot.known, Known::Absent { .. })
                    && book.slots.iter().skip(at + 1).any(|other| other.called == slot.called && other.acked.is_some());
                let right = slot.answered == Some(*of) || slot.wants(baseline, fps) == Want::Forget || replaced;
                assert!(right, "dropped, and the model does not say so: {slot:?}");
            }
            Fact::Adopt { object, .. } => {
                let baseline = book.baselines[usize::from(object.kind.kind == "Widget")];
                let slot = book.slot(number_of(&object.uid));
                assert_eq!(slot.wants(baseline, fps), Want::Adopt, "adopted, and the model does not say so: {slot:?}");
            }
            Fact::Park { object, of, .. } => {
                let slot = book.slot(number_of(&object.uid));
                assert!(slot.sending.is_some_and(|event| event.seq == *of), "parked, but not declared: {slot:?}");
            }
            _ => {}
        }
    }

    /// One subscription as of now, as far as a slot that has no record on its way is concerned.
    fn now(&self, number: usize) -> Book {
        let mut book = self.memory[number].clone();
        for (_, _, input) in self.inputs.iter().filter(|(_, of, _)| *of == number) {
            book.input(input.clone());
        }
        book
    }

    pub fn sends(&mut self, number: usize, attempt: &Attempt) {
        let mut book = self.now(number);
        let told = about(attempt);
        let baseline = book.baselines[told.kind];
        let slot = book.slot(told.object);
        let event = slot.sending.expect("the model has declared nothing");
        assert_eq!((event.seq, event.change), (attempt.event.sequence, attempt.event.change));
        let fp = told.content.map_or(0, |content| self.fps[number][usize::from(content)]);
        assert_eq!(event.fp, fp, "not the content that was declared");
        let fresh = self.fresh.iter().position(|fresh| *fresh == (number, event.seq));
        let removed = event.change == Change::Removed;
        match slot.wants(baseline, &self.fps[number]) {
            Want::Tell { change, fp, .. } => match fresh {
                // What was just declared is sent as declared, even if there is something newer by now.
                Some(_) => assert_eq!(change == Change::Removed, removed, "sent, and the model wants the opposite"),
                None => assert_eq!((change, fp), (event.change, event.fp), "the model wants another event: {slot:?}"),
            },
            Want::Nothing => assert!(slot.parked, "sent, and the model wants nothing: {slot:?}"),
            other => panic!("sent, and the model says {other:?}: {slot:?}"),
        }
        if let Some(at) = fresh {
            self.fresh.swap_remove(at);
        }
    }

    /// Everything was delivered: the model wants nothing either.
    pub fn check_settled(&self) {
        for number in 0..self.memory.len() {
            let book = self.now(number);
            for slot in &book.slots {
                let Some((kind, _)) = slot.called else { continue };
                let blank = slot.acked.is_none() && slot.sending.is_none() && slot.known == Known::Unclear;
                let wants = slot.wants(book.baselines[kind], &self.fps[number]);
                assert!(blank || wants == Want::Nothing, "the model wants {wants:?}: {slot:?}");
            }
        }
    }
}

impl World {
    /// The present engine is about to be told this.
    pub fn inform(&mut self, number: usize, input: impl FnOnce() -> Input) {
        if let Some(referee) = &mut self.referee {
            let engine = &self.leaders.last().expect("there always is a leader").engine;
            let sequence = engine.sequence();
            referee.inputs.push_back((sequence, number, input()));
        }
    }

    pub fn inform_of(&mut self, number: usize, observation: &Observation) {
        self.inform(number, || {
            let object = number_of(&observation.object.uid);
            let (known, name) = match &observation.seen {
                Seen::Selected(row) => (Known::Selected { rv: row.rv, content: content(row) }, Some(name_of(row))),
                Seen::Deselected(row) => (Known::Absent { rv: row.rv }, Some(name_of(row))),
                Seen::Gone { rv } => (Known::Absent { rv: *rv }, None),
                Seen::Unknown => (Known::Unclear, None),
            };
            let kind = usize::from(observation.object.kind.kind == "Widget");
            Input::Sees { object, kind, name, known }
        });
    }

    pub fn inform_of_answer(&mut self, number: usize, attempt: &Attempt, outcome: &Outcome) {
        self.inform(number, || {
            let well = match outcome {
                Outcome::Delivered { .. } => true,
                Outcome::Failed(failure) => {
                    attempt.event.change == Change::Removed && matches!(failure.http_status, Some(404 | 410))
                }
                Outcome::Unsent { .. } => false,
            };
            let sent = !matches!(outcome, Outcome::Unsent { .. });
            Input::Answered { object: about(attempt).object, of: attempt.event.sequence, well, sent }
        });
    }

    /// The engine wants these records durable.
    pub fn inform_of_batch(&mut self, batch: &Batch) {
        if let Some(mut referee) = self.referee.take() {
            referee.drafts(batch, |record| self.number_of(&record.subscription));
            self.referee = Some(referee);
        }
    }
}
