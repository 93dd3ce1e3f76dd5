//! Requests and replies over one connection.
//!
//! Small requests and replies share one long-lived stream, matched by the request number in the
//! frame header. A large request travels on a stream of its own; a large reply comes on a stream
//! that the node opens, holding that one frame. Whichever way a reply comes, [`Waiting`] knows
//! whom it is for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::close::CloseCode;
use quorate_protocol::frame::{self, FrameError, Header, Reader};
use quorate_protocol::limits::{CHUNK_BYTES, FRAME_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX};
use quorate_ring::{NodeId, RingVersion};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::silence::{LOOK_EVERY, Silence};
use super::waiting::{Place, Waiting};

/// Small requests that may wait for the writer.
const OUTBOX_FRAMES: usize = 1024;
/// Small requests written at once.
const BATCH_FRAMES: usize = 64;
/// Held back from a node's deadline, so that its answer about the deadline still reaches us.
const MARGIN_MAX: Duration = Duration::from_millis(50);

/// How one call is to travel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    /// When the caller stops waiting.
    pub(crate) deadline: Instant,
    /// The ring version that the caller routed by.
    pub(crate) ring: RingVersion,
    /// See [`Header::trace`].
    pub(crate) trace: u64,
}

/// A reply and what its header says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: ClientReply,
    /// The node's ring version.
    pub(crate) ring: RingVersion,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The request never left: certainly not applied.
    #[error("the connection has just ended")]
    NotSent,
    /// The connection ended after the request may have left.
    #[error("{0}")]
    Lost(String),
    /// The deadline passed.
    #[error("no answer came within the deadline")]
    TimedOut,
    /// The answer is not of the protocol.
    #[error("the answer cannot be read: {0}")]
    Malformed(String),
}

/// One connection to one node, whose hello was exchanged.
pub(crate) struct Connection {
    quic: quinn::Connection,
    node: NodeId,
    outbox: mpsc::Sender<Bytes>,
    waiting: Arc<Waiting>,
}

impl Connection {
    /// Takes over a connection after the hello on its long-lived stream.
    pub(super) fn start(
        quic: quinn::Connection,
        node: NodeId,
        send: SendStream,
        recv: RecvStream,
        reader: Reader,
    ) -> Arc<Self> {
        let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
        let waiting = Arc::new(Waiting::default());
        tokio::spawn(write_small(send, frames));
        tokio::spawn(read_small(quic.clone(), recv, reader, Arc::clone(&waiting)));
        tokio::spawn(accept_large(quic.clone(), Arc::clone(&waiting)));
        tokio::spawn(watch(quic.clone(), Arc::clone(&waiting)));
        Arc::new(Self {
            quic,
            node,
            outbox,
            waiting,
        })
    }

    /// The node at the other side.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// Whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.quic.close_reason().is_some()
    }

    /// Ends it.
    pub(crate) fn close(&self) {
        close(&self.quic, CloseCode::Done, "");
    }

    /// Sends a request and waits for its reply until the deadline.
    pub(crate) async fn call(
        &self,
        request: &ClientRequest,
        envelope: Envelope,
    ) -> Result<Answer, CallError> {
        let mut place = self.waiting.enter().ok_or(CallError::NotSent)?;
        let frame = encode(request, place.request, envelope);
        let answered = async {
            if frame.len() <= frame::HEADER_BYTES + SMALL_BODY_BYTES_MAX {
                self.outbox
                    .send(frame)
                    .await
                    .map_err(|_| CallError::NotSent)?;
            } else {
                self.send_large(frame).await?;
            }
            self.reply(&mut place).await
        };
        match tokio::time::timeout_at(envelope.deadline, answered).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut),
        }
    }

    async fn reply(&self, place: &mut Place) -> Result<Answer, CallError> {
        let Ok((header, body)) = (&mut place.reply).await else {
            return Err(CallError::Lost(self.why_closed()));
        };
        match ClientReply::decode_body(header.opcode, &body) {
            Ok(reply) => Ok(Answer {
                reply,
                ring: RingVersion::new(header.ring),
            }),
            Err(error) => Err(CallError::Malformed(error.to_string())),
        }
    }

    async fn send_large(&self, frame: Bytes) -> Result<(), CallError> {
        let send = self.quic.open_uni().await.map_err(|_| CallError::NotSent)?;
        let written = Unfinished(Some(send)).write(frame).await;
        written.map_err(|_| CallError::Lost(self.why_closed()))
    }

    fn why_closed(&self) -> String {
        self.quic.close_reason().map_or_else(
            || "the stream ended".to_owned(),
            |reason| reason.to_string(),
        )
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

pub(super) fn close(quic: &quinn::Connection, code: CloseCode, reason: &str) {
    // Every code of ours fits; 0 is `Done`.
    let number = quinn::VarInt::from_u64(code.number()).unwrap_or_default();
    quic.close(number, reason.as_bytes());
}

fn encode(request: &ClientRequest, number: u64, envelope: Envelope) -> Bytes {
    let left = envelope.deadline.saturating_duration_since(Instant::now());
    let left = left - MARGIN_MAX.min(left / 10);
    let header = Header {
        opcode: request.opcode(),
        count: 1,
        // 0 would mean that there is no deadline.
        deadline_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1),
        request: number,
        trace: envelope.trace,
        ring: envelope.ring.get(),
        ..Header::default()
    };
    let mut out = Vec::new();
    frame::write(&header, &mut out, |body| request.encode_body(body));
    Bytes::from(out)
}

/// A stream that is reset unless its frame was written whole: a cut frame would look like an
/// attack to the node.
struct Unfinished(Option<SendStream>);

impl Unfinished {
    async fn write(&mut self, mut frame: Bytes) -> Result<(), quinn::WriteError> {
        let Some(send) = &mut self.0 else {
            return Ok(());
        };
        while !frame.is_empty() {
            let chunk = frame.split_to(frame.len().min(CHUNK_BYTES));
            send.write_chunk(chunk).await?;
        }
        if let Some(mut send) = self.0.take() {
            // Fails only on a stream that was finished or reset before.
            let _ = send.finish();
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(mut send) = self.0.take() {
            let _ = send.reset(quinn::VarInt::from_u32(0));
        }
    }
}

async fn write_small(mut send: SendStream, mut frames: mpsc::Receiver<Bytes>) {
    let mut batch = Vec::with_capacity(BATCH_FRAMES);
    while frames.recv_many(&mut batch, BATCH_FRAMES).await > 0 {
        // An error here is an error of the connection, which the reader sees as well.
        if send.write_all_chunks(&mut batch).await.is_err() {
            return;
        }
        batch.clear();
    }
}

async fn read_small(
    quic: quinn::Connection,
    mut recv: RecvStream,
    mut reader: Reader,
    waiting: Arc<Waiting>,
) {
    loop {
        if let Err(error) = deliver_whole(&mut reader, &waiting) {
            close(&quic, CloseCode::Malformed, &error.to_string());
            break;
        }
        match recv.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => reader.push(&chunk.bytes),
            Ok(None) | Err(_) => break,
        }
    }
    close(&quic, CloseCode::Done, "");
    waiting.close();
}

fn deliver_whole(reader: &mut Reader, waiting: &Waiting) -> Result<(), FrameError> {
    while let Some((header, body)) = reader.next_frame()? {
        waiting.deliver(header, body);
    }
    Ok(())
}

async fn accept_large(quic: quinn::Connection, waiting: Arc<Waiting>) {
    while let Ok(recv) = quic.accept_uni().await {
        tokio::spawn(read_single(recv, Arc::clone(&waiting)));
    }
}

/// Reads the one frame of a stream. A stream that ends without one leaves its request to the
/// deadline: the node said nothing.
async fn read_single(mut recv: RecvStream, waiting: Arc<Waiting>) {
    let mut reader = Reader::new(FRAME_BODY_BYTES_MAX);
    while let Ok(Some(chunk)) = recv.read_chunk(usize::MAX, true).await {
        reader.push(&chunk.bytes);
        match reader.next_frame() {
            Ok(None) => {}
            Ok(Some((header, body))) => return waiting.deliver(header, body),
            Err(_) => return,
        }
    }
}

async fn watch(quic: quinn::Connection, waiting: Arc<Waiting>) {
    let mut silence = Silence::default();
    while quic.close_reason().is_none() {
        tokio::time::sleep(LOOK_EVERY).await;
        if silence.look(quic.stats().udp_rx.datagrams, !waiting.is_empty()) {
            close(&quic, CloseCode::Done, "silent for too long");
        }
    }
    waiting.close();
}
