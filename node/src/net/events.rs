//! What the network tells, and the names it uses.

use std::sync::Arc;

use bytes::Bytes;
use quorate_protocol::frame::Header;
use quorate_protocol::hello::Hello;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::NodeId;

/// One client connection, for as long as it lives. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(pub u64);

/// Which way a message to a peer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The long-lived stream of small frames: in order, batched. Frames that are too large for it
    /// take the bulk lane by themselves.
    Small,
    /// A stream per frame, written in pieces, after everything small; a few at once.
    Bulk,
    /// Unreliable and unqueued, for heartbeats. What does not fit a datagram takes the small lane.
    Datagram,
}

/// Something happened on the network.
///
/// For one peer: `PeerUp`, frames, `PeerLost`, and from the start again, never interleaved. For one
/// client: frames, then one `ClientLost`.
#[derive(Clone, Debug)]
pub enum NetEvent {
    /// A link to a peer is up, by either side's dialling.
    PeerUp {
        /// The peer, proven by its certificate.
        node: NodeId,
        /// What it said of itself.
        hello: Hello,
    },
    /// The link is gone. A new one is tried at once and for ever.
    PeerLost {
        /// The peer.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// A frame of a peer. Its body is not decoded yet and may be anything.
    PeerFrame {
        /// The peer.
        from: NodeId,
        /// The frame's header.
        header: Header,
        /// Its body.
        body: Bytes,
    },
    /// A node of this cluster that is no peer was turned away at the door.
    TurnedAway {
        /// The node, proven by its certificate.
        node: NodeId,
    },
    /// A peer has turned this node away: it is no member.
    RefusedBy {
        /// The peer.
        node: NodeId,
        /// The version of the map by which the peer says so.
        version: MapVersion,
    },
    /// A client's request. It must be answered exactly once, with [`super::NetHandle::reply`].
    ClientFrame {
        /// The connection it came on.
        client: ClientKey,
        /// The name in the client's certificate.
        principal: Arc<str>,
        /// The frame's header.
        header: Header,
        /// Its body.
        body: Bytes,
    },
    /// A client's connection is gone; its open requests need no reply.
    ClientLost {
        /// The connection.
        client: ClientKey,
    },
}

/// A peer's frame is whole and holds no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("opcode {opcode:#06x}: {reason}")]
pub struct NoMessage {
    /// What it says to be.
    pub opcode: u16,
    /// Why it is not.
    pub reason: String,
}

/// Takes what the network tells. Called on the network's thread: it must not block.
pub trait NetHandler: Send + Sync + 'static {
    /// Takes one event.
    ///
    /// # Errors
    /// For a peer's frame only: the link that it came on is closed, and the peer told why.
    fn on_event(&self, event: NetEvent) -> Result<(), NoMessage>;

    /// The hello to send now.
    fn hello(&self) -> Hello;

    /// The version of the map by which the peers were told.
    fn map_version(&self) -> MapVersion;
}

/// How the link to one peer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The peer.
    pub node: NodeId,
    /// Whether a link is up.
    pub up: bool,
    /// Why the last attempt failed or the last link ended; kept until the next link is up.
    pub last_error: Option<String>,
    /// Bytes waiting to be sent to it.
    pub queued_bytes: usize,
    /// Smoothed round-trip time of the link, microseconds.
    pub rtt_us: Option<u64>,
}
