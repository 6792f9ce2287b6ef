//! Numbers and texts as bytes.
//!
//! Touches nothing. Invariants: a number is read only as it would be written; nothing is taken that is not there, and a
//! count is believed only as far as there are bytes for so many.

use super::CodecError;

/// The longest number: 64 bits, seven a byte.
pub(super) const LONGEST_NUMBER: usize = 10;

/// Bytes of a uid that is written as a number; as text it has 36 characters.
const UUID: usize = 16;

/// Where a canonical UUID has its dashes.
const DASHES: [usize; 4] = [8, 13, 18, 23];

/// Bytes being written.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
}

impl Output {
    pub fn so_far(&self) -> &[u8] {
        &self.bytes
    }

    pub fn done(self) -> Vec<u8> {
        self.bytes
    }

    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Eight bytes, for what is as likely large as small.
    pub fn eight(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Seven bits a byte, the lowest first; all bytes but the last have the highest bit set.
    pub fn number(&mut self, mut value: u64) {
        while value > 0x7f {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    pub fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    /// A number as its difference from another that is probably near: 0, -1, 1, -2… are 0, 1, 2, 3…
    pub fn near(&mut self, value: u64, other: u64) {
        let difference = value.wrapping_sub(other) as i64;
        self.number((difference << 1 ^ difference >> 63) as u64);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    /// 16 bytes, or the length and the text; which of them is said elsewhere.
    pub fn uid(&mut self, text: &str, uuid: Option<[u8; UUID]>) {
        match uuid {
            Some(uuid) => self.raw(&uuid),
            None => self.bytes(text.as_bytes()),
        }
    }

    /// 0 and 16 bytes for a canonical UUID, or the length + 1 and the text.
    pub fn text(&mut self, text: &str) {
        self.text_from(text, 0);
    }

    /// 0 for none, or as [`Self::text`] with its first number one higher.
    pub fn optional_text(&mut self, text: Option<&str>) {
        match text {
            None => self.number(0),
            Some(text) => self.text_from(text, 1),
        }
    }

    fn text_from(&mut self, text: &str, first: usize) {
        if let Some(uuid) = parse_uuid(text) {
            self.length(first);
            self.raw(&uuid);
        } else {
            self.length(first + 1 + text.len());
            self.raw(text.as_bytes());
        }
    }
}

/// Bytes being read.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Invalid("there are bytes after its end")) }
    }

    pub fn byte(&mut self) -> Result<u8, CodecError> {
        let (byte, rest) = self.rest.split_first().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub fn flag(&mut self) -> Result<bool, CodecError> {
        flag(self.byte()?)
    }

    fn raw(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<&'a [u8; LENGTH], CodecError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn eight(&mut self) -> Result<u64, CodecError> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    pub fn number(&mut self) -> Result<u64, CodecError> {
        let mut value = 0;
        for place in 0..LONGEST_NUMBER {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * place as u32;
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte <= 0x7f {
                let shortest = byte != 0 || place == 0;
                return if shortest {
                    Ok(value)
                } else {
                    Err(CodecError::Invalid("a number is longer than it has to be"))
                };
            }
        }
        Err(CodecError::Invalid("a number has more than 64 bits"))
    }

    pub fn small(&mut self) -> Result<u32, CodecError> {
        u32::try_from(self.number()?).map_err(|_| CodecError::Invalid("a small number has more than 32 bits"))
    }

    pub fn near(&mut self, other: u64) -> Result<u64, CodecError> {
        let coded = self.number()?;
        Ok(other.wrapping_add(coded >> 1 ^ (coded & 1).wrapping_neg()))
    }

    /// How many things follow, of which each takes at least `least` bytes.
    pub fn count(&mut self, least: usize) -> Result<usize, CodecError> {
        let count = usize::try_from(self.number()?).map_err(|_| CodecError::Truncated)?;
        if count > self.rest.len() / least { Err(CodecError::Truncated) } else { Ok(count) }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.count(1)?;
        self.raw(length)
    }

    pub fn uid<T: for<'t> From<&'t str>>(&mut self, odd: bool) -> Result<T, CodecError> {
        if odd { utf8(self.bytes()?).map(T::from) } else { utf8(&uuid_text(self.array()?)).map(T::from) }
    }

    pub fn text<T: for<'t> From<&'t str>>(&mut self) -> Result<T, CodecError> {
        let first = self.number()?;
        self.text_after(first)
    }

    pub fn optional_text<T: for<'t> From<&'t str>>(&mut self) -> Result<Option<T>, CodecError> {
        match self.number()? {
            0 => Ok(None),
            more => self.text_after(more - 1).map(Some),
        }
    }

    fn text_after<T: for<'t> From<&'t str>>(&mut self, first: u64) -> Result<T, CodecError> {
        match first {
            0 => self.uid(false),
            more => {
                let length = usize::try_from(more - 1).map_err(|_| CodecError::Truncated)?;
                utf8(self.raw(length)?).map(T::from)
            }
        }
    }
}

/// A bit that stands alone.
pub(super) fn flag(byte: u8) -> Result<bool, CodecError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CodecError::Invalid("a flag is neither 0 nor 1")),
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, CodecError> {
    std::str::from_utf8(bytes).map_err(|_| CodecError::Invalid("a text is not UTF-8"))
}

/// Only the one spelling that [`uuid_text`] gives back.
pub(super) fn parse_uuid(text: &str) -> Option<[u8; UUID]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    if DASHES.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text.iter().enumerate().filter(|(at, _)| !DASHES.contains(at)).map(|(_, digit)| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    });
    let mut uuid = [0; UUID];
    for byte in &mut uuid {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    Some(uuid)
}

fn uuid_text(uuid: &[u8; UUID]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in uuid {
        if DASHES.contains(&at) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 0xf)];
        at += 2;
    }
    text
}
