//! What nodes tell each other all the time: that they live, and which version of the cluster map they have.

use serde::{Deserialize, Serialize};

use crate::versioned::MapName;

/// A sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's number for this one.
    pub number: u64,
    /// One life of the sender's process.
    pub incarnation: u64,
    /// The sender's wall clock, milliseconds since 1970.
    pub wall_ms: u64,
    /// The newest version of the cluster map that is durable at the sender.
    pub newest: MapName,
}

/// The answer to a [`Heartbeat`]: proof that both directions work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAck {
    /// From the heartbeat.
    pub number: u64,
    /// One life of the answering process.
    pub incarnation: u64,
    /// The answering node's wall clock, milliseconds since 1970.
    pub wall_ms: u64,
    /// The newest version of the cluster map that is durable at the answering node.
    pub newest: MapName,
}
