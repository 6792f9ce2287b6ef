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
    a_one: ONE_OBJECT
    a_longer: ONE_OBJECT_LONGER
    a_two: OLD_LEADER
    a_slow: SLOW_COMMITS
    a_refusals: REFUSALS
    a_outage: OUTAGE
    a_suspension: SUSPENSION
    a_selections: SELECTIONS
    a_bad_lists: BAD_LISTS
    a_new_sources: NEW_SOURCES
    a_namesakes: NAMESAKES
    a_old_copies: OLD_COPIES
    a_baseline: BASELINE
}
