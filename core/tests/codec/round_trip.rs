//! What was encoded comes back.

use changehook_core::ledger::codec::{decode, encode, encode_head, encode_segment, record_bound, records_len};
use changehook_core::ledger::form::{Form, Head, Label, Segment};
use changehook_core::object::{Gvk, SourceId};
use proptest::prelude::*;

use crate::{arbitrary, samples};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn every_form_comes_back_as_it_was(form in arbitrary::form()) {
        let bytes = encode(&form);
        prop_assert_eq!(decode(&bytes), Ok(form.clone()));
        prop_assert_eq!(encode(&form), bytes, "one form has the same bytes every time");
    }

    #[test]
    fn a_list_of_records_takes_what_is_said_and_no_more_than_its_bounds(records in arbitrary::records()) {
        let segment = |records| encode_segment(&Segment { label: Label { term: 0, number: 0 }, records });
        let (none, all) = (segment(Vec::new()), segment(records.clone()));
        prop_assert_eq!(records_len(&records), all.len() - (none.len() - records_len(&[])));
        let bound: usize = records.iter().map(record_bound).sum();
        prop_assert!(records_len(&records) - records_len(&[]) <= bound);
        for record in &records {
            let alone = records_len(std::slice::from_ref(record));
            prop_assert!(record_bound(record) <= 2 * alone + 120, "{} for {}", record_bound(record), alone);
        }
    }
}

#[test]
fn every_sample_comes_back_and_the_borrowed_variants_write_the_same() {
    for (name, form) in samples::all() {
        assert_eq!(decode(&encode(&form)).as_ref(), Ok(&form), "{name}");
        match &form {
            Form::Head(head) => assert_eq!(encode_head(head), encode(&form)),
            Form::Segment(segment) => assert_eq!(encode_segment(segment), encode(&form)),
            Form::Directory(_) | Form::Index(_) | Form::Shard(_) => {}
        }
    }
}

#[test]
fn a_list_of_records_has_the_same_bytes_in_a_head_and_in_a_segment() {
    let records = samples::records();
    let length = records_len(&records);
    let segment = encode_segment(&Segment { label: samples::LABEL, records: records.clone() });
    let list = &segment[segment.len() - 4 - length..segment.len() - 4];
    let head = encode_head(&Head { tail: records, ..samples::head() });
    assert!(head.windows(length).any(|window| window == list));
}

#[test]
fn a_kind_too_long_to_be_numbered_is_spelled_out_each_time() {
    let source = |length: usize, namespace: &str| {
        let gvk = Gvk { group: "g".repeat(length - 2), version: "v".to_owned(), kind: "k".to_owned() };
        (SourceId { gvk, namespace: Some(namespace.repeat(length)) }, 1)
    };
    let size = |length: usize, sources: usize| {
        let sources = (0..sources).map(|_| source(length, "n")).collect();
        let head = Head { sources, ..Head::default() };
        let bytes = encode_head(&head);
        assert_eq!(decode(&bytes), Ok(Form::Head(head)));
        bytes.len()
    };
    assert_eq!(size(255, 2), size(255, 1) + 3);
    assert!(size(256, 2) > size(256, 1) + 2 * 256);
}
