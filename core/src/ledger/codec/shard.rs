//! The body of a Shard.
//!
//! Touches nothing. Invariants: entries in order of their keys, which all are that we write, are stored in order of their
//! names, which are then mostly as the one before, and put back in order when read; others stay as they are.

use std::cmp::Ordering;
use std::sync::Arc;

use super::CodecError;
use super::bytes::parse_uuid;
use super::shared::{Place, Reader, Writer, change_code, change_of, class_code, class_of};
use crate::ledger::form::Shard;
use crate::ledger::{Acked, Entry, Named, Parked, Sending};
use crate::object::{Fingerprint, GroupKind, ObjectKey};
use crate::plan::{Change, SubscriptionId};

/// An entry's first byte, its uid, and its name, which is two.
const LEAST_ENTRY: usize = 4;

/// In an entry's first byte: what it has.
const ACKED: u8 = 0x01;
const SENDING: u8 = 0x02;
const PARKED: u8 = 0x04;
/// Kind, version and namespace are those of the entry before.
const SAME_PLACE: u8 = 0x08;
/// What is being sent.
const CHANGE: u8 = 0x30;
const CHANGE_SHIFT: u32 = 4;
/// Whose trouble it was.
const CLASS: u8 = 0x40;
const CLASS_SHIFT: u32 = 6;
/// The uid is no canonical UUID.
const ODD_UID: u8 = 0x80;

pub(super) fn write<'a>(writer: &mut Writer<'a>, shard: &'a Shard) {
    let Shard { label, subscription, bucket, through, entries } = shard;
    writer.label(*label);
    writer.text(&subscription.uid);
    writer.out.number(u64::from(*bucket));
    writer.out.number(*through);
    writer.seqs_follow(*through);
    let in_order = entries.is_sorted_by(|one, next| by_key(one, next).is_lt());
    let mut stored: Vec<&(ObjectKey, Entry)> = entries.iter().collect();
    if in_order {
        stored.sort_by(|one, other| by_name(one, other));
    }
    writer.out.flag(in_order);
    writer.out.length(stored.len());
    let mut before = None;
    for (key, entry) in stored {
        let place = (&*key.kind, &*entry.named.gvk, entry.named.namespace.as_deref());
        write_entry(writer, key, entry, before == Some(place));
        before = Some(place);
    }
}

fn by_key((one, _): &(ObjectKey, Entry), (other, _): &(ObjectKey, Entry)) -> Ordering {
    shared_cmp(&one.kind, &other.kind).then_with(|| one.uid.cmp(&other.uid))
}

fn by_name((key, entry): &(ObjectKey, Entry), (other_key, other_entry): &(ObjectKey, Entry)) -> Ordering {
    let (named, other_named) = (&entry.named, &other_entry.named);
    let namespaces = || match (&named.namespace, &other_named.namespace) {
        (Some(one), Some(other)) => shared_cmp(one, other),
        (one, other) => one.cmp(other),
    };
    let kinds = shared_cmp(&key.kind, &other_key.kind);
    kinds.then_with(namespaces).then_with(|| named.name.cmp(&other_named.name))
}

/// What is the same in memory need not be looked into: without this, sorting takes longer than all the rest.
fn shared_cmp<T: Ord + ?Sized>(one: &Arc<T>, other: &Arc<T>) -> Ordering {
    if Arc::ptr_eq(one, other) { Ordering::Equal } else { one.cmp(other) }
}

fn write_entry<'a>(writer: &mut Writer<'a>, key: &'a ObjectKey, entry: &'a Entry, same_place: bool) {
    let Entry { named, acked, sending, parked } = entry;
    let change = sending.map_or(0, |sending| change_code(sending.change));
    let class = parked.map_or(0, |parked| class_code(parked.class));
    let has = |is: bool, bit: u8| if is { bit } else { 0 };
    let states = has(acked.is_some(), ACKED) | has(sending.is_some(), SENDING) | has(parked.is_some(), PARKED);
    let uuid = parse_uuid(&key.uid);
    let flags = has(same_place, SAME_PLACE) | has(uuid.is_none(), ODD_UID);
    writer.out.byte(states | flags | change << CHANGE_SHIFT | class << CLASS_SHIFT);
    if !same_place {
        writer.kind(&key.kind);
        writer.place(&named.gvk, named.namespace.as_deref());
    }
    writer.out.uid(&key.uid, uuid);
    writer.name(&named.name);
    if let Some(Acked { seq, rv, fp }) = acked {
        writer.seq(*seq);
        writer.rv(*rv);
        writer.out.eight(fp.0);
    }
    if let Some(Sending { seq, change: _, rv, fp }) = sending {
        writer.seq(*seq);
        writer.rv(*rv);
        writer.out.eight(fp.0);
    }
    if let Some(Parked { of, class: _, config_hash }) = parked {
        writer.of(*of);
        writer.hash(*config_hash);
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Shard, CodecError> {
    let (label, subscription) = (reader.label()?, SubscriptionId { uid: reader.text()? });
    let (bucket, through) = (reader.input.small()?, reader.input.number()?);
    reader.seqs_follow(through);
    let in_order = reader.input.flag()?;
    let mut place = None;
    let mut entries = reader.list(LEAST_ENTRY, |reader| read_entry(reader, &mut place))?;
    if in_order {
        entries.sort_unstable_by(by_key);
        if !entries.is_sorted_by(|one, next| by_key(one, next).is_lt()) {
            return Err(CodecError::Invalid("a shard has two entries for one object"));
        }
    }
    Ok(Shard { label, subscription, bucket, through, entries })
}

fn read_entry(
    reader: &mut Reader<'_>,
    before: &mut Option<(Arc<GroupKind>, Place)>,
) -> Result<(ObjectKey, Entry), CodecError> {
    let first = reader.input.byte()?;
    let has = |bit| first & bit != 0;
    let (change, class) = (change_of((first & CHANGE) >> CHANGE_SHIFT)?, class_of((first & CLASS) >> CLASS_SHIFT)?);
    if change != Change::New && !has(SENDING) || has(CLASS) && !has(PARKED) {
        return Err(CodecError::Invalid("an entry's first byte says what it does not have"));
    }
    if !has(SAME_PLACE) {
        *before = Some((reader.kind()?, reader.place()?));
    }
    let place = before.clone().ok_or(CodecError::Invalid("there is no entry before"))?;
    let (kind, (gvk, namespace)) = place;
    let key = ObjectKey { kind, uid: reader.input.uid(has(ODD_UID))? };
    let named = Named { gvk, namespace, name: reader.name()? };
    let acked = if has(ACKED) {
        Some(Acked { seq: reader.seq()?, rv: reader.rv()?, fp: Fingerprint(reader.input.eight()?) })
    } else {
        None
    };
    let sending = if has(SENDING) {
        Some(Sending { seq: reader.seq()?, change, rv: reader.rv()?, fp: Fingerprint(reader.input.eight()?) })
    } else {
        None
    };
    let parked = if has(PARKED) { Some(Parked { of: reader.of()?, class, config_hash: reader.hash()? }) } else { None };
    Ok((key, Entry { named, acked, sending, parked }))
}
