//! A state of the whole world, as a handful of numbers, and the tables that the numbers point into.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::Hash;
use std::rc::Rc;

use crate::automaton::Automaton;
use crate::cluster::{Cluster, Sight};
use crate::durable::Ledger;
use crate::endpoint::{Endpoint, Told};
use crate::intern::{Hashed, Pool, digest, digest_of_text};
use crate::settle::{Settlement, settle};
use crate::setup::{Budget, Setup};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub cluster: u32,
    pub ledger: u32,
    pub endpoint: u32,
    pub strays: u32,
    /// In order of their claims; 0 where there is none.
    pub leaders: [u32; 2],
    pub budget: Budget,
}

/// A leader, what is on its way to it, and what it has under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Leader {
    pub operator: u32,
    pub term: u8,
    /// The ledger's version that its next commit is made on top of.
    pub version: u8,
    /// The highest of its sequences that is durable.
    pub durable: u64,
    pub sights: VecDeque<Sight>,
    pub namespaces: VecDeque<bool>,
    pub plans: VecDeque<u8>,
    pub commit: Option<Commit>,
    pub requests: Vec<Request>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    pub batch: u32,
    /// It is in the ledger, and its writer does not know yet.
    pub landed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub attempt: u32,
    pub at: Place,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    OnItsWay,
    /// The endpoint has it; the answer is on its way.
    Arrived,
    /// Nothing comes of it as long as its sender lives: the world has seen enough requests.
    Stuck,
}

/// What outlived its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Strays {
    pub requests: BTreeSet<Told>,
    /// Commits on top of the ledger's present version; others would be refused.
    pub commits: BTreeSet<u32>,
}

pub struct Model {
    pub setup: Setup,
    pub automaton: Automaton,
    pub clusters: Pool<Cluster>,
    pub ledgers: Pool<Ledger>,
    pub endpoints: Pool<Endpoint>,
    pub strays: Pool<Strays>,
    pub leaders: Pool<Leader>,
    checked: HashSet<u64>,
    landings: Hashed<(u32, u32), Option<u32>>,
    settlements: Hashed<(u32, u32), Rc<Result<Settlement, String>>>,
}

impl Model {
    pub fn new(setup: Setup) -> Self {
        let mut model = Self {
            setup,
            automaton: Automaton::default(),
            clusters: Pool::default(),
            ledgers: Pool::default(),
            endpoints: Pool::default(),
            strays: Pool::default(),
            leaders: Pool::default(),
            checked: HashSet::new(),
            landings: Hashed::default(),
            settlements: Hashed::default(),
        };
        // Number 0 of each: nothing.
        model.leaders.add(Leader::default());
        model.strays.add(Strays::default());
        model.endpoints.add(Endpoint::default());
        model
    }

    pub fn add_ledger(&mut self, ledger: Ledger) -> u32 {
        self.ledgers.number(digest_of_text(&ledger), ledger)
    }

    /// What the ledger is once the batch, made on top of its version `base`, has landed; `None` if it is refused.
    pub fn landed(&mut self, ledger: u32, base: u8, batch: u32) -> Option<u32> {
        if self.ledgers.get(ledger).version != base {
            return None;
        }
        if let Some(landed) = self.landings.get(&(ledger, batch)) {
            return *landed;
        }
        let next = self.ledgers.get(ledger).landed(base, self.automaton.batches.get(batch));
        let next = next.map(|next| self.add_ledger(next));
        self.landings.insert((ledger, batch), next);
        next
    }

    pub fn settlement(&mut self, ledger: u32, cluster: u32) -> Rc<Result<Settlement, String>> {
        let Self { setup, ledgers, clusters, settlements, .. } = self;
        let entry = settlements.entry((ledger, cluster));
        Rc::clone(entry.or_insert_with(|| Rc::new(settle(setup, ledgers.get(ledger), clusters.get(cluster)))))
    }

    /// Whether this is asked for the first time.
    pub fn is_new(&mut self, key: &impl Hash) -> bool {
        self.checked.insert(digest(key))
    }

    pub fn digest(world: &World) -> u64 {
        digest(world)
    }

    /// How much was computed: leaders' states, their steps, ledgers, settlements.
    pub fn size(&self) -> String {
        let (states, steps) = self.automaton.size();
        format!(
            "{states} engine states, {steps} engine steps, {} ledgers, {} settlements",
            self.ledgers.len(),
            self.settlements.len()
        )
    }
}
