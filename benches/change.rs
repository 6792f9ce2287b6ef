//! The way of one change, step by step: a line of a watch becomes a row, a row a decision, an event a body, a body its
//! signature.
//!
//! `cargo bench --bench change` measures; `cargo compare COMMIT` measures two commits in turns and prints the ratio.
//! `cargo test` runs each step once, so that none of them rots. The inputs are as large as they are in clusters: a
//! Deployment of an API server's answer, with its managedFields.

#![allow(missing_docs, reason = "criterion's macros make functions without documentation")]
#![allow(clippy::unwrap_used, reason = "a figure that cannot be made is no figure")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use changehook::watch;
use changehook_core::Now;
use changehook_core::engine::{Action, Engine, Settings};
use changehook_core::event::{Event, Object, RenderOptions, Subject, canonical, render, row, x_signature_256};
use changehook_core::ledger::Entries;
use changehook_core::object::{Digest, GroupKind, Gvk, ObjectKey, ObservedBy, Row, Unreadable};
use changehook_core::outcome::Outcome;
use changehook_core::plan::{
    Change, ChangeTypes, Claims, Interest, LabelSelector, Plan, Policy, Selector, SubscriptionId,
};
use changehook_core::retry::RetryPolicy;
use changehook_core::select::{Observation, Seen};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};

/// 2026-01-05T10:30:00Z
const NOW: i64 = 1_767_609_000_000;
/// As many objects as a subscription of one namespace may have in its ledger.
const OBJECTS: u64 = 10_000;
/// Subscriptions of one namespace that all see one change.
const CROWD: usize = 1_000;
/// Objects that change in their namespace.
const CROWDED: u64 = 20;

fn gvk() -> Arc<Gvk> {
    Arc::new(Gvk::new("apps/v1", "Deployment"))
}

fn subscription() -> SubscriptionId {
    SubscriptionId { uid: "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f".into() }
}

/// As the API server shows it, 5 KB.
fn deployment() -> Value {
    let labels = json!({"app.kubernetes.io/name": "api", "app.kubernetes.io/part-of": "shop",
        "app.kubernetes.io/version": "1.2.0", "pod-template-hash": "7f9c6d5b48"});
    let container = |name: &str| {
        let variable = |number: u8| json!({"name": format!("SETTING_{number}"), "value": format!("value {number}")});
        json!({
            "name": name, "image": format!("registry.example/shop/{name}:1.2.0@sha256:{}", "0f".repeat(32)),
            "imagePullPolicy": "IfNotPresent", "env": (0..10).map(variable).collect::<Vec<_>>(),
            "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
            "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
            "readinessProbe": {"failureThreshold": 3, "httpGet": {"path": "/readyz", "port": "http", "scheme": "HTTP"},
                "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        })
    };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "api", "namespace": "shop", "uid": "9f8e7d6c-5b4a-4321-8fed-cba987654321",
            "resourceVersion": "4711", "generation": 3, "creationTimestamp": "2026-01-05T10:00:00Z", "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "3", "kubernetes.io/description": "Sells things"},
            "managedFields": [{"apiVersion": "apps/v1", "fieldsType": "FieldsV1", "manager": "kubectl",
                "operation": "Update", "time": "2026-01-05T10:30:00Z", "fieldsV1": {"f:spec": {"f:template": {"f:spec":
                    {"f:containers": {"k:{\"name\":\"api\"}": {".": {}, "f:image": {}, "f:env": {".": {}}}}}}}}}],
        },
        "spec": {
            "replicas": 3, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app.kubernetes.io/name": "api"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container("api"), container("proxy")],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30}},
        },
        "status": {"availableReplicas": 3, "observedGeneration": 3, "readyReplicas": 3, "replicas": 3,
            "conditions": [{"lastTransitionTime": "2026-01-05T10:30:00Z", "message": "Deployment has minimum availability.",
                "reason": "MinimumReplicasAvailable", "status": "True", "type": "Available"}]},
    })
}

fn event(row: Row) -> Event {
    Event {
        subscription: subscription(),
        sequence: 3_731_590_134_923_271,
        change: Change::Updated,
        subject: Subject::Present(Arc::new(row)),
        previous_version: Some("1.1.0".into()),
        observed_by: ObservedBy::Watch,
        detected_at: NOW,
        declared_at: NOW,
    }
}

fn decode(criterion: &mut Criterion) {
    let gvk = gvk();
    let line = json!({"type": "MODIFIED", "object": deployment()}).to_string();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("a line of a watch to a row", |bench| {
        bench.iter(|| watch::row_in_line(&gvk, black_box(line.as_bytes())).unwrap());
    });
    group.finish();
}

fn wire(criterion: &mut Criterion) {
    let object = deployment();
    let text = object.to_string();
    let mut group = criterion.benchmark_group("canonical JSON");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("of a Deployment", |bench| bench.iter(|| canonical::to_vec(black_box(&object))));
    group.finish();

    let event = event(row(&gvk(), &text).unwrap());
    let options = RenderOptions { max_bytes: 262_144, object: Object::Full };
    let body = render(&event, &options).unwrap().body;
    let mut group = criterion.benchmark_group("render");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("an event to its body", |bench| bench.iter(|| render(black_box(&event), &options).unwrap()));
    group.finish();

    let mut group = criterion.benchmark_group("sign");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("a body", |bench| {
        bench.iter(|| x_signature_256(b"0123456789abcdef0123456789abcdef", black_box(&body)));
    });
    group.finish();
}

/// An engine that knows [`OBJECTS`] objects, all acknowledged, and what is needed to show it more.
struct Bench {
    engine: Engine,
    now: Now,
    kind: Arc<GroupKind>,
    row: Row,
    rv: u64,
}

impl Bench {
    fn new() -> Self {
        let now = Now { mono: 1_000, wall: NOW };
        let mut engine = Engine::claim(Settings::default(), Entries::default(), now);
        engine.plan(now, plan());
        let row = row(&gvk(), &deployment().to_string()).unwrap();
        let mut bench = Self { engine, now, kind: Arc::new(gvk().group_kind()), row, rv: 1 };
        for number in 0..OBJECTS {
            bench.show(number);
        }
        bench.engine.synced(now, &subscription(), &gvk().group_kind(), bench.rv, &Unreadable::Named(Vec::new()));
        bench.commit();
        bench
    }

    /// An object in a state that was not there before.
    fn show(&mut self, number: u64) {
        self.rv += 1;
        let (object, row) = self.object(number);
        let seen = Seen::Selected(row);
        self.engine
            .observe(self.now, Observation { subscription: subscription(), object, seen, by: ObservedBy::Watch });
    }

    fn object(&self, number: u64) -> (ObjectKey, Arc<Row>) {
        let uid: Arc<str> = format!("{number:08x}-0000-4000-8000-000000000000").into();
        let object = ObjectKey { kind: Arc::clone(&self.kind), uid: Arc::clone(&uid) };
        let name: Arc<str> = format!("api-{number}").into();
        let digest = Digest(self.rv.to_le_bytes().repeat(2).try_into().unwrap());
        (object, Arc::new(Row { uid, name, rv: self.rv, digest, ..self.row.clone() }))
    }

    /// Whatever is to be committed is, and requests leave that are never answered.
    fn commit(&mut self) {
        while let Some(action) = self.engine.poll(self.now) {
            if let Action::Commit(batch) = action {
                self.engine.committed(self.now, batch.number);
            }
        }
    }

    /// One change from being shown to being acknowledged: an observation, a commit, an attempt, an answer.
    fn deliver(&mut self) {
        self.now.mono += 1;
        self.show(self.rv * 7 % OBJECTS);
        loop {
            match self.engine.poll(self.now) {
                Some(Action::Commit(batch)) => self.engine.committed(self.now, batch.number),
                Some(Action::Send(attempt)) => {
                    return self.engine.answered(self.now, &attempt, Outcome::Delivered { status: 200 }, 0);
                }
                Some(Action::Fold) => {}
                None => self.now.mono += 1,
            }
        }
    }
}

/// Many subscriptions to one namespace, whose endpoints never answer.
struct Crowd {
    bench: Bench,
    subscriptions: Vec<SubscriptionId>,
}

impl Crowd {
    fn new() -> Self {
        let now = Now { mono: 1_000, wall: NOW };
        let mut engine = Engine::claim(Settings::default(), Entries::default(), now);
        let id = |number: usize| SubscriptionId { uid: format!("{number:08x}-6f1d-4f7e-9d0c-3a5b7c9d1e2f").into() };
        let subscriptions: Vec<SubscriptionId> = (0..CROWD).map(id).collect();
        let kind = Arc::new(gvk().group_kind());
        for id in &subscriptions {
            engine.plan(now, Plan { id: id.clone(), ..plan() });
            engine.synced(now, id, &kind, 1, &Unreadable::Named(Vec::new()));
        }
        let row = row(&gvk(), &deployment().to_string()).unwrap();
        let mut crowd = Self { bench: Bench { engine, now, kind, row, rv: 1 }, subscriptions };
        for _ in 0..CROWDED {
            crowd.change();
            crowd.bench.commit();
        }
        crowd
    }

    /// One object is in a state that was not there before, and everybody sees it.
    fn change(&mut self) {
        self.bench.rv += 1;
        let (object, row) = self.bench.object(self.bench.rv % CROWDED);
        for subscription in &self.subscriptions {
            let (subscription, object, seen) = (subscription.clone(), object.clone(), Seen::Selected(Arc::clone(&row)));
            let observation = Observation { subscription, object, seen, by: ObservedBy::Watch };
            self.bench.engine.observe(self.bench.now, observation);
        }
    }
}

fn plan() -> Plan {
    let labels = LabelSelector { match_labels: BTreeMap::new(), expressions: Vec::new() };
    let selector = Selector { labels, names: [].into(), namespaces: None };
    Plan {
        id: subscription(),
        generation: 1,
        namespace: "shop".into(),
        interests: vec![Interest { gvk: Gvk::new("apps/v1", "Deployment"), namespace: None, selector }],
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

fn engine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    let mut bench = Bench::new();
    group.bench_function("a change from shown to acknowledged", |timing| timing.iter(|| bench.deliver()));
    let mut bench = Bench::new();
    group.bench_function("a look with nothing to do", |timing| {
        timing.iter(|| assert!(bench.engine.poll(black_box(bench.now)).is_none()));
    });
    let mut crowd = Crowd::new();
    group.throughput(Throughput::Elements(CROWD as u64));
    group.bench_function("a change that 1000 subscriptions see", |timing| timing.iter(|| crowd.change()));
    group.finish();
}

criterion_group!(benches, decode, wire, engine);
criterion_main!(benches);
