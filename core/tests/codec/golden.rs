//! Format 1 as bytes. If this turns red, ledgers that exist can no longer be read: raise the format, and keep reading 1.

use changehook_core::ledger::codec::{decode, encode};

use crate::{bytes_of, hex, samples};

const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn format_1_is_what_it_always_was() {
    let golden: Vec<(&str, &str)> = GOLDEN.lines().map(|line| line.split_once(": ").unwrap()).collect();
    let samples = samples::all();
    assert_eq!(golden.len(), samples.len());
    for ((name, form), (golden_name, digits)) in samples.into_iter().zip(golden) {
        assert_eq!((name, hex(&encode(&form)).as_str()), (golden_name, digits));
        assert_eq!(decode(&bytes_of(digits)), Ok(form), "{name}");
    }
}
