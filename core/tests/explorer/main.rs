//! The shipped engine and selection, explored exhaustively: every interleaving of a small world, and at every state of it
//! the question whether the endpoint ends right if the faults stop now.
//!
//! | file | idea |
//! | --- | --- |
//! | `setup`, `worlds` | what may happen, and how often |
//! | `cluster`, `endpoint`, `durable` | what is around the operator |
//! | `operator`, `automaton` | the shipped leader, and each of its steps computed once |
//! | `leader` | a leader with what is on its way to it, and what may happen to it |
//! | `world`, `moves` | a state of everything, and what may happen next |
//! | `duty` | who must be told, where an edit may silence |
//! | `settle`, `oracle` | the faults stop; what must be true then |
//! | `search`, `intern` | breadth first, each state once |

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(
    clippy::trivially_copy_pass_by_ref,
    clippy::needless_pass_by_value,
    clippy::needless_for_each,
    clippy::option_option,
    clippy::wrong_self_convention,
    clippy::double_ended_iterator_last,
    reason = "states are many and small, and what is copied is what the search counts"
)]

mod automaton;
mod cluster;
mod durable;
mod duty;
mod endpoint;
mod intern;
mod leader;
mod moves;
mod mutants;
mod operator;
mod oracle;
mod search;
mod settle;
mod setup;
mod world;
mod worlds;

use search::explore;
use worlds::Small;

/// With EXPLORE_LIMIT=n no more than n states are looked at.
fn limit() -> usize {
    let limit = std::env::var("EXPLORE_LIMIT").ok().and_then(|limit| limit.parse().ok());
    limit.unwrap_or(usize::MAX)
}

fn check((make, budget): Small) {
    let (mut model, root) = make(budget);
    let report = explore(&mut model, root, limit());
    println!("{report}");
    assert!(report.found.is_none(), "a counterexample was found");
}

macro_rules! worlds {
    ($($(#[$attribute:meta])* $name:ident: $small:ident)*) => {
        $(#[test] $(#[$attribute])* fn $name() { check(worlds::$small); })*
    };
}

worlds! {
    whatever_happens_to_one_object_the_endpoint_ends_right: ONE_OBJECT
    one_edit_more_changes_nothing: ONE_OBJECT_LONGER
    a_leader_that_goes_on_after_a_takeover_harms_nothing: OLD_LEADER
    slow_commits_harm_nothing: SLOW_COMMITS
    what_is_refused_is_reported_and_told_once_it_changes: REFUSALS
    an_outage_ends_with_everything_told: OUTAGE
    suspension_and_requests_to_tell_again_lose_nothing: SUSPENSION
    edits_of_the_selection_lose_nothing: SELECTIONS
    lists_that_cannot_be_read_prove_nothing: BAD_LISTS
    lists_that_are_behind_prove_nothing: NEW_SOURCES
    namesakes_end_right: NAMESAKES
    a_ledger_that_was_restored_is_made_up_for: OLD_COPIES
    a_baseline_swallows_nothing_that_changes_meanwhile: BASELINE
    two_objects_harm_each_other_in_nothing: TWO_OBJECTS
    two_kinds_harm_each_other_in_nothing: TWO_KINDS
}

/// For hours: EXPLORE names the world, EDITS, SENDS, CRASHES, LOST, REFUSED, RIVALS, STALE and RESTORES say how much may
/// happen in it, EXPLORE_LIMIT how many states are looked at. Without them it is a world of a moment.
#[test]
fn a_world_as_large_as_is_asked_for() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(0);
    let make = match std::env::var("EXPLORE").as_deref() {
        Err(_) | Ok("one") => worlds::one_object,
        Ok("old-leader") => worlds::old_leader,
        Ok("two-objects") => worlds::two_objects,
        Ok("two-kinds") => worlds::two_kinds,
        Ok(other) => panic!("EXPLORE is one of one, old-leader, two-objects, two-kinds, and not {other}"),
    };
    check((
        make,
        setup::Budget {
            edits: number("EDITS"),
            answers: number("SENDS"),
            crashes: number("CRASHES"),
            lost: number("LOST"),
            refused: number("REFUSED"),
            rivals: number("RIVALS"),
            stale: number("STALE"),
            restores: number("RESTORES"),
        },
    ));
}
