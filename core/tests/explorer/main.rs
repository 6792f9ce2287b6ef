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
//! | `settle`, `oracle` | the faults stop; what must be true then |
//! | `search`, `intern` | breadth first, each state once |

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod automaton;
mod cluster;
mod durable;
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

#[test]
fn one_object() {
    let limit = std::env::var("LIMIT").ok().and_then(|limit| limit.parse().ok()).unwrap_or(2_000_000);
    let (mut model, root) = worlds::one_object();
    let report = explore(&mut model, root, limit);
    println!("{report}");
    assert!(report.found.is_none());
}
