//! The ledger's codec, through its public interface: what it gives back, what it refuses, how small it is, and that format 1
//! stays format 1.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod arbitrary;
mod damage;
mod document;
mod golden;
mod round_trip;
mod samples;
mod sharing;
mod sizes;

/// The hexadecimal digits of these bytes.
fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap()).collect()
}

/// The bytes that these hexadecimal digits are.
fn bytes_of(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0, "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
