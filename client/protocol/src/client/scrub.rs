//! Reading everything through on demand: what `quorate repair` and `quorate scrub` ask of a node.

use quorate_ring::{NodeId, PartitionId};
use serde::{Deserialize, Serialize};

/// An order about the node's scrubbing; without any part it only asks how things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// Read vnodes through now, before their turn and whatever the pace.
    pub now: bool,
    /// Only those of this partition.
    pub partition: Option<PartitionId>,
    /// Read nothing but what is suspected or ordered, until resumed or until the node restarts; or go on
    /// at the configured pace.
    pub pause: Option<bool>,
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
}
