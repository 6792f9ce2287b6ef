//! One small sample of each form; between them they have every fact and every state of an entry.

use std::sync::Arc;

use changehook_core::ledger::form::{Directory, Form, Head, Index, IndexRef, Indexes, Label, Segment, Shard, ShardRef};
use changehook_core::ledger::{Acked, Entry, Fact, Loss, Mark, Named, Parked, Recipe, Record, Requests, Sending};
use changehook_core::object::{Fingerprint, Gvk, ObjectKey, SourceId};
use changehook_core::outcome::Class;
use changehook_core::plan::{Change, SubscriptionId};

pub const LABEL: Label = Label { term: 7, number: 300 };
pub const SEQ: u64 = 3_731_590_134_923_271;

pub fn subscription(last: char) -> SubscriptionId {
    SubscriptionId { uid: format!("6f1c2a4e-0b3d-4c5e-8f70-11223344556{last}").into() }
}

pub fn object(uid: &str) -> ObjectKey {
    ObjectKey { kind: Arc::new(Gvk::new("apps/v1", "Deployment").group_kind()), uid: uid.into() }
}

pub fn named(namespace: Option<&str>, name: &str) -> Named {
    Named { gvk: Arc::new(Gvk::new("apps/v1", "Deployment")), namespace: namespace.map(Arc::from), name: name.into() }
}

const API: &str = "0a0b0c0d-1111-4222-8333-444455556666";

/// A record of each kind.
pub fn records() -> Vec<Record> {
    let api = || object(API);
    let kind = Arc::new(Gvk::new("v1", "ConfigMap").group_kind());
    let requests = Requests { request_id: Some("again".into()), requested_at: None };
    let facts = vec![
        Fact::Mark { kind: Arc::clone(&kind), rv: 41_000, open: true },
        Fact::Recipe { recipe: Recipe { scheme: 2, constant: true } },
        Fact::Owe { object: object("not-a-uuid"), named: named(None, "web") },
        Fact::Adopt { object: object("other"), named: named(Some("shop"), "web-2"), rv: 40_999, fp: Fingerprint(9) },
        Fact::Sending {
            object: api(),
            named: named(Some("shop"), "api"),
            change: Change::Updated,
            rv: 41_003,
            fp: Fingerprint(0x0102_0304_0506_0708),
        },
        Fact::Ack { object: api(), of: SEQ + 4, rv: 41_004 },
        Fact::Sending {
            object: api(),
            named: named(Some("shop"), "api"),
            change: Change::Removed,
            rv: 41_010,
            fp: Fingerprint(0),
        },
        Fact::Park { object: api(), of: SEQ + 6, class: Class::Event, config_hash: 0xfeed },
        Fact::Release { object: api() },
        Fact::Drop { object: api(), of: SEQ + 6 },
        Fact::Unmark { kind },
        Fact::Resync { all: true, requests },
        Fact::Rewind,
        Fact::Lost { loss: Some(Loss::Outdated) },
        Fact::Forget,
    ];
    let whose = |at: usize| subscription(if at < 12 { '6' } else { '7' });
    let numbered = facts.into_iter().enumerate();
    numbered.map(|(at, fact)| Record { seq: SEQ + at as u64, subscription: whose(at), fact }).collect()
}

pub fn head() -> Head {
    Head {
        cluster: "c1c1c1c1-2222-4333-8444-555566667777".to_owned(),
        own: "d2d2d2d2-2222-4333-8444-555566667777".to_owned(),
        holder: 0x1122_3344_5566_7788,
        term: 7,
        commit: 1_234,
        seq: SEQ + 20,
        sources: vec![
            (SourceId { gvk: Gvk::new("apps/v1", "Deployment"), namespace: None }, 41_010),
            (SourceId { gvk: Gvk::new("apps/v1", "Deployment"), namespace: Some("shop".to_owned()) }, 41_003),
        ],
        segments: vec![Label { term: 6, number: 2 }, LABEL, Label { term: 7, number: 301 }],
        indexes: Indexes::Inline(vec![
            IndexRef { subscription: subscription('6'), label: Label { term: 7, number: 290 } },
            IndexRef { subscription: subscription('8'), label: Label { term: 6, number: 1 } },
        ]),
        loss: Some(Loss::Outdated),
        tail: records().split_off(4),
    }
}

pub fn shard() -> Shard {
    let acked = Some(Acked { seq: SEQ - 5, rv: 40_000, fp: Fingerprint(0x0102_0304_0506_0708) });
    let sending = Some(Sending { seq: SEQ - 3, change: Change::Removed, rv: 40_500, fp: Fingerprint(0) });
    let parked = Some(Parked { of: SEQ - 3, class: Class::Event, config_hash: 0xfeed });
    let entry =
        |namespace, name, acked, sending, parked| Entry { named: named(namespace, name), acked, sending, parked };
    Shard {
        label: LABEL,
        subscription: subscription('6'),
        bucket: 5,
        through: SEQ,
        entries: vec![
            (object(API), entry(Some("shop"), "web-2", acked, None, None)),
            (object("1a0b0c0d-1111-4222-8333-444455556666"), entry(Some("shop"), "web-1", acked, sending, parked)),
            (object("odd"), entry(None, "", None, None, None)),
        ],
    }
}

pub fn all() -> Vec<(&'static str, Form)> {
    let index = Index {
        label: LABEL,
        subscription: subscription('6'),
        through: SEQ,
        marks: vec![(Arc::new(Gvk::new("apps/v1", "Deployment").group_kind()), Mark { rv: 41_000, open: true })],
        resync: 77,
        requests: Requests { request_id: None, requested_at: Some("2026-01-01T00:00:00Z".into()) },
        recipes: vec![
            (SEQ - 100, Recipe { scheme: 1, constant: false }),
            (SEQ - 90, Recipe { scheme: 1, constant: true }),
        ],
        loss: Some(Loss::Missing),
        buckets: vec![Some(ShardRef { label: Label { term: 7, number: 280 }, count: 249 }), None],
    };
    let indexes = vec![IndexRef { subscription: subscription('6'), label: Label { term: 7, number: 290 } }];
    vec![
        ("head", Form::Head(head())),
        ("head without anything", Form::Head(Head { indexes: Indexes::Elsewhere(LABEL), ..Head::default() })),
        ("segment", Form::Segment(Segment { label: LABEL, records: records() })),
        ("directory", Form::Directory(Directory { label: LABEL, indexes })),
        ("index", Form::Index(index)),
        ("shard", Form::Shard(shard())),
    ]
}
