//! Edits of a subscription: everything a plan says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use changehook_core::object::Gvk;
use changehook_core::plan::{ChangeTypes, Interest, Plan, SubscriptionId};
use changehook_core::plan::{LabelSelector, Selector};
use changehook_core::retry::RetryPolicy;

use crate::world::{World, conclude};

/// Selects everything, what has the label x, or what has the label y.
fn selector(choice: u64) -> Selector {
    let labels = ["x", "y"].get((choice % 3) as usize).map(|label| ((*label).to_owned(), String::new()));
    let match_labels: BTreeMap<String, String> = labels.into_iter().collect();
    Selector { labels: LabelSelector { match_labels, expressions: Vec::new() }, names: BTreeSet::new() }
}

fn interest(kind: &Gvk, choice: u64) -> Interest {
    Interest { gvk: kind.clone(), namespace: Some("team".into()), selector: selector(choice) }
}

pub fn plan(uid: &str, changes: ChangeTypes, choice: u64) -> Plan {
    Plan {
        id: SubscriptionId { uid: uid.into() },
        generation: 1,
        namespace: "team".into(),
        interests: vec![
            interest(&Gvk::new("v1", "ConfigMap"), choice),
            interest(&Gvk::new("example.io/v1", "Widget"), choice),
        ],
        changes,
        suspended: false,
        held: false,
        retry: RetryPolicy::default(),
        max_in_flight: 2,
        host: "receiver".into(),
        config_hash: 0,
    }
}

impl World {
    /// The engine's driver, as far as plans go.
    pub fn assign(&mut self, number: usize, edited: bool) {
        let plan = self.plans[number].clone();
        self.tell(|| format!("plan {number} {plan:?}"));
        let sources: Vec<_> = plan
            .interests
            .iter()
            .map(|interest| self.kinds.iter().find(|kind| *kind.gvk == interest.gvk).unwrap().source.clone())
            .collect();
        let before = self.notes[number].shown.clone();
        let live = edited && self.engine.view(self.now, &plan.id).is_some_and(|view| view.live);
        self.engine.plan(self.now, plan.clone());
        let mut seen = Vec::new();
        self.selection.plan(&plan, &sources, &mut seen);
        self.show(seen, edited);
        for (interest, source) in plan.interests.iter().zip(&sources) {
            if let Some(synced) = self.selection.synced(source) {
                conclude(&mut self.engine, self.now, &plan.id, &interest.gvk.group_kind(), &synced);
            }
        }
        let notes = &mut self.notes[number];
        let (kept, lost): (Vec<Arc<str>>, Vec<Arc<str>>) =
            before.keys().cloned().partition(|uid| notes.shown.contains_key(uid));
        let left = |kind: &String| plan.interests.iter().all(|interest| interest.gvk.kind != *kind);
        // What a new leader had not been shown yet when its kind left the plan: nobody knows whether it still is.
        let durable = self.durable.books.get(&plan.id).into_iter().flat_map(|book| book.entries.keys());
        let unknown = durable.filter(|key| left(&key.kind.kind) && !notes.listed.contains(&key.kind.kind));
        let sequence = self.engine.view(self.now, &plan.id).map_or(0, |view| view.sequence);
        let silenced = lost.into_iter().chain(unknown.map(|key| key.uid.clone()));
        notes.silenced.extend(silenced.map(|uid| (uid, sequence)));
        notes.listed.retain(|kind| !left(kind));
        if live {
            notes.promised.extend(kept.into_iter().filter(|uid| before[uid] && notes.shown[uid]));
        }
    }

    pub fn edit(&mut self) {
        let number = self.random.below(2) as usize;
        let choice = self.random.below(3);
        let plan = &mut self.plans[number];
        plan.generation += 1;
        match self.random.below(if self.options.change_types { 8 } else { 7 }) {
            0 => plan.suspended = !plan.suspended,
            1 => plan.held = !plan.held,
            2 => plan.config_hash += 1,
            3 | 4 => {
                let at = self.random.below(plan.interests.len() as u64) as usize;
                plan.interests[at].selector = selector(choice);
            }
            5 => {
                if plan.interests.len() == 2 {
                    plan.interests.pop();
                } else {
                    plan.interests.push(interest(&self.kinds[1].gvk, choice));
                }
            }
            6 => plan.host = format!("receiver-{choice}").into(),
            _ => {
                let bits = self.random.below(8);
                plan.changes = ChangeTypes { new: bits & 1 != 0, updated: bits & 2 != 0, removed: bits & 4 != 0 };
            }
        }
        self.assign(number, true);
    }

    pub fn subscribe_to_everything(&mut self) {
        for number in 0..self.plans.len() {
            self.plans[number].changes = ChangeTypes::ALL;
            self.assign(number, true);
        }
    }
}
