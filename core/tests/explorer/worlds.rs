//! The worlds that are explored.

use crate::cluster::{Cluster, Edit};
use crate::durable::Ledger;
use crate::moves::Move;
use crate::setup::{Budget, Setup};
use crate::world::{Model, World};

/// One object that everything may happen to.
pub fn one_object() -> (Model, World) {
    let n = |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let budget = Budget {
        edits: n("EDITS", 2),
        answers: n("SENDS", 2),
        crashes: n("CRASHES", 1),
        lost: n("LOST", 1),
        refused: 0,
        rivals: n("RIVALS", 1),
    };
    let mut setup = Setup::new("one object", &[0], budget);
    setup.old_leaders_go_on = n("OLD", 0) == 1;
    setup.settings.ack_delay = u64::from(n("ACK", 0)) * 1500;
    setup.edits = vec![Edit::Content(0), Edit::Label(0), Edit::Namespace, Edit::Delete(0), Edit::Create(0)];
    known(setup)
}

/// Each object exists, and the endpoint has it; one leader is at rest.
fn known(setup: Setup) -> (Model, World) {
    let (places, budget) = (setup.places.len(), setup.budget);
    let mut model = Model::new(setup);
    let cluster = model.clusters.add(Cluster::empty(places));
    let ledger = model.add_ledger(Ledger::default());
    let unlimited = Budget { answers: u8::MAX, ..Budget::default() };
    let nothing = World { cluster, ledger, endpoint: 0, strays: 0, leaders: [0; 2], budget: unlimited };
    let mut world = model.begin(nothing).unwrap();
    calm(&mut model, &mut world);
    for place in 0..places {
        let (after, news) = model.clusters.get(world.cluster).edited(Edit::Create(place as u8)).unwrap();
        let (feed, news) = (news.feed(&model.setup), model.automaton.inputs.add(news.into()));
        world.cluster = model.clusters.add(after);
        world.leaders[0] = model.with_news(world.leaders[0], feed, news);
        calm(&mut model, &mut world);
    }
    world.budget = budget;
    (model, world)
}

/// Lets a leader do what it does, until it does nothing more.
fn calm(model: &mut Model, world: &mut World) {
    let mut steps = Vec::new();
    loop {
        model.moves(world, &mut steps);
        let Some((_, next)) = steps.drain(..).find(|(step, _)| matches!(step, Move::Leader(..))) else { return };
        *world = next.unwrap();
    }
}
