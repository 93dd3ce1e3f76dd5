//! Frames of the bare program.
//!
//! ```text
//! length u32 (of what follows) | kind u8 | key's length u8 | id u32 | key | body
//! ```

use bytes::{Buf as _, BufMut as _, BytesMut};

const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 6;

/// What a frame is for. A key is what the object is stored under, at every hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first frame of a stream; the id is the sender's place among the members.
    Hello,
    /// A client writes: the body is the value.
    Put,
    /// A client reads.
    Get,
    /// The copy of a write: the body is the object's record.
    Store,
    /// It is written.
    Stored,
    /// A question for a copy.
    Read,
    /// The answer: the body is the object's record, or empty.
    Found,
    /// To the client: the body is the dot of a write, or the record that was read.
    Done,
}

const KINDS: [Kind; 8] = [
    Kind::Hello,
    Kind::Put,
    Kind::Get,
    Kind::Store,
    Kind::Stored,
    Kind::Read,
    Kind::Found,
    Kind::Done,
];

/// A frame among the bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) id: u32,
    pub(super) key: &'a [u8],
    pub(super) body: &'a [u8],
}

/// Appends a frame whose body is the pieces, one behind the other.
pub(super) fn write(out: &mut BytesMut, kind: Kind, id: u32, key: &[u8], body: &[&[u8]]) {
    let body_bytes: usize = body.iter().map(|piece| piece.len()).sum();
    let length = HEADER_BYTES + key.len() + body_bytes;
    out.reserve(LENGTH_BYTES + length);
    // Keys and values are ours: far below both bounds.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u8(kind as u8);
    out.put_u8(u8::try_from(key.len()).unwrap_or(u8::MAX));
    out.put_u32(id);
    out.put_slice(key);
    body.iter().for_each(|piece| out.put_slice(piece));
}

/// How many of these bytes are whole frames.
pub(super) fn whole(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(length) = bytes.get(end..).and_then(length) {
        if bytes.len() < end + length {
            break;
        }
        end += length;
    }
    end
}

/// Takes the first of some whole frames. `None`: there is no more, or it is no frame of ours.
pub(super) fn take<'a>(bytes: &mut &'a [u8]) -> Option<Frame<'a>> {
    let (frame, rest) = bytes.split_at_checked(length(bytes)?)?;
    *bytes = rest;
    let (mut header, rest) = frame.get(LENGTH_BYTES..)?.split_at_checked(HEADER_BYTES)?;
    let kind = *KINDS.get(usize::from(header.get_u8()))?;
    let (key, body) = rest.split_at_checked(usize::from(header.get_u8()))?;
    let id = header.get_u32();
    Some(Frame {
        kind,
        id,
        key,
        body,
    })
}

/// Bytes of the frame that begins here, its length included.
fn length(bytes: &[u8]) -> Option<usize> {
    let mut length = bytes.get(..LENGTH_BYTES)?;
    Some(LENGTH_BYTES + usize::try_from(length.get_u32()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_part_of_a_frame_waits_for_the_rest() {
        let mut out = BytesMut::new();
        write(&mut out, Kind::Put, 7, b"key", &[b"va", b"lue"]);
        let first = out.len();
        write(&mut out, Kind::Get, 8, b"other", &[]);
        assert_eq!(whole(&out), out.len());
        assert_eq!(whole(&out[..out.len() - 1]), first);
        assert_eq!(whole(&out[..3]), 0);
        let mut rest = &out[..];
        let put = Frame {
            kind: Kind::Put,
            id: 7,
            key: b"key",
            body: b"value",
        };
        assert_eq!(take(&mut rest), Some(put));
        assert_eq!(take(&mut rest).map(|frame| frame.key), Some(&b"other"[..]));
        assert_eq!(take(&mut rest), None);
    }

    #[test]
    fn every_kind_is_read_as_what_it_was() {
        for kind in KINDS {
            let mut out = BytesMut::new();
            write(&mut out, kind, 0, b"", &[]);
            assert_eq!(take(&mut &out[..]).map(|frame| frame.kind), Some(kind));
        }
    }
}
