//! What is the same in a blob is the same in memory.

use std::sync::Arc;

use changehook_core::ledger::codec::{decode, encode};
use changehook_core::ledger::form::{Form, Segment, Shard};
use changehook_core::ledger::{Fact, Named};
use changehook_core::object::ObjectKey;

use crate::samples;

#[test]
fn records_share_subscriptions_objects_and_names() {
    let form = Form::Segment(Segment { label: samples::LABEL, records: samples::records() });
    let Ok(Form::Segment(Segment { records, .. })) = decode(&encode(&form)) else { panic!("not a segment") };
    assert!(Arc::ptr_eq(&records[0].subscription.uid, &records[11].subscription.uid));
    let sent: Vec<(&ObjectKey, &Named)> = records
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Sending { object, named, .. } | Fact::Adopt { object, named, .. } => Some((object, named)),
            _ => None,
        })
        .collect();
    let [(other, web), (first, api), (second, again)] = sent[..] else { panic!("{sent:?}") };
    assert!(Arc::ptr_eq(&first.uid, &second.uid) && Arc::ptr_eq(&api.name, &again.name));
    assert!(Arc::ptr_eq(&other.kind, &first.kind) && Arc::ptr_eq(&web.gvk, &api.gvk));
    assert!(Arc::ptr_eq(web.namespace.as_ref().unwrap(), api.namespace.as_ref().unwrap()));
}

#[test]
fn entries_share_kinds_namespaces_and_equal_names_side_by_side() {
    let mut shard = samples::shard();
    shard.entries[1].1.named = shard.entries[0].1.named.clone();
    let Ok(Form::Shard(Shard { entries, .. })) = decode(&encode(&Form::Shard(shard))) else { panic!("not a shard") };
    let [(one, first), (other, second), (odd, third)] = &entries[..] else { panic!("{entries:?}") };
    assert!(Arc::ptr_eq(&one.kind, &other.kind) && Arc::ptr_eq(&one.kind, &odd.kind));
    assert!(Arc::ptr_eq(&first.named.gvk, &third.named.gvk) && Arc::ptr_eq(&first.named.name, &second.named.name));
    assert!(Arc::ptr_eq(first.named.namespace.as_ref().unwrap(), second.named.namespace.as_ref().unwrap()));
}
