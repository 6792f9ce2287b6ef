//! A state of the whole world, as a handful of numbers, and the tables that the numbers point into.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::automaton::Automaton;
use crate::cluster::{Cluster, News};
use crate::durable::Ledger;
use crate::duty::{self, Moment};
use crate::endpoint::{Endpoint, Told};
use crate::intern::{Pool, Set, Table};
use crate::leader::{Leader, Local};
use crate::operator::Answer;
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
    /// The cluster before its last change, and what there was to hear of that; only where a list may be so old.
    pub past: (u32, u8, u32),
    pub budget: Budget,
}

impl World {
    /// There was no change yet.
    pub const NO_PAST: (u32, u8, u32) = (u32::MAX, 0, 0);
}

/// What outlived its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Strays {
    /// They have arrived, or will, or never will. When does not matter: an endpoint that ignores what is not higher ends
    /// with the highest that arrives, in whatever order, and no sender sees what it holds. So an arrival is no step of
    /// its own, and one world stands for all that differ in it.
    pub requests: BTreeSet<Told>,
    /// Commits on top of the ledger's present version; others would be refused.
    pub commits: BTreeSet<u32>,
}

/// The tables. What is in them was computed once, for all the worlds that need it.
pub struct Model {
    pub setup: Setup,
    pub automaton: Automaton,
    pub clusters: Pool<Cluster>,
    pub ledgers: Pool<Rc<Ledger>>,
    pub endpoints: Pool<Endpoint>,
    pub strays: Pool<Strays>,
    pub leaders: Pool<Leader>,
    pub edits: Table<(u32, Moment), Rc<[Edited]>>,
    /// What the ledger may be set back to.
    pub copy: Rc<Ledger>,
    pub locals: Table<u32, Rc<[Local]>>,
    pub answers: Table<(u32, u32, Answer), Local>,
    pub heard: Table<(u32, u8, u32), u32>,
    pub arrivals: Table<(u32, Told), u32>,
    pub checked: Set<u64>,
    landings: Table<(u32, u32), Result<u32, String>>,
    settlements: Table<(u32, u32), Rc<Result<Settlement, String>>>,
}

/// The cluster after an edit, and what there is to hear of it, by whom.
#[derive(Clone, Debug)]
pub struct Edited {
    /// Its place among the world's edits.
    pub edit: usize,
    pub cluster: u32,
    pub feed: u8,
    /// A number of the automaton's inputs.
    pub news: u32,
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
            edits: Table::default(),
            copy: Rc::default(),
            locals: Table::default(),
            answers: Table::default(),
            heard: Table::default(),
            arrivals: Table::default(),
            checked: Set::default(),
            landings: Table::default(),
            settlements: Table::default(),
        };
        // Number 0 of each: nothing.
        model.leaders.add(Leader::default());
        model.strays.add(Strays::default());
        model.endpoints.add(Endpoint::default());
        model
    }

    pub fn add_ledger(&mut self, ledger: Ledger) -> u32 {
        self.ledgers.number(ledger.digest(), Rc::new(ledger))
    }

    /// What the ledger is once the batch, made on top of its version `base`, has landed; `None` if it is refused.
    pub fn landed(&mut self, ledger: u32, base: u8, batch: u32) -> Option<Result<u32, String>> {
        if self.ledgers.get(ledger).version != base {
            return None;
        }
        if let Some(landed) = self.landings.get(&(ledger, batch)) {
            return Some(landed.clone());
        }
        let next = self.ledgers.get(ledger).landed(self.automaton.batches.get(batch));
        let next = next.map(|next| self.add_ledger(next));
        self.landings.insert((ledger, batch), next.clone());
        Some(next)
    }

    pub fn settlement(&mut self, ledger: u32, cluster: u32) -> Rc<Result<Settlement, String>> {
        let Self { setup, ledgers, clusters, settlements, .. } = self;
        let settled = || Rc::new(settle(setup, ledgers.get(ledger), clusters.get(cluster)));
        Rc::clone(settlements.entry((ledger, cluster)).or_insert_with(settled))
    }

    /// What may be done to a cluster at that moment.
    pub fn edits(&mut self, cluster: u32, moment: Moment) -> Rc<[Edited]> {
        if let Some(edits) = self.edits.get(&(cluster, moment)) {
            return Rc::clone(edits);
        }
        let mut edits = Vec::new();
        for (edit, what) in self.setup.edits.clone().into_iter().enumerate() {
            let before = self.clusters.get(cluster);
            let Some((mut after, news)) = before.edited(what) else { continue };
            duty::note(&self.setup, before, &mut after, what, moment);
            let feed = news.feed(&self.setup);
            let news = self.automaton.inputs.add(news.into());
            edits.push(Edited { edit, cluster: self.clusters.add(after), feed, news });
        }
        let edits: Rc<[Edited]> = edits.into();
        self.edits.insert((cluster, moment), Rc::clone(&edits));
        edits
    }

    /// What a list of each kind shows now.
    pub fn lists(&mut self, cluster: u32) -> Vec<(u8, u32)> {
        let (cluster, setup) = (self.clusters.get(cluster), &self.setup);
        let lists: Vec<News> = (0..setup.kinds()).map(|kind| cluster.list(setup, kind)).collect();
        lists.into_iter().map(|news| (news.feed(&self.setup), self.automaton.inputs.add(news.into()))).collect()
    }

    /// How much was computed.
    pub fn size(&self) -> String {
        let (states, steps) = self.automaton.size();
        let (ledgers, settlements) = (self.ledgers.len(), self.settlements.len());
        format!("{states} engine states, {steps} engine steps, {ledgers} ledgers, {settlements} settlements")
    }
}
