//! One message as bytes: MessagePack arrays, nothing before, nothing after, nesting bounded.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::NESTING_MAX;

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
    let mut serializer = rmp_serde::Serializer::new(out);
    // Writing to a Vec cannot fail, and no type of ours has a serializer that refuses.
    let written = value.serialize(&mut serializer);
    debug_assert!(
        written.is_ok(),
        "a message of ours did not serialize: {written:?}"
    );
}

/// Reads exactly one value from the whole of `bytes`.
///
/// # Errors
/// The bytes are not one value of this type, nest too deeply, or more bytes follow.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(NESTING_MAX);
    let value = T::deserialize(&mut deserializer)
        .map_err(|error| DecodeError::Malformed(error.to_string()))?;
    // The deserializer keeps to itself where it stands, so ask it for one more value: only at the
    // very end does it fail to find even a marker.
    match u8::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        Ok(_) | Err(_) => Err(DecodeError::Trailing),
    }
}
