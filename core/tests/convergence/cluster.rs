//! The cluster, and what the watches report of it: late, with gaps that a list heals.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use changehook_core::object::{Body, Digest, Gvk, ObjectName, Row, SourceEvent, SourceId, Unreadable};

use crate::world::{Random, World};

pub const KINDS: usize = 2;

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub uid: Arc<str>,
    pub content: u8,
    /// Which of the labels x and y it has.
    pub labels: [bool; 2],
    pub rv: u64,
}

pub struct Kind {
    pub gvk: Arc<Gvk>,
    pub source: SourceId,
    pub names: Vec<Option<Object>>,
    /// Reported, but not heard yet.
    pub watch: VecDeque<SourceEvent>,
    pub served: bool,
}

impl Kind {
    pub fn new(api_version: &str, kind: &str, names: usize) -> Self {
        let gvk = Gvk::new(api_version, kind);
        let source = SourceId { gvk: gvk.clone(), namespace: None };
        Self { gvk: Arc::new(gvk), source, names: vec![None; names], watch: VecDeque::new(), served: true }
    }

    pub fn row(&self, name: usize, object: &Object) -> Arc<Row> {
        let labels: BTreeMap<Box<str>, Box<str>> = ["x", "y"]
            .into_iter()
            .zip(object.labels)
            .filter(|(_, has)| *has)
            .map(|(l, _)| (l.into(), "".into()))
            .collect();
        Arc::new(Row {
            gvk: self.gvk.clone(),
            uid: object.uid.clone(),
            namespace: Some("team".into()),
            name: format!("name-{name}").into(),
            labels,
            rv: object.rv,
            digest: Digest([object.content; 16]),
            version: None,
            body: Body::Missing("not looked at here"),
        })
    }

    /// What a list reports now.
    pub fn list(&mut self, rv: u64) {
        if !self.served {
            self.watch.push_back(SourceEvent::KindAbsent);
            return;
        }
        self.watch.push_back(SourceEvent::ListStarted);
        for (name, object) in self.names.iter().enumerate() {
            if let Some(object) = object {
                self.watch.push_back(SourceEvent::Upsert(self.row(name, object)));
            }
        }
        self.watch.push_back(SourceEvent::ListEnded { rv, unreadable: Unreadable::Named(Vec::new()) });
    }
}

impl World {
    /// Something changes in the cluster.
    pub fn change(&mut self) {
        let at = self.random.below(KINDS as u64) as usize;
        self.rv += 1;
        let rv = self.rv;
        let (random, kind) = (&mut self.random, &mut self.kinds[at]);
        if !kind.served {
            return;
        }
        let name = random.below(kind.names.len() as u64) as usize;
        match kind.names[name].take() {
            None => kind.create(random, name, &mut self.next_uid, rv),
            Some(object) if random.one_in(if self.options.namesakes_often { 2 } else { 4 }) => {
                let (namespace, uid) = (Some("team".into()), object.uid);
                kind.watch.push_back(SourceEvent::Deleted { namespace, uid, rv });
                if random.one_in(2) {
                    self.rv += 1;
                    kind.create(random, name, &mut self.next_uid, self.rv);
                }
            }
            Some(mut object) => {
                if random.one_in(3) {
                    let label = random.below(2) as usize;
                    object.labels[label] = !object.labels[label];
                } else {
                    object.content = random.below(2) as u8;
                }
                object.rv = rv;
                kind.watch.push_back(SourceEvent::Upsert(kind.row(name, &object)));
                kind.names[name] = Some(object);
            }
        }
    }

    /// A watch breaks, and may have lost what it had not reported; a kind is not served any more, or is again; an object
    /// cannot be read until the next list.
    pub fn disturb(&mut self) {
        let at = self.random.below(KINDS as u64) as usize;
        let kind = &mut self.kinds[at];
        match self.random.below(4) {
            0 if at == 1 => {
                kind.watch.clear();
                kind.served = !kind.served;
                self.rv += 1;
                kind.names.fill(None);
                kind.list(self.rv);
            }
            1 if kind.served => {
                let name = format!("name-{}", self.random.below(kind.names.len() as u64));
                kind.watch.push_back(SourceEvent::Unreadable(ObjectName { namespace: Some("team".into()), name }));
            }
            _ => {
                if self.random.one_in(2) {
                    kind.watch.clear();
                }
                kind.list(self.rv);
            }
        }
    }
}

impl Kind {
    fn create(&mut self, random: &mut Random, name: usize, next_uid: &mut u64, rv: u64) {
        *next_uid += 1;
        let object = Object {
            uid: format!("uid-{next_uid}").into(),
            content: random.below(2) as u8,
            labels: [!random.one_in(4), !random.one_in(4)],
            rv,
        };
        self.watch.push_back(SourceEvent::Upsert(self.row(name, &object)));
        self.names[name] = Some(object);
    }
}
