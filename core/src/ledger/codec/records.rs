//! A list of records: an object is spelled out when it is first mentioned and has a number from then on, and so have its
//! names.
//!
//! Touches nothing. Invariants: a list refers to nothing outside of itself, if it comes first in its blob, so it has the
//! same bytes in a Head and in a Segment; every bit of a record's first byte means something or is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::CodecError;
use super::bytes::{LONGEST_NUMBER, flag, parse_uuid};
use super::shared::{Reader, Writer, change_code, change_of, class_code, class_of, loss_code, loss_of};
use crate::ledger::{Fact, Named, Recipe, Record, Requests};
use crate::object::{Fingerprint, GroupKind, ObjectKey};
use crate::plan::SubscriptionId;

/// A record has its first byte and its sequence, whatever it says.
const LEAST_RECORD: usize = 2;

const SENDING: u8 = 1;
const ACK: u8 = 2;
const DROP: u8 = 3;
const PARK: u8 = 4;
const RELEASE: u8 = 5;
const ADOPT: u8 = 6;
const OWE: u8 = 7;
const MARK: u8 = 8;
const UNMARK: u8 = 9;
const RESYNC: u8 = 10;
const RECIPE: u8 = 11;
const REWIND: u8 = 12;
const FORGET: u8 = 13;
const LOST: u8 = 14;

/// In a record's first byte, whose low four bits are the fact: the subscription is that of the record before.
const SAME_SUBSCRIPTION: u8 = 0x10;
/// What else the fact says in two bits.
const DETAIL: u8 = 0x60;
const DETAIL_SHIFT: u32 = 5;
/// The object's names are those it had when they were last told.
const SAME_NAMES: u8 = 0x80;

/// Numbers of objects that are spelled out: these two bits say how. Those that have been are numbered from here.
const NEW_KIND: u64 = 1;
const ODD_UID: u64 = 2;
const FIRST_KNOWN: u64 = 4;

/// How many bytes these records take in a Head's tail.
pub fn records_len(records: &[Record]) -> usize {
    let mut writer = Writer::default();
    write(&mut writer, records);
    writer.out.done().len()
}

/// At most so many bytes a record takes in a list, whatever is around it.
pub fn record_bound(record: &Record) -> usize {
    const NUMBER: usize = LONGEST_NUMBER;
    // what is counted in memory, lengths and mentions, stays below 2³⁵
    const COUNT: usize = 5;
    let text_bound = |text: &str| 2 * COUNT + text.len();
    let kind_bound = |kind: &GroupKind| 3 * COUNT + kind.group.len() + kind.kind.len();
    let object_bound = |object: &ObjectKey| COUNT + kind_bound(&object.kind) + text_bound(&object.uid);
    let names_bound = |Named { gvk, namespace, name }: &Named| {
        let gvk = 4 * COUNT + gvk.group.len() + gvk.version.len() + gvk.kind.len();
        COUNT + gvk + namespace.as_deref().map_or(1, text_bound) + text_bound(name)
    };
    let fact = match &record.fact {
        Fact::Sending { object, named, fp, .. } | Fact::Adopt { object, named, fp, .. } => {
            object_bound(object) + names_bound(named) + NUMBER + size_of_val(fp)
        }
        Fact::Ack { object, .. } => object_bound(object) + 2 * NUMBER,
        Fact::Drop { object, .. } => object_bound(object) + NUMBER,
        Fact::Park { object, config_hash, .. } => object_bound(object) + NUMBER + COUNT + size_of_val(config_hash),
        Fact::Release { object } => object_bound(object),
        Fact::Owe { object, named } => object_bound(object) + names_bound(named),
        Fact::Mark { kind, .. } => kind_bound(kind) + NUMBER,
        Fact::Unmark { kind } => kind_bound(kind),
        Fact::Resync { requests: Requests { request_id, requested_at }, .. } => {
            [request_id, requested_at].map(|text| text.as_deref().map_or(1, text_bound)).iter().sum()
        }
        Fact::Recipe { .. } => COUNT,
        Fact::Rewind | Fact::Forget => 0,
        Fact::Lost { .. } => 1,
    };
    let first_byte = 1;
    first_byte + NUMBER + text_bound(&record.subscription.uid) + fact
}

/// What has been mentioned in the list.
#[derive(Default)]
struct Mentioned<'a> {
    subscription: Option<&'a SubscriptionId>,
    kind: Option<&'a GroupKind>,
    objects: BTreeMap<(&'a str, &'a GroupKind), (u64, Option<&'a Named>)>,
}

pub(super) fn write<'a>(writer: &mut Writer<'a>, records: &'a [Record]) {
    writer.out.length(records.len());
    let mut mentioned = Mentioned::default();
    writer.seqs_follow(0);
    for record in records {
        write_record(writer, &mut mentioned, record);
    }
}

fn write_record<'a>(writer: &mut Writer<'a>, mentioned: &mut Mentioned<'a>, record: &'a Record) {
    let (fact, detail, names) = match &record.fact {
        Fact::Sending { object, named, change, .. } => (SENDING, change_code(*change), Some((object, named))),
        Fact::Ack { .. } => (ACK, 0, None),
        Fact::Drop { .. } => (DROP, 0, None),
        Fact::Park { class, .. } => (PARK, class_code(*class), None),
        Fact::Release { .. } => (RELEASE, 0, None),
        Fact::Adopt { object, named, .. } => (ADOPT, 0, Some((object, named))),
        Fact::Owe { object, named } => (OWE, 0, Some((object, named))),
        Fact::Mark { open, .. } => (MARK, u8::from(*open), None),
        Fact::Unmark { .. } => (UNMARK, 0, None),
        Fact::Resync { all, .. } => (RESYNC, u8::from(*all), None),
        Fact::Recipe { recipe } => (RECIPE, u8::from(recipe.constant), None),
        Fact::Rewind => (REWIND, 0, None),
        Fact::Forget => (FORGET, 0, None),
        Fact::Lost { .. } => (LOST, 0, None),
    };
    let same_subscription = mentioned.subscription == Some(&record.subscription);
    let same_names = names.is_some_and(|(object, named)| {
        mentioned.objects.get(&(&*object.uid, &*object.kind)).is_some_and(|(_, told)| *told == Some(named))
    });
    let flags = if same_subscription { SAME_SUBSCRIPTION } else { 0 } | if same_names { SAME_NAMES } else { 0 };
    writer.out.byte(fact | detail << DETAIL_SHIFT | flags);
    writer.seq(record.seq);
    if !same_subscription {
        writer.text(&record.subscription.uid);
        mentioned.subscription = Some(&record.subscription);
    }
    match &record.fact {
        Fact::Sending { object, named, rv, fp, change: _ } | Fact::Adopt { object, named, rv, fp } => {
            write_named(writer, mentioned, object, named, same_names);
            writer.rv(*rv);
            writer.out.eight(fp.0);
        }
        Fact::Ack { object, of, rv } => {
            write_object(writer, mentioned, object);
            writer.of(*of);
            writer.rv(*rv);
        }
        Fact::Drop { object, of } => {
            write_object(writer, mentioned, object);
            writer.of(*of);
        }
        Fact::Park { object, of, class: _, config_hash } => {
            write_object(writer, mentioned, object);
            writer.of(*of);
            writer.hash(*config_hash);
        }
        Fact::Release { object } => {
            write_object(writer, mentioned, object);
        }
        Fact::Owe { object, named } => write_named(writer, mentioned, object, named, same_names),
        Fact::Mark { kind, rv, open: _ } => {
            writer.kind(kind);
            writer.rv(*rv);
        }
        Fact::Unmark { kind } => writer.kind(kind),
        Fact::Resync { all: _, requests } => write_requests(writer, requests),
        Fact::Recipe { recipe } => writer.out.number(u64::from(recipe.scheme)),
        Fact::Rewind | Fact::Forget => {}
        Fact::Lost { loss } => writer.out.byte(loss_code(*loss)),
    }
}

fn write_named<'a>(
    writer: &mut Writer<'a>,
    mentioned: &mut Mentioned<'a>,
    object: &'a ObjectKey,
    named: &'a Named,
    same: bool,
) {
    let told = write_object(writer, mentioned, object);
    if !same {
        *told = Some(named);
        writer.place(&named.gvk, named.namespace.as_deref());
        writer.name(&named.name);
    }
}

/// Returns where the object's names are kept.
fn write_object<'a, 'm>(
    writer: &mut Writer<'a>,
    mentioned: &'m mut Mentioned<'a>,
    object: &'a ObjectKey,
) -> &'m mut Option<&'a Named> {
    let next = mentioned.objects.len() as u64 + FIRST_KNOWN;
    let (number, told) = mentioned.objects.entry((&object.uid, &object.kind)).or_insert((next, None));
    if *number != next {
        writer.out.number(*number);
        return told;
    }
    let (new_kind, uuid) = (mentioned.kind != Some(&object.kind), parse_uuid(&object.uid));
    writer.out.number(if new_kind { NEW_KIND } else { 0 } | if uuid.is_none() { ODD_UID } else { 0 });
    if new_kind {
        writer.kind(&object.kind);
        mentioned.kind = Some(&object.kind);
    }
    writer.out.uid(&object.uid, uuid);
    told
}

pub(super) fn write_requests(writer: &mut Writer<'_>, requests: &Requests) {
    writer.out.optional_text(requests.request_id.as_deref());
    writer.out.optional_text(requests.requested_at.as_deref());
}

/// What has been mentioned in the list.
#[derive(Default)]
struct Known {
    subscription: Option<SubscriptionId>,
    kind: Option<Arc<GroupKind>>,
    objects: Vec<(ObjectKey, Option<Named>)>,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Vec<Record>, CodecError> {
    let mut known = Known::default();
    reader.seqs_follow(0);
    reader.list(LEAST_RECORD, |reader| read_record(reader, &mut known))
}

fn read_record(reader: &mut Reader<'_>, known: &mut Known) -> Result<Record, CodecError> {
    let first = reader.input.byte()?;
    let (detail, same_names) = ((first & DETAIL) >> DETAIL_SHIFT, first & SAME_NAMES != 0);
    let seq = reader.seq()?;
    let subscription = match &known.subscription {
        Some(before) if first & SAME_SUBSCRIPTION != 0 => before.clone(),
        None if first & SAME_SUBSCRIPTION != 0 => return Err(CodecError::Invalid("there is no record before")),
        _ => SubscriptionId { uid: reader.text()? },
    };
    known.subscription = Some(subscription.clone());
    // What a fact does not use has to be zero.
    let code = first & 0xf;
    let has_detail = matches!(code, SENDING | PARK | MARK | RESYNC | RECIPE);
    let has_names = matches!(code, SENDING | ADOPT | OWE);
    if detail != 0 && !has_detail || same_names && !has_names {
        return Err(CodecError::Invalid("a record's first byte says what its fact does not know"));
    }
    let fact = match code {
        SENDING => {
            let (object, named) = read_named(reader, known, same_names)?;
            let (change, rv, fp) = (change_of(detail)?, reader.rv()?, Fingerprint(reader.input.eight()?));
            Fact::Sending { object, named, change, rv, fp }
        }
        ACK => Fact::Ack { object: read_key(reader, known)?, of: reader.of()?, rv: reader.rv()? },
        DROP => Fact::Drop { object: read_key(reader, known)?, of: reader.of()? },
        PARK => {
            let (object, of) = (read_key(reader, known)?, reader.of()?);
            Fact::Park { object, of, class: class_of(detail)?, config_hash: reader.hash()? }
        }
        RELEASE => Fact::Release { object: read_key(reader, known)? },
        ADOPT => {
            let (object, named) = read_named(reader, known, same_names)?;
            Fact::Adopt { object, named, rv: reader.rv()?, fp: Fingerprint(reader.input.eight()?) }
        }
        OWE => {
            let (object, named) = read_named(reader, known, same_names)?;
            Fact::Owe { object, named }
        }
        MARK => Fact::Mark { kind: reader.kind()?, rv: reader.rv()?, open: flag(detail)? },
        UNMARK => Fact::Unmark { kind: reader.kind()? },
        RESYNC => Fact::Resync { all: flag(detail)?, requests: read_requests(reader)? },
        RECIPE => Fact::Recipe { recipe: Recipe { scheme: reader.input.small()?, constant: flag(detail)? } },
        REWIND => Fact::Rewind,
        FORGET => Fact::Forget,
        LOST => Fact::Lost { loss: loss_of(reader.input.byte()?)? },
        _ => return Err(CodecError::Invalid("there is no such fact")),
    };
    Ok(Record { seq, subscription, fact })
}

fn read_key(reader: &mut Reader<'_>, known: &mut Known) -> Result<ObjectKey, CodecError> {
    read_object(reader, known).map(|(object, _)| object.clone())
}

fn read_named(reader: &mut Reader<'_>, known: &mut Known, same: bool) -> Result<(ObjectKey, Named), CodecError> {
    let (object, told) = read_object(reader, known)?;
    let named = if same {
        told.clone().ok_or(CodecError::Invalid("an object's names were not told before"))?
    } else {
        let (gvk, namespace) = reader.place()?;
        let named = Named { gvk, namespace, name: reader.name()? };
        *told = Some(named.clone());
        named
    };
    Ok((object.clone(), named))
}

fn read_object<'k>(
    reader: &mut Reader<'_>,
    known: &'k mut Known,
) -> Result<&'k mut (ObjectKey, Option<Named>), CodecError> {
    let number = reader.input.number()?;
    let at = if let Some(known) = number.checked_sub(FIRST_KNOWN) {
        usize::try_from(known).unwrap_or(usize::MAX)
    } else {
        if number & NEW_KIND != 0 {
            known.kind = Some(reader.kind()?);
        }
        let kind = known.kind.clone().ok_or(CodecError::Invalid("there is no object before"))?;
        known.objects.push((ObjectKey { kind, uid: reader.input.uid(number & ODD_UID != 0)? }, None));
        known.objects.len() - 1
    };
    known.objects.get_mut(at).ok_or(CodecError::Invalid("an object was not mentioned before"))
}

pub(super) fn read_requests(reader: &mut Reader<'_>) -> Result<Requests, CodecError> {
    Ok(Requests { request_id: reader.input.optional_text()?, requested_at: reader.input.optional_text()? })
}
