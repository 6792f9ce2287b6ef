//! The operator in its world: selection, engine, ledger, two endpoints, and a schedule from a seed.

use changehook_core::Now;
use changehook_core::engine::{Action, Attempt, Batch, Engine, Settings};
use changehook_core::event::event_id;
use changehook_core::ledger::{Entries, Fact};
use changehook_core::object::{GroupKind, SourceEvent};
use changehook_core::plan::{Plan, SubscriptionId};
use changehook_core::select::{Observation, Seen, Selection, Synced};

use crate::cluster::{KINDS, Kind};
use crate::edits::plan;
use crate::options::{Notes, Options};
use crate::receiver::{Receiver, about};

pub struct Random(u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

pub struct World {
    pub options: Options,
    pub random: Random,
    pub now: Now,
    pub rv: u64,
    pub kinds: [Kind; KINDS],
    pub next_uid: u64,
    pub durable: Entries,
    pub selection: Selection,
    pub engine: Engine,
    pub plans: Vec<Plan>,
    /// A commit under way.
    pub committing: Option<Batch>,
    /// Requests under way.
    pub requests: Vec<Attempt>,
    /// Requests that their sender gave up, and that will arrive all the same.
    pub late: Vec<Attempt>,
    pub receivers: Vec<Receiver>,
    pub notes: Vec<Notes>,
    pub down: [bool; 2],
    pub sent: u64,
    trace: bool,
}

impl World {
    pub fn new(seed: u64, options: Options) -> Self {
        let now = Now { mono: 0, wall: 1_800_000_000_000 };
        let plans = vec![plan("all", options.changes, 0), plan("some", options.changes, 1)];
        let mut world = Self {
            options,
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now,
            rv: 10,
            kinds: [Kind::new("v1", "ConfigMap", 3), Kind::new("example.io/v1", "Widget", 2)],
            next_uid: 0,
            durable: Entries::default(),
            selection: Selection::new(),
            engine: Engine::claim(Settings::default(), Entries::default(), now),
            receivers: plans.iter().map(|_| Receiver::default()).collect(),
            notes: plans.iter().map(|_| Notes::default()).collect(),
            plans,
            committing: None,
            requests: Vec::new(),
            late: Vec::new(),
            down: [false; 2],
            sent: 0,
            trace: std::env::var_os("TRACE").is_some(),
        };
        world.start();
        // The promises hold from Ready=True on: the empty baseline is durable before the first change.
        world.settle();
        world
    }

    /// With TRACE=1 the schedule is told as it goes.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>7} {}", self.now.mono, what());
        }
    }

    pub fn number(&self, id: &SubscriptionId) -> usize {
        self.plans.iter().position(|plan| plan.id == *id).unwrap()
    }

    /// A leader takes over: claim, plans, lists.
    pub fn start(&mut self) {
        self.engine = Engine::claim(Settings::default(), self.durable.clone(), self.now);
        self.selection = Selection::new();
        for notes in &mut self.notes {
            notes.shown.clear();
            notes.listed.clear();
            notes.failed.clear();
        }
        for number in 0..self.plans.len() {
            self.assign(number, false);
        }
        for kind in &mut self.kinds {
            kind.watch.clear();
            kind.list(self.rv);
        }
        self.pump();
    }

    fn crash(&mut self) {
        for attempt in std::mem::take(&mut self.requests) {
            self.may_be_told(&attempt);
            if self.random.one_in(2) {
                self.arrive(&attempt);
            } else if self.options.late && self.random.one_in(2) {
                self.late.push(attempt);
            }
        }
        if let Some(batch) = self.committing.take()
            && self.random.one_in(2)
        {
            self.land(&batch);
        }
        self.tell(|| "crash".to_owned());
        self.start();
    }

    pub fn land(&mut self, batch: &Batch) {
        for record in &batch.records {
            self.tell(|| format!("durable {} {} {:?}", record.seq, record.subscription.uid, record.fact));
        }
        for record in &batch.records {
            let number = self.number(&record.subscription);
            let (changes, notes) = (self.plans[number].changes, &mut self.notes[number]);
            if let Fact::Adopt { object, fp, .. } = &record.fact {
                let known =
                    self.durable.books.get(&record.subscription).is_some_and(|b| b.entries.contains_key(object));
                let broken =
                    !known && !self.options.change_types && changes.new && notes.promised.contains(&object.uid);
                assert!(!broken, "{} was owed as New, and adopted", object.uid);
                notes.adopted.insert(object.uid.clone(), (record.seq, fp.0));
                notes.silenced.retain(|uid, since| *uid != object.uid || *since > record.seq);
            }
            self.durable.apply(record);
        }
    }

    pub fn pump(&mut self) {
        while let Some(action) = self.engine.poll(self.now) {
            match action {
                Action::Commit(batch) => self.committing = Some(batch),
                Action::Fold => unreachable!("nothing is sealed here"),
                Action::Send(attempt) => self.send(*attempt),
            }
        }
        let findings = self.engine.audit();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    fn send(&mut self, attempt: Attempt) {
        self.sent += 1;
        let (key, content, _) = about(&attempt);
        self.tell(|| {
            let event = &attempt.event;
            format!(
                "send {} {} {:?} {content:?} #{} as {}",
                event.subscription.uid, key.uid, event.change, event.sequence, attempt.number
            )
        });
        let id = &attempt.event.subscription;
        let number = self.number(id);
        let plan = &self.plans[number];
        assert!(!plan.suspended && !plan.held, "sent while it must not");
        let declared = self.durable.books[id].entries.get(&key).and_then(|entry| entry.sending);
        let declared = declared.map(|sending| (sending.seq, sending.change));
        assert_eq!(
            declared,
            Some((attempt.event.sequence, attempt.event.change)),
            "sent before its record was durable"
        );
        let twice = self.requests.iter().any(|other| about(other).0 == key && other.event.subscription == *id);
        assert!(!twice, "two requests under way for {}", key.uid);
        let under_way = self.requests.iter().filter(|other| other.event.subscription == *id).count();
        assert!(under_way < plan.max_in_flight as usize, "more requests under way than allowed");
        let event = event_id(&id.uid, &key.uid, attempt.event.sequence);
        if let Some((before, at)) = self.notes[number].failed.get(&event)
            && attempt.number == before + 1
            && attempt.number <= plan.retry.attempts()
        {
            let earliest = at + plan.retry.delay_ms(*before, 0, None);
            assert!(self.now.mono >= earliest, "attempt {} of {event} is too early", attempt.number);
        }
        self.requests.push(attempt);
    }

    /// The engine's driver, as far as sightings go.
    pub fn hear(&mut self, at: usize, event: SourceEvent) {
        self.tell(|| format!("hear {at} {event:?}"));
        let source = self.kinds[at].source.clone();
        let listed = matches!(event, SourceEvent::ListEnded { .. });
        let absent = event == SourceEvent::KindAbsent;
        let mut seen = Vec::new();
        let synced = self.selection.apply(&source, event, &mut seen);
        self.show(seen, false);
        let kind = source.gvk.group_kind();
        for (plan, notes) in self.plans.iter().zip(&mut self.notes) {
            if !plan.interests.iter().any(|interest| interest.gvk == source.gvk) {
                continue;
            }
            if absent || listed {
                notes.listed.insert(kind.kind.clone());
            }
            if let Some(synced) = &synced {
                conclude(&mut self.engine, self.now, &plan.id, &kind, synced);
            }
        }
    }

    pub fn show(&mut self, seen: Vec<Observation>, edited: bool) {
        for observation in seen {
            let number = self.number(&observation.subscription);
            self.tell(|| format!("seen by {number} {} {:?}", observation.object.uid, observation.seen));
            let (uid, notes) = (observation.object.uid.clone(), &mut self.notes[number]);
            match observation.seen {
                Seen::Selected(_) => notes.shown.insert(uid, true),
                Seen::Unknown => notes.shown.insert(uid, false),
                Seen::Deselected(_) | Seen::Gone { .. } => {
                    notes.promised.remove(&uid);
                    notes.shown.remove(&uid)
                }
            };
            if edited {
                self.engine.replanned(self.now, observation);
            } else {
                self.engine.observe(self.now, observation);
            }
        }
    }

    pub fn step(&mut self) {
        match self.random.below(13) {
            0..=2 => self.change(),
            3..=5 => {
                let at = self.random.below(KINDS as u64) as usize;
                if let Some(event) = self.kinds[at].watch.pop_front() {
                    self.hear(at, event);
                }
            }
            6 | 7 => self.answer_one(),
            8 | 9 => self.commit(),
            10 => {
                let by = self.random.below(9_000);
                self.advance(by);
            }
            11 if !self.late.is_empty() && self.random.one_in(2) => {
                let at = self.random.below(self.late.len() as u64) as usize;
                let attempt = self.late.swap_remove(at);
                self.arrive(&attempt);
            }
            11 if self.options.edits && (self.options.edits_often || self.random.one_in(3)) => self.edit(),
            _ => match self.random.below(8) {
                0 if self.options.crashes => self.crash(),
                1 | 2 => {
                    let at = self.random.below(2) as usize;
                    self.down[at] = !self.down[at];
                }
                3 => self.disturb(),
                _ => {}
            },
        }
        self.pump();
    }

    pub fn commit(&mut self) {
        if let Some(batch) = self.committing.take() {
            self.land(&batch);
            self.engine.committed(self.now, batch.number);
        }
    }

    pub fn advance(&mut self, by: u64) {
        self.now = Now { mono: self.now.mono + by, wall: self.now.wall + by as i64 };
    }
}

/// What a source is known not to have is gone.
pub fn conclude(engine: &mut Engine, now: Now, id: &SubscriptionId, kind: &GroupKind, synced: &Synced) {
    match synced {
        Synced::Listed { rv, unreadable } => engine.synced(now, id, kind, *rv, unreadable),
        Synced::Absent => engine.kind_absent(now, id, kind),
    }
}
