//! Random schedules against the shipped engine: edits, lost answers, late requests, failed commits, crashes, takeovers.
//!
//! After every schedule the faults stop and everything is delivered; then the endpoint must hold exactly the selected
//! objects. On the way no request may leave before its Sending record is durable, no object may have two requests of one
//! process under way, and no event id may ever mean two states. A failure prints its seed; run it alone with SEED=n.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use changehook_core::Now;
use changehook_core::engine::{Action, Attempt, Engine, Settings};
use changehook_core::event::{Subject, event_id};
use changehook_core::ledger::Entries;
use changehook_core::object::{Body, Digest, Gvk, ObjectKey, ObservedBy, Row, Unreadable};
use changehook_core::outcome::{Class, Failure, Outcome, Reason};
use changehook_core::plan::{Change, ChangeTypes, Interest, Plan, Selector, SubscriptionId};
use changehook_core::retry::RetryPolicy;
use changehook_core::select::{Observation, Seen};

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Object {
    uid: Arc<str>,
    content: u8,
    selected: bool,
    rv: u64,
}

/// What the endpoint believes of one object, by the recipe of the README: what is not higher than seen is ignored.
#[derive(Default)]
struct Endpoint {
    highest: HashMap<Arc<str>, u64>,
    holds: BTreeMap<Arc<str>, u8>,
    /// Event id → what it said.
    said: HashMap<String, (Change, Option<u8>)>,
}

impl Endpoint {
    fn receive(&mut self, attempt: &Attempt) {
        let event = &attempt.event;
        let (uid, content) = match &event.subject {
            Subject::Present(row) => (&row.uid, Some(row.digest.0[0])),
            Subject::Absent(identity) => (&identity.uid, None),
        };
        let id = event_id(&event.subscription.uid, uid, event.sequence);
        let said = (event.change, content);
        let before = self.said.insert(id.clone(), said);
        assert!(before.is_none_or(|before| before == said), "{id} said {before:?} and now {said:?}");
        let highest = self.highest.entry(uid.clone()).or_insert(0);
        if event.sequence <= *highest {
            return;
        }
        *highest = event.sequence;
        match content {
            Some(content) => self.holds.insert(uid.clone(), content),
            None => self.holds.remove(uid),
        };
    }
}

struct World {
    random: Random,
    now: Now,
    rv: u64,
    names: Vec<Option<Object>>,
    next_uid: u64,
    durable: Entries,
    engine: Engine,
    /// Observations the engine has not been shown yet.
    watch: VecDeque<Observation>,
    /// A commit under way, and whether it will fail.
    committing: Option<changehook_core::engine::Batch>,
    requests: Vec<(Attempt, bool)>,
    late: Vec<Attempt>,
    endpoint: Endpoint,
    down: bool,
    gvk: Arc<Gvk>,
    plan: Plan,
    sent: u64,
}

fn plan(changes: ChangeTypes) -> Plan {
    Plan {
        id: SubscriptionId { uid: "sub".into() },
        generation: 1,
        namespace: "team".into(),
        interests: vec![Interest {
            gvk: Gvk::new("v1", "ConfigMap"),
            namespace: Some("team".into()),
            selector: Selector::default(),
        }],
        changes,
        suspended: false,
        held: false,
        retry: RetryPolicy::default(),
        max_in_flight: 3,
        host: "receiver".into(),
        config_hash: 0,
    }
}

impl World {
    fn new(seed: u64, changes: ChangeTypes) -> Self {
        let now = Now { mono: 0, wall: 1_800_000_000_000 };
        let mut world = Self {
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now,
            rv: 10,
            names: vec![None; 3],
            next_uid: 0,
            durable: Entries::default(),
            engine: Engine::claim(Settings::default(), Entries::default(), now),
            watch: VecDeque::new(),
            committing: None,
            requests: Vec::new(),
            late: Vec::new(),
            endpoint: Endpoint::default(),
            down: false,
            gvk: Arc::new(Gvk::new("v1", "ConfigMap")),
            plan: plan(changes),
            sent: 0,
        };
        world.start();
        // The promises hold from Ready=True on: the empty baseline is durable before the first edit.
        world.settle();
        world
    }

    fn row(&self, name: usize, object: &Object) -> Arc<Row> {
        Arc::new(Row {
            gvk: self.gvk.clone(),
            uid: object.uid.clone(),
            namespace: Some("team".into()),
            name: format!("name-{name}").into(),
            labels: BTreeMap::new(),
            rv: object.rv,
            digest: Digest([object.content; 16]),
            version: None,
            body: Body::Missing("not looked at here"),
        })
    }

    fn key(&self, uid: &Arc<str>) -> ObjectKey {
        ObjectKey { kind: Arc::new(self.gvk.group_kind()), uid: uid.clone() }
    }

    fn observation(&self, name: usize, object: &Object, by: ObservedBy) -> Observation {
        let row = self.row(name, object);
        let seen = if object.selected { Seen::Selected(row) } else { Seen::Deselected(row) };
        Observation { subscription: self.plan.id.clone(), object: self.key(&object.uid), seen, by }
    }

    /// A leader takes over: claim, plan, list.
    fn start(&mut self) {
        self.watch.clear();
        self.engine = Engine::claim(Settings::default(), self.durable.clone(), self.now);
        self.engine.plan(self.now, self.plan.clone());
        let listed: Vec<Observation> = self
            .names
            .iter()
            .enumerate()
            .filter_map(|(name, object)| Some(self.observation(name, object.as_ref()?, ObservedBy::Relist)))
            .collect();
        for observation in listed {
            self.engine.observe(self.now, observation);
        }
        let kind = self.gvk.group_kind();
        self.engine.synced(self.now, &self.plan.id, &kind, self.rv, &Unreadable::Named(Vec::new()));
        self.pump();
    }

    fn crash(&mut self) {
        for (attempt, processed) in std::mem::take(&mut self.requests) {
            if !processed {
                self.late.push(attempt);
            }
        }
        if let Some(batch) = self.committing.take()
            && self.random.one_in(2)
        {
            self.land(&batch);
        }
        self.start();
    }

    fn land(&mut self, batch: &changehook_core::engine::Batch) {
        for record in &batch.records {
            self.durable.apply(record);
        }
    }

    fn pump(&mut self) {
        while let Some(action) = self.engine.poll(self.now) {
            match action {
                Action::Commit(batch) => self.committing = Some(batch),
                Action::Send(attempt) => {
                    self.sent += 1;
                    let uid = match &attempt.event.subject {
                        Subject::Present(row) => row.uid.clone(),
                        Subject::Absent(identity) => identity.uid.clone(),
                    };
                    let entry = self.durable.books[&self.plan.id].entries.get(&self.key(&uid));
                    let declared = entry.and_then(|entry| entry.sending).map(|sending| sending.seq);
                    assert_eq!(declared, Some(attempt.event.sequence), "sent before its record was durable");
                    let twice = self.requests.iter().any(|(other, _)| match &other.event.subject {
                        Subject::Present(row) => row.uid == uid,
                        Subject::Absent(identity) => identity.uid == uid,
                    });
                    assert!(!twice, "two requests under way for {uid}");
                    self.requests.push((*attempt, false));
                }
            }
        }
    }

    fn edit(&mut self) {
        let name = self.random.below(3) as usize;
        self.rv += 1;
        let mut seen = None;
        match self.names[name].take() {
            None => {
                self.next_uid += 1;
                let object = Object {
                    uid: format!("uid-{}", self.next_uid).into(),
                    content: self.random.below(2) as u8,
                    selected: !self.random.one_in(4),
                    rv: self.rv,
                };
                seen = Some(self.observation(name, &object, ObservedBy::Watch));
                self.names[name] = Some(object);
            }
            Some(object) if self.random.one_in(4) => {
                let gone = Observation {
                    subscription: self.plan.id.clone(),
                    object: self.key(&object.uid),
                    seen: Seen::Gone { rv: self.rv },
                    by: ObservedBy::Watch,
                };
                self.watch.push_back(gone);
            }
            Some(mut object) => {
                if self.random.one_in(3) {
                    object.selected = !object.selected;
                } else {
                    object.content = self.random.below(2) as u8;
                }
                object.rv = self.rv;
                seen = Some(self.observation(name, &object, ObservedBy::Watch));
                self.names[name] = Some(object);
            }
        }
        self.watch.extend(seen);
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..=2 => self.edit(),
            3..=5 => {
                if let Some(observation) = self.watch.pop_front() {
                    self.engine.observe(self.now, observation);
                }
            }
            6 | 7 => self.answer_one(),
            8 => {
                if let Some(batch) = self.committing.take() {
                    self.land(&batch);
                    self.engine.committed(self.now, batch.number);
                }
            }
            9 => self.advance(self.random.0 % 9_000),
            10 => {
                if !self.late.is_empty() {
                    let at = self.random.below(self.late.len() as u64) as usize;
                    let attempt = self.late.swap_remove(at);
                    self.endpoint.receive(&attempt);
                }
            }
            _ => {
                if self.random.one_in(6) {
                    self.crash();
                } else if self.random.one_in(4) {
                    self.down = !self.down;
                }
            }
        }
        self.pump();
    }

    fn advance(&mut self, by: u64) {
        self.now = Now { mono: self.now.mono + by, wall: self.now.wall + by as i64 };
    }

    fn answer_one(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let at = self.random.below(self.requests.len() as u64) as usize;
        let (attempt, processed) = self.requests.swap_remove(at);
        if self.down {
            // Nobody knows whether it arrives.
            if self.random.one_in(3) {
                self.late.push(attempt.clone());
            }
            self.engine.answered(self.now, &attempt, failed(Class::Endpoint, None), 0);
            return;
        }
        if !processed {
            self.endpoint.receive(&attempt);
        }
        let outcome = match self.random.below(8) {
            0 => failed(Class::Endpoint, None),
            1 => failed(Class::Event, Some(422)),
            2 => Outcome::Unsent { message: "no Secret".to_owned() },
            _ => Outcome::Delivered { status: 200 },
        };
        self.engine.answered(self.now, &attempt, outcome, 0);
    }

    /// Faults stop; everything under way arrives.
    fn settle(&mut self) {
        self.down = false;
        for attempt in std::mem::take(&mut self.late) {
            self.endpoint.receive(&attempt);
        }
        // A new endpoint configuration releases what was refused as its own fault.
        self.plan.config_hash += 1;
        self.engine.plan(self.now, self.plan.clone());
        for _ in 0..600 {
            while let Some(observation) = self.watch.pop_front() {
                self.engine.observe(self.now, observation);
            }
            self.pump();
            if let Some(batch) = self.committing.take() {
                self.land(&batch);
                self.engine.committed(self.now, batch.number);
                self.pump();
            }
            for (attempt, _) in std::mem::take(&mut self.requests) {
                self.endpoint.receive(&attempt);
                self.engine.answered(self.now, &attempt, Outcome::Delivered { status: 200 }, 0);
                self.pump();
            }
            match self.engine.wake_at() {
                Some(at) if self.committing.is_none() && self.requests.is_empty() => {
                    self.advance(at.saturating_sub(self.now.mono));
                }
                None if self.committing.is_none() && self.requests.is_empty() && self.watch.is_empty() => break,
                Some(_) | None => {}
            }
        }
    }

    fn selected(&self) -> BTreeMap<Arc<str>, u8> {
        let selected = self.names.iter().flatten().filter(|object| object.selected);
        selected.map(|object| (object.uid.clone(), object.content)).collect()
    }
}

fn failed(class: Class, http_status: Option<u16>) -> Outcome {
    Outcome::Failed(Failure { class, reason: Reason::Timeout, http_status, message: String::new(), retry_after: None })
}

fn seeds(count: u64) -> Box<dyn Iterator<Item = u64>> {
    match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => Box::new(std::iter::once(seed)),
        None => Box::new(1..=count),
    }
}

#[test]
fn whatever_happens_the_endpoint_ends_with_exactly_the_selected_objects() {
    for seed in seeds(20_000) {
        let mut world = World::new(seed, ChangeTypes::ALL);
        let steps = 20 + world.random.below(120);
        for _ in 0..steps {
            world.step();
        }
        world.settle();
        assert_eq!(world.endpoint.holds, world.selected(), "SEED={seed}");
        let view = world.engine.view(world.now, &world.plan.id).unwrap();
        assert_eq!((view.pending, view.parked, view.retrying, view.in_flight), (0, 0, 0, 0), "SEED={seed}");
    }
}

#[test]
fn a_restart_with_nothing_changed_sends_nothing() {
    for seed in seeds(2_000) {
        let mut world = World::new(seed, ChangeTypes::ALL);
        for _ in 0..80 {
            world.step();
        }
        world.settle();
        let sent = world.sent;
        world.start();
        world.settle();
        assert_eq!(world.sent, sent, "SEED={seed}");
    }
}

#[test]
fn without_removed_the_endpoint_has_the_newest_state_of_every_selected_object_and_is_never_told_of_an_end() {
    let changes = ChangeTypes { removed: false, ..ChangeTypes::ALL };
    for seed in seeds(2_000) {
        let mut world = World::new(seed, changes);
        for _ in 0..80 {
            world.step();
        }
        world.settle();
        for (uid, content) in world.selected() {
            assert_eq!(world.endpoint.holds.get(&uid), Some(&content), "SEED={seed}");
        }
        assert!(world.endpoint.said.values().all(|(change, _)| *change != Change::Removed), "SEED={seed}");
    }
}

#[test]
fn with_removed_alone_only_ends_are_told() {
    let changes = ChangeTypes { new: false, updated: false, removed: true };
    for seed in seeds(2_000) {
        let mut world = World::new(seed, changes);
        for _ in 0..80 {
            world.step();
        }
        world.settle();
        assert!(world.endpoint.said.values().all(|(change, _)| *change == Change::Removed), "SEED={seed}");
    }
}
