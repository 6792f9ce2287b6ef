//! The faults stop: one new leader takes over, lists, and delivers to the end, to an endpoint that takes everything.
//!
//! What it tells depends on the ledger and the cluster alone, so it is found out once for all the worlds that share them.

use std::collections::BTreeMap;

use changehook_core::engine::{Attempt, Batch};
use changehook_core::event::fingerprint;
use changehook_core::ledger::Entry;
use changehook_core::object::Fingerprint;
use changehook_core::outcome::Class;
use changehook_core::plan::{Change, Plan};

use crate::cluster::{Cluster, digest, number};
use crate::durable::Ledger;
use crate::endpoint::Told;
use crate::operator::{Answer, Input, Operator, Wishes};
use crate::setup::Setup;

/// More inputs than so many, and it does not come to an end.
const BOUND: usize = 200;

/// How a ledger and a cluster end when nothing goes wrong any more.
pub struct Settlement {
    pub told: Vec<Told>,
    pub ends: BTreeMap<u8, End>,
}

/// How it ends with one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Its name, and its state, if it is selected.
    pub wanted: Option<(u8, u8)>,
    /// It cannot be read, so nobody knows.
    pub blurred: bool,
    /// It was given up for now: in this state, or its end was.
    pub parked: Option<Option<u8>>,
    /// It was taken as known in this state.
    pub adopted: Option<u8>,
}

struct Run<'a> {
    setup: &'a Setup,
    ledger: Ledger,
    told: Vec<Told>,
    steps: usize,
}

pub fn settle(setup: &Setup, ledger: &Ledger, cluster: &Cluster) -> Result<Settlement, String> {
    let mut awake = cluster.clone();
    awake.plan = setup.awake(cluster.plan);
    let plan = setup.plan(awake.plan);
    let mut run = Run { setup, ledger: ledger.claimed(), told: Vec::new(), steps: 0 };
    let operator = run.to_the_end(&awake)?;
    if cluster.objects().all(|object| object.readable) {
        operator.is_at_rest(plan)?;
    }
    let Run { ledger, told, .. } = run;
    let mut again = Run { setup, ledger: ledger.claimed(), told: Vec::new(), steps: 0 };
    again.to_the_end(&awake)?;
    if let Some(told) = again.told.first() {
        return Err(format!("a restart with nothing changed sends {told}"));
    }
    let ends = ends(setup, plan, &ledger, &awake);
    let blurred = told.iter().find(|told| ends.get(&told.uid).is_some_and(|end| end.blurred));
    if let Some(told) = blurred {
        return Err(format!("{told} is told, and nobody can read it"));
    }
    check_entries(plan, &ledger)?;
    let mut parked: Vec<u8> = ends.iter().filter(|(_, end)| end.parked.is_some()).map(|(uid, _)| *uid).collect();
    parked.sort_unstable();
    if operator.parked(plan) != parked {
        return Err(format!("{:?} are said to be given up, and {parked:?} are", operator.parked(plan)));
    }
    Ok(Settlement { told, ends })
}

/// What must be true of every entry once everything is delivered.
fn check_entries(plan: &Plan, ledger: &Ledger) -> Result<(), String> {
    let Some(book) = ledger.book() else { return Err("nothing is known of the subscription".to_owned()) };
    let requests = &plan.policy.resync;
    if requests.request_id.is_some() && book.requests.request_id != requests.request_id {
        return Err("a request to tell everything again is not heard".to_owned());
    }
    for (key, Entry { acked, parked, .. }) in &book.entries {
        let uid = &key.uid;
        if parked.is_some_and(|parked| parked.class == Class::Endpoint) {
            return Err(format!("{uid} is given up for an outage that is over"));
        }
        if parked.is_some_and(|parked| parked.config_hash != plan.config_hash) {
            return Err(format!("{uid} is given up for a configuration that is history"));
        }
        if parked.is_none() && acked.is_some_and(|acked| acked.seq < book.resync) {
            return Err(format!("{uid} was asked for again and is not told"));
        }
    }
    Ok(())
}

fn ends(setup: &Setup, plan: &Plan, ledger: &Ledger, cluster: &Cluster) -> BTreeMap<u8, End> {
    let mut ends: BTreeMap<u8, End> = BTreeMap::new();
    for object in cluster.objects() {
        let selected = cluster.namespace && setup.selects(cluster.plan, object);
        let wanted = selected.then(|| (object.place, object.state()));
        ends.insert(object.uid, End { wanted, blurred: !object.readable, ..End::default() });
    }
    let state = |fp: Fingerprint| (0..4).find(|state| fingerprint(&plan.id.uid, digest(*state)).0.max(2) == fp.0);
    for (key, Entry { named, acked, sending, parked }) in ledger.all_entries() {
        let place = number(&named.name);
        // What cannot be read may be the old object of that name.
        let blurred = cluster.objects().any(|object| object.place == place && !object.readable);
        let end = ends.entry(number(&key.uid)).or_insert(End { blurred, ..End::default() });
        if parked.is_some() {
            let present = sending.filter(|sending| sending.change != Change::Removed);
            end.parked = Some(present.and_then(|sending| state(sending.fp)));
        }
        end.adopted = acked.filter(|acked| ledger.adopted.contains(&acked.seq)).and_then(|acked| state(acked.fp));
    }
    ends
}

impl Run<'_> {
    fn to_the_end(&mut self, cluster: &Cluster) -> Result<Operator, String> {
        let (mut operator, wishes) = Operator::start(self.setup, &self.ledger, cluster.plan, cluster.namespace);
        self.grant(&mut operator, wishes)?;
        for kind in 0..self.setup.kinds() {
            self.input(&mut operator, &cluster.list(self.setup, kind).into(), None)?;
        }
        while operator.wakes() {
            self.input(&mut operator, &Input::Tick, None)?;
        }
        Ok(operator)
    }

    fn input(&mut self, operator: &mut Operator, input: &Input, about: Option<Attempt>) -> Result<(), String> {
        self.steps += 1;
        if self.steps > BOUND {
            return Err("it does not come to an end".to_owned());
        }
        let wishes = operator.take(self.setup, input, |_| about.clone().expect("an answer has a request"));
        self.grant(operator, wishes)
    }

    fn grant(&mut self, operator: &mut Operator, wishes: Wishes) -> Result<(), String> {
        operator.agrees_with_itself()?;
        let Wishes { commit, requests } = wishes;
        if let Some(batch) = commit {
            self.commit(&batch)?;
            self.input(operator, &Input::Committed(batch.number), None)?;
        }
        for attempt in requests {
            self.told.push(Told::by(&attempt));
            self.input(operator, &Input::Answered(0, Answer::Good), Some(attempt))?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), String> {
        self.ledger = self.ledger.landed(batch)?;
        Ok(())
    }
}
