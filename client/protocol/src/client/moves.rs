//! Copies on their way: what `quorate handoff` asks of a node, and tells it.

use quorate_ring::{Class, NodeId};
use serde::{Deserialize, Serialize};

use crate::extent::Extent;
use crate::ids::TransferId;
use crate::versioned::MapVersion;

/// An order about the copies that travel to the node asked and from it; without any part it only asks how things stand.
/// A node that restarts goes by its configuration again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// Fill no newcomer until told otherwise, or go on. What the ring places elsewhere stays where it is; what lost
    /// something is filled all the same.
    pub pause: Option<bool>,
    /// Take in and hand out at most so many bytes a second, at least 1; 0: as configured.
    pub bytes_per_s: Option<u64>,
    /// Slow down while one request of twenty takes longer than this, microseconds; 0: as configured.
    pub latency_us: Option<u64>,
}

/// The answer to [`Moves`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovesReport {
    /// The node.
    pub node: NodeId,
    /// How fast copies may travel.
    pub pace: Pace,
    /// Copies on their way to this node: those under way first, each by class.
    pub transfers: Vec<Transfer>,
    /// How many there are beside those.
    pub more: u64,
    /// What the ring's change still has to do; `None` at a node that the members do not tell what they have done.
    pub ring: Option<RingProgress>,
}

/// How fast copies may travel to a node and from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Whether no newcomer is filled.
    pub paused: bool,
    /// Bytes a second at most.
    pub most: u64,
    /// Bytes a second right now: less where it would slow requests down.
    pub now: u64,
    /// One request of twenty takes longer than this at the moment, microseconds; 0: there are too few to tell.
    pub latency_us: u64,
    /// Beyond so much it slows down, microseconds; 0: not known yet.
    pub bound_us: u64,
}

impl Pace {
    /// Of two parts of one node together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            paused: self.paused || other.paused,
            most: self.most.saturating_add(other.most),
            now: self.now.saturating_add(other.now),
            latency_us: self.latency_us.max(other.latency_us),
            bound_us: self.bound_us.max(other.bound_us),
        }
    }
}

/// One copy that travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its number, in the logs of both ends.
    pub id: TransferId,
    /// Of which class.
    pub class: Class,
    /// From which node; `None` while it looks for one.
    pub from: Option<NodeId>,
    /// What is here by now.
    pub here: Extent,
    /// What the sender had when it last said so.
    pub there: Extent,
    /// Bytes received since this node began with it, or started.
    pub received: u64,
    /// For so long, milliseconds.
    pub for_ms: u64,
    /// Whether the ring gives this node a new place; otherwise its copy lost something, or was away for long.
    pub newcomer: bool,
}

/// What is left of a change of the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingProgress {
    /// The version of the cluster map that says so.
    pub version: MapVersion,
    /// Classes that there are.
    pub classes: u64,
    /// Classes that are to stand elsewhere and have not set out.
    pub behind: u64,
    /// Classes that are written at their old places and the new ones, and read at the old ones.
    pub reading_old: u64,
    /// Classes that are written at both, and read at the new places.
    pub reading_new: u64,
    /// What nodes have to do yet, by node.
    pub nodes: Vec<NodeProgress>,
    /// Whether it can be cancelled.
    pub can_be_cancelled: bool,
}

impl RingProgress {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let under_way = self.behind + self.reading_old + self.reading_new;
        under_way == 0
            && self
                .nodes
                .iter()
                .all(|node| node.departing == 0 && !node.goes)
    }
}

/// What a node has to do yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProgress {
    /// The node.
    pub node: NodeId,
    /// Copies that it receives and that are not complete.
    pub filling: u32,
    /// Classes that wait for it to work under their present placement.
    pub awaited: u32,
    /// Copies that it gives up and that are not gone.
    pub departing: u32,
    /// Whether it is to be no member any more.
    pub goes: bool,
}
