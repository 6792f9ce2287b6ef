//! The adversary's stories, each with holes for trouble.

use crate::patterns::{answer, commit, crash, edit, hear, trouble, unsure};
use crate::random::Random;
use crate::returns::{back_before_its_end, before_it_was, heirs, told_otherwise};
use crate::schedule::{Answer, Edit, Fate, Step};
use crate::upsets::{
    asked_again, clock_goes_back, comes_and_goes, damaged, many_things_then_fold, set_back, slow_ledger,
    watched_elsewhere,
};

type Story = fn(&mut Random, &mut Vec<Step>);

pub const STORIES: [Story; 30] = [
    one_change,
    one_change,
    every_window,
    every_window,
    crash_around_commits,
    there_and_back,
    outage,
    outage,
    refused_by_all,
    poison,
    namesakes,
    labels_in_windows,
    selection_there_and_back,
    kind_gone_while_down,
    behind_and_deaf,
    two_leaders,
    clock_goes_back,
    comes_and_goes,
    slow_ledger,
    many_things_then_fold,
    asked_again,
    back_before_its_end,
    heirs,
    told_otherwise,
    set_back,
    damaged,
    damaged,
    damaged,
    before_it_was,
    watched_elsewhere,
];

pub fn object(random: &mut Random) -> (u8, u8) {
    (random.byte() % 2, random.byte() % 2)
}

/// How a request may end that is not answered well.
pub fn badly(random: &mut Random) -> Answer {
    const WAYS: [Answer; 8] = [
        Answer::Unheard,
        Answer::TakenAndRefused,
        Answer::Late,
        Answer::Timeout,
        Answer::NoConnection,
        Answer::ServerError,
        Answer::TooMany(3),
        Answer::Unsent,
    ];
    WAYS[random.below(8) as usize]
}

/// A change, from the cluster to the endpoint, with trouble in some of the windows.
pub fn windows(random: &mut Random, steps: &mut Vec<Step>, change: Step, kind: u8, end: Answer, one_in: u64) {
    for step in [change, hear(kind), commit(), answer(end), Step::Wait { ms: 2_000, lazy: false }, commit()] {
        steps.push(step);
        if random.one_in(one_in) {
            trouble(random, steps);
        }
    }
}

fn one_change(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    let change = Step::Touch { kind, name, content: random.byte() % 2 };
    let end = if random.one_in(2) { Answer::Fine } else { badly(random) };
    windows(random, steps, change, kind, end, 6);
}

/// New, Updated and Removed of one object, with trouble in nearly every window.
fn every_window(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    let changes = [
        Step::Touch { kind, name, content: 0 },
        Step::Touch { kind, name, content: 1 },
        Step::Delete { kind, name, again: random.one_in(3) },
    ];
    for change in changes {
        let end = if random.one_in(3) { badly(random) } else { Answer::Fine };
        windows(random, steps, change, kind, end, 2);
    }
}

/// One change, and the leader dies before, in, or after one of the commits.
fn crash_around_commits(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    let at = random.below(7);
    let story = [
        Step::Touch { kind, name, content: random.byte() % 2 },
        hear(kind),
        Step::Commit { old: false, fate: unsure(random) },
        commit(),
        answer(Answer::Fine),
        Step::Wait { ms: 1_600, lazy: false },
        Step::Commit { old: false, fate: unsure(random) },
    ];
    for (number, step) in story.into_iter().enumerate() {
        steps.push(step);
        if number as u64 == at {
            steps.extend([crash(random), hear(kind), hear(kind)]);
        }
    }
    steps.push(Step::StrayCommit { pick: 0 });
}

/// A, then B unanswered, then A again: the endpoint may have kept B.
fn there_and_back(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    windows(random, steps, Step::Touch { kind, name, content: 0 }, kind, Answer::Fine, 9);
    steps.extend([Step::Touch { kind, name, content: 1 }, hear(kind), commit(), answer(badly(random))]);
    steps.extend([Step::Touch { kind, name, content: 0 }, hear(kind)]);
    trouble(random, steps);
    steps.extend([hear(kind), commit(), answer(Answer::Fine), Step::Arrive { pick: 0 }]);
}

/// The endpoint is down for a while, in one way or another, things change meanwhile, and it comes back.
fn outage(random: &mut Random, steps: &mut Vec<Step>) {
    let down = badly(random);
    let subscription = random.byte() % 3;
    steps.push(Step::Endpoint { subscription, answer: down });
    for round in 0..3 + random.below(6) {
        let (kind, name) = (random.byte() % 2, random.byte() % 4);
        if round < 4 {
            steps.extend([Step::Touch { kind, name, content: random.byte() % 2 }, hear(kind), commit()]);
        }
        for _ in 0..=random.below(4) {
            steps.push(Step::Answer { old: false, pick: random.byte(), answer: Answer::Fine });
        }
        if random.one_in(5) {
            trouble(random, steps);
        }
        steps.extend([Step::Wait { ms: 2_000 + random.below(12_000) as u16, lazy: false }, commit()]);
    }
    if random.one_in(2) {
        let change = match random.below(5) {
            0 => Edit::Resync { all: false },
            4 => Edit::Secret,
            1 => Edit::Host { choice: 1 },
            2 => Edit::Suspend,
            _ => Edit::Select { interest: 0, choice: random.byte() % 3 },
        };
        steps.push(Step::Edit { subscription, edit: change });
    }
    steps.push(Step::Endpoint { subscription, answer: Answer::Fine });
    for _ in 0..random.below(8) {
        steps.extend([answer(Answer::Fine), commit(), Step::Wait { ms: 3_000, lazy: false }]);
    }
}

/// A credential has expired: everybody is refused, and then it is renewed, or the endpoint thinks better of it.
fn refused_by_all(random: &mut Random, steps: &mut Vec<Step>) {
    let refusal = if random.one_in(2) { Answer::Unauthorized } else { Answer::NotFound };
    let objects = 2 + random.byte() % 3;
    for number in 0..objects {
        let (kind, name) = (number % 2, number / 2);
        steps.extend([Step::Touch { kind, name, content: random.byte() % 2 }, hear(kind)]);
    }
    if random.one_in(3) {
        steps.extend([Step::Delete { kind: 0, name: 0, again: false }, hear(0)]);
    }
    for _ in 0..objects * 2 {
        steps.extend([commit(), answer(refusal)]);
        if random.one_in(8) {
            trouble(random, steps);
        }
    }
    steps.push(Step::Wait { ms: 9_000, lazy: false });
    if random.one_in(2) {
        steps.push(edit(random, Edit::Secret));
    }
    for _ in 0..objects {
        steps.extend([commit(), answer(Answer::Fine), Step::Wait { ms: 2_500, lazy: false }]);
    }
}

/// One object fails again and again, all others are fine.
fn poison(random: &mut Random, steps: &mut Vec<Step>) {
    let bad = if random.one_in(3) { Answer::Unprocessable } else { Answer::ServerError };
    let bad = if random.one_in(6) { random.pick(&[Answer::Oversize, Answer::Redirected]) } else { bad };
    steps.extend([Step::Touch { kind: 0, name: 0, content: 0 }, hear(0), commit()]);
    for round in 0..6_u8 {
        steps.extend([answer(bad), Step::Touch { kind: 1, name: 0, content: round % 2 }, hear(1), commit(), commit()]);
        steps.extend([answer(Answer::Fine), Step::Wait { ms: 4_000 * u16::from(round + 1).min(3), lazy: false }]);
        if random.one_in(8) {
            trouble(random, steps);
        }
    }
    if random.one_in(2) {
        steps.extend([Step::Touch { kind: 0, name: 0, content: 1 }, hear(0), commit()]);
    }
}

/// A name has one owner after the other, and not everybody hears of it.
fn namesakes(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    windows(random, steps, Step::Touch { kind, name, content: 0 }, kind, Answer::Fine, 8);
    for _ in 0..=random.below(3) {
        steps.push(Step::Delete { kind, name, again: true });
        match random.below(4) {
            0 => steps.extend([Step::Relist { kind, lossy: true }, hear(kind)]),
            1 => steps.extend([Step::Hear { old: false, kind, events: 0 }, commit()]),
            _ => steps.push(hear(kind)),
        }
        for _ in 0..random.below(6) {
            let end = if random.one_in(2) { Answer::Fine } else { badly(random) };
            let end = if random.one_in(4) { Answer::Unprocessable } else { end };
            steps.extend([commit(), Step::Answer { old: false, pick: random.byte(), answer: end }]);
        }
        if random.one_in(3) {
            trouble(random, steps);
        }
        steps.push(Step::Wait { ms: random.below(9_000) as u16, lazy: false });
    }
}

/// An object leaves the selection and comes back, in every window of its delivery.
fn labels_in_windows(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    let label = random.byte() % 2;
    windows(random, steps, Step::Touch { kind, name, content: 0 }, kind, Answer::Fine, 9);
    for _ in 0..2 + random.below(4) {
        steps.extend([Step::Label { kind, name, label }, hear(kind)]);
        for _ in 0..random.below(3) {
            steps.extend([commit(), answer(if random.one_in(3) { badly(random) } else { Answer::Fine })]);
        }
        if random.one_in(3) {
            steps.extend([crash(random), hear(kind)]);
        }
    }
}

/// The selection is edited and edited back, around a crash, with something owed.
fn selection_there_and_back(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    let subscription = random.byte() % 3;
    steps.extend([
        Step::Touch { kind, name, content: 0 },
        Step::Label { kind, name, label: random.byte() % 2 },
        hear(kind),
    ]);
    for turn in 0..2 + random.below(3) {
        let edit = match random.below(6) {
            5 => Edit::Relabel,
            0 => Edit::Kinds { choice: random.byte() % 3 },
            1 => Edit::Changes { bits: random.byte() % 8 },
            _ => Edit::Select { interest: random.byte() % 2, choice: (turn as u8 + name) % 3 },
        };
        let edited_while_down = Step::EditedWhileDown { fate: unsure(random), bits: random.byte(), subscription, edit };
        steps.push(if random.one_in(4) { edited_while_down } else { Step::Edit { subscription, edit } });
        if random.one_in(2) {
            steps.extend([Step::Touch { kind, name, content: random.byte() % 2 }, hear(kind)]);
        }
        for _ in 0..random.below(3) {
            steps.extend([commit(), answer(if random.one_in(3) { badly(random) } else { Answer::Fine })]);
        }
        if random.one_in(2) {
            steps.extend([crash(random), hear(0), hear(1)]);
        }
    }
}

/// A kind is uninstalled, or installed again, while nobody looks.
fn kind_gone_while_down(random: &mut Random, steps: &mut Vec<Step>) {
    windows(random, steps, Step::Touch { kind: 1, name: 0, content: 0 }, 1, Answer::Fine, 9);
    steps.push(Step::Serve { kind: 1 });
    if random.one_in(2) {
        steps.extend([Step::Serve { kind: 1 }, Step::Touch { kind: 1, name: 0, content: 1 }]);
    }
    steps.extend([crash(random), hear(1), commit(), answer(Answer::Fine), hear(1), commit()]);
    if random.one_in(2) {
        windows(random, steps, Step::Serve { kind: 1 }, 1, Answer::Fine, 4);
    }
}

/// Lists from the past, events that nobody hears, objects that cannot be read.
fn behind_and_deaf(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    windows(random, steps, Step::Touch { kind, name, content: 0 }, kind, Answer::Fine, 9);
    for _ in 0..3 {
        steps.push(match random.below(3) {
            0 => Step::Delete { kind, name, again: random.one_in(2) },
            1 => Step::Label { kind, name, label: 0 },
            _ => Step::Touch { kind, name, content: random.byte() % 2 },
        });
        steps.push(match random.below(7) {
            0 => Step::Swallow { kind },
            1 => Step::BrokenList { kind, name, nameless: random.one_in(3) },
            2 => Step::Garble { kind, name },
            3 => Step::StaleList { kind, behind: 1 + random.byte() % 3 },
            4 => crash(random),
            5 => Step::Overlook { kind, name },
            _ => hear(kind),
        });
        if random.one_in(2) {
            steps.push(Step::StaleList { kind, behind: random.byte() % 4 });
        }
        steps.extend([hear(kind), hear(kind), commit(), answer(Answer::Fine)]);
    }
}

/// A leader is paused, another takes over, the first wakes up and goes on as if nothing had happened.
fn two_leaders(random: &mut Random, steps: &mut Vec<Step>) {
    let (kind, name) = object(random);
    steps.extend([Step::Touch { kind, name, content: 0 }, hear(kind), commit()]);
    if random.one_in(2) {
        steps.extend([answer(badly(random)), Step::Touch { kind, name, content: 1 }, hear(kind)]);
    }
    steps.push(Step::TakeOver { paused: true, fate: unsure(random), bits: random.byte() });
    for _ in 0..3 + random.below(5) {
        match random.below(8) {
            0 => steps.push(Step::Wake),
            1 => steps.push(Step::Hear { old: true, kind, events: 3 }),
            2 => steps.push(Step::Answer { old: true, pick: 0, answer: badly(random) }),
            3 => steps.push(Step::Answer { old: true, pick: 0, answer: Answer::Fine }),
            4 => steps.push(Step::Commit { old: true, fate: Fate::Lands }),
            5 => steps.push(Step::StrayCommit { pick: 0 }),
            6 => steps.push(Step::Fold { old: true }),
            _ => steps.extend([Step::Touch { kind, name, content: random.byte() % 2 }, hear(kind)]),
        }
        steps.extend([hear(kind), commit(), answer(if random.one_in(3) { badly(random) } else { Answer::Fine })]);
        if random.one_in(4) {
            steps.push(Step::Wait { ms: 2_500, lazy: true });
        }
    }
    steps.push(Step::Arrive { pick: random.byte() });
}
