//! The record of a vnode's digest, a small one of its own because it changes with every write.
//!
//! ```text
//! lasting       16 bytes, big endian: versions that do not expire
//! expiring      16 bytes, big endian: versions that do
//! keys          8 bytes, big endian: how many have a version
//! bytes         8 bytes, big endian: of these keys and their versions' contents
//! ```

use bytes::Bytes;

use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};
use crate::causality::Digest;

/// The record to store under `storage_key`.
#[must_use]
pub fn encode_digest(storage_key: &[u8], digest: &Digest) -> Bytes {
    let mut record = start(RecordKind::Digest, 0);
    record.raw(&digest.to_bytes());
    seal(storage_key, record)
}

/// Reads what was stored under `storage_key`.
///
/// # Errors
/// The record is damaged, of a newer format, or no digest.
pub fn decode_digest(storage_key: &[u8], record: &[u8]) -> Result<Digest, RecordError> {
    let (_, mut body) = open(storage_key, record, RecordKind::Digest, 0)?;
    let digest = Digest::from_bytes(body.array()?);
    body.end()?;
    Ok(digest)
}
