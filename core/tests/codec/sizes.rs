//! How small it is, with data as clusters have it. `cargo test -p changehook-core --test codec sizes -- --nocapture` prints
//! the figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use changehook_core::ledger::codec::{decode, encode, encode_head, records_len};
use changehook_core::ledger::form::{Form, Head, Label, Shard};
use changehook_core::ledger::{Acked, Entry, Fact, Named, Record};
use changehook_core::object::{Fingerprint, Gvk, ObjectKey};
use changehook_core::plan::Change;

use crate::arbitrary::uuid;
use crate::samples::{self, SEQ, subscription};

/// Numbers without a pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 16) % end
    }

    fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b"bcdfghjklmnpqrstvwxz2456789"[self.below(27) as usize])).collect()
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.roll(), self.roll());
        uuid((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }
}

/// Deployments, their Pods and ConfigMaps in 16 namespaces, in the order in which lists show them.
fn objects(dice: &mut Dice, count: usize) -> Vec<(ObjectKey, Named)> {
    let apps = ["api", "web", "worker", "checkout", "payments", "search", "mailer", "inventory", "gateway", "reports"];
    let kinds = [Gvk::new("apps/v1", "Deployment"), Gvk::new("v1", "Pod"), Gvk::new("v1", "ConfigMap")].map(Arc::new);
    let group_kinds = kinds.each_ref().map(|gvk| Arc::new(gvk.group_kind()));
    let mut objects: Vec<(ObjectKey, Named)> = (0..count)
        .map(|_| {
            let (which, team, app) = (dice.below(3) as usize, dice.below(16), dice.below(10));
            let (revision, app) = (Dice(team * 10 + app).letters(9), apps[app as usize]);
            let name = match which {
                0 => format!("{app}-{}", dice.below(100)),
                1 => format!("{app}-{revision}-{}", dice.letters(5)),
                _ => format!("{app}-config-{}", dice.letters(4)),
            };
            let namespace = format!("team-{team}");
            let key = ObjectKey { kind: Arc::clone(&group_kinds[which]), uid: dice.uuid().into() };
            (key, Named { gvk: Arc::clone(&kinds[which]), namespace: Some(namespace.into()), name: name.into() })
        })
        .collect();
    objects.sort_by_key(|(_, named)| (named.gvk.kind.clone(), named.namespace.clone(), named.name.clone()));
    objects
}

/// 40 shards of about 250 entries: adopted one after the other, a fifth of them told again since, by later leaders, too.
fn shards() -> Vec<Shard> {
    let mut dice = Dice(1);
    let mut buckets: BTreeMap<u64, BTreeMap<ObjectKey, Entry>> = BTreeMap::new();
    for (at, (key, named)) in objects(&mut dice, 10_000).into_iter().enumerate() {
        let later = if dice.below(5) == 0 { dice.below(3) << 37 | dice.below(1 << 20) } else { 0 };
        let acked = Acked { seq: SEQ + at as u64 + later, rv: dice.below(200_000_000), fp: Fingerprint(dice.roll()) };
        let entry = Entry { named, acked: Some(acked), sending: None, parked: None };
        buckets.entry(dice.below(40)).or_default().insert(key, entry);
    }
    let shard = |(bucket, entries): (u64, BTreeMap<ObjectKey, Entry>)| Shard {
        label: Label { term: 12, number: 40_000 + bucket },
        subscription: subscription('6'),
        bucket: bucket as u32,
        through: SEQ + (1 << 40),
        entries: entries.into_iter().collect(),
    };
    buckets.into_iter().map(shard).collect()
}

#[test]
fn an_entry_of_a_shard_takes_at_most_50_bytes() {
    let shards: Vec<Form> = shards().into_iter().map(Form::Shard).collect();
    let blobs: Vec<Vec<u8>> = shards.iter().map(encode).collect();
    let bytes: usize = blobs.iter().map(Vec::len).sum();
    let start = Instant::now();
    let entries: usize = blobs
        .iter()
        .map(|blob| match decode(blob) {
            Ok(Form::Shard(shard)) => shard.entries.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    let took = start.elapsed();
    println!("shards: {:.1} bytes an entry, {entries} entries decoded in {took:?}", bytes as f64 / entries as f64);
    assert_eq!(entries, 10_000);
    assert!(bytes <= 50 * entries, "{bytes} bytes for {entries} entries");
}

/// So many changes of as many objects, each acknowledged when a few later ones have been declared.
fn burst(changes: usize) -> Vec<Record> {
    let mut dice = Dice(2);
    let mut objects = objects(&mut dice, 40 * changes);
    let (mut rv, mut records) = (190_000_000, Vec::new());
    let mut push = |fact| {
        let seq = SEQ + records.len() as u64;
        records.push(Record { seq, subscription: subscription('6'), fact });
        seq
    };
    let mut flying = Vec::new();
    for _ in 0..changes {
        let (object, named) = objects.swap_remove(dice.below(objects.len() as u64) as usize);
        rv += dice.below(40);
        let fp = Fingerprint(dice.roll());
        let of = push(Fact::Sending { object: object.clone(), named, change: Change::Updated, rv, fp });
        flying.push((object, of, rv));
        if flying.len() > 8 {
            let (object, of, rv) = flying.swap_remove(dice.below(8) as usize);
            push(Fact::Ack { object, of, rv });
        }
    }
    for (object, of, rv) in flying {
        push(Fact::Ack { object, of, rv });
    }
    records
}

#[test]
fn a_change_takes_at_most_60_bytes_of_which_its_acknowledgement_is_about_ten() {
    for changes in [50, 2_000] {
        let records = burst(changes);
        let sent: Vec<Record> =
            records.iter().filter(|record| matches!(record.fact, Fact::Sending { .. })).cloned().collect();
        let (both, sendings) = (records_len(&records), records_len(&sent));
        let acks = (both - sendings) as f64 / changes as f64;
        let sendings = sendings as f64 / changes as f64;
        println!("{changes} changes: {sendings:.1} bytes a Sending, {acks:.1} an Ack");
        assert!(both <= 60 * changes, "{both} bytes for {changes} changes");
        assert!(acks <= 10.0);
    }
}

#[test]
fn a_head_with_a_tail_of_3_kilobytes_takes_less_than_8() {
    let mut tail = burst(60);
    while records_len(&tail) > 3_072 {
        tail.pop();
    }
    let segments = (0..128).map(|at| Label { term: 12, number: 30_000 + 3 * at }).collect();
    let head = Head { tail, segments, ..samples::head() };
    let length = encode_head(&head).len();
    println!("a Head with {} records and 128 segments: {length} bytes", head.tail.len());
    assert!(length <= 8_192);
}
