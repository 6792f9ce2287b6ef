//! The second generator: it composes what an adversary would do. Each fragment is a little story with a hole in it, and
//! into the hole, wherever it is, comes something that must not matter; two stories may run at once.
//!
//! It shares nothing with the first generator but the numbers it draws from.

use changehook_core::plan::{ChangeTypes, OnLoss};

use crate::random::Random;
use crate::schedule::{Answer, Edit, Edits, Fate, Finish, Schedule, Setup, Step};
use crate::stories::STORIES;

pub fn schedule(seed: u64) -> Schedule {
    let mut random = Random::new(seed ^ 0x5bd1_e995_0000_0000);
    let finish = match random.below(16) {
        0..5 => Finish::ByItself,
        5..9 => Finish::Repaired,
        10 | 11 => Finish::ByName,
        12 | 13 => Finish::Restarted,
        9 | 14 => Finish::Touched,
        _ => random.pick(&[Finish::WithoutEnds, Finish::OnlyEnds]),
    };
    let crowded = random.one_in(3);
    let losses = if random.one_in(8) { Some(random.pick(&[OnLoss::Replay, OnLoss::Adopt])) } else { None };
    let setup = Setup {
        seed,
        subscriptions: if crowded { 3 } else { 1 + usize::from(random.one_in(2)) },
        names: if crowded { [4, 3] } else { [2, 2] },
        max_in_flight: if crowded { 4 } else { 1 + random.below(2) as u32 },
        max_retries: if random.one_in(2) { 3 } else { 1 },
        caps: if random.one_in(6) { (8, 4) } else { (512, 32) },
        populated: random.one_in(6),
        bulky: random.one_in(if losses.is_some() { 2 } else { 4 }),
        losses,
        notify: random.one_in(10),
        discard: random.one_in(14),
        poor: random.one_in(10),
        room: if random.one_in(14) { 2 } else { u64::MAX },
        strangers: random.one_in(50),
        gullible: finish != Finish::Restarted && random.one_in(5),
        crashes: true,
        edits: if finish == Finish::WithoutEnds { Edits::None } else { Edits::All },
        change_types: finish == Finish::Touched,
        late: finish != Finish::ByName,
        changes: match finish {
            Finish::WithoutEnds => ChangeTypes { new: true, updated: true, removed: false },
            Finish::OnlyEnds => ChangeTypes { new: false, updated: false, removed: true },
            _ => ChangeTypes::ALL,
        },
        audit_every: 16,
    };
    let stories = 1 + random.below(3);
    let mut steps = Vec::new();
    for _ in 0..stories {
        let mut told = story(&mut random);
        if random.one_in(3) {
            let other = story(&mut random);
            told = mingle(&mut random, told, other);
        }
        steps.append(&mut told);
    }
    Schedule { setup, steps, finish }
}

fn story(random: &mut Random) -> Vec<Step> {
    let mut steps = Vec::with_capacity(32);
    random.pick(&STORIES)(random, &mut steps);
    steps
}

/// Two stories at once, each in its own order.
fn mingle(random: &mut Random, one: Vec<Step>, other: Vec<Step>) -> Vec<Step> {
    let mut steps = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    while one.peek().is_some() || other.peek().is_some() {
        let from = if random.one_in(2) { &mut one } else { &mut other };
        steps.extend(from.by_ref().take(1 + random.below(3) as usize));
    }
    steps
}

/// What must not matter, whenever it happens.
pub fn trouble(random: &mut Random, steps: &mut Vec<Step>) {
    let object = |random: &mut Random| (random.byte() % 2, random.byte() % 4);
    let (kind, name) = object(random);
    match random.below(22) {
        0 => steps.extend([Step::Touch { kind, name, content: 1 }, hear(kind)]),
        1 => steps.extend([
            Step::Touch { kind, name, content: 1 },
            hear(kind),
            Step::Touch { kind, name, content: 0 },
            hear(kind),
        ]),
        2 => steps.extend([Step::Delete { kind, name, again: false }, hear(kind)]),
        3 => steps.extend([Step::Delete { kind, name, again: true }, hear(kind)]),
        4 => steps.extend([Step::Label { kind, name, label: 0 }, hear(kind)]),
        5 => {
            let off_and_on = [Step::Label { kind, name, label: 1 }, hear(kind)];
            steps.extend(off_and_on.into_iter().cycle().take(4));
        }
        6..10 => steps.push(crash(random)),
        10 => steps.push(Step::Stop { bits: random.byte() }),
        11 => steps.extend([Step::Serve { kind: 1 }, hear(1)]),
        12 => steps.extend([Step::Relist { kind, lossy: true }, hear(kind)]),
        13 => steps.push(Step::StaleList { kind, behind: 1 + random.byte() % 4 }),
        14 => steps.extend([Step::Garble { kind, name }, hear(kind)]),
        15 => steps.push(edit(random, Edit::Suspend)),
        16 => steps.push(edit(random, Edit::Secret)),
        17 => {
            let (interest, choice) = (random.byte() % 2, random.byte() % 3);
            steps.push(edit(random, Edit::Select { interest, choice }));
        }
        18 => steps.push(Step::Wait { ms: 1_500 + random.below(7_000) as u16, lazy: false }),
        19 => steps.push(Step::Clock { minutes: if random.one_in(2) { -60 } else { 60 } }),
        20 => steps.push(Step::Commit { old: false, fate: unsure(random) }),
        _ => steps.extend([Step::BrokenList { kind, name, nameless: random.one_in(3) }, hear(kind)]),
    }
}

pub fn hear(kind: u8) -> Step {
    Step::Hear { old: false, kind, events: 3 }
}

pub fn commit() -> Step {
    Step::Commit { old: false, fate: Fate::Lands }
}

pub fn answer(answer: Answer) -> Step {
    Step::Answer { old: false, pick: 0, answer }
}

pub fn unsure(random: &mut Random) -> Fate {
    [Fate::LandsUnheard, Fate::Fails, Fate::Strays][random.below(3) as usize]
}

pub fn crash(random: &mut Random) -> Step {
    let fate = if random.one_in(3) { Fate::Lands } else { unsure(random) };
    Step::TakeOver { paused: random.one_in(4), fate, bits: random.byte() }
}

pub fn edit(random: &mut Random, edit: Edit) -> Step {
    Step::Edit { subscription: random.byte() % 3, edit }
}
