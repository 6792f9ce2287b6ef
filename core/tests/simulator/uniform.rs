//! The first generator: every step drawn by itself, from weights that are drawn anew for each schedule, so that some
//! schedules are full of crashes and others have none.

use changehook_core::plan::{ChangeTypes, OnLoss};

use crate::random::Random;
use crate::schedule::{Answer, Damage, Edit, Edits, Fate, Finish, STEPS, Schedule, Setup, Step};

/// How often each kind of step comes, in the order of [`STEPS`], before the draw.
const WEIGHTS: [u64; STEPS.len()] =
    [14, 6, 4, 1, 24, 2, 1, 1, 1, 1, 18, 3, 3, 18, 2, 2, 10, 1, 2, 1, 2, 1, 4, 1, 2, 1, 2];

const ANSWERS: [Answer; 14] = [
    Answer::Fine,
    Answer::Unheard,
    Answer::TakenAndRefused,
    Answer::Late,
    Answer::Timeout,
    Answer::NoConnection,
    Answer::ServerError,
    Answer::TooMany(7),
    Answer::Unprocessable,
    Answer::Unauthorized,
    Answer::NotFound,
    Answer::Redirected,
    Answer::Oversize,
    Answer::Unsent,
];

pub fn schedule(seed: u64) -> Schedule {
    let mut random = Random::new(seed);
    let finish = finish(&mut random);
    let setup = setup(&mut random, seed, finish);
    let length = match random.below(20) {
        0..12 => 6 + random.below(24),
        12..18 => 30 + random.below(50),
        _ => 80 + random.below(200),
    };
    let weights = WEIGHTS.map(|weight| weight * [0, 1, 1, 2, 4][random.below(5) as usize]);
    let total: u64 = weights.iter().sum::<u64>().max(1);
    let steps = (0..length).map(|_| step(&mut random, &weights, total)).collect();
    Schedule { setup, steps, finish }
}

fn finish(random: &mut Random) -> Finish {
    match random.below(20) {
        0..7 => Finish::Repaired,
        7..12 => Finish::ByItself,
        12..15 => Finish::ByName,
        15 | 16 => Finish::Restarted,
        17 => Finish::Touched,
        18 => Finish::WithoutEnds,
        _ => Finish::OnlyEnds,
    }
}

fn setup(random: &mut Random, seed: u64, finish: Finish) -> Setup {
    let changes = match finish {
        Finish::WithoutEnds => ChangeTypes { removed: false, ..ChangeTypes::ALL },
        Finish::OnlyEnds => ChangeTypes { new: false, updated: false, removed: true },
        _ => ChangeTypes::ALL,
    };
    Setup {
        seed,
        subscriptions: 1 + random.below(3) as usize,
        names: [1 + random.below(4) as usize, 1 + random.below(3) as usize],
        max_in_flight: 1 + random.below(4) as u32,
        max_retries: random.below(4) as u32,
        caps: random.pick(&[(512, 32), (512, 32), (2, 2), (1, 1), (8, 4)]),
        populated: random.one_in(5),
        bulky: random.one_in(5),
        losses: random.one_in(12).then(|| random.pick(&[OnLoss::Replay, OnLoss::Adopt])),
        notify: random.one_in(8),
        discard: random.one_in(12),
        poor: random.one_in(8),
        room: if random.one_in(10) { 1 + random.below(3) } else { u64::MAX },
        strangers: random.one_in(60),
        gullible: finish != Finish::Restarted && random.one_in(6),
        crashes: !random.one_in(8),
        edits: if finish == Finish::WithoutEnds {
            Edits::None
        } else {
            random.pick(&[Edits::None, Edits::Sending, Edits::All])
        },
        change_types: finish == Finish::Touched,
        late: finish != Finish::ByName,
        changes,
        audit_every: 16,
    }
}

fn step(random: &mut Random, weights: &[u64; STEPS.len()], total: u64) -> Step {
    let mut at = random.below(total);
    let index = weights.iter().position(|weight| {
        let here = at < *weight;
        at = at.saturating_sub(*weight);
        here
    });
    let (kind, name) = (random.byte() % 2, random.byte() % 4);
    let old = random.one_in(8);
    match index.unwrap_or(4) {
        0 => Step::Touch { kind, name, content: random.byte() % 2 },
        1 => Step::Label { kind, name, label: random.byte() % 2 },
        2 => Step::Delete { kind, name, again: random.one_in(2) },
        3 => Step::Serve { kind },
        5 => Step::Relist { kind, lossy: random.one_in(2) },
        6 => Step::StaleList { kind, behind: random.byte() % 6 },
        7 => Step::BrokenList { kind, name, nameless: random.one_in(4) },
        8 => Step::Swallow { kind },
        9 => Step::Garble { kind, name },
        10 => {
            let answer = if random.one_in(2) { Answer::Fine } else { random.pick(&ANSWERS) };
            Step::Answer { old, pick: random.byte() % 4, answer }
        }
        11 => Step::Arrive { pick: random.byte() % 8 },
        12 => Step::Endpoint { subscription: random.byte() % 3, answer: random.pick(&ANSWERS) },
        13 => {
            let fate = if random.one_in(3) { fate(random) } else { Fate::Lands };
            Step::Commit { old, fate }
        }
        14 => Step::StrayCommit { pick: random.byte() % 4 },
        15 => Step::Fold { old },
        16 => Step::Wait { ms: random.below(9_000) as u16, lazy: random.one_in(3) },
        17 => Step::Clock { minutes: (random.below(121) as i64 - 60) as i8 },
        18 => Step::TakeOver { paused: random.one_in(3), fate: fate(random), bits: random.byte() },
        19 => {
            let (fate, bits) = (fate(random), random.byte());
            Step::EditedWhileDown { fate, bits, subscription: random.byte() % 3, edit: edit(random) }
        }
        20 => Step::Wake,
        21 => Step::Stop { bits: random.byte() },
        23 => Step::SetBack { changes: 1 + random.byte() % 6, bits: random.byte() },
        24 => {
            let how = random.pick(&[
                Damage::Deleted,
                Damage::Flipped,
                Damage::HeadDeleted,
                Damage::HeadFlipped,
                Damage::Copied,
                Damage::AllDeleted,
            ]);
            Step::Damage { how, pick: random.byte(), bits: random.byte() }
        }
        26 => Step::Overlook { kind, name },
        25 => Step::Move { kind, busy: random.one_in(2), behind: random.byte() % 4 },
        22 => Step::Edit { subscription: random.byte() % 3, edit: edit(random) },
        _ => Step::Hear { old, kind, events: random.byte() % 4 },
    }
}

fn fate(random: &mut Random) -> Fate {
    random.pick(&[Fate::Lands, Fate::LandsUnheard, Fate::Fails, Fate::Strays])
}

fn edit(random: &mut Random) -> Edit {
    let choice = random.byte() % 3;
    match random.below(14) {
        13 => Edit::Relabel,
        12 => Edit::Resync { all: random.one_in(2) },
        0 => Edit::Suspend,
        1 => Edit::Hold,
        2 => Edit::Secret,
        3..7 => Edit::Select { interest: random.byte() % 2, choice },
        7 => Edit::Kinds { choice },
        8 => Edit::Host { choice },
        9 => Edit::Width { max_in_flight: random.byte() % 4 },
        10 => Edit::Changes { bits: random.byte() % 8 },
        _ => Edit::Withdraw,
    }
}
