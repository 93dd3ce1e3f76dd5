//! Where replicas stand: the exact clocks of a node's vnodes, and the hints that it keeps.

use quorate_ring::{Class, NodeId, RingVersion};
use serde::{Deserialize, Serialize};

use crate::ids::VnodeId;
use crate::peer::ActorClock;

/// Where do the vnodes of the node asked stand? Answered a page at a time, in the order of their classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// Only classes after this one.
    pub after: Option<Class>,
}

/// Where one vnode stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStanding {
    /// The class.
    pub class: Class,
    /// The vnode.
    pub vnode: VnodeId,
    /// The writes that it has applied.
    pub applied: Vec<ActorClock>,
    /// Whether it answers as a current replica.
    pub current: bool,
    /// Whether it lost something, or is being filled again.
    pub damaged: bool,
    /// Dot-log entries held for peers.
    pub log_entries: u64,
}

/// Hints that a node keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HintsHeld {
    /// For a vnode of this class.
    pub class: Class,
    /// On this node.
    pub target: NodeId,
    /// Objects.
    pub hints: u64,
}

/// The answer to [`Replicas`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaPage {
    /// The node.
    pub node: NodeId,
    /// The ring version that decides which vnodes it has.
    pub ring: RingVersion,
    /// Vnodes, ordered by class.
    pub vnodes: Vec<ReplicaStanding>,
    /// Hints kept for others, of the classes that this page is about.
    pub hints: Vec<HintsHeld>,
    /// Hints in flight right now, over all classes.
    pub hints_in_flight: u64,
    /// The last class that this page is about, if there are more.
    pub next: Option<Class>,
}
