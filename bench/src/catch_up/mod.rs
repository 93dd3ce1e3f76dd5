//! What it costs a node that was away to catch up, against sending everything and against a hash tree.
//!
//! A cluster of real processes on this machine is filled once. Then, again and again: one node is
//! stopped, some keys change, the node is started, and until all replicas are proved equal bytes
//! between nodes, time, and CPU time of all node processes are counted. A return without any change
//! comes first each time: what it costs is the price of a restart, and is subtracted where a cost is
//! given for each key that was missed.

mod choose;
mod compare;
mod report;
mod run;
mod usage;

use std::time::Duration;

pub use choose::{DELETE_EVERY, choose};
pub use compare::{Compared, Cost, compare};
pub use report::Report;
pub use run::{Idle, Measured, run};
pub use usage::{Usage, Usages};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Members, 3 at least. Every key has three copies: only with a fourth node can one stand in.
    pub nodes: usize,
    /// Partitions of the ring.
    pub partitions: u32,
    /// Keys that the cluster is filled with.
    pub keys: u64,
    /// Bytes of each value.
    pub size: usize,
    /// How many keys change while the node is away; each for itself.
    pub changed: Vec<usize>,
    /// Repetitions of everything after the filling.
    pub runs: usize,
    /// Whether hints may be kept for the node that is away.
    pub hints: bool,
    /// Writes under way at the same time.
    pub clients: usize,
    /// Keys of a leaf of the tree that is compared with, about.
    pub leaf_keys: u64,
    /// What chance starts from.
    pub seed: u64,
    /// How long the cluster at rest is watched.
    pub rest: Duration,
    /// How long one return may take.
    pub patience: Duration,
}
