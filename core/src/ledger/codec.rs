//! Forms as bytes, and back: `docs/ledger-format.md` is the description, byte by byte.
//!
//! Touches nothing. Invariants: what was encoded decodes to an equal value; bytes that are damaged, cut off or from a newer
//! version are an error that says which, never a panic, never another value; what decoding allocates is bounded by what
//! there is to read; one form always has the same bytes.
//!
//! | file | idea |
//! | --- | --- |
//! | `bytes` | numbers and texts as bytes |
//! | `shared` | what is spelled out once and numbered from then on; what is written as a difference from the one before |
//! | `records` | a list of records |
//! | `forms` | the bodies of Head, Segment, Directory and Index |
//! | `shard` | the body of a Shard |

mod bytes;
mod forms;
mod records;
mod shard;
mod shared;

use super::form::{Form, Head, Segment};
use shared::{Reader, Writer};

pub use records::{record_bound, records_len};

/// The version of the format that is written, and the newest that can be read.
pub const FORMAT: u32 = 1;

/// What every blob begins with.
const MAGIC: [u8; 4] = *b"chlg";

/// Why bytes are not a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Something else.
    #[error("failed to read a ledger blob: it does not begin as one")]
    NotALedger,
    /// Written by a newer version. The checksum was not looked at: that version may have another one.
    #[error("failed to read a ledger blob: its format is {found}, the newest this version knows is {known}")]
    Newer {
        /// Its format.
        found: u32,
        /// [`FORMAT`].
        known: u32,
    },
    /// It ends too early.
    #[error("failed to read a ledger blob: it is cut off")]
    Truncated,
    /// Its bytes are not those that were written.
    #[error("failed to read a ledger blob: its checksum is wrong")]
    Checksum,
    /// The checksum is right, but the content cannot be.
    #[error("failed to read a ledger blob: {0}")]
    Invalid(&'static str),
}

impl CodecError {
    /// Whether a newer version can read it: it must be left alone, not replaced.
    pub fn is_newer(self) -> bool {
        matches!(self, Self::Newer { .. })
    }
}

/// The third thing in every blob: which form it is.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Role {
    Head = 1,
    Segment = 2,
    Directory = 3,
    Index = 4,
    Shard = 5,
}

/// A form's bytes.
pub fn encode(form: &Form) -> Vec<u8> {
    match form {
        Form::Head(head) => encode_head(head),
        Form::Segment(segment) => encode_segment(segment),
        Form::Directory(directory) => blob(Role::Directory, |writer| forms::write_directory(writer, directory)),
        Form::Index(index) => blob(Role::Index, |writer| forms::write_index(writer, index)),
        Form::Shard(shard) => blob(Role::Shard, |writer| shard::write(writer, shard)),
    }
}

/// A Head's bytes.
pub fn encode_head(head: &Head) -> Vec<u8> {
    blob(Role::Head, |writer| forms::write_head(writer, head))
}

/// A Segment's bytes.
pub fn encode_segment(segment: &Segment) -> Vec<u8> {
    blob(Role::Segment, |writer| forms::write_segment(writer, segment))
}

fn blob<'a>(role: Role, body: impl FnOnce(&mut Writer<'a>)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.out.raw(&MAGIC);
    writer.out.raw(&FORMAT.to_le_bytes());
    writer.out.byte(role as u8);
    body(&mut writer);
    let sum = crc32fast::hash(writer.out.so_far());
    writer.out.raw(&sum.to_le_bytes());
    writer.out.done()
}

/// The form that these bytes are.
pub fn decode(bytes: &[u8]) -> Result<Form, CodecError> {
    let Some(rest) = bytes.strip_prefix(&MAGIC) else {
        return Err(if MAGIC.starts_with(bytes) { CodecError::Truncated } else { CodecError::NotALedger });
    };
    let (format, rest) = rest.split_first_chunk().ok_or(CodecError::Truncated)?;
    let found = u32::from_le_bytes(*format);
    if found > FORMAT {
        return Err(CodecError::Newer { found, known: FORMAT });
    }
    let (rest, sum) = rest.split_last_chunk().ok_or(CodecError::Truncated)?;
    if crc32fast::hash(&bytes[..bytes.len() - sum.len()]) != u32::from_le_bytes(*sum) {
        return Err(CodecError::Checksum);
    }
    if found != FORMAT {
        return Err(CodecError::Invalid("there is no such format"));
    }
    let (role, body) = rest.split_first().ok_or(CodecError::Truncated)?;
    let mut reader = Reader::new(body);
    let form = read_body(*role, &mut reader)?;
    reader.input.end()?;
    Ok(form)
}

fn read_body(role: u8, reader: &mut Reader<'_>) -> Result<Form, CodecError> {
    const HEAD: u8 = Role::Head as u8;
    const SEGMENT: u8 = Role::Segment as u8;
    const DIRECTORY: u8 = Role::Directory as u8;
    const INDEX: u8 = Role::Index as u8;
    const SHARD: u8 = Role::Shard as u8;
    match role {
        HEAD => forms::read_head(reader).map(Form::Head),
        SEGMENT => forms::read_segment(reader).map(Form::Segment),
        DIRECTORY => forms::read_directory(reader).map(Form::Directory),
        INDEX => forms::read_index(reader).map(Form::Index),
        SHARD => shard::read(reader).map(Form::Shard),
        _ => Err(CodecError::Invalid("there is no such role")),
    }
}
