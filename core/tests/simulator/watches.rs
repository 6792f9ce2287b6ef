//! What a leader hears of the cluster, as the operator's driver hands it to selection and engine.

use changehook_core::object::{SourceEvent, SourceId, Unreadable};
use changehook_core::select::{Observation, Seen, Synced};

use crate::brief;
use crate::cluster::KINDS;
use crate::endpoint::{name_number, number_of};
use crate::reference::Input;
use crate::schedule::Step;
use crate::world::World;

/// What the oracle remembers of what a leader showed its engine, for one subscription.
#[derive(Clone, Default)]
pub struct Sights {
    /// Kinds of which a list was complete, and could read everything, since the leader took over.
    pub listed: [bool; KINDS],
    /// By object: nothing, selected (true), or not known (false).
    pub shown: Vec<Option<bool>>,
}

impl Sights {
    fn set(&mut self, object: usize, shown: Option<bool>) {
        if self.shown.len() <= object {
            self.shown.resize(object + 1, None);
        }
        self.shown[object] = shown;
    }
}

fn all_read() -> Unreadable {
    Unreadable::Named(Vec::new())
}

impl World {
    /// Something happens to a watch, or it is heard.
    pub fn watch(&mut self, step: Step) {
        let current = self.leaders.len() - 1;
        match step {
            Step::Hear { old, kind, events } => {
                let Some(at) = self.leader(old) else { return };
                for _ in 0..=events % 4 {
                    if !self.hear(at, usize::from(kind) % KINDS) {
                        break;
                    }
                }
                if !old {
                    self.pump(at);
                }
            }
            Step::Relist { kind, lossy } => self.list_for(current, usize::from(kind) % KINDS, 0, all_read(), lossy),
            Step::StaleList { kind, behind } => {
                self.list_for(current, usize::from(kind) % KINDS, usize::from(behind), all_read(), true);
            }
            Step::BrokenList { kind, name, nameless } => {
                let kind = usize::from(kind) % KINDS;
                let unreadable = if nameless {
                    Unreadable::Unknown
                } else {
                    Unreadable::Named(vec![self.kinds[kind].name_of(usize::from(name))])
                };
                self.list_for(current, kind, 0, unreadable, true);
            }
            Step::Swallow { kind } => {
                let watch = &mut self.leaders[current].watches[usize::from(kind) % KINDS];
                // A list cannot lose a part and still be complete.
                if let Some(SourceEvent::Upsert(_) | SourceEvent::Deleted { .. }) = watch.back() {
                    let swallowed = watch.pop_back();
                    if let Some(SourceEvent::Upsert(row)) = swallowed {
                        self.overlooked.insert(number_of(&row.uid));
                    }
                }
            }
            Step::Move { kind, busy, behind } => {
                self.move_source(usize::from(kind) % KINDS, busy.then_some(usize::from(behind)));
            }
            Step::Overlook { kind, name } => {
                let at = usize::from(kind) % KINDS;
                let name = self.kinds[at].name_of(usize::from(name)).name;
                self.list_for(current, at, 0, all_read(), true);
                self.leaders[current].watches[at].retain(|event| match event {
                    SourceEvent::Upsert(row) if *row.name == *name => {
                        self.overlooked.insert(number_of(&row.uid));
                        false
                    }
                    _ => true,
                });
            }
            Step::Garble { kind, name } => {
                let at = usize::from(kind) % KINDS;
                if self.kinds[at].served {
                    let name = self.kinds[at].name_of(usize::from(name));
                    self.leaders[current].watches[at].push_back(SourceEvent::Unreadable(name));
                }
            }
            _ => unreachable!("nothing about a watch"),
        }
    }

    /// The watch of a kind starts anew, with a list. One from before what this leader, or one before it, has seen of the
    /// source is refused and asked for again.
    pub fn list_for(&mut self, at: usize, kind: usize, behind: usize, unreadable: Unreadable, lossy: bool) {
        let source = self.source(at, kind);
        let leader = &mut self.leaders[at];
        let floor = leader.engine.highest_version(&source);
        // Nothing guards whoever knows no version, or after a restore only that of a list's first part: that one is not told
        // of the past.
        let behind = if floor.is_none() || self.was_set_back { 0 } else { behind };
        let (mut rv, mut events) = self.kinds[kind].list(self.rv, behind, unreadable.clone());
        if floor.is_some_and(|floor| rv < floor) && !self.setup.gullible {
            self.counts.stale_refused += 1;
            (rv, events) = self.kinds[kind].list(self.rv, 0, unreadable);
        }
        assert!(rv <= self.rv);
        let watch = &mut leader.watches[kind];
        if lossy || events.len() == 1 {
            watch.clear();
        }
        watch.extend(events);
    }

    /// Where the leader hears of the kind.
    pub fn source(&self, at: usize, kind: usize) -> SourceId {
        self.kinds[kind].source(self.leaders[at].narrow[kind])
    }

    /// The present leader may not watch the whole cluster any more, or may again: it hears of the kind from another source,
    /// which has told somebody else already if it is `listed`, so many changes ago, and has not told the rest.
    fn move_source(&mut self, kind: usize, listed: Option<usize>) {
        let at = self.leaders.len() - 1;
        let former = self.source(at, kind);
        self.leaders[at].narrow[kind] ^= true;
        self.leaders[at].listing[kind] = false;
        let source = self.source(at, kind);
        self.list_for(at, kind, 0, all_read(), true);
        if let Some(behind) = listed.filter(|_| !self.was_set_back) {
            let (rv, events) = self.kinds[kind].list(self.rv, behind, all_read());
            let leader = &mut self.leaders[at];
            if leader.engine.highest_version(&source).is_none_or(|floor| rv >= floor) {
                leader.watches[kind] = events.into();
            }
        }
        let mut in_list = listed.is_some();
        while let Some(event) = self.leaders[at].watches[kind].pop_front_if(|_| in_list) {
            in_list = !matches!(event, SourceEvent::ListEnded { .. } | SourceEvent::KindAbsent);
            self.tell(|| format!("somebody else is shown of kind {kind}: {}", brief::event(&event)));
            self.note_version(at, kind, &event);
            self.leaders[at].selection.apply(&source, event, &mut Vec::new());
        }
        for number in 0..self.plans.len() {
            let Some(plan) = self.leaders[at].plans[number].clone() else { continue };
            if plan.interests.iter().all(|interest| interest.gvk != source.gvk) {
                continue;
            }
            let kinds = plan.interests.iter().map(|of| self.kinds.iter().position(|kind| *kind.gvk == of.gvk).unwrap());
            let sources: Vec<SourceId> = kinds.map(|kind| self.source(at, kind)).collect();
            let mut seen = std::mem::take(&mut self.seen);
            let leader = &mut self.leaders[at];
            leader.engine.plan(self.now, plan.clone());
            leader.selection.plan(&plan, &sources, &mut seen);
            self.show(at, &mut seen, true);
            self.seen = seen;
        }
        if let Some(synced) = self.leaders[at].selection.synced(&source) {
            self.complete(at, kind, &synced);
        }
        let leader = &mut self.leaders[at];
        // It lingers: nobody forgets how far it was before the other one has listed.
        if listed == Some(0) {
            leader.engine.forget_source(&former);
        }
        leader.selection.drop_source(&former);
        self.pump(at);
    }

    /// A leader hears the next event of a watch; false if there is none.
    pub fn hear(&mut self, at: usize, kind: usize) -> bool {
        let Some(event) = self.leaders[at].watches[kind].pop_front() else { return false };
        self.tell(|| format!("leader {at} hears of kind {kind}: {}", brief::event(&event)));
        self.note_version(at, kind, &event);
        let source = self.source(at, kind);
        let mut seen = std::mem::take(&mut self.seen);
        let synced = self.leaders[at].selection.apply(&source, event, &mut seen);
        self.show(at, &mut seen, false);
        self.seen = seen;
        if let Some(synced) = synced {
            self.complete(at, kind, &synced);
        }
        true
    }

    /// How far the leader's source of a kind is.
    fn note_version(&mut self, at: usize, kind: usize, event: &SourceEvent) {
        let source = self.source(at, kind);
        let leader = &mut self.leaders[at];
        match event {
            SourceEvent::ListStarted => leader.listing[kind] = true,
            // Also within a list: what is declared of it must not be newer than the source is known to be.
            SourceEvent::Upsert(row) => leader.engine.source_at(&source, row.rv),
            SourceEvent::Deleted { rv, .. } => leader.engine.source_at(&source, *rv),
            SourceEvent::ListEnded { rv, .. } => {
                leader.listing[kind] = false;
                leader.engine.source_at(&source, *rv);
            }
            SourceEvent::KindAbsent => leader.listing[kind] = false,
            SourceEvent::Unreadable(_) => {}
        }
    }

    /// A list of the kind is complete, or the kind is not installed.
    fn complete(&mut self, at: usize, kind: usize, synced: &Synced) {
        let gvk = self.kinds[kind].gvk.clone();
        let group_kind = gvk.group_kind();
        let current = at + 1 == self.leaders.len();
        for number in 0..self.plans.len() {
            let Some(plan) = self.leaders[at].plans[number].as_ref() else { continue };
            if !plan.interests.iter().any(|interest| interest.gvk == *gvk) {
                continue;
            }
            if current {
                self.inform(number, || match synced {
                    Synced::Listed { rv, unreadable } => {
                        Input::Listed { kind, rv: *rv, unreadable: numbers_of(unreadable) }
                    }
                    Synced::Absent => Input::KindAbsent(kind),
                });
            }
            let (leader, id) = (&mut self.leaders[at], &self.plans[number].id);
            leader.sights[number].listed[kind] |= match synced {
                Synced::Listed { unreadable, .. } => *unreadable == all_read(),
                Synced::Absent => true,
            };
            leader.engine.conclude(self.now, id, &group_kind, synced);
        }
    }

    /// What the selection saw, for the engine.
    pub fn show(&mut self, at: usize, seen: &mut Vec<Observation>, edited: bool) {
        let current = at + 1 == self.leaders.len();
        for observation in seen.drain(..) {
            let number = self.number(&observation.subscription);
            self.tell(|| format!("  {} sees {} {}", number, observation.object.uid, brief::seen(&observation.seen)));
            let object = number_of(&observation.object.uid);
            let shown = match observation.seen {
                Seen::Selected(_) => Some(true),
                Seen::Unknown => Some(false),
                Seen::Deselected(_) | Seen::Gone { .. } => None,
            };
            if current && shown.is_none() {
                self.endpoints[number].track(object).promised = false;
            }
            if current {
                self.inform_of(number, &observation);
            }
            let leader = &mut self.leaders[at];
            leader.sights[number].set(object, shown);
            if edited {
                leader.engine.replanned(self.now, observation);
            } else {
                leader.engine.observe(self.now, observation);
            }
        }
    }
}

fn numbers_of(unreadable: &Unreadable) -> Option<Vec<usize>> {
    match unreadable {
        Unreadable::Named(names) => Some(names.iter().map(|name| name_number(&name.name)).collect()),
        Unreadable::Unknown => None,
    }
}
