//! Whatever is committed, folded, or cut off in the middle: what is loaded is what was durable.

use std::sync::Arc;

use super::*;
use crate::ledger::form::Form;
use crate::ledger::{Entries, Fact, Loss, Named, Recipe, Requests};
use crate::object::{Fingerprint, Gvk, ObjectKey, SourceId};
use crate::outcome::Class;
use crate::plan::Change;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What is stored, the Head too.
#[derive(Default)]
struct Disk(Found);

impl Disk {
    fn claim(&mut self) -> Loaded {
        let claimant = Claimant { cluster: "cluster".into(), own: "head".into(), holder: 1 };
        let head = self.0.get(&Name::Head).cloned();
        let names: Vec<Name> = self.0.keys().copied().filter(|name| *name != Name::Head).collect();
        let (head, loss) = claim(head.as_deref(), &claimant, names).unwrap();
        self.0.insert(Name::Head, codec::encode_head(&head));
        load(head, loss, &self.0)
    }

    fn store(&mut self, Stored { name, bytes }: Stored) {
        let before = self.0.insert(name, bytes.clone());
        assert!(before.is_none_or(|before| before == bytes), "{name} means two contents");
    }

    /// All of a commit.
    fn write(&mut self, keeper: &mut Keeper, writes: Writes) {
        for stored in writes.creates {
            self.store(stored);
        }
        self.0.insert(Name::Head, writes.head);
        for name in keeper.landed() {
            assert!(self.0.remove(&name).is_some(), "{name} was not there");
        }
    }

    fn fold(&mut self, keeper: &mut Keeper) -> Option<Folded> {
        let (parts, mut folded) = keeper.begin_fold()?.into_parts();
        for part in parts {
            let found: Found = part.reads().into_iter().map(|name| (name, self.0[&name].clone())).collect();
            let (stored, done) = part.write(&found).unwrap();
            for stored in stored {
                self.store(stored);
            }
            folded.add(done);
        }
        Some(folded)
    }
}

fn subscription(number: u64) -> SubscriptionId {
    SubscriptionId { uid: format!("subscription-{number}").into() }
}

fn object(number: u64) -> ObjectKey {
    ObjectKey { kind: Arc::new(Gvk::new("apps/v1", "Deployment").group_kind()), uid: format!("uid-{number}").into() }
}

fn named(number: u64) -> Named {
    let gvk = Arc::new(Gvk::new("apps/v1", "Deployment"));
    Named { gvk, namespace: Some("team".into()), name: format!("name-{number}").into() }
}

fn fact(random: &mut Random, entries: &Entries, of: &SubscriptionId, objects: u64) -> Fact {
    let number = random.below(objects);
    let object = object(number);
    let entry = entries.books.get(of).and_then(|book| book.entries.get(&object));
    let sending = entry.and_then(|entry| entry.sending).map_or(0, |sending| sending.seq);
    let (rv, fp) = (random.below(1000), Fingerprint(random.below(9)));
    match random.below(60) {
        0..20 => Fact::Sending { object, named: named(number), change: Change::Updated, rv, fp },
        20..35 => Fact::Ack { object, of: sending, rv },
        35..40 => Fact::Drop { object, of: sending },
        40..44 => Fact::Park { object, of: sending, class: Class::Endpoint, config_hash: rv },
        44..46 => Fact::Release { object },
        46..52 => Fact::Adopt { object, named: named(number), rv, fp },
        52 => Fact::Owe { object, named: named(number) },
        53..55 => Fact::Mark { kind: object.kind, rv, open: rv % 2 == 0 },
        55 => Fact::Unmark { kind: object.kind },
        56 => Fact::Resync {
            all: rv % 2 == 0,
            requests: Requests { request_id: Some("again".into()), requested_at: None },
        },
        57 => Fact::Recipe { recipe: Recipe { scheme: rv as u32, constant: rv % 2 == 0 } },
        58 => Fact::Rewind,
        _ => Fact::Forget,
    }
}

/// A batch, as it would be made on top of `durable`.
fn batch(random: &mut Random, durable: &Entries, longest: u64) -> Vec<Record> {
    let mut sum = durable.clone();
    (0..=random.below(longest))
        .map(|_| {
            let of = subscription(random.below(3));
            let fact = fact(random, &sum, &of, longest * 4);
            let record = Record { seq: sum.seq + 1 + random.below(3), subscription: of, fact };
            sum.apply(&record);
            record
        })
        .collect()
}

fn source(number: u64) -> SourceId {
    SourceId { gvk: Gvk::new("v1", "ConfigMap"), namespace: Some(format!("team-{number}")) }
}

#[test]
fn what_is_loaded_is_what_was_durable_wherever_a_leader_was_cut_off() {
    for seed in 1..=150_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let longest = [3, 30, 600][random.below(3) as usize];
        let mut disk = Disk::default();
        let mut durable = Entries::default();
        let mut keeper = disk.claim().keeper;
        let mut folded = None;
        for step in 0..60 {
            match random.below(12) {
                // A fold, which may be overtaken by commits before its Head is written, or never get one.
                0 | 1 if folded.is_none() => folded = disk.fold(&mut keeper),
                2 => {
                    let loaded = disk.claim();
                    (keeper, folded) = (loaded.keeper, None);
                    assert!(loaded.entries == durable, "seed {seed} step {step}");
                    for name in keeper.garbage(disk.0.keys().copied().collect::<Vec<_>>()) {
                        disk.0.remove(&name);
                    }
                }
                kind => {
                    let records = batch(&mut random, &durable, longest);
                    let sources = vec![(source(1), step), (source(2), seed)];
                    let fold = if random.below(3) == 0 { folded.take() } else { None };
                    let writes = keeper.prepare(records.clone(), Some(sources.clone()), fold);
                    if kind == 3 {
                        // Cut off before the Head: a part of what was created is there, and means nothing.
                        let created = random.below(writes.creates.len() as u64 + 1) as usize;
                        writes.creates.into_iter().take(created).for_each(|stored| disk.store(stored));
                        (keeper, folded) = (disk.claim().keeper, None);
                    } else {
                        disk.write(&mut keeper, writes);
                        for record in &records {
                            durable.apply(record);
                        }
                        durable.sources = sources.into_iter().collect();
                    }
                }
            }
        }
        assert!(disk.claim().entries == durable, "seed {seed}");
    }
}

/// A ledger with one subscription of `objects` entries, folded.
fn folded_ledger(objects: u64) -> (Disk, Keeper, Entries) {
    let mut disk = Disk::default();
    let mut keeper = disk.claim().keeper;
    let mut durable = Entries::default();
    let adopt = |number| Fact::Adopt { object: object(number), named: named(number), rv: 5, fp: Fingerprint(number) };
    let records: Vec<Record> =
        (0..objects).map(|n| Record { seq: n + 1, subscription: subscription(0), fact: adopt(n) }).collect();
    for record in &records {
        durable.apply(record);
    }
    let writes = keeper.prepare(records, None, None);
    disk.write(&mut keeper, writes);
    let fold = disk.fold(&mut keeper);
    let writes = keeper.prepare(Vec::new(), None, fold);
    disk.write(&mut keeper, writes);
    (disk, keeper, durable)
}

#[test]
fn a_fold_leaves_no_segment_and_rewrites_only_the_buckets_that_have_a_record() {
    let (mut disk, mut keeper, _) = folded_ledger(5_000);
    assert_eq!(keeper.segments(), (0, 0));
    let shards = |disk: &Disk| disk.0.keys().filter(|name| matches!(name, Name::Shard { .. })).count();
    assert_eq!(shards(&disk), 32);
    let touched = Record {
        seq: 9_000,
        subscription: subscription(0),
        fact: Fact::Sending { object: object(7), named: named(7), change: Change::Updated, rv: 6, fp: Fingerprint(6) },
    };
    // Enough of them to be sealed.
    let mut records: Vec<Record> = (0..400).map(|n| Record { seq: 9_000 + n, ..touched.clone() }).collect();
    let dropped = Fact::Drop { object: object(7), of: 9_399 };
    records.push(Record { seq: 9_400, fact: dropped, ..touched });
    let writes = keeper.prepare(records, None, None);
    disk.write(&mut keeper, writes);
    let before: Vec<Name> = disk.0.keys().copied().collect();
    let fold = disk.fold(&mut keeper);
    let written: Vec<Name> = disk.0.keys().copied().filter(|name| !before.contains(name)).collect();
    assert_eq!(written.len(), 2, "{written:?}");
    let writes = keeper.prepare(Vec::new(), None, fold);
    disk.write(&mut keeper, writes);
    assert_eq!(shards(&disk), 32);
    assert_eq!(disk.claim().entries.books[&subscription(0)].entries.len(), 4_999);
}

#[test]
fn a_small_commit_writes_the_head_alone_and_a_long_tail_is_sealed() {
    let mut disk = Disk::default();
    let mut keeper = disk.claim().keeper;
    let mut seq = 0;
    let mut sealed = 0;
    for _ in 0..500 {
        seq += 1;
        let fact = Fact::Owe { object: object(seq), named: named(seq) };
        let writes = keeper.prepare(vec![Record { seq, subscription: subscription(0), fact }], None, None);
        assert!(writes.head.len() <= 6 * 1024, "{}", writes.head.len());
        sealed += writes.creates.len();
        disk.write(&mut keeper, writes);
    }
    assert!((1..20).contains(&sealed), "{sealed}");
}

#[test]
fn a_claim_fences_the_former_leader_by_another_term_holder_and_commit() {
    let (mut disk, keeper, durable) = folded_ledger(10);
    let before = keeper.head().clone();
    let claimant = Claimant { cluster: "cluster".into(), own: "head".into(), holder: 2 };
    let (head, loss) = claim(disk.0.get(&Name::Head).map(Vec::as_slice), &claimant, []).unwrap();
    assert_eq!((head.term, head.commit, head.holder, loss), (before.term + 1, before.commit + 1, 2, None));
    assert!(disk.claim().entries == durable);
}

#[test]
fn a_head_that_is_deleted_corrupt_or_a_copy_is_a_loss_and_never_an_older_state() {
    let (disk, _, _) = folded_ledger(600);
    let claimant = Claimant { cluster: "cluster".into(), own: "head".into(), holder: 2 };
    let names = || disk.0.keys().copied().filter(|name| *name != Name::Head);
    let head = disk.0[&Name::Head].clone();
    let mut flipped = head.clone();
    flipped[9] ^= 4;
    let copied = Claimant { own: "another".into(), ..claimant.clone() };
    let moved = Claimant { cluster: "another".into(), ..claimant.clone() };
    let cases = [
        (None, &claimant, Loss::Missing),
        (Some(&flipped), &claimant, Loss::Corrupt),
        (Some(&head), &copied, Loss::Foreign),
        (Some(&head), &moved, Loss::Foreign),
    ];
    for (found, claimant, expected) in cases {
        let (head, loss) = claim(found.map(Vec::as_slice), claimant, names()).unwrap();
        assert_eq!(loss, Some(expected));
        let loaded = load(head, loss, &disk.0);
        assert_eq!((loaded.entries.books.len(), loaded.entries.loss), (0, Some(expected)));
        // Its labels are not those of what is still stored.
        assert!(names().all(|name| name.term() < Some(loaded.keeper.head().term)));
        assert_eq!(loaded.keeper.garbage(names()).len(), names().count());
    }
    assert_eq!(claim(None, &claimant, []).unwrap().1, None, "a first start loses nothing");
}

fn lost(seq: u64, loss: Option<Loss>) -> Record {
    Record { seq, subscription: subscription(0), fact: Fact::Lost { loss } }
}

#[test]
fn damage_is_a_loss_of_its_subscription_alone_and_found_once() {
    let (disk, _, _) = folded_ledger(600);
    let find = |wanted: fn(&Name) -> bool| *disk.0.keys().find(|name| wanted(name)).unwrap();
    let shard = find(|name| matches!(name, Name::Shard { .. }));
    let index = find(|name| matches!(name, Name::Index { .. }));
    for (name, flip, expected) in
        [(shard, None, Loss::Missing), (shard, Some(5), Loss::Corrupt), (index, None, Loss::Missing)]
    {
        let mut disk = Disk(disk.0.clone());
        match flip {
            None => drop(disk.0.remove(&name)),
            Some(at) => disk.0.get_mut(&name).unwrap()[at] ^= 1,
        }
        let Loaded { mut keeper, entries, missing } = disk.claim();
        assert_eq!(missing, if flip.is_none() { vec![name] } else { vec![] });
        let book = &entries.books[&subscription(0)];
        assert_eq!((entries.loss, book.loss), (None, Some(expected)));
        assert_eq!(book.entries.is_empty(), name == index, "what is there is kept");

        // Nothing is folded before the loss is on record, or it would be forgotten.
        let seal = |seq| {
            (0..600).map(move |n| {
                let fact = Fact::Owe { object: object(n), named: named(n) };
                Record { seq: seq + n, subscription: subscription(0), fact }
            })
        };
        assert!(keeper.begin_fold().is_none());
        assert_eq!(disk.claim().entries.books[&subscription(0)].loss, Some(expected));
        let Loaded { mut keeper, .. } = disk.claim();
        let records = [lost(20_000, Some(expected))].into_iter().chain(seal(20_001)).collect();
        let writes = keeper.prepare(records, None, None);
        for stored in writes.creates {
            disk.store(stored);
        }
        disk.0.insert(Name::Head, writes.head);
        for name in keeper.landed() {
            // What was damaged may be gone already.
            disk.0.remove(&name);
        }
        let fold = disk.fold(&mut keeper);
        let writes = keeper.prepare(Vec::new(), None, fold);
        disk.write(&mut keeper, writes);

        // From here on it is whole, and whoever claims it knows that something was lost until that is made up for.
        let Loaded { mut keeper, entries, missing } = disk.claim();
        assert_eq!(missing, []);
        let book = &entries.books[&subscription(0)];
        assert_eq!((entries.loss, book.loss, book.entries.len()), (None, Some(expected), 600));
        let writes = keeper.prepare(vec![lost(30_000, None)], None, None);
        disk.write(&mut keeper, writes);
        assert_eq!(disk.claim().entries.books[&subscription(0)].loss, None);
    }
}

#[test]
fn a_fold_that_does_not_find_a_shard_says_so_instead_of_writing_without_it() {
    let (disk, mut keeper, _) = folded_ledger(600);
    let records = (0..600).map(|n| {
        let fact = Fact::Owe { object: object(n), named: named(n) };
        Record { seq: 10_000 + n, subscription: subscription(0), fact }
    });
    let _written = keeper.prepare(records.collect(), None, None);
    keeper.landed();
    let (mut parts, _) = keeper.begin_fold().unwrap().into_parts();
    let part = parts.remove(0);
    let mut found: Found = part.reads().into_iter().map(|name| (name, disk.0[&name].clone())).collect();
    let name = *found.keys().next().unwrap();
    found.remove(&name);
    assert_eq!(part.write(&found).unwrap_err(), FoldError::Lost { name, how: How::Missing });
}

#[test]
fn a_head_that_says_the_ledger_is_outdated_says_so_until_a_commit_has_told_every_book() {
    let (mut disk, keeper, _) = folded_ledger(600);
    let outdated = Head { loss: Some(Loss::Outdated), ..keeper.head().clone() };
    disk.0.insert(Name::Head, codec::encode_head(&outdated));
    assert_eq!(disk.claim().entries.loss, Some(Loss::Outdated));
    let Loaded { mut keeper, entries, .. } = disk.claim();
    assert_eq!(entries.loss, Some(Loss::Outdated));
    let writes = keeper.prepare(vec![lost(20_000, Some(Loss::Outdated))], None, None);
    disk.write(&mut keeper, writes);
    let entries = disk.claim().entries;
    assert_eq!((entries.loss, entries.books[&subscription(0)].loss), (None, Some(Loss::Outdated)));
}

#[test]
fn a_segment_that_is_missing_concerns_everybody() {
    let mut disk = Disk::default();
    let mut keeper = disk.claim().keeper;
    let records =
        (1..500).map(|n| Record { seq: n, subscription: subscription(0), fact: Fact::Release { object: object(n) } });
    let writes = keeper.prepare(records.collect(), None, None);
    let names: Vec<Name> = writes.creates.iter().map(|stored| stored.name).collect();
    disk.write(&mut keeper, writes);
    disk.0.remove(&names[0]);
    assert_eq!(load(keeper.head().clone(), None, &disk.0).entries.loss, Some(Loss::Missing));
}

#[test]
fn many_subscriptions_have_a_directory() {
    let mut disk = Disk::default();
    let mut keeper = disk.claim().keeper;
    let mut durable = Entries::default();
    let records: Vec<Record> = (1..=300)
        .map(|n| Record {
            seq: n,
            subscription: subscription(n),
            fact: Fact::Adopt { object: object(n), named: named(n), rv: 1, fp: Fingerprint(1) },
        })
        .collect();
    for record in &records {
        durable.apply(record);
    }
    let writes = keeper.prepare(records, None, None);
    disk.write(&mut keeper, writes);
    for _ in 0..2 {
        let fold = disk.fold(&mut keeper);
        let forget = Record { seq: keeper.head().seq + 1, subscription: subscription(1), fact: Fact::Forget };
        durable.apply(&forget);
        let writes = keeper.prepare(vec![forget; 600], None, fold);
        assert!(writes.head.len() < 6 * 1024, "{}", writes.head.len());
        disk.write(&mut keeper, writes);
        assert_eq!(disk.0.keys().filter(|name| matches!(name, Name::Directory(_))).count(), 1);
    }
    let Ok(Form::Head(head)) = codec::decode(&disk.0[&Name::Head]) else { panic!("no Head") };
    assert!(matches!(head.indexes, Indexes::Elsewhere(_)));
    assert!(disk.claim().entries == durable);
}
