//! The record of a hint: what a fallback keeps of one key for one absent primary.
//!
//! ```text
//! object        see versions.rs, with its record flags
//! settles       count varint, then dots
//! requests      count varint, then request id (16 bytes), dot each
//! born          ring version, varint
//! ```

use bytes::Bytes;
use quorate_protocol::{Dot, RequestId};
use quorate_ring::RingVersion;

use super::body::{DOT_BYTES_MIN, Reader};
use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};
use super::piece::Piece;
use super::versions;
use crate::causality::Object;

/// What a fallback keeps of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HintRecord {
    /// The key's versions, with their full context.
    pub object: Object,
    /// Exactly the dots of all writes merged into it.
    pub settles: Vec<Dot>,
    /// Requests behind some of those dots, to be remembered for retries.
    pub requests: Vec<(RequestId, Dot)>,
    /// The ring version under which the hint was first stored.
    pub born_ring: RingVersion,
}

/// The record to store under `storage_key`, and the pieces of values over 64 KiB.
#[must_use]
pub fn encode_hint(storage_key: &[u8], hint: &HintRecord) -> (Bytes, Vec<Piece>) {
    let mut record = start(RecordKind::Hint, versions::flags(&hint.object));
    let pieces = versions::write(&hint.object, &mut record);
    record.dots(&hint.settles);
    record.length(hint.requests.len());
    for (request, dot) in &hint.requests {
        record.request(*request);
        record.dot(*dot);
    }
    record.varint(hint.born_ring.get());
    (seal(storage_key, record), pieces)
}

/// Reads what was stored under `storage_key`.
///
/// # Errors
/// The record is damaged, of a newer format, or no hint.
pub fn decode_hint(storage_key: &[u8], record: &[u8]) -> Result<HintRecord, RecordError> {
    let known = versions::ONE_VERSION | versions::CONTEXT;
    let (flags, mut body) = open(storage_key, record, RecordKind::Hint, known)?;
    let hint = HintRecord {
        object: versions::read(flags, &mut body)?,
        settles: body.dots()?,
        requests: read_requests(&mut body)?,
        born_ring: RingVersion::new(body.varint()?),
    };
    body.end()?;
    Ok(hint)
}

fn read_requests(body: &mut Reader<'_>) -> Result<Vec<(RequestId, Dot)>, RecordError> {
    let count = body.count(16 + DOT_BYTES_MIN)?;
    (0..count)
        .map(|_| Ok((body.request()?, body.dot()?)))
        .collect()
}
