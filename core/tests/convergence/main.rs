//! Random schedules against the shipped selection and engine: changes, watch gaps, lost answers, late requests, failed
//! commits, crashes and takeovers, and edits of everything that can be edited, for two subscriptions at once.
//!
//! After every schedule the faults stop and everything is delivered, within a bounded time; then each endpoint must hold
//! exactly the selected objects (`oracle`). On the way, after every step, no request may leave before its Sending record is
//! durable or before its time, no object may have two requests under way, no event id may mean two states, and the engine's
//! counts and lines must agree with its slots. A failure prints its seed; run it alone with SEED=n, or more with SEEDS=n.

// An `unwrap` in here is an assertion; clippy's exception for tests does not reach the functions beside them. Options are
// switches by nature.
#![allow(clippy::unwrap_used, clippy::struct_excessive_bools, clippy::mut_mut)]

mod cluster;
mod edits;
mod options;
mod oracle;
mod receiver;
mod requests;
mod settle;
mod world;

use changehook_core::plan::{Change, ChangeTypes};
use options::Options;
use world::World;

/// Runs `check` for every seed, and names the seed that failed.
fn for_seeds(count: u64, check: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        let named = Named(seed);
        check(seed);
        std::mem::forget(named);
    }
}

struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        eprintln!("SEED={}", self.0);
    }
}

fn run(seed: u64, options: Options) -> World {
    let mut world = World::new(seed, options);
    let steps = 20 + world.random.below(120);
    for _ in 0..steps {
        world.step();
    }
    world
}

#[test]
fn whatever_happens_each_endpoint_ends_with_exactly_the_selected_objects() {
    for_seeds(700, |seed| {
        let mut world = run(seed, Options::default());
        world.settle_with_a_new_configuration();
        world.check_everything();
    });
}

#[test]
fn an_outage_that_ends_by_itself_leaves_nothing_behind_but_what_is_reported_as_parked() {
    for_seeds(700, |seed| {
        let mut world = run(seed, Options { edits: false, ..Options::default() });
        world.settle();
        world.check_everything();
    });
}

#[test]
fn edits_of_the_selection_lose_nothing_that_was_owed_and_tell_nothing_that_is_only_not_selected_any_more() {
    for_seeds(700, |seed| {
        let mut world = run(seed, Options { crashes: false, edits_often: true, ..Options::default() });
        world.settle_with_a_new_configuration();
        world.check_everything();
    });
}

#[test]
fn a_receiver_that_keys_by_name_ends_right_as_long_as_no_request_outlives_its_connection() {
    for_seeds(700, |seed| {
        let mut world = run(seed, Options { late: false, namesakes_often: true, ..Options::default() });
        world.settle();
        world.check_everything();
        world.check_names();
    });
}

#[test]
fn after_edits_of_the_change_types_every_object_that_changes_is_told_again() {
    for_seeds(400, |seed| {
        let mut world = run(seed, Options { change_types: true, ..Options::default() });
        world.subscribe_to_everything();
        world.settle_with_a_new_configuration();
        world.touch_everything();
        world.settle();
        world.check_selected_are_held();
    });
}

#[test]
fn a_restart_with_nothing_changed_sends_nothing() {
    for_seeds(150, |seed| {
        let mut world = run(seed, Options::default());
        world.settle_with_a_new_configuration();
        let sent = world.sent;
        world.start();
        world.settle();
        assert_eq!(world.sent, sent);
    });
}

#[test]
fn without_removed_the_endpoint_has_the_newest_state_of_every_selected_object_and_is_never_told_of_an_end() {
    let changes = ChangeTypes { removed: false, ..ChangeTypes::ALL };
    for_seeds(150, |seed| {
        let mut world = run(seed, Options { changes, edits: false, ..Options::default() });
        world.settle_with_a_new_configuration();
        world.check_selected_are_held();
        assert!(world.said().all(|change| change != Change::Removed));
    });
}

#[test]
fn with_removed_alone_only_ends_are_told() {
    let changes = ChangeTypes { new: false, updated: false, removed: true };
    for_seeds(150, |seed| {
        let mut world = run(seed, Options { changes, ..Options::default() });
        world.settle_with_a_new_configuration();
        assert!(world.said().all(|change| change == Change::Removed));
    });
}
