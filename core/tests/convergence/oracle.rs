//! What must be true once everything is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use changehook_core::event::fingerprint;
use changehook_core::object::{Digest, SourceEvent};
use changehook_core::plan::Change;

use crate::receiver::Name;
use crate::world::World;

impl World {
    /// uid → content and name, of what a subscription selects.
    fn selected(&self, number: usize) -> BTreeMap<Arc<str>, (u8, Name)> {
        let mut selected = BTreeMap::new();
        for interest in &self.plans[number].interests {
            let kind = self.kinds.iter().find(|kind| *kind.gvk == interest.gvk).unwrap();
            for (name, object) in kind.names.iter().enumerate() {
                let Some(object) = object else { continue };
                let row = kind.row(name, object);
                if interest.selector.matches(&row) {
                    selected.insert(object.uid.clone(), (object.content, (kind.gvk.kind.clone(), row.name.clone())));
                }
            }
        }
        selected
    }

    fn parked(&self, number: usize) -> BTreeSet<Arc<str>> {
        let view = self.engine.view(self.now, &self.plans[number].id).unwrap();
        assert_eq!(view.parked as usize, view.parked_samples.len());
        view.parked_samples.into_iter().map(|sample| sample.uid).collect()
    }

    /// Adopted in just this state, and told nothing since.
    fn is_adopted(&self, number: usize, uid: &Arc<str>, content: u8) -> bool {
        let told = self.receivers[number].highest.get(uid).copied().unwrap_or(0);
        let state = fingerprint(&self.plans[number].id.uid, Digest([content; 16])).0.max(2);
        self.notes[number].adopted.get(uid).is_some_and(|(seq, fp)| *seq > told && *fp == state)
    }

    /// Each endpoint holds each selected object's newest state, or the object is parked, or was adopted like that.
    pub fn check_selected_are_held(&self) {
        for number in 0..self.plans.len() {
            let (holds, parked) = (&self.receivers[number].holds, self.parked(number));
            for (uid, (content, _)) in self.selected(number) {
                let right = holds.get(&uid) == Some(&content);
                let excused = parked.contains(&uid) || self.is_adopted(number, &uid, content);
                assert!(right || excused, "{uid} is {content}, the endpoint has {:?}", holds.get(&uid));
            }
        }
    }

    /// And nothing else, but what an edit silenced, what is parked, and what a namesake has taken the place of.
    pub fn check_everything(&self) {
        self.check_selected_are_held();
        for number in 0..self.plans.len() {
            let (receiver, notes) = (&self.receivers[number], &self.notes[number]);
            let (selected, parked) = (self.selected(number), self.parked(number));
            for uid in receiver.holds.keys().filter(|uid| !selected.contains_key(*uid)) {
                let name = &receiver.called[uid];
                let replaced = notes.removed_failed.contains(uid)
                    && receiver.called.iter().any(|(other, called)| called == name && newer(other, uid));
                let excused = notes.silenced.contains_key(uid) || parked.contains(uid) || replaced;
                assert!(excused, "{uid} is gone, and the endpoint was not told");
            }
        }
    }

    /// A receiver that knows objects by their names has each selected one, unless it was never told of it.
    pub fn check_names(&self) {
        for number in 0..self.plans.len() {
            let (receiver, parked) = (&self.receivers[number], self.parked(number));
            for (uid, (content, name)) in self.selected(number) {
                let right = receiver.names.get(&name) == Some(&(uid.clone(), content));
                let excused = parked.contains(&uid) || self.is_adopted(number, &uid, content);
                assert!(right || excused, "{name:?} is {uid}, the endpoint has {:?}", receiver.names.get(&name));
            }
        }
    }

    /// Every kind of change that any endpoint was told.
    pub fn said(&self) -> impl Iterator<Item = Change> {
        self.receivers.iter().flat_map(|receiver| receiver.said.values().map(|(change, _)| *change))
    }

    /// Every object gets a content it did not have before.
    pub fn touch_everything(&mut self) {
        for kind in &mut self.kinds {
            for name in 0..kind.names.len() {
                self.rv += 1;
                if let Some(object) = &mut kind.names[name] {
                    (object.content, object.rv) = (object.content + 2, self.rv);
                    let row = kind.row(name, &kind.names[name].clone().unwrap());
                    kind.watch.push_back(SourceEvent::Upsert(row));
                }
            }
        }
    }
}

/// Uids are numbered in order of creation.
fn newer(one: &str, other: &str) -> bool {
    let number = |uid: &str| uid.trim_start_matches("uid-").parse::<u64>().unwrap();
    number(one) > number(other)
}
