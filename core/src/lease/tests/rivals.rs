//! Replicas that compete for one Lease over an API server that is slow, loses answers, and applies writes late; each
//! with a clock of its own, and each paused at times. Two must never act at the same moment.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::*;
use crate::proof::break_rule;

/// One try of one replica, in milliseconds.
#[derive(Clone, Debug)]
struct Try {
    who: usize,
    /// Since the try before, whoever made it: pauses of the process are in it.
    pause: u64,
    read: u64,
    /// Until the write arrives, and from there to its answer.
    there: u64,
    back: u64,
    answered: bool,
}

#[derive(Clone)]
struct Replica {
    name: String,
    /// Its clock shows so much more than the world's.
    clock: u64,
    seen: Option<Seen>,
    busy_until: u64,
    /// The world's time when its last renewal began to count.
    acts_from: Option<u64>,
}

#[derive(Clone, Debug)]
struct Write {
    arrives: u64,
    replica: usize,
    over: u64,
    record: Record,
    started: u64,
    answered_at: Option<u64>,
}

struct World {
    record: Option<Record>,
    version: u64,
    writes: Vec<Write>,
    replicas: Vec<Replica>,
    now: u64,
    led: BTreeSet<usize>,
}

impl World {
    fn new(replicas: usize) -> Self {
        let replica = |n: usize| Replica {
            name: format!("r{n}"),
            clock: 1_000_000 * n as u64,
            seen: None,
            busy_until: 0,
            acts_from: None,
        };
        let replicas = (0..replicas).map(replica).collect();
        Self { record: None, version: 0, writes: Vec::new(), replicas, now: 0, led: BTreeSet::new() }
    }

    fn acts(&self, replica: usize, now: u64) -> bool {
        let from = |from| Now { mono: from, wall: 0 };
        let left = |start| left(from(start), Now { mono: now, wall: 0 }, &DURATIONS);
        self.replicas[replica].acts_from.is_some_and(|start| start > now || !left(start).is_zero())
    }

    /// Lets everything happen that happens up to `until`, in order; `false` when two act at once.
    fn pass(&mut self, until: u64) -> bool {
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.now = at;
            for write in self.writes.iter_mut().filter(|write| write.arrives == at) {
                if write.over == self.version {
                    self.version += 1;
                    self.record = Some(write.record.clone());
                } else {
                    write.answered_at = None;
                }
            }
            let answers: Vec<Write> =
                self.writes.iter().filter(|write| write.answered_at == Some(at)).cloned().collect();
            for answer in answers {
                let from = if broken(Rule::LeaseCountsFromItsStart) { at } else { answer.started };
                self.led.insert(answer.replica);
                self.replicas[answer.replica].acts_from = Some(from);
            }
            self.writes.retain(|write| write.arrives > at || write.answered_at.is_some_and(|answered| answered > at));
            if (0..self.replicas.len()).filter(|replica| self.acts(*replica, at)).count() > 1 {
                return false;
            }
        }
        self.now = until;
        true
    }

    fn next_event(&self) -> Option<u64> {
        let times = self.writes.iter().flat_map(|write| [Some(write.arrives), write.answered_at]).flatten();
        times.filter(|at| *at > self.now).min()
    }

    fn attempt(&mut self, step: &Try) -> bool {
        let started = (self.now + step.pause).max(self.replicas[step.who].busy_until);
        let read = started + step.read;
        if !self.pass(read) {
            return false;
        }
        let stance = if self.acts(step.who, read) { Stance::Leader } else { Stance::Candidate };
        let observed = self.record.clone();
        let replica = &mut self.replicas[step.who];
        let mono = replica.clock + read;
        let (decision, seen) = evaluate(observed, replica.seen.take(), &replica.name, stance, mono, &DURATIONS);
        replica.seen = seen;
        match decision {
            Decision::Wait { .. } => {}
            Decision::Lost => replica.acts_from = None,
            Decision::Take | Decision::Renew => {
                let arrives = read + 1 + step.there;
                let answered = arrives + 1 + step.back;
                replica.busy_until = answered;
                let record = held_by(&replica.name.clone(), mono as i64);
                let answered_at = step.answered.then_some(answered);
                let over = self.version;
                self.writes.push(Write { arrives, replica: step.who, over, record, started: read, answered_at });
            }
        }
        true
    }
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let pause = prop_oneof![6 => 0_u64..3000, 2 => 3000_u64..12_000, 1 => 12_000_u64..40_000];
    let latency = || prop_oneof![6 => 0_u64..300, 1 => 300_u64..12_000];
    let one = (0_usize..3, pause, latency(), latency(), latency(), prop::bool::weighted(0.8));
    let one = one.prop_map(|(who, pause, read, there, back, answered)| Try { who, pause, read, there, back, answered });
    prop::collection::vec(one, 1..60)
}

/// Whether at most one acts at any moment.
fn one_at_a_time(tries: &[Try], replicas: usize) -> Result<World, u64> {
    let mut world = World::new(replicas);
    if !tries.iter().all(|step| world.attempt(step)) {
        return Err(world.now);
    }
    let end = world.now + 60_000;
    if world.pass(end) { Ok(world) } else { Err(world.now) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_replicas_never_act_at_once_whatever_is_slow_lost_or_paused(tries in tries()) {
        let moment = one_at_a_time(&tries, 3).err();
        prop_assert_eq!(moment, None, "two act");
    }
}

/// The renewal is sent at 0, applied at once and answered late; a rival that saw it applied may act before the answer is
/// as old as the deadline.
fn late_answer() -> [Try; 4] {
    let quick = |who, pause| Try { who, pause, read: 0, there: 0, back: 0, answered: true };
    // The rival sees the renewal applied, then silence.
    [quick(0, 0), Try { back: 9900, ..quick(0, 2000) }, quick(1, 100), quick(1, 15_000)]
}

#[test]
fn a_renewal_that_is_answered_late_counts_from_its_start_so_a_rival_finds_nobody_acting() {
    let world = one_at_a_time(&late_answer(), 2).expect("nobody acts beside another");
    assert_eq!(world.led, [0, 1].into(), "one after the other");
}

#[test]
fn counted_from_its_answer_two_would_act_at_once() {
    break_rule(Some(Rule::LeaseCountsFromItsStart));
    let found = one_at_a_time(&late_answer(), 2).is_err();
    break_rule(None);
    assert!(found);
}

/// The rules of the Lease among the mutants; the others are in `core/tests/simulator`.
#[test]
fn no_rule_of_the_lease_is_broken_without_being_found_out() {
    const MOST: u32 = 200_000;
    for rule in Rule::OF_THE_LEASE {
        let mut runner = TestRunner::new_with_rng(
            ProptestConfig { cases: MOST, failure_persistence: None, ..ProptestConfig::default() },
            TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        );
        // What is played after the first find only cuts it down.
        let (played, found) = (Cell::new(0_u32), Cell::new(false));
        break_rule(Some(*rule));
        let ended = runner.run(&tries(), |tries| {
            played.set(played.get() + u32::from(!found.get()));
            one_at_a_time(&tries, 3).map(drop).map_err(|at| {
                found.set(true);
                TestCaseError::fail(format!("two act at {at}"))
            })
        });
        break_rule(None);
        let Err(TestError::Fail(why, tries)) = ended else { panic!("{rule:?} is broken, and nobody notices") };
        eprintln!("{:<28} {:>9} {:>6}  {why}", format!("{rule:?}"), played.get(), tries.len());
        if std::env::var_os("TRACE").is_some() {
            for step in &tries {
                eprintln!("    {step:?}");
            }
        }
        assert!(one_at_a_time(&tries, 3).is_ok(), "{rule:?}: it fails although nothing is broken");
    }
}
