//! What a node has done of what the cluster map asks for: members tell those who make the next version.

use quorate_ring::Class;
use serde::{Deserialize, Serialize};

use crate::ids::{StorageId, VnodeId};
use crate::versioned::MapVersion;

/// A newcomer's claim to have all that the old members had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MapClaim {
    /// The class.
    pub class: Class,
    /// The newcomer's vnode.
    pub vnode: VnodeId,
    /// The epoch in which it was proven.
    pub epoch: MapVersion,
}

/// A copy that has no place any more and is not deleted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MapLeft {
    /// The class.
    pub class: Class,
    /// The vnode that it was.
    pub vnode: VnodeId,
}

/// The word of a node, all its shards together. All of it is durable there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapWord {
    /// The storage in which the node remembers its votes.
    pub storage: StorageId,
    /// The version that it works under: nothing is answered under an earlier one any more.
    pub version: MapVersion,
    /// At most [`WORD_ITEMS_MAX`](crate::limits::WORD_ITEMS_MAX): what is left out follows when some of these
    /// classes have moved on.
    pub complete: Vec<MapClaim>,
    /// `None` where there are more than [`WORD_ITEMS_MAX`](crate::limits::WORD_ITEMS_MAX): then none of its copies
    /// counts as gone.
    pub departing: Option<Vec<MapLeft>>,
    /// Whether it keeps hints for others.
    pub hinting: bool,
}
