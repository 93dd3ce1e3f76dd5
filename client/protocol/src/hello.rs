//! The first frame of each side on a connection: who speaks, in which cluster, which protocol.

use quorate_ring::{NodeId, RingVersion};
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, WireError};
use crate::ids::ClusterId;

/// Opcode of [`Hello`], the same on both wires and in every version.
pub const HELLO: u16 = 0x0001;
/// Newest protocol version this build speaks.
pub const PROTOCOL_VERSION: u16 = 9;
/// Oldest protocol version this build speaks.
pub const PROTOCOL_VERSION_MIN: u16 = 9;
/// QUIC application protocol of the client port.
pub const ALPN_CLIENT: &[u8] = b"quorate-client";
/// QUIC application protocol of the peer port.
pub const ALPN_PEER: &[u8] = b"quorate-peer";

/// Who is there. Sent first by both sides; nothing else is read before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest protocol version the sender speaks.
    pub version_min: u16,
    /// Newest protocol version the sender speaks.
    pub version_max: u16,
    /// Optional abilities, a bit each; unknown bits are ignored.
    pub capabilities: u64,
    /// The sender's build, for logs.
    pub build: String,
    /// The cluster; absent from a client that does not know it yet.
    pub cluster: Option<ClusterId>,
    /// The sender's node id; absent from a client.
    pub node: Option<NodeId>,
    /// The sender's ring version; absent from a client that has none yet.
    pub ring: Option<RingVersion>,
    /// One life of the sender's process, drawn at its start.
    pub incarnation: u64,
    /// The sender's wall clock, milliseconds since 1970.
    pub wall_ms: u64,
}

impl Hello {
    /// The version to speak with the sender of `theirs`: the newest that both know.
    ///
    /// # Errors
    /// `Protocol` when the ranges do not meet, or the clusters differ.
    pub fn negotiate(&self, theirs: &Self) -> Result<u16, WireError> {
        if let (Some(ours), Some(their)) = (self.cluster, theirs.cluster)
            && ours != their
        {
            return Err(WireError::new(
                ErrorCode::Protocol,
                format!(
                    "this is cluster {ours}, the other side belongs to cluster {their}: check the address"
                ),
            ));
        }
        let newest = self.version_max.min(theirs.version_max);
        let oldest = self.version_min.max(theirs.version_min);
        if oldest > newest {
            return Err(WireError::new(
                ErrorCode::Protocol,
                format!(
                    "no protocol version in common: this side speaks {} to {}, the other {} to {}",
                    self.version_min, self.version_max, theirs.version_min, theirs.version_max
                ),
            ));
        }
        Ok(newest)
    }
}
