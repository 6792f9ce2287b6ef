//! What the ledger and the engine cost: `cargo bench --package changehook-core --bench ledger`.
//!
//! A report rather than a statistic: each line is the median of a few runs in one process, and says its unit. Compare two
//! commits on one machine, not numbers of two machines.

#![allow(clippy::unwrap_used, reason = "a figure that cannot be made is no figure")]

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use changehook_core::Now;
use changehook_core::engine::{Action, Engine, Settings};
use changehook_core::ledger::keeper::{Claimant, Found, Keeper, Loaded, Name, Writes, claim, load};
use changehook_core::ledger::{Entries, Fact, Named, Record, codec};
use changehook_core::object::{Body, Digest, Fingerprint, Gvk, ObjectKey, ObservedBy, Row, Unreadable};
use changehook_core::outcome::Outcome;
use changehook_core::plan::{ChangeTypes, Claims, Interest, LabelSelector, Plan, Policy, Selector, SubscriptionId};
use changehook_core::retry::RetryPolicy;
use changehook_core::select::{Observation, Seen};

/// The file of a ledger that a child process loads.
const LOAD: &str = "CHANGEHOOK_BENCH_LOAD";

fn gvk() -> Arc<Gvk> {
    Arc::new(Gvk::new("apps/v1", "Deployment"))
}

/// A random-looking UUID.
fn uid(number: u64) -> Arc<str> {
    let high = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let low = high.rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let (first, second, third) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
    format!("{first:08x}-{second:04x}-4{third:03x}-8{:03x}-{:012x}", low & 0xfff, low >> 16).into()
}

fn key(kind: &Arc<changehook_core::object::GroupKind>, number: u64) -> ObjectKey {
    ObjectKey { kind: Arc::clone(kind), uid: uid(number) }
}

fn id() -> SubscriptionId {
    SubscriptionId { uid: "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f".into() }
}

fn name(number: u64) -> Arc<str> {
    format!("deployment-{number}-7f9c").into()
}

/// A ledger in memory, written by the keeper.
struct Disk {
    found: Found,
    bytes: u64,
}

impl Disk {
    fn claim(&mut self) -> Loaded {
        let claimant = Claimant { cluster: "cluster".into(), own: "head".into(), holder: 1 };
        let head = self.found.get(&Name::Head).cloned();
        let names: Vec<Name> = self.found.keys().copied().filter(|name| *name != Name::Head).collect();
        let (head, loss) = claim(head.as_deref(), &claimant, names).unwrap();
        self.found.insert(Name::Head, codec::encode_head(&head));
        load(head, loss, &self.found)
    }

    /// As stored: base64.
    fn put(&mut self, name: Name, bytes: Vec<u8>) {
        self.bytes += (bytes.len().div_ceil(3) * 4) as u64;
        self.found.insert(name, bytes);
    }

    fn write(&mut self, keeper: &mut Keeper, writes: Writes) {
        for stored in writes.creates {
            self.put(stored.name, stored.bytes);
        }
        self.put(Name::Head, writes.head);
        for name in keeper.landed() {
            self.found.remove(&name);
        }
    }

    fn fold(&mut self, keeper: &mut Keeper) {
        let (parts, mut folded) = keeper.begin_fold().unwrap().into_parts();
        for part in parts {
            let found: Found = part.reads().into_iter().map(|name| (name, self.found[&name].clone())).collect();
            let (stored, done) = part.write(&found).unwrap();
            for stored in stored {
                self.put(stored.name, stored.bytes);
            }
            folded.add(done);
        }
        let writes = keeper.prepare(Vec::new(), None, Some(folded));
        self.write(keeper, writes);
    }
}

/// A folded ledger of so many entries.
fn ledger(entries: u64) -> (Disk, Keeper) {
    let mut disk = Disk { found: Found::new(), bytes: 0 };
    let mut keeper = disk.claim().keeper;
    let (gvk, kind) = (gvk(), Arc::new(gvk().group_kind()));
    let namespace: Arc<str> = "team-with-a-name".into();
    for chunk in 0..entries.div_ceil(50_000) {
        let records = (chunk * 50_000..((chunk + 1) * 50_000).min(entries)).map(|number| Record {
            seq: number + 1,
            subscription: id(),
            fact: Fact::Adopt {
                object: key(&kind, number),
                named: Named { gvk: Arc::clone(&gvk), namespace: Some(Arc::clone(&namespace)), name: name(number) },
                rv: 1_000_000 + number * 7,
                fp: Fingerprint(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            },
        });
        let writes = keeper.prepare(records.collect(), None, None);
        disk.write(&mut keeper, writes);
    }
    disk.fold(&mut keeper);
    (disk, keeper)
}

/// Resident memory, in MiB (Linux; elsewhere 0).
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / f64::from(1 << 20)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Loads in a process of its own, whose memory is not that of whoever wrote the ledger.
fn report_load(entries: u64) {
    let (disk, _) = ledger(entries);
    let path = std::env::temp_dir().join(format!("changehook-ledger-{}", std::process::id()));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in &disk.found {
        writeln!(file, "{name} {}", bytes.len()).unwrap();
        file.write_all(bytes).unwrap();
    }
    file.into_inner().unwrap();
    let program = std::env::current_exe().unwrap();
    let child = std::process::Command::new(program).env(LOAD, &path).status().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(child.success());
}

fn load_and_report(path: &std::ffi::OsStr) {
    let mut file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut disk = Disk { found: Found::new(), bytes: 0 };
    let mut line = String::new();
    while file.read_line(&mut line).unwrap() > 0 {
        let (name, length) = line.trim().split_once(' ').unwrap();
        let mut bytes = vec![0; length.parse().unwrap()];
        file.read_exact(&mut bytes).unwrap();
        disk.put(Name::parse(name).unwrap(), bytes);
        line.clear();
    }
    let size: usize = disk.found.values().map(Vec::len).sum();
    let (before, start) = (resident(), Instant::now());
    let loaded = disk.claim();
    let took = start.elapsed();
    let entries = loaded.entries.books[&id()].entries.len();
    println!(
        "load {entries:>9} entries: {:>7.0} ms, {:>6.1} MiB more resident memory, {:>4.1} bytes an entry in {} objects",
        took.as_secs_f64() * 1e3,
        resident() - before,
        size as f64 / entries as f64,
        disk.found.len()
    );
}

/// 1000 changes of a ledger of 100k entries: Sending and Ack each, in commits of so many changes.
fn report_bytes(a_commit: u64) {
    let (mut disk, mut keeper) = ledger(100_000);
    let (gvk, kind) = (gvk(), Arc::new(gvk().group_kind()));
    let before = disk.bytes;
    let mut seq = keeper.head().seq;
    let mut commits = 0;
    for first in (0..1000).step_by(a_commit as usize) {
        let mut records = Vec::new();
        for number in first..first + a_commit {
            seq += 1;
            let object = key(&kind, number * 97);
            let named =
                Named { gvk: Arc::clone(&gvk), namespace: Some("team-with-a-name".into()), name: name(number * 97) };
            let fact = Fact::Sending {
                object,
                named,
                change: changehook_core::plan::Change::Updated,
                rv: 9_000_000 + number,
                fp: Fingerprint(seq),
            };
            records.push(Record { seq, subscription: id(), fact });
        }
        let sendings: Vec<(ObjectKey, u64)> = records
            .iter()
            .filter_map(|record| {
                if let Fact::Sending { object, .. } = &record.fact { Some((object.clone(), record.seq)) } else { None }
            })
            .collect();
        let writes = keeper.prepare(records, None, None);
        disk.write(&mut keeper, writes);
        let acks = sendings.into_iter().map(|(object, of)| {
            seq += 1;
            Record { seq, subscription: id(), fact: Fact::Ack { object, of, rv: 9_000_000 } }
        });
        let writes = keeper.prepare(acks.collect(), None, None);
        disk.write(&mut keeper, writes);
        commits += 2;
    }
    let journal = disk.bytes - before;
    let before = disk.bytes;
    disk.fold(&mut keeper);
    println!(
        "1000 changes, {a_commit:>3} a commit: {commits:>4} commits, {:>6.1} kB of journal as stored, {:>6.1} kB for folding them into 100,000 entries",
        journal as f64 / 1e3,
        (disk.bytes - before) as f64 / 1e3
    );
}

fn plan() -> Plan {
    let selector = Selector {
        labels: LabelSelector { match_labels: BTreeMap::new(), expressions: Vec::new() },
        names: [].into(),
        namespaces: None,
    };
    Plan {
        id: id(),
        generation: 1,
        namespace: "team".into(),
        interests: vec![Interest { gvk: Gvk::new("apps/v1", "Deployment"), namespace: None, selector }],
        changes: ChangeTypes::ALL,
        suspended: false,
        held: false,
        retry: RetryPolicy::default(),
        max_in_flight: 16,
        host: "receiver".into(),
        config_hash: 0,
        policy: Policy::default(),
        claims: Claims::default(),
    }
}

/// One change from being shown to being acknowledged: an observation, a commit, an attempt, an answer. Steps are the
/// calls of the engine that this takes.
fn report_engine(slots: u64, changes: u64) {
    let mut now = Now { mono: 1_000, wall: 1_800_000_000_000 };
    let mut engine = Engine::claim(Settings::default(), Entries::default(), now);
    engine.plan(now, plan());
    let (gvk, kind) = (gvk(), Arc::new(gvk().group_kind()));
    let see = |engine: &mut Engine, now: Now, number: u64, rv: u64| {
        let row = Arc::new(Row {
            gvk: Arc::clone(&gvk),
            uid: uid(number),
            namespace: Some("team".into()),
            name: name(number),
            labels: BTreeMap::new(),
            rv,
            digest: Digest(rv.to_le_bytes().repeat(2).try_into().unwrap()),
            version: None,
            body: Body::Missing("not looked at here"),
        });
        let object = key(&kind, number);
        engine
            .observe(now, Observation { subscription: id(), object, seen: Seen::Selected(row), by: ObservedBy::Watch });
    };
    for number in 0..slots {
        see(&mut engine, now, number, 1 + number);
    }
    engine.synced(now, &id(), &gvk_kind(), slots, &Unreadable::Named(Vec::new()));
    while let Some(action) = engine.poll(now) {
        if let Action::Commit(batch) = action {
            engine.committed(now, batch.number);
        }
    }
    let mut times = Vec::new();
    let mut steps = 0_u64;
    for change in 0..changes {
        now.mono += 1;
        let start = Instant::now();
        see(&mut engine, now, change * 7 % slots, slots + change + 1);
        steps += 1;
        let mut delivered = false;
        while !delivered {
            steps += 1;
            match engine.poll(now) {
                Some(Action::Commit(batch)) => {
                    engine.committed(now, batch.number);
                    steps += 1;
                }
                Some(Action::Send(attempt)) => {
                    engine.answered(now, &attempt, Outcome::Delivered { status: 200 }, 0);
                    delivered = true;
                    steps += 1;
                }
                Some(Action::Fold) => {}
                None => now.mono += 1,
            }
        }
        times.push(start.elapsed());
    }
    let whole = median(times);
    println!(
        "engine with {slots:>7} slots: {:>6.2} µs median a change from shown to acknowledged, {:.1} steps: {:.2} µs a step",
        whole.as_secs_f64() * 1e6,
        steps as f64 / changes as f64,
        whole.as_secs_f64() * 1e6 / (steps as f64 / changes as f64)
    );
}

fn gvk_kind() -> changehook_core::object::GroupKind {
    gvk().group_kind()
}

fn main() {
    if let Some(path) = std::env::var_os(LOAD) {
        return load_and_report(&path);
    }
    report_load(100_000);
    report_load(1_000_000);
    report_bytes(1);
    report_bytes(10);
    report_bytes(100);
    report_engine(1_000, 50_000);
    report_engine(100_000, 50_000);
}
