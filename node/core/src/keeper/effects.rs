//! What goes into a keeper and what comes out.

use quorate_protocol::client::{ChangeRing, ClientReply, PutBucket};
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

use crate::effects::Ticket;
use crate::moves::Said;
use crate::register::Version;

/// What a client wants of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapRequest {
    /// A bucket, or other defaults of one.
    Put(PutBucket),
    /// Members or their places changed.
    Ring(ChangeRing),
}

/// One event.
#[derive(Clone, Debug)]
pub enum KeeperInput {
    /// A client wants a change.
    Client {
        /// Given back with the reply.
        ticket: Ticket,
        /// What it wants.
        request: MapRequest,
        /// What is left of its deadline, milliseconds.
        deadline_ms: u32,
    },
    /// A peer's message; one that is not about the map is ignored.
    Peer {
        /// Who sent it: proven by its certificate.
        from: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// A peer's heartbeat names another version than the one here.
    Differs {
        /// The peer.
        peer: NodeId,
        /// What it has.
        newest: MapName,
    },
    /// A replica of this node has spoken, see [`Effect::Word`](crate::Effect::Word).
    Word {
        /// Its number.
        shard: u16,
        /// How many replicas the node has.
        shards: u16,
        /// What it said.
        said: Said,
    },
    /// A peer answers this node.
    PeerUp(NodeId),
    /// A peer does not answer this node.
    PeerDown(NodeId),
    /// The state of this number, and with it all earlier ones, is durable.
    Persisted(u64),
    /// Time has passed.
    Tick,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum KeeperEffect {
    /// Replace the stored state by `bytes`, atomically, fsync, then report the number.
    Persist {
        /// Counts the states of this life, from 1.
        number: u64,
        /// The whole state.
        bytes: Vec<u8>,
    },
    /// Send a message to a peer.
    Send {
        /// The peer.
        to: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// Answer a client.
    Reply {
        /// Whose request.
        ticket: Ticket,
        /// The answer.
        reply: ClientReply,
    },
    /// A version is durable here, and is the newest.
    Changed(Version),
    /// Two versions of one number were decided: a storage was set back, or there is a bug. The version
    /// that is here stays.
    Contradiction {
        /// The version here.
        here: MapName,
        /// The other one.
        there: MapName,
        /// Who has it.
        peer: NodeId,
    },
    /// The cluster was recovered without this node: it serves nobody any more, and what it has stays as it is.
    GivenUp {
        /// The version by which it is so.
        by: MapName,
        /// Who has it.
        peer: NodeId,
    },
}
