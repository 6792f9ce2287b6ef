//! What is not as it was written is an error, and nothing else.

use changehook_core::ledger::codec::{CodecError, FORMAT, decode, encode};
use changehook_core::ledger::form::Form;
use proptest::prelude::*;

use crate::{arbitrary, samples};

/// Magic, format and role.
const HEADER: usize = 9;
const SUM: usize = 4;

/// The blob whose role and body these are, with a right checksum.
fn sealed(role: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"chlg".to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.push(role);
    bytes.extend(body);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn invalid(role: u8, body: &[u8]) -> &'static str {
    match decode(&sealed(role, body)) {
        Err(CodecError::Invalid(what)) => what,
        other => panic!("{other:?}"),
    }
}

/// An error, or a value that is written and read again as it is.
fn harmless(bytes: &[u8]) -> bool {
    decode(bytes).map_or(true, |form| decode(&encode(&form)) == Ok(form))
}

#[test]
fn every_truncation_is_an_error() {
    for (name, form) in samples::all() {
        let bytes = encode(&form);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{name}, {length} of {} bytes", bytes.len());
        }
        assert_eq!(decode(&bytes[..3]), Err(CodecError::Truncated));
        assert_eq!(decode(&bytes[..=HEADER]), Err(CodecError::Truncated));
    }
}

#[test]
fn every_truncation_with_a_right_checksum_is_an_error() {
    for (name, form) in samples::all() {
        let bytes = encode(&form);
        let body = &bytes[HEADER..bytes.len() - SUM];
        for length in 0..body.len() {
            assert!(decode(&sealed(bytes[8], &body[..length])).is_err(), "{name}, {length} of {} bytes", body.len());
        }
    }
}

#[test]
fn every_single_bit_flip_is_an_error() {
    for (name, form) in samples::all() {
        let mut bytes = encode(&form);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "{name}, bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(decode(&bytes).is_ok());
    }
}

#[test]
fn every_single_bit_flip_with_a_right_checksum_is_an_error_or_another_value() {
    let (mut errors, mut others) = (0, 0);
    for (name, form) in samples::all() {
        let bytes = encode(&form);
        let mut body = bytes[HEADER..bytes.len() - SUM].to_vec();
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            let damaged = sealed(bytes[8], &body);
            match decode(&damaged) {
                Ok(other) => {
                    assert_ne!(other, form, "{name}, bit {bit} means nothing");
                    assert!(harmless(&damaged), "{name}, bit {bit}");
                    others += 1;
                }
                Err(_) => errors += 1,
            }
            body[bit / 8] ^= 1 << (bit % 8);
        }
    }
    assert!(errors > 1_000 && others > 1_000, "{errors} errors, {others} other values");
}

#[test]
fn a_byte_too_many_is_an_error() {
    for (name, form) in samples::all() {
        let bytes = encode(&form);
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode(&longer), Err(CodecError::Checksum), "{name}");
        let mut body = bytes[HEADER..bytes.len() - SUM].to_vec();
        body.push(0);
        assert_eq!(invalid(bytes[8], &body), "there are bytes after its end", "{name}");
    }
}

#[test]
fn a_newer_format_is_told_as_such_even_if_nothing_else_can_be_read() {
    let newer = CodecError::Newer { found: FORMAT + 1, known: FORMAT };
    assert!(newer.is_newer() && !CodecError::Checksum.is_newer());
    let mut bytes = b"chlg".to_vec();
    bytes.extend((FORMAT + 1).to_le_bytes());
    assert_eq!(decode(&bytes), Err(newer));
    bytes.extend(b"whatever it is that comes then");
    assert_eq!(decode(&bytes), Err(newer));
}

#[test]
fn what_is_no_ledger_or_of_no_known_format_or_role_is_told_as_such() {
    assert_eq!(decode(b"apiVersion: v1"), Err(CodecError::NotALedger));
    assert_eq!(decode(b"chlx"), Err(CodecError::NotALedger));
    assert_eq!(decode(b""), Err(CodecError::Truncated));
    let mut older = b"chlg\0\0\0\0\x01".to_vec();
    older.extend(crc32fast::hash(&older).to_le_bytes());
    assert_eq!(decode(&older), Err(CodecError::Invalid("there is no such format")));
    for role in [0, 6, 255] {
        assert_eq!(invalid(role, &[]), "there is no such role");
    }
    assert_eq!(decode(&sealed(1, &[])), Err(CodecError::Truncated));
}

#[test]
fn a_count_beyond_what_is_there_is_an_error_before_anything_is_made_of_it() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    // the bytes before each list: of a Segment, a Directory, an Index (three lists), a Shard; of a Head (four lists)
    let head = [&[1; 2][..], &[0; 8], &[0; 4]].concat();
    let lists: [(u8, Vec<u8>); 10] = [
        (2, vec![0, 0]),
        (3, vec![0, 0]),
        (4, vec![0, 0, 0, 1, 0]),
        (4, vec![0, 0, 0, 1, 0, 0, 0, 0, 0]),
        (4, vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        (5, vec![0, 0, 0, 1, 0, 0, 1]),
        (1, head.clone()),
        (1, [&head[..], &[0]].concat()),
        (1, [&head[..], &[0, 0, 0]].concat()),
        (1, [&head[..], &[0, 0, 0, 0]].concat()),
    ];
    for (role, before) in lists {
        let mut body = before.clone();
        body.extend(huge);
        assert_eq!(decode(&sealed(role, &body)), Err(CodecError::Truncated), "role {role} after {before:?}");
        // with a count of none, and nothing in what follows, it is a form: the list is where it is said to be
        let mut body = before.clone();
        body.push(0);
        let formed = (0..7).any(|_| {
            let formed = decode(&sealed(role, &body)).is_ok();
            body.push(0);
            formed
        });
        assert!(formed, "role {role} after {before:?}");
    }
}

#[test]
fn what_cannot_have_been_written_is_refused() {
    // a Segment's label and count, then a record's first byte, sequence and subscription ""
    let record = |first: u8, fact: &[u8]| [&[0, 0, 1, first, 0, 0, 1][..], fact].concat();
    assert!(decode(&sealed(2, &record(0x0c, &[]))).is_ok());
    assert_eq!(invalid(2, &record(0x0e, &[5])), "there is no such loss");
    for first in [0x00, 0x0f] {
        assert_eq!(invalid(2, &record(first, &[])), "there is no such fact");
    }
    for first in [0x2c, 0x4c, 0x8c, 0x22, 0x88] {
        let what = invalid(2, &record(first, &[]));
        assert_eq!(what, "a record's first byte says what its fact does not know", "{first:x}");
    }
    assert_eq!(invalid(2, &[0, 0, 1, 0x1c, 0]), "there is no record before");
    let object = [3, 0, 0, 0, 0]; // new, of the kind "" in group "", uid ""
    assert_eq!(invalid(2, &record(0x87, &object)), "an object's names were not told before");
    assert_eq!(invalid(2, &record(0x05, &[2, 0])), "there is no object before");
    assert_eq!(invalid(2, &record(0x05, &[4])), "an object was not mentioned before");
    assert_eq!(invalid(2, &record(0x09, &[1])), "a number stands for nothing");
    assert_eq!(invalid(2, &record(0x48, &[0, 0, 0, 0])), "a flag is neither 0 nor 1");
    assert_eq!(invalid(2, &record(0x0b, &[0xff, 0xff, 0xff, 0xff, 0x1f])), "a small number has more than 32 bits");
    assert_eq!(invalid(2, &record(0x0b, &[0x81, 0x00])), "a number is longer than it has to be");
    let too_much = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(invalid(2, &too_much), "a number has more than 64 bits");
    assert_eq!(
        invalid(2, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]),
        "a number has more than 64 bits"
    );
    assert_eq!(invalid(2, &record(0x09, &[0, 1, 0xff, 0])), "a text is not UTF-8");
    // all bits of change and class
    let fields = [0; 24];
    assert_eq!(
        invalid(2, &record(0x61, &[&object[..], &[0, 0, 0, 0, 0, 0, 0], &fields].concat())),
        "there is no such change"
    );
    assert_eq!(invalid(2, &record(0x44, &[&object[..], &fields].concat())), "there is no such class");
}

#[test]
fn an_entry_that_cannot_have_been_written_is_refused() {
    // a Shard's label, subscription "", bucket, through, in order of keys, count; then entries
    let shard = |count: u8, entries: &[u8]| [&[0, 0, 0, 1, 0, 0, 1, count][..], entries].concat();
    // kind "" in "", place: gvk "" "" "", no namespace; uid ""; name ""
    let entry = |first: u8| [&[first | 0x80][..], &[0, 0, 0], &[0, 0, 0, 0, 0, 0], &[0], &[0, 0]].concat();
    assert!(decode(&sealed(5, &shard(1, &entry(0)))).is_ok());
    for first in [0x10, 0x20, 0x40] {
        assert_eq!(invalid(5, &shard(1, &entry(first))), "an entry's first byte says what it does not have");
    }
    assert_eq!(invalid(5, &shard(1, &entry(0x30))), "there is no such change");
    assert_eq!(invalid(5, &shard(1, &entry(0x08))), "there is no entry before");
    let twice = [&entry(0)[..], &[0x88, 0, 0, 0]].concat();
    assert_eq!(invalid(5, &shard(2, &twice)), "a shard has two entries for one object");
    let longer = [&entry(0)[..], &[0x88, 1, b'u', 1, 0]].concat();
    assert_eq!(invalid(5, &shard(2, &longer)), "a name shares more with the one before than that has");
    // a name of 128 bytes, and one that shares all of them: more than it may
    let long = [&entry(0)[..entry(0).len() - 2], &[0, 0x80, 0x01], &[b'n'; 128]].concat();
    let shares = |bytes: u8| shard(2, &[&long[..], &[0x88, 1, b'u', bytes, 0]].concat());
    assert!(decode(&sealed(5, &shares(127))).is_ok());
    assert_eq!(invalid(5, &shares(128)), "a name shares more with the one before than that has");
    // an index's bucket with one entry more than can be counted, in one bucket
    let full = |count: &[u8]| [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1][..], count, &[0, 0]].concat();
    assert!(decode(&sealed(4, &full(&[0x80, 0x80, 0x80, 0x80, 0x10]))).is_ok());
    assert_eq!(invalid(4, &full(&[0x81, 0x80, 0x80, 0x80, 0x10])), "a shard has too many entries");
}

#[derive(Clone, Debug)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = || prop_oneof![0_u8..4, any::<u8>()];
    prop_oneof![
        (any::<prop::sample::Index>(), byte()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<prop::sample::Index>(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        any::<prop::sample::Index>().prop_map(Edit::Remove),
        any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(from, to)| Edit::Repeat(from, to)),
    ]
}

fn edited(mut body: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits.iter().filter(|_| !body.is_empty()).cloned().collect::<Vec<_>>() {
        if body.is_empty() {
            break;
        }
        let length = body.len();
        match edit {
            Edit::Set(at, byte) => body[at.index(length)] = byte,
            Edit::Insert(at, byte) => body.insert(at.index(length), byte),
            Edit::Remove(at) => drop(body.remove(at.index(length))),
            Edit::Repeat(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                body.extend_from_within(from.min(to)..from.max(to));
            }
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_harmless(role in 0_u8..7, body in prop::collection::vec(prop_oneof![0_u8..3, any::<u8>()], 0..200)) {
        prop_assert!(harmless(&body));
        prop_assert!(harmless(&sealed(role, &body)));
    }

    #[test]
    fn edited_bytes_with_a_right_checksum_are_harmless(
        form in arbitrary::form(),
        edits in prop::collection::vec(edit(), 1..4),
    ) {
        let bytes = encode(&form);
        let body = edited(bytes[HEADER..bytes.len() - SUM].to_vec(), &edits);
        prop_assert!(harmless(&sealed(bytes[8], &body)));
    }
}

#[test]
fn a_form_read_as_another_is_harmless() {
    for (_, form) in samples::all() {
        let bytes = encode(&form);
        for role in 1..=5 {
            let other = sealed(role, &bytes[HEADER..bytes.len() - SUM]);
            assert!(harmless(&other));
            let same = matches!((&form, role), (Form::Head(_), 1) | (Form::Segment(_), 2) | (Form::Directory(_), 3))
                || matches!((&form, role), (Form::Index(_), 4) | (Form::Shard(_), 5));
            assert_eq!(decode(&other).as_ref() == Ok(&form), same);
        }
    }
}
