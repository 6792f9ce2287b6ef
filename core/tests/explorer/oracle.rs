//! What must be true of every world: when the faults stop, the endpoint ends with exactly the selected objects.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, Object};
use crate::endpoint::{Endpoint, Told};
use crate::settle::Settlement;
use crate::world::{Commit, Model, Place, World};

/// When the requests that outlived their senders arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Never,
    First,
    Last,
}

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
            let orders = if late.is_empty() { &[Late::Never][..] } else { &[Late::Never, Late::First, Late::Last] };
            for &order in orders {
                let endpoint = self.settled(world, &late, settlement, order)?;
                let cluster = self.clusters.get(world.cluster);
                self.compare(cluster, &endpoint, settlement).map_err(|wrong| {
                    let told: Vec<String> = settlement.told.iter().map(ToString::to_string).collect();
                    format!("{wrong} (late requests: {order:?}; the last leader told [{}])", told.join(", "))
                })?;
            }
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
            let unheard = leader.requests.iter().filter(|request| request.at != Place::Arrived);
            late.extend(unheard.map(|request| self.automaton.told(request.attempt)));
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

    fn settled(
        &self,
        world: &World,
        late: &BTreeSet<Told>,
        settlement: &Settlement,
        order: Late,
    ) -> Result<Endpoint, String> {
        let mut endpoint = self.endpoints.get(world.endpoint).clone();
        if order == Late::First {
            late.iter().for_each(|told| endpoint.receive(*told));
        }
        for &told in &settlement.told {
            endpoint.say(told, true)?;
            endpoint.receive(told);
        }
        if order == Late::Last {
            late.iter().for_each(|told| endpoint.receive(*told));
        }
        Ok(endpoint)
    }

    fn compare(&self, cluster: &Cluster, endpoint: &Endpoint, settlement: &Settlement) -> Result<(), String> {
        let is_parked = |uid: u8| settlement.parked.contains(&uid);
        let selected: Vec<&Object> = cluster.objects().filter(|object| self.selects(cluster, object)).collect();
        for Object { uid, content, .. } in &selected {
            let holds = endpoint.holds(*uid);
            if holds != Some(*content) && !is_parked(*uid) {
                return Err(format!("the endpoint should hold uid-{uid} as {content} and holds {holds:?}"));
            }
        }
        for (uid, (_, content)) in &endpoint.held {
            let wanted = selected.iter().any(|object| object.uid == *uid);
            if content.is_some() && !wanted && !is_parked(*uid) {
                return Err(format!("the endpoint still holds uid-{uid}"));
            }
        }
        Ok(())
    }

    pub fn selects(&self, cluster: &Cluster, object: &Object) -> bool {
        let plan = self.setup.plan(cluster.plan);
        let kind = self.setup.kind_of(object.place);
        let row = object.row(kind);
        let interest = plan.interests.iter().find(|interest| interest.gvk == *row.gvk);
        cluster.namespace && interest.is_some_and(|interest| interest.selector.matches(&row))
    }
}
