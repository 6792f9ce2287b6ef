//! An engine between a fake clock, a fake ledger and scripted endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use changehook_core::Now;
use changehook_core::engine::{Action, Attempt, Batch, Caps, Engine, Limits, Settings, View};
use changehook_core::event::Subject;
use changehook_core::ledger::{Entries, Usage};
use changehook_core::object::{Body, Digest, Gvk, ObjectKey, ObservedBy, Row, SourceId, Unreadable};
use changehook_core::outcome::{Class, Failure, Outcome, Reason, of_status};
use changehook_core::plan::{Change, ChangeTypes, Claims, Interest, Plan, Policy, Selector, SubscriptionId};
use changehook_core::retry::RetryPolicy;
use changehook_core::select::{Observation, Seen};

pub const S: &str = "s";

/// A request as it left.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub at: u64,
    pub subscription: String,
    pub uid: String,
    pub change: Change,
    /// What it told; none for Removed.
    pub content: Option<u8>,
    pub sequence: u64,
    pub number: u32,
}

pub type Script = Box<dyn FnMut(&Sent) -> Option<Outcome>>;

pub struct Rig {
    pub engine: Engine,
    pub now: Now,
    /// What the store says of each commit.
    pub usage: Usage,
    /// When folds were asked for.
    pub folds: Vec<u64>,
    pub durable: Entries,
    pub plans: BTreeMap<String, Plan>,
    pub rv: u64,
    /// Commits are durable as soon as they are asked for.
    pub commits_at_once: bool,
    pub batches: Vec<Batch>,
    /// Every batch so far, as its time and number of records.
    pub committed: Vec<(u64, usize)>,
    pub requests: Vec<Attempt>,
    pub sent: Vec<Sent>,
    /// What an endpoint answers at once; `None` leaves the request under way.
    pub script: Script,
    pub jitter: u32,
    settings: Settings,
}

pub fn ok() -> Outcome {
    Outcome::Delivered { status: 200 }
}

pub fn status(status: u16) -> Outcome {
    of_status(status, &[], None)
}

pub fn no_connection() -> Outcome {
    failed(Class::Endpoint, Reason::ConnectFailed, None, None)
}

pub fn unsent() -> Outcome {
    Outcome::Unsent { message: "the Secret hook is missing".to_owned() }
}

pub fn retry_after(seconds: u64) -> Outcome {
    failed(Class::Endpoint, Reason::ClientError, Some(429), Some(Duration::from_secs(seconds)))
}

fn failed(class: Class, reason: Reason, http_status: Option<u16>, retry_after: Option<Duration>) -> Outcome {
    Outcome::Failed(Failure { class, reason, http_status, message: "no".to_owned(), retry_after })
}

pub fn config_map() -> Gvk {
    Gvk::new("v1", "ConfigMap")
}

pub fn widget() -> Gvk {
    Gvk::new("example.io/v1", "Widget")
}

/// The watch of everybody's ConfigMaps.
pub fn source() -> SourceId {
    SourceId { gvk: config_map(), namespace: None }
}

pub fn interest(gvk: Gvk) -> Interest {
    Interest { gvk, namespace: Some("team".into()), selector: Selector::default() }
}

/// Selects objects by name, so that it differs from [`interest`].
pub fn named_interest(gvk: Gvk, name: &str) -> Interest {
    let selector = Selector { names: [name.to_owned()].into(), ..Selector::default() };
    Interest { selector, ..interest(gvk) }
}

pub fn plan(id: &str) -> Plan {
    Plan {
        id: SubscriptionId { uid: id.into() },
        generation: 1,
        namespace: "team".into(),
        interests: vec![interest(config_map())],
        changes: ChangeTypes::ALL,
        suspended: false,
        held: false,
        retry: RetryPolicy::default(),
        max_in_flight: 16,
        host: "receiver".into(),
        config_hash: 0,
        policy: Policy::default(),
        claims: Claims::default(),
    }
}

impl Rig {
    /// One subscription, ready, with an empty baseline.
    pub fn new() -> Self {
        let mut rig = Self::empty(Settings::default());
        rig.subscribe(plan(S));
        rig
    }

    pub fn with_caps(caps: Caps) -> Self {
        Self::empty(Settings { caps, ..Settings::default() })
    }

    pub fn empty(settings: Settings) -> Self {
        let now = Now { mono: 1_000_000, wall: 1_800_000_000_000 };
        Self {
            engine: Engine::claim(settings, Entries::default(), now),
            now,
            durable: Entries::default(),
            plans: BTreeMap::new(),
            rv: 100,
            commits_at_once: true,
            batches: Vec::new(),
            committed: Vec::new(),
            requests: Vec::new(),
            sent: Vec::new(),
            usage: Usage::default(),
            folds: Vec::new(),
            script: Box::new(|_| None),
            jitter: 0,
            settings,
        }
    }

    /// A subscription whose baseline is closed before anything exists.
    pub fn subscribe(&mut self, plan: Plan) {
        let id = plan.id.uid.to_string();
        self.assign(plan);
        let kinds: Vec<Gvk> = self.plans[&id].interests.iter().map(|interest| interest.gvk.clone()).collect();
        for gvk in kinds {
            self.synced(&id, &gvk);
        }
        self.run_for(2_000);
    }

    pub fn assign(&mut self, plan: Plan) {
        self.plans.insert(plan.id.uid.to_string(), plan.clone());
        self.engine.plan(self.now, plan);
        self.poll();
    }

    pub fn edit(&mut self, id: &str, edit: impl FnOnce(&mut Plan)) {
        let mut plan = self.plans[id].clone();
        edit(&mut plan);
        self.assign(plan);
    }

    pub fn synced(&mut self, id: &str, gvk: &Gvk) {
        let rv = self.rv;
        self.synced_at(id, gvk, rv);
    }

    pub fn synced_at(&mut self, id: &str, gvk: &Gvk, rv: u64) {
        let all_read = Unreadable::Named(Vec::new());
        self.engine.synced(self.now, &SubscriptionId { uid: id.into() }, &gvk.group_kind(), rv, &all_read);
        self.poll();
    }

    /// The next leader has these limits.
    pub fn limit(&mut self, limits: Limits) {
        self.settings.limits = limits;
    }

    /// Another leader takes over: what is durable is all there is.
    pub fn take_over(&mut self) {
        self.requests.clear();
        self.batches.clear();
        self.engine = Engine::claim(self.settings, self.durable.clone(), self.now);
        for plan in self.plans.values() {
            self.engine.plan(self.now, plan.clone());
        }
        self.poll();
    }

    pub fn row(&mut self, gvk: &Gvk, uid: &str, name: &str, content: u8) -> Arc<Row> {
        self.rv += 1;
        Arc::new(Row {
            gvk: Arc::new(gvk.clone()),
            uid: uid.into(),
            namespace: Some("team".into()),
            name: name.into(),
            labels: BTreeMap::new(),
            rv: self.rv,
            digest: Digest([content; 16]),
            version: Some(format!("{content}.0").into()),
            body: Body::Missing("not looked at here"),
        })
    }

    pub fn see(&mut self, id: &str, gvk: &Gvk, uid: &str, seen: Seen) {
        self.observe(id, gvk, uid, seen, false);
    }

    pub fn see_after_edit(&mut self, id: &str, gvk: &Gvk, uid: &str, seen: Seen) {
        self.observe(id, gvk, uid, seen, true);
    }

    fn observe(&mut self, id: &str, gvk: &Gvk, uid: &str, seen: Seen, edited: bool) {
        let object = ObjectKey { kind: Arc::new(gvk.group_kind()), uid: uid.into() };
        let subscription = SubscriptionId { uid: id.into() };
        let observation = Observation { subscription, object, seen, by: ObservedBy::Watch };
        if edited {
            self.engine.replanned(self.now, observation);
        } else {
            self.engine.observe(self.now, observation);
        }
        self.poll();
    }

    /// An object of subscription `s`, named as its uid, has this content now.
    pub fn show(&mut self, uid: &str, content: u8) {
        self.show_to(S, uid, content);
    }

    pub fn show_to(&mut self, id: &str, uid: &str, content: u8) {
        self.show_named(id, uid, uid, content);
    }

    pub fn show_named(&mut self, id: &str, uid: &str, name: &str, content: u8) {
        let row = self.row(&config_map(), uid, name, content);
        self.see(id, &config_map(), uid, Seen::Selected(row));
    }

    pub fn gone(&mut self, uid: &str) {
        self.rv += 1;
        let rv = self.rv;
        self.see(S, &config_map(), uid, Seen::Gone { rv });
    }

    pub fn deselect(&mut self, uid: &str) {
        let row = self.row(&config_map(), uid, uid, 0);
        self.see(S, &config_map(), uid, Seen::Deselected(row));
    }

    /// What the driver does until there is nothing to do.
    pub fn poll(&mut self) {
        while let Some(action) = self.engine.poll(self.now) {
            match action {
                Action::Commit(batch) => {
                    self.committed.push((self.now.mono, batch.records.len()));
                    self.batches.push(batch);
                    if self.commits_at_once {
                        self.commit();
                    }
                }
                Action::Fold => self.folds.push(self.now.mono),
                Action::Send(attempt) => {
                    let sent = told(self.now.mono, &attempt);
                    self.sent.push(sent.clone());
                    match (self.script)(&sent) {
                        Some(outcome) => self.engine.answered(self.now, &attempt, outcome, self.jitter),
                        None => self.requests.push(*attempt),
                    }
                }
            }
        }
        let findings = self.engine.audit();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The commit under way is durable.
    pub fn commit(&mut self) {
        let batch = self.batches.remove(0);
        for record in &batch.records {
            self.durable.apply(record);
        }
        self.engine.stored(self.now, self.usage);
        self.engine.committed(self.now, batch.number);
    }

    pub fn answer(&mut self, uid: &str, outcome: Outcome) {
        self.answer_to(S, uid, outcome);
    }

    pub fn answer_to(&mut self, id: &str, uid: &str, outcome: Outcome) {
        let at = self.requests.iter().position(|attempt| {
            let sent = told(0, attempt);
            sent.subscription == id && sent.uid == uid
        });
        let attempt = self.requests.remove(at.expect("no request under way"));
        self.engine.answered(self.now, &attempt, outcome, self.jitter);
        self.poll();
    }

    pub fn answer_all(&mut self, outcome: &Outcome) {
        for attempt in std::mem::take(&mut self.requests) {
            self.engine.answered(self.now, &attempt, outcome.clone(), self.jitter);
            self.poll();
        }
    }

    pub fn script(&mut self, script: impl FnMut(&Sent) -> Option<Outcome> + 'static) {
        self.script = Box::new(script);
    }

    /// Time goes by, and the engine is woken when it asks for it.
    pub fn run_for(&mut self, milliseconds: u64) {
        let until = self.now.mono + milliseconds;
        let mut turns = 0;
        self.poll();
        while let Some(at) = self.engine.wake_at().filter(|at| *at <= until) {
            assert!(at > self.now.mono, "woken for nothing");
            self.advance(at - self.now.mono);
            turns += 1;
            assert!(turns < 100_000, "it spins");
        }
        self.advance(until - self.now.mono);
    }

    fn advance(&mut self, by: u64) {
        self.now = Now { mono: self.now.mono + by, wall: self.now.wall + by as i64 };
        self.poll();
    }

    /// Whether any view was to be taken since this was asked last.
    pub fn changed(&mut self) -> bool {
        std::iter::from_fn(|| self.engine.next_changed()).count() > 0
    }

    pub fn view(&self) -> View {
        self.view_of(S)
    }

    pub fn view_of(&self, id: &str) -> View {
        self.engine.view(self.now, &SubscriptionId { uid: id.into() }).expect("the subscription is planned")
    }

    /// When requests about this object left, in milliseconds since `since`.
    pub fn times(&self, uid: &str, since: u64) -> Vec<u64> {
        self.sent.iter().filter(|sent| sent.uid == uid).map(|sent| sent.at - since).collect()
    }

    /// What was sent about this object.
    pub fn told(&self, uid: &str) -> Vec<(Change, Option<u8>)> {
        self.sent.iter().filter(|sent| sent.uid == uid).map(|sent| (sent.change, sent.content)).collect()
    }

    pub fn under_way(&self) -> Vec<String> {
        self.requests.iter().map(|attempt| told(0, attempt).uid).collect()
    }
}

fn told(at: u64, attempt: &Attempt) -> Sent {
    let (uid, content) = match &attempt.event.subject {
        Subject::Present(row) => (&row.uid, Some(row.digest.0[0])),
        Subject::Absent(identity) => (&identity.uid, None),
    };
    Sent {
        at,
        subscription: attempt.event.subscription.uid.to_string(),
        uid: uid.to_string(),
        change: attempt.event.change,
        content,
        sequence: attempt.event.sequence,
        number: attempt.number,
    }
}
