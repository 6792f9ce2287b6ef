//! Stories of what should not happen: clocks and clusters set back, ledgers that are slow or damaged, subscriptions that come
//! and go.

use crate::patterns::{answer, commit, crash, hear, trouble, unsure};
use crate::random::Random;
use crate::schedule::{Answer, Damage, Edit, Step};
use crate::stories::{badly, object, windows};

pub fn clock_goes_back(random: &mut Random, steps: &mut Vec<Step>) {
    for _ in 0..2 {
        let (kind, name) = object(random);
        let content = random.byte() % 2;
        windows(random, steps, Step::Touch { kind, name, content }, kind, Answer::Fine, 8);
        steps.push(Step::Clock { minutes: [-60, -1, 1, 60][random.below(4) as usize] });
        steps.extend([crash(random), hear(0), hear(1)]);
    }
}

/// A subscription is deleted and created again, with requests under way.
pub fn comes_and_goes(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    let subscription = random.byte() % 3;
    windows(random, steps, Step::Touch { kind, name, content: 0 }, kind, Answer::Fine, 9);
    steps.extend([Step::Touch { kind, name, content: 1 }, hear(kind), commit()]);
    let gone_or_back = Step::Edit { subscription, edit: Edit::Withdraw };
    for _ in 0..2 + random.below(2) {
        steps.push(gone_or_back);
        if random.one_in(2) {
            trouble(random, steps);
        }
        for _ in 0..random.below(3) {
            steps.extend([commit(), answer(if random.one_in(3) { badly(random) } else { Answer::Fine })]);
        }
    }
}

/// Commits fail, or nobody knows, for longer than anybody may send.
pub fn slow_ledger(random: &mut Random, steps: &mut Vec<Step>) {
    for _ in 0..2 + random.below(3) {
        let (kind, name) = (random.byte() % 2, random.byte() % 4);
        steps.extend([Step::Touch { kind, name, content: random.byte() % 2 }, hear(kind)]);
        steps.push(Step::Commit { old: false, fate: unsure(random) });
        steps.push(Step::Wait { ms: 1_000 + random.below(7_000) as u16, lazy: random.one_in(3) });
        if random.one_in(2) {
            steps.push(answer(Answer::Fine));
        }
    }
    steps.push(if random.one_in(2) { commit() } else { crash(random) });
    steps.push(Step::StrayCommit { pick: 0 });
}

/// Enough records for segments and folds, with a leader that may die in the middle of one.
pub fn many_things_then_fold(random: &mut Random, steps: &mut Vec<Step>) {
    for _ in 0..4 + random.below(5) {
        let (kind, name) = (random.byte() % 2, random.byte() % 4);
        steps.extend([
            Step::Touch { kind, name, content: random.byte() % 2 },
            hear(kind),
            commit(),
            answer(Answer::Fine),
        ]);
        steps.extend([Step::Wait { ms: 1_600, lazy: false }, commit()]);
        if random.one_in(2) {
            steps.push(Step::Fold { old: false });
        }
    }
    steps.extend([Step::Wait { ms: 20_000, lazy: false }, Step::Fold { old: false }]);
    trouble(random, steps);
    steps.extend([Step::Fold { old: false }, Step::Commit { old: false, fate: unsure(random) }, commit()]);
}

/// Somebody asks to be told again, with something parked, under way, or unanswered.
pub fn asked_again(random: &mut Random, steps: &mut Vec<Step>) {
    let subscription = random.byte() % 2;
    let ask = Step::Edit { subscription, edit: Edit::Resync { all: !random.one_in(3) } };
    for (kind, name) in [(0, 0), (0, 1), (1, 0)] {
        let end = match random.below(4) {
            0 => Answer::Unprocessable,
            1 => badly(random),
            _ => Answer::Fine,
        };
        let change = Step::Touch { kind, name, content: random.byte() % 2 };
        windows(random, steps, change, kind, end, 8);
        if random.one_in(2) {
            steps.push(ask);
        }
    }
    steps.extend([ask, commit(), answer(Answer::Fine)]);
    trouble(random, steps);
    steps.extend([commit(), answer(Answer::Fine), commit(), answer(badly(random))]);
}

/// The cluster is restored from a backup: what was told is from a time that never was.
pub fn set_back(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    for content in [0, 1, 0] {
        let end = if random.one_in(4) { badly(random) } else { Answer::Fine };
        windows(random, steps, Step::Touch { kind, name, content }, kind, end, 9);
    }
    if random.one_in(2) {
        let change = Step::Delete { kind, name, again: random.one_in(2) };
        windows(random, steps, change, kind, Answer::Fine, 9);
    }
    steps.push(Step::SetBack { changes: 1 + random.byte() % 3, bits: random.byte() });
    for _ in 0..=random.below(3) {
        if random.one_in(3) {
            steps.push(crash(random));
        }
        steps.extend([hear(0), hear(1), commit(), answer(Answer::Fine)]);
        steps.extend([Step::Touch { kind, name, content: random.byte() % 2 }, hear(kind)]);
    }
}

/// A part of the ledger is lost, and found to be.
pub fn damaged(random: &mut Random, steps: &mut Vec<Step>) {
    const WAYS: [Damage; 8] = [
        Damage::Deleted,
        Damage::Deleted,
        Damage::Flipped,
        Damage::Flipped,
        Damage::HeadDeleted,
        Damage::HeadFlipped,
        Damage::Copied,
        Damage::AllDeleted,
    ];
    for _ in 0..3 {
        let (kind, name) = (random.byte() % 2, random.byte() % 4);
        let end = if random.one_in(4) { badly(random) } else { Answer::Fine };
        let change = Step::Touch { kind, name, content: random.byte() % 2 };
        windows(random, steps, change, kind, end, 9);
        steps.push(Step::Fold { old: false });
    }
    steps.push(Step::Wait { ms: 20_000, lazy: false });
    steps.extend([commit(), Step::Fold { old: false }, Step::Fold { old: false }, commit()]);
    steps.push(Step::Damage { how: WAYS[random.below(8) as usize], pick: random.byte(), bits: random.byte() });
    for _ in 0..random.below(4) {
        steps.extend([hear(0), hear(1), commit(), answer(Answer::Fine)]);
        if random.one_in(3) {
            steps.push(crash(random));
        }
    }
}

/// The watch of a kind moves to another source and back, and what happens meanwhile is seen by the other one.
pub fn watched_elsewhere(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    windows(random, steps, Step::Touch { kind, name, content: 0 }, kind, Answer::Fine, 9);
    if random.one_in(3) {
        // One source is so far behind that it shows who had the name before.
        let elsewhere = |behind| Step::Move { kind, busy: true, behind };
        steps.extend([Step::Delete { kind, name, again: false }, hear(kind), Step::Touch { kind, name, content: 0 }]);
        steps.extend([Step::Delete { kind, name, again: true }, elsewhere(0), commit(), answer(Answer::Fine)]);
        steps.extend([elsewhere(2), commit(), answer(Answer::Fine)]);
    }
    for _ in 0..=random.below(3) {
        steps.push(match random.below(4) {
            0 => Step::Touch { kind, name, content: random.byte() % 2 },
            1 => Step::Label { kind, name, label: random.byte() % 2 },
            _ => Step::Delete { kind, name, again: !random.one_in(3) },
        });
        if random.one_in(3) {
            steps.push(hear(kind));
        }
        steps.push(Step::Move { kind, busy: random.one_in(2), behind: random.byte() % 4 });
        for _ in 0..random.below(4) {
            steps.push(Step::Hear { old: false, kind, events: random.byte() % 3 });
            steps.extend([commit(), answer(if random.one_in(3) { badly(random) } else { Answer::Fine })]);
        }
        if random.one_in(4) {
            trouble(random, steps);
        }
    }
    steps.extend([hear(kind), commit(), answer(Answer::Fine)]);
}
