//! One message as bytes: MessagePack arrays, in one form only, nothing before, nothing after.

mod reader;
mod writer;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::reader::Reader;
use self::writer::Writer;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The opcode belongs to no message of this wire.
    #[error("unknown opcode {0:#06x}: the sender speaks a newer or another protocol")]
    UnknownOpcode(u16),
    /// The bytes are not MessagePack of the expected form.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Bytes follow the end of the message.
    #[error("bytes follow the end of the message")]
    Trailing,
}

/// Appends `value` to `out`. Structs are written as arrays, byte strings as byte strings.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // Memory takes all that is written to it, and no message has a field that is refused.
    let written = value.serialize(Writer::new(out));
    debug_assert!(
        written.is_ok(),
        "a message of ours did not serialize: {written:?}"
    );
}

/// Reads exactly one value from the whole of `bytes`, which must be what [`encode`] writes for it.
///
/// Memory is bounded by the bytes given: a list of n elements is n bytes long at least and has at most
/// [`ITEMS_MAX`](crate::limits::ITEMS_MAX) elements with all lists in it, and lengths reserve nothing.
///
/// # Errors
/// The bytes are not one value of this type, not in its one form, nest too deeply, hold too many
/// parts, or more bytes follow.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value =
        T::deserialize(&mut reader).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if reader.is_at_end() {
        Ok(value)
    } else {
        Err(DecodeError::Trailing)
    }
}
