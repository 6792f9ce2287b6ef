//! Forms for property tests, chosen to hurt: texts that are or nearly are UUIDs, that repeat, are empty, or are too long to
//! be numbered; numbers at every edge; few objects mentioned often. The larger strategies are boxed: a test thread's stack
//! is too small for them.

use std::sync::Arc;

use changehook_core::ledger::form::{Directory, Form, Head, Index, IndexRef, Indexes, Label, Segment, Shard, ShardRef};
use changehook_core::ledger::{Acked, Entry, Fact, Loss, Mark, Named, Parked, Recipe, Record, Requests, Sending};
use changehook_core::object::{Fingerprint, GroupKind, Gvk, ObjectKey, SourceId};
use changehook_core::outcome::Class;
use changehook_core::plan::{Change, SubscriptionId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::hex;

pub fn text() -> BoxedStrategy<String> {
    let known = vec![
        "",
        "a",
        "apps",
        "é",
        "ê",
        "ConfigMap",
        "kube-root-ca.crt",
        "kube-root-ca.crt-2",
        "0123456789abcdef0123456789abcdef",
        "6f1c2a4e-0b3d-4c5e-8f70-112233445566",
        "6F1C2A4E-0B3D-4C5E-8F70-112233445566",
        "6f1c2a4e-0b3d-4c5e-8f70-11223344556g",
        "6f1c2a4e-0b3d-4c5e-8f70-1122334455667",
        "6f1c2a4e00b3d-4c5e-8f70-112233445566",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "00000000-0000-0000-0000-000000000000",
        "------------------------------------",
    ];
    prop_oneof![
        6 => select(known).prop_map(str::to_owned),
        2 => any::<[u8; 16]>().prop_map(uuid),
        2 => "\\PC{0,12}",
        1 => vec(any::<char>(), 0..6).prop_map(String::from_iter),
        // around the lengths where a name stops to share and a text to be numbered, and a second byte of length begins
        2 => (select(vec![125_usize, 126, 127, 128, 129, 254, 255, 256, 300]), select(vec!["x", "é", "y"]))
            .prop_map(|(length, end)| format!("{}{end}", "x".repeat(length))),
    ]
    .boxed()
}

/// A canonical UUID.
pub fn uuid(bytes: [u8; 16]) -> String {
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn shared() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Arc::from)
}

pub fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..300,
        2 => (0_u32..64, -2_i64..3).prop_map(|(bits, around)| (1_u64 << bits).wrapping_add(around as u64)),
        2 => select(vec![0, 1, u64::MAX, u64::MAX - 1, i64::MAX as u64, 1 << 63, 1 << 53, 3_731_590_134_923_271]),
        2 => any::<u64>(),
    ]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..10, any::<u32>(), Just(u32::MAX)]
}

fn subscription() -> impl Strategy<Value = SubscriptionId> {
    shared().prop_map(|uid| SubscriptionId { uid })
}

fn gvk() -> impl Strategy<Value = Gvk> {
    let known =
        vec![Gvk::new("v1", "ConfigMap"), Gvk::new("apps/v1", "Deployment"), Gvk::new("apps/v1beta1", "Deployment")];
    let odd = (text(), text(), text()).prop_map(|(group, version, kind)| Gvk { group, version, kind });
    prop_oneof![4 => select(known), 1 => odd]
}

fn kind() -> impl Strategy<Value = Arc<GroupKind>> {
    gvk().prop_map(|gvk| Arc::new(gvk.group_kind()))
}

fn object() -> BoxedStrategy<ObjectKey> {
    (kind(), shared()).prop_map(|(kind, uid)| ObjectKey { kind, uid }).boxed()
}

fn named() -> BoxedStrategy<Named> {
    (gvk(), option::of(shared()), shared())
        .prop_map(|(gvk, namespace, name)| Named { gvk: Arc::new(gvk), namespace, name })
        .boxed()
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    number().prop_map(Fingerprint)
}

fn change() -> impl Strategy<Value = Change> {
    select(vec![Change::New, Change::Updated, Change::Removed])
}

fn class() -> impl Strategy<Value = Class> {
    select(vec![Class::Endpoint, Class::Event])
}

fn recipe() -> impl Strategy<Value = Recipe> {
    (small(), any::<bool>()).prop_map(|(scheme, constant)| Recipe { scheme, constant })
}

fn requests() -> impl Strategy<Value = Requests> {
    (option::of(shared()), option::of(shared()))
        .prop_map(|(request_id, requested_at)| Requests { request_id, requested_at })
}

fn fact() -> BoxedStrategy<Fact> {
    prop_oneof![
        (object(), named(), change(), number(), fingerprint())
            .prop_map(|(object, named, change, rv, fp)| Fact::Sending { object, named, change, rv, fp }),
        (object(), number(), number()).prop_map(|(object, of, rv)| Fact::Ack { object, of, rv }),
        (object(), number()).prop_map(|(object, of)| Fact::Drop { object, of }),
        (object(), number(), class(), number()).prop_map(|(object, of, class, config_hash)| Fact::Park {
            object,
            of,
            class,
            config_hash
        }),
        object().prop_map(|object| Fact::Release { object }),
        (object(), named(), number(), fingerprint()).prop_map(|(object, named, rv, fp)| Fact::Adopt {
            object,
            named,
            rv,
            fp
        }),
        (object(), named()).prop_map(|(object, named)| Fact::Owe { object, named }),
        (kind(), number(), any::<bool>()).prop_map(|(kind, rv, open)| Fact::Mark { kind, rv, open }),
        kind().prop_map(|kind| Fact::Unmark { kind }),
        (any::<bool>(), requests()).prop_map(|(all, requests)| Fact::Resync { all, requests }),
        recipe().prop_map(|recipe| Fact::Recipe { recipe }),
        Just(Fact::Rewind),
        loss().prop_map(|loss| Fact::Lost { loss }),
        Just(Fact::Forget),
    ]
    .boxed()
}

pub fn record() -> impl Strategy<Value = Record> {
    (number(), subscription(), fact()).prop_map(|(seq, subscription, fact)| Record { seq, subscription, fact })
}

/// Any records; or as they are written, one after the other, about few objects whose names mostly stay.
pub fn records() -> BoxedStrategy<Vec<Record>> {
    let few = (vec((object(), named()), 1..4), vec((record(), any::<prop::sample::Index>()), 0..16), any::<u32>());
    let in_order = few.prop_map(|(objects, records, first)| {
        let numbered = (u64::from(first)..).zip(records);
        numbered.map(|(seq, (record, at))| about(Record { seq, ..record }, at.get(&objects))).collect()
    });
    prop_oneof![vec(record(), 0..8), in_order].boxed()
}

fn about(mut record: Record, (which, names): &(ObjectKey, Named)) -> Record {
    match &mut record.fact {
        Fact::Sending { object, named, .. } | Fact::Adopt { object, named, .. } | Fact::Owe { object, named } => {
            object.clone_from(which);
            named.clone_from(names);
        }
        Fact::Ack { object, .. } | Fact::Drop { object, .. } | Fact::Park { object, .. } | Fact::Release { object } => {
            object.clone_from(which);
        }
        Fact::Mark { .. }
        | Fact::Unmark { .. }
        | Fact::Resync { .. }
        | Fact::Recipe { .. }
        | Fact::Rewind
        | Fact::Lost { .. }
        | Fact::Forget => {}
    }
    record
}

fn loss() -> impl Strategy<Value = Option<Loss>> {
    select(vec![None, Some(Loss::Missing), Some(Loss::Corrupt), Some(Loss::Foreign), Some(Loss::Outdated)])
}

fn label() -> impl Strategy<Value = Label> {
    (number(), number()).prop_map(|(term, number)| Label { term, number })
}

fn index_refs() -> BoxedStrategy<Vec<IndexRef>> {
    vec((subscription(), label()).prop_map(|(subscription, label)| IndexRef { subscription, label }), 0..6).boxed()
}

fn head() -> BoxedStrategy<Head> {
    let source = (gvk(), option::of(text())).prop_map(|(gvk, namespace)| SourceId { gvk, namespace });
    let indexes = prop_oneof![index_refs().prop_map(Indexes::Inline), label().prop_map(Indexes::Elsewhere)];
    let lists = (vec((source, number()), 0..6), vec(label(), 0..6), indexes, records());
    ((text(), text()), (vec(number(), 4), loss()), lists)
        .prop_map(|((cluster, own), (numbers, loss), (sources, segments, indexes, tail))| {
            let [holder, term, commit, seq] = numbers.try_into().unwrap();
            Head { cluster, own, holder, term, commit, seq, sources, segments, indexes, loss, tail }
        })
        .boxed()
}

fn index() -> BoxedStrategy<Index> {
    let mark = (number(), any::<bool>()).prop_map(|(rv, open)| Mark { rv, open });
    let bucket = option::of((label(), small()).prop_map(|(label, count)| ShardRef { label, count }));
    let lists = (vec((kind(), mark), 0..4), vec((number(), recipe()), 0..5), vec(bucket, 0..9));
    (label(), subscription(), number(), number(), (requests(), loss()), lists)
        .prop_map(|(label, subscription, through, resync, (requests, loss), (marks, recipes, buckets))| Index {
            label,
            subscription,
            through,
            marks,
            resync,
            requests,
            recipes,
            loss,
            buckets,
        })
        .boxed()
}

fn entry() -> BoxedStrategy<Entry> {
    let acked = (number(), number(), fingerprint()).prop_map(|(seq, rv, fp)| Acked { seq, rv, fp });
    let sending =
        (number(), change(), number(), fingerprint()).prop_map(|(seq, change, rv, fp)| Sending { seq, change, rv, fp });
    let parked = (number(), class(), number()).prop_map(|(of, class, config_hash)| Parked { of, class, config_hash });
    (named(), option::of(acked), option::of(sending), option::of(parked))
        .prop_map(|(named, acked, sending, parked)| Entry { named, acked, sending, parked })
        .boxed()
}

/// Mostly in order of its keys, as shards are written, but it has to be right for any order.
fn shard() -> BoxedStrategy<Shard> {
    let any_order = vec((object(), entry()), 0..8);
    let in_order = prop::collection::btree_map(object(), entry(), 0..8).prop_map(Vec::from_iter);
    let entries = prop_oneof![1 => any_order, 3 => in_order];
    (label(), subscription(), small(), number(), entries)
        .prop_map(|(label, subscription, bucket, through, entries)| Shard {
            label,
            subscription,
            bucket,
            through,
            entries,
        })
        .boxed()
}

pub fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        head().prop_map(Form::Head),
        (label(), records()).prop_map(|(label, records)| Form::Segment(Segment { label, records })),
        (label(), index_refs()).prop_map(|(label, indexes)| Form::Directory(Directory { label, indexes })),
        index().prop_map(Form::Index),
        shard().prop_map(Form::Shard),
    ]
}
