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
mod operator;
mod oracle;
mod search;
mod settle;
mod setup;
mod world;
mod worlds;

use search::explore;
use setup::Budget;
use world::{Model, World};

type Make = fn(Budget) -> (Model, World);

/// With EXPLORE_LIMIT=n no more than n states are looked at.
fn limit() -> usize {
    let limit = std::env::var("EXPLORE_LIMIT").ok().and_then(|limit| limit.parse().ok());
    limit.unwrap_or(usize::MAX)
}

fn check(make: Make, budget: Budget) {
    let (mut model, root) = make(budget);
    let report = explore(&mut model, root, limit());
    println!("{report}");
    assert!(report.found.is_none(), "a counterexample was found");
}

const NONE: Budget = Budget { edits: 0, answers: 0, crashes: 0, lost: 0, refused: 0, rivals: 0, stale: 0, restores: 0 };

macro_rules! worlds {
    ($($(#[$attribute:meta])* $name:ident: $make:ident { $($budget:tt)* })*) => {
        $(#[test] $(#[$attribute])* fn $name() { check(worlds::$make, Budget { $($budget)*, ..NONE }); })*
    };
}

worlds! {
    a_one: one_object { edits: 2, answers: 2, crashes: 1, lost: 1, rivals: 1 }
    a_two: old_leader { edits: 2, answers: 2, crashes: 1, lost: 1, rivals: 1 }
    a_slow: slow_commits { edits: 2, answers: 2, crashes: 1, lost: 1, rivals: 1 }
    a_refusals: refusals { edits: 2, answers: 3, crashes: 1, lost: 2, refused: 1, rivals: 0 }
    a_suspension: suspension { edits: 3, answers: 2, crashes: 1, lost: 1, rivals: 0 }
    a_selections: selections { edits: 3, answers: 2, crashes: 1, lost: 1, rivals: 0 }
    a_bad_lists: bad_lists { edits: 3, answers: 2, crashes: 1, lost: 1, rivals: 0, stale: 1 }
    a_namesakes: namesakes { edits: 3, answers: 3, crashes: 1, lost: 1, refused: 1 }
    a_old_copies: old_copies { edits: 2, answers: 2, crashes: 1, lost: 1, restores: 1 }
    a_baseline: baseline { edits: 2, answers: 2, crashes: 1, lost: 1 }
    b_two_objects: two_objects { edits: 2, answers: 2, crashes: 1 }
    b_two_kinds: two_kinds { edits: 2, answers: 2, crashes: 1 }
}
