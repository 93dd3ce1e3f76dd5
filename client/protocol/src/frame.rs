//! The fixed header in front of every message, and the incremental reader of frames.
//!
//! ```text
//!  0        4   5   6     8     10  11  12         16          24        32            40
//!  +--------+---+---+-----+-----+---+---+----------+-----------+---------+-------------+------
//!  | length |ver|flg|opcod|count|pri| 0 | deadline |  request  |  trace  | ring version| body
//!  +--------+---+---+-----+-----+---+---+----------+-----------+---------+-------------+------
//! ```
//!
//! All numbers are big endian. `length` counts what follows it: 36 bytes of header and the body.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::FRAME_BODY_BYTES_MAX;

/// Version of the frame layout itself; the protocol version is the hello frame's business.
pub const FRAME_VERSION: u8 = 1;
/// Bytes of the header, `length` included.
pub const HEADER_BYTES: usize = 40;
const AFTER_LENGTH: usize = HEADER_BYTES - 4;

/// The header of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Reserved for compression and the like; 0 in version 1, anything else is refused.
    pub flags: u8,
    /// Which message the body holds.
    pub opcode: u16,
    /// Messages in the body; 1 in version 1.
    pub count: u16,
    /// 0 is the foreground; background work carries higher numbers.
    pub priority: u8,
    /// What is left of the request's deadline, milliseconds; 0 where there is none.
    pub deadline_ms: u32,
    /// Pairs a reply with its request on this connection.
    pub request: u64,
    /// Carried through every hop into the logs; 0 where nobody asked.
    pub trace: u64,
    /// The sender's ring version; 0 where it has none yet.
    pub ring: u64,
}

/// Why bytes are not a frame. The connection cannot go on: frame borders are lost.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// The length field is below the header's size or above the reader's limit.
    #[error("a frame of {0} bytes, this side reads {AFTER_LENGTH} to {1}")]
    Length(u32, usize),
    /// Another frame layout.
    #[error("frame version {0}, this side speaks {FRAME_VERSION}")]
    Version(u8),
    /// A flag, count or padding that version 1 does not have.
    #[error("frame flags {flags:#04x}, count {count}, padding {padding}: not of version 1")]
    Reserved {
        /// The flags seen.
        flags: u8,
        /// The count seen.
        count: u16,
        /// The padding seen.
        padding: u8,
    },
}

/// Appends one frame, its body written by `body`.
///
/// The body must be at most [`FRAME_BODY_BYTES_MAX`] long: limits on keys, values and batches see
/// to it.
pub fn write(header: &Header, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[FRAME_VERSION, header.flags]);
    out.extend_from_slice(&header.opcode.to_be_bytes());
    out.extend_from_slice(&header.count.to_be_bytes());
    out.extend_from_slice(&[header.priority, 0]);
    out.extend_from_slice(&header.deadline_ms.to_be_bytes());
    out.extend_from_slice(&header.request.to_be_bytes());
    out.extend_from_slice(&header.trace.to_be_bytes());
    out.extend_from_slice(&header.ring.to_be_bytes());
    body(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// What the first [`HEADER_BYTES`] of a frame announce: the header and the body's length, which is
/// not bounded here. For a stream that holds one frame: so a frame that is refused for its length
/// can still be answered. `None` until all of the header is there.
///
/// # Errors
/// The bytes do not begin a frame.
pub fn peek(bytes: &[u8]) -> Result<Option<(Header, usize)>, FrameError> {
    let Some(mut header) = bytes.get(..HEADER_BYTES) else {
        return Ok(None);
    };
    let length = header.get_u32();
    match (length as usize).checked_sub(AFTER_LENGTH) {
        Some(body) => Ok(Some((parse(header)?, body))),
        None => Err(FrameError::Length(
            length,
            AFTER_LENGTH + FRAME_BODY_BYTES_MAX,
        )),
    }
}

/// Reads frames out of a byte stream that arrives in pieces.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    body_max: usize,
}

impl Reader {
    /// A reader that refuses bodies over `body_max` bytes.
    #[must_use]
    pub fn new(body_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            body_max: body_max.min(FRAME_BODY_BYTES_MAX),
        }
    }

    /// Takes the next piece of the stream. Memory grows with what arrived, never with what a
    /// length field announces.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Bytes that arrived and were not yet taken as frames.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole frame, or `None` until more arrives.
    ///
    /// # Errors
    /// The bytes are no frame; nothing can be read from this stream any more.
    pub fn next_frame(&mut self) -> Result<Option<(Header, Bytes)>, FrameError> {
        let Some(length) = self.buffer.get(..4) else {
            return Ok(None);
        };
        let mut length = length;
        let length = length.get_u32();
        let bytes = length as usize;
        if bytes < AFTER_LENGTH || bytes > AFTER_LENGTH + self.body_max {
            return Err(FrameError::Length(length, AFTER_LENGTH + self.body_max));
        }
        if self.buffer.len() >= HEADER_BYTES {
            // Refuse early: a wrong header is known before its body arrived.
            parse(&self.buffer[4..HEADER_BYTES])?;
        }
        if self.buffer.len() < 4 + bytes {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(4 + bytes).freeze();
        let body = frame.split_off(HEADER_BYTES);
        Ok(Some((parse(&frame[4..])?, body)))
    }
}

fn parse(mut bytes: &[u8]) -> Result<Header, FrameError> {
    let version = bytes.get_u8();
    if version != FRAME_VERSION {
        return Err(FrameError::Version(version));
    }
    let flags = bytes.get_u8();
    let opcode = bytes.get_u16();
    let count = bytes.get_u16();
    let priority = bytes.get_u8();
    let padding = bytes.get_u8();
    if flags != 0 || count != 1 || padding != 0 {
        return Err(FrameError::Reserved {
            flags,
            count,
            padding,
        });
    }
    Ok(Header {
        flags,
        opcode,
        count,
        priority,
        deadline_ms: bytes.get_u32(),
        request: bytes.get_u64(),
        trace: bytes.get_u64(),
        ring: bytes.get_u64(),
    })
}
