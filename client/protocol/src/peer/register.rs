//! How members decide the next version of the cluster map. `quorate-core`'s register says what each
//! message means; versions travel as the bytes that their digest is of.

use bytes::Bytes;
use quorate_ring::NodeId;
use serde::{Deserialize, Serialize};

use crate::ids::{LifeId, StorageId};
use crate::versioned::MapName;

/// One attempt to decide a version. Ordered; no two attempts have the same one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot {
    /// Counts attempts; higher than any that the proposer had heard of.
    pub round: u64,
    /// The proposer, and which life of it: 64 random bits, since a counter that was not yet on disk
    /// at a crash would be used again.
    pub proposer: (u64, u64),
}

impl Ballot {
    /// The attempt of that number by one life of a node.
    #[must_use]
    pub const fn new(round: u64, node: NodeId, life: LifeId) -> Self {
        Self {
            round,
            proposer: (node.get(), life.get()),
        }
    }
}

/// Promise to take part in no earlier attempt to decide the version after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapPrepare {
    /// The version to build on.
    pub parent: MapName,
    /// The attempt.
    pub ballot: Ballot,
}

/// The promise, durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapPromise {
    /// From the question.
    pub parent: MapName,
    /// From the question.
    pub ballot: Ballot,
    /// The storage that remembers it.
    pub storage: StorageId,
    /// What this voter accepted last for that version, and in which attempt.
    pub accepted: Option<(Ballot, Bytes)>,
}

/// Accept this as the version after that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapAccept {
    /// The version it builds on.
    pub parent: MapName,
    /// The attempt.
    pub ballot: Ballot,
    /// The whole version.
    pub map: Bytes,
}

/// Accepted, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapAccepted {
    /// From the question.
    pub parent: MapName,
    /// From the question.
    pub ballot: Ballot,
    /// The storage that remembers it.
    pub storage: StorageId,
}

/// Neither promised nor accepted: a later attempt has this voter's promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRefused {
    /// From the question.
    pub parent: MapName,
    /// From the question.
    pub ballot: Ballot,
    /// The later attempt.
    pub promised: Ballot,
}

/// The newest version that the sender knows to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapNewest {
    /// Its name.
    pub newest: MapName,
}

/// Please send the newest decided version, if it is newer than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapAsk {
    /// What the sender has.
    pub have: MapName,
}

/// A decided version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapDecided {
    /// The whole version.
    pub map: Bytes,
}

/// Give up this lineage of the cluster map: take part in no decision of it any more, nor in an earlier attempt to
/// recover from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapForsake {
    /// The lineage.
    pub lineage: u16,
    /// The attempt to recover.
    pub ballot: Ballot,
    /// The members that are gone for good; all others must answer.
    pub gone: Vec<NodeId>,
}

/// Given up, durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapForsaken {
    /// From the question.
    pub lineage: u16,
    /// From the question.
    pub ballot: Ballot,
    /// The storage that remembers it.
    pub storage: StorageId,
    /// The newest version that this member knows to be decided, whole.
    pub newest: Bytes,
    /// What it accepted last as the version after that one.
    pub accepted: Option<(Ballot, Bytes)>,
    /// What it accepted last as the first version of the next lineage.
    pub recovered: Option<(Ballot, Bytes)>,
}

/// Accept this as the first version of the next lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRecover {
    /// The lineage that is given up.
    pub lineage: u16,
    /// The attempt to recover.
    pub ballot: Ballot,
    /// The whole version.
    pub map: Bytes,
}

/// Accepted, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRecovered {
    /// From the question.
    pub lineage: u16,
    /// From the question.
    pub ballot: Ballot,
    /// The storage that remembers it.
    pub storage: StorageId,
}

/// The attempt to recover has no part in this member: it is at a later one, or hears from who is called gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapNotForsaken {
    /// From the question.
    pub lineage: u16,
    /// From the question.
    pub ballot: Ballot,
    /// The latest attempt that has this member's promise.
    pub promised: Ballot,
    /// Members that are called gone and answer this one.
    pub alive: Vec<NodeId>,
}
