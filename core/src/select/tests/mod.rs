//! Tests of the selection: sentences here and in `plans`, a naive model and a simulated cluster beside them.

mod cluster;
mod lists;
mod naive;
mod plans;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Backlog, Next, Observation, Seen, Selection, Sighted, Synced};
use crate::object::{Body, Digest, Gvk, ObjectName, Row, SourceEvent, SourceId, Unreadable};
use crate::plan::{ChangeTypes, Claims, Interest, Plan, Policy, Selector, SubscriptionId};
use crate::retry::RetryPolicy;

fn row(namespace: &str, name: &str, uid: &str, rv: u64, labels: &[(&str, &str)]) -> Row {
    Row {
        gvk: Arc::new(Gvk::new("v1", "ConfigMap")),
        uid: Arc::from(uid),
        namespace: (!namespace.is_empty()).then(|| Arc::from(namespace)),
        name: Arc::from(name),
        labels: labels.iter().map(|(key, value)| (Box::from(*key), Box::from(*value))).collect(),
        rv,
        digest: Digest([rv as u8; 16]),
        version: None,
        body: Body::Missing("not needed"),
    }
}

fn source(kind: &str, namespace: Option<&str>) -> SourceId {
    SourceId { gvk: Gvk::new("v1", kind), namespace: namespace.map(ToOwned::to_owned) }
}

fn id(uid: &str) -> SubscriptionId {
    SubscriptionId { uid: Arc::from(uid) }
}

/// A selector for `app=<value>`, or for everything.
fn app(value: Option<&str>) -> Selector {
    let mut selector = Selector::default();
    selector.labels.match_labels.extend(value.map(|value| ("app".to_owned(), value.to_owned())));
    selector
}

fn plan(uid: &str, interests: &[(&SourceId, Option<&str>, Selector)]) -> (Plan, Vec<SourceId>) {
    let sources = interests.iter().map(|(source, ..)| (*source).clone()).collect();
    let interests = interests
        .iter()
        .map(|(source, namespace, selector)| Interest {
            gvk: source.gvk.clone(),
            namespace: namespace.map(Arc::from),
            selector: selector.clone(),
        })
        .collect();
    let plan = Plan {
        id: id(uid),
        generation: 1,
        namespace: Arc::from("a"),
        interests,
        changes: ChangeTypes::ALL,
        suspended: false,
        held: false,
        retry: RetryPolicy::default(),
        max_in_flight: 1,
        host: Arc::from("example.com"),
        config_hash: 0,
        policy: Policy::default(),
        claims: Claims::default(),
    };
    (plan, sources)
}

fn deleted(namespace: &str, uid: &str, rv: u64) -> SourceEvent {
    SourceEvent::Deleted { namespace: (!namespace.is_empty()).then(|| Arc::from(namespace)), uid: Arc::from(uid), rv }
}

fn named(namespace: &str, name: &str) -> ObjectName {
    ObjectName { namespace: (!namespace.is_empty()).then(|| namespace.to_owned()), name: name.to_owned() }
}

fn complete(rv: u64) -> SourceEvent {
    SourceEvent::ListEnded { rv, unreadable: Unreadable::Named(Vec::new()) }
}

/// What is known after a list of `rv` that could not read these objects of namespace `a`.
fn listed(rv: u64, unreadable: &[&str]) -> Synced {
    Synced::Listed { rv, unreadable: Unreadable::Named(unreadable.iter().map(|name| named("a", name)).collect()) }
}

/// One watched kind, and what it tells, in a form short enough to compare: `sub uid what rv by`.
struct Bench {
    selection: Selection,
    source: SourceId,
}

impl Bench {
    fn new() -> Self {
        Self { selection: Selection::new(), source: source("ConfigMap", None) }
    }

    /// A bench with the subscription `s` on all of namespace `a`.
    fn with_namespace_a() -> Self {
        let mut bench = Self::new();
        let source = bench.source.clone();
        bench.plan("s", &[(&source, Some("a"), app(None))]);
        bench
    }

    fn tell(&mut self, event: SourceEvent) -> Vec<String> {
        let source = self.source.clone();
        self.tell_from(&source, event)
    }

    fn tell_from(&mut self, source: &SourceId, event: SourceEvent) -> Vec<String> {
        let mut out = Vec::new();
        self.selection.apply(source, event, &mut out);
        out.iter().map(text).collect()
    }

    fn upsert(&mut self, namespace: &str, name: &str, uid: &str, rv: u64) -> Vec<String> {
        self.tell(SourceEvent::Upsert(Arc::new(row(namespace, name, uid, rv, &[]))))
    }

    fn upsert_app(&mut self, namespace: &str, uid: &str, rv: u64, app: &str) -> Vec<String> {
        self.tell(SourceEvent::Upsert(Arc::new(row(namespace, uid, uid, rv, &[("app", app)]))))
    }

    fn plan(&mut self, uid: &str, interests: &[(&SourceId, Option<&str>, Selector)]) -> Vec<String> {
        let (plan, sources) = plan(uid, interests);
        let mut out = Vec::new();
        self.selection.plan(&plan, &sources, &mut out);
        out.iter().map(text).collect()
    }

    fn list(&mut self, rv: u64, objects: &[(&str, &str, u64)]) -> Vec<String> {
        let mut told = self.tell(SourceEvent::ListStarted);
        for (namespace, uid, rv) in objects {
            told.extend(self.upsert(namespace, uid, uid, *rv));
        }
        told.extend(self.tell(complete(rv)));
        told
    }
}

fn text(observation: &Observation) -> String {
    let seen = match &observation.seen {
        Seen::Selected(row) => format!("selected {}", row.rv),
        Seen::Deselected(row) => format!("deselected {}", row.rv),
        Seen::Gone { rv } => format!("gone {rv}"),
        Seen::Unknown => "unknown".to_owned(),
    };
    let (subscription, uid) = (&observation.subscription.uid, &observation.object.uid);
    format!("{subscription} {uid} {seen} {}", observation.by.as_wire())
}

const NOTHING: [&str; 0] = [];
