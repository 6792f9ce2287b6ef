//! What must be true of every world: when the faults stop, the endpoint ends with exactly the selected objects.

use std::collections::BTreeSet;

use crate::cluster::Cluster;
use crate::endpoint::{Endpoint, Told};
use crate::intern::digest;
use crate::leader::{Commit, Leader};
use crate::settle::{End, Settlement};
use crate::setup::Setup;
use crate::world::{Model, World};

impl Model {
    /// Everything under way may or may not happen; whichever it is, the new leader makes it right.
    pub fn check(&mut self, world: &World) -> Result<(), String> {
        self.check_rest(world)?;
        let (late, ledgers) = self.under_way(world)?;
        for ledger in ledgers {
            let key = digest(&(ledger, world.cluster, world.endpoint, &late));
            if !self.checked.insert(key) {
                continue;
            }
            let settlement = self.settlement(ledger, world.cluster);
            let settlement = settlement.as_ref().as_ref().map_err(Clone::clone)?;
            let cluster = self.clusters.get(world.cluster);
            let endpoint = self.endpoints.get(world.endpoint);
            if self.setup.by_name {
                // Nothing is late here, so what is under way arrives now, or never.
                for arrived in subsets(&late) {
                    let endpoint = settled(&self.setup, endpoint.clone(), &arrived, settlement)?;
                    compare(&self.setup, cluster, &endpoint, &BTreeSet::new(), settlement)?;
                    compare_names(cluster, &endpoint, settlement)?;
                }
            } else {
                let endpoint = settled(&self.setup, endpoint.clone(), &[], settlement)?;
                let mut late = late.clone();
                late.retain(|told| !endpoint.ignores(*told));
                compare(&self.setup, cluster, &endpoint, &late, settlement)?;
            }
        }
        Ok(())
    }

    /// A leader that has nothing left to do may be replaced, and nothing is sent.
    fn check_rest(&mut self, world: &World) -> Result<(), String> {
        let Some(leader) = self.current(world) else { return Ok(()) };
        let Leader { operator, feeds, commit: None, requests, .. } = leader else { return Ok(()) };
        let rests = feeds.iter().all(Vec::is_empty) && requests.is_empty() && self.automaton.state(*operator).rests;
        if !rests {
            return Ok(());
        }
        let settlement = self.settlement(world.ledger, world.cluster);
        let told = settlement.as_ref().as_ref().map_err(Clone::clone)?.told.first();
        told.map_or(Ok(()), |told| Err(format!("a restart at rest sends {told}")))
    }

    /// The leader that holds the ledger, if it is alive.
    pub fn current(&self, world: &World) -> Option<&Leader> {
        let term = self.ledgers.get(world.ledger).term;
        let leaders = world.leaders.iter().filter(|leader| **leader != 0).map(|leader| self.leaders.get(*leader));
        leaders.filter(|leader| leader.term == term).last()
    }

    /// Requests that may still arrive, and what the ledger may become by commits that are still under way.
    fn under_way(&mut self, world: &World) -> Result<(BTreeSet<Told>, Vec<u32>), String> {
        let strays = self.strays.get(world.strays);
        let (mut late, mut commits) = (strays.requests.clone(), strays.commits.clone());
        let version = self.ledgers.get(world.ledger).version;
        for leader in world.leaders.into_iter().filter(|leader| *leader != 0) {
            let leader = self.leaders.get(leader);
            late.extend(leader.requests.iter().map(|attempt| self.automaton.told(*attempt)));
            if let Some(Commit { batch, landed: false }) = leader.commit
                && leader.version == version
            {
                commits.insert(batch);
            }
        }
        let mut ledgers = vec![world.ledger];
        for batch in commits {
            if let Some(landed) = self.landed(world.ledger, version, batch) {
                ledgers.push(landed?);
            }
        }
        Ok((late, ledgers))
    }
}

fn settled(
    setup: &Setup,
    mut endpoint: Endpoint,
    arrived: &[Told],
    settlement: &Settlement,
) -> Result<Endpoint, String> {
    arrived.iter().for_each(|told| endpoint.receive(*told));
    for &told in &settlement.told {
        setup.check_change(&endpoint, told)?;
        endpoint.say(told, true, setup.new_sources)?;
        endpoint.receive(told);
    }
    Ok(endpoint)
}

pub fn subsets(requests: &BTreeSet<Told>) -> Vec<Vec<Told>> {
    let requests: Vec<Told> = requests.iter().copied().collect();
    let chosen =
        |bits: u32| requests.iter().enumerate().filter(move |(n, _)| bits >> n & 1 == 1).map(|(_, told)| *told);
    (0..1 << requests.len()).map(|bits| chosen(bits).collect()).collect()
}

/// The endpoint, and whichever of the late requests arrives as the last one that counts.
fn compare(
    setup: &Setup,
    cluster: &Cluster,
    endpoint: &Endpoint,
    late: &BTreeSet<Told>,
    settlement: &Settlement,
) -> Result<(), String> {
    let unheard_of = settlement.ends.keys().filter(|uid| !endpoint.held.contains_key(*uid)).map(|uid| (*uid, None));
    for (uid, holds) in endpoint.may_hold(late).chain(unheard_of) {
        let end = settlement.ends.get(&uid).copied().unwrap_or_default();
        // Removed that was given up is not told any more once a newer object of that name is.
        let replaced = end.wanted.is_none() && setup.parks() && endpoint.knows_successor(uid);
        // Of who came after the copy and is gone by now nobody knows any more.
        let forgotten = end.wanted.is_none() && setup.budget.restores > 0 && usize::from(uid) > setup.places.len();
        if !is_right(cluster, uid, end, holds) && !replaced && !forgotten {
            let told = settlement.told.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(format!("uid-{uid}: {end:?}, and the endpoint holds {holds:?} after [{told}]"));
        }
    }
    Ok(())
}

/// Whether it is right that the endpoint holds this of the object.
fn is_right(cluster: &Cluster, uid: u8, end: End, holds: Option<u8>) -> bool {
    let wanted = end.wanted.map(|(_, state)| state);
    let given_up = end.parked == Some(wanted);
    let excused = match wanted {
        // Who need not be told may be adopted.
        Some(state) => end.adopted == Some(state) && !cluster.duties.contains(&uid),
        None => cluster.silenced.contains(&uid),
    };
    holds == wanted || end.blurred || given_up || excused
}

/// An endpoint that knows objects by their names has each selected one.
fn compare_names(cluster: &Cluster, endpoint: &Endpoint, settlement: &Settlement) -> Result<(), String> {
    for (&uid, &end) in &settlement.ends {
        let Some((place, state)) = end.wanted else { continue };
        let holds = endpoint.names.get(&place).copied();
        if holds != Some((uid, state)) && !is_right(cluster, uid, end, None) {
            return Err(format!("name {place} is uid-{uid} in state {state}, and the endpoint has {holds:?}"));
        }
    }
    Ok(())
}
