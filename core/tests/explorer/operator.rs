//! One leader as shipped: selection and engine, driven the way the operator drives them, with a clock of its own that
//! stands still but for the moments the engine asks for.

use std::fmt;
use std::rc::Rc;

use changehook_core::Now;
use changehook_core::engine::{Action, Attempt, Batch, BreakerState, Engine};
use changehook_core::object::SourceEvent;
use changehook_core::outcome::{Class, Failure, Outcome, Reason};
use changehook_core::plan::Plan;
use changehook_core::select::{Observation, Seen, Selection};

use crate::cluster::{News, number, source};
use crate::durable::Ledger;
use crate::intern::{digest, digest_of_text};
use crate::setup::{NEVER, Setup};

/// What happens to a leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    Hears(News),
    /// The commit of that number is durable.
    Committed(u64),
    /// What came of an attempt, by its number.
    Answered(u32, Answer),
    /// Nothing, until the engine wants to be woken.
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Good,
    /// No answer in time.
    Lost,
    /// 422: this event's own trouble.
    Refused,
}

/// What a leader asks for after an input.
#[derive(Default)]
pub struct Wishes {
    pub commit: Option<Batch>,
    pub requests: Vec<Attempt>,
}

/// Of requests, at once, for one or two objects.
const FAR_TOO_MANY: usize = 8;

#[derive(Clone)]
pub struct Operator {
    engine: Engine,
    /// Shared between the many states of a leader that differ in its engine alone; and its digest.
    selection: (Rc<Selection>, u64),
    now: Now,
    plan: u8,
    namespace: bool,
}

impl Operator {
    /// Takes over a ledger that it has claimed. Its clock is later than any earlier leader's.
    pub fn start(setup: &Setup, ledger: &Ledger, plan: u8, namespace: bool) -> (Self, Wishes) {
        let now = Now { mono: 0, wall: i64::from(ledger.term) };
        let mut operator = Self {
            engine: Engine::claim(setup.settings, ledger.entries.clone(), now),
            selection: (Rc::new(Selection::new()), 0),
            now,
            plan,
            namespace,
        };
        let mut plan = setup.plan(plan).clone();
        plan.claims.witness = setup.witness(ledger);
        operator.assign(setup, plan, false);
        let wishes = operator.pump();
        (operator, wishes)
    }

    pub fn take(&mut self, setup: &Setup, input: &Input, attempt_of: impl Fn(u32) -> Attempt) -> Wishes {
        match input {
            Input::Hears(News::Namespace(has)) => {
                self.namespace = *has;
                let seen = self.look_again(setup);
                self.show(seen, false);
            }
            Input::Hears(News::Plan(plan)) => {
                self.plan = *plan;
                self.assign(setup, setup.plan(*plan).clone(), true);
            }
            Input::Hears(news @ (News::Upsert(_) | News::Blurred(_) | News::Deleted(..) | News::List(..))) => {
                for event in news.events(setup) {
                    self.hear(setup, news.feed(setup), event);
                }
            }
            Input::Committed(number) => self.engine.committed(self.now, *number),
            Input::Answered(request, answer) => {
                let outcome = match answer {
                    Answer::Good => Outcome::Delivered { status: 200 },
                    Answer::Lost => failed(Class::Endpoint, Reason::Timeout, None),
                    Answer::Refused => failed(Class::Event, Reason::ClientError, Some(422)),
                };
                self.engine.answered(self.now, &attempt_of(*request), outcome, 0);
            }
            Input::Tick => {
                if let Some(at) = self.engine.wake_at() {
                    // The wall clock is only ever shown; standing still it tells no two states apart.
                    self.now.mono = self.now.mono.max(at);
                }
            }
        }
        self.pump()
    }

    fn pump(&mut self) -> Wishes {
        let mut wishes = Wishes::default();
        // An engine that is broken may go on for ever.
        while wishes.requests.len() < FAR_TOO_MANY
            && let Some(action) = self.engine.poll(self.now)
        {
            match action {
                Action::Fold => unreachable!("nothing is sealed here"),
                Action::Commit(batch) => wishes.commit = Some(batch),
                Action::Send(attempt) => wishes.requests.push(*attempt),
            }
        }
        self.engine.forget_what_is_only_shown();
        wishes
    }

    fn assign(&mut self, setup: &Setup, plan: Plan, edited: bool) {
        self.engine.plan(self.now, plan.clone());
        let seen = self.look_again(setup);
        self.show(seen, edited);
        for interest in &plan.interests {
            let from = (0..setup.kinds()).map(source).find(|source| source.gvk == interest.gvk);
            if let Some(synced) = from.and_then(|source| self.selection.0.synced(&source)) {
                self.engine.conclude(self.now, &plan.id, &interest.gvk.group_kind(), &synced);
            }
        }
    }

    /// What the subscription sees of everything.
    fn look_again(&mut self, setup: &Setup) -> Vec<Observation> {
        let sources: Vec<_> = (0..setup.kinds()).map(source).collect();
        let mut seen = Vec::new();
        let plan = setup.plan(self.plan);
        self.select(|selection| selection.plan(plan, &sources, &mut seen));
        seen
    }

    fn select<T>(&mut self, change: impl FnOnce(&mut Selection) -> T) -> T {
        let (selection, digest) = &mut self.selection;
        let changed = change(Rc::make_mut(selection));
        *digest = digest_of_text(selection);
        changed
    }

    fn hear(&mut self, setup: &Setup, kind: u8, event: SourceEvent) {
        let source = source(kind);
        match &event {
            SourceEvent::Upsert(row) => self.engine.source_at(&source, row.rv),
            SourceEvent::Deleted { rv, .. } | SourceEvent::ListEnded { rv, .. } => self.engine.source_at(&source, *rv),
            SourceEvent::ListStarted | SourceEvent::Unreadable(_) | SourceEvent::KindAbsent => {}
        }
        let mut seen = Vec::new();
        let synced = self.select(|selection| selection.apply(&source, event, &mut seen));
        self.show(seen, false);
        if let Some(synced) = synced {
            let id = &setup.plan(self.plan).id;
            self.engine.conclude(self.now, id, &source.gvk.group_kind(), &synced);
        }
    }

    /// A namespace without the label deselects what is in it, whatever the objects say.
    fn show(&mut self, seen: Vec<Observation>, edited: bool) {
        for mut observation in seen {
            if let Seen::Selected(row) = &observation.seen
                && !self.namespace
            {
                observation.seen = Seen::Deselected(row.clone());
            }
            if edited {
                self.engine.replanned(self.now, observation);
            } else {
                self.engine.observe(self.now, observation);
            }
        }
    }

    pub fn digest(&self) -> u64 {
        digest(&(
            digest_of_text(&self.engine),
            self.selection.1,
            self.now.mono,
            self.now.wall,
            self.plan,
            self.namespace,
        ))
    }

    pub fn wakes(&self) -> bool {
        self.engine.wake_at().is_some_and(|at| at < NEVER)
    }

    pub fn agrees_with_itself(&self) -> Result<(), String> {
        let findings = self.engine.audit();
        let error = || format!("the engine disagrees with itself: {}", findings.join("; "));
        if findings.is_empty() { Ok(()) } else { Err(error()) }
    }

    /// It has nothing left to do, and waits for no outage to end.
    pub fn rests(&self, plan: &Plan) -> bool {
        let view = self.engine.view(self.now, &plan.id);
        let healthy = view.is_some_and(|view| view.endpoint.breaker == BreakerState::Closed);
        healthy && !self.wakes() && self.engine.is_drained() && self.is_at_rest(plan).is_ok()
    }

    /// The plan it has.
    pub fn plan<'a>(&self, setup: &'a Setup) -> &'a Plan {
        setup.plan(self.plan)
    }

    /// Nothing is owed, nothing is under way, every baseline is closed.
    pub fn is_at_rest(&self, plan: &Plan) -> Result<(), String> {
        let view = self.engine.view(self.now, &plan.id).ok_or("no such subscription")?;
        let behind = (view.pending, view.retrying, u64::from(view.in_flight));
        if behind == (0, 0, 0) && view.live {
            Ok(())
        } else {
            Err(format!("it comes to rest with {behind:?} pending, retrying, in flight; live: {}", view.live))
        }
    }

    pub fn is_live(&self, plan: &Plan) -> bool {
        self.engine.view(self.now, &plan.id).is_some_and(|view| view.live)
    }

    /// Who is reported as given up for now.
    pub fn parked(&self, plan: &Plan) -> Vec<u8> {
        let view = self.engine.view(self.now, &plan.id);
        let samples = view.into_iter().flat_map(|view| view.parked_samples);
        let mut parked: Vec<u8> = samples.map(|sample| number(&sample.uid)).collect();
        parked.sort_unstable();
        parked
    }
}

fn failed(class: Class, reason: Reason, http_status: Option<u16>) -> Outcome {
    Outcome::Failed(Failure { class, reason, http_status, message: String::new(), retry_after: None })
}

impl From<News> for Input {
    fn from(news: News) -> Self {
        Self::Hears(news)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hears(News::List(kind, rv, objects)) => write!(f, "list of kind {kind} at rv {rv}: {objects:?}"),
            Self::Hears(news) => write!(f, "{news:?}"),
            Self::Committed(_) | Self::Answered(..) | Self::Tick => write!(f, "{self:?}"),
        }
    }
}
