//! Random schedules against the shipped selection, engine, keeper and codec: several subscriptions and kinds, one leader
//! after another with the old one still alive, and every fault that the design knows.
//!
//! A schedule ends with the faults: then everything is delivered, within a bounded time, and each endpoint must hold exactly
//! the selected objects, or say what is given up. On the way no request may leave before its Sending record is durable,
//! before its time, or again after its acknowledgement is durable; no object may have two requests under way; no event id
//! may mean two states; no sequence may go back; nothing is declared that the ledger says is known; whoever takes over
//! repeats no more than was under way or just answered; and what is read back from the ledger is what was written.
//!
//! | file | idea |
//! | --- | --- |
//! | `schedule` | what can happen, written down |
//! | `uniform`; `patterns`, `stories`, `returns`, `upsets` | two generators that share nothing |
//! | `world` | everything there is, and one step of it |
//! | `cluster`, `watches` | objects, and what a leader hears of them |
//! | `edits` | plans |
//! | `wire`, `endpoint` | requests, and what endpoints make of them |
//! | `durable`, `commits` | the ledger, and what every record must be worth |
//! | `succession` | one leader after another |
//! | `settle`, `oracle` | the faults stop; what must be true then |
//! | `reference`, `referee` | one slot by the words of the design, and the comparison with the engine |
//! | `play`, `shrink`, `volume`, `counts`, `brief` | one run; a shorter one that fails, too; many; what is told of them |
//!
//! A failure prints its seed and the shortest schedule that fails. `SIM_SEED=n cargo sim` plays that one and tells it;
//! `SIM_MINUTES=480 cargo sim` plays new ones for a night, from seed `SIM_FIRST` on.

// An `unwrap` in here is an assertion; clippy's exception for tests does not reach the functions beside them.
#![allow(clippy::unwrap_used, clippy::mut_mut, reason = "in a test a panic is the report")]

mod brief;
mod canary;
mod cluster;
mod commits;
mod counts;
mod durable;
mod edits;
mod endpoint;
mod found;
mod mutants;
mod oracle;
mod patterns;
mod play;
mod random;
mod referee;
mod reference;
mod returns;
mod schedule;
mod settle;
mod shrink;
mod stories;
mod succession;
mod uniform;
mod upsets;
mod volume;
mod watches;
mod wire;
mod world;

use changehook_core::plan::ChangeTypes;
use changehook_core::proof::Mark;
use play::Watch;
use schedule::{Edit, Edits, Finish, Schedule, Step};
use volume::Volume;

/// What two cores play in about four minutes.
const SCHEDULES: u64 = 1_000_000;

#[test]
fn whatever_happens_each_endpoint_ends_with_exactly_the_selected_objects() {
    let volume = Volume::from_environment(SCHEDULES);
    let tally = volume.play();
    eprintln!("{tally}");
    let marks = Mark::ALL.iter().map(|mark| (tally.marks[*mark as usize], mark));
    let told: Vec<String> = marks.clone().map(|(times, mark)| format!("{mark:?} {times}")).collect();
    eprintln!("marks: {}", told.join(", "));
    // A thousand times in a million; a shorter run cannot know.
    let floor = tally.schedules / 1_000;
    let rare: Vec<_> = marks.filter(|(times, _)| *times < floor).collect();
    assert!(rare.is_empty() || floor < 500, "branches that are passed too rarely: {rare:?}");
}

/// Without what is not in the reference model; false if that is all that the schedule is about.
fn for_the_model(schedule: &mut Schedule) -> bool {
    let setup = &mut schedule.setup;
    if setup.edits == Edits::All {
        setup.edits = Edits::Sending;
    }
    (setup.notify, setup.discard, setup.losses, setup.room) = (false, false, None, u64::MAX);
    setup.strangers = false;
    schedule.steps.retain(|step| match step {
        Step::Edit { edit, .. } | Step::EditedWhileDown { edit, .. } => !matches!(edit, Edit::Resync { .. }),
        // Sources that are behind or do not say all are not in the model.
        Step::SetBack { .. } | Step::Move { .. } | Step::Overlook { .. } => false,
        _ => true,
    });
    setup.changes == ChangeTypes::ALL && !setup.change_types
}

#[test]
fn the_reference_model_decides_as_the_engine_does() {
    let watch = Watch { refereed: true, told: false };
    let adapt = for_the_model;
    let tally = Volume { watch, adapt, first_seed: 5_000_000, ..Volume::of(126_000) }.play();
    assert!(tally.schedules >= 100_000, "{}", tally.schedules);
}

// The sentences below are part of the run above; each has schedules of its own, so that a failure says what is wrong.

fn a_few(adapt: fn(&mut Schedule) -> bool) {
    Volume { adapt, first_seed: 7_000_000, ..Volume::of(3_000) }.play();
}

#[test]
fn an_outage_that_ends_by_itself_leaves_nothing_behind_but_what_is_reported_as_parked() {
    a_few(|schedule| {
        (schedule.setup.changes, schedule.setup.change_types) = (ChangeTypes::ALL, false);
        schedule.finish = Finish::ByItself;
        true
    });
}

#[test]
fn edits_of_the_selection_lose_nothing_that_was_owed_and_tell_nothing_that_is_only_not_selected_any_more() {
    a_few(|schedule| {
        let setup = &mut schedule.setup;
        (setup.changes, setup.change_types) = (ChangeTypes::ALL, false);
        (setup.crashes, setup.edits) = (false, Edits::All);
        schedule.finish = Finish::Repaired;
        true
    });
}

#[test]
fn a_receiver_that_keys_by_name_ends_right_as_long_as_no_request_outlives_its_connection() {
    a_few(|schedule| {
        let setup = &mut schedule.setup;
        (setup.changes, setup.change_types, setup.late) = (ChangeTypes::ALL, false, false);
        schedule.finish = Finish::ByName;
        true
    });
}

#[test]
fn after_edits_of_the_change_types_every_object_that_changes_is_told_again() {
    a_few(|schedule| {
        (schedule.setup.edits, schedule.setup.change_types) = (Edits::All, true);
        schedule.finish = Finish::Touched;
        true
    });
}

#[test]
fn a_restart_with_nothing_changed_sends_nothing() {
    a_few(|schedule| {
        (schedule.setup.changes, schedule.setup.change_types) = (ChangeTypes::ALL, false);
        schedule.finish = Finish::Restarted;
        true
    });
}

#[test]
fn without_removed_the_endpoint_has_the_newest_state_of_every_selected_object_and_is_never_told_of_an_end() {
    a_few(|schedule| {
        let setup = &mut schedule.setup;
        (setup.changes, setup.change_types) = (ChangeTypes { removed: false, ..ChangeTypes::ALL }, false);
        setup.edits = Edits::None;
        schedule.finish = Finish::WithoutEnds;
        true
    });
}

#[test]
fn with_removed_alone_only_ends_are_told() {
    a_few(|schedule| {
        let setup = &mut schedule.setup;
        (setup.changes, setup.change_types) = (ChangeTypes { new: false, updated: false, removed: true }, false);
        schedule.finish = Finish::OnlyEnds;
        true
    });
}
