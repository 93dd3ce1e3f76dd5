//! Who was alive when, as replicas tell each other: what decides whom a returning replica waits for.

use quorate_ring::NodeId;
use serde::{Deserialize, Serialize};

use crate::ids::LifeId;

/// A place in what one replica has seen of its peers. Every coming and going it sees gets the next
/// position; positions are not numbered anew by a restart, lives tell whether some were lost in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AliveMark {
    /// Which of its node's replicas it is.
    pub shard: u16,
    /// The replica's life in which it was there.
    pub life: LifeId,
    /// The last coming or going it had seen.
    pub position: u64,
}

/// Where the sender is now: what a receiver asks it about after an absence begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// How many replicas the sender's node runs: marks of others are out of date.
    pub shards: u16,
    /// The place.
    pub mark: AliveMark,
}

/// Whom the answering replica has seen alive at any moment since a mark of the asker's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Testimony {
    /// Where the answering replica is now.
    pub now: Alive,
    /// It remembers the asker's mark: `seen` begins there. Otherwise it names all it ever saw.
    pub exact: bool,
    /// It was there all the time since, or has learned from others whom it may have missed.
    pub complete: bool,
    /// The nodes, ordered by id, itself not among them.
    pub seen: Vec<NodeId>,
}
