//! A simulated cluster that is watched the way real ones are, by sources that lag, relist, break off and cannot read
//! everything, and plans that move between them; what they report waits in a backlog for a while, or for no time, and is shown
//! to one subscription after the other. Two promises: nothing that exists is ever told to be gone, and in the end every
//! subscription sees the truth.

use proptest::prelude::*;

use super::*;

const NAMESPACES: [&str; 2] = ["a", "b"];
const NAMES: [&str; 3] = ["x", "y", "z"];
const SUBSCRIPTIONS: [&str; 2] = ["s", "t"];
/// The cluster-wide source and one a namespace, as when RBAC changes.
const SOURCES: [Option<&str>; 3] = [None, Some("a"), Some("b")];

#[derive(Clone, Copy, Debug)]
enum Step {
    Write { namespace: usize, name: usize, app: usize },
    Delete { namespace: usize, name: usize },
    Watch { source: usize, readable: bool },
    List { source: usize, broken: Option<usize>, unreadable: Option<usize>, nameless: bool },
    Plan { subscription: usize, wish: Option<Wish> },
    Drop { source: usize },
    Take { reports: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    /// `None` for all namespaces.
    namespace: Option<usize>,
    own_source: bool,
    app: Option<usize>,
}

impl Wish {
    fn source(self) -> usize {
        self.namespace.filter(|_| self.own_source).map_or(0, |namespace| namespace + 1)
    }

    fn covers(self, row: &Row) -> bool {
        self.namespace.is_none_or(|namespace| row.namespace.as_deref() == Some(NAMESPACES[namespace]))
    }
}

const APPS: [&str; 2] = ["web", "db"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (namespace, name) = (0..NAMESPACES.len(), 0..NAMES.len());
    let wish = (proptest::option::of(namespace.clone()), any::<bool>(), proptest::option::of(0..APPS.len()))
        .prop_map(|(namespace, own_source, app)| Wish { namespace, own_source, app });
    let step = prop_oneof![
        10 => (namespace.clone(), name.clone(), 0..APPS.len())
            .prop_map(|(namespace, name, app)| Step::Write { namespace, name, app }),
        5 => (namespace, name.clone()).prop_map(|(namespace, name)| Step::Delete { namespace, name }),
        12 => (0..SOURCES.len(), proptest::bool::weighted(0.9))
            .prop_map(|(source, readable)| Step::Watch { source, readable }),
        4 => (
            0..SOURCES.len(),
            proptest::option::weighted(0.3, 0_usize..4),
            proptest::option::weighted(0.3, name),
            proptest::bool::weighted(0.1),
        )
            .prop_map(|(source, broken, unreadable, nameless)| Step::List { source, broken, unreadable, nameless }),
        4 => (0..SUBSCRIPTIONS.len(), proptest::option::weighted(0.85, wish))
            .prop_map(|(subscription, wish)| Step::Plan { subscription, wish }),
        1 => (0..SOURCES.len()).prop_map(|source| Step::Drop { source }),
        8 => (1_usize..5).prop_map(|reports| Step::Take { reports }),
    ];
    proptest::collection::vec(step, 0..150)
}

/// The truth, and how far each source has read it.
struct Cluster {
    rv: u64,
    alive: BTreeMap<(usize, usize), Arc<Row>>,
    died: BTreeMap<Arc<str>, u64>,
    log: Vec<(usize, SourceEvent)>,
    /// The next log entry of each source that watches.
    cursors: [Option<usize>; 3],
    selection: Selection,
    backlog: Backlog,
    /// What is reported waits until somebody takes it in.
    slow: bool,
    wishes: [Option<Wish>; 2],
    seen: BTreeMap<(Arc<str>, Arc<str>), Seen>,
    /// The source has been told of something unreadable since its last good list.
    dim: [bool; 3],
}

fn source_id(index: usize) -> SourceId {
    source("ConfigMap", SOURCES[index])
}

fn reads(source: usize, namespace: usize) -> bool {
    SOURCES[source].is_none_or(|only| only == NAMESPACES[namespace])
}

impl Cluster {
    fn new(slow: bool) -> Self {
        Self {
            rv: 0,
            alive: BTreeMap::new(),
            died: BTreeMap::new(),
            log: Vec::new(),
            cursors: [None; 3],
            selection: Selection::new(),
            backlog: Backlog::new(1),
            slow,
            wishes: [None; 2],
            seen: BTreeMap::new(),
            dim: [false; 3],
        }
    }

    fn write(&mut self, namespace: usize, name: usize, app: usize) {
        self.rv += 1;
        let uid = self.alive.get(&(namespace, name)).map_or_else(|| format!("u{}", self.rv), |row| row.uid.to_string());
        let row = Arc::new(row(NAMESPACES[namespace], NAMES[name], &uid, self.rv, &[("app", APPS[app])]));
        self.alive.insert((namespace, name), Arc::clone(&row));
        self.log.push((namespace, SourceEvent::Upsert(row)));
    }

    fn delete(&mut self, namespace: usize, name: usize) {
        let Some(row) = self.alive.remove(&(namespace, name)) else { return };
        self.rv += 1;
        self.died.insert(Arc::clone(&row.uid), self.rv);
        self.log.push((namespace, deleted(NAMESPACES[namespace], &row.uid, self.rv)));
    }

    fn tell(&mut self, source: usize, event: SourceEvent) {
        self.report(source, Sighted::Event(event));
    }

    fn report(&mut self, source: usize, seen: Sighted) {
        self.backlog.push(&Arc::new(source_id(source)), seen);
        if !self.slow {
            self.take(usize::MAX);
        }
    }

    fn take(&mut self, reports: usize) {
        for _ in 0..reports {
            let Some(next) = self.backlog.pop(true) else {
                assert_eq!((self.backlog.len(), self.backlog.bytes()), (0, 0));
                return;
            };
            match next {
                Next::Report { source, seen: Sighted::Event(event), reached } => {
                    let mut out = Vec::new();
                    let whole = self.selection.has_orphans(&source);
                    self.selection.apply_ahead(&source, event, reached, &mut out);
                    if !whole {
                        self.backlog.keep(&mut out);
                    }
                    self.note(out);
                }
                Next::Report { seen: Sighted::Rewound, .. } => unreachable!("nothing is set back here"),
                Next::Report { source, seen: Sighted::Stopped, reached: _ } => self.selection.drop_source(&source),
                Next::Rest(part) => self.note(part),
            }
        }
    }

    fn note(&mut self, out: Vec<Observation>) {
        for Observation { subscription, object, seen, .. } in out {
            if let Seen::Gone { rv } = seen {
                let died = self.died.get(&object.uid);
                assert!(died.is_some_and(|died| *died <= rv), "{} is told to be gone at {rv}: {died:?}", object.uid);
            }
            self.seen.insert((subscription.uid, object.uid), seen);
        }
    }

    /// The next event that the source's watch has to show; false when there is none, or the source does not watch.
    fn watch(&mut self, source: usize, readable: bool) -> bool {
        let Some(cursor) = self.cursors[source] else { return false };
        let next = self.log[cursor..].iter().position(|(namespace, _)| reads(source, *namespace));
        let Some(next) = next.map(|offset| cursor + offset) else { return false };
        self.cursors[source] = Some(next + 1);
        let event = match self.log[next].1.clone() {
            SourceEvent::Upsert(row) if !readable => {
                self.dim[source] = true;
                SourceEvent::Unreadable(named(row.namespace.as_deref().unwrap(), &row.name))
            }
            event => event,
        };
        self.tell(source, event);
        true
    }

    fn list(&mut self, source: usize, broken: Option<usize>, unreadable: Option<usize>, nameless: bool) {
        let all: Vec<_> = self
            .alive
            .iter()
            .filter(|((namespace, _), _)| reads(source, *namespace))
            .map(|((_, name), row)| (*name, Arc::clone(row)))
            .collect();
        self.tell(source, SourceEvent::ListStarted);
        for (_, row) in all.iter().take(broken.unwrap_or(0)) {
            self.tell(source, SourceEvent::Upsert(Arc::clone(row)));
        }
        if broken.is_some() {
            self.tell(source, SourceEvent::ListStarted);
        }
        let mut bad = Vec::new();
        for (name, row) in all {
            if Some(name) == unreadable {
                bad.push(named(row.namespace.as_deref().unwrap(), &row.name));
            } else {
                self.tell(source, SourceEvent::Upsert(row));
            }
        }
        self.dim[source] = !bad.is_empty() || nameless;
        let unreadable = if nameless { Unreadable::Unknown } else { Unreadable::Named(bad) };
        self.tell(source, SourceEvent::ListEnded { rv: self.rv, unreadable });
        self.cursors[source] = Some(self.log.len());
    }

    fn plan(&mut self, subscription: usize, wish: Option<Wish>) {
        let source = wish.map(|wish| source_id(wish.source()));
        let interests: Vec<_> = wish
            .iter()
            .zip(&source)
            .map(|(wish, source)| (source, wish.namespace.map(|n| NAMESPACES[n]), app(wish.app.map(|app| APPS[app]))))
            .collect();
        let (plan, sources) = plan(SUBSCRIPTIONS[subscription], &interests);
        // what came of reports under the plan before it comes first
        let kept = self.backlog.take_of(&plan.id);
        self.note(kept);
        let mut out = Vec::new();
        self.selection.plan(&plan, &sources, &mut out);
        self.note(out);
        self.wishes[subscription] = wish;
    }

    /// As the operator does: a source that nobody reads any more is stopped.
    fn drop_source(&mut self, source: usize) {
        if self.wishes.iter().flatten().all(|wish| wish.source() != source) {
            self.report(source, Sighted::Stopped);
            // whoever asks for it again meanwhile is the engine's to conclude about
            self.take(usize::MAX);
            self.cursors[source] = None;
        }
    }

    /// Every source catches up, by its watch where it can; nothing more happens in the cluster.
    fn settle(&mut self) {
        for source in 0..SOURCES.len() {
            if self.dim[source] || self.cursors[source].is_none() {
                self.list(source, None, None, false);
            }
            while self.watch(source, true) {}
        }
        self.take(usize::MAX);
    }

    fn check(&self) {
        for (subscription, wish) in SUBSCRIPTIONS.iter().zip(self.wishes) {
            for row in self.alive.values().filter(|row| wish.is_some_and(|wish| wish.covers(row))) {
                let selected = wish.and_then(|wish| wish.app).is_none_or(|app| *row.labels["app"] == *APPS[app]);
                let expected =
                    if selected { Seen::Selected(Arc::clone(row)) } else { Seen::Deselected(Arc::clone(row)) };
                let seen = self.seen.get(&(Arc::from(*subscription), Arc::clone(&row.uid)));
                assert_eq!(seen, Some(&expected), "{subscription} sees {}", row.uid);
            }
        }
        for ((subscription, uid), seen) in &self.seen {
            let index = SUBSCRIPTIONS.iter().position(|s| **s == **subscription).unwrap();
            let wish = self.wishes[index];
            let visible = self.alive.values().any(|row| row.uid == *uid && wish.is_some_and(|wish| wish.covers(row)));
            let ended = matches!(seen, Seen::Gone { .. } | Seen::Deselected(_));
            assert!(visible || ended, "{subscription} still sees {uid} as {seen:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1200))]

    #[test]
    fn nothing_that_exists_is_told_to_be_gone_and_in_the_end_everyone_sees_the_truth(
        steps in steps(),
        slow in any::<bool>(),
    ) {
        let mut cluster = Cluster::new(slow);
        for step in steps {
            match step {
                Step::Write { namespace, name, app } => cluster.write(namespace, name, app),
                Step::Delete { namespace, name } => cluster.delete(namespace, name),
                Step::Watch { source, readable } => {
                    cluster.watch(source, readable);
                }
                Step::List { source, broken, unreadable, nameless } => {
                    cluster.list(source, broken, unreadable, nameless);
                }
                Step::Plan { subscription, wish } => cluster.plan(subscription, wish),
                Step::Drop { source } => cluster.drop_source(source),
                Step::Take { reports } => cluster.take(reports),
            }
        }
        cluster.settle();
        cluster.check();
    }
}
