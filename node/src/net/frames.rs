//! Reading frames off streams and datagrams, bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream};
use quorate_protocol::frame::{FrameError, Header, Reader, peek};
use quorate_protocol::limits::{CHUNK_BYTES, FRAME_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX};
use tokio::time::timeout;

use super::bounds::STALL_WAIT;
use super::budget::{Assembly, Share};
use super::events::NoMessage;

/// Why a stream gives no more frames.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFault {
    /// Its bytes are no frames.
    #[error("malformed frame: {0}")]
    Malformed(#[from] FrameError),
    /// It ended inside a frame.
    #[error("the stream ended {0} bytes into a frame")]
    Truncated(usize),
    /// Bytes follow the one frame that it may hold.
    #[error("more than one frame on a stream for one")]
    Surplus,
    /// No byte came for too long.
    #[error("a large frame made no progress for {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// What its frame holds is no message.
    #[error("no message: {0}")]
    NoMessage(#[from] NoMessage),
    /// The stream or the connection broke; not the other side's mistake.
    #[error("the stream broke: {0}")]
    Broken(#[from] ReadError),
}

/// A long-lived stream of small frames.
pub(super) struct SmallFrames {
    stream: RecvStream,
    reader: Reader,
}

impl SmallFrames {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            reader: Reader::new(SMALL_BODY_BYTES_MAX),
        }
    }

    /// The next frame, or `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Result<Option<(Header, Bytes)>, ReadFault> {
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunk(CHUNK_BYTES, true).await? {
                Some(chunk) => self.reader.push(&chunk.bytes),
                None if self.reader.pending() == 0 => return Ok(None),
                None => return Err(ReadFault::Truncated(self.reader.pending())),
            }
        }
    }
}

/// A stream that holds one frame, read up to its header.
pub(super) struct LargeFrame {
    stream: RecvStream,
    start: BytesMut,
    pub(super) header: Header,
    pub(super) body_bytes: usize,
}

impl LargeFrame {
    /// Reads the header. `None` if the stream was empty.
    pub(super) async fn announced(mut stream: RecvStream) -> Result<Option<Self>, ReadFault> {
        let mut start = BytesMut::new();
        loop {
            if let Some((header, body_bytes)) = peek(&start)? {
                return Ok(Some(Self {
                    stream,
                    start,
                    header,
                    body_bytes,
                }));
            }
            match piece(&mut stream).await? {
                Some(bytes) => start.extend_from_slice(&bytes),
                None if start.is_empty() => return Ok(None),
                None => return Err(ReadFault::Truncated(start.len())),
            }
        }
    }

    /// Reads the body, which must be all that is left. `share` is the memory it may take.
    pub(super) async fn body(mut self, share: Share) -> Result<Bytes, ReadFault> {
        let mut reader = Reader::new(FRAME_BODY_BYTES_MAX);
        reader.push(&self.start);
        let body = loop {
            if let Some((_, body)) = reader.next_frame()? {
                break body;
            }
            match piece(&mut self.stream).await? {
                Some(bytes) => reader.push(&bytes),
                None => return Err(ReadFault::Truncated(reader.pending())),
            }
        };
        if reader.pending() > 0 || piece(&mut self.stream).await?.is_some() {
            return Err(ReadFault::Surplus);
        }
        drop(share);
        Ok(body)
    }

    /// Tells the sender that the rest is not wanted.
    pub(super) fn refuse(mut self, code: quinn::VarInt) {
        // Fails when everything has arrived already, which is as good.
        let _ = self.stream.stop(code);
    }
}

/// Reads the one frame of a peer's stream, waiting for its share of the memory for such frames.
pub(super) async fn read_large(
    stream: RecvStream,
    assembly: &Arc<Assembly>,
) -> Result<Option<(Header, Bytes)>, ReadFault> {
    let Some(frame) = LargeFrame::announced(stream).await? else {
        return Ok(None);
    };
    if frame.body_bytes > FRAME_BODY_BYTES_MAX {
        let announced = u32::try_from(frame.body_bytes).unwrap_or(u32::MAX);
        return Err(FrameError::Length(announced, FRAME_BODY_BYTES_MAX).into());
    }
    let share = assembly.wait(frame.body_bytes).await;
    let header = frame.header;
    Ok(Some((header, frame.body(share).await?)))
}

async fn piece(stream: &mut RecvStream) -> Result<Option<Bytes>, ReadFault> {
    let chunk = timeout(STALL_WAIT, stream.read_chunk(CHUNK_BYTES, true))
        .await
        .map_err(|_| ReadFault::Stalled(STALL_WAIT))??;
    Ok(chunk.map(|chunk| chunk.bytes))
}

/// All frames of one datagram, which must hold whole ones.
pub(super) fn read_datagram(datagram: &[u8]) -> Result<Vec<(Header, Bytes)>, ReadFault> {
    let mut reader = Reader::new(SMALL_BODY_BYTES_MAX);
    reader.push(datagram);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    match reader.pending() {
        0 => Ok(frames),
        rest => Err(ReadFault::Truncated(rest)),
    }
}
