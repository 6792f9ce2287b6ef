//! What must be true once everything is delivered.

use std::collections::BTreeSet;

use changehook_core::ledger::Entry;
use changehook_core::object::ObjectKey;
use changehook_core::plan::{ChangeTypes, OnLoss};

use crate::cluster::content;
use crate::endpoint::{Track, name_of, number_of};
use crate::world::World;

impl World {
    /// Object, content, kind and name of what a subscription selects.
    fn selected(&self, number: usize) -> Vec<(usize, u8, usize, usize)> {
        let mut selected = Vec::new();
        for interest in &self.plans[number].interests {
            let at = self.kinds.iter().position(|kind| *kind.gvk == interest.gvk).unwrap();
            let rows = self.kinds[at].objects.iter().flatten().filter(|row| interest.selector.matches(row));
            selected.extend(rows.map(|row| (number_of(&row.uid), content(row), at, name_of(row))));
        }
        selected
    }

    /// It exists, and neither an edit nor a label ever took it out of the selection.
    pub fn was_always_selected(&self, number: usize, object: &ObjectKey) -> bool {
        let plan = &self.plans[number];
        plan.generation == 1
            && plan.interests.iter().any(|interest| {
                let kind = self.kinds.iter().find(|kind| *kind.gvk == interest.gvk).unwrap();
                interest.gvk.group_kind() == *object.kind
                    && kind.has_always(&object.uid, |row| interest.selector.matches(row))
            })
    }

    /// Every change is told, and the subscription was never edited.
    pub fn is_as_it_was(&self, number: usize) -> bool {
        self.setup.changes == ChangeTypes::ALL && !self.setup.change_types && self.plans[number].generation == 1
    }

    /// The last that the endpoint was told, and acknowledged, is what this version of the object is.
    pub fn has_it(&self, number: usize, object: &ObjectKey, rv: u64, entry: Option<&Entry>, resync: u64) -> bool {
        let Some(Entry { acked: Some(acked), sending: None, .. }) = entry else { return false };
        let Some(track) = self.endpoints[number].tracks.get(number_of(&object.uid)) else { return false };
        let content = self.kinds.iter().find_map(|kind| kind.content_of(&object.uid, rv));
        acked.rv > 0 && acked.seq >= resync && acked.seq == track.highest && content.is_some() && content == track.holds
    }

    fn parked(&self, number: usize) -> BTreeSet<usize> {
        let view = self.leaders[0].engine.view(self.now, &self.plans[number].id).unwrap();
        assert_eq!(view.parked as usize, view.parked_samples.len());
        view.parked_samples.into_iter().map(|sample| number_of(&sample.uid)).collect()
    }

    /// Adopted in just this state, and told nothing since.
    fn is_adopted(&self, number: usize, track: &Track, content: u8) -> bool {
        track.adopted.is_some_and(|(seq, fp)| seq > track.highest && fp == self.fingerprint(number, content))
    }

    /// The ledger has lost what the endpoint was told last, still has what it acknowledged before, which is what the object
    /// is by now, and is not to make up for losses.
    fn is_believed(&self, number: usize, object: usize, content: u8) -> bool {
        let track = self.endpoints[number].tracks.get(object);
        let lost = track.is_some_and(|track| track.highest <= track.lost_until);
        let book = self.durable.entries.books.get(&self.plans[number].id);
        let entry = book.and_then(|book| book.entries.iter().find(|(key, _)| number_of(&key.uid) == object));
        let acked = entry.and_then(|(_, entry)| entry.acked.filter(|_| entry.sending.is_none()));
        let same = acked.is_some_and(|acked| acked.fp.0 == self.fingerprint(number, content));
        self.setup.losses == Some(OnLoss::Adopt) && lost && same
    }

    /// The ledger knows it.
    fn is_remembered(&self, number: usize, object: usize) -> bool {
        let book = self.durable.entries.books.get(&self.plans[number].id);
        book.is_some_and(|book| book.entries.keys().any(|key| number_of(&key.uid) == object))
    }

    /// Each endpoint holds each selected object's newest state, or the object is parked, or was adopted like that.
    pub fn check_selected_are_held(&self) {
        let nothing = Track::default();
        for number in 0..self.plans.len() {
            let parked = self.parked(number);
            let mut kept_out = 0;
            for (object, content, ..) in self.selected(number) {
                let track = self.endpoints[number].tracks.get(object).unwrap_or(&nothing);
                let adopted = self.is_adopted(number, track, content) || self.is_believed(number, object, content);
                let excused = parked.contains(&object) || adopted;
                if track.holds == Some(content) || excused || track.is_discarded() {
                    continue;
                }
                if !self.is_remembered(number, object) {
                    kept_out += 1;
                    continue;
                }
                panic!("uid {object} is {content}, endpoint {number} has {:?}", track.holds);
            }
            let view = self.leaders[0].engine.view(self.now, &self.plans[number].id).unwrap();
            let held = view.crowd.map_or(0, |crowd| crowd.held);
            assert!(kept_out <= held, "{kept_out} of endpoint {number} are neither told nor reported as kept out");
        }
    }

    /// And nothing else, but what an edit silenced, what is parked, and what a namesake has taken the place of.
    pub fn check_everything(&self) {
        self.check_selected_are_held();
        for number in 0..self.plans.len() {
            let tracks = &self.endpoints[number].tracks;
            let (selected, parked) = (self.selected(number), self.parked(number));
            for (object, track) in tracks.iter().enumerate().filter(|(_, track)| track.holds.is_some()) {
                if selected.iter().any(|(other, ..)| *other == object) {
                    continue;
                }
                // Uids are numbered in order of creation; but after a restore the name may be an earlier one's again, and
                // that may be gone by now as well.
                let first = if self.was_set_back { 0 } else { object + 1 };
                let mut later = tracks.iter().enumerate().skip(first).filter(|(other, _)| *other != object);
                let again = selected.iter().any(|(_, _, kind, name)| track.called == Some((*kind, *name)));
                let replaced = track.removed_failed && (again || later.any(|(_, other)| other.called == track.called));
                let given_up = parked.contains(&object) || track.is_discarded();
                let excused = track.silenced.is_some() || given_up || replaced;
                assert!(excused, "uid {object} is gone, and endpoint {number} was not told");
            }
        }
    }

    /// A receiver that knows objects by their names has each selected one, unless it was never told of it; whether it looks
    /// at sequences or not.
    pub fn check_names(&self) {
        let nothing = Track::default();
        for number in 0..self.plans.len() {
            let (endpoint, parked) = (&self.endpoints[number], self.parked(number));
            for (object, content, kind, name) in self.selected(number) {
                let track = endpoint.tracks.get(object).unwrap_or(&nothing);
                let (_, ordered) = endpoint.ordered_names[kind][name];
                let adopted = self.is_adopted(number, track, content) || self.is_believed(number, object, content);
                let excused = parked.contains(&object) || adopted;
                let given_up = track.is_discarded() || !self.is_remembered(number, object);
                for (how, has) in [("", endpoint.names[kind][name]), (" by its sequence", ordered)] {
                    let right = has == Some((object, content)) || excused || given_up;
                    assert!(right, "{kind}/{name} is uid {object} {content}, endpoint {number} has {has:?}{how}");
                }
            }
        }
    }
}
