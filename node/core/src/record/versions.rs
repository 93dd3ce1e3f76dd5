//! An object inside a body, as objects and hints share it.
//!
//! ```text
//! versions      count varint (left out, and 1, where the flag ONE_VERSION is set), then each:
//!   flags u8    1 content type, 2 metadata, 4 expiry, 8 request id,
//!               16 the value lies in pieces, 32 the value is not here, 64 the stamp has a count
//!   dot
//!   stamp       the upper 6 bytes: milliseconds since 1970
//!   count       the lower 2 bytes of the stamp       if flagged, else 0
//!   expiry      varint, milliseconds since 1970      if flagged
//!   request     16 bytes                             if flagged, else all zero
//!   type        text                                 if flagged, else empty
//!   metadata    count varint, then name text, value bytes each      if flagged, else none
//!   value       bytes; in pieces: size varint, pieces varint; not here: size varint
//! context       count varint, dots in ascending order of actors     if the flag CONTEXT is set
//! ```

use bytes::Bytes;
use quorate_protocol::limits::CHUNK_BYTES;
use quorate_protocol::{Dot, RequestId};

use super::body::{DOT_BYTES_MIN, Reader, Writer};
use super::error::RecordError;
use super::piece::{Piece, cut};
use crate::causality::{Body, Content, Object, Version};

/// Record flags of this part.
pub(super) const ONE_VERSION: u8 = 1;
pub(super) const CONTEXT: u8 = 2;

const TYPE: u8 = 1;
const META: u8 = 2;
const EXPIRY: u8 = 4;
const REQUEST: u8 = 8;
const PIECES: u8 = 16;
const ABSENT: u8 = 32;
const COUNT: u8 = 64;
const KNOWN: u8 = TYPE | META | EXPIRY | REQUEST | PIECES | ABSENT | COUNT;

/// Flags, dot, stamp, and at least one byte of the value or its size.
const VERSION_BYTES_MIN: usize = 1 + DOT_BYTES_MIN + 6 + 1;
/// An object has one form only, so that equal objects are equal bytes.
const NOT_SHORTEST: RecordError =
    RecordError::Malformed("a field is present that should have been left out");
const NO_REQUEST: RequestId = RequestId::new(0, 0);

/// The record flags that say how `object` is written.
pub(super) fn flags(object: &Object) -> u8 {
    let one = if object.versions.len() == 1 {
        ONE_VERSION
    } else {
        0
    };
    let context = if object.context.is_empty() {
        0
    } else {
        CONTEXT
    };
    one | context
}

/// Appends the object; gives the pieces of the values that are too large to stand inside.
pub(super) fn write(object: &Object, out: &mut Writer) -> Vec<Piece> {
    if object.versions.len() != 1 {
        out.length(object.versions.len());
    }
    let pieces = object
        .versions
        .iter()
        .flat_map(|version| write_version(version, out))
        .collect();
    if !object.context.is_empty() {
        out.context(&object.context);
    }
    pieces
}

/// Reads an object that was written under these record flags.
pub(super) fn read(flags: u8, body: &mut Reader<'_>) -> Result<Object, RecordError> {
    let count = if flags & ONE_VERSION != 0 {
        1
    } else {
        body.count(VERSION_BYTES_MIN)?
    };
    let mut object = Object::default();
    for _ in 0..count {
        let version = read_version(body)?;
        if object
            .versions
            .last()
            .is_some_and(|last: &Version| last.dot >= version.dot)
        {
            return Err(RecordError::Malformed("versions out of order"));
        }
        object.versions.push(version);
    }
    if flags & CONTEXT != 0 {
        object.context = body.context()?;
    }
    if self::flags(&object) != flags & (ONE_VERSION | CONTEXT) {
        return Err(NOT_SHORTEST);
    }
    Ok(object)
}

fn write_version(version: &Version, out: &mut Writer) -> Vec<Piece> {
    out.u8(version_flags(version));
    out.dot(version.dot);
    write_stamp(version.stamp, out);
    if version.expires_ms != 0 {
        out.varint(version.expires_ms);
    }
    if version.request != NO_REQUEST {
        out.request(version.request);
    }
    write_body(version, out)
}

fn write_stamp(stamp: u64, out: &mut Writer) {
    let [a, b, c, d, e, f, count @ ..] = stamp.to_be_bytes();
    out.raw(&[a, b, c, d, e, f]);
    if count != [0, 0] {
        out.raw(&count);
    }
}

fn write_body(version: &Version, out: &mut Writer) -> Vec<Piece> {
    match &version.body {
        Body::Whole(content) => {
            write_about(&content.content_type, &content.meta, out);
            write_value(version.dot, &content.value, out)
        }
        Body::Chunked {
            content_type,
            meta,
            pieces,
        } => {
            write_about(content_type, meta, out);
            out.varint(version.size);
            out.varint(u64::from(*pieces));
            Vec::new()
        }
        Body::Absent => {
            out.varint(version.size);
            Vec::new()
        }
    }
}

fn write_about(content_type: &str, meta: &[(String, Bytes)], out: &mut Writer) {
    if !content_type.is_empty() {
        out.bytes(content_type.as_bytes());
    }
    if meta.is_empty() {
        return;
    }
    out.length(meta.len());
    for (name, value) in meta {
        out.bytes(name.as_bytes());
        out.bytes(value);
    }
}

fn write_value(dot: Dot, value: &Bytes, out: &mut Writer) -> Vec<Piece> {
    if value.len() <= CHUNK_BYTES {
        out.bytes(value);
        return Vec::new();
    }
    let pieces = cut(dot, value);
    out.length(value.len());
    out.length(pieces.len());
    pieces
}

fn version_flags(version: &Version) -> u8 {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let about = |content_type: &str, meta: &[(String, Bytes)]| {
        flag(!content_type.is_empty(), TYPE) | flag(!meta.is_empty(), META)
    };
    let body = match &version.body {
        Body::Whole(content) => {
            about(&content.content_type, &content.meta)
                | flag(content.value.len() > CHUNK_BYTES, PIECES)
        }
        Body::Chunked {
            content_type, meta, ..
        } => about(content_type, meta) | PIECES,
        Body::Absent => ABSENT,
    };
    let counted = version.stamp.trailing_zeros() < 16;
    body | flag(version.expires_ms != 0, EXPIRY)
        | flag(version.request != NO_REQUEST, REQUEST)
        | flag(counted, COUNT)
}

fn read_version(body: &mut Reader<'_>) -> Result<Version, RecordError> {
    let flags = body.u8()?;
    if flags & !KNOWN != 0 || flags & (PIECES | ABSENT) == PIECES | ABSENT {
        return Err(RecordError::Malformed(
            "flags of a version that this format does not have",
        ));
    }
    let dot = body.dot()?;
    let stamp = read_stamp(flags, body)?;
    let expires_ms = if flags & EXPIRY != 0 {
        body.varint()?
    } else {
        0
    };
    let request = if flags & REQUEST != 0 {
        body.request()?
    } else {
        NO_REQUEST
    };
    let (size, body) = read_body(flags, body)?;
    let version = Version {
        dot,
        stamp,
        expires_ms,
        request,
        size,
        body,
    };
    if version_flags(&version) == flags {
        Ok(version)
    } else {
        Err(NOT_SHORTEST)
    }
}

fn read_stamp(flags: u8, body: &mut Reader<'_>) -> Result<u64, RecordError> {
    let [a, b, c, d, e, f] = body.array()?;
    let [g, h] = if flags & COUNT != 0 {
        body.array()?
    } else {
        [0, 0]
    };
    Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

fn read_body(flags: u8, body: &mut Reader<'_>) -> Result<(u64, Body), RecordError> {
    let content_type = if flags & TYPE != 0 {
        body.text()?
    } else {
        String::new()
    };
    let meta = if flags & META != 0 {
        read_meta(body)?
    } else {
        Vec::new()
    };
    if flags & ABSENT != 0 {
        return Ok((body.varint()?, Body::Absent));
    }
    if flags & PIECES != 0 {
        let size = body.varint()?;
        let pieces =
            u32::try_from(body.varint()?).map_err(|_| RecordError::Malformed("too many pieces"))?;
        return Ok((
            size,
            Body::Chunked {
                content_type,
                meta,
                pieces,
            },
        ));
    }
    let value = body.owned()?;
    Ok((
        value.len() as u64,
        Body::Whole(Content {
            value,
            content_type,
            meta,
        }),
    ))
}

fn read_meta(body: &mut Reader<'_>) -> Result<Vec<(String, Bytes)>, RecordError> {
    let count = body.count(2)?;
    (0..count)
        .map(|_| Ok((body.text()?, body.owned()?)))
        .collect()
}
