//! Random schedules against the shipped selection and engine.
#![allow(clippy::unwrap_used, clippy::mut_mut)]

mod brief;
mod cluster;
mod commits;
mod counts;
mod durable;
mod edits;
mod endpoint;
mod oracle;
mod play;
mod random;
mod referee;
mod reference;
mod schedule;
mod settle;
mod shrink;
mod succession;
mod uniform;
mod watches;
mod wire;
mod world;

use play::Watch;

#[test]
fn try_it() {
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let first: u64 = std::env::var("SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut counts = counts::Counts::default();
    let refereed = std::env::var_os("REF").is_some();
    let t = std::time::Instant::now();
    for seed in first..first + n {
        let mut schedule = uniform::schedule(seed);
        if refereed && schedule.setup.edits == schedule::Edits::All {
            schedule.setup.edits = schedule::Edits::Sending;
        }
        if refereed
            && (schedule.setup.changes != changehook_core::plan::ChangeTypes::ALL || schedule.setup.change_types)
        {
            continue;
        }
        let watch = Watch { refereed, told: false };
        match play::try_play(&schedule, watch) {
            Ok(c) => counts.add(&c),
            Err(message) => {
                eprintln!("SEED={seed} {message}");
                shrink::shrink(&schedule, watch).unwrap().tell(watch);
                panic!("SEED={seed}");
            }
        }
    }
    eprintln!("{counts}\n{:?} per schedule", t.elapsed() / n as u32);
}
