//! A world's frame: what may happen in it, and how often.

use std::collections::{BTreeMap, BTreeSet};

use changehook_core::engine::Settings;
use changehook_core::plan::{
    ChangeTypes, Claims, Interest, LabelSelector, Plan, Policy, Selector, SubscriptionId, Witness,
};
use changehook_core::retry::RetryPolicy;

use crate::cluster::{Edit, Object, kind};
use crate::durable::Ledger;
use crate::endpoint::{Endpoint, Told};

/// How often each thing may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub edits: u8,
    /// Requests that come to an end; further ones stay under way until their sender dies.
    pub answers: u8,
    pub crashes: u8,
    /// Answers that never come.
    pub lost: u8,
    /// Requests that the endpoint refuses.
    pub refused: u8,
    /// Leaders that take over from one that is alive.
    pub rivals: u8,
    /// Leaders whose first list is older than the last change.
    pub stale: u8,
    /// The ledger is made from an old copy again.
    pub restores: u8,
}

pub struct Setup {
    pub name: &'static str,
    /// The kind of each place.
    pub places: Vec<u8>,
    pub plans: Vec<Plan>,
    pub settings: Settings,
    pub edits: Vec<Edit>,
    pub budget: Budget,
    /// A leader that was taken over from goes on in every way it can, instead of in the ways that make a difference.
    pub old_leaders_go_on: bool,
    /// The endpoint may know objects by their names alone; then no request outlives its connection.
    pub by_name: bool,
    /// Some objects may be adopted, so that it matters who must not be.
    pub adopts: bool,
    /// Each leader watches by a source of its own, of which no version is known.
    pub new_sources: bool,
}

/// Every wait is as long as that, so that time passes in equal steps.
const STEP: u64 = 1_500;

/// Nobody waits so long.
pub const NEVER: u64 = u64::MAX / 4;

impl Setup {
    /// One kind, everything with the label x.
    pub fn new(name: &'static str, places: &[u8], budget: Budget) -> Self {
        let mut setup = Self {
            name,
            places: places.to_vec(),
            plans: Vec::new(),
            settings: Settings { ack_delay: 0, unsent_pause: STEP, stall_after: NEVER, ..Settings::default() },
            edits: Vec::new(),
            budget,
            old_leaders_go_on: false,
            by_name: false,
            adopts: false,
            new_sources: false,
        };
        setup.plans.push(setup.plan_of("x"));
        setup
    }

    /// A plan that selects what has the label, or everything if it is empty.
    pub fn plan_of(&self, label: &str) -> Plan {
        let match_labels: BTreeMap<String, String> =
            if label.is_empty() { BTreeMap::new() } else { [(label.to_owned(), String::new())].into() };
        let labels = LabelSelector { match_labels, expressions: Vec::new() };
        let selector = Selector { labels, names: BTreeSet::new(), namespaces: None };
        let interest =
            |name: u8| Interest { gvk: kind(name), namespace: Some("team".into()), selector: selector.clone() };
        Plan {
            id: SubscriptionId { uid: "sub".into() },
            generation: 1,
            namespace: "team".into(),
            interests: (0..self.kinds()).map(interest).collect(),
            changes: ChangeTypes::ALL,
            suspended: false,
            held: false,
            retry: RetryPolicy {
                initial_delay_ms: STEP,
                max_delay_ms: STEP,
                jitter_percent: 0,
                ..RetryPolicy::default()
            },
            max_in_flight: 2,
            host: "receiver".into(),
            config_hash: 0,
            policy: Policy::default(),
            claims: Claims::default(),
        }
    }

    pub fn kinds(&self) -> u8 {
        self.places.iter().max().map_or(0, |kind| kind + 1)
    }

    pub fn kind_of(&self, place: u8) -> u8 {
        self.places[place as usize]
    }

    /// The plan that a suspended one becomes when it is resumed.
    pub fn awake(&self, plan: u8) -> u8 {
        let resumed = Plan { suspended: false, ..self.plan(plan).clone() };
        let at = self.plans.iter().position(|plan| *plan == resumed);
        at.map_or(plan, |at| u8::try_from(at).expect("a world has few plans"))
    }

    pub fn selects(&self, plan: u8, object: &Object) -> bool {
        let row = object.row(self.kind_of(object.place));
        let interest = self.plan(plan).interests.iter().find(|interest| interest.gvk == *row.gvk);
        interest.is_some_and(|interest| interest.selector.matches(&row))
    }

    /// Whether there are objects that cannot be read.
    pub fn blurs(&self) -> bool {
        self.edits.iter().any(|edit| matches!(edit, Edit::Blur(_)))
    }

    /// Whether anything may be given up here.
    pub fn parks(&self) -> bool {
        self.budget.refused > 0 || self.plans.iter().any(|plan| u32::from(self.budget.lost) > plan.retry.max_retries)
    }

    /// Where nothing is lost and nothing adopted, no endpoint hears of an update that may have heard of the end.
    pub fn check_change(&self, endpoint: &Endpoint, told: Told) -> Result<(), String> {
        let wrong = self.budget.restores == 0 && !self.adopts && endpoint.is_surprised_by(told);
        if wrong { Err(format!("{told} is told to an endpoint that may know that it is gone")) } else { Ok(()) }
    }

    /// What the status tells a new leader of the ledger's past.
    pub fn witness(&self, ledger: &Ledger) -> Option<Witness> {
        (self.budget.restores > 0 && ledger.witness > 0).then_some(Witness { sequence: ledger.witness })
    }

    pub fn plan(&self, number: u8) -> &Plan {
        &self.plans[number as usize]
    }
}
