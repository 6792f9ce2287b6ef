//! The cluster: a few objects, a namespace whose label may deselect them all, and the subscription's plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use changehook_core::object::{Body, Digest, Gvk, ObjectName, Row, SourceEvent, SourceId, Unreadable};

use crate::setup::Setup;

/// What exists under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    pub place: u8,
    pub uid: u8,
    pub content: u8,
    pub label: bool,
    /// What is not can be seen, and not be understood.
    pub readable: bool,
    pub rv: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// One object a name, if it exists.
    pub places: Vec<Option<Object>>,
    /// Whether the namespace has the label that the subscription asks for.
    pub namespace: bool,
    /// Which of the world's plans is in force.
    pub plan: u8,
    pub rv: u8,
    pub uids: u8,
    /// Who is to be told by all means; only where some may be adopted instead.
    pub duties: BTreeSet<u8>,
    /// Who was selected at a time when who is selected may be adopted.
    pub adoptable: BTreeSet<u8>,
    /// Who was gone or not selected at some time; only where objects cannot be read.
    pub departed: BTreeSet<u8>,
    /// Whom an edit took out of the selection silently.
    pub silenced: BTreeSet<u8>,
}

/// What somebody does to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit {
    /// Content A becomes B, or B becomes A.
    Content(u8),
    /// The label by which it is selected goes, or comes.
    Label(u8),
    /// It cannot be read any more, until its next change.
    Blur(u8),
    Delete(u8),
    /// Under the same name, with another uid.
    Create(u8),
    /// The namespace's label goes, or comes; no object's version changes.
    Namespace,
    /// The subscription's spec is edited to another plan.
    Plan(u8),
}

/// What there is to hear of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum News {
    Upsert(Object),
    Blurred(Object),
    Deleted(Object, u8),
    /// A complete list of a kind: its version, its objects.
    List(u8, u8, Vec<Object>),
    /// The namespace has the label, or has lost it.
    Namespace(bool),
    /// The subscription's plan.
    Plan(u8),
}

/// The kind that lives at each place; a world with one kind has it everywhere.
pub fn kind(name: u8) -> Gvk {
    if name == 0 { Gvk::new("v1", "ConfigMap") } else { Gvk::new("example.io/v1", "Widget") }
}

pub fn source(name: u8) -> SourceId {
    SourceId { gvk: kind(name), namespace: None }
}

impl Cluster {
    pub fn empty(places: usize) -> Self {
        Self {
            places: vec![None; places],
            namespace: true,
            plan: 0,
            rv: 10,
            uids: 0,
            duties: BTreeSet::new(),
            adoptable: BTreeSet::new(),
            departed: BTreeSet::new(),
            silenced: BTreeSet::new(),
        }
    }

    /// What the cluster is after the edit, and what there is to hear of it.
    pub fn edited(&self, edit: Edit) -> Option<(Self, News)> {
        let mut next = self.clone();
        next.rv += 1;
        let rv = next.rv;
        let at = |place: u8| self.places[place as usize];
        let upsert = |next: &mut Self, object: Object| {
            next.places[object.place as usize] = Some(object);
            News::Upsert(object)
        };
        let news = match edit {
            Edit::Content(place) => {
                let object = at(place)?;
                upsert(&mut next, Object { content: 1 - object.content, readable: true, rv, ..object })
            }
            Edit::Label(place) => {
                let object = at(place)?;
                upsert(&mut next, Object { label: !object.label, readable: true, rv, ..object })
            }
            Edit::Blur(place) => {
                let object = at(place).filter(|object| object.readable)?;
                let object = Object { readable: false, rv, ..object };
                next.places[place as usize] = Some(object);
                News::Blurred(object)
            }
            Edit::Delete(place) => {
                let object = at(place)?;
                next.places[place as usize] = None;
                News::Deleted(object, rv)
            }
            Edit::Create(place) => {
                if at(place).is_some() {
                    return None;
                }
                let uid = self.uids + 1;
                next.uids = uid;
                upsert(&mut next, Object { place, uid, content: 0, label: true, readable: true, rv })
            }
            Edit::Namespace => {
                next.namespace = !self.namespace;
                News::Namespace(next.namespace)
            }
            Edit::Plan(plan) => {
                if plan == self.plan {
                    return None;
                }
                next.plan = plan;
                News::Plan(plan)
            }
        };
        Some((next, news))
    }

    /// What a list of the kind shows now.
    pub fn list(&self, setup: &Setup, kind: u8) -> News {
        let of_kind = self.objects().filter(|object| setup.kind_of(object.place) == kind);
        News::List(kind, self.rv, of_kind.copied().collect())
    }

    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.places.iter().flatten()
    }
}

impl Object {
    /// All that an endpoint is told of it, as one number.
    pub fn state(&self) -> u8 {
        self.content | u8::from(!self.label) << 1
    }

    fn called(&self) -> ObjectName {
        ObjectName { namespace: Some("team".to_owned()), name: name(self.place) }
    }

    pub fn row(&self, kind: u8) -> Arc<Row> {
        let labels: BTreeMap<Box<str>, Box<str>> =
            if self.label { [("x".into(), "".into())].into() } else { BTreeMap::new() };
        Arc::new(Row {
            gvk: Arc::new(self::kind(kind)),
            uid: uid(self.uid),
            namespace: Some("team".into()),
            name: name(self.place).into(),
            labels,
            rv: u64::from(self.rv),
            digest: digest(self.state()),
            version: None,
            body: Body::Missing("not looked at here"),
        })
    }
}

pub fn digest(state: u8) -> Digest {
    Digest([state; 16])
}

fn name(place: u8) -> String {
    format!("name-{place}")
}

pub fn uid(number: u8) -> Arc<str> {
    format!("uid-{number}").into()
}

/// Of a uid, or of a name.
pub fn number(uid: &str) -> u8 {
    uid.trim_start_matches(['u', 'i', 'd', 'n', 'a', 'm', 'e', '-']).parse().expect("uids and names are made above")
}

impl News {
    /// Which feed it comes by: a kind's watch, the namespace, or the subscription.
    pub fn feed(&self, setup: &Setup) -> u8 {
        match self {
            Self::Upsert(object) | Self::Blurred(object) | Self::Deleted(object, _) => setup.kind_of(object.place),
            Self::List(kind, ..) => *kind,
            Self::Namespace(_) => 2,
            Self::Plan(_) => 3,
        }
    }

    /// What the watch of the feed's kind reports.
    pub fn events(&self, setup: &Setup) -> Vec<SourceEvent> {
        let kind = self.feed(setup);
        match self {
            Self::Upsert(object) => vec![SourceEvent::Upsert(object.row(kind))],
            Self::Blurred(object) => vec![SourceEvent::Unreadable(object.called())],
            Self::Deleted(object, rv) => {
                let namespace = Some("team".into());
                vec![SourceEvent::Deleted { namespace, uid: uid(object.uid), rv: u64::from(*rv) }]
            }
            Self::List(_, rv, objects) => {
                let mut events = vec![SourceEvent::ListStarted];
                let readable = objects.iter().filter(|object| object.readable);
                events.extend(readable.map(|object| SourceEvent::Upsert(object.row(kind))));
                let blurred = objects.iter().filter(|object| !object.readable).map(Object::called).collect();
                events.push(SourceEvent::ListEnded { rv: u64::from(*rv), unreadable: Unreadable::Named(blurred) });
                events
            }
            Self::Namespace(_) | Self::Plan(_) => Vec::new(),
        }
    }
}
