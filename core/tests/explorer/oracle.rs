//! What must be true of every world: when the faults stop, the endpoint ends with exactly the selected objects.

use std::collections::BTreeSet;

use crate::endpoint::{Endpoint, Told};
use crate::intern::digest;
use crate::leader::Commit;
use crate::settle::Settlement;
use crate::world::{Model, World};

impl Model {
    /// Everything under way may or may not happen; whichever it is, the new leader makes it right.
    pub fn check(&mut self, world: &World) -> Result<(), String> {
        let (late, ledgers) = self.under_way(world);
        for ledger in ledgers {
            let key = digest(&(ledger, world.cluster, world.endpoint, &late));
            if !self.checked.insert(key) {
                continue;
            }
            let settlement = self.settlement(ledger, world.cluster);
            let settlement = settlement.as_ref().as_ref().map_err(Clone::clone)?;
            let (mut late, mut endpoint) = (late.clone(), self.endpoints.get(world.endpoint).clone());
            for &told in &settlement.told {
                endpoint.say(told, true)?;
                endpoint.receive(told);
            }
            late.retain(|told| !endpoint.ignores(*told));
            compare(&endpoint, &late, settlement)?;
        }
        Ok(())
    }

    /// Requests that may still arrive, and what the ledger may become by commits that are still under way.
    fn under_way(&mut self, world: &World) -> (BTreeSet<Told>, Vec<u32>) {
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
            ledgers.extend(self.landed(world.ledger, version, batch));
        }
        (late, ledgers)
    }
}

/// The endpoint, and whichever of the late requests arrives as the last one that counts.
fn compare(endpoint: &Endpoint, late: &BTreeSet<Told>, settlement: &Settlement) -> Result<(), String> {
    let Settlement { told, parked, wanted } = settlement;
    for (uid, may_hold) in endpoint.may_hold(late) {
        let wanted = wanted.get(&uid).copied().flatten();
        if may_hold != wanted && !parked.contains(&uid) {
            let told = told.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(format!("uid-{uid} is {wanted:?}, the endpoint holds {may_hold:?} after [{told}]"));
        }
    }
    let unheard_of = wanted
        .iter()
        .find(|(uid, content)| content.is_some() && !parked.contains(*uid) && !endpoint.held.contains_key(*uid));
    unheard_of.map_or(Ok(()), |(uid, _)| Err(format!("the endpoint never hears of uid-{uid}")))
}
