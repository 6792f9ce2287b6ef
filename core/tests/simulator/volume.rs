//! Many schedules, on all cores, and what they came to.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use changehook_core::proof::take_marks;

use crate::counts::Counts;
use crate::play::{Watch, try_play};
use crate::schedule::Schedule;
use crate::shrink::shrink;
use crate::{patterns, uniform};

const THREADS: usize = 2;

/// How much to do, and how.
pub struct Volume {
    pub first_seed: u64,
    /// Stop after so many,
    pub schedules: u64,
    /// or after so long.
    pub time: Option<Duration>,
    pub watch: Watch,
    /// What is changed about each schedule before it is played; those that it refuses are left out.
    pub adapt: fn(&mut Schedule) -> bool,
}

#[derive(Default)]
pub struct Tally {
    pub schedules: u64,
    pub counts: Counts,
    /// By mark.
    pub marks: Vec<u64>,
    pub took: Duration,
}

impl Volume {
    pub fn of(schedules: u64) -> Self {
        Self { first_seed: 1, schedules, time: None, watch: Watch::default(), adapt: |_| true }
    }

    /// As the environment says: SIM_SEED plays one schedule and tells it, SIM_SCHEDULES or SIM_MINUTES say how many.
    pub fn from_environment(schedules: u64) -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let minutes = number("SIM_MINUTES");
        let mut volume =
            Self::of(number("SIM_SCHEDULES").unwrap_or(if minutes.is_some() { u64::MAX } else { schedules }));
        volume.time = minutes.map(|minutes| Duration::from_secs(minutes * 60));
        volume.first_seed = number("SIM_FIRST").unwrap_or(1);
        if let Some(seed) = number("SIM_SEED") {
            (volume.first_seed, volume.schedules, volume.watch.told) = (seed, 1, true);
        }
        volume
    }

    /// # Panics
    /// If a schedule fails: after telling its seed, and the shortest part of it that fails, too.
    pub fn play(&self) -> Tally {
        let started = Instant::now();
        let next = AtomicU64::new(self.first_seed);
        let over = AtomicBool::new(false);
        let failed = Mutex::new(None);
        let sum = Mutex::new(Tally::default());
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut tally = Tally::default();
                    take_marks();
                    while !over.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let late = seed.is_multiple_of(64) && self.time.is_some_and(|time| started.elapsed() > time);
                        if late || seed - self.first_seed >= self.schedules {
                            break;
                        }
                        let mut schedule = schedule(seed);
                        if !(self.adapt)(&mut schedule) {
                            continue;
                        }
                        if let Ok(counts) = try_play(&schedule, self.watch) {
                            tally.counts.add(&counts);
                        } else {
                            over.store(true, Ordering::Relaxed);
                            failed.lock().unwrap().get_or_insert((seed, schedule));
                        }
                        tally.schedules += 1;
                    }
                    tally.marks = take_marks();
                    sum.lock().unwrap().add(&tally);
                });
            }
        });
        if let Some((seed, schedule)) = failed.into_inner().unwrap() {
            if let Some(shrunk) = shrink(&schedule, self.watch) {
                shrunk.tell(self.watch);
            }
            panic!("a schedule fails: SIM_SEED={seed}");
        }
        let mut tally = sum.into_inner().unwrap();
        tally.took = started.elapsed();
        tally
    }
}

/// Seeds take turns between the two generators.
pub fn schedule(seed: u64) -> Schedule {
    if seed.is_multiple_of(2) { uniform::schedule(seed) } else { patterns::schedule(seed) }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.counts.add(&other.counts);
        self.marks.resize(self.marks.len().max(other.marks.len()), 0);
        self.marks.iter_mut().zip(&other.marks).for_each(|(sum, n)| *sum += n);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let rate = self.schedules as f64 / seconds;
        writeln!(
            f,
            "{} schedules in {seconds:.0} s, {rate:.0} a second on {THREADS} threads, 0 failed",
            self.schedules
        )?;
        write!(f, "{}", self.counts)
    }
}
