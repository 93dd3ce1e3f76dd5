//! Many keys are deleted while a node is away: none of them comes back with it, and nothing of them stays.
//!
//! A cluster of real processes is filled, and what its databases hold is counted. One node is killed, keys
//! chosen by chance are deleted, the node is started again, and all replicas become equal. Then every key is
//! read through every node, all nodes are stopped, and their databases are counted again: as they are, and
//! after one compaction.

mod check;
mod report;
mod run;
mod stored;

use std::time::Duration;

pub use check::{Checked, Outcome, judge};
pub use report::Report;
pub use run::{Returned, run};
pub use stored::{FAMILIES, Stored};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Members, 3 at least. Every key has three copies: only with a fourth node can one stand in.
    pub nodes: usize,
    /// Partitions of the ring.
    pub partitions: u32,
    /// Keys that the cluster is filled with.
    pub keys: u64,
    /// How many of them are deleted.
    pub deleted: usize,
    /// Whether each delete goes through the context of a read, or deletes what it finds.
    pub contexts: bool,
    /// Bytes of each value.
    pub size: usize,
    /// Requests under way at the same time.
    pub clients: usize,
    /// What chance starts from.
    pub seed: u64,
    /// How long the return may take, and anything else that is waited for.
    pub patience: Duration,
}

/// Copies of every key.
const COPIES: u64 = 3;
