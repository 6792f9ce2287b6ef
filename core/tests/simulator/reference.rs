//! The reference model: one slot's life by the words of the design, for comparison with the engine.
//!
//! It shares no code with the engine and decides nothing about turns, permits or the breaker: it says what a slot wants
//! at a moment, and `referee` holds every record and request of the engine against that. Edits of the selection and of
//! change types are not in the model.

use changehook_core::ledger::{Fact, Named};
use changehook_core::object::ObjectKey;
use changehook_core::plan::Change;

/// What is known of an object, as of a version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known {
    Selected { rv: u64, content: u8 },
    Absent { rv: u64 },
    Unclear,
}

/// What the engine is told.
#[derive(Clone, Debug)]
pub enum Input {
    Sees {
        object: usize,
        kind: usize,
        name: Option<usize>,
        known: Known,
    },
    /// A list of the kind is complete as of `rv`; these names could not be read, or nobody knows which.
    Listed {
        kind: usize,
        rv: u64,
        unreadable: Option<Vec<usize>>,
    },
    /// The kind is not served.
    KindAbsent(usize),
    /// The request with this sequence was answered well, or not well.
    Answered {
        object: usize,
        of: u64,
        well: bool,
        sent: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub seq: u64,
    pub change: Change,
    pub rv: u64,
    pub fp: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Baseline {
    Waiting,
    Open(u64),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Want {
    Wait,
    Nothing,
    Adopt,
    Forget,
    Tell { change: Change, rv: u64, fp: u64 },
}

#[derive(Clone, Debug)]
pub struct Slot {
    pub called: Option<(usize, usize)>,
    /// Version and fingerprint of what was acknowledged.
    pub acked: Option<(u64, u64)>,
    pub sending: Option<Event>,
    pub parked: bool,
    pub known: Known,
    /// A request that told of it may have reached the endpoint.
    pub heard_of: bool,
    /// The answer that its next Ack or Drop stands for.
    pub answered: Option<u64>,
}

/// One subscription's slots by object, and its baselines by kind.
#[derive(Clone, Debug)]
pub struct Book {
    pub slots: Vec<Slot>,
    pub baselines: [Baseline; 2],
}

const BLANK: Slot = Slot {
    called: None,
    acked: None,
    sending: None,
    parked: false,
    known: Known::Unclear,
    heard_of: false,
    answered: None,
};

impl Slot {
    /// The design's want(), line by line.
    pub fn wants(&self, baseline: Baseline, fps: &[u64; 4]) -> Want {
        let (acked_rv, sending_rv) = (self.acked.map_or(0, |(rv, _)| rv), self.sending.map_or(0, |s| s.rv));
        let (Known::Selected { rv, .. } | Known::Absent { rv }) = self.known else { return Want::Wait };
        if baseline == Baseline::Waiting || rv < acked_rv.max(sending_rv) {
            return Want::Wait;
        }
        let wanted = match (self.known, self.acked) {
            (Known::Selected { content, .. }, acked) => {
                let fp = fps[usize::from(content)];
                let adoptable = matches!(baseline, Baseline::Open(mark) if rv <= mark);
                let change = if acked.is_none() || self.sending.is_some_and(|s| s.change != Change::Updated) {
                    Change::New
                } else {
                    Change::Updated
                };
                match acked {
                    _ if self.sending.is_some() => Want::Tell { change, rv, fp },
                    None if adoptable => Want::Adopt,
                    Some((of, _)) if of == rv => Want::Nothing,
                    Some((_, told)) if told == fp => Want::Nothing,
                    None | Some(_) => Want::Tell { change, rv, fp },
                }
            }
            (_, None) if self.sending.is_none() => Want::Nothing,
            (_, None) if !self.heard_of => Want::Forget,
            (_, _) => Want::Tell { change: Change::Removed, rv, fp: 0 },
        };
        match wanted {
            Want::Tell { change, fp, .. } if self.parked && self.says(change, fp) => Want::Nothing,
            other => other,
        }
    }

    /// The declared event tells just this: Removed, or the same content. A parked New stays parked as Updated and so on.
    fn says(&self, change: Change, fp: u64) -> bool {
        self.sending.is_some_and(|s| (s.change == Change::Removed) == (change == Change::Removed) && s.fp == fp)
    }

    fn highest(&self) -> u64 {
        self.acked.map_or(0, |(rv, _)| rv).max(self.sending.map_or(0, |s| s.rv))
    }
}

impl Book {
    pub fn new() -> Self {
        Self { slots: Vec::new(), baselines: [Baseline::Waiting; 2] }
    }

    /// What a new leader starts with, of what is durable.
    pub fn taken_over(&self) -> Self {
        let mut book = self.clone();
        for slot in &mut book.slots {
            slot.known = Known::Unclear;
            slot.heard_of = slot.acked.is_some() || slot.sending.is_some();
            slot.answered = None;
        }
        for baseline in &mut book.baselines {
            if let Baseline::Open(_) = baseline {
                *baseline = Baseline::Waiting;
            }
        }
        book
    }

    pub fn slot(&mut self, object: usize) -> &mut Slot {
        if self.slots.len() <= object {
            self.slots.resize(object + 1, BLANK);
        }
        &mut self.slots[object]
    }

    fn of_kind(&mut self, kind: usize) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().filter(move |slot| slot.called.is_some_and(|(of, _)| of == kind))
    }

    pub fn input(&mut self, input: Input) {
        match input {
            Input::Sees { object, kind, name, known } => {
                if let (Known::Selected { rv, .. } | Known::Absent { rv }, Some(name)) = (known, name) {
                    if let Known::Selected { rv: seen, .. } | Known::Absent { rv: seen } = self.slot(object).known
                        && seen > rv
                    {
                        // A row from before what was seen of it.
                        return;
                    }
                    let heir = |(other, slot): (usize, &Slot)| match slot.known {
                        Known::Selected { rv: seen, .. } if other != object && slot.called == Some((kind, name)) => {
                            Some(seen)
                        }
                        _ => None,
                    };
                    let heir = self.slots.iter().enumerate().filter_map(heir).max().filter(|seen| *seen > rv);
                    if let Some(rv) = heir {
                        self.slot(object).called = Some((kind, name));
                        self.slot(object).known = Known::Absent { rv };
                        return;
                    }
                    // Whoever had the name before is gone, if nothing newer is known of it.
                    for (other, slot) in self.slots.iter_mut().enumerate() {
                        let namesake = other != object && slot.called == Some((kind, name));
                        let shown = match slot.known {
                            Known::Unclear => true,
                            Known::Selected { rv: shown, .. } => shown <= rv,
                            Known::Absent { .. } => false,
                        };
                        if namesake && shown && slot.highest() <= rv {
                            slot.known = Known::Absent { rv };
                        }
                    }
                    self.slot(object).called = Some((kind, name));
                }
                self.slot(object).known = known;
            }
            Input::Listed { kind, rv, unreadable } => {
                for slot in self.of_kind(kind) {
                    let name = slot.called.map_or(0, |(_, name)| name);
                    let readable = unreadable.as_ref().is_some_and(|names| !names.contains(&name));
                    let missing = match slot.known {
                        Known::Unclear => true,
                        Known::Absent { rv } => rv < slot.highest(),
                        Known::Selected { .. } => false,
                    };
                    let remembered = slot.acked.is_some() || slot.sending.is_some() || slot.heard_of;
                    if missing && readable && remembered {
                        slot.known = Known::Absent { rv };
                    }
                }
            }
            Input::KindAbsent(kind) => {
                for slot in self.of_kind(kind) {
                    match slot.known {
                        Known::Selected { .. } => {}
                        Known::Absent { rv } => slot.known = Known::Absent { rv: rv.max(slot.highest()) },
                        Known::Unclear => slot.known = Known::Absent { rv: slot.highest() },
                    }
                }
            }
            Input::Answered { object, of, well, sent } => {
                let slot = self.slot(object);
                if well {
                    slot.answered = Some(of);
                } else if sent {
                    slot.heard_of |= slot.sending.is_some_and(|s| s.change != Change::Removed);
                }
            }
        }
    }

    pub fn record(&mut self, seq: u64, fact: &Fact) {
        match fact {
            Fact::Sending { object, named, change, rv, fp } => {
                let slot = self.slot(object.uid.parse().unwrap());
                slot.called = Some(name_of(object, named));
                slot.sending = Some(Event { seq, change: *change, rv: *rv, fp: fp.0 });
                slot.parked = false;
            }
            Fact::Ack { object, of, rv } => {
                let slot = self.slot(object.uid.parse().unwrap());
                if let Some(event) = slot.sending.take_if(|event| event.seq == *of) {
                    slot.acked = Some((*rv, event.fp));
                    (slot.heard_of, slot.parked) = (true, false);
                }
            }
            Fact::Drop { object, of } => {
                let slot = self.slot(object.uid.parse().unwrap());
                slot.acked = None;
                if slot.sending.is_none_or(|event| event.seq <= *of) {
                    (slot.sending, slot.parked, slot.heard_of) = (None, false, false);
                }
            }
            Fact::Adopt { object, named, rv, fp } => {
                let slot = self.slot(object.uid.parse().unwrap());
                slot.called = Some(name_of(object, named));
                slot.acked = Some((*rv, fp.0));
            }
            Fact::Park { object, of, .. } => {
                let slot = self.slot(object.uid.parse().unwrap());
                slot.parked = slot.sending.is_some_and(|event| event.seq == *of);
            }
            Fact::Release { object } => self.slot(object.uid.parse().unwrap()).parked = false,
            Fact::Mark { kind, rv, open } => {
                let baseline = match (*open, *rv) {
                    (false, _) => Baseline::Closed,
                    // The first list is still to come.
                    (true, u64::MAX) => Baseline::Waiting,
                    (true, rv) => Baseline::Open(rv),
                };
                self.baselines[usize::from(kind.kind == "Widget")] = baseline;
            }
            // Every fingerprint is made in the one way there is.
            Fact::Recipe { .. } => {}
            _ => unreachable!("no edit makes such a record here: {fact:?}"),
        }
    }
}

fn name_of(object: &ObjectKey, named: &Named) -> (usize, usize) {
    (usize::from(object.kind.kind == "Widget"), usize::from(named.name.as_bytes()[0] - b'a'))
}
