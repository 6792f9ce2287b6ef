//! The worlds that are explored.

use std::rc::Rc;

use changehook_core::plan::Scope;

use crate::cluster::{Cluster, Edit};
use crate::durable::Ledger;
use crate::moves::Move;
use crate::setup::{Budget, Setup};
use crate::world::{Model, World};

pub type Make = fn(Budget) -> (Model, World);

/// A world that is small enough to be explored in seconds.
pub type Small = (Make, Budget);

const NONE: Budget = Budget { edits: 0, answers: 0, crashes: 0, lost: 0, refused: 0, rivals: 0, stale: 0, restores: 0 };
const BASE: Budget = Budget { edits: 2, answers: 2, crashes: 1, lost: 1, ..NONE };

pub const ONE_OBJECT: Small = (one_object, Budget { rivals: 1, ..BASE });
pub const ONE_OBJECT_LONGER: Small = (one_object, Budget { edits: 3, ..BASE });
pub const OLD_LEADER: Small = (old_leader, Budget { rivals: 1, ..BASE });
pub const SLOW_COMMITS: Small = (slow_commits, Budget { rivals: 1, ..BASE });
pub const REFUSALS: Small = (refusals, Budget { answers: 3, lost: 2, refused: 1, ..BASE });
pub const SUSPENSION: Small = (suspension, Budget { edits: 3, ..BASE });
pub const SELECTIONS: Small = (selections, Budget { edits: 3, ..BASE });
pub const BAD_LISTS: Small = (bad_lists, Budget { edits: 3, stale: 1, ..BASE });
pub const NEW_SOURCES: Small = (new_sources, Budget { stale: 1, ..BASE });
pub const OUTAGE: Small = (outage, Budget { answers: 3, lost: 2, crashes: 0, ..BASE });
pub const NAMESAKES: Small = (namesakes, Budget { edits: 3, answers: 3, refused: 1, ..BASE });
pub const OLD_COPIES: Small = (old_copies, Budget { edits: 3, answers: 3, restores: 1, ..BASE });
pub const BASELINE: Small = (baseline, BASE);
pub const TWO_OBJECTS: Small = (two_objects, Budget { edits: 1, answers: 1, ..BASE });
pub const TWO_KINDS: Small = (two_kinds, Budget { edits: 1, answers: 1, ..BASE });

const ONE: [Edit; 5] = [Edit::Content(0), Edit::Label(0), Edit::Namespace, Edit::Delete(0), Edit::Create(0)];

/// One object that everything may happen to.
pub fn one_object(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("one object", &[0], budget);
    setup.edits = ONE.to_vec();
    known(setup)
}

/// The same, and a leader that was taken over from goes on in every way it can.
pub fn old_leader(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("one object, two leaders", &[0], budget);
    setup.edits = ONE.to_vec();
    setup.old_leaders_go_on = true;
    known(setup)
}

/// Acknowledgements wait for company, and a commit that takes long stops all sending.
pub fn slow_commits(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("slow commits", &[0], budget);
    setup.edits = vec![Edit::Content(0), Edit::Namespace];
    setup.settings.ack_delay = 1_500;
    setup.settings.stall_after = 3_000;
    known(setup)
}

/// An endpoint that refuses, or is down for longer than an event is tried; the endpoint's configuration may change.
pub fn refusals(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("refusals and outages", &[0], budget);
    setup.plans[0].retry.max_retries = 1;
    let mut other = setup.plans[0].clone();
    other.config_hash = 1;
    setup.plans.push(other);
    setup.edits = vec![Edit::Content(0), Edit::Namespace, Edit::Delete(0), Edit::Plan(1)];
    known(setup)
}

/// An endpoint that is down for two objects.
pub fn outage(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("an outage for two", &[0, 0], budget);
    setup.plans[0].retry.max_retries = 0;
    setup.edits = vec![Edit::Content(0), Edit::Content(1)];
    known(setup)
}

/// The subscription is suspended and resumed, and asks for everything again.
pub fn suspension(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("suspension and resync", &[0], budget);
    let plan = setup.plans[0].clone();
    let mut again = plan.clone();
    again.policy.resync.request_id = Some("again".into());
    again.policy.resync_scope = Scope::All;
    setup.plans.push(changehook_core::plan::Plan { suspended: true, ..plan });
    setup.plans.push(again);
    setup.edits = vec![Edit::Content(0), Edit::Delete(0), Edit::Plan(0), Edit::Plan(1), Edit::Plan(2)];
    known(setup)
}

/// The subscription's selector is edited there and back, silently.
pub fn selections(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("edited selections", &[0], budget);
    setup.plans.extend([setup.plan_of(""), setup.plan_of("y")]);
    setup.edits = vec![Edit::Content(0), Edit::Label(0), Edit::Delete(0), Edit::Create(0)];
    setup.edits.extend([Edit::Plan(0), Edit::Plan(1), Edit::Plan(2)]);
    setup.adopts = true;
    known(setup)
}

/// Objects that cannot be read, and lists that are old.
pub fn bad_lists(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("unreadable objects and old lists", &[0], budget);
    setup.edits = vec![Edit::Content(0), Edit::Label(0), Edit::Blur(0), Edit::Delete(0), Edit::Create(0)];
    known(setup)
}

/// Each leader watches by a source of which no version is known: its first list may be older than what was told.
pub fn new_sources(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("new sources", &[0], budget);
    setup.edits = ONE.to_vec();
    setup.new_sources = true;
    known(setup)
}

/// An endpoint that knows objects by their names alone.
pub fn namesakes(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("namesakes", &[0], budget);
    setup.edits = vec![Edit::Content(0), Edit::Delete(0), Edit::Create(0)];
    setup.by_name = true;
    known(setup)
}

/// The ledger is set back to what it was at the beginning.
pub fn old_copies(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("a ledger that is set back", &[0], budget);
    setup.edits = vec![Edit::Content(0), Edit::Label(0), Edit::Delete(0), Edit::Create(0)];
    known(setup)
}

/// A subscription that is new, in a cluster with an object.
pub fn baseline(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("the first baseline", &[0], budget);
    setup.edits = ONE.to_vec();
    setup.adopts = true;
    let mut model = Model::new(setup);
    let (mut cluster, _) = Cluster::empty(1).edited(Edit::Create(0)).expect("there is none yet");
    cluster.adoptable.insert(1);
    let mut world = nothing(&mut model, cluster);
    world.budget = budget;
    let world = model.begin(world, false).expect("nothing is wrong yet");
    (model, world)
}

/// Two objects of one kind.
pub fn two_objects(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("two objects", &[0, 0], budget);
    setup.edits = both(&[Edit::Content, Edit::Label, Edit::Delete]);
    setup.edits.push(Edit::Namespace);
    known(setup)
}

/// Two objects, each of a kind with a watch of its own.
pub fn two_kinds(budget: Budget) -> (Model, World) {
    let mut setup = Setup::new("two kinds", &[0, 1], budget);
    setup.edits = both(&[Edit::Content, Edit::Label, Edit::Delete]);
    known(setup)
}

fn both(edits: &[fn(u8) -> Edit]) -> Vec<Edit> {
    [0, 1].into_iter().flat_map(|place| edits.iter().map(move |edit| edit(place))).collect()
}

/// A world before its first leader.
fn nothing(model: &mut Model, cluster: Cluster) -> World {
    let cluster = model.clusters.add(cluster);
    let ledger = model.add_ledger(Ledger::default());
    let budget = Budget { answers: u8::MAX, ..Budget::default() };
    World { cluster, ledger, endpoint: 0, strays: 0, leaders: [0; 2], past: World::NO_PAST, budget }
}

/// Each object exists, and the endpoint has it; one leader is at rest.
fn known(setup: Setup) -> (Model, World) {
    let (places, budget) = (setup.places.len(), setup.budget);
    let mut model = Model::new(setup);
    let start = nothing(&mut model, Cluster::empty(places));
    let mut world = model.begin(start, false).expect("nothing is wrong yet");
    calm(&mut model, &mut world);
    for place in 0..places {
        let create = Edit::Create(u8::try_from(place).expect("a world has few places"));
        let (after, news) = model.clusters.get(world.cluster).edited(create).expect("there is none yet");
        let (feed, news) = (news.feed(&model.setup), model.automaton.inputs.add(news.into()));
        world.cluster = model.clusters.add(after);
        world.leaders[0] = model.with_news(world.leaders[0], feed, news);
        calm(&mut model, &mut world);
    }
    model.copy = Rc::clone(model.ledgers.get(world.ledger));
    world.budget = budget;
    (model, world)
}

/// Lets a leader do what it does, until it does nothing more, or something is wrong.
fn calm(model: &mut Model, world: &mut World) {
    let mut steps = Vec::new();
    loop {
        model.moves(world, &mut steps);
        let step = steps.drain(..).find(|(step, _)| matches!(step, Move::Leader(..)));
        let Some((_, Ok(next))) = step else { return };
        *world = next;
    }
}
