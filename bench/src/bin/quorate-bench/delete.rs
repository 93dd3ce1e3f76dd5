//! `quorate-bench delete`: many deletes while a node is away.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use quorate_bench::deletes::{self, Settings};
use quorate_tests::process::Programs;

use crate::tell;

/// Delete many keys while a node is away, and see that none comes back and nothing stays
///
/// Makes a cluster of real processes in a temporary directory, fills it, kills one node, deletes keys drawn by chance,
/// starts the node again, and waits until all replicas are proved equal. Then reads every key through every node
/// with r = 1, stops all nodes, and counts what their databases hold, before and after one compaction.
///
/// Ends with 1 if a deleted key is there, another one is not, or anything is left of the deleted ones.
#[derive(Args)]
pub(crate) struct Delete {
    /// How many keys the cluster is filled with
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    keys: u64,
    /// How many of them are deleted
    #[arg(long, default_value_t = 1_000_000, value_name = "KEYS")]
    deleted: usize,
    /// Read each key first, and delete through the context of that; otherwise the nodes delete what they find
    #[arg(long)]
    contexts: bool,
    /// Bytes of each value, 24 at least
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Members of the cluster
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=32))]
    nodes: u16,
    /// Partitions of its ring
    #[arg(long, default_value_t = 64)]
    partitions: u32,
    /// Requests under way at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// What chance starts from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the return may take, seconds
    #[arg(long, default_value_t = 1_800)]
    patience: u64,
    /// Write all figures into this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        if self.deleted as u64 > self.keys {
            let (deleted, keys) = (self.deleted, self.keys);
            return Err(format!("{deleted} keys cannot be deleted where there are {keys}: give --deleted or --keys another number").into());
        }
        let settings = Settings {
            nodes: self.nodes.into(),
            partitions: self.partitions,
            keys: self.keys,
            deleted: self.deleted,
            contexts: self.contexts,
            size: self.size,
            clients: self.clients.into(),
            seed: self.seed,
            patience: Duration::from_secs(self.patience),
        };
        let programs = Programs::find()?;
        // Interrupted, the cluster is dropped as at any end: processes and files go with it.
        let report = tokio::select! {
            report = deletes::run(&programs, settings) => report?,
            _ = tokio::signal::ctrl_c() => return Err("interrupted: nothing is reported".into()),
        };
        tell(&report, &report.json(), self.json.as_deref())?;
        match report.problems().len() {
            0 => Ok(()),
            count => Err(format!("{count} things are not right: see above").into()),
        }
    }
}
