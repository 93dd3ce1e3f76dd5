//! The eight bytes in front of every record.

use bytes::Bytes;

use super::body::{Reader, Writer};
use super::error::RecordError;

/// The number of the format that is written.
pub const FORMAT: u8 = 6;

pub(super) const HEADER_BYTES: usize = 8;
const CODEC_NONE: u8 = 0;

/// What a record is. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKind {
    /// A key's versions at a vnode.
    Object = 1,
    /// A key's versions kept for an absent primary.
    Hint = 2,
    /// An entry of the dot log.
    Log = 3,
    /// A vnode's identity and clock.
    Vnode = 4,
    /// A request's outcome.
    Request = 5,
    /// A piece of a large value.
    Piece = 6,
    /// Who was alive when.
    Alive = 7,
    /// A vnode's digest.
    Digest = 8,
    /// What of dropped buckets a replica has removed.
    Swept = 9,
    /// Reserved: an object that merges by its data type.
    DataType = 16,
    /// Reserved: a strongly consistent register.
    Register = 17,
}

impl RecordKind {
    const fn number(self) -> u8 {
        self as u8
    }
}

/// A record being written: its header's place, then the body.
pub(super) fn start(kind: RecordKind, flags: u8) -> Writer {
    Writer::new(&[FORMAT, kind.number(), CODEC_NONE, flags, 0, 0, 0, 0])
}

/// Ends a record by its checksum over `key` and itself.
pub(super) fn seal(key: &[u8], record: Writer) -> Bytes {
    let mut bytes = record.into_bytes();
    let sum = checksum(key, &bytes);
    if let Some(place) = bytes.get_mut(4..HEADER_BYTES) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    Bytes::from(bytes)
}

/// Checks a record and gives its flags and body.
pub(super) fn open<'a>(
    key: &[u8],
    record: &'a [u8],
    expected: RecordKind,
    known_flags: u8,
) -> Result<(u8, Reader<'a>), RecordError> {
    let Some(([format, kind, codec, flags, sum @ ..], body)) =
        record.split_first_chunk::<HEADER_BYTES>()
    else {
        return Err(RecordError::Damaged("shorter than a record's header"));
    };
    if checksum(key, record) != u32::from_be_bytes(*sum) {
        return Err(RecordError::Damaged("its checksum does not fit it"));
    }
    if *format > FORMAT {
        return Err(RecordError::NewerFormat {
            found: *format,
            known: FORMAT,
        });
    }
    if *format == 0 {
        return Err(RecordError::Malformed("format 0 never existed"));
    }
    if *format < FORMAT {
        return Err(RecordError::OlderFormat {
            found: *format,
            known: FORMAT,
        });
    }
    if *kind != expected.number() {
        return Err(RecordError::WrongKind {
            expected,
            found: *kind,
        });
    }
    if *codec != CODEC_NONE {
        return Err(RecordError::UnknownCodec(*codec));
    }
    if flags & !known_flags != 0 {
        return Err(RecordError::Malformed(
            "a flag that this format does not have",
        ));
    }
    Ok((*flags, Reader::new(body)))
}

/// Over the key, the header without the checksum's own place, and the body.
fn checksum(key: &[u8], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(record.get(..4).unwrap_or_default());
    hasher.update(record.get(HEADER_BYTES..).unwrap_or_default());
    hasher.finalize()
}
