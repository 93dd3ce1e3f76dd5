//! Writing: one ordered stream for small frames, a stream per large frame.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, SendStream, WriteError};
use quorate_protocol::frame::HEADER_BYTES;
use quorate_protocol::limits::{CHUNK_BYTES, SMALL_BODY_BYTES_MAX};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::bounds::BULK_AT_ONCE;
use super::queue::ByteQueue;

/// Longest frame, header included, that a stream of small frames carries.
pub(super) const SMALL_FRAME_BYTES_MAX: usize = HEADER_BYTES + SMALL_BODY_BYTES_MAX;
const SMALL_PRIORITY: i32 = 1;
const LARGE_PRIORITY: i32 = 0;

/// Takes the first frame off a run of whole frames by its length field; a run that is no whole
/// frame comes back as it is. `None` when nothing is left.
pub(super) fn split_frame(frames: &mut Bytes) -> Option<Bytes> {
    let length = frames
        .first_chunk::<4>()
        .map(|length| u32::from_be_bytes(*length) as usize + 4);
    match length {
        Some(length) if length < frames.len() => Some(frames.split_to(length)),
        Some(_) | None if frames.is_empty() => None,
        Some(_) | None => Some(std::mem::take(frames)),
    }
}

/// Writes what the queue holds, in order, until the queue is closed or the stream breaks; then
/// waits until the other side has everything.
pub(super) async fn write_small(
    queue: &ByteQueue,
    mut stream: SendStream,
) -> Result<(), WriteError> {
    // Fails on a finished stream only.
    let _ = stream.set_priority(SMALL_PRIORITY);
    while queue.until_filled().await {
        // Whoever filled the queue may be about to add more: one turn gathers it.
        tokio::task::yield_now().await;
        let Some(joined) = queue.take(CHUNK_BYTES).await else {
            break;
        };
        let bytes = joined.len();
        let written = stream.write_chunk(joined).await;
        queue.release(bytes);
        written?;
    }
    end(stream).await;
    Ok(())
}

/// Writes each frame of the queue on a stream of its own, a few at once, until the queue is closed
/// or the connection breaks.
pub(super) async fn write_large(
    queue: Arc<ByteQueue>,
    connection: Connection,
) -> Result<(), ConnectionError> {
    let places = Arc::new(Semaphore::new(BULK_AT_ONCE));
    let mut writes = JoinSet::new();
    while let Some(frame) = queue.take_one().await {
        // The semaphore is never closed; if it were, writing would go on unbounded by it.
        let place = Arc::clone(&places).acquire_owned().await.ok();
        let stream = connection.open_uni().await?;
        let queue = Arc::clone(&queue);
        writes.spawn(async move {
            write_pieces(&queue, stream, frame).await;
            drop(place);
        });
        while writes.try_join_next().is_some() {}
    }
    while writes.join_next().await.is_some() {}
    Ok(())
}

/// A stream that breaks alone is not reported: the receiver reset it, or the connection ends anyway.
async fn write_pieces(queue: &ByteQueue, mut stream: SendStream, mut frame: Bytes) {
    let _ = stream.set_priority(LARGE_PRIORITY);
    let mut left = frame.len();
    while !frame.is_empty() {
        let piece = frame.split_to(frame.len().min(CHUNK_BYTES));
        let bytes = piece.len();
        if stream.write_chunk(piece).await.is_err() {
            break;
        }
        queue.release(bytes);
        left -= bytes;
        tokio::task::yield_now().await;
    }
    queue.release(left);
    end(stream).await;
}

async fn end(mut stream: SendStream) {
    if stream.finish().is_ok() {
        let _ = stream.stopped().await;
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::frame::{Header, write};

    use super::*;

    #[test]
    fn a_run_of_frames_is_split_at_their_borders() {
        let mut run = Vec::new();
        for body in [&b"one"[..], b"", b"three"] {
            write(
                &Header {
                    count: 1,
                    ..Header::default()
                },
                &mut run,
                |out| out.extend_from_slice(body),
            );
        }
        let mut run = Bytes::from(run);
        let mut bodies = Vec::new();
        while let Some(frame) = split_frame(&mut run) {
            bodies.push(frame.slice(HEADER_BYTES..));
        }
        assert_eq!(bodies, ["one", "", "three"]);
    }

    #[test]
    fn what_is_no_frame_is_not_split_and_not_lost() {
        let mut run = Bytes::from_static(b"\xff\xff\xff\xffrest");
        assert_eq!(split_frame(&mut run).map(|piece| piece.len()), Some(8));
        assert_eq!(split_frame(&mut run), None);
    }
}
