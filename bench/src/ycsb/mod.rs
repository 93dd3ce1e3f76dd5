//! Load on a cluster after the workloads of YCSB (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", 2010).
//!
//! A fixed number of tasks send one request after the other. In a closed loop each begins the next one when the last has
//! ended. In an open loop requests are due at a fixed rate, the next free task begins the next one, and times count from when
//! a request was due, even if no task was free: a cluster that stands still is seen by all that was due meanwhile.
//!
//! An update goes through the context of the last write that this program made to the key. Where that one left siblings, which
//! it has not seen, the update reads first, and the read counts as part of it.

mod keys;
mod mix;
mod page;
mod report;
mod run;
mod store;
mod tally;

use std::time::Duration;

pub use keys::Distribution;
pub use mix::{Kind, Mix, NoSuchMix};
pub use report::Report;
pub use run::{Measured, Target, run, run_on_own_cluster};
pub(crate) use run::{Session, own_cluster};
pub use tally::Tally;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What requests do.
    pub mix: Mix,
    /// Which keys they take.
    pub distribution: Distribution,
    /// Keys that are written before the first run.
    pub keys: u64,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Tasks, each with one request under way; 1 at least.
    pub outstanding: usize,
    /// Requests due each second; nothing in a closed loop.
    pub rate: Option<u64>,
    /// What is not counted at the beginning of each run.
    pub warm_up: Duration,
    /// What is.
    pub time: Duration,
    /// Repetitions.
    pub runs: usize,
    /// What chance starts from.
    pub seed: u64,
}
