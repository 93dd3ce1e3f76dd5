//! What clients ask about the cluster map itself: the log of its versions, and where a node stands with the next
//! one.

use quorate_ring::NodeId;
use serde::{Deserialize, Serialize};

use crate::ids::MapDigest;
use crate::versioned::{MapName, MapVersion, VersionedMap};

/// Read the log of the cluster map's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapHistory {
    /// Only those after this one; 0: all that are remembered.
    pub after: MapVersion,
}

/// The versions that the node asked remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapLog {
    /// The node.
    pub node: NodeId,
    /// The youngest last.
    pub versions: Vec<MapLine>,
}

/// One version of the cluster map, and what made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapLine {
    /// Its number.
    pub version: MapVersion,
    /// The digest of all it says.
    pub digest: MapDigest,
    /// The node that proposed it.
    pub by: NodeId,
    /// When, by that node's clock: milliseconds since 1970; 0: not known.
    pub wall_ms: u64,
    /// What changed, in a sentence.
    pub what: String,
}

/// Read the newest version of the cluster map, whole: with what is staged, where classes stand, who goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetVersion {}

/// The newest version at the node asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeMap {
    /// The node.
    pub node: NodeId,
    /// The version.
    pub version: Box<VersionedMap>,
}

/// Where a node stands with the cluster map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapStanding {
    /// The newest version that is durable there.
    pub newest: MapName,
    /// Whether the node votes on the next one.
    pub votes: bool,
    /// Whether every voter's storage is known; if not, the map cannot change yet.
    pub founded: bool,
    /// Voters that do not answer this node, or that have no say for want of their storage.
    pub silent: Vec<NodeId>,
    /// A version that this node has accepted and does not know to be decided.
    pub undecided: Option<MapName>,
    /// Changes that wait at this node.
    pub waiting: u32,
    /// The attempt that this node makes right now: how many there were at that version, as far as it knows.
    pub attempt: Option<u64>,
}
