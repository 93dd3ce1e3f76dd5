//! Reading everything through on demand: what `quorate repair` and `quorate scrub` ask of a node.

use bytes::Bytes;
use quorate_ring::{BucketId, NodeId, PartitionId};
use serde::{Deserialize, Serialize};

/// An order about the node's scrubbing; without any part it only asks how things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// Read vnodes through now, before their turn and whatever the pace.
    pub now: bool,
    /// Only those of this partition.
    pub partition: Option<PartitionId>,
    /// Read nothing but what is suspected or ordered, until resumed or until the node restarts; or go on
    /// at the configured pace.
    pub pause: Option<bool>,
    /// Compare a range of keys with the other replicas.
    pub repair: Option<Box<RangeRepair>>,
}

/// An order to read a range of keys through, and to compare it with what the other members of each class hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeRepair {
    /// Drawn by who gives the order. Given again under the same number it begins nothing, and is answered by
    /// how far it has come; a node that has restarted begins it anew.
    pub id: u64,
    /// Only keys of this bucket that begin so; `None`: all keys.
    pub keys: Option<(BucketId, Bytes)>,
    /// The first partition.
    pub first: PartitionId,
    /// The last one.
    pub last: PartitionId,
}

/// How far a repair of a range has come at one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeProgress {
    /// Vnodes that it concerns.
    pub vnodes: u32,
    /// Those that were read and compared; all of them: it is over.
    pub done: u32,
    /// Those of which a record could not be read: they are filled again from a peer.
    pub damaged: u32,
    /// Keys read, with all their values.
    pub keys: u64,
    /// Keys of other replicas that were compared.
    pub compared: u64,
    /// Bytes that came from other replicas for it, about.
    pub bytes: u64,
    /// Versions that this node had lost without a sign, and that were put back.
    pub missing: u64,
    /// Versions that others hold and that are on their way here.
    pub behind: u64,
    /// Replicas that could not be compared with: away, or being filled themselves.
    pub unanswered: u32,
}

impl RangeProgress {
    /// Of two parts of one node together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            vnodes: self.vnodes.saturating_add(other.vnodes),
            done: self.done.saturating_add(other.done),
            damaged: self.damaged.saturating_add(other.damaged),
            keys: self.keys.saturating_add(other.keys),
            compared: self.compared.saturating_add(other.compared),
            bytes: self.bytes.saturating_add(other.bytes),
            missing: self.missing.saturating_add(other.missing),
            behind: self.behind.saturating_add(other.behind),
            unanswered: self.unanswered.saturating_add(other.unanswered),
        }
    }
}

/// The answer to [`Scrub`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubState {
    /// The node.
    pub node: NodeId,
    /// Its time of day when it took the order, milliseconds since 1970: a vnode whose last whole pass is
    /// not earlier was read through by this order.
    pub at_ms: u64,
    /// How many vnodes the order concerns.
    pub vnodes: u32,
    /// Whether it reads only what is suspected or ordered.
    pub paused: bool,
    /// How far the repair of a range has come; `None` also where the node has too many of them under way.
    pub repair: Option<RangeProgress>,
}
