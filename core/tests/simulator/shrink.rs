//! From a schedule that fails to a short one that still does.

use crate::play::{Watch, try_play};
use crate::schedule::{Schedule, Setup, Step};

pub struct Shrunk {
    pub schedule: Schedule,
    pub message: String,
}

impl Shrunk {
    /// Plays it once more and tells it, for people.
    pub fn tell(&self, watch: Watch) {
        eprintln!(
            "--- {} steps, then {:?}; {:?}",
            self.schedule.steps.len(),
            self.schedule.finish,
            self.schedule.setup
        );
        for step in &self.schedule.steps {
            eprintln!("    {step:?}");
        }
        eprintln!("--- as it goes:");
        let _ = try_play(&self.schedule, Watch { told: true, ..watch });
        eprintln!("--- {}", self.message);
    }
}

/// Takes steps out as long as what is left fails, in chunks first, one by one in the end; then what the set-up has beyond
/// the least.
pub fn shrink(schedule: &Schedule, watch: Watch) -> Option<Shrunk> {
    let message = try_play(schedule, watch).err()?;
    let mut best = Shrunk { schedule: schedule.clone(), message };
    loop {
        let before = best.schedule.clone();
        shrink_steps(&mut best, watch);
        shrink_setup(&mut best, watch);
        if best.schedule == before {
            return Some(best);
        }
    }
}

/// Takes the candidate if it fails, too.
fn consider(best: &mut Shrunk, watch: Watch, candidate: Schedule) -> bool {
    match try_play(&candidate, watch) {
        Ok(_) => false,
        Err(message) => {
            *best = Shrunk { schedule: candidate, message };
            true
        }
    }
}

fn shrink_steps(best: &mut Shrunk, watch: Watch) {
    let mut chunk = best.schedule.steps.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < best.schedule.steps.len() {
            let mut candidate = best.schedule.clone();
            let end = (at + chunk).min(candidate.steps.len());
            candidate.steps.drain(at..end);
            if !consider(best, watch, candidate) {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    for at in 0..best.schedule.steps.len() {
        if let Some(plain) = plainer(best.schedule.steps[at]) {
            let mut candidate = best.schedule.clone();
            candidate.steps[at] = plain;
            consider(best, watch, candidate);
        }
    }
}

/// The same step with numbers that say less.
fn plainer(step: Step) -> Option<Step> {
    let plain = match step {
        Step::Touch { kind, name, content } => Step::Touch { kind: kind % 2, name: name % 3, content },
        Step::Label { kind, name, label } => Step::Label { kind: kind % 2, name: name % 3, label: label % 2 },
        Step::Delete { kind, name, .. } => Step::Delete { kind: kind % 2, name: name % 3, again: false },
        Step::Hear { old, kind, .. } => Step::Hear { old, kind: kind % 2, events: 3 },
        Step::Answer { old, answer, .. } => Step::Answer { old, pick: 0, answer },
        Step::Wait { ms, .. } => Step::Wait { ms, lazy: false },
        _ => return None,
    };
    Some(plain).filter(|plain| *plain != step)
}

fn shrink_setup(best: &mut Shrunk, watch: Watch) {
    let least = Setup::default();
    let smaller: [fn(&mut Setup, &Setup); 13] = [
        |setup, _| setup.subscriptions = 1,
        |setup, _| setup.subscriptions = setup.subscriptions.min(2),
        |setup, least| setup.names = least.names,
        |setup, least| setup.caps = least.caps,
        |setup, least| setup.max_retries = least.max_retries,
        |setup, least| setup.max_in_flight = least.max_in_flight,
        |setup, _| setup.populated = false,
        |setup, _| setup.bulky = false,
        |setup, _| setup.strangers = false,
        |setup, _| setup.poor = false,
        |setup, _| setup.notify = false,
        |setup, _| setup.room = u64::MAX,
        |setup, _| setup.losses = None,
    ];
    for make_smaller in smaller {
        let mut candidate = best.schedule.clone();
        make_smaller(&mut candidate.setup, &least);
        if candidate.setup != best.schedule.setup {
            consider(best, watch, candidate);
        }
    }
}
