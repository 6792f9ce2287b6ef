//! Every rule of the protocol is needed: broken, one at a time, each is found by a schedule, which is then cut down.
//!
//! The same schedules and the same oracle as everywhere else in here; nothing is arranged for the rule that is broken, but
//! that schedules which cannot break it are left out. A rule that can be broken without being found out is a failure of this
//! test; a counterexample that fails although nothing is broken does not count. Who may act is not in the simulator: its
//! rules are broken beside the Lease's own rivals.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use changehook_core::proof::Rule;

use crate::canary::Broken;
use crate::for_the_model;
use crate::play::{Watch, try_play};
use crate::schedule::{Schedule, Setup};
use crate::shrink::{Shrunk, shrink};
use crate::volume::schedule;

const THREADS: usize = 2;
/// Whoever is not found within so many schedules, or so long on a busy machine, has survived.
const MOST: u64 = 100_000;
const LONGEST: Duration = Duration::from_mins(1);

struct Found {
    rule: Rule,
    schedules: u64,
    shrunk: Shrunk,
}

/// Some rules are about what is told on the way, while every endpoint would end right all the same: the model sees that.
fn watch(rule: Rule) -> Watch {
    let by_the_model = matches!(
        rule,
        Rule::LaunchLooksAgain
            | Rule::NeverToldIsDropped
            | Rule::NewAfterRemoved
            | Rule::StaleRowsAreHeld
            | Rule::ChangeReleases
    );
    Watch { refereed: by_the_model, told: false }
}

/// Whether the schedule can break the rule at all: few subscriptions are poor, or are edited in what they want to be told.
fn concerns(rule: Rule, setup: &Setup) -> bool {
    (setup.poor || rule != Rule::AcksNeverWait) && (setup.change_types || rule != Rule::RecipesAreFollowed)
}

/// With nothing broken the schedule fails, too: that says nothing of the rule.
fn fails_anyway(schedule: &Schedule, watch: Watch) -> bool {
    try_play(schedule, watch).is_err()
}

fn hunt(rule: Rule) -> Option<Found> {
    let (started, watch) = (Instant::now(), watch(rule));
    let mut played = 0;
    for seed in 1..=MOST {
        let mut schedule = schedule(seed);
        if !concerns(rule, &schedule.setup) || (watch.refereed && !for_the_model(&mut schedule)) {
            continue;
        }
        played += 1;
        let broken = Broken::rule(rule);
        if try_play(&schedule, watch).is_err() {
            let shrunk = shrink(&schedule, watch)?;
            drop(broken);
            if !fails_anyway(&shrunk.schedule, watch) {
                return Some(Found { rule, schedules: played, shrunk });
            }
        }
        if started.elapsed() > LONGEST {
            break;
        }
    }
    None
}

#[test]
fn no_rule_is_broken_without_being_found_out() {
    let rules: Vec<Rule> = Rule::ALL.iter().copied().filter(|rule| !Rule::OF_THE_LEASE.contains(rule)).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(rule) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hunted = hunt(*rule);
                    found.lock().unwrap().extend(hunted);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|found| found.rule);
    eprintln!("{:<28} schedules  steps  what is found", "broken rule");
    for Found { rule, schedules, shrunk } in &found {
        let what = shrunk.message.lines().nth(1).unwrap_or_default();
        let what: String = what.chars().take(100).collect();
        eprintln!("{:<28} {schedules:>9} {:>6}  {what}", format!("{rule:?}"), shrunk.schedule.steps.len());
        if std::env::var_os("TRACE").is_some() {
            let _broken = Broken::rule(*rule);
            shrunk.tell(watch(*rule));
        }
    }
    let survivors: Vec<Rule> =
        rules.iter().copied().filter(|rule| found.iter().all(|found| found.rule != *rule)).collect();
    assert!(survivors.is_empty(), "broken, and nobody notices: {survivors:?}");
}
