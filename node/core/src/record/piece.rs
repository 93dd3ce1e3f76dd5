//! Values over 64 KiB are stored in pieces of 64 KiB, each a record of its own: a header and the bytes.
//!
//! The checksum of a piece covers its dot and its number (the last 20 bytes of its storage key)
//! instead of the whole key: these name it uniquely, and so the same record serves a vnode and a hint.

use bytes::Bytes;
use quorate_protocol::Dot;
use quorate_protocol::limits::CHUNK_BYTES;

use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};
use crate::causality::{Body, Content, Version};

/// One record to be stored under the chunk key of its dot and number: (dot, number, record).
pub type Piece = (Dot, u32, Bytes);

/// The value's pieces as records, numbered from 0.
pub(super) fn cut(dot: Dot, value: &Bytes) -> Vec<Piece> {
    let numbered = (0..).zip(value.chunks(CHUNK_BYTES));
    numbered
        .map(|(number, bytes)| (dot, number, seal_piece(dot, number, bytes)))
        .collect()
}

/// The content of a version, its pieces given as they were stored, in order. A version that is
/// whole already needs none.
///
/// # Errors
/// A piece is missing, damaged or another's, the sizes do not add up, or the version has no value.
pub fn assemble(version: &Version, pieces: &[Bytes]) -> Result<Content, RecordError> {
    match &version.body {
        Body::Whole(content) => Ok(content.clone()),
        Body::Absent => Err(RecordError::NoBody),
        Body::Chunked {
            content_type,
            meta,
            pieces: expected,
        } => {
            if usize::try_from(*expected) != Ok(pieces.len()) {
                return Err(RecordError::PiecesMissing {
                    expected: *expected,
                    found: pieces.len(),
                });
            }
            let value = join(version, pieces)?;
            Ok(Content {
                value,
                content_type: content_type.clone(),
                meta: meta.clone(),
            })
        }
    }
}

fn join(version: &Version, pieces: &[Bytes]) -> Result<Bytes, RecordError> {
    let mut value = Vec::with_capacity(pieces.iter().map(Bytes::len).sum());
    for (number, record) in (0..).zip(pieces) {
        let key = name(version.dot, number);
        let (_, body) = open(&key, record, RecordKind::Piece, 0)?;
        value.extend_from_slice(body.rest());
    }
    if value.len() as u64 != version.size {
        return Err(RecordError::Damaged(
            "the pieces of a value do not add up to its size",
        ));
    }
    Ok(Bytes::from(value))
}

fn seal_piece(dot: Dot, number: u32, bytes: &[u8]) -> Bytes {
    let mut record = start(RecordKind::Piece, 0);
    record.raw(bytes);
    seal(&name(dot, number), record)
}

fn name(dot: Dot, number: u32) -> Vec<u8> {
    [
        &dot.actor.get().to_be_bytes()[..],
        &dot.counter.to_be_bytes(),
        &number.to_be_bytes(),
    ]
    .concat()
}
