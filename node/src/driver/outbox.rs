//! Frames of one step, gathered so that each peer and each client is written to once.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::effects::Priority;
use quorate_protocol::client::ClientReply;
use quorate_protocol::frame::{self, Header};
use quorate_protocol::limits::SMALL_BODY_BYTES_MAX;
use quorate_protocol::peer::PeerMessage;
use quorate_ring::{NodeId, RingVersion};

use crate::net::{ClientKey, Lane};

use super::counters::{Counters, Event};
use super::network::Network;

/// Bytes of small frames after which a peer's buffer is handed over before the step ends.
const BUFFER_BYTES: usize = 256 << 10;

/// A message on its way to a peer.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) to: NodeId,
    pub(super) message: &'a PeerMessage,
    /// What is left of the deadline, milliseconds; 0: none.
    pub(super) deadline_ms: u32,
    pub(super) priority: Priority,
    /// The request on whose behalf it is sent; 0: nobody's.
    pub(super) trace: u64,
    pub(super) ring: RingVersion,
}

/// Frames waiting for the end of a step. Reused from step to step.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    small: BTreeMap<NodeId, Vec<u8>>,
    replies: BTreeMap<ClientKey, Vec<u8>>,
}

impl Outbox {
    /// Adds a message to a peer.
    pub(super) fn send(
        &mut self,
        network: &impl Network,
        counters: &Counters,
        message: &Outgoing<'_>,
    ) {
        let buffer = self.small.entry(message.to).or_default();
        let start = buffer.len();
        append(buffer, message);
        if buffer.len() - start > SMALL_BODY_BYTES_MAX {
            let large = buffer.split_off(start);
            hand_over(network, counters, message.to, Lane::Bulk, large.into());
        } else if buffer.len() > BUFFER_BYTES {
            hand_over(
                network,
                counters,
                message.to,
                Lane::Small,
                std::mem::take(buffer).into(),
            );
        }
    }

    /// Adds the answer to the request that came with `asked`.
    pub(super) fn reply(
        &mut self,
        ring: RingVersion,
        client: ClientKey,
        asked: &Header,
        answer: &ClientReply,
    ) {
        append_reply(self.replies.entry(client).or_default(), ring, asked, answer);
    }

    /// Hands everything over.
    pub(super) fn flush(&mut self, network: &impl Network, counters: &Counters) {
        while let Some((client, frames)) = self.replies.pop_first() {
            answer(network, counters, client, frames.into());
        }
        for (to, buffer) in &mut self.small {
            if !buffer.is_empty() {
                hand_over(
                    network,
                    counters,
                    *to,
                    Lane::Small,
                    Bytes::copy_from_slice(buffer),
                );
                buffer.clear();
            }
        }
    }
}

fn append(buffer: &mut Vec<u8>, outgoing: &Outgoing<'_>) {
    let header = Header {
        opcode: outgoing.message.opcode(),
        count: 1,
        priority: match outgoing.priority {
            Priority::Foreground => 0,
            Priority::Background => 1,
        },
        deadline_ms: outgoing.deadline_ms,
        trace: outgoing.trace,
        ring: outgoing.ring.get(),
        ..Header::default()
    };
    frame::write(&header, buffer, |body| outgoing.message.encode_body(body));
}

fn hand_over(network: &impl Network, counters: &Counters, to: NodeId, lane: Lane, frames: Bytes) {
    let bytes = frames.len();
    // The core bears lost messages: a dead link or a full queue is no error here.
    match network.send_peer(to, lane, frames) {
        Ok(()) => counters.bytes(Event::PeerBytesSent, bytes),
        Err(_) => counters.event(Event::PeerSendDropped),
    }
}

/// Sends one message of the node's own machines by itself.
pub(super) fn send_now(
    network: &impl Network,
    counters: &Counters,
    ring: RingVersion,
    to: NodeId,
    lane: Lane,
    message: &PeerMessage,
) {
    let mut buffer = Vec::new();
    append(
        &mut buffer,
        &Outgoing {
            to,
            message,
            deadline_ms: 0,
            priority: Priority::Foreground,
            trace: 0,
            ring,
        },
    );
    let lane = if buffer.len() > SMALL_BODY_BYTES_MAX {
        Lane::Bulk
    } else {
        lane
    };
    hand_over(network, counters, to, lane, buffer.into());
}

/// Answers the request that came with `asked`.
pub(super) fn reply_now(
    network: &impl Network,
    counters: &Counters,
    ring: RingVersion,
    client: ClientKey,
    asked: &Header,
    reply: &ClientReply,
) {
    let mut buffer = Vec::new();
    append_reply(&mut buffer, ring, asked, reply);
    answer(network, counters, client, buffer.into());
}

fn append_reply(buffer: &mut Vec<u8>, ring: RingVersion, asked: &Header, answer: &ClientReply) {
    let header = Header {
        opcode: answer.opcode(),
        count: 1,
        request: asked.request,
        trace: asked.trace,
        ring: ring.get(),
        ..Header::default()
    };
    frame::write(&header, buffer, |body| answer.encode_body(body));
}

fn answer(network: &impl Network, counters: &Counters, client: ClientKey, frames: Bytes) {
    // A client that is gone needs no answer; the network counts what it owes to the others.
    if network.reply(client, frames).is_err() {
        counters.event(Event::ReplyDropped);
    }
}
