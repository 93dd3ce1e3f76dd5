//! What a node asks of what surrounds it.

use std::sync::Arc;

use quorate_core::register::Version;
use quorate_core::{Batch, Note, Ticket};
use quorate_protocol::client::ClientReply;
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

use super::counters::Counter;

/// What a node wants of the world. Times are those of the node's own clock, unless they are lengths.
#[derive(Debug)]
pub enum Want {
    /// Send a message.
    Send {
        /// To whom.
        to: NodeId,
        /// The message.
        message: PeerMessage,
        /// What is left of its deadline, milliseconds; 0: none.
        deadline_ms: u32,
    },
    /// Answer a client.
    Reply(Ticket, Box<ClientReply>),
    /// Count something that the core noted.
    Note(Note),
    /// Count something else.
    Count(Counter),
    /// A batch was written under this number.
    Wrote(u64, Arc<Batch>),
    /// Take what is in a shard's inbox soon.
    Run(u16),
    /// Wake at this time, microseconds.
    Wake(u64),
    /// An fsync up to this batch has begun; it may end after a while.
    SyncBegun(u64),
    /// Look whether to sync after this time, microseconds.
    SyncAfter(u64),
    /// Store the map's state of this number durably.
    Persist(u64, Vec<u8>),
    /// Open a shard's replica again after this time, microseconds.
    Revive(u16, u64),
    /// Note that another version of the map is the newest.
    InForce(Box<Version>),
    /// Two versions of one number met: the one here, and the other.
    Contradiction(MapName, MapName),
    /// The cluster was recovered without this node, by that version.
    GivenUp(MapName),
}
