//! The faults stop: one new leader takes over, lists, and delivers to the end, to an endpoint that takes everything.
//!
//! What it tells depends on the ledger and the cluster alone, so it is found out once for all the worlds that share them.

use std::collections::BTreeMap;

use changehook_core::engine::{Attempt, Batch};

use crate::cluster::Cluster;
use crate::durable::Ledger;
use crate::endpoint::Told;
use crate::operator::{Answer, Input, Operator, Wishes};
use crate::setup::Setup;

/// More inputs than so many, and it does not come to an end.
const BOUND: usize = 200;

/// How a ledger and a cluster end when nothing goes wrong any more.
pub struct Settlement {
    pub told: Vec<Told>,
    pub parked: Vec<u8>,
    /// Each object, and its content if it is selected.
    pub wanted: BTreeMap<u8, Option<u8>>,
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
    let mut run = Run { setup, ledger: ledger.claimed(), told: Vec::new(), steps: 0 };
    let operator = run.to_the_end(&awake)?;
    let plan = setup.plan(awake.plan);
    operator.is_at_rest(plan)?;
    let parked = operator.parked(plan);
    let Run { ledger, told, .. } = run;
    let mut again = Run { setup, ledger: ledger.claimed(), told: Vec::new(), steps: 0 };
    again.to_the_end(&awake)?;
    if let Some(told) = again.told.first() {
        return Err(format!("a restart with nothing changed sends {told:?}"));
    }
    let wanted = cluster.objects().map(|object| {
        (object.uid, Some(object.content).filter(|_| cluster.namespace && setup.selects(cluster.plan, object)))
    });
    Ok(Settlement { told, parked, wanted: wanted.collect() })
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
        let findings = operator.audit();
        if !findings.is_empty() {
            return Err(format!("the engine disagrees with itself: {}", findings.join("; ")));
        }
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
        let landed = self.ledger.landed(self.ledger.version, batch);
        self.ledger = landed.ok_or("a commit was refused although nobody else writes")?;
        Ok(())
    }
}
