//! What the driver needs of a network: the real one, or one in memory for tests.

use bytes::Bytes;
use quorate_ring::NodeId;

use crate::net::{ClientKey, Lane, NetHandle, SendRefused};

/// Takes frames to be sent. Used from every thread of the driver; never blocks.
pub trait Network: Send + Sync + 'static {
    /// Sends one or more whole frames to a peer ([`Lane::Bulk`]: exactly one).
    ///
    /// # Errors
    /// They were not taken, and nothing of them was sent.
    fn send_peer(&self, to: NodeId, lane: Lane, frames: Bytes) -> Result<(), SendRefused>;

    /// Answers a client with one or more whole frames, one for each request.
    ///
    /// # Errors
    /// It was not taken, and nothing of it was sent.
    fn reply(&self, client: ClientKey, frames: Bytes) -> Result<(), SendRefused>;
}

impl Network for NetHandle {
    fn send_peer(&self, to: NodeId, lane: Lane, frames: Bytes) -> Result<(), SendRefused> {
        Self::send_peer(self, to, lane, frames)
    }

    fn reply(&self, client: ClientKey, frames: Bytes) -> Result<(), SendRefused> {
        Self::reply(self, client, frames)
    }
}
