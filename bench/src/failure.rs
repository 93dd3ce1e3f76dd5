//! Why there is no result.

use quorate_protocol::codec::DecodeError;
use quorate_tests::process::Trouble;

use crate::floor::Broken;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The cluster could not be made, asked or brought to rest.
    #[error(transparent)]
    Cluster(#[from] Trouble),
    /// Writes failed: what the node has missed is not known.
    #[error("{failed} of the writes failed, the first one: {first}")]
    Writes {
        /// How many.
        failed: u64,
        /// What the first one said.
        first: String,
    },
    /// A node that has caught up shows something else than was written.
    #[error(
        "key {key} has not the value that was written last, read through the node that was away"
    )]
    Wrong {
        /// The key's number.
        key: u64,
    },
    /// The tree that is compared with does not find what changed.
    #[error("the hash tree found {found} differences where {missed} changed keys are")]
    Tree {
        /// What it found.
        found: u64,
        /// What there is.
        missed: u64,
    },
    /// The bare program that the nodes are compared with cannot go on.
    #[error(transparent)]
    Floor(#[from] Box<Broken>),
    /// A message is read otherwise than it was written.
    #[error("a message is not read as it was written: {0}")]
    Message(#[from] DecodeError),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Floor(Box::new(broken))
    }
}
