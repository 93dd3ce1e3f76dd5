//! The first frame of each side.

use bytes::Bytes;
use quorate_protocol::codec;
use quorate_protocol::frame::{Header, write};
use quorate_protocol::hello::{HELLO, Hello};

use super::frames::{ReadFault, SmallFrames};

/// Why a hello was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloFault {
    /// The stream gave no frame.
    #[error(transparent)]
    Read(#[from] ReadFault),
    /// The stream ended at once.
    #[error("the stream ended before the hello")]
    Missing,
    /// Another frame came first.
    #[error("the first frame has opcode {0:#06x}, a hello was expected")]
    Opcode(u16),
    /// It cannot be decoded.
    #[error("the hello is malformed: {0}")]
    Malformed(#[from] codec::DecodeError),
}

/// A hello as a frame. `request` is that of the hello it answers, 0 otherwise.
pub(super) fn frame(hello: &Hello, request: u64) -> Bytes {
    let mut out = Vec::new();
    let ring = hello.ring.map_or(0, quorate_ring::RingVersion::get);
    let header = Header {
        opcode: HELLO,
        count: 1,
        request,
        ring,
        ..Header::default()
    };
    write(&header, &mut out, |body| codec::encode(hello, body));
    Bytes::from(out)
}

/// Reads the other side's hello.
pub(super) async fn read(frames: &mut SmallFrames) -> Result<(Header, Hello), HelloFault> {
    let (header, body) = frames.next().await?.ok_or(HelloFault::Missing)?;
    if header.opcode != HELLO {
        return Err(HelloFault::Opcode(header.opcode));
    }
    Ok((header, codec::decode(&body)?))
}
