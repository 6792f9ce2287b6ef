//! The worlds that are explored.

use crate::cluster::{Cluster, Edit};
use crate::durable::Ledger;
use crate::endpoint::Endpoint;
use crate::setup::{Budget, Setup};
use crate::world::{Model, World};

/// One object that everything may happen to.
pub fn one_object() -> (Model, World) {
    let n = |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let budget = Budget {
        edits: n("EDITS", 2),
        sends: n("SENDS", 2),
        crashes: n("CRASHES", 1),
        lost: n("LOST", 1),
        refused: 0,
        rivals: n("RIVALS", 1),
    };
    let mut setup = Setup::new("one object", &[0], budget);
    setup.edits = vec![Edit::Content(0), Edit::Label(0), Edit::Namespace, Edit::Delete(0), Edit::Create(0)];
    known(setup)
}

/// Each object exists, and the endpoint has it; one leader is at rest.
fn known(setup: Setup) -> (Model, World) {
    let places = setup.places.len();
    let mut model = Model::new(setup);
    let cluster = model.clusters.add(Cluster::empty(places));
    let ledger = model.add_ledger(Ledger::default());
    let budget = model.setup.budget;
    let endpoint = model.endpoints.add(Endpoint::default());
    let strays = model.strays.add(crate::world::Strays::default());
    let mut world = World { cluster, ledger, endpoint, strays, leaders: [0; 2], budget };
    world.budget = Budget { edits: u8::MAX, sends: u8::MAX, ..Budget::default() };
    world = model.begin(world).unwrap();
    world = calm(&mut model, world);
    for place in 0..places {
        let (next, sight) = model.cluster(&world).edited(Edit::Create(place as u8)).unwrap();
        world.cluster = model.clusters.add(next);
        let mut leader = model.leaders.get(world.leaders[0]).clone();
        leader.sights.extend(sight);
        world.leaders[0] = model.leaders.add(leader);
        world = calm(&mut model, world);
    }
    world.budget = budget;
    (model, world)
}

/// Lets things happen until nothing does, without edits or faults.
fn calm(model: &mut Model, mut world: World) -> World {
    use crate::moves::{Doing, Move};
    loop {
        let steps = model.moves(&world);
        let step = steps.into_iter().find(|(step, _)| match step {
            Move::Leader(_, doing) => !matches!(doing, Doing::Crashes),
            _ => false,
        });
        let Some((_, next)) = step else { return world };
        world = next.unwrap();
    }
}
