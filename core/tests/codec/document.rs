//! The worked example in `docs/ledger-format.md` is what the codec writes and reads.

use changehook_core::ledger::codec::{decode, encode};
use changehook_core::ledger::form::{Form, Label, Segment};
use changehook_core::ledger::{Fact, Record};
use changehook_core::object::Fingerprint;
use changehook_core::plan::Change;

use crate::samples::{named, object, subscription};
use crate::{bytes_of, hex};

const DOCUMENT: &str = include_str!("../../../docs/ledger-format.md");

fn example() -> Form {
    let api = || object("0a0b0c0d-1111-4222-8333-444455556666");
    let web = || object("1a0b0c0d-1111-4222-8333-444455556666");
    let sending = |object, name, change, rv, fp| Fact::Sending {
        object,
        named: named(Some("shop"), name),
        change,
        rv,
        fp: Fingerprint(fp),
    };
    let facts = [
        sending(api(), "api", Change::New, 1_000, 0x0102_0304_0506_0708),
        Fact::Ack { object: api(), of: 10_000, rv: 1_000 },
        sending(web(), "api-web", Change::Updated, 1_005, 0x1112_1314_1516_1718),
        sending(api(), "api", Change::Removed, 1_003, 0),
        Fact::Drop { object: api(), of: 10_003 },
    ];
    let records = (10_000..).zip(facts).map(|(seq, fact)| Record { seq, subscription: subscription('6'), fact });
    Form::Segment(Segment { label: Label { term: 3, number: 70 }, records: records.collect() })
}

#[test]
fn the_worked_example_is_what_the_codec_writes_and_reads() {
    let block = DOCUMENT.split("## A worked example").nth(1).unwrap().split("```").nth(1).unwrap();
    let lines = block.lines().skip(1).map(|line| line.split("  ").next().unwrap());
    let digits: String = lines.flat_map(str::chars).filter(|digit| *digit != ' ').collect();
    assert_eq!(digits, hex(&encode(&example())));
    assert_eq!(decode(&bytes_of(&digits)), Ok(example()));
}
