//! `quorate-bench catch-up`: what it costs a node to return.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use quorate_bench::catch_up::{self, Settings};
use quorate_bench::merkle::LEAF_KEYS;
use quorate_tests::process::Programs;

use crate::tell;

/// Measure what it costs a node that was away to catch up
///
/// Makes a cluster of real processes in a temporary directory, fills it, and for each number of --changed: stops
/// one node, changes so many random keys (nine puts to one delete), starts the node, and counts bytes between
/// nodes, seconds and CPU time until all replicas are proved equal. Beside it, on the same data: the cost of sending
/// everything, and of finding the differences by a hash tree.
///
/// With three nodes and three copies no node can stand in for the one that is away, so that there are no
/// hints; --nodes 4 shows them at work, and --no-hints the same without.
#[derive(Args)]
pub(crate) struct CatchUp {
    /// How many keys the cluster holds
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    keys: u64,
    /// How many of them change while the node is away; several numbers are measured one after the other
    #[arg(
        long,
        default_value = "100,10000,1000000",
        value_delimiter = ',',
        value_name = "KEYS"
    )]
    changed: Vec<usize>,
    /// Bytes of each value, 24 at least
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Repetitions; figures are medians
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Members of the cluster
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=32))]
    nodes: u16,
    /// Partitions of its ring
    #[arg(long, default_value_t = 64)]
    partitions: u32,
    /// Write without stand-ins: what was missed comes by comparing clocks alone
    #[arg(long)]
    no_hints: bool,
    /// Writes under way at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// Keys of a leaf of the hash tree, about
    #[arg(long, default_value_t = LEAF_KEYS, value_parser = clap::value_parser!(u64).range(1..))]
    leaf_keys: u64,
    /// What chance starts from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long one return may take, seconds
    #[arg(long, default_value_t = 1_800)]
    patience: u64,
    /// Write all figures into this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How long the cluster at rest is watched.
const REST: Duration = Duration::from_secs(10);

impl CatchUp {
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let settings = Settings {
            nodes: self.nodes.into(),
            partitions: self.partitions,
            keys: self.keys,
            size: self.size,
            changed: self.counts()?,
            runs: self.runs,
            hints: !self.no_hints,
            clients: self.clients.into(),
            leaf_keys: self.leaf_keys,
            seed: self.seed,
            rest: REST,
            patience: Duration::from_secs(self.patience),
        };
        let programs = Programs::find()?;
        // Interrupted, the cluster is dropped as at any end: processes and files go with it.
        let report = tokio::select! {
            report = catch_up::run(&programs, settings) => report?,
            _ = tokio::signal::ctrl_c() => return Err("interrupted: nothing is reported".into()),
        };
        tell(&report, &report.json(), self.json.as_deref())?;
        Ok(())
    }

    /// Ascending, each once; more keys cannot change than there are.
    fn counts(&self) -> Result<Vec<usize>, String> {
        let mut counts = self.changed.clone();
        counts.sort_unstable();
        counts.dedup();
        match counts.iter().find(|&&count| count as u64 > self.keys) {
            Some(count) => Err(format!(
                "{count} keys cannot change where there are {}: give --changed or --keys another number",
                self.keys
            )),
            None => Ok(counts.into_iter().filter(|&count| count > 0).collect()),
        }
    }
}
