//! The record of a dot-log entry: which key a recent dot belongs to.
//!
//! ```text
//! record flags  1 a request id is present
//! kind u8       1 put, 2 delete, 3 merged
//! bucket        u64
//! written       varint, milliseconds since 1970
//! request       16 bytes    if flagged
//! key           the rest
//! ```

use bytes::Bytes;
use quorate_protocol::RequestId;
use quorate_ring::BucketId;

use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};

const REQUEST: u8 = 1;

/// What is known of the write behind a dot. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogKind {
    /// A put.
    Put = 1,
    /// A delete, made here or learned.
    Delete = 2,
    /// Learned from an object that holds it, or that knows it to be superseded.
    Merged = 3,
}

impl LogKind {
    const fn read(number: u8) -> Result<Self, RecordError> {
        match number {
            1 => Ok(Self::Put),
            2 => Ok(Self::Delete),
            3 => Ok(Self::Merged),
            _ => Err(RecordError::Malformed(
                "a kind of log entry that this format does not have",
            )),
        }
    }
}

/// An entry of the dot log. The dot itself is in the storage key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// What is known of the write.
    pub kind: LogKind,
    /// The request that made it, where known.
    pub request: Option<RequestId>,
    /// When it was applied here, by the wall clock, milliseconds since 1970.
    pub at_ms: u64,
}

/// The record to store under `storage_key`.
#[must_use]
pub fn encode_log(storage_key: &[u8], entry: &LogRecord) -> Bytes {
    let mut record = start(
        RecordKind::Log,
        if entry.request.is_some() { REQUEST } else { 0 },
    );
    record.u8(entry.kind as u8);
    record.u64(entry.bucket.get());
    record.varint(entry.at_ms);
    if let Some(request) = entry.request {
        record.request(request);
    }
    record.raw(&entry.key);
    seal(storage_key, record)
}

/// Reads what was stored under `storage_key`.
///
/// # Errors
/// The record is damaged, of a newer format, or no log entry.
pub fn decode_log(storage_key: &[u8], record: &[u8]) -> Result<LogRecord, RecordError> {
    let (flags, mut body) = open(storage_key, record, RecordKind::Log, REQUEST)?;
    let kind = LogKind::read(body.u8()?)?;
    let bucket = BucketId::new(body.u64()?);
    let at_ms = body.varint()?;
    let request = if flags & REQUEST != 0 {
        Some(body.request()?)
    } else {
        None
    };
    let key = Bytes::copy_from_slice(body.rest());
    Ok(LogRecord {
        bucket,
        key,
        kind,
        request,
        at_ms,
    })
}
