//! What nodes tell each other about the cluster: who lives, and which buckets there are.

use serde::{Deserialize, Serialize};

use crate::error::WireError;
use crate::map::Bucket;

/// A sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's number for this one.
    pub number: u64,
    /// One life of the sender's process.
    pub incarnation: u64,
    /// The sender's wall clock, milliseconds since 1970.
    pub wall_ms: u64,
    /// Digest of the buckets in force at the sender.
    pub buckets: u64,
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
    /// Digest of the buckets in force at the answering node.
    pub buckets: u64,
}

/// Please keep this bucket's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketPropose {
    /// The proposer's operation.
    pub op: u64,
    /// The definition.
    pub bucket: Bucket,
}

/// The answer to [`BucketPropose`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketVote {
    /// From the proposal.
    pub op: u64,
    /// What the voter now keeps under that name: the proposal itself if accepted.
    pub kept: Bucket,
    /// Whether what is kept is already in force.
    pub in_force: bool,
    /// Why the proposal was refused.
    pub error: Option<WireError>,
}

/// Every member kept it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketCommit {
    /// The proposer's operation.
    pub op: u64,
    /// The definition.
    pub bucket: Bucket,
}

/// It is in force here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketCommitted {
    /// From the commit.
    pub op: u64,
}

/// The buckets in force at the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets {
    /// All of them.
    pub buckets: Vec<Bucket>,
}
