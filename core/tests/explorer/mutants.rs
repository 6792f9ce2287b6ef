//! Each rule of the protocol is broken once, at the place where the shipped code enforces it, and the explorer finds a
//! counterexample. A rule that can be broken unnoticed fails the test. The rules that show only in what one object never
//! comes to are the simulator's, which looks for all of them.
//!
//! The worlds are those of `main`, where nothing is found as long as no rule is broken. With MUTANT=WriteAhead that one
//! alone is broken and its counterexample told.

use std::sync::Mutex;

use changehook_core::proof::{Rule, break_rule};

use crate::search::{Report, explore};
use crate::worlds::{self, Small};

/// Each with the world in which it shows.
const MUTANTS: [(Rule, Small); 27] = [
    (Rule::WriteAhead, worlds::ONE_OBJECT),
    (Rule::CommitsHoldAll, worlds::ONE_OBJECT),
    (Rule::OneCommitAtATime, worlds::ONE_OBJECT),
    (Rule::DurableIsWhatWasCommitted, worlds::ONE_OBJECT),
    (Rule::LossIsNoticed, worlds::OLD_COPIES),
    (Rule::UnansweredIsOwed, worlds::ONE_OBJECT),
    (Rule::StaleRowsAreHeld, worlds::NEW_SOURCES),
    (Rule::UnknownIsHeld, worlds::BAD_LISTS),
    (Rule::UnreadIsNotGone, worlds::BAD_LISTS),
    (Rule::OneMeaning, worlds::ONE_OBJECT),
    (Rule::SentAsDeclared, worlds::ONE_OBJECT_LONGER),
    (Rule::NewAfterRemoved, worlds::ONE_OBJECT),
    (Rule::OneUnderWay, worlds::ONE_OBJECT),
    (Rule::SuspendedIsSilent, worlds::SUSPENSION),
    (Rule::LaunchLooksAgain, worlds::SUSPENSION),
    (Rule::MaybeToldIsRemoved, worlds::ONE_OBJECT_LONGER),
    (Rule::NamesakesInOrder, worlds::NAMESAKES),
    (Rule::ParkedIsUnanswered, worlds::REFUSALS),
    (Rule::ParksAreRecorded, worlds::REFUSALS),
    (Rule::RecoveryReleases, worlds::OUTAGE),
    (Rule::ConfigurationReleases, worlds::REFUSALS),
    (Rule::ChangeReleases, worlds::REFUSALS),
    (Rule::ClosedAdoptsNothing, worlds::ONE_OBJECT),
    (Rule::AdoptedUpToTheMark, worlds::BASELINE),
    (Rule::OwedIsPledged, worlds::SELECTIONS),
    (Rule::EditsSilenceTheirOwn, worlds::SELECTIONS),
    (Rule::ResyncTellsAgain, worlds::SUSPENSION),
];

fn run((rule, (make, budget)): (Rule, Small)) -> Report {
    break_rule(Some(rule));
    let (mut model, root) = make(budget);
    let report = explore(&mut model, root, usize::MAX);
    break_rule(None);
    report
}

#[test]
fn each_rule_that_is_broken_has_a_counterexample() {
    let only = std::env::var("MUTANT").ok();
    let chosen: Vec<_> =
        MUTANTS.into_iter().filter(|(rule, _)| only.as_ref().is_none_or(|o| *o == format!("{rule:?}"))).collect();
    assert!(!chosen.is_empty(), "there is no such rule");
    let (next, survivors) = (Mutex::new(chosen.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(mutant) = { next.lock().expect("nobody panics here").next() } {
                    let (rule, report) = (mutant.0, run(mutant));
                    match &report.found {
                        Some(found) if only.is_none() => println!(
                            "{rule:?}: {} steps, {} states of \"{}\": {}",
                            found.path.len(),
                            report.states,
                            report.name,
                            found.wrong
                        ),
                        Some(_) => println!("{rule:?}: {report}"),
                        None => {
                            println!("{rule:?} SURVIVES: {report}");
                            survivors.lock().expect("nobody panics here").push(rule);
                        }
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("nobody panics here");
    assert!(survivors.is_empty(), "broken unnoticed: {survivors:?}");
}
