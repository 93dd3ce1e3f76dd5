//! The record of what a replica has removed of dropped buckets.
//!
//! ```text
//! shards        varint: how many replicas the node ran, all of which shared out the partitions
//! dropped       varint: the last version of the map that dropped a bucket; of it and all before nothing is left
//! ```

use bytes::Bytes;
use quorate_protocol::versioned::MapVersion;

use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};

/// What a replica has removed of dropped buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweptRecord {
    /// How many replicas the node ran: with another number each has other partitions.
    pub shards: u16,
    /// The last version that dropped a bucket.
    pub dropped: MapVersion,
}

/// The record to store under `storage_key`.
#[must_use]
pub fn encode_swept(storage_key: &[u8], swept: SweptRecord) -> Bytes {
    let mut record = start(RecordKind::Swept, 0);
    record.varint(u64::from(swept.shards));
    record.varint(swept.dropped.get());
    seal(storage_key, record)
}

/// Reads what was stored under `storage_key`.
///
/// # Errors
/// The record is damaged, of a newer format, or another one.
pub fn decode_swept(storage_key: &[u8], record: &[u8]) -> Result<SweptRecord, RecordError> {
    let (_, mut body) = open(storage_key, record, RecordKind::Swept, 0)?;
    let shards = u16::try_from(body.varint()?)
        .map_err(|_| RecordError::Malformed("more replicas than a node can run"))?;
    let dropped = MapVersion::new(body.varint()?);
    body.end()?;
    Ok(SweptRecord { shards, dropped })
}
