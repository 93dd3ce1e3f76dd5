//! The record of a vnode's object: record flags and body are those of `versions.rs`, nothing else.

use bytes::Bytes;

use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};
use super::piece::Piece;
use super::versions;
use crate::causality::Object;

/// The record to store under `storage_key`, and the pieces of values over 64 KiB, to be stored in
/// the same batch. Versions that lie in pieces already give none.
#[must_use]
pub fn encode_object(storage_key: &[u8], object: &Object) -> (Bytes, Vec<Piece>) {
    let mut record = start(RecordKind::Object, versions::flags(object));
    let pieces = versions::write(object, &mut record);
    (seal(storage_key, record), pieces)
}

/// Reads what was stored under `storage_key`. Values in pieces come as [`crate::causality::Body::Chunked`].
///
/// # Errors
/// The record is damaged, of a newer format, or no object.
pub fn decode_object(storage_key: &[u8], record: &[u8]) -> Result<Object, RecordError> {
    let known = versions::ONE_VERSION | versions::CONTEXT;
    let (flags, mut body) = open(storage_key, record, RecordKind::Object, known)?;
    let object = versions::read(flags, &mut body)?;
    body.end()?;
    Ok(object)
}
