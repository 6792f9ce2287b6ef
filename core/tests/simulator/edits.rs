//! Edits of a subscription: everything a plan says, and whether there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use changehook_core::object::Gvk;
use changehook_core::plan::{
    ChangeTypes, Claims, Existing, Interest, LabelSelector, Namespaces, OnExhausted, Plan, Policy, Scope, Selector,
    SubscriptionId, Witness,
};
use changehook_core::retry::RetryPolicy;

use crate::brief;
use crate::cluster::{KINDS, TEAM};
use crate::endpoint::number_of;
use crate::schedule::{Answer, Edit, Edits, Setup};
use crate::world::World;

/// Why a plan is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is new to this leader.
    Begins,
    Edited,
    /// The same choice of namespaces now chooses others.
    Relabelled,
}

/// Everything, what has the label x, or what has the label y.
fn labels(choice: u8) -> LabelSelector {
    let labels = ["x", "y"].get(usize::from(choice % 3)).map(|label| ((*label).to_owned(), String::new()));
    let match_labels: BTreeMap<String, String> = labels.into_iter().collect();
    LabelSelector { match_labels, expressions: Vec::new() }
}

/// The namespace that has objects, or none.
fn namespaces(with: bool) -> Namespaces {
    Namespaces {
        chosen_by: LabelSelector::default(),
        names: Arc::new(with.then(|| TEAM.to_owned()).into_iter().collect()),
    }
}

fn interest(number: usize, kind: &Gvk, choice: u8) -> Interest {
    // The third subscription watches all namespaces.
    let namespace = (number != 2).then(|| TEAM.into());
    let namespaces = (number == 2).then(|| namespaces(true));
    let selector = Selector { labels: labels(choice), names: BTreeSet::new(), namespaces };
    Interest { gvk: kind.clone(), namespace, selector }
}

/// The first subscription selects everything, the second what has a label, the third one kind only.
pub fn plan(setup: &Setup, number: usize) -> Plan {
    let choice = [2, 0, 1][number % 3];
    let mut interests = vec![
        interest(number, &Gvk::new("v1", "ConfigMap"), choice),
        interest(number, &Gvk::new("example.io/v1", "Widget"), choice),
    ];
    interests.truncate(if number == 2 { 1 } else { 2 });
    Plan {
        id: SubscriptionId { uid: ["all", "some", "few"][number % 3].into() },
        generation: 1,
        namespace: [TEAM, TEAM, "operator"][number % 3].into(),
        interests,
        changes: setup.changes,
        suspended: false,
        held: false,
        retry: RetryPolicy { max_retries: setup.max_retries, ..RetryPolicy::default() },
        max_in_flight: setup.max_in_flight,
        host: "receiver".into(),
        config_hash: 0,
        policy: Policy {
            initial_sync: if setup.notify { Existing::Notify } else { Existing::Adopt },
            selection_change: if setup.notify { Existing::Notify } else { Existing::Adopt },
            on_loss: setup.losses.unwrap_or_default(),
            on_exhausted: if setup.discard { OnExhausted::Discard } else { OnExhausted::Park },
            ..Policy::default()
        },
        claims: Claims::default(),
    }
}

impl World {
    /// The present leader is given a plan, as the operator's driver does it.
    pub fn assign(&mut self, number: usize, why: Why) {
        let at = self.leaders.len() - 1;
        let mut plan = self.plans[number].clone();
        plan.claims.witness = self.status[number].map(|sequence| Witness { sequence });
        self.tell(|| format!("leader {at} is told: {}", brief::plan(&plan)));
        let sources: Vec<_> = plan
            .interests
            .iter()
            .map(|interest| self.kinds.iter().position(|kind| *kind.gvk == interest.gvk).unwrap())
            .map(|kind| self.source(at, kind))
            .collect();
        let leader = &mut self.leaders[at];
        let before = leader.sights[number].shown.clone();
        let live = why == Why::Edited && leader.engine.view(self.now, &plan.id).is_some_and(|view| view.live);
        leader.engine.plan(self.now, plan.clone());
        leader.plans[number] = Some(plan.clone());
        let mut seen = std::mem::take(&mut self.seen);
        leader.selection.plan(&plan, &sources, &mut seen);
        self.show(at, &mut seen, why != Why::Begins);
        self.seen = seen;
        let leader = &mut self.leaders[at];
        for (interest, source) in plan.interests.iter().zip(&sources) {
            if let Some(synced) = leader.selection.synced(source) {
                leader.engine.conclude(self.now, &plan.id, &interest.gvk.group_kind(), &synced);
            }
        }
        self.note_assignment(number, &plan, &before, live, why);
        self.pump(at);
    }

    /// Which objects an edit has silenced, and which it must not.
    fn note_assignment(&mut self, number: usize, plan: &Plan, before: &[Option<bool>], live: bool, why: Why) {
        let leader = self.leaders.last_mut().expect("there always is a leader");
        let left: [bool; KINDS] =
            std::array::from_fn(|kind| plan.interests.iter().all(|interest| interest.gvk != *self.kinds[kind].gvk));
        let sights = &mut leader.sights[number];
        let sequence = leader.engine.sequence();
        let endpoint = &mut self.endpoints[number];
        for (object, was) in before.iter().enumerate().filter(|(_, was)| was.is_some()) {
            let is = sights.shown.get(object).copied().flatten();
            let track = endpoint.track(object);
            match is {
                Some(is) => track.promised |= live && *was == Some(true) && is,
                None if !self.setup.notify && why != Why::Relabelled => track.silenced = Some(sequence),
                None => {}
            }
        }
        // What a new leader had not been shown yet when its kind left the plan: nobody knows whether it still is.
        let durable = self.durable.entries.books.get(&plan.id).into_iter().flat_map(|book| book.entries.keys());
        for key in durable {
            let kind = usize::from(key.kind.kind == "Widget");
            if left[kind] && !sights.listed[kind] && !self.setup.notify {
                endpoint.track(number_of(&key.uid)).silenced = Some(sequence);
            }
        }
        if left.contains(&true) {
            for (object, track) in endpoint.tracks.iter_mut().enumerate() {
                track.promised &= sights.shown.get(object).copied().flatten().is_some();
            }
        }
        for (listed, left) in sights.listed.iter_mut().zip(left) {
            *listed &= !left;
        }
    }

    /// A subscription is edited, and the present leader is told if there is one.
    pub fn edit(&mut self, number: usize, edit: Edit, told: bool) {
        let number = number % self.plans.len();
        match self.setup.edits {
            Edits::All => {}
            Edits::Sending if edit.is_about_sending() => {}
            Edits::Sending | Edits::None => return,
        }
        let widget = (*self.kinds[1].gvk).clone();
        let plan = &mut self.plans[number];
        plan.generation += 1;
        match edit {
            Edit::Suspend => plan.suspended = !plan.suspended,
            Edit::Hold => plan.held = !plan.held,
            Edit::Secret => plan.config_hash += 1,
            Edit::Select { interest, choice } => {
                let at = usize::from(interest) % plan.interests.len();
                plan.interests[at].selector.labels = labels(choice);
            }
            Edit::Kinds { choice } => {
                if plan.interests.len() == 2 {
                    plan.interests.pop();
                } else {
                    plan.interests.push(interest(number, &widget, choice));
                }
            }
            Edit::Relabel if number == 2 => {
                for chosen in plan.interests.iter_mut().filter_map(|interest| interest.selector.namespaces.as_mut()) {
                    *chosen = namespaces(chosen.names.is_empty());
                }
                if told && self.there[number] {
                    self.assign(number, Why::Relabelled);
                }
                return;
            }
            Edit::Host { choice } => plan.host = ["receiver", "backup", "third"][usize::from(choice % 3)].into(),
            Edit::Width { max_in_flight } => {
                plan.max_in_flight = u32::from(max_in_flight % 4) + 1;
                if told {
                    self.current().narrowed = true;
                }
            }
            Edit::Changes { bits } if self.setup.change_types => {
                plan.changes = ChangeTypes { new: bits & 1 != 0, updated: bits & 2 != 0, removed: bits & 4 != 0 };
            }
            Edit::Relabel | Edit::Changes { .. } => return,
            Edit::Resync { all } => {
                self.requests += 1;
                plan.policy.resync.request_id = Some(self.requests.to_string().into());
                plan.policy.resync_scope = if all { Scope::All } else { Scope::Parked };
            }
            Edit::Withdraw => {
                self.withdraw(number, told);
                return;
            }
        }
        if told && self.there[number] {
            self.assign(number, Why::Edited);
        }
    }

    /// The subscription goes, or comes back as if it were new.
    fn withdraw(&mut self, number: usize, told: bool) {
        self.there[number] = !self.there[number];
        self.status[number] = None;
        if !told {
            return;
        }
        if self.there[number] {
            self.assign(number, Why::Begins);
            return;
        }
        let id = self.plans[number].id.clone();
        let now = self.now;
        let sequence = self.current().engine.sequence();
        let leader = self.leaders.last_mut().expect("there always is a leader");
        leader.engine.remove(now, &id);
        leader.selection.remove(&id);
        leader.plans[number] = None;
        leader.sights[number] = crate::watches::Sights::default();
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut leader.requests).into_iter().partition(|request| request.event.subscription == id);
        // Should this leader die before it is durable that the subscription is gone, another may tell them again.
        leader.repeats_left += gone.len() + leader.unsaved.iter().filter(|(of, ..)| *of == number).count();
        leader.unsaved.retain(|(of, ..)| *of != number);
        leader.requests = stay;
        leader.leftovers.extend(gone);
        self.silence(number, sequence);
        let at = self.leaders.len() - 1;
        self.pump(at);
    }

    /// Nobody remembers what this endpoint has: it is not told of any end.
    pub fn silence(&mut self, number: usize, sequence: u64) {
        for track in &mut self.endpoints[number].tracks {
            track.promised = false;
            track.silenced = Some(sequence);
        }
    }

    /// Every subscription is there, and sends.
    pub fn resume_everything(&mut self) {
        for number in 0..self.plans.len() {
            let plan = &mut self.plans[number];
            let resumed = std::mem::take(&mut plan.suspended) | std::mem::take(&mut plan.held);
            let returned = !std::mem::replace(&mut self.there[number], true);
            if resumed || returned {
                self.assign(number, if returned { Why::Begins } else { Why::Edited });
            }
            self.endpoints[number].answers = Answer::Fine;
        }
    }

    pub fn subscribe_to_everything(&mut self) {
        for number in 0..self.plans.len() {
            self.plans[number].changes = ChangeTypes::ALL;
            if self.there[number] {
                self.assign(number, Why::Edited);
            }
        }
    }
}
