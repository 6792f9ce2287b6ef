//! What must be true of every world: when the faults stop, the endpoint ends with exactly the selected objects.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, Object};
use crate::endpoint::{Endpoint, Told};
use crate::settle::Settlement;
use crate::world::{Commit, Model, World};

impl Model {
    /// Everything under way may or may not happen; whichever it is, the new leader makes it right.
    pub fn check(&mut self, world: &World) -> Result<(), String> {
        let (late, ledgers) = self.under_way(world);
        for ledger in ledgers {
            let settlement = self.settlement(ledger, world.cluster);
            let settlement = settlement.as_ref().as_ref().map_err(Clone::clone)?;
            let key = (ledger, world.cluster, world.endpoint, &late);
            if !self.is_new(&key) {
                continue;
            }
            let mut late = late.clone();
            let mut endpoint = self.endpoints.get(world.endpoint).clone();
            for &told in &settlement.told {
                endpoint.say(told, true)?;
                endpoint.receive(told);
            }
            late.retain(|told| !endpoint.ignores(*told));
            self.compare(self.clusters.get(world.cluster), &endpoint, &late, settlement)?;
        }
        Ok(())
    }

    /// Requests that may still arrive, and what the ledger may become by commits that are still under way.
    fn under_way(&mut self, world: &World) -> (BTreeSet<Told>, Vec<u32>) {
        let strays = self.strays.get(world.strays).clone();
        let (mut late, mut commits) = (strays.requests, strays.commits);
        let version = self.ledgers.get(world.ledger).version;
        for leader in world.leaders.into_iter().filter(|leader| *leader != 0) {
            let leader = self.leaders.get(leader);
            late.extend(leader.requests.iter().map(|request| self.automaton.told(request.attempt)));
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

    fn compare(
        &self,
        cluster: &Cluster,
        endpoint: &Endpoint,
        late: &BTreeSet<Told>,
        settlement: &Settlement,
    ) -> Result<(), String> {
        for (uid, may_hold) in endpoint.may_hold(late) {
            let object = cluster.objects().find(|object| object.uid == uid && self.selects(cluster, object));
            let wanted = object.map(|object| object.content);
            if may_hold != wanted && !settlement.parked.contains(&uid) {
                let told: Vec<String> = settlement.told.iter().map(ToString::to_string).collect();
                let told = told.join(", ");
                return Err(format!("uid-{uid} is {wanted:?}, the endpoint holds {may_hold:?} after [{told}]"));
            }
        }
        let unknown = cluster.objects().find(|object| {
            let parked = settlement.parked.contains(&object.uid);
            !parked && !endpoint.held.contains_key(&object.uid) && self.selects(cluster, object)
        });
        unknown.map_or(Ok(()), |object| Err(format!("the endpoint never hears of uid-{}", object.uid)))
    }

    pub fn selects(&self, cluster: &Cluster, object: &Object) -> bool {
        let plan = self.setup.plan(cluster.plan);
        let kind = self.setup.kind_of(object.place);
        let row = object.row(kind);
        let interest = plan.interests.iter().find(|interest| interest.gvk == *row.gvk);
        cluster.namespace && interest.is_some_and(|interest| interest.selector.matches(&row))
    }
}
