//! The harness can fail: what is planted is found, and cut down to the steps that it takes.

use changehook_core::proof::{Rule, break_rule};

use crate::play::{Watch, try_play};
use crate::schedule::{Answer, Fate, Finish, Schedule, Setup, Step};
use crate::shrink::{Shrunk, shrink};
use crate::{patterns, uniform};

/// A rule that is broken until this is dropped.
pub struct Broken;

impl Broken {
    pub fn rule(rule: Rule) -> Self {
        break_rule(Some(rule));
        Self
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        break_rule(None);
    }
}

/// The first schedule of a generator that fails, cut down.
fn hunt(generator: fn(u64) -> Schedule, most: u64) -> Shrunk {
    let watch = Watch::default();
    let failing = (1..=most).map(generator).find(|schedule| try_play(schedule, watch).is_err());
    shrink(&failing.expect("what was planted is not found"), watch).expect("it failed a moment ago")
}

const TOUCH: Step = Step::Touch { kind: 0, name: 0, content: 0 };
const HEAR: Step = Step::Hear { old: false, kind: 0, events: 3 };
const COMMIT: Step = Step::Commit { old: false, fate: Fate::Lands };
const ANSWER: Step = Step::Answer { old: false, pick: 0, answer: Answer::Fine };

#[test]
fn without_write_ahead_this_schedule_fails_and_both_generators_find_a_short_one() {
    let canary = Schedule { setup: Setup::default(), steps: vec![TOUCH, HEAR], finish: Finish::ByItself };
    assert_eq!(try_play(&canary, Watch::default()).err(), None);
    let _broken = Broken::rule(Rule::WriteAhead);
    let message = try_play(&canary, Watch::default()).err().expect("the canary lives");
    assert!(message.contains("sent before its record was durable"), "{message}");
    for generator in [uniform::schedule, patterns::schedule] {
        let found = hunt(generator, 500);
        assert!(found.message.contains("sent before its record was durable"), "{}", found.message);
        assert!(found.schedule.steps.len() <= 3, "{:?}", found.schedule.steps);
    }
}

#[test]
fn an_expectation_that_is_wrong_fails() {
    // Something was told, and Removed alone is expected.
    let steps = vec![TOUCH, HEAR, COMMIT, ANSWER];
    let wrong = Schedule { setup: Setup::default(), steps, finish: Finish::OnlyEnds };
    let message = try_play(&wrong, Watch::default()).err().expect("a wrong expectation holds");
    assert!(message.contains("more than ends was told"), "{message}");
}
