//! Any events in any order and any plans, against a model that keeps plain lists and computes everything anew.
//!
//! The model knows nothing of plans that move between sources of one kind: `cluster` tests those.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::object::ObjectKey;

const KINDS: [&str; 2] = ["ConfigMap", "Secret"];
/// uid, namespace, name; the first three are namesakes.
const OBJECTS: [(&str, &str, &str); 6] =
    [("u0", "a", "x"), ("u1", "a", "x"), ("u2", "a", "x"), ("u3", "a", "y"), ("u4", "b", "x"), ("u5", "", "x")];
const SUBSCRIPTIONS: [&str; 2] = ["s", "t"];

#[derive(Clone, Debug)]
enum Step {
    Event { kind: usize, event: Event },
    Plan { subscription: usize, wishes: [Option<Wish>; 2] },
    Remove { subscription: usize },
    Drop { kind: usize },
}

#[derive(Clone, Copy, Debug)]
enum Event {
    ListStarted,
    Upsert { object: usize, rv: u64 },
    Deleted { object: usize, rv: u64 },
    ListEnded { rv: u64, unreadable: Option<usize> },
    ListEndedNameless { rv: u64 },
    Unreadable { object: usize },
    KindAbsent,
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    namespace: Option<&'static str>,
    app: Option<&'static str>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let object = 0..OBJECTS.len();
    let rv = 1_u64..40;
    let event = prop_oneof![
        2 => Just(Event::ListStarted),
        12 => (object.clone(), rv.clone()).prop_map(|(object, rv)| Event::Upsert { object, rv }),
        4 => (object.clone(), rv.clone()).prop_map(|(object, rv)| Event::Deleted { object, rv }),
        3 => (rv.clone(), proptest::option::of(object.clone()))
            .prop_map(|(rv, unreadable)| Event::ListEnded { rv, unreadable }),
        1 => rv.prop_map(|rv| Event::ListEndedNameless { rv }),
        2 => object.prop_map(|object| Event::Unreadable { object }),
        1 => Just(Event::KindAbsent),
    ];
    let choice = |values: [Option<&'static str>; 3]| proptest::sample::select(values.to_vec());
    let wish = (choice([None, Some("a"), Some("b")]), choice([None, Some("web"), Some("db")]))
        .prop_map(|(namespace, app)| Wish { namespace, app });
    let wishes = proptest::array::uniform2(proptest::option::weighted(0.7, wish));
    let step = prop_oneof![
        20 => (0..KINDS.len(), event).prop_map(|(kind, event)| Step::Event { kind, event }),
        4 => (0..SUBSCRIPTIONS.len(), wishes).prop_map(|(subscription, wishes)| Step::Plan { subscription, wishes }),
        1 => (0..SUBSCRIPTIONS.len()).prop_map(|subscription| Step::Remove { subscription }),
        1 => (0..KINDS.len()).prop_map(|kind| Step::Drop { kind }),
    ];
    proptest::collection::vec(step, 0..120)
}

/// What a version of an object looks like: the same version always looks the same.
fn version(kind: usize, object: usize, rv: u64) -> Row {
    let (uid, namespace, name) = OBJECTS[object];
    let labels: &[(&str, &str)] = match (object as u64 + rv) % 3 {
        0 => &[],
        1 => &[("app", "web")],
        _ => &[("app", "db")],
    };
    row(namespace, name, &format!("{}-{uid}", KINDS[kind]), rv, labels)
}

#[derive(Default)]
struct Model {
    cached: Vec<Cached>,
    wishes: [[Option<Wish>; 2]; 2],
    synced: [Option<Synced>; 2],
    highest: [u64; 2],
    /// The kind's names that could not be read since its last list began.
    unreadable: [BTreeSet<ObjectName>; 2],
    /// The last list held something that could not be read and had no name.
    nameless: [bool; 2],
    listing: [bool; 2],
}

struct Cached {
    kind: usize,
    object: usize,
    rv: u64,
    readable: bool,
    shown: bool,
}

impl Model {
    fn apply(&mut self, kind: usize, event: Event) {
        match event {
            Event::ListStarted => {
                self.synced[kind].take_if(|synced| *synced == Synced::Absent);
                self.unreadable[kind].clear();
                self.listing[kind] = true;
                self.cached.iter_mut().filter(|row| row.kind == kind).for_each(|row| row.shown = false);
            }
            Event::Upsert { object, rv } => {
                self.highest[kind] = self.highest[kind].max(rv);
                self.can_be_read(kind, object);
                let namesake = |row: &Cached| {
                    row.kind == kind
                        && OBJECTS[row.object].1 == OBJECTS[object].1
                        && OBJECTS[row.object].2 == OBJECTS[object].2
                };
                for row in self.cached.iter_mut().filter(|row| row.kind == kind && row.object == object) {
                    row.shown = true;
                }
                if !self.cached.iter().any(|row| namesake(row) && row.rv > rv) {
                    self.cached.retain(|row| !namesake(row));
                    self.cached.push(Cached { kind, object, rv, readable: true, shown: true });
                }
            }
            Event::Deleted { object, rv } => {
                self.highest[kind] = self.highest[kind].max(rv);
                let before = self.cached.len();
                self.cached.retain(|row| row.kind != kind || row.object != object || row.rv > rv);
                if self.cached.len() < before {
                    self.can_be_read(kind, object);
                }
            }
            Event::Unreadable { object } => {
                self.unreadable[kind].insert(name(object));
                for row in &mut self.cached {
                    if row.kind == kind
                        && OBJECTS[row.object].1 == OBJECTS[object].1
                        && OBJECTS[row.object].2 == OBJECTS[object].2
                    {
                        row.readable = false;
                        row.shown = true;
                    }
                }
            }
            Event::ListEnded { rv, unreadable } => {
                self.highest[kind] = self.highest[kind].max(rv);
                if let Some(object) = unreadable {
                    let shown: Vec<bool> = self.cached.iter().map(|row| row.shown && row.readable).collect();
                    self.apply(kind, Event::Unreadable { object });
                    for (row, shown) in self.cached.iter_mut().zip(shown) {
                        row.readable |= shown;
                    }
                }
                self.cached.retain(|row| row.kind != kind || row.shown || row.rv > rv);
                (self.listing[kind], self.nameless[kind]) = (false, false);
                self.synced[kind] = Some(Synced::Listed { rv, unreadable: Unreadable::Named(Vec::new()) });
            }
            Event::ListEndedNameless { rv } => {
                self.highest[kind] = self.highest[kind].max(rv);
                (self.listing[kind], self.nameless[kind]) = (false, true);
                self.synced[kind] = Some(Synced::Listed { rv, unreadable: Unreadable::Unknown });
            }
            Event::KindAbsent => {
                self.cached.retain(|row| row.kind != kind);
                self.unreadable[kind].clear();
                (self.listing[kind], self.nameless[kind]) = (false, false);
                self.synced[kind] = Some(Synced::Absent);
            }
        }
        if let Some(Synced::Listed { unreadable, .. }) = &mut self.synced[kind] {
            *unreadable = if self.listing[kind] || self.nameless[kind] {
                Unreadable::Unknown
            } else {
                Unreadable::Named(self.unreadable[kind].iter().cloned().collect())
            };
        }
    }

    fn can_be_read(&mut self, kind: usize, object: usize) {
        self.unreadable[kind].remove(&name(object));
    }

    /// Whether an object without a row may be one that could not be read.
    fn is_in_the_dark(&self, kind: usize) -> bool {
        self.nameless[kind] || !self.unreadable[kind].is_empty()
    }

    /// What a subscription must have seen last of every object that it can see.
    fn expected(&self, subscription: usize) -> BTreeMap<ObjectKey, String> {
        let mut expected = BTreeMap::new();
        for cached in &self.cached {
            let row = version(cached.kind, cached.object, cached.rv);
            let Some(wish) = self.wishes[subscription][cached.kind] else { continue };
            if wish.namespace.is_some() && wish.namespace != row.namespace.as_deref() {
                continue;
            }
            let wanted = wish.app.is_none() || row.labels.get("app").map(|app| &**app) == wish.app;
            let seen = match (cached.readable, wanted) {
                (false, _) => "unknown".to_owned(),
                (true, true) => format!("selected {}", cached.rv),
                (true, false) => format!("deselected {}", cached.rv),
            };
            expected.insert(key(cached.kind, &row.uid), seen);
        }
        expected
    }
}

fn name(object: usize) -> ObjectName {
    named(OBJECTS[object].1, OBJECTS[object].2)
}

fn key(kind: usize, uid: &Arc<str>) -> ObjectKey {
    ObjectKey { kind: Arc::new(source(KINDS[kind], None).gvk.group_kind()), uid: Arc::clone(uid) }
}

fn source_event(kind: usize, event: Event) -> SourceEvent {
    match event {
        Event::ListStarted => SourceEvent::ListStarted,
        Event::Upsert { object, rv } => SourceEvent::Upsert(Arc::new(version(kind, object, rv))),
        Event::Deleted { object, rv } => {
            let row = version(kind, object, rv);
            SourceEvent::Deleted { namespace: row.namespace, uid: row.uid, rv }
        }
        Event::ListEnded { rv, unreadable } => {
            SourceEvent::ListEnded { rv, unreadable: Unreadable::Named(unreadable.into_iter().map(name).collect()) }
        }
        Event::ListEndedNameless { rv } => SourceEvent::ListEnded { rv, unreadable: Unreadable::Unknown },
        Event::Unreadable { object } => SourceEvent::Unreadable(name(object)),
        Event::KindAbsent => SourceEvent::KindAbsent,
    }
}

fn seen_text(seen: &Seen) -> String {
    match seen {
        Seen::Selected(row) => format!("selected {}", row.rv),
        Seen::Deselected(row) => format!("deselected {}", row.rv),
        Seen::Gone { rv } => format!("gone {rv}"),
        Seen::Unknown => "unknown".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_object_is_seen_as_a_model_that_recomputes_everything_says(steps in steps()) {
        let sources = KINDS.map(|kind| source(kind, None));
        let mut selection = Selection::new();
        let mut model = Model::default();
        let mut last: BTreeMap<(usize, ObjectKey), String> = BTreeMap::new();
        // The same, since the subscription's last plan: what a new plan covers is told again.
        let mut since_plan = last.clone();
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Event { kind, event } => {
                    model.apply(kind, event);
                    let synced = selection.apply(&sources[kind], source_event(kind, event), &mut out);
                    let completes =
                        matches!(event, Event::ListEnded { .. } | Event::ListEndedNameless { .. } | Event::KindAbsent);
                    prop_assert_eq!(&synced, &model.synced[kind].clone().filter(|_| completes));
                }
                Step::Plan { subscription, wishes } => {
                    let interests: Vec<_> = wishes
                        .iter()
                        .zip(&sources)
                        .filter_map(|(wish, source)| wish.map(|wish| (source, wish.namespace, app(wish.app))))
                        .collect();
                    let (plan, sources) = plan(SUBSCRIPTIONS[subscription], &interests);
                    selection.plan(&plan, &sources, &mut out);
                    since_plan.retain(|(who, _), _| *who != subscription);
                    model.wishes[subscription] = wishes;
                }
                Step::Remove { subscription } => {
                    selection.remove(&id(SUBSCRIPTIONS[subscription]));
                    model.wishes[subscription] = [None; 2];
                    last.retain(|(who, _), _| *who != subscription);
                    since_plan.retain(|(who, _), _| *who != subscription);
                }
                Step::Drop { kind } => {
                    selection.drop_source(&sources[kind]);
                    model.cached.retain(|row| row.kind != kind);
                    (model.synced[kind], model.highest[kind]) = (None, 0);
                    (model.listing[kind], model.nameless[kind]) = (false, false);
                    model.unreadable[kind].clear();
                    last.retain(|(_, key), _| key.kind.kind != KINDS[kind]);
                    since_plan.retain(|(_, key), _| key.kind.kind != KINDS[kind]);
                }
            }
            let by_event = matches!(step, Step::Event { .. });
            let observation_of = if let Step::Event { kind, .. } = step { Some(kind) } else { None };
            for observation in out {
                let who = SUBSCRIPTIONS.iter().position(|uid| **uid == *observation.subscription.uid).unwrap();
                let seen = seen_text(&observation.seen);
                let before = since_plan.insert((who, observation.object.clone()), seen.clone());
                last.insert((who, observation.object), seen.clone());
                // what was never read may be told to be gone again
                let once = !matches!(observation_of, Some(kind) if model.is_in_the_dark(kind) && seen.starts_with("gone"));
                prop_assert!(!by_event || !once || before.as_ref() != Some(&seen), "told twice: {seen}");
            }
            for subscription in 0..SUBSCRIPTIONS.len() {
                let expected = model.expected(subscription);
                for (key, seen) in &expected {
                    prop_assert_eq!(last.get(&(subscription, key.clone())), Some(seen), "{:?}", key);
                }
                for ((_, key), seen) in last.iter().filter(|((who, _), _)| *who == subscription) {
                    let ended = seen.starts_with("gone") || seen.starts_with("deselected");
                    prop_assert!(ended || expected.contains_key(key), "{key:?} is still {seen}");
                }
            }
            for (kind, source) in sources.iter().enumerate() {
                let rows = model.cached.iter().filter(|row| row.kind == kind).count();
                prop_assert_eq!(selection.rows_of(source), rows);
                prop_assert_eq!(selection.synced(source), model.synced[kind].clone());
            }
            prop_assert_eq!(selection.rows(), model.cached.len());
        }
    }
}
