//! The cluster: kinds that come and go, their objects, and what a watch or a list says of them, now or a while ago.

use std::collections::BTreeMap;
use std::sync::Arc;

use changehook_core::object::{Body, Digest, Gvk, ObjectName, Row, SourceEvent, SourceId, Unreadable};

use crate::schedule::Step;
use crate::world::World;

pub const KINDS: usize = 2;
pub const TEAM: &str = "team";
const LABELS: [&str; 2] = ["x", "y"];

pub struct Kind {
    pub gvk: Arc<Gvk>,
    pub served: bool,
    names: [Arc<str>; NAMES.len()],
    /// What exists now, by name.
    pub objects: Vec<Option<Arc<Row>>>,
    /// What happened since it was last installed: the version, what a watch says of it, and what existed then.
    past: Vec<(u64, Option<SourceEvent>, Vec<Option<Arc<Row>>>)>,
}

impl Kind {
    pub fn new(api_version: &str, kind: &str, names: usize, bulky: bool) -> Self {
        let gvk = Gvk::new(api_version, kind);
        let objects = vec![None; names];
        let long = if bulky { "x".repeat(900) } else { String::new() };
        let names = NAMES.map(|name| format!("{name}{long}").into());
        Self { gvk: Arc::new(gvk), served: true, past: vec![(10, None, objects.clone())], objects, names }
    }

    /// Where a leader hears of it: in the whole cluster, or in the only namespace that has any.
    pub fn source(&self, narrow: bool) -> SourceId {
        SourceId { gvk: (*self.gvk).clone(), namespace: narrow.then(|| TEAM.to_owned()) }
    }

    /// What a watch says that begins with a list from an API server that is `behind` by so many changes: its version, and
    /// the events.
    pub fn list(&self, rv: u64, behind: usize, unreadable: Unreadable) -> (u64, Vec<SourceEvent>) {
        if !self.served {
            return (rv, vec![SourceEvent::KindAbsent]);
        }
        let at = self.past.len() - 1 - behind.min(self.past.len() - 1);
        let (then, _, objects) = &self.past[at];
        let rv = if behind == 0 { rv } else { *then };
        let mut events = Vec::with_capacity(8);
        events.push(SourceEvent::ListStarted);
        let listed = objects.iter().flatten().filter(|row| match &unreadable {
            Unreadable::Named(names) => names.iter().all(|name| *name.name != *row.name),
            Unreadable::Unknown => true,
        });
        // One that not even its name could be read of is left out; it may be any of them.
        let listed = listed.skip(usize::from(unreadable == Unreadable::Unknown));
        events.extend(listed.map(|row| SourceEvent::Upsert(Arc::clone(row))));
        events.push(SourceEvent::ListEnded { rv, unreadable });
        events.extend(self.past[at + 1..].iter().filter_map(|(_, event, _)| event.clone()));
        (rv, events)
    }

    /// The object is there, and `matched` whenever anything was said of it.
    pub fn has_always(&self, uid: &str, matched: impl Fn(&Row) -> bool) -> bool {
        let said = self.past.iter().filter_map(|(_, event, _)| match event {
            Some(SourceEvent::Upsert(row)) if *row.uid == *uid => Some(row),
            _ => None,
        });
        self.objects.iter().flatten().any(|row| *row.uid == *uid) && said.into_iter().all(|row| matched(row))
    }

    /// What the object was in that version.
    pub fn content_of(&self, uid: &str, rv: u64) -> Option<u8> {
        self.past.iter().find_map(|(_, event, _)| match event {
            Some(SourceEvent::Upsert(row)) if *row.uid == *uid && row.rv == rv => Some(content(row)),
            _ => None,
        })
    }

    pub fn name_of(&self, name: usize) -> ObjectName {
        ObjectName { namespace: Some(TEAM.to_owned()), name: self.names[name % self.objects.len()].to_string() }
    }

    fn row(&self, name: usize, uid: Arc<str>, rv: u64, content: u8, labels: [bool; 2]) -> Arc<Row> {
        let labels: BTreeMap<Box<str>, Box<str>> =
            LABELS.into_iter().zip(labels).filter(|(_, has)| *has).map(|(l, _)| (l.into(), "".into())).collect();
        Arc::new(Row {
            gvk: self.gvk.clone(),
            uid,
            namespace: Some(TEAM.into()),
            name: Arc::clone(&self.names[name]),
            labels,
            rv,
            digest: Digest([content; 16]),
            version: None,
            body: Body::Missing("not looked at here"),
        })
    }
}

pub const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

pub fn content(row: &Row) -> u8 {
    row.digest.0[0]
}

fn labels(row: &Row) -> [bool; 2] {
    LABELS.map(|label| row.labels.contains_key(label))
}

impl World {
    /// Something changes in the cluster.
    pub fn change(&mut self, step: Step) {
        match step {
            Step::Touch { kind, name, content } => self.put_object(kind, name, |_, had| Some((content, had))),
            Step::Label { kind, name, label } => self.put_object(kind, name, |row, mut has| {
                has[usize::from(label % 2)] ^= true;
                row.map(|row| (content(row), has))
            }),
            Step::Delete { kind, name, again } => self.delete(kind, name, again),
            Step::Serve { kind } => self.serve(kind),
            _ => unreachable!("not a change of the cluster"),
        }
    }

    /// Creates or changes an object, if there is one to change. `edit` makes the new content and labels of the old ones.
    fn put_object(
        &mut self,
        kind: u8,
        name: u8,
        edit: impl FnOnce(Option<&Row>, [bool; 2]) -> Option<(u8, [bool; 2])>,
    ) {
        let at = usize::from(kind) % KINDS;
        let kind = &self.kinds[at];
        let name = usize::from(name) % kind.objects.len();
        let row = kind.objects[name].as_deref();
        // A new object has both labels; an edit takes them away.
        let Some((content, labels)) = edit(row, row.map_or([true; 2], labels)) else { return };
        if !kind.served {
            return;
        }
        let uid = row.map_or_else(|| self.uids.next(), |row| Arc::clone(&row.uid));
        self.rv += 1;
        let row = self.kinds[at].row(name, uid, self.rv, content, labels);
        self.kinds[at].objects[name] = Some(Arc::clone(&row));
        self.report(at, SourceEvent::Upsert(row));
    }

    fn delete(&mut self, kind: u8, name: u8, again: bool) {
        let at = usize::from(kind) % KINDS;
        let name_at = usize::from(name) % self.kinds[at].objects.len();
        let Some(row) = self.kinds[at].objects[name_at].take() else { return };
        self.rv += 1;
        let deleted = SourceEvent::Deleted { namespace: Some(TEAM.into()), uid: Arc::clone(&row.uid), rv: self.rv };
        self.report(at, deleted);
        if again {
            self.put_object(kind, name, |_, labels| Some((content(&row), labels)));
        }
    }

    fn serve(&mut self, kind: u8) {
        // Only the second kind is a custom one.
        if usize::from(kind) % KINDS != 1 {
            return;
        }
        self.rv += 1;
        let rv = self.rv;
        let kind = &mut self.kinds[1];
        kind.served = !kind.served;
        kind.objects.fill(None);
        kind.past = vec![(rv, None, kind.objects.clone())];
        for at in 0..self.leaders.len() {
            self.list_for(at, 1, 0, Unreadable::Named(Vec::new()), true);
        }
    }

    /// Every watch has something to say.
    fn report(&mut self, at: usize, event: SourceEvent) {
        for leader in &mut self.leaders {
            leader.watches[at].push_back(event.clone());
        }
        let kind = &mut self.kinds[at];
        kind.past.push((self.rv, Some(event), kind.objects.clone()));
    }

    /// Every object gets a content it did not have before.
    pub fn touch_everything(&mut self) {
        for kind in 0..KINDS {
            for name in 0..self.kinds[kind].objects.len() {
                let exists = self.kinds[kind].objects[name].is_some();
                if exists {
                    self.put_object(kind as u8, name as u8, |row, had| row.map(|row| (content(row) + 2, had)));
                }
            }
        }
    }

    /// The cluster is as it was so many changes ago, and counts its versions from there.
    pub fn set_back(&mut self, changes: usize) {
        self.was_set_back = true;
        let mut past: Vec<u64> = self.kinds.iter().flat_map(|kind| kind.past.iter().map(|(rv, ..)| *rv)).collect();
        past.sort_unstable();
        let Some(rv) = past.len().checked_sub(changes + 1).map(|at| past[at].max(10)) else { return };
        if self.kinds.iter().any(|kind| kind.past[0].0 > rv) {
            // A kind was installed since, or uninstalled: that is another story.
            return;
        }
        self.rv = rv;
        for kind in &mut self.kinds {
            kind.past.retain(|(at, ..)| *at <= rv);
            kind.objects.clone_from(&kind.past.last().expect("the first is older").2);
        }
    }
}
