//! The record of a request's outcome, kept for the retry window.
//!
//! ```text
//! dot
//! bucket        u64
//! seen          varint, milliseconds since 1970
//! key           the rest
//! ```

use bytes::Bytes;
use quorate_protocol::Dot;
use quorate_ring::BucketId;

use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};

/// What became of a request. Its id is in the storage key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// The dot that it got.
    pub dot: Dot,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// When it was applied here, by the wall clock, milliseconds since 1970.
    pub at_ms: u64,
}

/// The record to store under `storage_key`.
#[must_use]
pub fn encode_request(storage_key: &[u8], request: &RequestRecord) -> Bytes {
    let mut record = start(RecordKind::Request, 0);
    record.dot(request.dot);
    record.u64(request.bucket.get());
    record.varint(request.at_ms);
    record.raw(&request.key);
    seal(storage_key, record)
}

/// Reads what was stored under `storage_key`.
///
/// # Errors
/// The record is damaged, of a newer format, or no request.
pub fn decode_request(storage_key: &[u8], record: &[u8]) -> Result<RequestRecord, RecordError> {
    let (_, mut body) = open(storage_key, record, RecordKind::Request, 0)?;
    let dot = body.dot()?;
    let bucket = BucketId::new(body.u64()?);
    let at_ms = body.varint()?;
    Ok(RequestRecord {
        dot,
        bucket,
        key: Bytes::copy_from_slice(body.rest()),
        at_ms,
    })
}
