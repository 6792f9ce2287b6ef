//! What a run was made of.

use std::fmt;

use crate::schedule::STEPS;
use crate::wire::ANSWERS;

#[derive(Clone, Default)]
pub struct Counts {
    pub steps: [u64; STEPS.len()],
    pub answers: [u64; ANSWERS.len()],
    /// Commits asked for, and what became of their writes: landed, landed unheard, failed, strayed.
    pub commits: u64,
    pub folds: u64,
    pub fates: [u64; 4],
    pub strays_applied: u64,
    pub strays_refused: u64,
    /// Leaders that found out by a write that they were followed.
    pub fenced: u64,
    pub stale_refused: u64,
    /// Requests that arrived after they were given up.
    pub late: u64,
    pub repeats: u64,
    pub sent: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        let Self { steps, answers, commits, fates, strays_applied, strays_refused, fenced, stale_refused, .. } = self;
        let pairs = |into: &mut [u64], from: &[u64]| into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
        pairs(steps, &other.steps);
        pairs(answers, &other.answers);
        pairs(fates, &other.fates);
        *commits += other.commits;
        *strays_applied += other.strays_applied;
        *strays_refused += other.strays_refused;
        *fenced += other.fenced;
        *stale_refused += other.stale_refused;
        self.folds += other.folds;
        self.late += other.late;
        self.repeats += other.repeats;
        self.sent += other.sent;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[&str], counts: &[u64]| -> String {
            names.iter().zip(counts).map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "steps:   {} ({})", self.steps.iter().sum::<u64>(), list(&STEPS, &self.steps))?;
        writeln!(f, "answers: {}", list(&ANSWERS, &self.answers))?;
        let fates = list(&["landed", "landed unheard", "failed", "strayed"], &self.fates);
        writeln!(
            f,
            "commits: {} and folds {} ({fates}, strays applied {}, strays refused {}, leaders fenced {})",
            self.commits, self.folds, self.strays_applied, self.strays_refused, self.fenced
        )?;
        let Self { sent, repeats, late, stale_refused, .. } = self;
        write!(f, "requests: {sent} (repeats {repeats}, late {late}); stale lists refused: {stale_refused}")
    }
}
